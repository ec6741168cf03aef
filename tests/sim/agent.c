/* The model of the sidecars. It uses the shipped codec, keeps a journal of attempts, streams
 * events, and refuses requests that are for another pod or sandbox. A step is the command `do MS
 * CODE`: it takes MS milliseconds, prints a line of its own and exits with CODE. */
#include "tests/sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/wire/task_proto.h"

#define SIGNATURE_BYTES 64
#define STREAMS 16
#define HEARTBEAT_MS 5000
#define CODE_TIMEOUT 124
#define CODE_KILLED 137
/* From the cancel of a step to its end: some steps do not heed SIGTERM. */
#define KILL_MIN_MS 20
#define KILL_MAX_MS 2500

struct attempt {
    struct list node;
    char *task_uid;
    int64_t number;
    char *body; /* of the request; stands for its digest in the journal */
    struct task_request req;
    bool running;
    bool canceled; /* it is being killed */
    bool forgotten;
    uint64_t generation; /* of the step that runs */
    size_t step;
    uint64_t seq;
    struct buf lines;
    struct buf out;
    int code;
    const char *reason; /* NULL: has not ended */
    int64_t begun_ns;
    int64_t step_begun_ns;
    int proc;      /* the operator that has begun it, */
    unsigned life; /* and which life of it */
    uint64_t streams[STREAMS];
};

static size_t index_of(struct sim *s, const struct kpod *k)
{
    size_t i = 0;

    while (s->pods[i] != k)
        i++;
    return i;
}

/* ---- events ---------------------------------------------------------------------------------- */

static void say(struct sim *s, struct attempt *a, struct task_event ev)
{
    cleanup_buf struct buf line = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    int r;

    ev.seq = ++a->seq;
    r = task_event_encode(&ev, &line);
    assert(r == 0);
    buf_append(&a->lines, line.data, line.len);
    for (size_t i = 0; i < STREAMS; i++)
        if (a->streams[i])
            seal_write(s, a->streams[i], line.data, line.len, false);
}

