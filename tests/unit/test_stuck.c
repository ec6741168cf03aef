/*
 * Every state in which a person can be stuck says so: a condition with a reason and a sentence, and
 * a Warning Event where nothing will come of it by itself. One row a state.
 */
#include "tests/agent_side.h"
#include "tests/unit/unit.h"
#include "tests/unit/world_fixture.h"

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    fixture_init(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static void put_pool(struct fixture *f, int replicas, const char *status)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"replicas\":%d,\"template\":{\"spec\":{\"containers\":[{\"name\":"
                  "\"executor\",\"image\":\"x\"}]}}},\"status\":{%s}",
                  replicas, status);

    fixture_put(f, &api_warmpool, "p", "", rest);
}

static int wire_version = WIRE_VERSION; /* of what put_pod() puts */

static void put_pod(struct fixture *f, const char *name, const char *sandbox, const char *status)
{
    cleanup_free char *label =
        sandbox ? xasprintf(",\"arl.infra.io/sandbox\":\"%s\"", sandbox) : xstrdup("");
    cleanup_free char *md =
        xasprintf(",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"%s\"%s},"
                  "\"annotations\":{\"arl.infra.io/wire-version\":\"%d\",\"arl.infra.io/"
                  "template-hash\":\"%s\"},\"ownerReferences\":[{\"kind\":"
                  "\"X\",\"uid\":\"uid-%s\",\"controller\":true}]",
                  sandbox ? "allocated" : "idle", label, wire_version,
                  world_pool(f->w, "ns/p")->template_hash, sandbox ? sandbox : "p");
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"restartPolicy\":\"Never\"},\"status\":{%s}", status);

    fixture_put(f, &api_pod, name, md, rest);
}

static void put_sandbox(struct fixture *f, const char *status)
{
    cleanup_free char *rest = xasprintf("\"spec\":{\"poolRef\":\"p\"},\"status\":{%s}", status);

    fixture_put(f, &api_sandbox, "s", "", rest);
}

static void put_task(struct fixture *f, const char *name, const char *status)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"sandboxRef\":\"s\",\"steps\":[{\"name\":\"x\",\"type\":\"Command\","
                  "\"command\":[\"true\"]}]},\"status\":{%s}",
                  status);

    fixture_put(f, &api_task, name, "", rest);
}

#define RUNNING "\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"conditions\":[{\"type\":\"Ready\","
#define POD_KEYLESS RUNNING "\"status\":\"True\"}]"
#define POD_READY POD_KEYLESS "," AGENT_SIDE_TOLD(AGENT_SIDE_KEY)
#define POD_UNREADY RUNNING "\"status\":\"False\"}]"
#define WAITS(reason, message)                                                                     \
    "\"containerStatuses\":[{\"name\":\"executor\",\"state\":{\"waiting\":{\"reason\":\"" reason   \
    "\",\"message\":\"" message "\"}}}]"
#define FAILING                                                                                    \
    "\"conditions\":[{\"type\":\"PodsFailing\",\"status\":\"True\",\"reason\":\"ErrImagePull\","   \
    "\"message\":\"pod a: no such image\"}]"
#define BOX_READY                                                                                  \
    "\"phase\":\"Ready\",\"agentKey\":\"" AGENT_SIDE_KEY "\",\"podName\":\"a\",\"podUID\":\"uid-"  \
    "a\""
#define BOX_FAILED                                                                                 \
    "\"phase\":\"Failed\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":\""  \
    "NoPodAvailable\",\"message\":\"no pod came\"}]"

#define BOX_LOST                                                                                   \
    "\"phase\":\"Failed\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":\""  \
    "PodLost\",\"message\":\"pod a is gone\"}]"
#define EXECUTOR_ENDED                                                                             \
    "\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"containerStatuses\":[{\"name\":\"executor\","  \
    "\"state\":{\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\"}}}]"

/* ---- what is wrong --------------------------------------------------------------------------- */

