#include <errno.h>
#include <stdio.h>

#include "operator/kube/client.h"
#include "tests/unit/fake_kind.h"
#include "tests/unit/fake_ops.h"

#include "tests/unit/unit.h"

#define TOYS "/apis/toys.example.com/v1/namespaces/ns/toys"

static struct fake_ops fake;

struct outcome {
    int count;
    enum kube_reason reason;
    int http_status;
    bool maybe_applied;
    int64_t retry_after_ms;
    char message[256];
    char object[256]; /* "ns/name/uid@rv", "" for none */
    struct meta *taken;
    bool take;
    struct kube_call *cancel;
};

static void on_done(void *arg, struct kube_result *res)
{
    struct outcome *o = arg;
    const struct meta *m = res->object;

    o->count++;
    o->reason = res->reason;
    o->http_status = res->http_status;
    o->maybe_applied = res->maybe_applied;
    o->retry_after_ms = res->retry_after_ms;
    snprintf(o->message, sizeof(o->message), "%s", res->message);
    o->object[0] = '\0';
    if (m)
        snprintf(o->object, sizeof(o->object), "%s/%s/%s@%s", m->ns, m->name, m->uid, m->rv);
    if (o->take)
        o->taken = kube_result_take_object(res);
    kube_cancel(o->cancel);
}

static int setup(void **state)
{
    fake_ops_init(&fake);
    return 0;
}

static int teardown(void **state)
{
    fake_ops_done(&fake);
    assert_int_equal(fake_toys_alive, 0);
    return 0;
}

static void test_requests(void **state)
{
    struct outcome o = {0};
    cleanup_free char *toy = fake_toy_json("ns", "a", "u1", "7", "red");
    struct ops_call *call;

    kube_get(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "a", on_done, &o);
    call = fake_find(&fake, "");
    assert_string_equal(call->method, "GET");
    assert_string_equal(call->path, TOYS "/a");
    assert_int_equal(call->target, OPS_API);
    assert_int_equal(call->timeout_ms, KUBE_CALL_TIMEOUT_MS);
    assert_null(call->content_type);
    fake_answer(call, 200, toy);
    assert_int_equal(o.reason, KUBE_OK);
    assert_string_equal(o.object, "ns/a/u1@7");
    assert_string_equal(o.message, "");

    kube_create(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "{\"x\":1}", on_done, &o);
    call = fake_find(&fake, "");
    assert_string_equal(call->method, "POST");
    assert_string_equal(call->path, TOYS "?fieldManager=arl-operator");
    assert_string_equal(call->content_type, "application/json");
    assert_string_equal(call->body, "{\"x\":1}");
    fake_answer(call, 201, toy);
    assert_int_equal(o.reason, KUBE_OK);

    kube_patch(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "a", "status", "{}", on_done, &o);
    call = fake_find(&fake, "");
    assert_string_equal(call->method, "PATCH");
    assert_string_equal(call->path, TOYS "/a/status?fieldManager=arl-operator");
    assert_string_equal(call->content_type, "application/merge-patch+json");
    fake_answer(call, 200, toy);
    kube_patch(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "../a b?", NULL, "{}", on_done, &o);
    call = fake_find(&fake, "");
    assert_string_equal(call->path, TOYS "/..%2Fa%20b%3F?fieldManager=arl-operator");
    fake_answer(call, 200, toy);
    assert_int_equal(o.count, 4);
}

static void test_delete(void **state)
{
    struct outcome o = {0};
    struct ops_call *call;

    kube_delete(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "a", "u1", "7", 0, on_done, &o);
    call = fake_find(&fake, "DELETE " TOYS "/a");
    assert_string_equal(call->body, "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\","
                                    "\"gracePeriodSeconds\":0,\"preconditions\":{\"uid\":\"u1\","
                                    "\"resourceVersion\":\"7\"}}");
    fake_answer(call, 200, "{\"kind\":\"Status\",\"status\":\"Success\"}");
    assert_int_equal(o.reason, KUBE_OK);
    assert_string_equal(o.object, "");
    kube_delete(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "a", NULL, NULL, -1, NULL, NULL);
    call = fake_find(&fake, "DELETE");
    assert_string_equal(call->body, "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\"}");
    fake_answer(call, 404, "");
}

