/* Objects and answers that nobody honest sends, and claims that are refused: they are left out, or
 * fail alone. */
#include "tests/unit/unit.h"

#include "common/base/limits.h"
#include "tests/unit/manager_rig.h"

static char *repeated(char c, size_t n)
{
    char *s = xmalloc(n + 1);

    memset(s, c, n);
    s[n] = '\0';
    return s;
}

/* The operator goes on working: a task that comes now begins. */
static void assert_works(struct rig *r)
{
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    assert_call(r, PUT);
}

static void test_names(void **state)
{
    static const struct {
        const char *name;
        bool good;
    } rows[] = {
        {"a", true},     {"a-b.c0", true}, {"0", true},     {"", false},
        {"-a", false},   {"a-", false},    {".a", false},   {"a.", false},
        {"a..b", false}, {"a.-b", false},  {"a-.b", false}, {"A", false},
        {"a/b", false},  {"a b", false},   {"a\n", false},  {"\xc3\xa4", false},
    };
    cleanup_free char *longest = repeated('a', LIMIT_NAME_BYTES);
    cleanup_free char *longer = repeated('a', LIMIT_NAME_BYTES + 1);

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (is_dns_name(rows[i].name) != rows[i].good)
            fail_msg("%s", rows[i].name);
    assert_true(is_dns_name(longest));
    assert_false(is_dns_name(longer));
    assert_false(is_dns_name(NULL));
    assert_true(meta_is_ip("fd00::1"));
    assert_false(meta_is_ip("10.0.0.1@evil"));
    assert_false(meta_is_uid("a/b"));
}

static void test_cut_copies(void **state)
{
    cleanup_free char *same = xstrdup_max("abc", 3), *cut = xstrdup_max("ab\xc3\xa4", 3);

    assert_string_equal(same, "abc");
    assert_string_equal(cut, "ab");
    assert_null(xstrdup_max(NULL, 3));
}

/* Names that are too long: in a pod's owner, in its labels, and its own. */
static void test_pods_of_nobody(void **state)
{
    struct rig *r = *state;
    cleanup_free char *name = repeated('a', 600);
    cleanup_free char *owner = xasprintf(
        ",\"labels\":{\"arl.infra.io/pool\":\"p\"},\"ownerReferences\":[{\"kind\":\"Sandbox\","
        "\"name\":\"%s\",\"uid\":\"uid-p\",\"controller\":true}]",
        name);
    cleanup_free char *labels = xasprintf(",\"labels\":{\"arl.infra.io/pool\":\"%s\","
                                          "\"arl.infra.io/sandbox\":\"%s\"}",
                                          name, name);
    static const char ready[] = "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.9\","
                                "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}";

    start_with_sandbox(r);
    watch(r, "pods", "ADDED", object(r, "b", owner, ready));
    watch(r, "pods", "ADDED", object(r, "c", labels, ready));
    watch(r, "pods", "ADDED", object(r, name, "", ready));
    watch(r, "pods", "DELETED", object(r, name, "", ready));
    /* A pod whose owner makes no sense is not idle for that reason. */
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "w", ""));
    assert_no_call(r, POD_B);
    assert_works(r);
}

static void test_sandboxes_that_name_nothing(void **state)
{
    struct rig *r = *state;
    cleanup_free char *name = repeated('b', 600);
    cleanup_free char *spec = xasprintf("\"spec\":{\"poolRef\":\"%s\"}", name);
    cleanup_free char *too_long = repeated('c', LIMIT_LABEL_BYTES + 1);
    cleanup_free char *status = xasprintf("sandboxes/%s/status", too_long);

    start_with_sandbox(r);
    watch(r, "sandboxes", "ADDED", object(r, "x", "", spec));
    assert_non_null(strstr(fake_find(&r->ops, "sandboxes/x/status")->body, "InvalidSpec"));
    watch(r, "sandboxes", "ADDED",
          object(r, too_long, ",\"uid\":\"u\"", "\"spec\":{\"poolRef\":\"p\"}"));
    assert_non_null(strstr(fake_find(&r->ops, status)->body, "63 are the limit"));
    /* A pod's UID without its name, as whoever may write the status can put there. */
    watch(r, "sandboxes", "ADDED",
          sandbox_object(r, "y", "\"phase\":\"Ready\",\"podUID\":\"uid-y\""));
    assert_non_null(strstr(fake_find(&r->ops, "sandboxes/y/status")->body, "PodLost"));
    assert_works(r);
}

static void test_tasks_that_name_nothing(void **state)
{
    struct rig *r = *state;
    cleanup_free char *name = repeated('d', 600);
    cleanup_free char *spec =
        xasprintf("\"spec\":{\"sandboxRef\":\"%s\",\"traceID\":\"%s\",\"steps\":[{}]}", name, name);

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", object(r, "x", "", spec));
    assert_non_null(strstr(fake_find(&r->ops, "tasks/x/status")->body, "InvalidSpec"));
    watch(r, "tasks", "DELETED", object(r, "x", "", spec));
    assert_works(r);
}

