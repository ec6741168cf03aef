#include "tests/unit/plan_objects.h"

#define IDLE_OF_P                                                                                  \
    ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"idle\"},"                  \
    "\"ownerReferences\":[{\"kind\":\"WarmPool\",\"uid\":\"uid-p\",\"controller\":true}]"

/* ---- pools ----------------------------------------------------------------------------------- */

static void test_pool_fills(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 2, "x");
    assert_plan(f, POOL, "create p\ncreate p\nstatus p Pending\n");
    put_pod(f, "a", true, NULL);
    put_pod(f, "b", true, NULL);
    fixture_pass(f, 2000);
    assert_plan(f, POOL, "status p Ready\n");
}

static void test_pool_counts_idle_only(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    put_pod(f, "a", true, "s");
    put_pod(f, "b", true, NULL);
    body = plan_body(f, POOL);
    assert_string_equal(buf_str(&f->text), "status p Ready\n");
    assert_in(body, "\"readyReplicas\":1,\"allocatedReplicas\":1");
    assert_in(body, "\"reason\":\"PodsReady\",\"message\":\"1/1 pods ready\"");
}

static void test_pool_says_how_many_are_missing(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 2, "x");
    put_pod(f, "a", true, NULL);
    body = plan_body(f, POOL);
    assert_in(body, "\"reason\":\"PodsNotReady\",\"message\":\"1/2 pods ready\"");
}

static void test_pool_scales_down_the_worst_first(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_pod(f, "old", true, NULL);
    put_pod_at(f, "young", "2025-06-15T15:06:50Z", true, NULL, pool_hash(f));
    put_pod(f, "unready", false, NULL);
    put_pod(f, "bound", true, "s");
    assert_plan(f, POOL, "delete unready ScaledDown\ndelete young ScaledDown\nstatus p Ready\n");
}

static void test_pool_rolls_with_bounded_unavailability(void **state)
{
    struct fixture *f = *state;
    char name[8];

    put_pool(f, 8, "new");
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "p%d", i);
        put_pod_at(f, name, T0_TEXT, true, NULL, "old");
    }
    put_pod_at(f, "bound", T0_TEXT, true, "s", "old");
    assert_plan(f, POOL,
                "delete p0 TemplateChanged\ndelete p1 TemplateChanged\ncreate p\ncreate p\n"
                "status p Scaling\n");
}

static void test_pool_replaces_pods_that_know_another_key(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_pod(f, "a", true, NULL);
    fixture_plan(f, POOL, NULL);
    world_pod(f->w, "ns/a")->key_id = xstrdup("k");
    fixture_pass(f, 2000);
    assert_plan(f, POOL, "status p Ready\n");
    str_set(&world_pod(f->w, "ns/a")->key_id, xstrdup("older"));
    world_mark_pod(f->w, world_pod(f->w, "ns/a"));
    assert_in(fixture_plan(f, POOL, NULL), "delete a TemplateChanged\ncreate p\n");
}

static void note_claim(struct fixture *f)
{
    refill_claimed(&world_pool_state(f->w, "ns/p")->refill, true, f->now.mono_ns);
}

/* Not before: its status says that a pod is missing only when claims are over. */
static void test_pool_refills_when_a_claim_is_answered(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 2, "x");
    put_pod(f, "a", true, NULL);
    put_pod(f, "b", true, NULL);
    fixture_plan(f, POOL, NULL);
    fixture_pass(f, 2000);
    ledger_begin(f->w->ledger, LEDGER_CLAIM, &api_pod, "ns/a", "ns/p");
    assert_plan(f, POOL, "after 300ms\n");
    ledger_end(f->w->ledger, &api_pod, "ns/a");
    note_claim(f);
    put_pod(f, "a", true, "s");
    assert_plan(f, POOL, "after 300ms\ncreate p\n");
    ledger_begin(f->w->ledger, LEDGER_CREATE, &api_pod, "ns/c", "ns/p");
    fixture_pass(f, 100);
    assert_plan(f, POOL, "after 200ms\n");
    fixture_pass(f, 200);
    assert_plan(f, POOL, "status p Scaling\n");
}

