/*
 * What the operator holds of many runs at once, and what an agent can make it do: the memory of
 * outputs, statuses that are written together, output that is shown, steps that are not kept, an
 * agent that sends too much or does not end.
 */
#include "tests/unit/unit.h"

#include "tests/unit/manager_rig.h"

#include "common/base/limits.h"

#define RUNS 40
#define CHUNKS 16 /* of 32 KiB: half a MiB for each run */

static char chunk[LIMIT_EVENT_CHUNK_BYTES];

/* ---- many sandboxes with a pod and a task each ----------------------------------------------- */

static char *many(struct rig *r, char *(*make)(struct rig *r, int i))
{
    char *all = make(r, 0);

    for (int i = 1; i < RUNS; i++)
        all = join(all, make(r, i));
    return all;
}

static char *a_pod(struct rig *r, int i)
{
    char name[16], box[16];

    snprintf(name, sizeof(name), "p%d", i);
    snprintf(box, sizeof(box), "s%d", i);
    return pod_object(r, name, box);
}

static char *box_status(int i)
{
    return xasprintf(
        "\"phase\":\"Ready\",\"podName\":\"p%d\",\"podUID\":\"uid-p%d\",\"workDir\":\"/w\"", i, i);
}

static char *a_box(struct rig *r, int i)
{
    cleanup_free char *status = box_status(i);
    char name[16];

    snprintf(name, sizeof(name), "s%d", i);
    return sandbox_object(r, name, status);
}

static char *a_task(struct rig *r, int i, const char *status)
{
    cleanup_free char *rest = xasprintf(
        "\"spec\":{\"sandboxRef\":\"s%d\",\"steps\":[{\"name\":\"x\",\"type\":\"Command\","
        "\"command\":[\"true\"]}]},\"status\":{%s}",
        i, status);
    char name[16];

    snprintf(name, sizeof(name), "t%d", i);
    return object(r, name, "", rest);
}

static char *put_of(int i)
{
    return xasprintf("PUT /v1/tasks/uid-t%d/1", i);
}

static void start_many(struct rig *r)
{
    memset(chunk, 'x', sizeof(chunk));
    start(r, many(r, a_pod), pool_object(r, 0), many(r, a_box), NULL);
    for (int i = 0; i < RUNS; i++)
        answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    for (int i = 0; i < RUNS; i++)
        watch(r, "tasks", "ADDED", a_task(r, i, ""));
}

/* Sends one event of run i on its call. False: the operator has ended the stream. */
static bool tell(struct rig *r, int i, struct task_event ev)
{
    cleanup_free char *put = put_of(i);

    if (!fake_find(&r->ops, put))
        return false;
    return event(r, put, ev);
}

static void tell_output(struct rig *r, int i, int chunks)
{
    tell(r, i, (struct task_event){.seq = 1, .type = TASK_EVENT_STEP});
    for (int k = 0; k < chunks; k++)
        tell(r, i,
             (struct task_event){.seq = 2 + (uint64_t)k,
                                 .type = TASK_EVENT_OUT,
                                 .fd = 1 + k % 2,
                                 .data = chunk,
                                 .data_len = sizeof(chunk)});
}

static void tell_end(struct rig *r, int i, int chunks)
{
    tell(r, i, (struct task_event){.seq = 2 + (uint64_t)chunks, .type = TASK_EVENT_EXIT});
    tell(r, i, (struct task_event){.seq = 3 + (uint64_t)chunks, .type = TASK_EVENT_END});
}

static struct ops_call *status_of(struct rig *r, int i)
{
    cleanup_free char *what = xasprintf("/tasks/t%d/status", i);

    return fake_find(&r->ops, what);
}

static void answer_status_of(struct rig *r, int i, const char *state)
{
    cleanup_free char *what = xasprintf("/tasks/t%d/status", i);
    cleanup_free char *status = xasprintf("\"state\":\"%s\"", state);

    answer_object(r, what, a_task(r, i, status));
}

static int64_t metric(struct rig *r, const char *name)
{
    cleanup_buf struct buf out = BUF_INIT(1 << 20);
    cleanup_free char *line = xasprintf("\n%s ", name);
    const char *at;

    manager_metrics(r->m, &out);
    at = strstr(buf_str(&out), line);
    assert_non_null(at);
    return strtoll(at + strlen(line), NULL, 10);
}

static size_t statuses(struct rig *r)
{
    size_t n = 0;

    for (int i = 0; i < RUNS; i++)
        n += status_of(r, i) && strstr(status_of(r, i)->body, "\"state\":\"Succeeded\"");
    return n;
}

