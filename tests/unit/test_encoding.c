/* Reflector and verbs with an API server that answers in protobuf, or in JSON where it has nothing
 * else. */
#include <errno.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "operator/kube/reflector.h"
#include "operator/kube/encoding.h"
#include "tests/pb_write.h"
#include "tests/unit/fake_kind.h"
#include "tests/unit/fake_ops.h"

#include "tests/unit/unit.h"

#define ACCEPT "application/vnd.kubernetes.protobuf, application/json"
#define MAX_BYTES (16u << 20)
/* The metadata of two toys: name, namespace, uid and resourceVersion. */
#define MANY                                                                                       \
    "\x0a\x04many\x1a\x02ns\x2a\x02um\x32\x02"                                                     \
    "11"
#define WIDE                                                                                       \
    "\x0a\x04wide\x1a\x02ns\x2a\x02uw\x32\x02"                                                     \
    "12"
#define EXPIRED "{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\"}"

static struct fake_ops fake;
static struct store *store;
static struct reflector *refl;
static struct buf seen = BUF_INIT(1 << 20);

static void on_change(void *arg, struct meta *old_obj, struct meta *new_obj)
{
    const struct meta *m = new_obj ? new_obj : old_obj;
    const char *color = container_of(m, struct toy, meta)->color;

    buf_printf(&seen, "%s%s/%s:%s%s ",
               !old_obj   ? "+"
               : !new_obj ? "-"
                          : "~",
               m->name, m->rv, str_or_empty(color), m->cut ? " cut" : "");
}

static void assert_seen(const char *want)
{
    assert_string_equal(buf_str(&seen), want);
    buf_clear(&seen);
}

static int setup(void **state)
{
    fake_ops_init(&fake);
    store = store_new(&fake_kind_pb, on_change, NULL);
    return 0;
}

static int teardown(void **state)
{
    reflector_free(refl);
    refl = NULL;
    store_free(store);
    fake_ops_done(&fake);
    assert_int_equal(fake_toys_alive, 0);
    buf_done(&seen);
    return 0;
}

static void begin(void)
{
    refl =
        reflector_new(&fake.ops, &(struct reflector_opts){.kind = &fake_kind_pb, .store = store});
}

static struct ops_call *call_of(const char *what)
{
    struct ops_call *call = fake_find(&fake, what);

    assert_non_null(call);
    assert_string_equal(str_or_empty(call->accept), ACCEPT);
    return call;
}

static void answer_bytes(struct ops_call *call, int status, const struct buf *b)
{
    fake_answer_full(call, &(struct ops_response){.status = status,
                                                  .body = buf_str(b),
                                                  .body_len = b->len,
                                                  .retry_after_ms = -1,
                                                  .error_msg = ""});
}

static void answer(struct ops_call *call, int status, const char *json)
{
    cleanup_buf struct buf b = BUF_INIT(MAX_BYTES);

    pb_write_answer(&b, &fake_kind_pb, json, strlen(json));
    answer_bytes(call, status, &b);
}

static void answer_list(const char *name, const char *rv, const char *cont)
{
    cleanup_free char *toy = fake_toy_json("ns", name, "u", "1", "red");
    cleanup_free char *list = xasprintf("{\"kind\":\"ToyList\",\"metadata\":{\"resourceVersion\":"
                                        "\"%s\",\"continue\":\"%s\"},\"items\":[%s]}",
                                        rv, cont, toy);

    answer(call_of("GET"), 200, list);
}

static void add_event(struct buf *out, const char *type, const char *object)
{
    cleanup_free char *line = xasprintf("{\"type\":\"%s\",\"object\":%s}", type, object);

    pb_write_event(out, &fake_kind_pb, line, strlen(line));
}

static void add_toy(struct buf *out, const char *type, const char *name, const char *rv)
{
    cleanup_free char *uid = xasprintf("u%s", *name == 'a' ? "" : name);
    cleanup_free char *toy = fake_toy_json("ns", name, uid, rv, "blue");

    add_event(out, type, toy);
}

static bool send(const struct buf *b)
{
    return fake_data(&fake, call_of("watch=1"), buf_str(b), b->len);
}

