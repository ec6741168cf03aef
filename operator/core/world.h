/*
 * Everything that the planners look at: the caches of the four kinds, indexes over them, the ledger
 * of writes under way, what runs, and a little state for each pool and sandbox that no object
 * holds. World keeps the indexes in step with the stores and puts the keys that a change concerns
 * into the queue.
 *
 * Keys of the queue: "pool/NAMESPACE/NAME", "sandbox/...", "task/...".
 *
 * Ownership: world owns all it points at but the policy.
 */
#ifndef ARL_OPERATOR_CORE_WORLD_H
#define ARL_OPERATOR_CORE_WORLD_H

#include "operator/api/pod.h"
#include "operator/api/pod_build.h"
#include "operator/api/sandbox.h"
#include "operator/api/task.h"
#include "operator/api/warmpool.h"
#include "operator/core/agent_step.h"
#include "operator/core/index.h"
#include "operator/core/ledger.h"
#include "operator/core/made.h"
#include "operator/core/run.h"
#include "operator/core/shelf.h"
#include "operator/core/turns.h"
#include "operator/kube/queue.h"
#include "operator/kube/store.h"

/* What flags say. */
struct policy {
    struct pod_build_opts pod;
    int64_t task_timeout_ms;
    int64_t idle_timeout_s;
    int64_t keepalive_idle_timeout_s;
    int64_t sandbox_wait_ms;
    size_t output_limit;
    size_t run_memory;  /* of all runs together; 0: LIMIT_RUN_MEMORY_BYTES */
    size_t streams;     /* that are open at one moment; 0: LIMIT_STREAMS */
    int64_t task_ttl_s; /* of tasks without one of their own; 0: none */
    bool check;         /* world_check() after each turn, as debug builds do: of the simulator */
};

/* Kept for a pool between two plans of it. */
struct pool_state {
    char *gone_uid; /* of the pool that was deleted last under this name */
    int64_t last_claim_mono_ns;
    int64_t held_since_mono_ns; /* since when a refill is held back; 0: none is */
    int64_t status_mono_ns;     /* of the last status write */
    /* The template that was checked last, and what is wrong with it. */
    char *checked_hash;
    char *template_error;
    /* Creation under trouble: see pool_plan.c. */
    bool proven;              /* a pod of checked_hash has been ready */
    unsigned created;         /* pods made from checked_hash before it was proven */
    int64_t unproven_mono_ns; /* when the last ones of those were made, or found made */
    size_t good;              /* pods of checked_hash that are or were ready, as last seen */
    unsigned failures; /* waves of pods that ended or could not be made, since one got ready */
    int64_t next_create_mono_ns;
    char *ended;               /* how the last pod ended by itself; NULL: one is ready since */
    int64_t foreign_mono_ns;   /* when a pod that is not ours was last told of */
    char *create_error_reason; /* of the last create; NULL: it went well, or none is missing */
    char *create_error;
    int64_t pause_ends_mono_ns; /* of the first of its sandboxes that pauses; 0: none does */
    unsigned refusals;          /* waves of creates that were refused */
    unsigned refusals_told;     /* by the Event */
};

/* Kept for a sandbox between two plans of it. */
struct sandbox_state {
    char *gone_uid;           /* of the sandbox that was deleted last under this name */
    char *lost_pod_uid;       /* the API server has confirmed that this pod is not its any more */
    const char *lost_pod_why; /* of it: "is gone", ... */
    unsigned claims_refused;  /* in a row */
    bool outside;             /* of the pool's line, until next_claim_mono_ns: world_pause() */
    char *claim_error;        /* why the first of those was */
    int64_t next_claim_mono_ns;
    int64_t seen_mono_ns;       /* since when this process knows the sandbox */
    int64_t bound_mono_ns;      /* since when it knows it in phase Bound */
    int64_t told_mono_ns;       /* when its readiness, or a restart, was last told after Ready */
    int64_t next_pin_mono_ns;   /* when the agent's key may be written once more */
    unsigned pins;              /* how often it was, after Ready */
    bool was_ready;             /* this process has known it Ready */
    struct agent_view agent;    /* what may be running in its pod */
    char *not_believed_why;     /* not NULL: only others have answered in the agent's place */
    char *running_uid;          /* the task that ran there at the last audit; NULL: none */
    bool inherited;             /* it had a pod when this process first saw it */
    int64_t last_task_wall_ns;  /* end of the last task, as far as this process knows */
    bool task_dropped;          /* one was deleted before its end, or found so: an end, too */
    bool task_ended;            /* one has; noted by the next plan */
    int64_t noted_task_wall_ns; /* the last end of a task that a plan has noted */
    int64_t used_mono_ns;       /* when that was, or a task was dropped; 0: never */
    int64_t noted_used_at_ns;   /* the annotation used-at that a plan has noted last */
    int known_phase;            /* at the last plan */
    int64_t phase_mono_ns;      /* since when */
};