/* ---- the memory of runs ---------------------------------------------------------------------- */

/* All runs end at once, with more output than there is memory for. Every result is whole in the
 * end, and at no moment more is held or written than the budgets say. */
static void test_all_end_at_once(void **state)
{
    struct rig *r = *state;
    bool done[RUNS] = {false};
    int left = RUNS, reads = 0;
    size_t most = 0;

    start_many(r);
    for (int i = 0; i < RUNS; i++) {
        tell_output(r, i, CHUNKS);
        assert_in_range(metric(r, "arl_run_memory_bytes"), 1, LIMIT_RUN_MEMORY_BYTES);
    }
    for (int i = 0; i < RUNS; i++)
        tell_end(r, i, CHUNKS);
    while (left > 0) {
        int before = left;

        most = MAX(most, statuses(r));
        for (int i = 0; i < RUNS; i++) {
            cleanup_free char *put = put_of(i);

            if (status_of(r, i)) {
                const char *body = status_of(r, i)->body;

                assert_false(done[i]);
                if (strstr(body, "\"state\":\"Running\"")) {
                    answer_status_of(r, i, "Running");
                    break;
                }
                assert_non_null(strstr(body, "\"state\":\"Succeeded\""));
                assert_true(strlen(body) > 2 * (sizeof(chunk) * CHUNKS - (64 << 10)));
                answer_status_of(r, i, "Succeeded");
                done[i] = true;
                left--;
                break;
            }
            if (!done[i] && fake_find(&r->ops, put)) {
                assert_null(strstr(fake_find(&r->ops, put)->path, "after="));
                reads++;
                tell_output(r, i, CHUNKS);
                tell_end(r, i, CHUNKS);
            }
            assert_in_range(metric(r, "arl_run_memory_bytes"), 0, LIMIT_RUN_MEMORY_BYTES);
        }
        if (left == before && !statuses(r))
            fake_advance(&r->ops, 100);
    }
    assert_in_range(most, 1, LIMIT_RESULTS_BYTES / (1 << 20));
    assert_in_range(reads, RUNS / 4, RUNS);
    assert_int_equal(metric(r, "arl_run_memory_bytes"), 0);
}

/* Runs that go on give way to runs that have ended. A run that has printed little keeps its
 * output. */
static void test_the_small_keep_their_output(void **state)
{
    struct rig *r = *state;

    start_many(r);
    tell(r, 0, (struct task_event){.seq = 1, .type = TASK_EVENT_STEP});
    tell(r, 0,
         (struct task_event){
             .seq = 2, .type = TASK_EVENT_OUT, .fd = 1, .data = "small", .data_len = 5});
    for (int i = 1; i < RUNS; i++)
        tell_output(r, i, CHUNKS);
    tell(r, 0, (struct task_event){.seq = 3, .type = TASK_EVENT_EXIT});
    tell(r, 0, (struct task_event){.seq = 4, .type = TASK_EVENT_END});
    assert_non_null(strstr(status_of(r, 0)->body, "\"stdout\":\"small\""));
}

/* All runs end. One whose output waits to be read again loses its sandbox; returns its number. */
static int one_is_lost(struct rig *r)
{
    int waiting = -1;

    start_many(r);
    for (int i = 0; i < RUNS; i++)
        tell_output(r, i, CHUNKS);
    for (int i = 0; i < RUNS; i++)
        tell_end(r, i, CHUNKS);
    for (int i = 0; i < RUNS; i++) {
        cleanup_free char *put = put_of(i);

        if (!fake_find(&r->ops, put) && !status_of(r, i))
            waiting = i;
    }
    assert_true(waiting >= 0);
    watch(r, "sandboxes", "DELETED", a_box(r, waiting));
    return waiting;
}

/* The pod goes before the output could be read again: the task still says how it ended. */
static void test_lost_before_it_was_read_again(void **state)
{
    struct rig *r = *state;
    int waiting = one_is_lost(r);

    for (int n = 0; n < RUNS && !status_of(r, waiting); n++)
        for (int i = 0; i < RUNS; i++)
            if (status_of(r, i) && i != waiting) {
                answer_status_of(
                    r, i, strstr(status_of(r, i)->body, "Succeeded") ? "Succeeded" : "Running");
                break;
            }
    assert_non_null(status_of(r, waiting));
    assert_non_null(strstr(status_of(r, waiting)->body, "\"state\":\"Succeeded\""));
    assert_non_null(strstr(status_of(r, waiting)->body, "only the end of the output is here"));
}