static const struct {
    int http;
    const char *body;
    enum kube_reason want;
    bool maybe_applied;
    const char *message;
} answers[] = {
    {404, "{\"reason\":\"NotFound\",\"message\":\"no a\"}", KUBE_NOT_FOUND, false, "no a"},
    {404, "404 page not found\n", KUBE_NOT_FOUND, false, "HTTP status 404: 404 page not found"},
    {409, "{\"reason\":\"AlreadyExists\"}", KUBE_ALREADY_EXISTS, false, "HTTP status 409"},
    {409, "{\"reason\":\"Conflict\"}", KUBE_CONFLICT, false, "HTTP status 409"},
    {409, "", KUBE_CONFLICT, false, "HTTP status 409"},
    {422, "{\"reason\":\"Invalid\",\"message\":\"bad\"}", KUBE_INVALID, false, "bad"},
    {400, "{\"reason\":\"BadRequest\"}", KUBE_INVALID, false, "HTTP status 400"},
    {413, "", KUBE_TOO_LARGE, false, "HTTP status 413"},
    {413, "{\"reason\":\"RequestEntityTooLarge\",\"message\":\"limit is 3145728\"}", KUBE_TOO_LARGE,
     false, "limit is 3145728"},
    {500, "{\"message\":\"etcdserver: request is too large\",\"code\":500}", KUBE_TOO_LARGE, false,
     "etcdserver: request is too large"},
    {500,
     "{\"message\":\"rpc error: code = ResourceExhausted desc = trying to send message larger than "
     "max (3 vs. 2)\",\"code\":500}",
     KUBE_TOO_LARGE, false,
     "rpc error: code = ResourceExhausted desc = trying to send message larger than max (3 vs. 2)"},
    {500,
     "{\"reason\":\"InternalError\",\"message\":\"Internal error occurred: failed calling webhook "
     "\\\"w\\\": no\"}",
     KUBE_WEBHOOK_FAILED, false, "Internal error occurred: failed calling webhook \"w\": no"},
    {403, "{\"reason\":\"Forbidden\",\"message\":\"no\"}", KUBE_FORBIDDEN, false, "no"},
    {403,
     "{\"reason\":\"Forbidden\",\"details\":{\"causes\":[{\"reason\":\"Other\"},{\"reason\":"
     "\"NamespaceTerminating\"}]}}",
     KUBE_NAMESPACE_TERMINATING, false, "HTTP status 403"},
    {403, "{\"reason\":\"Forbidden\",\"message\":\"pods: exceeded quota: q\"}", KUBE_QUOTA_EXCEEDED,
     false, "pods: exceeded quota: q"},
    {410, "{\"reason\":\"Expired\"}", KUBE_GONE, false, "HTTP status 410"},
    {401, "{\"reason\":\"Unauthorized\"}", KUBE_UNAUTHORIZED, false, "HTTP status 401"},
    {429, "{\"reason\":\"TooManyRequests\"}", KUBE_TOO_MANY_REQUESTS, false, "HTTP status 429"},
    {500, "{\"reason\":\"InternalError\"}", KUBE_SERVER_ERROR, true, "HTTP status 500"},
    {503, "down", KUBE_SERVER_ERROR, true, "HTTP status 503: down"},
    {504, "{\"reason\":\"Timeout\",\"message\":\"slow\"}", KUBE_SERVER_ERROR, true, "slow"},
    {301, "", KUBE_SERVER_ERROR, true, "HTTP status 301"},
};

static void test_reasons(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        struct outcome o = {0};

        kube_patch(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "a", NULL, "{}", on_done, &o);
        fake_answer(fake_find(&fake, ""), answers[i].http, answers[i].body);
        assert_string_equal(kube_reason_str(o.reason), kube_reason_str(answers[i].want));
        assert_int_equal(o.maybe_applied, answers[i].maybe_applied);
        assert_string_equal(o.message, answers[i].message);
        assert_int_equal(o.http_status, answers[i].http);
        assert_int_equal(o.retry_after_ms, -1);
    }
}

static void test_retry_after(void **state)
{
    struct outcome o = {0};

    kube_get(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "a", on_done, &o);
    fake_answer(fake_find(&fake, ""), 429, "{\"details\":{\"retryAfterSeconds\":3}}");
    assert_int_equal(o.retry_after_ms, 3000);
    kube_get(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "a", on_done, &o);
    fake_answer_full(
        fake_find(&fake, ""),
        &(struct ops_response){.status = 503, .body = "", .retry_after_ms = 9000, .error_msg = ""});
    assert_int_equal(o.retry_after_ms, 9000);
    assert_false(o.maybe_applied); /* a read */
}

static void test_no_answer(void **state)
{
    struct outcome o = {0};

    kube_create(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "{}", on_done, &o);
    fake_fail(fake_find(&fake, ""), -ECONNREFUSED, false);
    assert_int_equal(o.reason, KUBE_NO_ANSWER);
    assert_false(o.maybe_applied);
    assert_string_equal(o.message, strerror(ECONNREFUSED));
    kube_create(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "{}", on_done, &o);
    fake_fail(fake_find(&fake, ""), -ETIMEDOUT, true);
    assert_int_equal(o.reason, KUBE_NO_ANSWER);
    assert_true(o.maybe_applied);
}

static void test_undecodable(void **state)
{
    struct outcome o = {0};

    kube_create(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "{}", on_done, &o);
    fake_answer(fake_find(&fake, ""), 201, "{\"metadata\":{}}");
    assert_int_equal(o.reason, KUBE_SERVER_ERROR);
    assert_true(o.maybe_applied);
    assert_true(strlen(o.message) > 0);
    kube_create(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "{}", on_done, &o);
    fake_answer(fake_find(&fake, ""), 201, "{");
    assert_int_equal(o.reason, KUBE_SERVER_ERROR);
}

static void test_take_and_cancel(void **state)
{
    struct outcome o = {.take = true};
    cleanup_free char *toy = fake_toy_json("ns", "a", "u1", "7", "red");
    struct kube_call *call = kube_get(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "a", on_done, &o);

    o.cancel = call; /* its own, which has ended */
    fake_answer(fake_find(&fake, ""), 200, toy);
    assert_string_equal(o.taken->name, "a");
    fake_kind.free(o.taken);

    o = (struct outcome){0};
    call = kube_get(&fake.ops, KUBE_TO_CLAIM, &fake_kind, "ns", "a", on_done, &o);
    kube_cancel(call);
    kube_cancel(NULL);
    assert_int_equal(fake_calls(&fake), 0);
    assert_int_equal(o.count, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_requests),        TEST(test_delete),    TEST(test_reasons),
        TEST(test_retry_after),     TEST(test_no_answer), TEST(test_undecodable),
        TEST(test_take_and_cancel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