struct world {
    const struct policy *policy;
    struct store *pools;
    struct store *sandboxes;
    struct store *tasks;
    struct store *pods;
    struct index pods_by_pool;
    struct map shelves;            /* struct shelf, by the key of the pool */
    struct index pods_by_sandbox;  /* bound pods, by the sandbox */
    struct index waiting_by_pool;  /* sandboxes without a pod, by "namespace/poolRef" */
    struct index tasks_by_sandbox; /* unfinished tasks, by "namespace/sandboxRef" */
    struct ledger *ledger;
    struct queue *queue;
    struct map pool_states;    /* by key */
    struct map sandbox_states; /* by key */
    struct map runs;           /* by task key */
    struct made made;          /* pods of ours, by key */
    int64_t active_wall_ns;    /* since when this process acts; 0: it does not; world_act_since() */
    int64_t
        ahead_ns; /* by so much the API server's clock is ahead, at least: seen at new objects */
    /* This process only follows: no key is queued, and nothing is kept of what is gone. */
    bool standby;
    uint64_t seq;
    struct turns run_memory;  /* what runs hold */
    struct turns results;     /* final statuses that are written at this moment */
    struct turns starts;      /* large requests that are read, and sent */
    struct turns streams;     /* connections to agents that are open for runs */
    struct list streams_open; /* struct run, the one that was opened first is the first */
    /* Output is shown while tasks run, in turn: see world_progress_turn(). */
    struct list progress_line;
    struct run *progress_next;  /* of those in line; NULL: none is */
    int64_t progress_free_ns;   /* when the next one may */
    struct map progress_served; /* bytes of each namespace since the line was empty last */
    /* A pod that is not there any more; may be NULL. */
    void (*on_pod_gone)(void *arg, const char *uid);
    void *on_pod_gone_arg;
};

struct world *world_new(const struct policy *policy);
void world_free(struct world *w);

/* NULL: none. key is "namespace/name". */
struct warmpool *world_pool(const struct world *w, const char *key);
struct sandbox *world_sandbox(const struct world *w, const char *key);
struct task *world_task(const struct world *w, const char *key);
struct pod *world_pod(const struct world *w, const char *key);
struct run *world_run(const struct world *w, const char *key);
/* Takes r over: there is none of this task yet. */
void world_add_run(struct world *w, const char *key, struct run *r);
/* The caller has it then, and frees it with world_free_run(). NULL: there is none. */
struct run *world_take_run(struct world *w, const char *key);
/* The pod that belongs to this very sandbox: its owner's UID is the sandbox's, and it is the one
 * that the sandbox's status names; until that names one, it is one of ours. */
struct pod *world_sandbox_pod(const struct world *w, const struct sandbox *s);

/* The API server has answered a create with this pod: before it goes into the store. */
void world_pod_made(struct world *w, const struct meta *pod);
/* Counts what a run holds of the budget now, and makes runs drop their output, the largest of the
 * namespace with most first, until all of them keep to it. */
void world_note_run_memory(struct world *w, const char *key, struct run *r);
/* Makes the run whose turn it is drop its output; false: there is none. */
bool world_drop_output(struct world *w);
/* Whose turn it is to be read again; NULL: nobody's. Not of what is over meanwhile, as its pod has
 * gone: what it has stays, since its end may not be written yet. */
struct run *world_next_to_read(struct world *w);
/* Ends the run's turns and frees it; who waits for them is planned. It is in the world no more. */
void world_free_run(struct world *w, struct run *r);
/* Whether a final status of so many bytes may be made and written now; if not, the task is planned
 * when it may. */
bool world_result_turn(struct world *w, const char *key, struct run *r, size_t bytes);
void world_result_written(struct world *w, struct run *r);
/* Whether the run may show its output now: LIMIT_PROGRESS_BYTES_PER_S for all runs, and the
 * namespace goes first that had least while others waited. False: it stands in line, and its task
 * is to be planned at *ret_when (0: it will be, when its turn comes). */
bool world_progress_turn(struct world *w, struct run *r, struct now now, int64_t *ret_when);
/* It was shown, which took so many bytes in etcd. */
void world_progress_written(struct world *w, struct run *r, size_t bytes, struct now now);
/* Whether the run may open its stream now; if not, it stands in line until world_stream_next()
 * returns it. */
bool world_stream_turn(struct world *w, const char *key, struct run *r, struct now now);
/* It is closed, or not wanted any more. */
void world_stream_closed(struct world *w, struct run *r);
/* Who may open its stream now that another one was closed; NULL: nobody. */
struct run *world_stream_next(struct world *w, struct now now);
/* Who is to close its stream for one of those in line, after LIMIT_STREAM_SLICE_MS. NULL: nobody
 * now; *ret_due is when that is to be asked again (0: when something changes). */
struct run *world_stream_gives_way(const struct world *w, struct now now, int64_t *ret_due);
/* Of world_new() and world_free(). */
void world_runs_init(struct world *w);
void world_runs_done(struct world *w);

/* Made when missing. */
struct pool_state *world_pool_state(struct world *w, const char *key);
struct sandbox_state *world_sandbox_state(struct world *w, const char *key);
/* This process has written that the sandbox has its pod, by a compare-and-swap on a status that was
 * not Ready: nothing can have run there yet. The cache alone may be behind another operator. */
