/*
 * The world: all that the planners read. It has the caches of the four kinds, indexes over them,
 * the ledger of writes under way, the runs, and some state for each pool and sandbox that no object
 * has. It updates the indexes with each change of a store, and puts the keys that the change
 * concerns into the queue.
 *
 * Keys of the queue: "pool/NAMESPACE/NAME", "sandbox/...", "task/...".
 *
 * Ownership: the world owns all that it points at, except the policy.
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
#include "operator/core/refill_step.h"
#include "operator/core/run.h"
#include "operator/core/shelf.h"
#include "operator/core/turns.h"
#include "operator/kube/queue.h"
#include "operator/kube/store.h"

/* The values of the operator's flags. */
struct policy {
    struct pod_build_opts pod;
    int64_t task_timeout_ms;
    int64_t idle_timeout_s;
    int64_t keepalive_idle_timeout_s;
    int64_t sandbox_wait_ms;
    size_t output_limit;
    size_t run_memory;  /* of all runs together; 0: LIMIT_RUN_MEMORY_BYTES */
    size_t streams;     /* open at one moment, at most; 0: LIMIT_STREAMS */
    int64_t task_ttl_s; /* for tasks without one of their own; 0: none */
    bool check;         /* world_check() after each turn, as debug builds do: of the simulator */
};

/* Kept for a pool between two plans of it. */
struct pool_state {
    char *gone_uid;         /* the UID of the pool that was deleted last under this name */
    struct refill refill;   /* when its missing pods are made */
    bool claims_work;       /* the last claim whose outcome is known was accepted */
    int64_t status_mono_ns; /* of the last status write */
    /* The template that was checked last, and its error. */
    char *checked_hash;
    char *template_error;
    /* For creates after failures: see pool_plan.c. */
    bool proven;              /* a pod of checked_hash has been ready */
    unsigned created;         /* pods made from checked_hash before it was proven */
    int64_t unproven_mono_ns; /* when the last of those pods were made, or first seen */
    size_t good;              /* pods of checked_hash that are or were ready, as last seen */
    unsigned failures; /* waves of pods that ended or could not be made, since one got ready */
    int64_t next_create_mono_ns;
    int64_t ready_mono_ns; /* when a pod that got ready last has ended the back-off */
    char *ended;           /* how the last pod ended by itself; NULL: another one was ready since */
    int64_t foreign_mono_ns;   /* when an Event last reported a pod that is not ours */
    char *create_error_reason; /* of the last create; NULL: it succeeded, or no pod is missing */
    char *create_error;
    int64_t pause_ends_mono_ns; /* when the first pausing sandbox may go on; 0: none pauses */
    unsigned refusals;          /* waves of creates that were refused */
    unsigned refusals_told;     /* those that an Event has reported */
};

