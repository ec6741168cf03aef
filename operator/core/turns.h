/*
 * A budget that all tasks share, and who waits for a part of it (pure). What asks is given its part
 * at once, or stands in line until others have given enough back; one namespace has at most half of
 * the budget while another waits. Something is always given when nobody has anything, so that what
 * is larger than all of the budget gets its turn, too, alone.
 *
 * Ownership: a turn is a member of what waits; the line owns none of them.
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
    unsigned asked;   /* parts that were asked for and are not given back */
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
    char *ns;  /* the part of it before the slash */
    size_t bytes;
    bool asked;
};

void turns_init(struct turns *t, size_t max);
void turns_done(struct turns *t); /* all turns must have ended */

/* key: "namespace/name" of who asks. True: it has its part. False: it stands in line, until
 * turns_next() returns it. Asking again changes nothing. */
bool turns_ask(struct turns *t, struct turn *turn, const char *key, size_t bytes);
/* Takes a part without asking, or makes it another size: what is there has to be counted. */
void turns_take(struct turns *t, struct turn *turn, const char *key, size_t bytes);
/* Gives its part back, or leaves the line; harmless when it has none. */
void turns_end(struct turns *t, struct turn *turn);
/* Who may go on now that something was given back, with its part; NULL: nobody. */
struct turn *turns_next(struct turns *t);
/* For budgets whose parts can be taken away and given again later: the namespace that is to give a
 * part back so that who waits can go on. That is the one that has most, but for those who have
 * their share themselves: they take turns among each other. NULL: nobody waits. */
const char *turns_giver(const struct turns *t);
/* More is taken than there is. */
bool turns_over(const struct turns *t);
/* What a namespace has of it. */
size_t turns_used_by(const struct turns *t, const char *ns);
/* Asserts that the sums are those of all turns: see world_check(). */
void turns_check(const struct turns *t);

#endif
