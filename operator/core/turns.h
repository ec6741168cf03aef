/*
 * A budget that all tasks share, and the line of those that wait for a part of it (pure). A task
 * that asks gets its part at once, or stands in the line until others have given enough back. A
 * namespace has at most half of the budget while another namespace waits. When no part is taken,
 * the first in the line always gets one: so even a part that is larger than the whole budget is
 * granted, alone.
 *
 * Ownership: a turn is a member of the struct that waits; the line owns no turn.
 */
#ifndef ARL_OPERATOR_CORE_TURNS_H
#define ARL_OPERATOR_CORE_TURNS_H

#include "common/base/base.h"
#include "common/base/list.h"
#include "common/base/map.h"

struct turns {
    size_t max;
    size_t used;
    unsigned waiting;
    unsigned asked;   /* parts that were asked for and not given back yet */
    struct map by_ns; /* name -> struct turns_ns */
    struct list line;
};

struct turns_ns {
    size_t used;
    unsigned waiting;
};

enum turn_state { TURN_NONE, TURN_WAITS, TURN_HAS };

struct turn {
    struct list link;
    enum turn_state state;
    char *key; /* NULL in TURN_NONE */
    char *ns;  /* the part of the key before the slash */
    size_t bytes;
    bool asked;
};

void turns_init(struct turns *t, size_t max);
void turns_done(struct turns *t); /* all turns must have ended */

/* Asks for a part. key: "namespace/name" of the task. true: the part is granted. false: the turn
 * stands in the line until turns_next() returns it. Asking again changes nothing. */
bool turns_ask(struct turns *t, struct turn *turn, const char *key, size_t bytes);
/* Takes a part without asking, or changes its size: for memory that is in use already. */
void turns_take(struct turns *t, struct turn *turn, const char *key, size_t bytes);
/* Gives the part back, or leaves the line. Does nothing if the turn has neither. */
void turns_end(struct turns *t, struct turn *turn);
/* The next turn of the line that fits; its part is granted. NULL: none. */
struct turn *turns_next(struct turns *t);
/* For budgets whose parts can be taken away and granted again later: the namespace that has to give
 * a part back, so that a waiting one gets its turn. That is the namespace with the largest part. If
 * the waiting namespace has its full share itself, its own tasks take turns with each other. NULL:
 * nobody waits. */
const char *turns_giver(const struct turns *t);
/* Whether more is taken than the budget has. */
bool turns_over(const struct turns *t);
/* How much of the budget a namespace has. */
size_t turns_used_by(const struct turns *t, const char *ns);
/* Asserts that the sums are those of all turns: see world_check(). */
void turns_check(const struct turns *t);

#endif