/* Kept for a sandbox between two plans of it. */
struct sandbox_state {
    char *gone_uid;           /* the UID of the sandbox that was deleted last under this name */
    char *lost_pod_uid;       /* the sandbox has lost this pod, as the API server has confirmed */
    const char *lost_pod_why; /* how it was lost: "is gone", ... */
    unsigned claims_refused;  /* in a row */
    bool
        outside; /* it pauses outside of the pool's line, until next_claim_mono_ns: world_pause() */
    char *claim_error; /* why the first of these was refused */
    int64_t next_claim_mono_ns;
    char *fenced_pod;      /* see world_fence(): the key of the pod; NULL: none */
    char *fenced_rv;       /* what the sandbox's resourceVersion was then */
    int64_t seen_mono_ns;  /* since when this process knows the sandbox */
    int64_t bound_mono_ns; /* since when this process knows it in phase Bound */
    int64_t told_mono_ns; /* when a status last reported its readiness, or a restart, after Ready */
    int64_t pin_mono_ns;  /* when the agent's key was last written again, after Ready */
    unsigned pins;        /* how often that was */
    bool was_ready;       /* this process has known it Ready */
    struct agent_view agent;    /* what may be running in its pod */
    char *not_believed_why;     /* why agent.not_believed_since_mono_ns is set; NULL: it is 0 */
    char *running_uid;          /* the task that ran there at the last audit; NULL: none */
    bool inherited;             /* it had a pod when this process first saw it */
    int64_t last_task_wall_ns;  /* end of the last task, as far as this process knows */
    bool task_dropped;          /* a task was deleted before its end: that counts as an end, too */
    bool task_ended;            /* a task has ended; the next plan notes it */
    int64_t noted_task_wall_ns; /* the last end of a task that a plan has noted */
    int64_t used_mono_ns;       /* when that was, or when a task was dropped; 0: never */
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
    struct index sandboxes_by_pod; /* those that world_sandbox_promised(), by "namespace/podName" */
    struct map promising;          /* the keys of pods that statuses under way name */
    struct map kept; /* for whom world_fence() keeps a pod: the sandbox's key, by the pod's */
    struct ledger *ledger;
    struct queue *queue;
    struct map pool_states;    /* by key */
    struct map sandbox_states; /* by key */
    struct map runs;           /* by task key */
    struct made made;          /* pods of ours, by key */
    int64_t claim_mono_ns;     /* when the last claim was answered; 0: none was */
    int64_t
        active_wall_ns; /* since when this process acts; 0: it does not act; world_act_since() */
    int64_t
        ahead_ns; /* how far the API server's clock is ahead, at least, as seen at new objects */
    /* This process only follows the watches: it queues no key, and keeps no state of objects that
     * are gone. */
    bool standby;
    uint64_t seq;
    struct turns run_memory;  /* memory of runs */
    struct turns results;     /* final statuses that are being written */
    struct turns starts;      /* large requests that are being read and sent */
    struct turns streams;     /* connections to agents that are open for runs */
    struct list streams_open; /* struct run, in the order in which the streams were opened */
    /* The runs that wait to show output: see world_progress_turn(). */
    struct list progress_line;
    struct run *progress_next;  /* the next one of the line; NULL: the line is empty */
    int64_t progress_free_ns;   /* when the next one may show output */
    struct map progress_served; /* bytes of each namespace since the line was last empty */
    /* Called when a pod is gone; may be NULL. */
    void (*on_pod_gone)(void *arg, const char *uid);
    void *on_pod_gone_arg;
};

struct world *world_new(const struct policy *policy);
void world_free(struct world *w);

/* The cache of one of the four kinds. */
struct store *world_store(const struct world *w, const struct api_kind *kind);
/* NULL: none. key is "namespace/name". */
struct warmpool *world_pool(const struct world *w, const char *key);
struct sandbox *world_sandbox(const struct world *w, const char *key);
struct task *world_task(const struct world *w, const char *key);
struct pod *world_pod(const struct world *w, const char *key);
struct run *world_run(const struct world *w, const char *key);
/* Takes over r. The task must not have a run yet. */
void world_add_run(struct world *w, const char *key, struct run *r);
/* Takes the run out of the world. The caller frees it with world_free_run(). NULL: there is none.
 */
struct run *world_take_run(struct world *w, const char *key);
/* The pod of this sandbox: its owner has the sandbox's UID, and it is the pod that the sandbox's
 * status names. As long as the status names none, the pod must be one of ours. */
struct pod *world_sandbox_pod(const struct world *w, const struct sandbox *s);
/* Whether its status gives it a pod. The claim of that pod may not have been answered yet, or may
 * have been lost: until it is made, the pod is for nobody else. */
bool world_sandbox_promised(const struct sandbox *s);
/* The pod of its pool that the status of the sandbox names, whoever has it. NULL: the cache has
 * none. */
struct pod *world_promised_pod(const struct world *w, const struct sandbox *s);
/* Whether the status of a sandbox of its pool names this pod, or may do so soon. */
bool world_pod_promised(const struct world *w, const struct pod *p);
/* Called when the sandbox `is` has taken the place of `was` in the store; NULL: there is, or was,
 * none. */
void world_promise(struct world *w, struct sandbox *was, struct sandbox *is);
/* A status that names the pod goes out; or its outcome is known, and in the store. */
void world_promise_begin(struct world *w, const char *pod_key);
void world_promise_end(struct world *w, const char *pod_key);
/* As world_promise_end(), but the status was lost, and had not taken place when the sandbox was
 * read. It may take place yet, as long as the sandbox is as it was (at rv). Until then nobody else
 * gets the pod. A sandbox has one such pod, the last one. */