static struct pool_state *pool_state(struct fixture *f)
{
    return world_pool_state(f->w, "ns/p");
}

static void template_invalid(struct fixture *f)
{
    fixture_put(
        f, &api_warmpool, "p", "",
        "\"spec\":{\"replicas\":1,\"template\":{\"spec\":{\"hostPID\":true,\"containers\":[{"
        "\"name\":\"a\",\"image\":\"x\"}]}}}");
}

static void image_wrong(struct fixture *f)
{
    put_pool(f, 1, "");
    put_pod(f, "a", NULL, WAITS("ImagePullBackOff", "no such image"));
}

static void unschedulable(struct fixture *f)
{
    put_pool(f, 1, "");
    put_pod(f, "a", NULL,
            "\"phase\":\"Pending\",\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
            "\"reason\":\"Unschedulable\",\"message\":\"0/1 nodes are available\"}]");
}

static void init_container_fails(struct fixture *f)
{
    put_pool(f, 1, "");
    put_pod(
        f, "a", NULL,
        "\"initContainerStatuses\":[{\"name\":\"mine\",\"state\":{\"terminated\":{\"exitCode\":1,"
        "\"reason\":\"Error\"}}}]");
}

/* As executor.c notes it. */
static void create_refused(struct fixture *f, const char *reason, const char *message)
{
    put_pool(f, 1, "");
    fixture_plan(f, "pool/ns/p", NULL);
    pool_state(f)->status_mono_ns = 0;
    pool_state(f)->created = 0;
    pool_state(f)->create_error_reason = xstrdup(reason);
    pool_state(f)->create_error = xasprintf("a pod could not be created: %s", message);
}

static void quota(struct fixture *f)
{
    create_refused(f, "QuotaExceeded", "exceeded quota: q");
}

static void forbidden(struct fixture *f)
{
    create_refused(f, "Forbidden", "not allowed here");
}

static void pods_end(struct fixture *f)
{
    put_pool(f, 1, "");
    put_pod(f, "a", NULL, "\"phase\":\"Failed\",\"reason\":\"Evicted\",\"message\":\"disk full\"");
    fixture_plan(f, "pool/ns/p", NULL);
    fixture_remove(f, &api_pod, "a");
    fixture_pass(f, 2000); /* pods that end together are one failure */
    put_pod(f, "b", NULL, "\"phase\":\"Failed\",\"reason\":\"Evicted\",\"message\":\"disk full\"");
    pool_state(f)->status_mono_ns = 0;
}

static void never_ready(struct fixture *f)
{
    put_pool(f, 1, "");
    put_pod(f, "a", NULL, POD_UNREADY);
    fixture_pass(f, 120000);
}

static void never_started(struct fixture *f)
{
    put_pool(f, 1, "");
    put_pod(f, "a", NULL, "\"phase\":\"Pending\"");
    fixture_pass(f, 120000);
}

static void pods_vanish(struct fixture *f)
{
    put_pool(f, 1, "");
    fixture_plan(f, "pool/ns/p", NULL);
    pool_state(f)->created = 18;
    pool_state(f)->status_mono_ns = 0;
}

static void pool_missing(struct fixture *f)
{
    put_sandbox(f, "");
    fixture_plan(f, "sandbox/ns/s", NULL);
    fixture_pass(f, 1000);
}

static void pool_missing_too_long(struct fixture *f)
{
    put_sandbox(f, "\"phase\":\"Pending\"");
    fixture_plan(f, "sandbox/ns/s", NULL);
    fixture_pass(f, 10000);
}

static void box_in(struct fixture *f, int replicas, const char *pool_status, int64_t waited_ms)
{
    put_pool(f, replicas, pool_status);
    put_sandbox(f, "\"phase\":\"Pending\"");
    fixture_plan(f, "sandbox/ns/s", NULL);
    fixture_pass(f, waited_ms);
}

static void pool_busy(struct fixture *f)
{
    box_in(f, 1, "", 1000);
}

static void pool_empty(struct fixture *f)
{
    box_in(f, 0, "", 1000);
}

