/*
 * Actions: planners return them as a list of values. The executor does them through ops, and the
 * answers put keys back into the queue.
 */
#ifndef ARL_OPERATOR_CORE_ACTION_H
#define ARL_OPERATOR_CORE_ACTION_H

#include "operator/api/meta.h"

enum action_type {
    ACTION_CREATE_POD, /* a further pod for the pool `name`; the executor names and builds it;
                        * `number` creates of the pool are under way then */
    ACTION_CLAIM_POD,  /* patch pod `name` with body for the Sandbox other_name; see ready_body */
    ACTION_DELETE,     /* delete the object with exactly this uid */
    ACTION_STATUS,     /* merge patch of the status subresource with body */
    ACTION_READ,       /* read the object from the API server, since the cache may be behind */
    ACTION_RUN_START,  /* start or attach to attempt `number` of the task */
    ACTION_RUN_CANCEL, /* stop the attempt; nobody wants its result any more */
    ACTION_RUN_STOP,   /* stop the attempt, and wait for its end */
    ACTION_RUN_FORGET, /* the result is written: the agent may drop it */
    ACTION_AUDIT,      /* ask the agent which attempts run; cancel those that nobody wants */
    ACTION_EVENT,      /* a Kubernetes Event for people */
    ACTION_AFTER,      /* plan this key again at mono time `number` */
};

/* What plan_begun() notes in the state of the planned object when an action begins, beside what is
 * noted for its type. */
enum action_note {
    NOTE_NOTHING,
    NOTE_TELLING, /* STATUS of a sandbox: it tells what others may change as often as they like */
    NOTE_PIN,     /* STATUS of a sandbox: it has the agent's key once more */
    NOTE_OUTPUT,  /* STATUS of a task: it shows output */
    NOTE_REFUSAL, /* EVENT of a task: it tells that the final status is refused */
    NOTE_FOREIGN, /* EVENT of a pool: it tells of pods that are not ours */
};

struct action {
    struct action *next;
    enum action_type type;
    const struct api_kind *kind; /* of the object */
    char *ns;
    char *name;
    char *uid;        /* of the object */
    char *rv;         /* DELETE: only of this version; NULL: of any */
    char *other_name; /* CLAIM: the Sandbox */
    char *other_uid;  /* CLAIM: its UID */
    char *pool;       /* CREATE, CLAIM, DELETE by a pool: the pool's name */
    char *body;
    char *ready_body; /* CLAIM: the Sandbox's status, to be written at the same time; NULL: none */
    char *reason;     /* why, for logs and Events */
    char *message;    /* for logs and Events */
    char *trace;      /* STATUS of a task: its traceID, for logs; NULL: none */
    bool warning;     /* EVENT */
    int64_t number;
    /* Only for plan_begun(): */
    enum action_note note;
    char *ended;  /* DELETE by a pool: how the pod has ended, or why it is replaced; NULL: neither,
                   * or it does not matter */
    bool failure; /* DELETE by a pool: the next pod waits longer, see pool_plan.c */
    unsigned refusals; /* STATUS, EVENT of a pool: it tells of the refused creates up to here */
    uint64_t output_events; /* NOTE_OUTPUT: it shows the output of the first so many events */
    size_t stored_bytes;    /* NOTE_OUTPUT: what the object takes in etcd then */
};

struct actions {
    struct action *first;
    struct action **tail;
};

void actions_init(struct actions *a);
void actions_done(struct actions *a);
#define cleanup_actions CLEANUP(actions_done)

/* All of these append an action. They copy texts, and take over body. */
struct action *action_add(struct actions *a, enum action_type type, const struct api_kind *kind,
                          const struct meta *obj);
struct action *action_status(struct actions *a, const struct api_kind *kind, const struct meta *obj,
                             char *body, const char *reason);
void action_delete(struct actions *a, const struct api_kind *kind, const struct meta *obj,
                   const char *reason);
struct action *action_event(struct actions *a, const struct api_kind *kind, const struct meta *obj,
                            bool warning, const char *reason, const char *message);
/* Whether both lists have the same actions in the same order, with the same values. */
bool actions_eq(const struct actions *a, const struct actions *b);
/* The earliest time wins; 0 and less is ignored. */
void action_after(struct actions *a, int64_t mono_ns);

#endif
