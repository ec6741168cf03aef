/*
 * What too much of something does to the whole operator above the seam: objects that are too large,
 * writes that are refused again and again, a standby that only follows.
 */
#include "tests/unit/unit.h"

#include "tests/unit/manager_rig.h"

#include "common/base/limits.h"

#define EVENTS "POST /api/v1/namespaces/ns/events"

/* ---- keys ------------------------------------------------------------------------------------ */

/* A number that /debug/state shows. */
static int64_t debug_number(struct rig *r, const char *name)
{
    cleanup_buf struct buf out = BUF_INIT(1 << 20);
    cleanup_json struct json_object *obj = NULL;
    int64_t n = -1;

    manager_debug(r->m, &out);
    assert_int_equal(json_parse(buf_str(&out), out.len, &obj, NULL), 0);
    assert_true(json_get_int(obj, name, &n));
    return n;
}

static void test_standby_keeps_no_keys(void **state)
{
    struct rig *r = *state;

    manager_set_active(r->m, false);
    start(r, pod_object(r, "a", NULL), pool_object(r, 1), NULL, NULL);
    for (int i = 0; i < 100; i++) {
        cleanup_free char *name = xasprintf("t%d", i);

        watch(r, "tasks", "ADDED", task_object(r, name, ""));
        watch(r, "tasks", "DELETED", task_object(r, name, ""));
        watch(r, "sandboxes", "ADDED", sandbox_object(r, name, ""));
        watch(r, "sandboxes", "DELETED", sandbox_object(r, name, ""));
    }
    assert_int_equal(debug_number(r, "queue"), 0);
    assert_int_equal(debug_number(r, "queueDelayed"), 0);
    assert_int_equal(debug_number(r, "states"), 0);
    manager_set_active(r->m, true);
    turn(r);
    assert_call(r, POOL_STATUS); /* it acts all the same once it may */
}

static void test_keys_of_what_is_gone_are_forgotten(void **state)
{
    struct rig *r = *state;

    start(r, NULL, pool_object(r, 1), NULL, NULL);
    answer_status(r, CREATE_POD, 403, "Forbidden");
    answer_status(r, POOL_STATUS, 403, "Forbidden");
    assert_int_equal(debug_number(r, "failingTotal"), 1);
    watch(r, "warmpools", "DELETED", pool_object(r, 1));
    fake_advance(&r->ops, 60000);
    turn(r);
    assert_int_equal(debug_number(r, "failingTotal"), 0);
}

/* ---- writes that are refused ----------------------------------------------------------------- */

static void run_task(struct rig *r)
{
    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    run_events(r, 1);
}

/* Changes of the task do not make the operator try again before its time; one Event tells of the
 * refusal. */
static void test_refused_result_waits(void **state)
{
    struct rig *r = *state;
    int writes = 0, events = 0;

    run_task(r);
    for (int s = 0; s < 1200; s++) {
        if (fake_find(&r->ops, TASK_STATUS)) {
            writes++;
            answer_status(r, TASK_STATUS, 403, "Forbidden");
        }
        if (fake_find(&r->ops, EVENTS)) {
            events++;
            assert_non_null(strstr(fake_find(&r->ops, EVENTS)->body, "\"StatusRefused\""));
            answer(r, EVENTS, 201, "{}");
        }
        watch(r, "sandboxes", "MODIFIED", sandbox_object(r, "s", READY));
        fake_advance(&r->ops, 1000);
        turn(r);
    }
    assert_in_range(writes, 10, 14);
    assert_int_equal(events, 1);
    fake_advance(&r->ops, 300000);
    turn(r);
    answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Succeeded\""));
    assert_no_call(r, TASK_STATUS);
}

static void answer_too_large(struct rig *r)
{
    answer(r, TASK_STATUS, 500,
           "{\"kind\":\"Status\",\"code\":500,\"message\":\"etcdserver: request is too large\"}");
    fake_advance(&r->ops, 30000);
    turn(r);
}