static void end(struct sim *s, struct attempt *a, enum task_end_reason reason, int code)
{
    a->running = false;
    a->generation++;
    a->code = code;
    a->reason = task_end_reason_str(reason);
    say(s, a,
        (struct task_event){.type = TASK_EVENT_END,
                            .code = code,
                            .reason = reason,
                            .duration_ns = s->now_ns - a->begun_ns});
    for (size_t i = 0; i < STREAMS; i++) {
        seal_write(s, a->streams[i], "", 0, true);
        a->streams[i] = 0;
    }
    sim_move(s, "attempt %s/%" PRId64 ": %s %d", a->req.task_name, a->number, a->reason, code);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static struct attempt *attempt_at(const struct kpod *k, uint64_t n)
{
    list_for_each (it, &k->attempts)
        if (n-- == 0)
            return list_entry(it, struct attempt, node);
    return NULL;
}

static uint64_t attempt_index(const struct kpod *k, const struct attempt *a)
{
    uint64_t n = 0;

    list_for_each (it, &k->attempts) {
        if (list_entry(it, struct attempt, node) == a)
            break;
        n++;
    }
    return n;
}

static void begin_step(struct sim *s, struct kpod *k, struct attempt *a);

static int64_t step_number(const struct task_step *st, size_t i, int64_t fallback)
{
    return !st->invalid && st->argc > i ? strtoll(st->argv[i], NULL, 10) : fallback;
}

/* One step in eight prints so much that an operator which is short of memory cannot keep the output
 * of all of them. */
#define MUCH_OUTPUT 20000

char *agent_step_text(const char *task_uid, int64_t attempt, size_t step)
{
    cleanup_free char *text = xasprintf("%s %" PRId64 " %zu\n", task_uid, attempt, step);
    cleanup_free char *much = xcalloc(MUCH_OUTPUT + 1, 1);
    unsigned sum = (unsigned)step;

    for (const char *p = task_uid; *p; p++)
        sum = sum * 31 + (unsigned char)*p;
    if (sum % 8 == 0)
        memset(much, 'x', MUCH_OUTPUT);
    return xasprintf("%s%s", much, text);
}

static void end_step(struct sim *s, struct kpod *k, struct attempt *a)
{
    const struct task_step *st = &a->req.steps[a->step];
    bool late = step_number(st, 1, 0) > a->req.timeout_ms;
    int code = late ? CODE_TIMEOUT : (int)step_number(st, 2, st->invalid ? 1 : 0);
    cleanup_free char *text = agent_step_text(a->task_uid, a->number, a->step);

    buf_puts(&a->out, text);
    say(s, a,
        (struct task_event){.type = TASK_EVENT_OUT,
                            .step = (uint32_t)a->step,
                            .fd = 1,
                            .data = text,
                            .data_len = strlen(text)});
    say(s, a,
        (struct task_event){.type = TASK_EVENT_EXIT,
                            .step = (uint32_t)a->step,
                            .code = code,
                            .duration_ns = s->now_ns - a->step_begun_ns});
    a->step++;
    if (code != 0)
        end(s, a, TASK_END_STEP_FAILED, code);
    else if (a->step == a->req.step_count)
        end(s, a, TASK_END_COMPLETED, 0);
    else
        begin_step(s, k, a);
}

/* where: the index of the pod in the upper 32 bits, that of the attempt in the lower ones. */
static void on_step_over(struct sim *s, struct msg *m, uint64_t where, uint64_t generation)
{
    struct kpod *k = s->pods[where >> 32];
    struct attempt *a = attempt_at(k, where & 0xffffffff);

    if (a->running && a->generation == generation)
        end_step(s, k, a);
}

static void begin_step(struct sim *s, struct kpod *k, struct attempt *a)
{
    const struct task_step *st = &a->req.steps[a->step];

    oracle_step_starts(s, k, a->req.sandbox_uid, a->task_uid, a->number, a->step);
    a->step_begun_ns = s->now_ns;
    say(s, a,
        (struct task_event){.type = TASK_EVENT_STEP,
                            .step = (uint32_t)a->step,
                            .time_unix_ms = sim_wall_ns(s) / SIM_MS});
    sim_after_ms(s, MIN(step_number(st, 1, 0), a->req.timeout_ms), on_step_over,
                 (uint64_t)index_of(s, k) << 32 | attempt_index(k, a), ++a->generation);
}

/* ---- streams --------------------------------------------------------------------------------- */

/* A heartbeat. On half of the streams it is a tail, which must not get into a result; on the others
 * it is an empty line. */
static void beat(struct sim *s, uint64_t call)
{
    static const char text[] = "this is shown and is no output\n";
    const struct task_event tail = {.type = TASK_EVENT_TAIL,
                                    .fd = 1,
                                    .gap_bytes = 1000000,
                                    .data = text,
                                    .data_len = sizeof(text) - 1};
    cleanup_buf struct buf line = BUF_INIT(LIMIT_EVENT_LINE_BYTES);

    if (call % 2 || task_event_encode(&tail, &line) < 0)
        buf_putc(&line, '\n');
    seal_write(s, call, line.data, line.len, false);
}

static void on_heartbeat(struct sim *s, struct msg *m, uint64_t call, uint64_t b)
{
    if (!stream_alive(s, call))
        return;
    beat(s, call);
    sim_after_ms(s, HEARTBEAT_MS, on_heartbeat, call, 0);
}

static void attach(struct sim *s, struct kpod *k, struct attempt *a, struct msg *m)
{
    char text[32];
    uint64_t after = 0, seq = 0;
    const char *p = buf_str(&a->lines);

    m->status = 200;
    seal_begin(s, k, m);
    if (query_get(m, "after", text, sizeof(text)))
        after = strtoull(text, NULL, 10);
    while (*p && seq < after) {
        p = strchr(p, '\n') + 1;
        seq++;
    }
    if (*p)
        seal_write(s, m->call, p, strlen(p), false);
    if (!a->running) {
        seal_write(s, m->call, "", 0, true);
        return;
    }
    for (size_t i = 0; i < STREAMS; i++)
        if (a->streams[i] == 0 || !stream_alive(s, a->streams[i])) {
            a->streams[i] = m->call;
            sim_after_ms(s, HEARTBEAT_MS, on_heartbeat, m->call, 0);
            return;
        }
    assert(!"more streams than there is room for");
}

/* ---- requests -------------------------------------------------------------------------------- */

static struct attempt *find(const struct kpod *k, const char *uid, int64_t number)
{
    list_for_each (it, &k->attempts) {
        struct attempt *a = list_entry(it, struct attempt, node);

        if (a->number == number && strcmp(a->task_uid, uid) == 0)
            return a;
    }
    return NULL;
}

static void attempt_free(struct attempt *a)
{
    list_remove(&a->node);
    free(a->task_uid);
    free(a->body);
    task_request_done(&a->req);
    buf_done(&a->lines);
    buf_done(&a->out);
    free(a);
}

/* Whether the operator that has sent m may not know that attempt a runs. Times of creation have no
 * fractions, so two operators may put two tasks of one second in a different order. Each asks the
 * agent what runs there before it begins anything. It cannot learn so of an attempt that another
 * life began after this one had begun to act. */
static bool may_not_know(const struct msg *m, const struct obj *me, const struct attempt *a,
                         const struct obj *other)
{
    bool other_life = a->proc != m->proc || a->life != m->life;

    return other && me && !oracle_task_final(other) && other_life && a->begun_ns >= m->active_ns &&
           strcmp(me->uid, other->uid) != 0 && oracle_same_second(other, me);
}

/* Tasks of a sandbox run one at a time. A task that was deleted or given up counts as long as it
 * runs. */
static void check_alone(struct sim *s, const struct kpod *k, const struct msg *m, const char *uid)
{
    const struct obj *me = api_find_uid(s, SIM_TASK, uid);

    /* Two operators that act at once may know different tasks. */
    if (s->cfg.procs > 1 && !s->cfg.leases)
        return;
    list_for_each (it, &k->attempts) {
        const struct attempt *a = list_entry(it, struct attempt, node);
        const struct obj *o = api_find_uid(s, SIM_TASK, a->task_uid);

        if (!a->running || may_not_know(m, me, a, o))
            continue;
        sim_fail(s, "%s starts while %s/%" PRId64 " runs in the same sandbox", uid, a->task_uid,
                 a->number);
    }
}

static void start(struct sim *s, struct kpod *k, struct msg *m, const char *uid, int64_t number)
{
    struct attempt *a = xcalloc(1, sizeof(*a));
    struct err err = {0};

    list_init(&a->node);
    if (task_request_decode(m->body, m->body_len, &a->req, &err) < 0 ||
        !str_eq(a->req.sandbox_uid, m->sandbox_uid)) {
        sim_fail(s, "a request that the sidecar cannot read: %s", err.msg);
        attempt_free(a);
        api_status(m, 400, "Bad", "bad request");
        return;
    }
    if (!k->served)
        k->served = xstrdup(m->sandbox_uid);
    check_alone(s, k, m, uid);
    a->task_uid = xstrdup(uid);
    a->number = number;
    a->body = xstrdup(m->body);
    a->running = true;
    a->proc = m->proc;
    a->life = m->life;
    a->begun_ns = s->now_ns;
    buf_init(&a->lines, 16u << 20);
    buf_init(&a->out, 16u << 20);
    list_push_back(&k->attempts, &a->node);
    sim_move(s, "attempt %s/%" PRId64 ": starts", a->req.task_name, number);
    say(s, a, (struct task_event){.type = TASK_EVENT_ACCEPTED});
    begin_step(s, k, a);
    attach(s, k, a, m);
}

static void put(struct sim *s, struct kpod *k, struct msg *m, const char *uid, int64_t number)
{
    struct attempt *a = find(k, uid, number);
    bool get = strcmp(m->method, "GET") == 0;

    if (!a && get)
        api_status(m, 404, "", "never started here");
    else if (!a)
        start(s, k, m, uid, number);
    else if (a->forgotten)
        api_status(m, 410, "", "acknowledged");
    else if (!get && strcmp(a->body, m->body) != 0)
        api_status(m, 409, "", "another body");
    else
        attach(s, k, a, m);
}

/* where: as for on_step_over(). */
static void on_killed(struct sim *s, struct msg *m, uint64_t where, uint64_t generation)
{
    struct attempt *a = attempt_at(s->pods[where >> 32], where & 0xffffffff);

    if (a->running && a->generation == generation)
        end(s, a, TASK_END_CANCELED, CODE_KILLED);
}

/* A cancel that has overtaken its PUT, on another connection: the attempt counts as over when the
 * PUT comes (as in sidecar/attempt/attempt_table.c). */
static void cancelled_before(struct kpod *k, const char *uid, int64_t number)
{
    struct attempt *a = xcalloc(1, sizeof(*a));

    a->task_uid = xstrdup(uid);
    a->number = number;
    a->forgotten = true;
    list_push_back(&k->attempts, &a->node);
}

static void delete (struct sim *s, struct kpod *k, struct msg *m, const char *uid, int64_t number)
{
    struct attempt *a = find(k, uid, number);

    if (!a) {
        cancelled_before(k, uid, number);
        api_status(m, 404, "", "never started here");
    } else if (a->running) {
        if (!a->canceled)
            sim_after_ms(s, sim_between(s, KILL_MIN_MS, KILL_MAX_MS), on_killed,
                         (uint64_t)index_of(s, k) << 32 | attempt_index(k, a), ++a->generation);
        a->canceled = true;
        m->status = 202;
    } else {
        a->forgotten = true;
        m->status = 204;
    }
}

static void list_running(const struct kpod *k, struct msg *m)
{
    struct buf b = BUF_INIT(1u << 20);
    const char *comma = "";

    buf_puts(&b, "{\"running\":[");
    list_for_each (it, &k->attempts) {
        const struct attempt *a = list_entry(it, struct attempt, node);

        if (!a->running)
            continue;
        buf_printf(&b, "%s{\"attempt\":\"%s/%" PRId64 "\",\"task\":\"%s\"}", comma, a->task_uid,
                   a->number, a->req.task_name);
        comma = ",";
    }
    buf_puts(&b, "]}");
    m->status = 200;
    m->reply = buf_steal(&b);
}

static void acknowledge(const struct kpod *k, struct msg *m)
{
    cleanup_json struct json_object *obj = NULL;
    struct json_object *attempts;

    json_parse(m->body, m->body_len, &obj, NULL);
    attempts = json_get(obj, "attempts");
    for (size_t i = 0; i < json_array_len(attempts); i++) {
        const char *label = str_or_empty(json_array_str(attempts, i));
        cleanup_free char *uid = xmemdup0(label, strcspn(label, "/"));
        struct attempt *a = find(k, uid, strtoll(label + strlen(uid) + 1, NULL, 10));

        if (a && !a->running)
            a->forgotten = true;
    }
    m->status = 204;
}

static struct kpod *pod_at(struct sim *s, const char *address)
{
    unsigned ip = 0, port = 0;

    if (sscanf(address, "10.0.0.%u:%u", &ip, &port) != 2 || port != AGENT_PORT)
        return NULL;
    for (size_t i = 0; i < s->pod_count; i++)
        if (s->pods[i]->ip == ip && s->pods[i]->state == KPOD_RUNNING)
            return s->pods[i];
    return NULL;
}

void agent_ill(struct sim *s, const char *address)
{
    struct kpod *k = pod_at(s, address);

    if (k)
        k->ill_ns = s->now_ns;
}

bool agent_well(const struct sim *s, const struct kpod *k, int64_t ns)
{
    for (int i = 0; i < s->cfg.procs; i++)
        if (s->procs[i].paused_until_ns > s->now_ns - ns)
            return false;
    return k->state == KPOD_RUNNING && k->agent_up && !k->cut_off && k->hostile == HOSTILE_NOT &&
           k->ill_ns < s->now_ns - ns;
}

static void refuse(struct sim *s, struct msg *m)
{
    char uid[128];

    api_status(m, 403, "", "this pod serves another sandbox");
    if (strcmp(m->method, "PUT") == 0 && sscanf(m->path, "/v1/tasks/%127[^/]", uid) == 1)
        map_put(&s->refusals, uid, s);
}

bool agent_refused(struct sim *s, const char *task_uid)
{
    return map_get(&s->refusals, task_uid) != NULL;
}

static void route(struct sim *s, struct kpod *k, struct msg *m)
{
    char uid[128];
    int64_t number;

    if (strcmp(m->path, "/v1/tasks") == 0)
        list_running(k, m);
    else if (strcmp(m->path, "/v1/acknowledged") == 0)
        acknowledge(k, m);
    else if (sscanf(m->path, "/v1/tasks/%127[^/]/%" SCNd64, uid, &number) != 2)
        api_status(m, 404, "", "there is nothing at this path");
    else if (strcmp(m->method, "DELETE") == 0)
        delete (s, k, m, uid, number);
    else
        put(s, k, m, uid, number);
}

void agent_handle(struct sim *s, struct msg *m)
{
    struct kpod *k = pod_at(s, m->address);

    if (!k) { /* refused by the node, or no such node: no answer at all */
        m->error = sim_chance(s, 500) ? -ETIMEDOUT : -ECONNREFUSED;
        return;
    }
    if (k->cut_off) {
        m->error = -ETIMEDOUT;
        return;
    }
    if (k->hostile == HOSTILE_IN_PLACE) {
        hostile_answer(s, k, m);
        return;
    }
    if (!k->agent_up) {
        m->error = -ECONNREFUSED;
        return;
    }
    if (!str_eq(m->pod_uid, k->uid)) {
        api_status(m, 401, "", "signed for another pod");
        return;
    }
    if (!seal_open(k, m)) {
        api_status(m, 426, "", "not sealed for this agent");
        return;
    }
    oracle_request(s, k, m->sandbox_uid);
    if (k->hostile == HOSTILE_EVIL)
        evil_handle(s, k, m);
    else if (k->served && !str_eq(k->served, m->sandbox_uid))
        refuse(s, m);
    else
        route(s, k, m);
    if (!m->stream || m->status != 200)
        seal_answer(s, k, m);
}

/*
 * In place of libsodium's function (-Wl,--wrap=crypto_sign_detached). The agents of the model check
 * no signature (tests/unit and the suite exec do), and signing took a twentieth of a run's time.
 */
int __wrap_crypto_sign_detached(unsigned char *sig, unsigned long long *ret_len,
                                const unsigned char *m, unsigned long long len,
                                const unsigned char *secret);

int __wrap_crypto_sign_detached(unsigned char *sig, unsigned long long *ret_len,
                                const unsigned char *m, unsigned long long len,
                                const unsigned char *secret)
{
    memset(sig, 1, SIGNATURE_BYTES);
    return 0;
}

/* ---- life ------------------------------------------------------------------------------------ */

static void cut_streams(struct sim *s, struct attempt *a)
{
    for (size_t i = 0; i < STREAMS; i++) {
        if (a->streams[i])
            stream_reset(s, a->streams[i]);
        a->streams[i] = 0;
    }
}

void agent_down(struct sim *s, struct kpod *k)
{
    k->agent_up = false;
    k->ill_ns = s->now_ns;
    k->agent_life++;
    list_for_each (it, &k->attempts) {
        struct attempt *a = list_entry(it, struct attempt, node);

        a->running = false;
        a->generation++;
        cut_streams(s, a);
    }
}

/* The tasks that ran here may end in any way from now on: nobody but the evil agent tells of
 * them. */
void agent_turns_evil(struct sim *s, struct kpod *k)
{
    agent_down(s, k);
    k->agent_up = true;
    k->hostile = HOSTILE_EVIL;
    list_for_each (it, &k->attempts)
        evil_mark(s, list_entry(it, struct attempt, node)->task_uid);
}

void agent_cut_off(struct sim *s, struct kpod *k)
{
    list_for_each (it, &k->attempts)
        for (size_t i = 0; i < STREAMS; i++)
            stream_silence(s, list_entry(it, struct attempt, node)->streams[i]);
}

void agent_up(struct sim *s, struct kpod *k)
{
    k->agent_up = true;
    k->ill_ns = s->now_ns;
    list_for_each (it, &k->attempts) {
        struct attempt *a = list_entry(it, struct attempt, node);

        if (!a->reason && !a->forgotten && k->hostile != HOSTILE_EVIL)
            end(s, a, TASK_END_AGENT_LOST, CODE_KILLED);
    }
    kubelet_set_ready(s, k, true);
}

static void on_up(struct sim *s, struct msg *m, uint64_t i, uint64_t life)
{
    struct kpod *k = s->pods[i];

    if (k->state == KPOD_RUNNING && k->agent_life == life && k->hostile != HOSTILE_IN_PLACE)
        agent_up(s, k);
}

/* The sidecar dies and comes back: the steps that ran are lost, its journal is not. */
void agent_restart(struct sim *s, struct kpod *k)
{
    if (k->hostile == HOSTILE_IN_PLACE)
        return;
    sim_note(s, "agent of %s restarts", k->name);
    agent_down(s, k);
    if (sim_chance(s, 500))
        kubelet_set_ready(s, k, false);
    sim_after_ms(s, sim_between(s, 200, 4000), on_up, index_of(s, k), k->agent_life);
}

void agent_done(struct kpod *k)
{
    list_for_each_safe (it, &k->attempts)
        attempt_free(list_entry(it, struct attempt, node));
}

size_t agent_running(const struct kpod *k)
{
    size_t n = 0;

    list_for_each (it, &k->attempts)
        n += list_entry(it, struct attempt, node)->running;
    return n;
}

bool agent_truth(struct sim *s, size_t *pos, const char *task_uid, int64_t attempt,
                 struct agent_truth *ret)
{
    while (*pos < s->pod_count) {
        const struct attempt *a = find(s->pods[(*pos)++], task_uid, attempt);

        if (!a || !a->reason)
            continue;
        *ret = (struct agent_truth){a->code, a->reason, a->out.data, a->step, s->pods[*pos - 1]};
        return true;
    }
    return false;
}