static void pool_fails(struct fixture *f)
{
    box_in(f, 1, FAILING, 1000);
}

static void waited_in_vain(struct fixture *f)
{
    box_in(f, 1, "", 300000);
}

static void waited_at_an_empty_pool(struct fixture *f)
{
    box_in(f, 0, "", 300000);
}

static void waited_at_a_failing_pool(struct fixture *f)
{
    box_in(f, 1, FAILING, 300000);
}

static void pod_unready(struct fixture *f)
{
    put_pool(f, 1, "");
    put_pod(f, "a", "s", POD_UNREADY);
    put_sandbox(f, "");
}

/* Its pod was ready when it was taken, and never again. */
static void pod_unready_for_long(struct fixture *f)
{
    put_pool(f, 1, "");
    put_pod(f, "a", "s", POD_UNREADY);
    put_sandbox(f, "\"phase\":\"Bound\",\"podName\":\"a\",\"podUID\":\"uid-a\"");
    fixture_plan(f, "sandbox/ns/s", NULL);
    fixture_pass(f, 300000);
}

static void claims_refused(struct fixture *f)
{
    struct sandbox_state *st;

    put_pool(f, 1, "");
    put_pod(f, "a", NULL, POD_READY);
    put_sandbox(f, "\"phase\":\"Pending\"");
    st = world_sandbox_state(f->w, "ns/s");
    st->claims_refused = 3; /* test_claims.c, test_claim_that_is_refused_says_so, makes it so */
    st->claim_error = xstrdup("not by you");
}

static void claims_refused_for_long(struct fixture *f)
{
    claims_refused(f);
    fixture_plan(f, "sandbox/ns/s", NULL);
    fixture_pass(f, 300000);
}

static void pod_crashes(struct fixture *f)
{
    put_pool(f, 1, "");
    put_pod(f, "a", "s", WAITS("CrashLoopBackOff", "back-off 10s"));
    put_sandbox(f, "");
}

static void box_with_pod(struct fixture *f, const char *pod_status)
{
    put_pool(f, 1, "");
    put_pod(f, "a", "s", pod_status);
    put_sandbox(f, BOX_READY);
    world_sandbox_state(f->w, "ns/s")->agent.state = AGENT_CLEAN;
}

static void pod_tells_no_key(struct fixture *f)
{
    put_pool(f, 1, "");
    put_pod(f, "a", "s", POD_KEYLESS);
    put_sandbox(f, "");
}

static void pod_of_earlier_release(struct fixture *f)
{
    wire_version = 1;
    put_pool(f, 1, "");
    put_pod(f, "a", "s", POD_KEYLESS);
    put_sandbox(f, "\"phase\":\"Ready\",\"podName\":\"a\",\"podUID\":\"uid-a\"");
    wire_version = WIRE_VERSION;
}

static void pod_with_another_key(struct fixture *f)
{
    box_with_pod(f, POD_KEYLESS "," AGENT_SIDE_TOLD(AGENT_SIDE_OTHER_KEY));
}

static void others_answer(struct fixture *f)
{
    box_with_pod(f, POD_READY);
    world_agent_forged(f->w, "ns", "s", "uid-s", "it says so", f->now.mono_ns);
}

static void others_answer_for_long(struct fixture *f)
{
    others_answer(f);
    fixture_pass(f, 300000);
}

#define BOX_DOUBTED                                                                                \
    "\"phase\":\"Failed\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":\""  \
    "AgentNotBelieved\",\"message\":\"only others have answered\"}]"

static void pod_gone(struct fixture *f)
{
    box_with_pod(f, POD_READY);
    fixture_remove(f, &api_pod, "a");
    world_sandbox_state(f->w, "ns/s")->lost_pod_uid = xstrdup("uid-a");
    world_sandbox_state(f->w, "ns/s")->lost_pod_why = "is gone";
}

static void pod_evicted(struct fixture *f)
{
    box_with_pod(f, "\"phase\":\"Failed\",\"reason\":\"Evicted\",\"message\":\"disk full\"");
}

