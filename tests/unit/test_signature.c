#include <errno.h>
#include <stdio.h>

#include "common/wire/signature.h"

#include "tests/unit/unit.h"

/* The vectors were printed by signature_vectors.py, an implementation of its own. */
struct vector {
    const char *key;
    const char *public_key;
    unsigned char nonce_first; /* the nonce's first byte and what is added for each further one */
    unsigned char nonce_step;
    int64_t created;
    struct signature_input in;
    struct signature_headers want;
};

#define POD_UID "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
#define SANDBOX_UID "f47ac10b-58cc-4372-a567-0e02b2c3d479"
#define OPERATOR "QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8"
#define WANT_COMPONENTS                                                                            \
    "arl=(\"@method\" \"@path\" \"@query\" \"content-digest\" \"arl-pod-uid\" "                    \
    "\"arl-sandbox-uid\" \"arl-operator-key\")"

static const struct vector vectors[] = {
    {
        .key = "Vkdap1RjR0wChd9d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        .public_key = "Vkdap1RjR0wChd9d=A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
        .nonce_step = 1,
        .created = 1767323045,
        .in = {"PUT", "/v1/tasks/0a1b/1", "after=0", POD_UID, SANDBOX_UID, OPERATOR,
               "{\"steps\":[]}", 12},
        .want = {WANT_COMPONENTS ";created=1767323045;nonce=\"AAECAwQFBgcICQoLDA0ODw\";"
                                 "keyid=\"Vkdap1RjR0wChd9d\";alg=\"ed25519\"",
                 "arl=:0CLWTLey0GWSog/pc8MYl1uAvzVJ4Q3iKZxqwz/"
                 "c8wYnLZLBc4nUHvX6tECnIRPJJO5oMbjeR9VZrpWviBjSCA==:",
                 "sha-256=:RDDneG7cD4QZ8C6QnBVCLr9XIoelgTLY9vMyUM4FMSE=:"},
    },
    {
        .key = "r4IpWPLXWvuR-Kj0:__________________________________________8",
        .public_key = "r4IpWPLXWvuR-Kj0=dqFZIESm5PURJlvKc6YE2QsFKdHfYCvjChmpJXZg0fU",
        .nonce_first = 0xff,
        .created = 0,
        .in = {"DELETE", "/v1/tasks/0a1b/10", "", POD_UID, SANDBOX_UID, OPERATOR, NULL, 0},
        .want = {WANT_COMPONENTS ";created=0;nonce=\"_____________________w\";"
                                 "keyid=\"r4IpWPLXWvuR-Kj0\";alg=\"ed25519\"",
                 "arl=:XKE9UYjq24n3P62dDAJPmZEhD83p+"
                 "ZmlJcTGiHqWGMqgFsCwINhIgSl8OzhL4XiPi3umdV9iv6ERu6UO4I8bCQ==:",
                 "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"},
    },
};

static void load(const struct vector *v, struct signature_key *key, struct signature_keyring *ring,
                 unsigned char nonce[SIGNATURE_NONCE_BYTES])
{
    assert_int_equal(signature_key_parse(v->key, key, NULL), 0);
    assert_int_equal(signature_keyring_parse(v->public_key, ring, NULL), 0);
    for (int i = 0; i < SIGNATURE_NONCE_BYTES; i++)
        nonce[i] = (unsigned char)(v->nonce_first + i * v->nonce_step);
}

static void test_vectors(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(vectors); i++) {
        const struct vector *v = &vectors[i];
        unsigned char nonce[SIGNATURE_NONCE_BYTES];
        struct signature_headers got;
        struct signature_keyring ring;
        struct signature_key key;
        struct signature_proof proof;

        load(v, &key, &ring, nonce);
        assert_int_equal(signature_sign(&key, &v->in, v->created, nonce, &got, NULL), 0);
        assert_string_equal(got.signature_input, v->want.signature_input);
        assert_string_equal(got.signature, v->want.signature);
        assert_string_equal(got.content_digest, v->want.content_digest);
        assert_int_equal(signature_verify_head(&ring, &v->in, &v->want, v->created, &proof, NULL),
                         0);
        assert_int_equal(proof.created, v->created);
        assert_non_null(strstr(v->want.signature_input, proof.nonce));
        assert_int_equal(strlen(proof.nonce), 22);
    }
}

