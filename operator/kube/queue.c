/*
 *          queue_add()                       queue_take(), queue_forget()
 *    IDLE ───────────────────────▶ READY ────────────────────────────────▶ IDLE
 *     │                              ▲
 *     │ queue_after(),               │ its time has come, queue_add()
 *     │ queue_failed()               │
 *     └─────────────────────────▶ DELAYED ───────────────────────────────▶ IDLE
 *                                                 queue_forget()
 *
 * A key that is ready is never delayed: it was added after the plan began that delays it. A key
 * that the queue does not have is idle.
 */
#include "operator/kube/queue.h"

#include "common/base/backoff.h"
#include "common/base/list.h"
#include "common/base/map.h"

enum key_state {
    KEY_IDLE,    /* taken; kept because it has failed before */
    KEY_READY,   /* in a lane */
    KEY_DELAYED, /* in the heap */
    KEY_STATES,
};

static const char *const state_names[KEY_STATES] = {
    [KEY_IDLE] = "idle", [KEY_READY] = "ready", [KEY_DELAYED] = "delayed"};

static const bool followers[KEY_STATES][KEY_STATES] = {
    [KEY_IDLE] = {[KEY_READY] = true, [KEY_DELAYED] = true},
    [KEY_READY] = {[KEY_IDLE] = true},
    [KEY_DELAYED] = {[KEY_IDLE] = true, [KEY_READY] = true},
};

const struct sm_table queue_table = {"queue key", state_names, followers[0], KEY_STATES};

struct queue_key {
    char *key;
    enum key_state state;
    enum queue_lane lane;
    unsigned failures;
    struct list link; /* KEY_READY */
    int64_t due_ns;   /* KEY_DELAYED */
    uint64_t seq;     /* order among those due at the same time */
    size_t heap_pos;  /* KEY_DELAYED */
};

struct queue {
    struct map keys;
    struct list lanes[QUEUE_LANES];
    size_t ready;
    struct queue_key **heap; /* the earliest first */
    size_t heap_len;
    size_t heap_alloc;
    uint64_t seq;
};

struct queue *queue_new(void)
{
    struct queue *q = xcalloc(1, sizeof(*q));

    for (int i = 0; i < QUEUE_LANES; i++)
        list_init(&q->lanes[i]);
    return q;
}

void queue_free(struct queue *q)
{
    struct queue_key *k;
    size_t pos = 0;

    if (!q)
        return;
    while ((k = map_next(&q->keys, &pos, NULL))) {
        free(k->key);
        free(k);
    }
    map_done(&q->keys);
    free(q->heap);
    free(q);
}

/* ---- the heap of delayed keys ---------------------------------------------------------------- */

static bool key_before(const struct queue_key *a, const struct queue_key *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->seq < b->seq;
}

static void heap_set(struct queue *q, size_t i, struct queue_key *k)
{
    q->heap[i] = k;
    k->heap_pos = i;
}