static void box_invalid(struct fixture *f)
{
    fixture_put(f, &api_sandbox, "s", "", "\"spec\":{\"poolRef\":7}");
}

static void task_alone(struct fixture *f)
{
    put_task(f, "t", "");
    f->w->active_wall_ns = T0_WALL - 60 * NSEC_PER_SEC;
}

static void box_missing_too_long(struct fixture *f)
{
    task_alone(f);
    fixture_plan(f, "task/ns/t", NULL);
    fixture_pass(f, 10000);
}

static void box_pending(struct fixture *f)
{
    task_alone(f);
    put_pool(f, 0, "");
    put_sandbox(f, "\"phase\":\"Pending\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\","
                   "\"reason\":\"WaitingForPod\",\"message\":\"waiting for an idle pod\"}]");
    fixture_plan(f, "task/ns/t", NULL);
    fixture_pass(f, 1000);
}

static void box_failed(struct fixture *f)
{
    put_task(f, "t", "");
    put_sandbox(f, BOX_FAILED);
}

static void box_forged(struct fixture *f)
{
    put_task(f, "t", "");
    put_sandbox(f, BOX_DOUBTED);
}

static void earlier_task(struct fixture *f)
{
    put_task(f, "first", "");
    task_alone(f);
    box_with_pod(f, POD_READY);
    fixture_plan(f, "task/ns/t", NULL);
    fixture_pass(f, 5000);
}

static void agent_is_asked(struct fixture *f)
{
    task_alone(f);
    box_with_pod(f, POD_READY);
    world_sandbox_state(f->w, "ns/s")->agent.state = AGENT_ASKING;
    fixture_plan(f, "task/ns/t", NULL);
    fixture_pass(f, 5000);
}

static struct run *running(struct fixture *f)
{
    struct run_target target = {.task_uid = xstrdup("uid-t"),
                                .sandbox_uid = xstrdup("uid-s"),
                                .pod_uid = xstrdup("uid-a"),
                                .pod_name = xstrdup("a")};
    struct run *r = run_new(target, 1, 1, f->now);

    put_task(f, "t", "");
    box_with_pod(f, POD_READY);
    world_add_run(f->w, "ns/t", r);
    return r;
}

static void runs(struct fixture *f)
{
    running(f);
    fixture_pass(f, 400);
}

static void agent_gone(struct fixture *f)
{
    run_fail(running(f), "AgentUnavailable", "the agent in the pod does not answer", true, f->now);
}

static void agent_refuses(struct fixture *f)
{
    run_fail(running(f), "AgentRefused", "the agent refused the task", false, f->now);
}

static void result_dropped(struct fixture *f)
{
    running(f)->result_gone = true;
}

static void box_forged_under_it(struct fixture *f)
{
    running(f);
    put_sandbox(f, BOX_DOUBTED);
}

static void pod_lost_under_it(struct fixture *f)
{
    running(f);
    put_sandbox(f, BOX_LOST);
}

static void executor_ended(struct fixture *f)
{
    box_with_pod(f, EXECUTOR_ENDED);
}

static void sandbox_failed_under_it(struct fixture *f)
{
    running(f);
    put_sandbox(f, BOX_FAILED);
}

static void idle_executors_end(struct fixture *f)
{
    put_pool(f, 1, "");
    put_pod(f, "a", NULL, EXECUTOR_ENDED);
    fixture_plan(f, "pool/ns/p", NULL);
    fixture_remove(f, &api_pod, "a");
    fixture_pass(f, 2000);
    put_pod(f, "b", NULL, EXECUTOR_ENDED);
    pool_state(f)->status_mono_ns = 0;
}

/* ---- what is said ---------------------------------------------------------------------------- */