static void test_pool_holds_back_with_a_limit(void **state)
{
    struct fixture *f = *state;
    char key[16];

    put_pool(f, 9, "x");
    for (int i = 0; i < 5; i++) {
        snprintf(key, sizeof(key), "ns/%d", i);
        put_pod(f, key + 3, true, NULL);
        ledger_begin(f->w->ledger, LEDGER_CLAIM, &api_pod, key, "ns/p");
    }
    assert_plan(f, POOL, "after 300ms\n");
    for (int ms = 300; ms < 3000; ms += 300) {
        fixture_pass(f, 300);
        assert_plan(f, POOL, "after 300ms\n");
    }
    fixture_pass(f, 300);
    assert_plan(f, POOL, "after 300ms\ncreate p\nstatus p Pending\n");
}

static void test_pool_does_not_hold_back_from_a_waiting_sandbox(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_sandbox(f, "s", "", "");
    note_claim(f);
    assert_plan(f, POOL, "create p\nstatus p Pending\n");
}

static void test_pool_makes_few_pods_of_an_unproven_template(void **state)
{
    struct fixture *f = *state;
    size_t made = 0;

    put_pool(f, 100, "wrong");
    for (int i = 0; i < 10; i++) {
        const char *text = fixture_plan(f, POOL, NULL);

        for (const char *p = text; (p = strstr(p, "create")); p++)
            made++;
        fixture_pass(f, 60000);
    }
    assert_int_equal(made, 19); /* 20 are promised as the most within ten minutes */
    fixture_pass(f, 60000);
    assert_in(fixture_plan(f, POOL, NULL), "create p\n"); /* but it never gives up */
}

static void test_pool_backs_off_from_pods_that_end(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    fixture_put(f, &api_pod, "a", IDLE_OF_P,
                "\"status\":{\"phase\":\"Failed\",\"reason\":\"Evicted\"}");
    assert_plan(f, POOL, "delete a PodEnded\nafter 2000ms\nstatus p Pending\n");
    fixture_remove(f, &api_pod, "a");
    fixture_pass(f, 2000);
    assert_plan(f, POOL, "create p\nstatus p Pending\n");
}

static void test_pool_says_why_pods_fail(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    fixture_put(f, &api_pod, "a", IDLE_OF_P,
                "\"status\":{\"phase\":\"Pending\",\"containerStatuses\":[{\"name\":\"executor\","
                "\"state\":{\"waiting\":{\"reason\":\"ImagePullBackOff\",\"message\":\"no\"}}}]}");
    body = plan_body(f, POOL);
    assert_string_equal(buf_str(&f->text), "delete a TemplateChanged\ncreate p\n"
                                           "status p Degraded\nevent p PodsFailing\n");
    assert_in(body, "\"reason\":\"ImagePullBackOff\",\"message\":\"pod a: container executor: "
                    "ImagePullBackOff: no\"");
}

static void test_pool_refuses_a_privileged_template(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    fixture_put(f, &api_warmpool, "p", "",
                "\"spec\":{\"replicas\":1,\"template\":{\"spec\":{\"hostNetwork\":true,"
                "\"containers\":[{\"name\":\"a\",\"image\":\"x\"}]}}}");
    body = plan_body(f, POOL);
    assert_string_equal(buf_str(&f->text), "status p Degraded\nevent p PodsFailing\n");
    assert_in(body, "spec.template.spec.hostNetwork is not allowed");
}

static void test_pool_gone_takes_its_idle_pods(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_pod(f, "a", true, NULL);
    put_pod(f, "b", true, "s");
    fixture_remove(f, &api_warmpool, "p");
    assert_plan(f, POOL, "delete a PoolDeleted\n");
}

/* A pool's pods are known by the pool's UID. Pods of an earlier pool of this name, or of none, are
 * neither counted nor bound. */