static void assert_watching(const char *rv)
{
    cleanup_free char *end = xasprintf("&resourceVersion=%s", rv);

    assert_int_equal(fake_calls(&fake), 1);
    assert_non_null(strstr(call_of("watch=1")->path, end));
}

static void make_watching(const char *rv)
{
    answer_list("a", rv, "");
    buf_clear(&seen);
    assert_watching(rv);
}

static void test_pages(void **state)
{
    begin();
    answer_list("a", "10", "more");
    assert_non_null(fake_find(&fake, "continue=more"));
    answer_list("b", "10", "");
    assert_seen("+a/1:red +b/1:red ");
    assert_watching("10");
}

/* Frames come as the network cuts them. */
static void test_frames(void **state)
{
    for (size_t step = 1; step < 300; step += 1 + step / 8) {
        cleanup_buf struct buf b = BUF_INIT(MAX_BYTES);

        begin();
        make_watching("10");
        add_toy(&b, "MODIFIED", "a", "11");
        add_toy(&b, "ADDED", "b", "12");
        add_toy(&b, "DELETED", "b", "13");
        add_event(&b, "BOOKMARK", "{\"metadata\":{\"resourceVersion\":\"20\"}}");
        for (size_t i = 0; i < b.len; i += step)
            assert_true(fake_data(&fake, call_of("watch=1"), b.data + i, MIN(step, b.len - i)));
        assert_seen("~a/11:blue +b/12:blue -b/12:blue ");
        fake_answer(call_of("watch=1"), 200, "");
        fake_advance(&fake, 60000);
        assert_watching("20");
        reflector_free(refl);
        refl = NULL;
        store_free(store); /* the store would remember what was deleted */
        store = store_new(&fake_kind_pb, on_change, NULL);
    }
}

/* An expired resourceVersion comes as an event or as an answer. */
static void test_expired(void **state)
{
    cleanup_buf struct buf b = BUF_INIT(MAX_BYTES);

    begin();
    make_watching("10");
    add_event(&b, "ERROR", EXPIRED);
    add_toy(&b, "ADDED", "z", "12"); /* belongs to a watch that was ended */
    assert_false(send(&b));
    make_watching("20");
    fake_advance(&fake, 2000);
    answer(call_of("watch=1"), 410, EXPIRED);
    make_watching("30");
}

/* A proxy in front of the server, or an old server, has JSON only. Each answer says itself what it
 * is. */
static void test_json(void **state)
{
    cleanup_free char *toy = fake_toy_json("ns", "c", "uc", "12", "green");
    cleanup_free char *line = xasprintf("{\"type\":\"ADDED\",\"object\":%s}", toy);
    cleanup_free char *first = fake_toy_json("ns", "a", "u", "1", "red");
    cleanup_free char *list =
        xasprintf("{\"metadata\":{\"resourceVersion\":\"20\"},\"items\":[%s]}", first);

    begin();
    make_watching("10");
    fake_line(&fake, call_of("watch=1"), line);
    assert_seen("+c/12:green ");
    fake_answer(call_of("watch=1"), 410, EXPIRED);
    fake_answer(call_of("GET"), 200, list);
    assert_seen("-c/12:green ");
    assert_watching("20");
}