static int verify(const struct signature_keyring *ring, const struct signature_input *in,
                  const struct signature_headers *headers, int64_t now_s)
{
    struct signature_proof proof = {.nonce = "untouched"};
    struct signature_input head = *in;
    struct err err;
    int r;

    head.body = NULL;
    head.body_len = 0;
    r = signature_verify_head(ring, &head, headers, now_s, &proof, &err);
    if (r < 0)
        assert_string_equal(proof.nonce, "untouched");
    else
        r = signature_verify_body(headers->content_digest, in->body, in->body_len, &err);
    assert_true(r == 0 || (r == -EACCES && strlen(err.msg) > 0));
    return r;
}

/* Flips every bit of text, one at a time, and wants each to be refused. */
static void flip_all(char *text, size_t len, const struct signature_keyring *ring,
                     const struct signature_input *in, const struct signature_headers *headers,
                     int64_t now_s)
{
    for (size_t bit = 0; bit < len * 8; bit++) {
        text[bit / 8] ^= (char)(1 << (bit % 8));
        assert_int_equal(verify(ring, in, headers, now_s), -EACCES);
        text[bit / 8] ^= (char)(1 << (bit % 8));
    }
    assert_int_equal(verify(ring, in, headers, now_s), 0);
}

static void test_every_bit_counts(void **state)
{
    const struct vector *v = &vectors[0];
    char method[] = "PUT", path[] = "/v1/tasks/0a1b/1", query[] = "after=0", pod[] = POD_UID,
         sandbox[] = SANDBOX_UID, operator[] = OPERATOR, body[] = "{\"steps\":[]}";
    const struct signature_input in = {method,  path,           query,       pod,
                                       sandbox, operator, body, strlen(body)};
    char *const parts[] = {method, path, query, pod, sandbox, operator, body };
    struct signature_headers h = v->want;
    char *const headers[] = {h.signature_input, h.signature, h.content_digest};
    unsigned char nonce[SIGNATURE_NONCE_BYTES];
    struct signature_keyring ring;
    struct signature_key key;

    load(v, &key, &ring, nonce);
    for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
        flip_all(parts[i], strlen(parts[i]), &ring, &in, &h, v->created);
    for (size_t i = 0; i < ARRAY_SIZE(headers); i++)
        flip_all(headers[i], strlen(headers[i]), &ring, &in, &h, v->created);
    flip_all((char *)ring.keys[0].key, sizeof(ring.keys[0].key), &ring, &in, &h, v->created);
}

static void test_window(void **state)
{
    const struct vector *v = &vectors[0];
    unsigned char nonce[SIGNATURE_NONCE_BYTES];
    struct signature_keyring ring;
    struct signature_key key;

    load(v, &key, &ring, nonce);
    assert_int_equal(verify(&ring, &v->in, &v->want, v->created + SIGNATURE_WINDOW_S), 0);
    assert_int_equal(verify(&ring, &v->in, &v->want, v->created - SIGNATURE_WINDOW_S), 0);
    assert_int_equal(verify(&ring, &v->in, &v->want, v->created + SIGNATURE_WINDOW_S + 1), -EACCES);
    assert_int_equal(verify(&ring, &v->in, &v->want, v->created - SIGNATURE_WINDOW_S - 1), -EACCES);
}