static void test_pool_made_anew_has_pods_of_its_own(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_pod(f, "a", true, NULL);
    fixture_put(
        f, &api_pod, "foreign",
        ",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"idle\"}",
        "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.2\",\"conditions\":[{\"type\":"
        "\"Ready\",\"status\":\"True\"}]}");
    fixture_remove(f, &api_warmpool, "p");
    fixture_put(f, &api_warmpool, "p", ",\"uid\":\"uid-p2\"",
                "\"spec\":{\"replicas\":1,\"template\":{\"spec\":{\"containers\":[{\"name\":"
                "\"executor\",\"image\":\"x\"}]}}}");
    put_sandbox(f, "s", "", "");
    assert_plan(f, SANDBOX, "after 100ms\n"); /* to say that it waits */
    assert_plan(f, POOL, "delete a PoolDeleted\ncreate p\nstatus p Pending\n");
}

/* ---- sandboxes ------------------------------------------------------------------------------- */

static void test_sandbox_claims_the_oldest_pod(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 2, "x");
    put_pod_at(f, "young", "2025-06-15T15:06:50Z", true, NULL, "h");
    put_pod(f, "old", true, NULL);
    put_pod_at(f, "unready", "2025-06-15T15:00:00Z", false, NULL, "h");
    put_sandbox(f, "s", "", "");
    body = plan_body(f, SANDBOX);
    assert_string_equal(buf_str(&f->text), "claim old for s\n");
    assert_in(body, "\"uid\":\"uid-old\"");
    assert_in(body, "\"kind\":\"Sandbox\",\"name\":\"s\",\"uid\":\"uid-s\"");
}

static void test_sandbox_goes_straight_to_ready(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    put_sandbox(f, "s", "", "");
    put_pod(f, "a", true, "s");
    body = plan_body(f, SANDBOX);
    assert_string_equal(buf_str(&f->text), "status s PodReady\n");
    assert_in(body, "\"phase\":\"Ready\",\"podName\":\"a\",\"podUID\":\"uid-a\",\"podIP\":"
                    "\"10.0.0.1\",\"workDir\":\"/w\"");
}

static void test_sandbox_first_come_first_served(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_sandbox(f, "s", "", "");
    put_sandbox(f, "s2", "", "");
    put_pod(f, "a", true, NULL);
    assert_plan(f, "sandbox/ns/s2", "after 100ms\n");
    assert_plan(f, SANDBOX, "claim a for s\n");
}

static void test_sandbox_takes_no_pod_under_a_write(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_sandbox(f, "s", "", "");
    put_pod(f, "a", true, NULL);
    ledger_begin(f->w->ledger, LEDGER_CLAIM, &api_pod, "ns/a", "ns/p");
    assert_plan(f, SANDBOX, "after 100ms\n");
    ledger_end(f->w->ledger, &api_pod, "ns/a");
    ledger_begin(f->w->ledger, LEDGER_CLAIM, &api_sandbox, "ns/s", NULL);
    assert_plan(f, SANDBOX, "");
    ledger_end(f->w->ledger, &api_sandbox, "ns/s");
}

static void test_sandbox_says_what_it_waits_for_then_fails(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL, *end = NULL;

    put_pool(f, 1, "x");
    put_sandbox(f, "s", "", "");
    assert_plan(f, SANDBOX, "after 100ms\n");
    fixture_pass(f, 100);
    body = plan_body(f, SANDBOX);
    assert_in(body, "\"phase\":\"Pending\"");
    assert_in(body, "waiting for an idle pod of WarmPool p");
    fixture_pass(f, 300000);
    end = plan_body(f, SANDBOX);
    assert_string_equal(buf_str(&f->text), "status s NoPodAvailable\nevent s NoPodAvailable\n");
    assert_in(end, "no pod of WarmPool p became free within 5m0s");
}

static void test_sandbox_of_a_missing_pool(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_sandbox(f, "s", "", "");
    fixture_plan(f, SANDBOX, NULL);
    fixture_pass(f, 10000);
    body = plan_body(f, SANDBOX);
    assert_in(body, "\"phase\":\"Failed\"");
    assert_in(body, "WarmPool p not found in namespace ns");
}