/* The same, and the API server refuses the status of that task until it is its turn to be read: the
 * end of its output stays. */
static void test_lost_and_refused_before_it_was_read_again(void **state)
{
    struct rig *r = *state;
    int waiting = one_is_lost(r);

    /* All others are read and written, so that there is room for everybody. */
    for (int n = 0; n < 100; n++) {
        for (int i = 0; i < RUNS; i++) {
            cleanup_free char *put = put_of(i);
            struct ops_call *status = status_of(r, i);

            if (status && i == waiting)
                fake_answer(status, 500,
                            "{\"kind\":\"Status\",\"reason\":\"InternalError\",\"code\":500,"
                            "\"message\":\"failed calling webhook \\\"w\\\": no\"}");
            else if (status)
                answer_status_of(r, i, strstr(status->body, "Succeeded") ? "Succeeded" : "Running");
            else if (fake_find(&r->ops, put)) {
                tell_output(r, i, CHUNKS);
                tell_end(r, i, CHUNKS);
            }
            turn(r);
        }
        fake_advance(&r->ops, 100);
    }
    fake_advance(&r->ops, 300000);
    turn(r);
    assert_non_null(status_of(r, waiting));
    assert_non_null(strstr(status_of(r, waiting)->body, "only the end of the output is here"));
    assert_non_null(strstr(status_of(r, waiting)->body, "xxxx"));
}

/* Nor does the agent keep a task, its stream and its part of the memory by not sending again what
 * was dropped. The tasks behind it are read. */
static void test_agents_that_do_not_send_the_rest(void **state)
{
    struct rig *r = *state;
    int left = RUNS, cut = 0, seconds = 0;

    start_many(r);
    for (int i = 0; i < RUNS; i++)
        tell_output(r, i, CHUNKS);
    for (int i = 0; i < RUNS; i++)
        tell_end(r, i, CHUNKS);
    for (; seconds < 3000 && left > 0; seconds++) {
        for (int i = 0; i < RUNS; i++) {
            cleanup_free char *put = put_of(i);
            const struct ops_call *status = status_of(r, i);

            if (fake_find(&r->ops, put))
                fake_data(&r->ops, fake_find(&r->ops, put), "\n", 1);
            if (!status)
                continue;
            left -= strstr(status->body, "Succeeded") != NULL;
            cut += strstr(status->body, "does not send the rest of it") != NULL;
            answer_status_of(r, i, strstr(status->body, "Succeeded") ? "Succeeded" : "Running");
        }
        fake_advance(&r->ops, 1000);
        turn(r);
    }
    assert_int_equal(left, 0);
    assert_in_range(cut, 1, RUNS - 1);
    /* 60 s for each, and 10 s in which it is asked once more; several at once. */
    assert_in_range(seconds, 60, 70 * RUNS / 4);
    assert_int_equal(metric(r, "arl_run_memory_bytes"), 0);
}

/* ---- output that is shown -------------------------------------------------------------------- */

static void test_shown_output_is_bounded(void **state)
{
    struct rig *r = *state;
    size_t bytes = 0, writes = 0;
    bool shown[RUNS] = {false};

    start_many(r);
    for (int i = 0; i < RUNS; i++)
        tell(r, i, (struct task_event){.seq = 1, .type = TASK_EVENT_STEP});
    for (uint64_t s = 0; s < 60; s++) {
        for (int i = 0; i < RUNS; i++)
            tell(r, i,
                 (struct task_event){.seq = 2 + s,
                                     .type = TASK_EVENT_OUT,
                                     .fd = 1,
                                     .data = chunk,
                                     .data_len = sizeof(chunk)});
        for (int ms = 0; ms < 1000; ms += 50) {
            fake_advance(&r->ops, 50);
            turn(r);
            for (int i = 0; i < RUNS; i++) {
                struct ops_call *call = status_of(r, i);

                if (!call)
                    continue;
                if (strstr(call->body, "dropped")) {
                    assert_true(strlen(call->body) < 8192 + 1500);
                    bytes += strlen(call->body);
                    writes++;
                    shown[i] = true;
                }
                answer_status_of(r, i, "Running");
            }
        }
    }
    assert_in_range(bytes, 30 * LIMIT_PROGRESS_BYTES_PER_S, 61 * LIMIT_PROGRESS_BYTES_PER_S);
    assert_in_range(writes, 100, 60 * RUNS);
    for (int i = 0; i < RUNS; i++)
        assert_true(shown[i]);
}