/* The head is good whatever body follows, and a body that is not its own is found. */
static void test_head_before_body(void **state)
{
    const struct vector *v = &vectors[0];
    unsigned char nonce[SIGNATURE_NONCE_BYTES];
    struct signature_keyring ring;
    struct signature_input in = v->in;
    struct signature_proof proof;
    struct signature_key key;
    struct err err;

    load(v, &key, &ring, nonce);
    in.body = NULL;
    in.body_len = 0;
    assert_int_equal(signature_verify_head(&ring, &in, &v->want, v->created, &proof, &err), 0);
    assert_int_equal(signature_verify_body(v->want.content_digest, "{\"steps\":[]}", 12, &err), 0);
    assert_int_equal(signature_verify_body(v->want.content_digest, "", 0, &err), -EACCES);
    assert_int_equal(signature_verify_body("", "", 0, &err), -EACCES);
}

/* Values must not be able to move from one component into the next. */
static void test_no_line_feeds(void **state)
{
    const struct vector *v = &vectors[0];
    static const char *const bad[] = {"a\nb", "a b", "a\tb", "a\x7f", "\xc3\xa4"};
    unsigned char nonce[SIGNATURE_NONCE_BYTES];
    struct signature_keyring ring;
    struct signature_key key;

    load(v, &key, &ring, nonce);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        for (int field = 0; field < 6; field++) {
            struct signature_input in = v->in;
            const char **const fields[] = {&in.method,  &in.path,        &in.query,
                                           &in.pod_uid, &in.sandbox_uid, &in.operator_key};
            struct signature_headers h;

            *fields[field] = bad[i];
            assert_int_equal(signature_sign(&key, &in, 1, nonce, &h, NULL), -EINVAL);
            assert_int_equal(verify(&ring, &in, &v->want, v->created), -EACCES);
        }
    }
}

static void test_too_long(void **state)
{
    unsigned char nonce[SIGNATURE_NONCE_BYTES];
    struct signature_input in = vectors[0].in;
    struct signature_keyring ring;
    struct signature_headers h;
    struct signature_key key;
    cleanup_free char *path = xmalloc((16 << 10) + 1);

    memset(path, 'a', 16 << 10);
    path[16 << 10] = '\0';
    in.path = path;
    load(&vectors[0], &key, &ring, nonce);
    assert_int_equal(signature_sign(&key, &in, 1, nonce, &h, NULL), -EINVAL);
}

static void test_other_forms_refused(void **state)
{
    const struct vector *v = &vectors[0];
    static const char *const inputs[] = {
        "",
        "arl=()",
        "arl=();created=1767323045",
        "sig="
        "(\"@method\" \"@path\" \"@query\" \"content-digest\" \"arl-pod-uid\" "
        "\"arl-sandbox-uid\" "
        "\"arl-operator-key\");created=1767323045;nonce=\"AAECAwQFBgcICQoLDA0ODw\";"
        "keyid=\"Vkdap1RjR0wChd9d\";alg=\"ed25519\"",
        WANT_COMPONENTS ";created=01767323045;nonce=\"AAECAwQFBgcICQoLDA0ODw\";"
                        "keyid=\"Vkdap1RjR0wChd9d\";alg=\"ed25519\"",
        WANT_COMPONENTS ";created=99999999999999999999;nonce=\"AAECAwQFBgcICQoLDA0ODw\";"
                        "keyid=\"Vkdap1RjR0wChd9d\";alg=\"ed25519\"",
        WANT_COMPONENTS ";created=1767323045;nonce=\"AAECAwQFBgcICQoLDA0O\";"
                        "keyid=\"Vkdap1RjR0wChd9d\";alg=\"ed25519\"",
        WANT_COMPONENTS ";created=1767323045;nonce=\"AAECAwQFBgcICQoLDA0ODw\";"
                        "keyid=\"Vkdap1RjR0wChd9d\";alg=\"ed25519\";x=1",
    };
    unsigned char nonce[SIGNATURE_NONCE_BYTES];
    struct signature_keyring ring;
    struct signature_headers h;
    struct signature_key key;

    load(v, &key, &ring, nonce);
    for (size_t i = 0; i < ARRAY_SIZE(inputs); i++) {
        h = v->want;
        snprintf(h.signature_input, sizeof(h.signature_input), "%s", inputs[i]);
        assert_int_equal(verify(&ring, &v->in, &h, v->created), -EACCES);
    }
    h = v->want;
    h.signature[0] = '\0';
    assert_int_equal(verify(&ring, &v->in, &h, v->created), -EACCES);
    ring.count = 0;
    assert_int_equal(verify(&ring, &v->in, &v->want, v->created), -EACCES);
}