void world_fence(struct world *w, const char *sandbox_key, const char *pod_key, const char *rv);
void world_fence_end(struct world *w, const char *sandbox_key);
bool world_fences(const struct world *w, const char *sandbox_key, const char *pod_key);
/* The pod that is kept for the sandbox, if it can be claimed; NULL: none. */
struct pod *world_fenced_pod(const struct world *w, const char *sandbox_key);
/* Whether an idle pod is able to serve. */
bool world_pod_able(const struct pod *p);
/* Queues the sandboxes that wait for this pod to be claimed, and the one that it is kept for. */
void world_queue_promised(struct world *w, const struct pod *p);

/* The API server has answered a create with this pod. Call it before the pod goes into the store.
 */
void world_pod_made(struct world *w, const struct meta *pod);
/* Counts the memory of a run. While all runs together are above the budget, makes runs drop their
 * output: first the largest run of the namespace that uses most. */
void world_note_run_memory(struct world *w, const char *key, struct run *r);
/* Makes the next run drop its output; false: there is none. */
bool world_drop_output(struct world *w);
/* The next run that may be read again; NULL: none. Runs that are over meanwhile, because their pod
 * is gone, are skipped: they keep what they have, since their end may not be written yet. */
struct run *world_next_to_read(struct world *w);
/* Ends the turns of a run that was taken out of the world, and frees it. Queues the tasks that wait
 * for these turns. */
void world_free_run(struct world *w, struct run *r);
/* Whether a final status of so many bytes may be made and written now. If not, the task is queued
 * when it may. */
bool world_result_turn(struct world *w, const char *key, struct run *r, size_t bytes);
void world_result_written(struct world *w, struct run *r);
/* Whether the run may show its output now. All runs share LIMIT_PROGRESS_BYTES_PER_S; the namespace
 * that was served least while others waited goes first. false: the run stands in the line, and its
 * task has to be planned at *ret_when (0: it is queued when its turn comes). */
bool world_progress_turn(struct world *w, struct run *r, struct now now, int64_t *ret_when);
/* The output was shown, which took so many bytes in etcd. */
void world_progress_written(struct world *w, struct run *r, size_t bytes, struct now now);
/* Whether the run may open its stream now. If not, it stands in the line until world_stream_next()
 * returns it. */
bool world_stream_turn(struct world *w, const char *key, struct run *r, struct now now);
/* The stream is closed, or not wanted any more. */
void world_stream_closed(struct world *w, struct run *r);
/* The next run of the line, which may open its stream now; NULL: none. */
struct run *world_stream_next(struct world *w, struct now now);
/* The run that has to close its stream for one in the line, because it has had
 * LIMIT_STREAM_SLICE_MS. NULL: none now; ask again at *ret_due (0: when something changes). */
struct run *world_stream_gives_way(const struct world *w, struct now now, int64_t *ret_due);
/* Only for world_new() and world_free(). */
void world_runs_init(struct world *w);
void world_runs_done(struct world *w);

/* The state of a key, made if it does not exist. */
struct pool_state *world_pool_state(struct world *w, const char *key);
struct sandbox_state *world_sandbox_state(struct world *w, const char *key);
/* This process has written the sandbox's pod into its status, by a compare-and-swap on a status
 * that was not Ready. So nothing can have run there yet. (The cache is no proof of that: it may be
 * behind another operator.) */
void world_nothing_ran(struct world *w, const char *key);
/* The progress of an audit of a sandbox's pod: AGENT_EV_SENT, AGENT_EV_SILENT or AGENT_EV_UNWANTED.
 */
void world_audit(struct world *w, const char *ns, const char *sandbox, const char *sandbox_uid,
                 enum agent_event ev, int64_t now_mono_ns);
/* The audit is over: AGENT_EV_CLEAN or AGENT_EV_ABANDONED. task_uid: the wanted task that runs
 * there; NULL: none. */
void world_audit_over(struct world *w, const char *ns, const char *sandbox, const char *sandbox_uid,
                      enum agent_event ev, const char *task_uid);
/* NULL: the sandbox with this UID is gone. */
const struct agent_view *world_agent_view(struct world *w, const char *ns, const char *sandbox,
                                          const char *sandbox_uid);
/* An attempt has run there until now whose task is gone. So the sandbox was not idle. */
void world_was_used(struct world *w, const char *ns, const char *sandbox, const char *sandbox_uid);
/* The agent in the sandbox's pod has answered, and has proven that it is the agent. */
void world_agent_answered(struct world *w, const char *ns, const char *sandbox,
                          const char *sandbox_uid);