static void test_bad_lists(void **state)
{
    static const char list[] = "{\"kind\":\"ToyList\",\"metadata\":{\"resourceVersion\":\"10\"},"
                               "\"items\":[]}";
    cleanup_buf struct buf b = BUF_INIT(MAX_BYTES), items = BUF_INIT(MAX_BYTES),
                           odd = BUF_INIT(MAX_BYTES), toy = BUF_INIT(MAX_BYTES);

    /* Of another kind, cut short, and with items that are numbers. */
    pb_write_answer(&b, &api_pod, list, strlen(list));
    begin();
    answer_bytes(call_of("GET"), 200, &b);
    fake_advance(&fake, 60000);
    buf_clear(&b);
    pb_write_answer(&b, &fake_kind_pb, list, strlen(list));
    buf_shorten(&b, b.len - 3);
    answer_bytes(call_of("GET"), 200, &b);
    fake_advance(&fake, 60000);
    pb_write_int(&items, 2, 7);
    pb_write_envelope(&odd, "ToyList", &items);
    answer_bytes(call_of("GET"), 200, &odd);
    assert_false(reflector_synced(refl));
    fake_advance(&fake, 60000);
    /* One object that can not be read keeps no other away. */
    buf_clear(&items);
    buf_clear(&odd);
    pb_write_bytes(&items, 1,
                   "\x12\x02"
                   "10",
                   4);
    pb_write_bytes(&items, 2, "\x08\x01", 2);
    pb_write_bytes(&toy, 1, MANY, strlen(MANY));
    pb_write_bytes(&items, 2, toy.data, toy.len);
    pb_write_envelope(&odd, "ToyList", &items);
    answer_bytes(call_of("GET"), 200, &odd);
    assert_true(reflector_synced(refl));
    assert_seen("+many/11: ");
    assert_watching("10");
}

static void test_broken_streams(void **state)
{
    static const struct {
        const char *data;
        size_t len;
    } rows[] = {
        {"\0\0\0\0", 4},       /* nothing in it */
        {"\0\xf0\0\0", 4},     /* longer than anything that is allowed */
        {"\0\0\0\x01\x0a", 5}, /* no event */
        {"\0\0\0\x05\x0a\x03"
         "ABC",
         9}, /* without an object */
        {"\0\0\0\x08\x12\x06\x0a\x04"
         "nope",
         12}, /* that is none */
    };
    char rv[8];

    begin();
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_buf struct buf b = BUF_INIT(64);

        snprintf(rv, sizeof(rv), "%zu", 10 + i);
        make_watching(rv);
        buf_append(&b, rows[i].data, rows[i].len);
        assert_false(send(&b));
        fake_advance(&fake, 60000);
    }
    make_watching("20");
}

/* A frame with a toy of these fields behind its metadata. */
static void add_frame(struct buf *out, const char *type, const char *meta, const struct buf *rest)
{
    cleanup_buf struct buf toy = BUF_INIT(MAX_BYTES), object = BUF_INIT(MAX_BYTES),
                           raw = BUF_INIT(MAX_BYTES), event = BUF_INIT(MAX_BYTES);
    unsigned char length[4];

    pb_write_bytes(&toy, 1, meta, strlen(meta));
    buf_append(&toy, rest->data, rest->len);
    pb_write_envelope(&object, "Toy", &toy);
    pb_write_bytes(&raw, 1, object.data, object.len);
    pb_write_bytes(&event, 1, type, strlen(type));
    pb_write_bytes(&event, 2, raw.data, raw.len);
    for (int i = 0; i < 4; i++)
        length[i] = (unsigned char)(event.len >> (24 - 8 * i));
    buf_append(out, length, sizeof(length));
    buf_append(out, event.data, event.len);
}

/* In pieces, as it comes over a connection. */
static void send_pieces(const struct buf *b)
{
    for (size_t at = 0; at < b->len; at += 65536)
        assert_true(fake_data(&fake, call_of("watch=1"), b->data + at, MIN(b->len - at, 65536)));
}

/* An event whose tree, or whose frame, would be too large: its metadata are in front. */
static void test_objects_that_are_too_large(void **state)
{
    cleanup_buf struct buf spec = BUF_INIT(MAX_BYTES), rest = BUF_INIT(MAX_BYTES),
                           b = BUF_INIT(MAX_BYTES);
    static char text[LIMIT_OBJECT_BYTES];

    begin();
    make_watching("10");
    pb_write_bytes(&spec, 1, "red", 3);
    for (size_t i = 0; i < LIMIT_JSON_TREE_BYTES / 960 + 1; i++)
        pb_write_bytes(&spec, 2, "", 0);
    pb_write_bytes(&rest, 2, spec.data, spec.len);
    add_frame(&b, "ADDED", MANY, &rest);
    send_pieces(&b);
    assert_seen("+many/11: cut ");

    buf_clear(&rest);
    buf_clear(&b);
    pb_write_bytes(&rest, 9, text, sizeof(text));
    add_frame(&b, "ADDED", WIDE, &rest);
    add_toy(&b, "ADDED", "c", "13");
    send_pieces(&b);
    assert_seen("+wide/12: cut +c/13:blue ");

    buf_clear(&b);
    add_frame(&b, "DELETED", WIDE, &rest);
    send_pieces(&b);
    assert_seen("-wide/12: cut ");
}