static void test_sandbox_fails_with_its_pod(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    assert_plan(f, SANDBOX, "after 751000ms\n");
    fixture_remove(f, &api_pod, "a");
    assert_plan(f, SANDBOX, "after 751000ms\nread a for s\n");
    world_sandbox_state(f->w, "ns/s")->lost_pod_uid = xstrdup("uid-a");
    world_sandbox_state(f->w, "ns/s")->lost_pod_why = "is gone";
    put_pod(f, "b", true, NULL);
    body = plan_body(f, SANDBOX);
    assert_in(buf_str(&f->text), "status s PodLost\n");
    assert_in(body, "pod a is gone");
}

static void test_sandbox_that_was_ready_before_is_audited_once(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    world_sandbox_state(f->w, "ns/s")->agent.state = AGENT_UNKNOWN;
    assert_plan(f, SANDBOX, "after 751000ms\naudit s\n");
    assert_plan(f, SANDBOX, "after 751000ms\n");
}

static void test_sandbox_lifetime(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_pod(f, "a", true, "s");
    put_sandbox(f, "s", ",\"idleTimeoutSeconds\":0,\"maxLifetimeSeconds\":60", READY_STATUS);
    assert_plan(f, SANDBOX, "after 60000ms\naudit s\n");
    fixture_pass(f, 60000);
    assert_plan(f, SANDBOX, "event s LifetimeEnded\ndelete s LifetimeEnded\n");
}

static void test_sandbox_gone_takes_its_pod(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_pod(f, "b", true, "other");
    fixture_remove(f, &api_sandbox, "s");
    assert_plan(f, SANDBOX, "delete a SandboxDeleted\n");
    fixture_remove(f, &api_pod, "a");
    assert_plan(f, SANDBOX, "");
}

/* The pod is not deleted, although the sandbox was gone for a moment. */
static void test_sandbox_that_is_back_keeps_its_pod(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    store_remove(f->w->sandboxes, "ns/s", NULL, "1");
    put_ready_sandbox(f);
    assert_null(strstr(fixture_plan(f, SANDBOX, NULL), "delete"));
}

/* A sandbox as an operator of an earlier release leaves it: it has taken a pod of this release. The
 * CRD of that release drops the key whenever it is written. */
static void test_key_that_cannot_be_kept_is_written_seldom(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *unpinned = xstrdup(READY_STATUS), *body = NULL;

    memcpy(strstr(unpinned, "agentKey"), "whatever", strlen("agentKey"));
    put_pool(f, 0, "x");
    put_ready_sandbox(f);
    for (int i = 0; i < 4; i++) {
        put_sandbox(f, "s", "", unpinned);
        fixture_plan(f, SANDBOX, &body);
        assert_in(body, "\"agentKey\":\"" AGENT_SIDE_KEY "\"");
        put_sandbox(f, "s", "", unpinned);
        fixture_pass(f, (10000 << i) - 1);
        assert_null(strstr(fixture_plan(f, SANDBOX, NULL), "status"));
        fixture_pass(f, 1);
    }
}

/* ---- tasks ----------------------------------------------------------------------------------- */

static void test_task_starts_without_a_write(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "");
    assert_plan(f, TASK, "start t for s attempt 1\n");
}

static void test_tasks_of_a_sandbox_run_in_order(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "");
    put_task(f, "t2", ONE_STEP, "");
    assert_plan(f, "task/ns/t2", "after 800ms\n");
    put_task(f, "t", ONE_STEP, "\"state\":\"Failed\"");
    assert_plan(f, "task/ns/t2", "start t2 for s attempt 1\n");
}

static struct run *start_run(struct fixture *f)
{
    struct run_target target = {.task_uid = xstrdup("uid-t"), .sandbox_uid = xstrdup("uid-s")};
    struct run *r = run_new(target, 1, 1, f->now);

    world_add_run(f->w, "ns/t", r);
    return r;
}

static void feed(struct fixture *f, struct run *r, struct task_event ev)
{
    ev.seq = r->last_seq + 1;
    assert_int_equal(run_event(r, &ev, f->now, NULL), 0);
}

