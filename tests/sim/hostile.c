/*
 * Those who answer and are not the agent: code in the sandbox that has taken the agent's port,
 * somebody on the network between operator and agent, a tenant who writes his own key into the
 * pod's annotations, and an agent that is not the one whose key was pinned. They know all that
 * travels unsealed and all that was sealed before, and have an X25519 pair of their own.
 *
 * Whenever an operator gets such an answer as a whole, it has to count one answer that it did not
 * believe: net.c checks that.
 */
#include "tests/sim/net.h"

#include <sodium.h>
#include <stdio.h>

#include "common/base/json.h"
#include "common/wire/task_proto.h"
#include "tests/agent_side.h"

#define LIES_MAX (64u << 10)

static const struct channel_pair *own_pair(void)
{
    static const unsigned char secret[CHANNEL_KEY_BYTES] = {66, 6};
    static struct channel_pair pair;

    if (pair.secret[0] == 0)
        channel_pair_init(&pair, secret);
    return &pair;
}

static void own_key(char ret[CHANNEL_KEY_TEXT])
{
    channel_key_format(own_pair()->public_key, ret);
}

/* ---- lies ------------------------------------------------------------------------------------ */

/* Events that would end the task: failed, with exit code 7. */
static void lie_of_a_task(struct buf *b)
{
    const struct task_event events[] = {
        {.seq = 1, .type = TASK_EVENT_ACCEPTED},
        {.seq = 2, .type = TASK_EVENT_STEP, .time_unix_ms = 1767323045000},
        {.seq = 3, .type = TASK_EVENT_OUT, .fd = 1, .data = "lie\n", .data_len = 4},
        {.seq = 4, .type = TASK_EVENT_EXIT},
        {.seq = 5, .type = TASK_EVENT_END, .reason = TASK_END_STEP_FAILED, .code = 7},
    };

    for (size_t i = 0; i < ARRAY_SIZE(events); i++)
        task_event_encode(&events[i], b);
}

static int lie(struct sim *s, const struct msg *m, struct buf *b)
{
    static const int statuses[] = {200, 202, 204, 400, 403, 404, 409, 410, 413};
    int status = statuses[sim_below(s, ARRAY_SIZE(statuses))];

    if (sim_below(s, 2))
        status = 200;
    if (status != 200)
        buf_puts(b, "{\"error\":\"a lie\"}");
    else if (strcmp(m->path, "/v1/tasks") == 0)
        buf_puts(b, "{\"running\":[]}");
    else if (strcmp(m->method, "PUT") == 0 || strcmp(m->method, "GET") == 0)
        lie_of_a_task(b);
    return status;
}

/* A lie, sealed in the right form, but with the liar's own keys. */
static void seal_lie(struct sim *s, const struct msg *m, struct buf *out)
{
    cleanup_buf struct buf text = BUF_INIT(LIES_MAX);
    unsigned char key[CHANNEL_KEY_BYTES];
    int status = lie(s, m, &text);

    if (seal_key(own_pair(), m, key))
        channel_answer(key, status, buf_str(&text), text.len, out);
}

/* ---- on the way ------------------------------------------------------------------------------ */

static void record(struct sim *s, const struct buf *b)
{
    struct buf *to = &s->recorded[s->recorded_next++ % SIM_RECORDED];

    to->max = LIES_MAX;
    buf_clear(to);
    buf_append(to, b->data, MIN(b->len, LIES_MAX));
}

static void replay(struct sim *s, struct buf *b)
{
    const struct buf *from = &s->recorded[sim_below(s, MIN(s->recorded_next, SIM_RECORDED))];

    buf_clear(b);
    buf_append(b, from->data, from->len);
}

/* May change the bytes of b on their way. m: b is this whole answer; NULL: b is a part of a stream.
 * Returns whether the stream ends here, cleanly. */
bool hostile_on_the_way(struct sim *s, struct kpod *k, struct msg *m, struct buf *b)
{
    struct buf honest = BUF_INIT(8u << 20);
    bool cut = false;

    if (k->hostile != HOSTILE_ON_THE_WAY || s->quiet || !sim_chance(s, 200) || b->len == 0) {
        if (b->len > 0)
            record(s, b);
        return false;
    }
    buf_append(&honest, b->data, b->len);
    switch (sim_below(s, m ? 4 : 3)) {
    case 0:
        b->data[sim_below(s, b->len)] ^= (char)(1 << sim_below(s, 8));
        break;
    case 1: {
        /* One cut in two is behind the first frame: no frame is broken, only the end is missing. */
        size_t first = CHANNEL_HEADER_BYTES + CHANNEL_FRAME_OVERHEAD + 2;

        cut = true;
        buf_shorten(b, sim_below(s, 2) && first < b->len ? first : sim_below(s, b->len));
        break;
    }
    case 2:
        replay(s, b);
        break;
    default:
        buf_clear(b);
        seal_lie(s, m, b);
    }
    k->ill_ns = s->now_ns;
    sim_note(s, "somebody changes an answer of %s", k->name);
    if (m)
        m->lied = b->len != honest.len || memcmp(b->data, honest.data, b->len) != 0;
    buf_done(&honest);
    return cut && !m;
}

