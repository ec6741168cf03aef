/*
 * The writes under way: those that are sent, or about to be sent, and not answered yet. A planner
 * plans no second write for an object with an entry here, and does not rely on an object that is
 * about to change. Answers go into the stores at once, so an entry ends with its call.
 *
 * Limit: one entry for each object; the executor starts nothing without one.
 */
#ifndef ARL_OPERATOR_CORE_LEDGER_H
#define ARL_OPERATOR_CORE_LEDGER_H

#include "operator/api/meta.h"

enum ledger_verb {
    LEDGER_CREATE,
    LEDGER_CLAIM,
    LEDGER_DELETE,
    LEDGER_STATUS,
    LEDGER_READ,
    LEDGER_VERBS,
};

struct ledger;

struct ledger *ledger_new(void);
void ledger_free(struct ledger *l);
/* Called after the entry of an object has begun or ended. */
void ledger_on_change(struct ledger *l,
                      void (*fn)(void *arg, const struct api_kind *kind, const char *key),
                      void *arg);
/* pool_key: the pool that a create, claim, read or delete of a pod counts for, else NULL. */
void ledger_begin(struct ledger *l, enum ledger_verb verb, const struct api_kind *kind,
                  const char *key, const char *pool_key);
void ledger_end(struct ledger *l, const struct api_kind *kind, const char *key);
bool ledger_busy(const struct ledger *l, const struct api_kind *kind, const char *key);
bool ledger_busy_obj(const struct ledger *l, const struct api_kind *kind, const struct meta *obj);
/* How many entries of this verb count for the pool. */
size_t ledger_count(const struct ledger *l, enum ledger_verb verb, const char *pool_key);
/* Of all pools, and of other kinds. */
size_t ledger_count_all(const struct ledger *l, enum ledger_verb verb);
size_t ledger_size(const struct ledger *l);
/* The entries of the objects of a namespace. */
size_t ledger_size_of(const struct ledger *l, const char *ns);
/* Asserts that the counts are those of all entries: see world_check(). */
void ledger_check(const struct ledger *l);

#endif
