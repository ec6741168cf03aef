/* Where the signing keys come from: a file, or a Secret that the first operator makes. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <sodium.h>

#include "common/base/json.h"
#include "operator/agent/signing.h"
#include "tests/unit/fake_ops.h"

#define GET "GET /api/v1/namespaces/ns/secrets/keys"
#define POST "POST /api/v1/namespaces/ns/secrets"

struct rig {
    struct fake_ops ops;
    struct signing_load *load;
    struct signing_keys loaded;
    unsigned loads;
    char note[512];
};

static void on_loaded(void *arg, const struct signing_keys *keys)
{
    struct rig *r = arg;

    r->loaded = *keys;
    r->loads++;
}

static void on_note(void *arg, const char *msg)
{
    struct rig *r = arg;

    snprintf(r->note, sizeof(r->note), "%s", msg);
}

static int setup(void **state)
{
    struct rig *r = xcalloc(1, sizeof(*r));
    struct signing_load_opts opts = {
        .ns = "ns", .name = "keys", .on_loaded = on_loaded, .on_note = on_note, .arg = r};

    assert_int_equal(signature_init(), 0);
    fake_ops_init(&r->ops);
    r->load = signing_load_start(&r->ops.ops, &opts);
    *state = r;
    return 0;
}

static int teardown(void **state)
{
    struct rig *r = *state;

    signing_load_cancel(r->load);
    fake_ops_done(&r->ops);
    free(r);
    return 0;
}

static void answer(struct rig *r, const char *what, int status, const char *body)
{
    struct ops_call *c = fake_find(&r->ops, what);

    assert_non_null(c);
    fake_answer(c, status, body);
}

/* The text of a new key, and a Secret's data field of it. */
static void make_key(char text[128], char b64[256])
{
    struct signature_key key;

    signature_key_generate(&key);
    signature_key_format(&key, text, 128);
    sodium_bin2base64(b64, 256, (unsigned char *)text, strlen(text),
                      sodium_base64_VARIANT_ORIGINAL);
}

static void assert_key(const struct signature_key *key, const char *text)
{
    char got[128];

    signature_key_format(key, got, sizeof(got));
    assert_string_equal(got, text);
}

static void test_secret_is_there(void **state)
{
    struct rig *r = *state;
    char key[128], key64[256], old[128], old64[256];
    cleanup_free char *body = NULL;

    make_key(key, key64);
    make_key(old, old64);
    body = xasprintf("{\"data\":{\"key\":\"%s\",\"previous\":\"%s\"}}", key64, old64);
    answer(r, GET, 200, body);
    assert_int_equal(r->loads, 1);
    assert_int_equal(r->loaded.count, 2);
    assert_key(&r->loaded.keys[0], key);
    assert_key(&r->loaded.keys[1], old);
    assert_int_equal(fake_calls(&r->ops), 0);
}

static void test_missing_secret_is_made(void **state)
{
    struct rig *r = *state;
    cleanup_json struct json_object *made = NULL;
    cleanup_free char *answer_body = NULL, *text = NULL;
    const char *body;
    char b64[256];

    answer(r, GET, 404, "{}");
    body = fake_find(&r->ops, POST)->body;
    assert_int_equal(json_parse(body, strlen(body), &made, NULL), 0);
    assert_string_equal(json_get_str(json_get(made, "metadata"), "name"), "keys");
    text = xstrdup(json_get_str(json_get(made, "stringData"), "key"));
    sodium_bin2base64(b64, sizeof(b64), (unsigned char *)text, strlen(text),
                      sodium_base64_VARIANT_ORIGINAL);
    answer_body = xasprintf("{\"data\":{\"key\":\"%s\"}}", b64);
    answer(r, POST, 201, answer_body);
    assert_int_equal(r->loads, 1);
    assert_key(&r->loaded.keys[0], text);
}

static void test_another_operator_was_first(void **state)
{
    struct rig *r = *state;
    char key[128], key64[256];
    cleanup_free char *body = NULL;

    make_key(key, key64);
    body = xasprintf("{\"data\":{\"key\":\"%s\"}}", key64);
    answer(r, GET, 404, "{}");
    answer(r, POST, 409, "{\"reason\":\"AlreadyExists\"}");
    answer(r, GET, 200, body);
    assert_key(&r->loaded.keys[0], key);
}

static void test_trouble_is_told_and_tried_again(void **state)
{
    static const struct {
        int status;
        const char *body;
        const char *note;
    } rows[] = {
        {403, "{\"message\":\"secrets is forbidden\"}", "HTTP status 403: secrets is forbidden"},
        {200, "{\"data\":{}}", "data.key is missing"},
        {200, "{\"data\":{\"key\":\"!!\"}}", "data.key is not base64 of a key"},
        {200, "{\"data\":{\"key\":\"YWJj\"}}", "data.key"},
        {200, "nonsense", "Secret ns/keys"},
        {500, "", "HTTP status 500"},
    };
    struct rig *r = *state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        answer(r, GET, rows[i].status, rows[i].body);
        assert_non_null(strstr(r->note, rows[i].note));
        assert_int_equal(fake_calls(&r->ops), 0);
        fake_advance(&r->ops, 30000);
    }
    assert_int_equal(r->loads, 0);
}

static void test_lost_answers(void **state)
{
    struct rig *r = *state;

    fake_fail(fake_find(&r->ops, GET), -ECONNREFUSED, false);
    fake_advance(&r->ops, 500);
    answer(r, GET, 404, "{}");
    fake_fail(fake_find(&r->ops, POST), -ECONNRESET, true);
    assert_non_null(strstr(r->note, "making Secret ns/keys"));
    fake_advance(&r->ops, 1000);
    assert_non_null(fake_find(&r->ops, GET)); /* perhaps it was made: look before making another */
}

/* ---- files and lookups ----------------------------------------------------------------------- */

static int load_text(const char *text, struct signing_keys *ret, struct err *err)
{
    char path[] = "/tmp/arl-key-XXXXXX";
    int fd = mkstemp(path), r;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    r = signing_load_file(path, ret, err);
    unlink(path);
    return r;
}

static void test_file(void **state)
{
    struct signing_keys keys;
    struct err err;
    char a[128], b[128], unused[256], ring[256];
    cleanup_free char *two = NULL;

    make_key(a, unused);
    make_key(b, unused);
    two = xasprintf("%s\n%s\n", a, b);
    assert_int_equal(load_text(two, &keys, &err), 0);
    assert_int_equal(keys.count, 2);
    assert_key(&keys.keys[0], a);
    assert_ptr_equal(signing_find(&keys, NULL), &keys.keys[0]);
    assert_ptr_equal(signing_find(&keys, keys.keys[1].id), &keys.keys[1]);
    assert_null(signing_find(&keys, "other"));
    signing_public_text(&keys, ring, sizeof(ring));
    assert_non_null(strstr(ring, keys.keys[1].id));
    assert_int_equal(load_text("", &keys, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "the file is empty"));
    assert_true(load_text("nonsense\n", &keys, &err) < 0);
    assert_int_equal(signing_load_file("/nonexistent/key", &keys, &err), -ENOENT);
    assert_non_null(strstr(err.msg, "/nonexistent/key"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_secret_is_there),
        T(test_missing_secret_is_made),
        T(test_another_operator_was_first),
        T(test_trouble_is_told_and_tried_again),
        T(test_lost_answers),
        cmocka_unit_test(test_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