/* The agent keeps output back until the step ends, but shows the end of it. */
static void test_the_last_output_is_shown(void **state)
{
    struct rig *r = *state;
    const struct task_event tail = {
        .type = TASK_EVENT_TAIL, .fd = 1, .gap_bytes = 100, .data = "last\n", .data_len = 5};

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", "\"state\":\"Running\""));
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_STEP});
    event(r, PUT,
          (struct task_event){
              .seq = 2, .type = TASK_EVENT_OUT, .fd = 1, .data = "first\n", .data_len = 6});
    event(r, PUT, tail);
    fake_advance(&r->ops, 1500);
    turn(r);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body,
                           "\"stdout\":\"\\n[... 106 bytes dropped ...]\\nlast\\n\""));
    answer_object(r, TASK_STATUS, task_object(r, "t", "\"state\":\"Running\""));
    event(r, PUT, (struct task_event){.seq = 3, .type = TASK_EVENT_GAP, .fd = 1, .gap_bytes = 100});
    event(r, PUT,
          (struct task_event){
              .seq = 4, .type = TASK_EVENT_OUT, .fd = 1, .data = "last\n", .data_len = 5});
    event(r, PUT, (struct task_event){.seq = 5, .type = TASK_EVENT_EXIT});
    event(r, PUT, (struct task_event){.seq = 6, .type = TASK_EVENT_END});
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body,
                           "\"stdout\":\"first\\n\\n[... 100 bytes dropped ...]\\nlast\\n\""));
}

/* ---- steps that are not kept ----------------------------------------------------------------- */

#define GET_TASK(name) "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/tasks/" name

static char *large_task(struct rig *r, const char *name, const char *box, size_t bytes)
{
    cleanup_free char *content = xmalloc(bytes + 1), *rest = NULL;

    memset(content, 'y', bytes);
    content[bytes] = '\0';
    rest = xasprintf("\"spec\":{\"sandboxRef\":\"%s\",\"steps\":[{\"name\":\"large\",\"type\":"
                     "\"FilePatch\",\"path\":\"f\",\"content\":\"%s\"}]}",
                     box, content);
    return object(r, name, "", rest);
}

static void test_large_steps_are_read_when_they_start(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", large_task(r, "t", "s", 100000));
    assert_no_call(r, PUT);
    answer_status(r, GET_TASK("t"), 503, "ServiceUnavailable"); /* asked for again */
    fake_advance(&r->ops, 2000);
    assert_no_call(r, TASK_STATUS); /* it does not run yet */
    answer_object(r, GET_TASK("t"), large_task(r, "t", "s", 100000));
    assert_non_null(strstr(fake_find(&r->ops, PUT)->body, "yyyyyyyy"));
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_STEP});
    /* When a stream breaks, the operator attaches to the attempt and sends no steps. */
    lose(r, PUT);
    fake_advance(&r->ops, 100);
    assert_no_call(r, PUT);
    assert_no_call(r, GET_TASK("t"));
    event(r, "GET /v1/tasks/uid-t/1?after=1",
          (struct task_event){.seq = 2, .type = TASK_EVENT_EXIT});
    event(r, "GET /v1/tasks/uid-t/1?after=1",
          (struct task_event){.seq = 3, .type = TASK_EVENT_END});
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"name\":\"large\""));
}

static void test_small_steps_cost_no_request(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", large_task(r, "t", "s", 4000 - 100));
    assert_no_call(r, GET_TASK("t"));
    assert_call(r, PUT);
}

#define GET_SANDBOX(name) "GET /apis/arl.infra.io/v1alpha1/namespaces/ns/sandboxes/" name

static char *large_sandbox(struct rig *r, const char *name, const char *status, size_t bytes)
{
    cleanup_free char *value = xmalloc(bytes + 1), *rest = NULL;

    memset(value, 'e', bytes);
    value[bytes] = '\0';
    rest = xasprintf("\"spec\":{\"poolRef\":\"p\",\"env\":[{\"name\":\"BIG\",\"value\":\"%s\"}]"
                     "},\"status\":{%s}",
                     value, status);
    return object(r, name, "", rest);
}