static void test_task_running_is_written_late(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "");
    start_run(f);
    assert_plan(f, TASK, "after 400ms\n");
    fixture_pass(f, 400);
    assert_plan(f, TASK, "status t Running\n");
}

static void run_to_end(struct fixture *f, struct run *r, int code, enum task_end_reason reason)
{
    feed(f, r, (struct task_event){.type = TASK_EVENT_ACCEPTED});
    feed(f, r, (struct task_event){.type = TASK_EVENT_STEP, .time_unix_ms = 1750000000000});
    feed(f, r, (struct task_event){.type = TASK_EVENT_OUT, .fd = 1, .data = "hi\n", .data_len = 3});
    feed(f, r, (struct task_event){.type = TASK_EVENT_EXIT, .code = code, .duration_ns = 5000000});
    feed(f, r,
         (struct task_event){
             .type = TASK_EVENT_END, .code = code, .reason = reason, .duration_ns = 5000000});
}

static void test_task_output_is_shown_at_a_bounded_rate(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;
    struct run *r;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "\"state\":\"Running\"");
    r = start_run(f);
    feed(f, r, (struct task_event){.type = TASK_EVENT_ACCEPTED});
    feed(f, r, (struct task_event){.type = TASK_EVENT_STEP});
    assert_plan(f, TASK, "");
    feed(f, r, (struct task_event){.type = TASK_EVENT_OUT, .fd = 1, .data = "a", .data_len = 1});
    assert_plan(f, TASK, "after 1400ms\n");
    fixture_pass(f, 1400);
    body = plan_body(f, TASK);
    assert_string_equal(buf_str(&f->text), "status t Progress\n");
    assert_in(body, "\"state\":\"Running\"");
    assert_in(body, "\"stdout\":\"a\"");
    assert_null(strstr(body, "exitCode"));
    assert_plan(f, TASK, "");
    feed(f, r, (struct task_event){.type = TASK_EVENT_OUT, .fd = 1, .data = "b", .data_len = 1});
    assert_plan(f, TASK, "after 1000ms\n");
}

static void test_task_end_is_one_write(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "");
    run_to_end(f, start_run(f), 0, TASK_END_COMPLETED);
    body = plan_body(f, TASK);
    assert_string_equal(buf_str(&f->text), "status t Completed\n");
    assert_in(body, "\"state\":\"Succeeded\",\"exitCode\":0");
    assert_in(body, "\"stdout\":\"hi\\n\",\"stderr\":\"\"");
    assert_in(body, "\"duration\":\"5ms\"");
    put_task(f, "t", ONE_STEP, "\"state\":\"Succeeded\"");
    assert_plan(f, TASK, "forget t\n");
}

static void test_task_success_needs_every_step(void **state)
{
    struct fixture *f = *state;
    struct run *r;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "");
    r = start_run(f);
    feed(f, r, (struct task_event){.type = TASK_EVENT_ACCEPTED});
    feed(f, r, (struct task_event){.type = TASK_EVENT_END, .reason = TASK_END_COMPLETED});
    assert_plan(f, TASK, "status t StepFailed\n");
}

static void test_task_retries_after_a_write(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP ",\"retries\":1", "");
    run_to_end(f, start_run(f), 3, TASK_END_STEP_FAILED);
    assert_plan(f, TASK, "after 1000ms\n");
    f->now.wall_ns -= 3600 * NSEC_PER_SEC; /* somebody sets the clock */
    fixture_pass(f, 1000);
    body = plan_body(f, TASK);
    assert_string_equal(buf_str(&f->text), "status t Retrying\n");
    assert_in(body, "\"attempt\":2");
    assert_in(body, "\"attempts\":[{\"attempt\":1,\"exitCode\":3,\"reason\":\"StepFailed\"");
    put_task(f, "t", ONE_STEP ",\"retries\":1", "\"state\":\"Running\",\"attempt\":2");
    assert_plan(f, TASK, "cancel t\nafter 0ms\n");
    run_free(world_take_run(f->w, "ns/t"));
    assert_plan(f, TASK, "start t for s attempt 2\n");
}

