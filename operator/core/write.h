/*
 * Writes under way, and reads that plans have asked for: which entries of the ledger they have, and
 * what an answer means. The executor makes the requests. It hands each answer to write_answered(),
 * which puts the object into its store, notes what the world learns from the answer, queues the
 * keys that waited for it, and says what comes next. Nothing here makes a request or reads a clock.
 *
 * When nobody knows whether a claim, a create or the status of a sandbox took place, or when the
 * cache is known to be behind, the object is read until the API server answers; the entry in the
 * ledger stays until then. The diagram is in write_state.c.
 *
 * Ownership: the caller owns a write, and frees it after WRITE_OVER or WRITE_BACK_OFF. One that is
 * freed earlier keeps its entries: only the end of the operator does that.
 */
#ifndef ARL_OPERATOR_CORE_WRITE_H
#define ARL_OPERATOR_CORE_WRITE_H

#include "common/base/clock.h"
#include "operator/core/action.h"
#include "operator/core/world.h"
#include "operator/core/write_state.h"
#include "operator/kube/result.h"

struct write {
    enum write_state state;
    enum ledger_verb verb;
    const struct api_kind *kind; /* of the object */
    char *plan_key;              /* the key of the queue whose plan has asked for it; NULL: none */
    char *ns;
    char *name;
    char *uid;         /* of the object; NULL: any */
    char *pool_key;    /* CREATE, CLAIM; DELETE by a pool */
    char *sandbox_key; /* CLAIM; READ for a sandbox */
    char *reason;      /* for logs; of a STATUS also what it says */
    char *trace;       /* STATUS of a task: its traceID */
    int64_t begun_mono_ns;
    /* Only for this unit. */
    char *rv;               /* of the object in the cache when this began; NULL: none was there */
    bool read_back;         /* after a Conflict, or when it is unknown whether it took place */
    bool unanswered;        /* it may take place yet, even if it had not when it was read back */
    const char *lost_claim; /* why it was not done, if nobody has changed the pod */
    struct write *beside;   /* the claim of a pod, and the status that says so, while both are under
                             * way: the last of them that ends frees the sandbox for its next plan */
    char *promised;         /* the key of the pod that this status names, before that is claimed */
    size_t at_once;         /* CREATE: so many of the pool were under way when it began */
    unsigned reads_failed;
};

/* What the executor does next. */
enum write_next {
    WRITE_OVER,     /* nothing: free it */
    WRITE_BACK_OFF, /* free it, and put its plan_key back by queue_failed() */
    WRITE_READ,     /* read the object now: what was a claim may be a READ from here on */
    WRITE_PAUSE,    /* read the object at *ret_due */
};

/* Begins what an action of the plan of `key` asks for: of CREATE_POD, CLAIM_POD, DELETE, STATUS,
 * READ. name: of the pod that is made; else NULL. The object must have no entry in the ledger. */
struct write *write_begin(struct world *w, const char *key, const struct action *a,
                          const char *name, struct now now);
/* The status that the action's ready_body says, while the claim goes out. */
struct write *write_begin_beside(struct world *w, struct write *claim, const struct action *a,
                                 struct now now);
/* The request, or the read, was answered. Takes the object out of res. */
enum write_next write_answered(struct world *w, struct write *wr, struct kube_result *res,
                               struct now now, int64_t *ret_due);
/* The pause is over: the object is being read. */
void write_reads(struct write *wr);
void write_free(struct write *wr);

#endif