/* The agent's answer has names that are none, or is too long: that counts as no answer. */
static void test_answers_of_an_agent(void **state)
{
    struct rig *r = *state;
    cleanup_free char *name = repeated('A', 700), *long_name = repeated('a', 700);
    cleanup_free char *big = repeated(' ', LIMIT_AGENT_ANSWER_BYTES);
    char *answers[] = {
        xasprintf("{\"running\":[{\"attempt\":\"uid-x/1\",\"task\":\"x/%s\"}]}", name),
        xasprintf("{\"running\":[{\"attempt\":\"uid-x/1\",\"task\":\"x/%s\"}]}", long_name),
        xasprintf("{\"running\":[{\"attempt\":\"%s/1\",\"task\":\"ns/x\"}]}", long_name),
        xstrdup("{\"running\":[{\"attempt\":\"../../pods/1\",\"task\":\"ns/x\"}]}"),
        xstrdup("{\"running\":[{\"attempt\":\"uid-x/-1\",\"task\":\"ns/x\"}]}"),
        xstrdup("{\"running\":[{\"attempt\":\"uid-x/1\",\"task\":\"ns/x?y\"}]}"),
        xstrdup("{\"running\":[{}]}"),
        xasprintf("{\"running\":[]%s}", big),
    };

    start(r, pod_object(r, "a", "s"), pool_object(r, 0), sandbox_object(r, "s", READY), NULL);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        answer(r, "GET /v1/tasks", 200, answers[i]);
        assert_no_call(r, "DELETE");
        assert_no_call(r, "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/");
        assert_no_call(r, PUT);
        fake_advance(&r->ops, 2000);
        turn(r);
        free(answers[i]);
    }
    answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    assert_call(r, PUT);
}

/* ---- claims that are refused ----------------------------------------------------------------- */

static void assert_claim_for(struct rig *r, const char *sandbox)
{
    cleanup_free char *uid = xasprintf("\"uid\":\"uid-%s\"", sandbox);

    assert_call(r, POD_A);
    if (!strstr(fake_find(&r->ops, POD_A)->body, uid))
        fail_msg("%s is not for %s", fake_find(&r->ops, POD_A)->body, sandbox);
}

/* Whatever the claim of the first sandbox is refused for, the next one must not wait beside an idle
 * pod. The first one has its place again when its pause is over. */
static void test_claim_that_is_refused_holds_up_nobody(void **state)
{
    struct rig *r = *state;

    start(r, pod_object(r, "a", NULL), pool_object(r, 1), sandbox_object(r, "s", ""), NULL);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "u", ""));
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "v", ""));
    assert_claim_for(r, "s");
    answer_status(r, POD_A, 422, "Invalid");
    assert_claim_for(r, "u");
    answer_status(r, POD_A, 403, "Forbidden");
    assert_claim_for(r, "v");
    answer_status(r, POD_A, 403, "Forbidden");
    assert_no_call(r, POD_A);
    fake_advance(&r->ops, 1000);
    assert_claim_for(r, "s");
    answer_status(r, POD_A, 422, "Invalid");
    /* The status that it waits is written just now. */
    answer_object(r, "sandboxes/u/status", sandbox_object(r, "u", "\"phase\":\"Pending\""));
    assert_claim_for(r, "u");
    answer_object(r, POD_A, pod_object(r, "a", "u"));
    assert_call(r, "sandboxes/u/status");
}

/* A sandbox that leaves the line, here since it is deleted, makes room for the next. */
static void test_who_leaves_the_line_wakes_the_next(void **state)
{
    struct rig *r = *state;

    start(r, NULL, pool_object(r, 1), sandbox_object(r, "s", ""), NULL);
    watch(r, "sandboxes", "ADDED", sandbox_object(r, "u", ""));
    watch(r, "pods", "ADDED", pod_object(r, "a", NULL));
    assert_claim_for(r, "s");
    lose(r, POD_A); /* its claim is read back: until then the pod is for nobody else */
    watch(r, "sandboxes", "DELETED", sandbox_object(r, "s", ""));
    answer_object(r, "GET /api/v1/namespaces/ns/pods/a", pod_object(r, "a", NULL));
    assert_claim_for(r, "u");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_cut_copies),
        T(test_pods_of_nobody),
        T(test_sandboxes_that_name_nothing),
        T(test_tasks_that_name_nothing),
        T(test_answers_of_an_agent),
        T(test_claim_that_is_refused_holds_up_nobody),
        T(test_who_leaves_the_line_wakes_the_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