static void test_task_without_sandbox(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_task(f, "t", ONE_STEP, "");
    assert_plan(f, TASK, "after 10000ms\nstatus t WaitingForSandbox\n");
    fixture_pass(f, 10000);
    body = plan_body(f, TASK);
    assert_in(body, "\"state\":\"Failed\",\"exitCode\":1");
    assert_in(body, "\"stderr\":\"sandbox s not found\\n\"");
}

/* A sandbox that was made anew has the same name, but the task may have begun in the old one. */
static void test_task_does_not_begin_again_in_a_sandbox_made_anew(void **state)
{
    static const struct {
        const char *status;
        const char *actions;
    } rows[] = {
        {"", "status t SandboxDeleted\n"},
        {"\"state\":\"Running\",\"sandboxUID\":\"uid-before\"", "status t SandboxDeleted\n"},
        {"\"state\":\"Pending\"", "status t Running\n"},
        {"\"state\":\"Running\",\"sandboxUID\":\"uid-s\"", "start t for s attempt 1\n"},
    };
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    f->w->active_wall_ns = f->now.wall_ns;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *rest =
            xasprintf("\"spec\":{" ONE_STEP "},\"status\":{%s}", rows[i].status);

        fixture_put_at(f, &api_task, "t", "2025-06-15T15:00:00Z", "", rest);
        assert_plan(f, TASK, rows[i].actions);
    }
    f->w->active_wall_ns = f->now.wall_ns - 3600 * NSEC_PER_SEC;
    fixture_put_at(f, &api_task, "t", "2025-06-15T15:00:00Z", "",
                   "\"spec\":{" ONE_STEP "},\"status\":{}");
    assert_plan(f, TASK, "start t for s attempt 1\n");
}

static void test_task_that_has_begun_is_the_head(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "");
    put_task(f, "t2", ONE_STEP, "\"state\":\"Running\",\"sandboxUID\":\"uid-s\"");
    assert_plan(f, TASK, "after 800ms\n");
    assert_plan(f, "task/ns/t2", "start t2 for s attempt 1\n");
}

/* The older task is seen only now, and its status says Running: an operator before this one has
 * written that, and no more. The younger one has a run. */
static void test_task_that_runs_comes_before_one_that_is_said_to(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "");
    start_run(f);
    fixture_put_at(f, &api_task, "t0", "2025-06-15T15:06:30Z", "",
                   "\"spec\":{" ONE_STEP "},\"status\":{\"state\":\"Running\",\"sandboxUID\":"
                   "\"uid-s\"}");
    assert_plan(f, "task/ns/t0", "");
}

static void test_second_pod_of_a_sandbox_is_deleted(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_pod(f, "b", true, "s");
    put_ready_sandbox(f);
    assert_in(fixture_plan(f, SANDBOX, NULL), "delete b SecondPod\n");
}

static void test_task_with_a_bad_spec_fails_alone(void **state)
{
    static const struct {
        const char *spec;
        const char *message;
    } rows[] = {
        {ONE_STEP ",\"retries\":99", "spec.retries: 99 is not within 0 and 10"},
        {"\"sandboxRef\":\"s\",\"steps\":null", "spec.steps is empty"},
        {"\"sandboxRef\":\"s\",\"steps\":[]", "spec.steps is empty"},
        {"\"steps\":[{}]", "spec.sandboxRef is missing"},
        {"\"sandboxRef\":7,\"steps\":[{}]", "spec.sandboxRef"},
        {ONE_STEP ",\"timeout\":\"banana\"", "spec.timeout: banana is not a duration"},
    };
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cleanup_free char *body = NULL;

        put_task(f, "t", rows[i].spec, "");
        body = plan_body(f, TASK);
        assert_string_equal(buf_str(&f->text), "status t InvalidSpec\n");
        assert_in(body, "\"state\":\"Failed\"");
        assert_in(body, rows[i].message);
    }
    put_task(f, "t2", ONE_STEP, "");
    assert_plan(f, "task/ns/t2", "after 800ms\n");
    put_task(f, "t", ONE_STEP, "\"state\":\"Failed\"");
    assert_plan(f, "task/ns/t2", "start t2 for s attempt 1\n");
}