static void heap_up(struct queue *q, size_t i)
{
    struct queue_key *k = q->heap[i];

    while (i > 0 && key_before(k, q->heap[(i - 1) / 2])) {
        heap_set(q, i, q->heap[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    heap_set(q, i, k);
}

static void heap_down(struct queue *q, size_t i)
{
    struct queue_key *k = q->heap[i];

    for (;;) {
        size_t c = 2 * i + 1;

        if (c + 1 < q->heap_len && key_before(q->heap[c + 1], q->heap[c]))
            c++;
        if (c >= q->heap_len || !key_before(q->heap[c], k))
            break;
        heap_set(q, i, q->heap[c]);
        i = c;
    }
    heap_set(q, i, k);
}

static void heap_insert(struct queue *q, struct queue_key *k)
{
    if (q->heap_len == q->heap_alloc) {
        q->heap_alloc = q->heap_alloc ? q->heap_alloc * 2 : 16;
        q->heap = xrealloc(q->heap, q->heap_alloc * sizeof(*q->heap));
    }
    heap_set(q, q->heap_len++, k);
    heap_up(q, k->heap_pos);
}

static void heap_delete(struct queue *q, struct queue_key *k)
{
    size_t i = k->heap_pos;
    struct queue_key *last = q->heap[--q->heap_len];

    if (last == k)
        return;
    heap_set(q, i, last);
    heap_down(q, i);
    heap_up(q, last->heap_pos);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static struct queue_key *key_ensure(struct queue *q, const char *key)
{
    struct queue_key *k = map_get(&q->keys, key);

    if (k)
        return k;
    k = xcalloc(1, sizeof(*k));
    k->key = xstrdup(key);
    list_init(&k->link);
    map_put(&q->keys, key, k);
    return k;
}

/* Takes it out of the lane or the heap that it is in; the caller puts it where it is to be. The
 * state may stay the same: another lane, another time. */
static void key_move(struct queue *q, struct queue_key *k, enum key_state to)
{
    if (to != k->state)
        sm_move(&queue_table, (size_t)k->state, (size_t)to);
    if (k->state == KEY_READY) {
        list_remove(&k->link);
        q->ready--;
    } else if (k->state == KEY_DELAYED) {
        heap_delete(q, k);
    }
    k->state = to;
}

static void key_make_ready(struct queue *q, struct queue_key *k, enum queue_lane lane)
{
    key_move(q, k, KEY_READY);
    k->lane = lane;
    list_push_back(&q->lanes[lane], &k->link);
    q->ready++;
}

static void key_free(struct queue *q, struct queue_key *k)
{
    key_move(q, k, KEY_IDLE);
    map_del(&q->keys, k->key);
    free(k->key);
    free(k);
}

void queue_add(struct queue *q, const char *key, enum queue_lane lane)
{
    struct queue_key *k = key_ensure(q, key);

    if (k->state != KEY_READY || lane < k->lane)
        key_make_ready(q, k, lane);
}

void queue_after(struct queue *q, const char *key, enum queue_lane lane, int64_t mono_ns)
{
    struct queue_key *k = key_ensure(q, key);

    if (k->state == KEY_READY)
        return;
    if (k->state == KEY_DELAYED) {
        lane = MIN(lane, k->lane);
        mono_ns = MIN(mono_ns, k->due_ns);
    }
    key_move(q, k, KEY_DELAYED);
    k->lane = lane;
    k->due_ns = mono_ns;
    k->seq = q->seq++;
    heap_insert(q, k);
}

void queue_failed(struct queue *q, const char *key, enum queue_lane lane, int64_t now_mono_ns,
                  uint64_t jitter)
{
    struct queue_key *k = key_ensure(q, key);
    int64_t delay_ns = backoff_ns(QUEUE_BACKOFF_BASE_MS, QUEUE_BACKOFF_MAX_MS, ++k->failures);

    /* Three quarters to all of it, so that keys that failed together do not come back together. */
    delay_ns -= (int64_t)(jitter % (uint64_t)(delay_ns / 4));
    queue_after(q, key, lane, now_mono_ns + delay_ns);
}

void queue_ok(struct queue *q, const char *key)
{
    struct queue_key *k = map_get(&q->keys, key);

    if (!k)
        return;
    k->failures = 0;
    if (k->state == KEY_IDLE)
        key_free(q, k);
}

void queue_forget(struct queue *q, const char *key)
{
    struct queue_key *k = map_get(&q->keys, key);

    if (k)
        key_free(q, k);
}

void queue_clear(struct queue *q)
{
    struct queue_key *k;
    size_t pos = 0;

    while ((k = map_next(&q->keys, &pos, NULL))) {
        list_remove(&k->link);
        free(k->key);
        free(k);
    }
    map_done(&q->keys);
    q->ready = q->heap_len = 0;
}

char *queue_take(struct queue *q, int64_t now_mono_ns)
{
    while (q->heap_len > 0 && q->heap[0]->due_ns <= now_mono_ns)
        key_make_ready(q, q->heap[0], q->heap[0]->lane);
    for (int i = 0; i < QUEUE_LANES; i++) {
        struct queue_key *k;
        char *key;

        if (list_empty(&q->lanes[i]))
            continue;
        k = list_first(&q->lanes[i], struct queue_key, link);
        key = xstrdup(k->key);
        if (k->failures > 0)
            key_move(q, k, KEY_IDLE);
        else
            key_free(q, k);
        return key;
    }
    return NULL;
}

int64_t queue_next_due(const struct queue *q)
{
    return q->heap_len > 0 ? q->heap[0]->due_ns : 0;
}

size_t queue_len(const struct queue *q)
{
    return q->ready;
}

size_t queue_delayed(const struct queue *q)
{
    return q->heap_len;
}

static struct queue_view view_of(const struct queue_key *k)
{
    return (struct queue_view){.key = k->key,
                               .state = sm_state_str(&queue_table, (size_t)k->state),
                               .due_ns = k->state == KEY_DELAYED ? k->due_ns : 0,
                               .failures = k->failures};
}

void queue_look(const struct queue *q, const char *key, struct queue_view *ret)
{
    const struct queue_key *k = map_get(&q->keys, key);

    *ret = k ? view_of(k) : (struct queue_view){.key = key, .state = state_names[KEY_IDLE]};
}

bool queue_next(const struct queue *q, size_t *pos, struct queue_view *ret)
{
    const struct queue_key *k = map_next(&q->keys, pos, NULL);

    if (k)
        *ret = view_of(k);
    return k != NULL;
}