/* Somebody else has answered in the agent's place, or has changed its answer. */
void world_agent_forged(struct world *w, const char *ns, const char *sandbox,
                        const char *sandbox_uid, const char *why, int64_t now_mono_ns);
/* Whether somebody else has answered in the agent's place, and the agent has not answered since. */
bool world_agent_is_forged(struct world *w, const char *ns, const char *sandbox,
                           const char *sandbox_uid);
/* Whether this attempt should go on. t: the task of its name; NULL: none. */
bool world_task_wants(const struct task *t, const char *uid, int64_t attempt);
/* etcd has no room for any status of this task: the tasks behind it go on. */
void world_task_unwritable(struct world *w, const char *key, const char *uid);
/* Asserts that indexes, shelves, ledger, budgets, runs and states are what a count from scratch
 * gives, and keep to each other. For tests, debug builds and the simulator, between two turns: it
 * costs what the world has. */
void world_check(const struct world *w);
void world_forget_pool(struct world *w, const char *key);
void world_forget_sandbox(struct world *w, const char *key);

/* Sets active_wall_ns, and marks the pods anew that an old release may have left. */
void world_act_since(struct world *w, int64_t wall_ns);
/* The queue of a standby is empty. A process that begins to act has to call world_queue_all(). */
void world_set_standby(struct world *w, bool standby);
/* Whether the object of a queue key exists, or something of it is under way. */
bool world_key_lives(const struct world *w, const char *plan_key);
/* Puts a key into the queue; prefix "pool", "sandbox" or "task". */
void world_queue(struct world *w, const char *prefix, const char *key);
void world_queue_obj(struct world *w, const char *prefix, const char *ns, const char *name);
/* Compares UIDs: an earlier pool of the same name had pods of its own. */
bool world_pod_of_pool(const struct warmpool *pool, const struct pod *p);
/* Whether p is an idle pod of a release that did not seal pods. It must have existed when this
 * process began to act: an unsealed pod that is made later is somebody else's. */
bool world_pod_of_old_release(const struct world *w, const struct warmpool *pool,
                              const struct pod *p);
/* The number of idle pods that can be claimed now. *ret_first is the oldest one (NULL: none). */
size_t world_claimable(const struct world *w, const char *pool_key, struct pod **ret_first);
/* The pod that a waiting sandbox is to get now; NULL: it has to wait. */
struct pod *world_pod_for(const struct world *w, const char *sandbox_key, const struct sandbox *s);
/* Whether it has no pod, has not failed, and is not being deleted. */
bool world_sandbox_waits(const struct sandbox *s);
/* Stands in its sandbox's line: it has not ended, and is to run. */
bool world_task_in_line(const struct task *t);
/* After a refused claim the sandbox pauses until that time, outside of the line, so that others
 * need not wait for it. 0: it pauses no longer. */
void world_pause(struct world *w, const char *sandbox_key, int64_t until_mono_ns);
/* Puts the sandboxes whose pause is over back into the line. */
void world_end_pauses(struct world *w, const char *pool_key, int64_t now_mono_ns);
/* Queues the sandboxes that may get a pod of this pool. */
void world_wake_waiting(struct world *w, const char *pool_key);
/* The first task of its sandbox's line. That is the oldest one, unless another task has begun: that
 * one goes on, even if an older task is seen only now. (Creation times have no fractions of a
 * second, and an earlier operator may not have known the older task.) A task that runs goes before
 * a task whose status only says Running, because the operator that wrote the status may not have
 * started the task. NULL: all tasks of the sandbox have ended. The result is kept, so many calls
 * cost one search. */
struct meta *world_task_head(struct world *w, const char *sandbox_key);
/* Something has changed that world_task_head() depends on: it searches again. */
void world_task_head_may_differ(struct world *w, const char *sandbox_key);
/* Queues the first task of the line. The tasks behind it do not depend on the sandbox's state. */
void world_queue_task_head(struct world *w, const char *sandbox_key);
/* Whether the task runs, as this process or the agent says. */
bool world_task_runs(const struct world *w, const char *sandbox_key, const struct meta *task);
/* An outage of the API server has begun or is over: pools whose creates were not answered try again
 * at once. The gate holds these creates back during the outage. */
void world_retry_creates(struct world *w, int64_t mono_ns);
/* Queues all keys once: after the first lists, and after a change of leadership. */
void world_queue_all(struct world *w);

#endif