/* Also for a small task. */
static void test_large_variables_are_read_when_a_task_starts(void **state)
{
    struct rig *r = *state;

    start_with_sandbox(r);
    watch(r, "sandboxes", "MODIFIED", large_sandbox(r, "s", READY, 100000));
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    assert_no_call(r, PUT);
    answer_object(r, GET_TASK("t"), task_object(r, "t", ""));
    assert_no_call(r, PUT);
    answer_status(r, GET_SANDBOX("s"), 503, "ServiceUnavailable"); /* asked for again */
    fake_advance(&r->ops, 2000);
    answer_object(r, GET_TASK("t"), task_object(r, "t", ""));
    answer_object(r, GET_SANDBOX("s"), large_sandbox(r, "s", READY, 100000));
    assert_non_null(strstr(fake_find(&r->ops, PUT)->body, "eeeeeeee"));
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_STEP});
    lose(r, PUT);
    fake_advance(&r->ops, 100);
    assert_no_call(r, GET_SANDBOX("s"));
    assert_call(r, "GET /v1/tasks/uid-t/1?after=1");
}

/* Anybody who may make sandboxes makes as many as he likes. */
static void test_large_variables_are_not_kept(void **state)
{
    struct rig *r = *state;
    const size_t kept[][2] = {{4000, 4096}, {5000, 0}, {1000000, 0}};

    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        cleanup_free char *text = large_sandbox(r, "x", "", kept[i][0]);
        cleanup_json struct json_object *obj = NULL;
        struct meta *m = NULL;
        const struct sandbox *s;

        assert_int_equal(json_parse(text, strlen(text), &obj, NULL), 0);
        assert_int_equal(api_sandbox.decode(obj, &m, NULL), 0);
        s = container_of(m, struct sandbox, meta);
        assert_in_range(s->env_bytes, kept[i][0], kept[i][0] + 100);
        assert_in_range(strlen(str_or_empty(s->env_json)), 0, kept[i][1]);
        assert_int_equal(sandbox_env_apart(s), kept[i][1] == 0);
        api_sandbox.free(m);
    }
}

/* Not all tasks read them at once. */
static void test_large_variables_take_turns(void **state)
{
    struct rig *r = *state;
    int reads = 0;

    start(r, many(r, a_pod), pool_object(r, 0), many(r, a_box), NULL);
    for (int i = 0; i < RUNS; i++)
        answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    for (int i = 0; i < RUNS; i++) {
        cleanup_free char *name = xasprintf("s%d", i), *task = xasprintf("t%d", i);
        cleanup_free char *status = box_status(i);

        watch(r, "sandboxes", "MODIFIED", large_sandbox(r, name, status, 700000));
        watch(r, "tasks", "ADDED", large_task(r, task, name, 10));
    }
    for (int i = 0; i < RUNS; i++) {
        cleanup_free char *get = xasprintf(GET_TASK("t%d"), i), *put = put_of(i);

        assert_null(fake_find(&r->ops, put));
        reads += fake_find(&r->ops, get) != NULL;
    }
    assert_in_range(reads, 1, 2);
}

/* The steps would run without the sandbox's variables, and in another directory. */
static void test_nothing_is_sent_when_the_sandbox_is_gone(void **state)
{
    struct rig *r = *state;
    cleanup_free char *task = NULL;

    start_with_sandbox(r);
    task = large_task(r, "t", "s", 10000);
    watch(r, "tasks", "ADDED", xstrdup(task));
    watch_only(r, "sandboxes", "DELETED", sandbox_object(r, "s", READY));
    fake_answer(fake_find(&r->ops, GET_TASK("t")), 200, task);
    assert_no_call(r, PUT);
    turn(r);
    assert_no_call(r, PUT);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"SandboxDeleted\""));
}

/* As many as the budget has room for are read and sent at once. */
static void test_large_starts_take_turns(void **state)
{
    struct rig *r = *state;
    int started = 0;

    start(r, many(r, a_pod), pool_object(r, 0), many(r, a_box), NULL);
    for (int i = 0; i < RUNS; i++)
        answer(r, "GET /v1/tasks", 200, "{\"running\":[]}");
    for (int i = 0; i < 10; i++) {
        char name[16], box[16];

        snprintf(name, sizeof(name), "t%d", i);
        snprintf(box, sizeof(box), "s%d", i);
        watch(r, "tasks", "ADDED", large_task(r, name, box, 700000));
    }
    for (int n = 0; n < 10; n++) {
        int under_way = 0, first = -1;

        for (int i = 0; i < 10; i++) {
            cleanup_free char *get = xasprintf(GET_TASK("t%d"), i), *put = put_of(i);

            if (!fake_find(&r->ops, get) && !(fake_find(&r->ops, put)))
                continue;
            under_way += fake_find(&r->ops, get) != NULL;
            if (fake_find(&r->ops, get) && first < 0)
                first = i;
        }
        assert_in_range(under_way, 1, 2);
        {
            cleanup_free char *get = xasprintf(GET_TASK("t%d"), first);
            char name[16], box[16];

            snprintf(name, sizeof(name), "t%d", first);
            snprintf(box, sizeof(box), "s%d", first);
            answer_object(r, get, large_task(r, name, box, 700000));
            tell(r, first, (struct task_event){.seq = 1, .type = TASK_EVENT_STEP});
            started++;
        }
    }
    assert_int_equal(started, 10);
}

