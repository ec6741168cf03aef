#include <errno.h>
#include <stdio.h>

#include <json-c/json.h>

#include "common/base/json.h"
#include "operator/kube/events.h"
#include "tests/unit/fake_kind.h"
#include "tests/unit/fake_ops.h"

#include "tests/unit/unit.h"

static struct fake_ops fake;
static struct events *events;

static int setup(void **state)
{
    fake_ops_init(&fake);
    events = events_new(&fake.ops, "pod-1");
    return 0;
}

static int teardown(void **state)
{
    events_free(events);
    fake_ops_done(&fake);
    return 0;
}

static const char *trace;

static void add(const char *name, const char *message)
{
    events_add(events, &fake_kind, "ns", name, "u1", trace, true, "Failed", message);
}

static void test_event(void **state)
{
    cleanup_json struct json_object *obj = NULL;
    const struct ops_call *call;

    add("a", "it \"broke\"");
    call = fake_find(&fake, "POST /api/v1/namespaces/ns/events?");
    assert_non_null(call);
    assert_int_equal(json_parse(call->body, strlen(call->body), &obj, NULL), 0);
    assert_string_equal(json_get_str(obj, "type"), "Warning");
    assert_string_equal(json_get_str(obj, "reason"), "Failed");
    assert_string_equal(json_get_str(obj, "message"), "it \"broke\"");
    assert_string_equal(json_get_str(obj, "firstTimestamp"), "2026-01-02T03:04:05Z");
    assert_string_equal(json_get_str(obj, "reportingInstance"), "pod-1");
    assert_ptr_equal(strstr(json_get_str(json_get(obj, "metadata"), "name"), "a."),
                     json_get_str(json_get(obj, "metadata"), "name"));
    assert_string_equal(json_get_str(json_get(obj, "involvedObject"), "kind"), "Toy");
    assert_string_equal(json_get_str(json_get(obj, "involvedObject"), "uid"), "u1");
    fake_answer(fake_find(&fake, ""), 201, "{}");
    assert_int_equal(events_dropped(events), 0);
}

static void test_trace(void **state)
{
    cleanup_json struct json_object *obj = NULL;
    struct json_object *annotations;
    const struct ops_call *call;

    trace = "span \"1\"";
    add("a", "it broke");
    trace = NULL;
    call = fake_find(&fake, "POST /api/v1/namespaces/ns/events?");
    assert_int_equal(json_parse(call->body, strlen(call->body), &obj, NULL), 0);
    annotations = json_get(json_get(obj, "metadata"), "annotations");
    assert_string_equal(json_get_str(annotations, "arl.infra.io/trace-id"), "span \"1\"");
}

static void test_repeats(void **state)
{
    add("a", "one");
    add("a", "one"); /* too soon to be told: it is counted with the next one */
    add("a", "two");
    assert_int_equal(fake_calls(&fake), 1); /* one at a time */
    fake_answer(fake_find(&fake, ""), 201, "{}");
    assert_int_equal(fake_calls(&fake), 1);
    fake_answer(fake_find(&fake, ""), 201, "{}");
    assert_int_equal(fake_calls(&fake), 0);
    fake_advance(&fake, EVENTS_REPEAT_MS - 1);
    add("a", "one");
    assert_int_equal(fake_calls(&fake), 1);
    assert_non_null(fake_find(&fake, "PATCH "));
    fake_answer(fake_find(&fake, ""), 200, "{}");
    fake_advance(&fake, 1);
    add("a", "one");
    assert_int_equal(fake_calls(&fake), 1);
    assert_non_null(fake_find(&fake, "POST "));
    assert_int_equal(fake.started, 4);
}

/* The same again counts up the same Event, and is written once in a few seconds at most. */
static void test_counts(void **state)
{
    cleanup_json struct json_object *obj = NULL, *again = NULL;
    cleanup_free char *path = NULL;
    const struct ops_call *call;

    add("a", "one");
    call = fake_find(&fake, "POST ");
    assert_int_equal(json_parse(call->body, strlen(call->body), &obj, NULL), 0);
    fake_answer(fake_find(&fake, ""), 201, "{}");
    fake_advance(&fake, EVENTS_COUNT_MS - 1);
    add("a", "one");
    assert_int_equal(fake_calls(&fake), 0);
    fake_advance(&fake, 1);
    add("a", "one");
    path = xasprintf("PATCH /api/v1/namespaces/ns/events/%s?",
                     json_get_str(json_get(obj, "metadata"), "name"));
    call = fake_find(&fake, path);
    assert_non_null(call);
    assert_int_equal(json_parse(call->body, strlen(call->body), &again, NULL), 0);
    assert_string_equal(json_object_to_json_string_ext(json_get(again, "count"), 0), "3");
    assert_non_null(json_get(again, "lastTimestamp"));
    fake_answer(fake_find(&fake, ""), 404, "{}"); /* the Event is gone, and stays so */
    assert_int_equal(fake_calls(&fake), 0);
}

static void test_bounds(void **state)
{
    char message[EVENTS_MESSAGE_MAX * 3];
    char name[400];

    memset(message, '\x01', sizeof(message)); /* six bytes each, escaped */
    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    message[sizeof(message) - 1] = '\0';
    add(name, message);
    for (int i = 0; i < EVENTS_QUEUE_MAX + 5; i++) {
        snprintf(name, sizeof(name), "%d", i);
        add("a", name);
    }
    assert_int_equal(events_dropped(events), 5);
    fake_fail(fake_find(&fake, ""), -ECONNREFUSED, false);
    assert_int_equal(events_dropped(events), 6);
    assert_int_equal(fake_calls(&fake), 1); /* the next one is tried all the same */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(test_event), TEST(test_trace), TEST(test_repeats),
                                       TEST(test_counts), TEST(test_bounds)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