static const struct {
    void (*make)(struct fixture *f);
    const char *key;
    const char *reason;
    const char *message; /* a part of it */
    bool event;
} rows[] = {
    {template_invalid, "pool/ns/p", "InvalidTemplate", "spec.template.spec.hostPID", true},
    {image_wrong, "pool/ns/p", "ImagePullBackOff", "pod a: container executor: ", true},
    {unschedulable, "pool/ns/p", "Unschedulable", "pod a: 0/1 nodes are available", true},
    {init_container_fails, "pool/ns/p", "InitContainerFailed",
     "pod a: init container mine ended with exit code 1; see kubectl logs a -c mine", true},
    {quota, "pool/ns/p", "QuotaExceeded", "a pod could not be created: exceeded quota: q", true},
    {forbidden, "pool/ns/p", "Forbidden", "a pod could not be created: not allowed", true},
    {pods_end, "pool/ns/p", "PodEnded", "pod b ended by itself: Evicted: disk full", true},
    {idle_executors_end, "pool/ns/p", "PodEnded", "pod b is replaced: container executor has",
     true},
    {never_ready, "pool/ns/p", "PodNotReady", "pod a runs, but is not ready after 2m0s", true},
    {never_started, "pool/ns/p", "PodNotReady", "kubectl describe pod a", true},
    {pods_vanish, "pool/ns/p", "NoPodGetsReady", "18 pods and more were made of this template",
     true},
    {pool_missing, "sandbox/ns/s", "WaitingForPool", "WarmPool p, which does not exist", false},
    {pool_missing_too_long, "sandbox/ns/s", "PoolNotFound", "p not found in namespace ns", true},
    {pool_busy, "sandbox/ns/s", "WaitingForPod", "idle pod of WarmPool p, 5m0s at most\"", false},
    {pool_empty, "sandbox/ns/s", "WaitingForPod", "its spec.replicas is 0", false},
    {pool_fails, "sandbox/ns/s", "WaitingForPod", "see its condition PodsFailing", false},
    {waited_in_vain, "sandbox/ns/s", "NoPodAvailable", "became free within 5m0s\"", true},
    {waited_at_an_empty_pool, "sandbox/ns/s", "NoPodAvailable", "its spec.replicas is 0", true},
    {waited_at_a_failing_pool, "sandbox/ns/s", "NoPodAvailable", "5m0s: pod a: no such", true},
    {pod_unready, "sandbox/ns/s", "PodNotReady", "does not answer yet\"", false},
    {pod_crashes, "sandbox/ns/s", "PodNotReady", "yet: container executor: Crash", false},
    {pod_tells_no_key, "sandbox/ns/s", "PodNotReady", "arl-init has told no key of it", false},
    {pod_of_earlier_release, "sandbox/ns/s", "AgentTooOld", "make the Sandbox anew", true},
    {pod_with_another_key, "sandbox/ns/s", "AgentKeyChanged", "pod a has another key", true},
    {others_answer, "sandbox/ns/s", "AgentNotBelieved", "place of the agent in the pod: it", false},
    {others_answer_for_long, "sandbox/ns/s", "AgentNotBelieved", "pod for 5m0s: it says so", true},
    {pod_unready_for_long, "sandbox/ns/s", "PodNotReady", "pod does not answer\"", true},
    {claims_refused, "sandbox/ns/s", "ClaimRefused", "cannot be taken: not by you", false},
    {claims_refused_for_long, "sandbox/ns/s", "NoPodAvailable", "cannot be taken: not by", true},
    {pod_gone, "sandbox/ns/s", "PodLost", "pod a is gone", true},
    {pod_evicted, "sandbox/ns/s", "PodLost", "pod a has ended: Evicted: disk full", true},
    {executor_ended, "sandbox/ns/s", "PodBroken", "any more: container executor has ended", true},
    {box_invalid, "sandbox/ns/s", "InvalidSpec", "spec.poolRef", true},
    {task_alone, "task/ns/t", "WaitingForSandbox", "Sandbox s, which does not exist", false},
    {box_missing_too_long, "task/ns/t", "SandboxNotFound", "sandbox s not found", false},
    {box_pending, "task/ns/t", "WaitingForSandbox", "s is Pending: waiting for an idle", false},
    {box_failed, "task/ns/t", "SandboxFailed", "sandbox s failed: no pod came", false},
    {box_forged, "task/ns/t", "AgentUnavailable", "s failed: only others have", false},
    {box_forged_under_it, "task/ns/t", "AgentUnavailable", "s failed: only others have", true},
    {earlier_task, "task/ns/t", "Queued", "earlier tasks of the sandbox", false},
    {agent_is_asked, "task/ns/t", "WaitingForAgent", "waiting for the agent in the pod", false},
    {runs, "task/ns/t", "Running", "", false},
    {agent_gone, "task/ns/t", "AgentUnavailable", "does not answer", true},
    {agent_refuses, "task/ns/t", "AgentRefused", "refused the task", true},
    {result_dropped, "task/ns/t", "ResultLost", "dropped the result", true},
    {pod_lost_under_it, "task/ns/t", "PodLost", "pod a was lost while the task ran", false},
    {sandbox_failed_under_it, "task/ns/t", "SandboxFailed", "s failed: no pod came", false},
};