static void test_result_is_cut_until_it_fits(void **state)
{
    struct rig *r = *state;
    static char text[LIMIT_EVENT_CHUNK_BYTES];
    size_t len[6] = {0};

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    memset(text, 'x', sizeof(text));
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_STEP});
    for (uint64_t i = 0; i < 10; i++)
        event(r, PUT,
              (struct task_event){.seq = 2 + i,
                                  .type = TASK_EVENT_OUT,
                                  .fd = 1,
                                  .data = text,
                                  .data_len = sizeof(text)});
    event(r, PUT, (struct task_event){.seq = 12, .type = TASK_EVENT_EXIT});
    event(r, PUT, (struct task_event){.seq = 13, .type = TASK_EVENT_END});
    for (size_t i = 0; i < ARRAY_SIZE(len); i++) {
        assert_call(r, TASK_STATUS);
        len[i] = strlen(fake_find(&r->ops, TASK_STATUS)->body);
        if (i < ARRAY_SIZE(len) - 1)
            answer_too_large(r);
    }
    assert_true(len[0] > 600000);
    assert_in_range(len[1], 128 << 10, 256 << 10);
    assert_in_range(len[2], 32 << 10, 64 << 10);
    assert_in_range(len[3], 8 << 10, 16 << 10);
    assert_true(len[4] < 1500); /* without output */
    assert_int_equal(len[5], len[4]);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"state\":\"Succeeded\""));
    assert_non_null(strstr(fake_find(&r->ops, EVENTS)->body, "\"StatusRefused\""));
}

/* ---- specs that leave no room ---------------------------------------------------------------- */

static char *large_task(struct rig *r, const char *name, size_t bytes, char fill)
{
    cleanup_free char *content = xmalloc(bytes + 1);
    cleanup_free char *rest = NULL;

    memset(content, fill, bytes);
    content[bytes] = '\0';
    rest = xasprintf("\"spec\":{\"sandboxRef\":\"s\",\"steps\":[{\"name\":\"x\",\"type\":"
                     "\"FilePatch\",\"path\":\"f\",\"content\":\"%s\"}]}",
                     content);
    return object(r, name, "", rest);
}

static void expect_too_large(struct rig *r, size_t bytes, char fill)
{
    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", large_task(r, "t", bytes, fill));
    assert_no_call(r, "PUT");
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"SpecTooLarge\""));
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"state\":\"Failed\""));
}

static void test_spec_without_room_fails(void **state)
{
    expect_too_large(*state, 1572864 - 5500, 'x');
}

/* The API server stores six bytes for one of these. */
static void test_spec_that_is_stored_longer_fails(void **state)
{
    expect_too_large(*state, (1572864 - 5500) / 6, '<');
}

/* No status fits: an Event tells, nothing is written again and again, and the line goes on. */
static void test_spec_without_any_room_is_told(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", large_task(r, "l", 1572864 - 2600, 'x'));
    assert_non_null(strstr(fake_find(&r->ops, EVENTS)->body, "\"SpecTooLarge\""));
    assert_no_call(r, "tasks/l/status");
    assert_no_call(r, "PUT");
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    assert_call(r, PUT);
}