static void test_key_text(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        "Vkdap1RjR0wChd9d",
        ":AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "Vkdap1RjR0wChd9d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh",
        "Vkdap1RjR0wChd9d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n",
        "Vkdap1RjR0wChd9d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "Vkdap1RjR0wChd9d:BAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "Vkdap1RjR0wChd9:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
        "Vkdap1RjR0wChd9dVkdap1RjR0wChd9d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    };
    struct signature_key key, again;
    struct signature_public pub;
    char text[128];

    signature_key_generate(&key);
    signature_key_format(&key, text, sizeof(text));
    assert_int_equal(signature_key_parse(text, &again, NULL), 0);
    assert_memory_equal(&key, &again, sizeof(key));
    signature_key_public(&key, &pub);
    assert_string_equal(pub.id, key.id);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(signature_key_parse(bad[i], &again, NULL), -EINVAL);
    assert_memory_equal(&key, &again, sizeof(key));
}

static void test_keyring_rotation(void **state)
{
    unsigned char nonce[SIGNATURE_NONCE_BYTES] = {0};
    struct signature_keyring ring = {.count = 2}, again;
    struct signature_headers h;
    struct signature_key keys[3];
    char text[256];

    for (int i = 0; i < 3; i++)
        signature_key_generate(&keys[i]);
    for (int i = 0; i < 2; i++)
        signature_key_public(&keys[i], &ring.keys[i]);
    signature_keyring_format(&ring, text, sizeof(text));
    assert_int_equal(signature_keyring_parse(text, &again, NULL), 0);
    assert_memory_equal(&ring, &again, sizeof(ring));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(signature_sign(&keys[i], &vectors[0].in, 100, nonce, &h, NULL), 0);
        assert_int_equal(verify(&again, &vectors[0].in, &h, 100), i < 2 ? 0 : -EACCES);
    }
}

static void test_keyring_text(void **state)
{
#define PUBLIC_A "a=A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"
#define PUBLIC_B "b=dqFZIESm5PURJlvKc6YE2QsFKdHfYCvjChmpJXZg0fU"
    static const char *const bad[] = {
        "",
        ",",
        "a",
        "a=",
        "=A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
        "a b=A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
        PUBLIC_A ",",
        "," PUBLIC_A,
        PUBLIC_A "A",
        PUBLIC_A "," PUBLIC_A,
        PUBLIC_A "," PUBLIC_B ",c=A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg",
    };
    struct signature_keyring ring = {.count = 7};

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(signature_keyring_parse(bad[i], &ring, NULL), -EINVAL);
    assert_int_equal(ring.count, 7);
    assert_int_equal(signature_keyring_parse(PUBLIC_A "," PUBLIC_B, &ring, NULL), 0);
    assert_int_equal(ring.count, 2);
    assert_string_equal(ring.keys[1].id, "b");
}

static int setup(void **state)
{
    return signature_init();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),      cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_window),       cmocka_unit_test(test_no_line_feeds),
        cmocka_unit_test(test_too_long),     cmocka_unit_test(test_other_forms_refused),
        cmocka_unit_test(test_key_text),     cmocka_unit_test(test_keyring_rotation),
        cmocka_unit_test(test_keyring_text), cmocka_unit_test(test_head_before_body),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
