/*
 * An agent that belongs to the tenant, or that was taken over with its key. Its answers open, and
 * none of them is true. Its own tasks may end in any way. But each ends in its time, with times
 * that are possible, and no task of another sandbox suffers. The agent may go on with what it is
 * told to stop: the sandbox is its own.
 */
#include "tests/sim/net.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/limits.h"
#include "common/wire/task_proto.h"

#define ANSWER_MAX (1u << 20)
#define BEAT_MS 5000
#define LONG 60000u

/* ---- whose word is not true ------------------------------------------------------------------ */

void evil_mark(struct sim *s, const char *task_uid)
{
    map_put(&s->evil_tasks, task_uid, s);
}

bool evil_told(struct sim *s, const char *task_uid)
{
    return map_get(&s->evil_tasks, task_uid) != NULL;
}

/* ---- what runs ------------------------------------------------------------------------------- */

static void repeat(struct buf *b, const char *what, size_t n)
{
    while (n-- > 0)
        buf_puts(b, what);
}

/* A task of somebody else's, as if it ran here. */
static void list_another(struct sim *s, struct buf *b)
{
    size_t n = s->api.count[SIM_TASK];
    const struct obj *o = n ? s->api.objs[SIM_TASK][sim_below(s, n)] : NULL;

    buf_printf(b, "{\"attempt\":\"%s/1\",\"task\":\"" SIM_NS "/%s\"}", o ? o->uid : "tasks-0",
               o ? o->name : "none");
}

static void list_running(struct sim *s, struct msg *m)
{
    struct buf b = BUF_INIT(ANSWER_MAX);

    buf_puts(&b, "{\"running\":[");
    switch (s->quiet ? 0 : sim_below(s, 6)) {
    case 0:
        break;
    case 1:
        buf_puts(&b, "{\"attempt\":\"");
        repeat(&b, "A", sim_below(s, 2) ? 7 : 700);
        buf_puts(&b, "/1\",\"task\":\"x/");
        repeat(&b, "A", 700);
        buf_puts(&b, "\"}");
        break;
    case 2:
        buf_puts(&b, "{}");
        repeat(&b, ",{}", 2000);
        break;
    case 3:
        buf_puts(&b,
                 "{\"attempt\":5,\"task\":null},\"x\",[[[]]],{\"attempt\":\"/\"},{\"attempt\":\"a/"
                 "99999999999999999999\",\"task\":\"/\"}");
        break;
    default:
        list_another(s, &b);
    }
    buf_puts(&b, "]}");
    m->status = 200;
    m->reply = buf_steal(&b);
}

/* ---- a task ---------------------------------------------------------------------------------- */

static const int64_t odd_times_ms[] = {0, 1, 1735689600000 /* 2025 */, 32503680000000 /* 3000 */,
                                       INT64_MAX / 2000000};

static int64_t odd(struct sim *s)
{
    return odd_times_ms[sim_below(s, ARRAY_SIZE(odd_times_ms))];
}

/* The events of a task that ends well, but with times that make no sense. */
static void tell_times(struct sim *s, struct buf *b)
{
    const struct task_event events[] = {
        {.seq = 1, .type = TASK_EVENT_ACCEPTED},
        {.seq = 2, .type = TASK_EVENT_STEP, .time_unix_ms = odd(s)},
        {.seq = 3, .type = TASK_EVENT_OUT, .fd = 1, .data = "evil\n", .data_len = 5},
        {.seq = 4, .type = TASK_EVENT_EXIT, .duration_ns = odd(s) * SIM_MS},
        {.seq = 5, .type = TASK_EVENT_END, .duration_ns = odd(s) * SIM_MS},
    };

    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        task_event_encode(&events[i], b);
}

static void tell_long(struct sim *s, struct buf *b)
{
    cleanup_buf struct buf text = BUF_INIT(LONG);
    struct task_event exit = {.seq = 3, .type = TASK_EVENT_EXIT, .code = 1};

    repeat(&text, "e/", LONG / 4);
    exit.error = exit.spool = buf_str(&text);
    task_event_encode(&(struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED}, b);
    task_event_encode(&(struct task_event){.seq = 2, .type = TASK_EVENT_STEP}, b);
    task_event_encode(&exit, b);
    task_event_encode(
        &(struct task_event){
            .seq = 4, .type = TASK_EVENT_END, .code = 1, .reason = TASK_END_STEP_FAILED},
        b);
}

static void tell_nonsense(struct sim *s, struct buf *b)
{
    static const char *const lines[] = {
        "{\"seq\":1,\"type\":\"accepted\"}\n{\"seq\":7,\"type\":\"end\"}\n",
        "{\"seq\":1,\"type\":\"out\",\"step\":4000000000,\"fd\":9,\"data\":\"=\"}\n",
        "{\"seq\":18446744073709551615,\"type\":\"end\",\"code\":-1}\n",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\n",
        "{\"seq\":1,\"type\":\"end\",\"reason\":\"Completed\"}\n",
    };

    buf_puts(b, lines[sim_below(s, ARRAY_SIZE(lines))]);
}

static void on_beat(struct sim *s, struct msg *m, uint64_t call, uint64_t b)
{
    if (!stream_alive(s, call))
        return;
    seal_write(s, call, "\n", 1, false);
    sim_after_ms(s, BEAT_MS, on_beat, call, 0);
}

/* Says for ever that the task runs. */
static void hang(struct sim *s, struct msg *m)
{
    cleanup_buf struct buf b = BUF_INIT(ANSWER_MAX);

    task_event_encode(&(struct task_event){.seq = 1, .type = TASK_EVENT_ACCEPTED}, &b);
    seal_write(s, m->call, b.data, b.len, false);
    sim_after_ms(s, BEAT_MS, on_beat, m->call, 0);
}

static void run(struct sim *s, struct kpod *k, struct msg *m)
{
    static const int refusals[] = {400, 403, 404, 409, 410, 413, 500};
    static void (*const tell[])(struct sim *, struct buf *) = {tell_times, tell_times, tell_long,
                                                               tell_nonsense};
    cleanup_buf struct buf b = BUF_INIT(ANSWER_MAX);
    size_t what = sim_below(s, 8);

    if (what == 0) {
        api_status(m, refusals[sim_below(s, ARRAY_SIZE(refusals))], "", "an evil agent's");
        return;
    }
    m->status = 200;
    seal_begin(s, k, m);
    if (what <= ARRAY_SIZE(tell)) {
        tell[what - 1](s, &b);
        seal_write(s, m->call, b.data, b.len, true);
    } else {
        hang(s, m);
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

void evil_handle(struct sim *s, struct kpod *k, struct msg *m)
{
    static const int stopped[] = {202, 204, 404, 500};
    char uid[128];

    if (sscanf(m->path, "/v1/tasks/%127[^/]", uid) == 1)
        evil_mark(s, uid);
    if (strcmp(m->method, "DELETE") == 0)
        m->status = stopped[sim_below(s, ARRAY_SIZE(stopped))];
    else if (strcmp(m->path, "/v1/tasks") == 0)
        list_running(s, m);
    else if (strcmp(m->path, "/v1/acknowledged") == 0)
        m->status = 204;
    else
        run(s, k, m);
}