/* The operator took the status for small enough, and etcd refuses it. */
static void test_sentence_that_does_not_fit_is_told(void **state)
{
    struct rig *r = *state;

    expect_too_large(r, 1572864 - 5500, 'x');
    answer_too_large(r);
    assert_non_null(strstr(fake_find(&r->ops, EVENTS)->body, "\"SpecTooLarge\""));
    assert_no_call(r, TASK_STATUS);
    watch(r, "tasks", "ADDED", task_object(r, "u", ""));
    assert_call(r, "PUT /v1/tasks/uid-u/1");
    assert_no_call(r, TASK_STATUS);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

/* ---- many writes at once ----------------------------------------------------------------------
 */

#define MANY 600
#define AT_ONCE 48 /* writes of a namespace */

static size_t status_writes(const struct rig *r, const char *ns)
{
    cleanup_free char *path = xasprintf("/namespaces/%s/tasks/", ns);
    size_t n = 0;

    list_for_each (it, &r->ops.calls)
        n += strstr(list_entry(it, struct ops_call, link)->path, path) != NULL;
    return n;
}

static char *task_in(struct rig *r, const char *ns, int i, const char *status)
{
    return xasprintf("{\"metadata\":{\"namespace\":\"%s\",\"name\":\"t%d\",\"uid\":\"uid-%d\","
                     "\"resourceVersion\":\"%u\",\"creationTimestamp\":\"2026-01-02T03:04:05Z\"},"
                     "\"spec\":{\"sandboxRef\":\"s\",\"steps\":[]},\"status\":{%s}}",
                     ns, i, i, ++r->rv, status);
}

/* A task that can never run: its status has to say so at once. */
static char *bad_task(struct rig *r, const char *ns, int i)
{
    return task_in(r, ns, i, "");
}

static char *ended_task(struct rig *r, const char *ns, int i)
{
    return task_in(r, ns, i, "\"state\":\"Succeeded\"");
}

/* The other keys are parked, as the metric and the debug pages say; the last task is one of
 * them. */
static void expect_parked(struct rig *r, size_t count)
{
    cleanup_buf struct buf metrics = BUF_INIT(1 << 20), key = BUF_INIT(1 << 20);
    cleanup_free char *line = xasprintf("\narl_queue_parked %zu\n", count);
    cleanup_json struct json_object *obj = NULL;

    assert_int_equal(debug_number(r, "queueParked"), count);
    manager_metrics(r->m, &metrics);
    assert_non_null(strstr(buf_str(&metrics), line));
    assert_true(manager_debug_key(r->m, "task/noisy/t599", &key));
    assert_int_equal(json_parse(buf_str(&key), key.len, &obj, NULL), 0);
    assert_string_equal(json_get_str(json_get(obj, "queue"), "state"), "parked");
}

/* Writes that wait take memory, and are in front of the writes of others. */
static void test_writes_of_a_namespace_are_bounded(void **state)
{
    struct rig *r = *state;
    char *all = bad_task(r, "noisy", 0);
    size_t written = 0;

    for (int i = 1; i < MANY; i++)
        all = join(all, bad_task(r, "noisy", i));
    start(r, NULL, NULL, NULL, all);
    for (int i = 0; i < MANY / 16; i++)
        turn(r);
    assert_int_equal(status_writes(r, "noisy"), AT_ONCE);
    expect_parked(r, MANY - status_writes(r, "noisy"));
    watch(r, "tasks", "ADDED", bad_task(r, "quiet", MANY));
    turn(r);
    assert_int_equal(status_writes(r, "quiet"), 1);
    while (fake_find(&r->ops, "/namespaces/noisy/tasks/")) {
        answer_status(r, "/namespaces/noisy/tasks/", 404, "NotFound");
        assert_in_range(status_writes(r, "noisy"), 0, AT_ONCE);
        written++;
    }
    assert_int_equal(written, MANY);
    assert_int_equal(debug_number(r, "queueParked"), 0);
}

/* A webhook of the namespace is slow. The keys behind its writes have nothing to write. */
static void test_keys_that_write_nothing_do_not_wait_for_writes(void **state)
{
    struct rig *r = *state;
    char *all = bad_task(r, "noisy", 0);

    for (int i = 1; i < AT_ONCE; i++)
        all = join(all, bad_task(r, "noisy", i));
    start(r, NULL, NULL, NULL, all);
    fake_advance(&r->ops, 1);
    assert_int_equal(status_writes(r, "noisy"), AT_ONCE);
    for (int i = AT_ONCE; i < MANY; i++)
        watch(r, "tasks", "ADDED", ended_task(r, "noisy", i));
    assert_in_range(debug_number(r, "queueParked"), MANY - AT_ONCE, MANY);
    answer_status(r, "/namespaces/noisy/tasks/", 404, "NotFound");
    fake_advance(&r->ops, 1);
    assert_int_equal(debug_number(r, "queueParked"), 0);
    assert_int_equal(status_writes(r, "noisy"), AT_ONCE - 1);
}

/* Answers so many writes; the operator has no turn after them. */
static void answer_some(struct rig *r, const char *ns, int count)
{
    cleanup_free char *path = xasprintf("/namespaces/%s/tasks/", ns);

    for (int i = 0; i < count; i++)
        fake_answer(
            fake_find(&r->ops, path), 404,
            "{\"kind\":\"Status\",\"status\":\"Failure\",\"code\":404,\"reason\":\"NotFound\"}");
}

static void expect_writes(struct rig *r, const char *ns, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        cleanup_free char *path = xasprintf("/namespaces/%s/tasks/t%d/status", ns, i);

        assert_call(r, path);
    }
}

/* Namespaces without parked keys take no turn from one that has some. */
static void test_keys_that_wait_keep_their_order(void **state)
{
    static const char *const others[] = {"b0", "b1", "b2", "b3", "b4", "b5"};
    struct rig *r = *state;
    char *all = bad_task(r, "noisy", 0);

    for (int i = 1; i < 300; i++)
        all = join(all, bad_task(r, "noisy", i));
    for (size_t b = 0; b < ARRAY_SIZE(others); b++)
        for (int i = 0; i <= AT_ONCE; i++)
            all = join(all, bad_task(r, others[b], (int)(b + 1) * 1000 + i));
    start(r, NULL, NULL, NULL, all);
    for (int i = 0; i < 100; i++)
        turn(r);
    assert_int_equal(debug_number(r, "queueParked"), 300 - AT_ONCE + (int)ARRAY_SIZE(others));
    for (size_t b = 0; b < ARRAY_SIZE(others); b++)
        answer_some(r, others[b], 1);
    answer_some(r, "noisy", 5);
    turn(r);
    expect_writes(r, "noisy", AT_ONCE, 5);
    assert_int_equal(debug_number(r, "queueParked"), 300 - AT_ONCE - 5);
    answer_some(r, "noisy", 5);
    turn(r);
    expect_writes(r, "noisy", AT_ONCE + 5, 5);
}