static void test_task_of_a_lost_pod(void **state)
{
    struct fixture *f = *state;
    cleanup_free char *body = NULL;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "");
    start_run(f);
    put_sandbox(f, "s", "",
                "\"phase\":\"Failed\",\"conditions\":[{\"type\":\"Ready\",\"status\":"
                "\"False\",\"reason\":\"PodLost\",\"message\":\"pod a is gone\"}]");
    body = plan_body(f, TASK);
    assert_string_equal(buf_str(&f->text), "status t PodLost\n");
    assert_in(body, "\"state\":\"Failed\",\"exitCode\":137");
}

static void test_task_deleted_is_cancelled(void **state)
{
    struct fixture *f = *state;

    put_pool(f, 1, "x");
    put_ready_sandbox(f);
    put_task(f, "t", ONE_STEP, "");
    start_run(f);
    fixture_remove(f, &api_task, "t");
    assert_plan(f, TASK, "cancel t\nafter 0ms\n");
}

static void test_task_ttl(void **state)
{
    struct fixture *f = *state;

    put_task(f, "t", ONE_STEP ",\"ttlSecondsAfterFinished\":5",
             "\"state\":\"Succeeded\",\"completionTime\":\"" T0_TEXT "\"");
    assert_plan(f, TASK, "after 6000ms\n");
    fixture_pass(f, 6000);
    assert_plan(f, TASK, "delete t TTLExpired\n");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_pool_fills),
        T(test_pool_counts_idle_only),
        T(test_pool_says_how_many_are_missing),
        T(test_pool_scales_down_the_worst_first),
        T(test_pool_rolls_with_bounded_unavailability),
        T(test_pool_replaces_pods_that_know_another_key),
        T(test_pool_refills_when_a_claim_is_answered),
        T(test_pool_holds_back_with_a_limit),
        T(test_pool_does_not_hold_back_from_a_waiting_sandbox),
        T(test_pool_makes_few_pods_of_an_unproven_template),
        T(test_pool_backs_off_from_pods_that_end),
        T(test_pool_says_why_pods_fail),
        T(test_pool_refuses_a_privileged_template),
        T(test_pool_gone_takes_its_idle_pods),
        T(test_pool_made_anew_has_pods_of_its_own),
        T(test_sandbox_claims_the_oldest_pod),
        T(test_sandbox_goes_straight_to_ready),
        T(test_sandbox_first_come_first_served),
        T(test_sandbox_takes_no_pod_under_a_write),
        T(test_sandbox_says_what_it_waits_for_then_fails),
        T(test_sandbox_of_a_missing_pool),
        T(test_sandbox_fails_with_its_pod),
        T(test_sandbox_that_was_ready_before_is_audited_once),
        T(test_sandbox_lifetime),
        T(test_sandbox_gone_takes_its_pod),
        T(test_sandbox_that_is_back_keeps_its_pod),
        T(test_key_that_cannot_be_kept_is_written_seldom),
        T(test_task_starts_without_a_write),
        T(test_tasks_of_a_sandbox_run_in_order),
        T(test_task_running_is_written_late),
        T(test_task_output_is_shown_at_a_bounded_rate),
        T(test_task_end_is_one_write),
        T(test_task_success_needs_every_step),
        T(test_task_retries_after_a_write),
        T(test_task_without_sandbox),
        T(test_task_does_not_begin_again_in_a_sandbox_made_anew),
        T(test_task_that_has_begun_is_the_head),
        T(test_task_that_runs_comes_before_one_that_is_said_to),
        T(test_second_pod_of_a_sandbox_is_deleted),
        T(test_task_with_a_bad_spec_fails_alone),
        T(test_task_of_a_lost_pod),
        T(test_task_deleted_is_cancelled),
        T(test_task_ttl),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