/* ---- in its place ---------------------------------------------------------------------------- */

static bool means_nothing(int status)
{
    return status == 401 || status == 426 || status >= 500;
}

/* They have the agent's port: they answer everything, unsealed or sealed with their own keys. */
void hostile_answer(struct sim *s, struct kpod *k, struct msg *m)
{
    static const int unsealed[] = {401, 426, 503, 301};
    cleanup_buf struct buf text = BUF_INIT(LIES_MAX);
    bool sealed = sim_below(s, 2);

    m->status = lie(s, m, &text);
    if (sim_below(s, 8) == 0)
        m->status = unsealed[sim_below(s, ARRAY_SIZE(unsealed))];
    m->lied = !means_nothing(m->status);
    if (sealed && m->lied) {
        m->status = 200;
        buf_clear(&text);
        seal_lie(s, m, &text);
    }
    sim_note(s, "somebody answers for %s: %d%s", k->name, m->status, sealed ? ", sealed" : "");
    if (m->stream && m->status == 200) {
        stream_write(s, m->call, buf_str(&text), text.len);
        if (sim_below(s, 2))
            stream_end(s, m->call);
        else
            stream_reset(s, m->call);
        return;
    }
    m->reply_len = text.len;
    m->reply = xmemdup0(buf_str(&text), text.len);
}

/* ---- who is one ------------------------------------------------------------------------------ */

/* A key of theirs where the operator might look: in an annotation, which any tenant writes. */
static void annotate(struct sim *s, struct kpod *k)
{
    struct obj *o = api_find_uid(s, SIM_POD, k->uid);
    cleanup_free char *patch = NULL;
    char key[CHANNEL_KEY_TEXT];

    own_key(key);
    patch = xasprintf("{\"metadata\":{\"annotations\":{\"arl.infra.io/agent-key\":\"%s\"}}}", key);
    if (o)
        api_merge(s, o, patch);
}

static void on_leave(struct sim *s, struct msg *m, uint64_t i, uint64_t life)
{
    struct kpod *k = s->pods[i];

    if (k->hostile != HOSTILE_IN_PLACE || k->agent_life != life)
        return;
    sim_note(s, "the port of %s is free again", k->name);
    k->hostile = HOSTILE_NOT;
    agent_up(s, k);
}

static bool has_pinned(struct sim *s, const struct kpod *k)
{
    const struct obj *box = k->served ? api_find_uid(s, SIM_SANDBOX, k->served) : NULL;

    return box && json_get_str(json_get(box->j, "status"), "agentKey");
}

static void on_arrive(struct sim *s, struct msg *m, uint64_t i, uint64_t b)
{
    struct kpod *k = s->pods[i];

    if (k->state != KPOD_RUNNING || !k->agent_up || !k->ready || s->quiet)
        return;
    if (sim_chance(s, s->cfg.evil)) {
        agent_turns_evil(s, k);
        sim_note(s, "the agent of %s is evil", k->name);
        return;
    }
    switch (sim_below(s, 4)) {
    case 0:
        k->hostile = HOSTILE_ON_THE_WAY;
        break;
    case 1: /* else their key would be the first one that is told, and be pinned */
        if (!has_pinned(s, k))
            return;
        k->hostile = HOSTILE_IN_PLACE;
        agent_down(s, k);
        kubelet_tell_key(s, k, own_pair()->public_key);
        break;
    default:
        k->hostile = HOSTILE_IN_PLACE;
        agent_down(s, k);
        annotate(s, k);
        if (sim_below(s, 3))
            sim_after_ms(s, sim_between(s, 500, 60000), on_leave, i, k->agent_life);
    }
    sim_note(s, "somebody is hostile in %s: %s", k->name,
             k->hostile == HOSTILE_IN_PLACE ? "has its port" : "is on its way");
}

void hostile_choose(struct sim *s, size_t i)
{
    if (!s->quiet && sim_chance(s, s->cfg.hostile))
        sim_after_ms(s, sim_between(s, 100, 20000), on_arrive, i, 0);
}