/* ---- agents ---------------------------------------------------------------------------------- */

static void test_agent_that_sends_too_much_is_held_up(void **state)
{
    struct rig *r = *state;
    uint64_t seq = 1;
    bool alive = true;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", ""));
    event(r, PUT, (struct task_event){.seq = seq, .type = TASK_EVENT_STEP});
    while (alive && seq < 100000)
        alive =
            event(r, PUT,
                  (struct task_event){
                      .seq = ++seq, .type = TASK_EVENT_OUT, .fd = 1, .data = "", .data_len = 0});
    assert_in_range(seq, LIMIT_STREAM_EVENTS - 10, LIMIT_STREAM_EVENTS + 10);
    assert_no_call(r, PUT);
    fake_advance(&r->ops, 1000);
    turn(r);
    assert_call(r, "PUT /v1/tasks/uid-t/1?after=");
    assert_int_equal(metric(r, "arl_task_throttles_total"), 1);
}

/* Heartbeats do not keep a task alive beyond the time limits of its steps. */
static void test_agent_that_never_ends_is_given_up(void **state)
{
    struct rig *r = *state;
    int s = 0;

    start_with_sandbox(r);
    watch(r, "tasks", "ADDED", task_object(r, "t", "\"state\":\"Running\""));
    event(r, PUT, (struct task_event){.seq = 1, .type = TASK_EVENT_STEP});
    for (; s < 400 && !fake_find(&r->ops, TASK_STATUS); s++) {
        if (fake_find(&r->ops, PUT))
            fake_data(&r->ops, fake_find(&r->ops, PUT), "\n", 1);
        fake_advance(&r->ops, 1000);
        turn(r);
    }
    /* 300 s, the graces, and 10 s in which it is asked once more. */
    assert_in_range(s, 300, 330);
    assert_non_null(strstr(fake_find(&r->ops, TASK_STATUS)->body, "\"AgentUnavailable\""));
}

/* Times that cannot be true: before the task began, in the future, longer than it took. */
static void test_times_of_agents_are_bounded(void **state)
{
    struct rig *r = *state;
    const char *body;

    start_with_sandbox(r);
    fake_advance(&r->ops, 10000);
    watch(r, "tasks", "ADDED", task_object(r, "t", "\"state\":\"Running\""));
    event(r, PUT,
          (struct task_event){.seq = 1, .type = TASK_EVENT_STEP, .time_unix_ms = 4102444800000});
    event(r, PUT,
          (struct task_event){
              .seq = 2, .type = TASK_EVENT_EXIT, .duration_ns = 100 * 3600 * NSEC_PER_SEC});
    event(r, PUT,
          (struct task_event){
              .seq = 3, .type = TASK_EVENT_END, .duration_ns = 100 * 3600 * NSEC_PER_SEC});
    body = fake_find(&r->ops, TASK_STATUS)->body;
    assert_null(strstr(body, "2100-"));
    assert_null(strstr(body, "100h"));
    assert_non_null(strstr(body, "\"startTime\":\"2026-01-02T03:04:15Z\""));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_all_end_at_once),
        T(test_the_small_keep_their_output),
        T(test_lost_before_it_was_read_again),
        T(test_lost_and_refused_before_it_was_read_again),
        T(test_agents_that_do_not_send_the_rest),
        T(test_shown_output_is_bounded),
        T(test_the_last_output_is_shown),
        T(test_large_steps_are_read_when_they_start),
        T(test_small_steps_cost_no_request),
        T(test_large_starts_take_turns),
        T(test_large_variables_are_read_when_a_task_starts),
        T(test_large_variables_are_not_kept),
        T(test_large_variables_take_turns),
        T(test_nothing_is_sent_when_the_sandbox_is_gone),
        T(test_agent_that_sends_too_much_is_held_up),
        T(test_agent_that_never_ends_is_given_up),
        T(test_times_of_agents_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
