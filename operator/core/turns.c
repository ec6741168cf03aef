#include "operator/core/turns.h"

void turns_init(struct turns *t, size_t max)
{
    *t = (struct turns){.max = max};
    list_init(&t->line);
}

void turns_done(struct turns *t)
{
    struct turns_ns *n;
    size_t pos = 0;

    while ((n = map_next(&t->by_ns, &pos, NULL)))
        free(n);
    map_done(&t->by_ns);
}

static struct turns_ns *ns_of(struct turns *t, const char *ns)
{
    return map_ensure(&t->by_ns, ns, sizeof(struct turns_ns));
}

/* A namespace that has nothing and waits for nothing is not kept. */
static void ns_tidy(struct turns *t, const char *ns)
{
    const struct turns_ns *n = map_get(&t->by_ns, ns);

    if (n && n->used == 0 && n->waiting == 0)
        free(map_del(&t->by_ns, ns));
}

static bool has_room(const struct turns *t, size_t bytes)
{
    return t->asked == 0 || (bytes <= t->max && t->used <= t->max - bytes);
}

/* Whether it would have more than half of all while another namespace waits. */
static bool has_its_share(const struct turns *t, const struct turns_ns *n, size_t bytes)
{
    return t->waiting > n->waiting && n->used > 0 && n->used + bytes > t->max / 2;
}

static void give(struct turns *t, struct turns_ns *n, struct turn *turn)
{
    assert(turn->state != TURN_HAS && list_empty(&turn->link));
    turn->state = TURN_HAS;
    t->used += turn->bytes;
    n->used += turn->bytes;
}

static void begin(struct turn *turn, const char *key, size_t bytes)
{
    assert(turn->state == TURN_NONE && !turn->key);
    list_init(&turn->link);
    turn->key = xstrdup(key);
    turn->ns = xmemdup0(key, strcspn(key, "/"));
    turn->bytes = bytes;
}

static void leave_line(struct turns *t, struct turns_ns *n, struct turn *turn)
{
    assert(turn->state == TURN_WAITS && t->waiting > 0 && n->waiting > 0);
    list_remove(&turn->link);
    t->waiting--;
    n->waiting--;
}

/* The first in the line whose namespace has less than its share. NULL: none. */
static struct turn *first_without_share(const struct turns *t)
{
    list_for_each (it, &t->line) {
        struct turn *turn = list_entry(it, struct turn, link);

        if (!has_its_share(t, map_get(&t->by_ns, turn->ns), turn->bytes))
            return turn;
    }
    return NULL;
}

/* The first turn that may be granted. One that lacks room holds up those behind it, otherwise a
 * large one would never be granted. NULL: none. */
static struct turn *first_that_may(const struct turns *t)
{
    struct turn *turn = first_without_share(t);

    return turn && has_room(t, turn->bytes) ? turn : NULL;
}

static const char *has_most(const struct turns *t)
{
    const struct turns_ns *n;
    const char *ns, *best = NULL;
    size_t pos = 0, most = 0;

    while ((n = map_next(&t->by_ns, &pos, &ns)))
        if (n->used > most) {
            most = n->used;
            best = ns;
        }
    return best;
}

const char *turns_giver(const struct turns *t)
{
    const struct turn *first = first_without_share(t);

    if (list_empty(&t->line))
        return NULL;
    if (!first)
        first = list_first(&t->line, struct turn, link);
    return turns_used_by(t, first->ns) >= MAX(t->max / 2, 1) ? first->ns : has_most(t);
}

struct turn *turns_next(struct turns *t)
{
    struct turn *turn = first_that_may(t);
    struct turns_ns *n = turn ? map_get(&t->by_ns, turn->ns) : NULL;

    if (!turn)
        return NULL;
    leave_line(t, n, turn);
    give(t, n, turn);
    turn->asked = true;
    t->asked++;
    return turn;
}

bool turns_ask(struct turns *t, struct turn *turn, const char *key, size_t bytes)
{
    struct turns_ns *n;

    if (turn->state != TURN_NONE)
        return turn->state == TURN_HAS;
    begin(turn, key, bytes);
    turn->state = TURN_WAITS;
    n = ns_of(t, turn->ns);
    t->waiting++;
    n->waiting++;
    list_push_back(&t->line, &turn->link);
    return first_that_may(t) == turn && turns_next(t) == turn;
}

void turns_take(struct turns *t, struct turn *turn, const char *key, size_t bytes)
{
    struct turns_ns *n;

    if (turn->state == TURN_NONE)
        begin(turn, key, bytes);
    n = ns_of(t, turn->ns);
    if (turn->state == TURN_HAS) {
        t->used += bytes - turn->bytes;
        n->used += bytes - turn->bytes;
        turn->bytes = bytes;
        return;
    }
    if (turn->state == TURN_WAITS)
        leave_line(t, n, turn);
    turn->bytes = bytes;
    give(t, n, turn);
}

void turns_end(struct turns *t, struct turn *turn)
{
    struct turns_ns *n = turn->ns ? map_get(&t->by_ns, turn->ns) : NULL;

    if (turn->state == TURN_WAITS) {
        leave_line(t, n, turn);
    } else if (turn->state == TURN_HAS) {
        assert(t->used >= turn->bytes && n->used >= turn->bytes && t->asked >= turn->asked);
        t->used -= turn->bytes;
        n->used -= turn->bytes;
        t->asked -= turn->asked;
    }
    if (turn->ns)
        ns_tidy(t, turn->ns);
    free(turn->key);
    free(turn->ns);
    *turn = (struct turn){0};
}

void turns_check(const struct turns *t)
{
    const struct turns_ns *n;
    const char *ns;
    size_t pos = 0, used = 0;
    unsigned waiting = 0, in_line = 0;

    while ((n = map_next(&t->by_ns, &pos, &ns))) {
        used += n->used;
        waiting += n->waiting;
    }
    list_for_each (it, &t->line) {
        const struct turn *turn = list_entry(it, struct turn, link);

        assert(turn->state == TURN_WAITS);
        assert(map_get(&t->by_ns, turn->ns));
        in_line++;
    }
    assert(t->used == used);
    assert(t->waiting == waiting);
    assert(t->waiting == in_line);
}

bool turns_over(const struct turns *t)
{
    return t->used > t->max;
}

size_t turns_used_by(const struct turns *t, const char *ns)
{
    const struct turns_ns *n = map_get(&t->by_ns, ns);

    return n ? n->used : 0;
}