void world_nothing_ran(struct world *w, const char *key);
/* How far the audit of a sandbox's pod is: AGENT_EV_SENT, AGENT_EV_SILENT or AGENT_EV_UNWANTED. */
void world_audit(struct world *w, const char *ns, const char *sandbox, const char *sandbox_uid,
                 enum agent_event ev, int64_t now_mono_ns);
/* The audit is over: AGENT_EV_CLEAN or AGENT_EV_ABANDONED. Of what is wanted, this task runs there;
 * NULL: none. */
void world_audit_over(struct world *w, const char *ns, const char *sandbox, const char *sandbox_uid,
                      enum agent_event ev, const char *task_uid);
/* NULL: this very sandbox is gone. */
const struct agent_view *world_agent_view(struct world *w, const char *ns, const char *sandbox,
                                          const char *sandbox_uid);
/* Something has run there until now that belongs to no task any more: the sandbox was not idle. */
void world_was_used(struct world *w, const char *ns, const char *sandbox, const char *sandbox_uid);
/* The agent in the sandbox's pod has answered: it has proven itself. */
void world_agent_answered(struct world *w, const char *ns, const char *sandbox,
                          const char *sandbox_uid);
/* Somebody who is not the agent has answered in its place, or changed its answer. */
void world_agent_forged(struct world *w, const char *ns, const char *sandbox,
                        const char *sandbox_uid, const char *why, int64_t now_mono_ns);
/* Whether others have answered in the agent's place, and the agent has not since. */
bool world_agent_is_forged(struct world *w, const char *ns, const char *sandbox,
                           const char *sandbox_uid);
/* Whether this attempt is to run on. t: of its name; NULL: none. */
bool world_task_wants(const struct task *t, const char *uid, int64_t attempt);
/* The API server has no room for any status of this task: its line goes on without it. */
void world_task_unwritable(struct world *w, const char *key, const char *uid);
/* Asserts that indexes, shelves, ledger, budgets, runs and states are what a count from scratch
 * gives, and keep to each other. For tests, debug builds and the simulator, between two turns: it
 * costs what the world has. */
void world_check(const struct world *w);
void world_forget_pool(struct world *w, const char *key);
void world_forget_sandbox(struct world *w, const char *key);

/* Sets active_wall_ns, and marks anew the pods that an old release may have left. */
void world_act_since(struct world *w, int64_t wall_ns);
/* A standby's queue is empty. Whoever begins to act calls world_queue_all(). */
void world_set_standby(struct world *w, bool standby);
/* Whether the object of a queue key is there, or something of it is under way. */
bool world_key_lives(const struct world *w, const char *plan_key);
/* Puts a key into the queue; prefix "pool", "sandbox" or "task". */
void world_queue(struct world *w, const char *prefix, const char *key);
void world_queue_obj(struct world *w, const char *prefix, const char *ns, const char *name);
/* By its UID: another pool of the same name has pods of its own. */
bool world_pod_of_pool(const struct warmpool *pool, const struct pod *p);
/* An idle pod of an operator that sealed none. It was there when this process began to act: a pod
 * that is made so later is somebody else's. */
bool world_pod_of_old_release(const struct world *w, const struct warmpool *pool,
                              const struct pod *p);
/* Idle pods that could be claimed now; the oldest first goes to *ret_first (NULL: none). */
size_t world_claimable(const struct world *w, const char *pool_key, struct pod **ret_first);
/* It has no pod, and neither failed nor is it being deleted. */
bool world_sandbox_waits(const struct sandbox *s);
/* Stands in its sandbox's line: it has not ended, and is to run. */
bool world_task_in_line(const struct task *t);
/* After a claim that was refused it pauses until then (0: not any more), outside of the line: that
 * is no reason for others to wait. */
void world_pause(struct world *w, const char *sandbox_key, int64_t until_mono_ns);
/* Whoever pauses and need not any more is back in the line. */
void world_end_pauses(struct world *w, const char *pool_key, int64_t now_mono_ns);
/* Plans the sandboxes that could get a pod of this pool. */
void world_wake_waiting(struct world *w, const char *pool_key);
/* The task that is first in its sandbox's line: the oldest; but one that has begun goes on, though
 * an older one was seen only then: times of creation have no fractions, and an operator before us
 * may not have known the older one. What runs comes before what only has a status that says so:
 * whoever wrote that may not have begun it. NULL: no task of the sandbox is unfinished. It is
 * looked for once, however many tasks ask. */
struct meta *world_task_head(struct world *w, const char *sandbox_key);
/* What the choice is made by has changed. */
void world_task_head_may_differ(struct world *w, const char *sandbox_key);
/* Plans it: the tasks behind it do not mind what its sandbox does. */
void world_queue_task_head(struct world *w, const char *sandbox_key);
/* In this process, or as the agent says. */
bool world_task_runs(const struct world *w, const char *sandbox_key, const struct meta *task);
/* The API server is down or back: pools whose creates it did not answer make their pods at once.
 * The gate holds these back for as long as it is down. */
void world_retry_creates(struct world *w, int64_t mono_ns);
/* Everything is planned once: after the first lists, and after a change of leadership. */
void world_queue_all(struct world *w);

#endif