/* The metadata are too long as well. The watch has a gap then, and a list fills it. */
static void test_head_is_too_large(void **state)
{
    cleanup_buf struct buf rest = BUF_INIT(MAX_BYTES), b = BUF_INIT(MAX_BYTES);
    cleanup_buf struct buf meta = BUF_INIT(MAX_BYTES);
    static char name[LIMIT_OBJECT_BYTES];

    begin();
    make_watching("10");
    memset(name, 'x', sizeof(name));
    pb_write_bytes(&meta, 1, name, sizeof(name));
    add_frame(&b, "ADDED", buf_str(&meta), &rest);
    for (size_t at = 0; at < b.len; at += 65536)
        if (!fake_data(&fake, call_of("watch=1"), b.data + at, MIN(b.len - at, 65536)))
            break;
    fake_advance(&fake, 60000);
    make_watching("20");
}

struct outcome {
    enum kube_reason reason;
    int64_t retry_after_ms;
    char message[256];
    char rv[32];
};

static void on_done(void *arg, struct kube_result *res)
{
    struct outcome *o = arg;

    o->reason = res->reason;
    o->retry_after_ms = res->retry_after_ms;
    snprintf(o->message, sizeof(o->message), "%s", res->message);
    snprintf(o->rv, sizeof(o->rv), "%s", res->object ? res->object->rv : "");
}

static void test_verbs(void **state)
{
    cleanup_free char *toy = fake_toy_json("ns", "a", "u", "7", "red");
    struct outcome o = {0};

    kube_get(&fake.ops, KUBE_TO_CLAIM, &fake_kind_pb, "ns", "a", on_done, &o);
    answer(call_of("GET"), 200, toy);
    assert_int_equal(o.reason, KUBE_OK);
    assert_string_equal(o.rv, "7");
    kube_patch(&fake.ops, KUBE_TO_CLAIM, &fake_kind_pb, "ns", "a", NULL, "{}", on_done, &o);
    assert_string_equal(call_of("PATCH")->content_type, "application/merge-patch+json");
    assert_string_equal(call_of("PATCH")->body, "{}");
    answer(call_of("PATCH"), 409,
           "{\"kind\":\"Status\",\"code\":409,\"reason\":\"Conflict\","
           "\"message\":\"another version\",\"details\":{}}");
    assert_int_equal(o.reason, KUBE_CONFLICT);
    assert_string_equal(o.message, "another version");
    /* The server sends retryAfterSeconds as 0: that is no time to wait. */
    assert_int_equal(o.retry_after_ms, -1);
    kube_create(&fake.ops, KUBE_TO_CLAIM, &fake_kind_pb, "ns", "{}", on_done, &o);
    answer(call_of("POST"), 403,
           "{\"kind\":\"Status\",\"code\":403,\"reason\":\"Forbidden\",\"details\":{\"causes\":[{"
           "\"reason\":\"NamespaceTerminating\"}],\"retryAfterSeconds\":3}}");
    assert_int_equal(o.reason, KUBE_NAMESPACE_TERMINATING);
    assert_int_equal(o.retry_after_ms, 3000);
    /* Another object than was asked for. */
    kube_patch(&fake.ops, KUBE_TO_CLAIM, &fake_kind_pb, "ns", "a", NULL, "{}", on_done, &o);
    answer(call_of("PATCH"), 200, "{\"kind\":\"Status\",\"code\":200}");
    assert_int_equal(o.reason, KUBE_SERVER_ERROR);
    assert_string_equal(o.message, "an object of another kind: Status");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_pages),
        TEST(test_frames),
        TEST(test_expired),
        TEST(test_json),
        TEST(test_bad_lists),
        TEST(test_broken_streams),
        TEST(test_objects_that_are_too_large),
        TEST(test_head_is_too_large),
        TEST(test_verbs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