/* ---- many pods of one pool -------------------------------------------------------------------
 */

#define PODS 500
#define DELETE_POD "DELETE /api/v1/namespaces/ns/pods/"
#define OWNED ",\"ownerReferences\":[{\"kind\":\"WarmPool\",\"uid\":\"uid-p\",\"controller\":true}]"

static char *pods_object(struct rig *r, const char *owner, const char *status)
{
    cleanup_free char *rest = xasprintf("\"status\":{%s}", status);
    cleanup_free char *md =
        xasprintf(",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"idle\"},"
                  "\"annotations\":{\"arl.infra.io/wire-version\":\"2\",\"arl.infra.io/"
                  "template-hash\":\"of-before\",\"arl.infra.io/signing-key\":\"k\"}%s",
                  owner);
    char *all = object(r, "a0", md, rest);

    for (int i = 1; i < PODS; i++) {
        cleanup_free char *name = xasprintf("a%d", i);

        all = join(all, object(r, name, md, rest));
    }
    return all;
}

static size_t deletes(const struct rig *r)
{
    size_t n = 0;

    list_for_each (it, &r->ops.calls)
        n += strcmp(list_entry(it, struct ops_call, link)->method, "DELETE") == 0;
    return n;
}

/* A few pods at a time are deleted, for whatever reason, and in the end all of them. */
static void expect_all_deleted(struct rig *r)
{
    size_t answered = 0;

    assert_in_range(deletes(r), 1, 16);
    for (; deletes(r) > 0; answered++) {
        answer(r, DELETE_POD, 200, "{\"kind\":\"Status\",\"status\":\"Success\"}");
        assert_in_range(deletes(r), 0, 16);
    }
    assert_int_equal(answered, PODS);
}

static void test_pool_that_is_scaled_down_deletes_some_at_once(void **state)
{
    struct rig *r = *state;

    start(r, pods_object(r, OWNED, "\"phase\":\"Running\""), pool_object(r, 0), NULL, NULL);
    expect_all_deleted(r);
}

static void test_pool_that_rolls_deletes_some_at_once(void **state)
{
    struct rig *r = *state;

    start(r, pods_object(r, OWNED, "\"phase\":\"Running\""), pool_object(r, PODS), NULL, NULL);
    expect_all_deleted(r);
}

static void test_pods_that_have_ended_are_deleted_some_at_once(void **state)
{
    struct rig *r = *state;

    start(r, pods_object(r, OWNED, "\"phase\":\"Failed\""), pool_object(r, 1), NULL, NULL);
    expect_all_deleted(r);
}

static void test_pods_of_a_pool_that_goes_are_deleted_some_at_once(void **state)
{
    struct rig *r = *state;
    char *all = pod_object(r, "a0", NULL);

    for (int i = 1; i < PODS; i++) {
        cleanup_free char *name = xasprintf("a%d", i);

        all = join(all, pod_object(r, name, NULL));
    }
    start(r, all, pool_object(r, PODS), NULL, NULL);
    assert_int_equal(deletes(r), 0);
    watch(r, "warmpools", "DELETED", pool_object(r, PODS));
    expect_all_deleted(r);
}

static void test_orphans_are_deleted_some_at_once(void **state)
{
    struct rig *r = *state;

    start(r, pods_object(r, "", ""), NULL, NULL, NULL);
    expect_all_deleted(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_standby_keeps_no_keys),
        T(test_keys_of_what_is_gone_are_forgotten),
        T(test_refused_result_waits),
        T(test_result_is_cut_until_it_fits),
        T(test_spec_without_room_fails),
        T(test_spec_that_is_stored_longer_fails),
        T(test_writes_of_a_namespace_are_bounded),
        T(test_keys_that_write_nothing_do_not_wait_for_writes),
        T(test_keys_that_wait_keep_their_order),
        T(test_pool_that_is_scaled_down_deletes_some_at_once),
        T(test_pool_that_rolls_deletes_some_at_once),
        T(test_pods_that_have_ended_are_deleted_some_at_once),
        T(test_pods_of_a_pool_that_goes_are_deleted_some_at_once),
        T(test_orphans_are_deleted_some_at_once),
        T(test_spec_without_any_room_is_told),
        T(test_sentence_that_does_not_fit_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