static void test_every_state_says_why(void **state)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *reason = xasprintf("\"reason\":\"%s\"", rows[i].reason), *body = NULL;
        struct fixture *f = *state;

        rows[i].make(f);
        fixture_plan(f, rows[i].key, &body);
        if (!body || !strstr(body, reason) || !strstr(body, rows[i].message) ||
            (strstr(buf_str(&f->text), "event ") != NULL) != rows[i].event)
            fail_msg("row %zu, %s: planned %s%s", i, rows[i].reason, buf_str(&f->text),
                     body ? body : "(no status)");
        fixture_done(f);
        fixture_init(f);
    }
}

/* What a sandbox says of its pool changes when the pool's does. */
static void test_waiting_sandboxes_hear_of_their_pool(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int replicas;
        const char *status;
        bool told;
    } steps[] = {{1, FAILING, true}, {2, FAILING, false}, {2, "", true}, {0, "", true}};

    box_in(f, 1, "", 1000);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        bool told = false;
        char *key;

        while ((key = queue_take(f->w->queue, f->now.mono_ns)))
            free(key);
        put_pool(f, steps[i].replicas, steps[i].status);
        while ((key = queue_take(f->w->queue, f->now.mono_ns))) {
            told = told || strcmp(key, "sandbox/ns/s") == 0;
            free(key);
        }
        assert_int_equal(told, steps[i].told);
    }
}

/* One pod that is evicted is replaced, and nobody need be told. Nor does the pool speak of it for
 * ever. */
static void test_one_pod_that_ends_is_no_failure(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL, *later = NULL;

    put_pool(f, 1, "");
    put_pod(f, "a", NULL, "\"phase\":\"Failed\",\"reason\":\"Evicted\"");
    fixture_plan(f, "pool/ns/p", &body);
    assert_null(strstr(body, "PodsFailing"));
    fixture_remove(f, &api_pod, "a");
    pods_end(f);
    put_pod(f, "c", NULL, POD_READY);
    fixture_plan(f, "pool/ns/p", &later);
    assert_null(strstr(later, "PodsFailing"));
    assert_null(pool_state(f)->ended);
}

/* A task that may have begun must not be called Pending, whatever it waits for. */
static void test_what_may_have_begun_is_not_called_pending(void **state)
{
    struct fixture *f = *state;

    agent_is_asked(f);
    f->w->active_wall_ns = f->now.wall_ns;
    assert_string_equal(fixture_plan(f, "task/ns/t", NULL), "");
    put_task(f, "t", "\"state\":\"Running\",\"sandboxUID\":\"uid-s\"");
    assert_string_equal(fixture_plan(f, "task/ns/t", NULL), "");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_every_state_says_why),
        T(test_waiting_sandboxes_hear_of_their_pool),
        T(test_one_pod_that_ends_is_no_failure),
        T(test_what_may_have_begun_is_not_called_pending),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
