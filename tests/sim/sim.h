/*
 * The deterministic simulator: the shipped operator, everything above `struct ops`, against models
 * of the API server, the kubelet, the sidecars and the clients, in virtual time. One seed is one
 * run: the same seed gives the same trace.
 *
 *   loop.c     virtual time, chance, the trace and its hash
 *   net.c      struct ops: calls on their way, lost and cut ones
 *   proc.c     operators that start and die, and their timers
 *   api.c      the API server: objects, verbs; api_watch.c: lists, watches and their faults
 *   known.c    trees of texts that the API server has sent; parse.c: trees of other texts;
 *              text.c: texts of trees
 *   kubelet.c  pods that start, fail and end; garbage collection
 *   agent.c    the sidecar in each pod; seal.c: its side of the sealed channel
 *   hostile.c  who answers in its place; evil.c: an agent that is the tenant's own
 *   client.c   what people do, by chance; nasty.c: objects that make no sense; forged.c: false pods
 *   policy.c   what the cluster refuses of single objects
 *   oracle.c   what must hold after every change, and at rest
 *   output.c   whether a text is what steps have printed
 *   phases.c   which phase may follow which
 *   run.c      one run: chaos, quiet, rest
 *
 * All of this lasts for one run; sim_free() frees it.
 */
#ifndef ARL_TESTS_SIM_SIM_H
#define ARL_TESTS_SIM_SIM_H

#include "common/base/base.h"
#include "common/base/buf.h"
#include "common/base/list.h"
#include "common/base/map.h"
#include "common/wire/channel.h"
#include "operator/app/manager.h"
#include "operator/kube/lease.h"
#include "operator/kube/lease_step.h"

#define SIM_PROCS 2
#define SIM_PEERS 4
#define SIM_RECORDED 16u
#define SIM_NS "ns"
#define SIM_MS NSEC_PER_MSEC

struct sim;
struct json_object;
struct msg;
struct kpod;

/* ---- faults ---------------------------------------------------------------------------------- */

enum fault {
    FAULT_NONE,
    FAULT_CRASH_BEFORE,   /* the operator dies instead of sending */
    FAULT_CRASH_SENT,     /* it dies when the request is on its way */
    FAULT_CRASH_ANSWERED, /* it dies when it has seen the answer, before it plans again */
    FAULT_RESET,          /* never reaches the server */
    FAULT_RESET_APPLIED,  /* the server acts, the answer is lost */
    FAULT_409,
    FAULT_410,
    FAULT_429,
    FAULT_500,
    FAULT_503,
    FAULT_504_APPLIED, /* the server acts and says that it did not */
    FAULT_HANG,        /* no answer until the caller's time is over */
    FAULT_HANG_APPLIED,
    FAULT_RESET_LATE, /* of a write: the server acts, but only when it has been asked what became of
                         it */
    FAULTS,
};
const char *fault_str(enum fault f);

enum watch_fault {
    WATCH_FINE,
    WATCH_DROPPED, /* never told; the watch ends with 410 a little later */
    WATCH_DOUBLED,
    WATCH_LATE,
    WATCH_FAULTS,
};

struct sim_config {
    uint64_t seed;
    bool calm;   /* fixed delays, nothing happens by chance */
    int procs;   /* operators */
    bool leases; /* they elect a leader; else all act at once */
    bool keep_trace;
    int64_t chaos_ms; /* for how long clients and faults go on */
    /* By chance, in thousandths of calls. */
    unsigned api_faults;
    unsigned agent_faults;
    unsigned crashes;
    unsigned watch_faults;
    unsigned cuts;
    unsigned pod_faults;     /* in thousandths of pods */
    unsigned hostile;        /* the same */
    unsigned evil;           /* in thousandths of the hostile ones */
    unsigned nasty;          /* in thousandths of what clients do */
    unsigned policies;       /* the same */
    int64_t watch_delay_ms;  /* the most that a watch is behind */
    int64_t answer_delay_ms; /* the most that a request or an answer travels */
    /* One fault, at one call or watch event, counted from 1; 0: none. */
    unsigned fault_at;
    enum fault fault;
    unsigned watch_fault_at;
    enum watch_fault watch_fault;
    /* Requests that are refused, by a policy of the cluster, say: "METHOD PART-OF-PATH", and the
     * status of the answer. NULL: none. */
    const char *refuse;
    int refuse_status;
};

/* ---- the API server's objects ---------------------------------------------------------------- */

enum sim_kind { SIM_POD, SIM_POOL, SIM_SANDBOX, SIM_TASK, SIM_LEASE, SIM_EVENT, SIM_KINDS };

struct obj {
    enum sim_kind kind;
    char *name;
    char *uid;
    uint64_t rv;
    struct json_object *j;
    const char *text; /* as of rv; owned by the log of changes */
    void *shadow;     /* the oracle's */
};

struct change {
    uint64_t rv;
    enum sim_kind kind;
    const char *type; /* ADDED, MODIFIED, DELETED */
    char *text;
};

struct watch {
    uint64_t call; /* 0: free */
    enum sim_kind kind;
    size_t next; /* in the log of changes */
    bool pending;
    bool pb; /* it is told in protobuf */
};

#define SIM_WATCHES 32
#define SIM_SNAPSHOTS 64

struct snapshot { /* a list that is handed out in pages */
    char *text;   /* the items, one a line */
    uint64_t rv;
};

struct api {
    struct obj **objs[SIM_KINDS]; /* by name */
    size_t count[SIM_KINDS];
    struct change *log;
    size_t log_len;
    uint64_t rv;
    uint64_t floor[SIM_KINDS]; /* older resourceVersions are gone */
    uint64_t next_uid;
    struct watch watches[SIM_WATCHES];
    struct snapshot snapshots[SIM_SNAPSHOTS];
    size_t snapshot_next;
    unsigned watch_events; /* told so far */
};

/* ---- operators ------------------------------------------------------------------------------- */

struct proc {
    struct ops ops;
    struct sim *s;
    int index;
    bool up;
    bool muted;   /* has died inside of a callback: nothing goes out any more */
    bool stopped; /* for good */
    bool doomed;  /* to be cleared away when the callback returns */
    unsigned life;
    char identity[32];
    struct gate *gate; /* in front of ops, as in the program */
    struct manager *m;
    struct lease *lease;
    struct list calls;
    struct list timers;
    int64_t paused_until_ns;
    int64_t skew_ns;
    int64_t active_ns;      /* since when this life acts */
    int64_t lease_until_ns; /* the end of its lease, as it was told; 0: it has none */
};

/* A request on its way, with its answer on the way back. */
struct msg {
    enum ops_target target;
    uint64_t call; /* whom the answer is for */
    int proc;
    unsigned life;     /* of the operator that has sent it */
    int64_t active_ns; /* since when that one acts */
    char *address;
    char *method;
    char *path;
    char *query; /* NULL: none */
    char *pod_uid;
    char *sandbox_uid;
    char *path_query;
    char *operator_key;
    char *signature_input;
    char *body;
    size_t body_len;
    bool stream;
    bool pb; /* the answer may be in protobuf */
    int64_t timeout_ms;
    enum fault fault;
    bool sealed;                          /* the agent could open the request */
    unsigned char key[CHANNEL_KEY_BYTES]; /* of the answer */
    /* the answer */
    int status;
    char *reply;
    size_t reply_len; /* 0: it is text */
    bool lied;        /* the answer is not the agent's own */
    int64_t retry_after_ms;
    int error;
    bool maybe_sent;
};

/* ---- the whole ------------------------------------------------------------------------------- */

typedef void sim_fn(struct sim *s, struct msg *m, uint64_t a, uint64_t b);

struct sim_event {
    int64_t due_ns;
    uint64_t seq;
    sim_fn *fn;
    struct msg *m; /* taken over by fn; freed with the run otherwise */
    uint64_t a, b;
};

/* What the cluster refuses just now although the server works: see policy.c. */
struct refusals_of_one {
    char claims_of[64]; /* of the sandbox of this name; "": none */
    bool task_webhook;  /* no status of a task is taken: its webhook is down */
    uint64_t generation;
};

/* What was written to show output, for the check of its budget. */
struct told_progress {
    int64_t since_ns; /* the first; 0: none yet */
    uint64_t bytes;
    size_t largest;
};

struct sim {
    struct sim_config cfg;
    uint64_t random;
    int64_t now_ns;
    struct sim_event *heap;
    size_t heap_len, heap_alloc;
    uint64_t seq;
    uint64_t steps; /* done since virtual time has moved last */
    uint64_t hash;
    struct buf trace;
    struct buf moves; /* "kind name: from -> to" lines, for golden traces */
    char *failure;    /* the first thing that was wrong */
    bool quiet;       /* no more chaos */
    struct api api;
    struct proc procs[SIM_PROCS];
    uint64_t calls;          /* begun so far */
    uint64_t calls_in_story; /* until it was settled: what follows is the same for ever */
    uint64_t timers;
    uint64_t writes;  /* of operators, leases aside */
    uint64_t refused; /* requests, by cfg.refuse */
    struct policy policy;
    struct kpod **pods; /* in order of their creation */
    size_t pod_count;
    struct map starts;      /* "task uid/attempt/step" that ever began */
    struct map bindings;    /* sandbox UID -> the UID of the first pod that was bound to it */
    struct map most;        /* pool name -> struct pool_most, see oracle.c */
    struct map doomed_pods; /* names of those that an operator asked to delete */
    unsigned lives;         /* of operators */
    size_t late_pods;       /* creates that took place late: FAULT_RESET_LATE */
    uint64_t late_claims;   /* claims, likewise */
    unsigned boxes;         /* sandboxes that clients have made */
    bool stood_still;       /* an operator stood still, and may have acted beside the next leader */
    unsigned known_holes;   /* see oracle_step_starts() */
    unsigned doubles;       /* second pods of a sandbox, by two operators that acted at once */
    unsigned client_seq;
    unsigned forged;                   /* forged pods so far, see forged.c */
    unsigned nasty;                    /* nasty objects so far, see nasty.c */
    struct map evil_tasks;             /* task UIDs that an evil agent has told of */
    struct refusals_of_one denied;     /* see policy.c */
    struct told_progress shown;        /* see progress.c */
    struct map refusals;               /* task UIDs that an agent would not take */
    struct buf recorded[SIM_RECORDED]; /* what agents have sealed */
    size_t recorded_next;
    unsigned lies; /* that an operator was told */
};

/* loop.c */
void sim_at(struct sim *s, int64_t due_ns, sim_fn *fn, struct msg *m, uint64_t a, uint64_t b);
void sim_after_ms(struct sim *s, int64_t ms, sim_fn *fn, uint64_t a, uint64_t b);
bool sim_step(struct sim *s); /* false: nothing left, or something is wrong */
void sim_run_until(struct sim *s, int64_t ns);
uint64_t sim_random(struct sim *s);
uint64_t sim_below(struct sim *s, uint64_t n);
bool sim_chance(struct sim *s, unsigned thousandths); /* never when calm */
/* calm: min; else between min and max. */
int64_t sim_between(struct sim *s, int64_t min, int64_t max);
int64_t sim_wall_ns(const struct sim *s);
void sim_note(struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sim_move(struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
void sim_fail(struct sim *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* net.c */
extern struct signing_keys sim_keys;
void net_init(struct sim *s);
void net_done(struct sim *s);
void proc_start(struct sim *s, int index);
void proc_kill(struct sim *s, int index); /* and starts it again a little later */
void proc_stop(struct sim *s, int index); /* for good */
void proc_release(struct sim *s, int index);
void msg_free(struct msg *m);
bool stream_alive(struct sim *s, uint64_t call);
void stream_write(struct sim *s, uint64_t call, const char *data, size_t len);
void stream_end(struct sim *s, uint64_t call);     /* cleanly, after what was written */
void stream_reset(struct sim *s, uint64_t call);   /* cut */
void stream_silence(struct sim *s, uint64_t call); /* nothing more comes, not even its end */

/* api.c */
void api_handle(struct sim *s, struct msg *m); /* answers in m; streams: may stay open */
struct obj *api_find(struct sim *s, enum sim_kind kind, const char *name);
struct obj *api_find_uid(struct sim *s, enum sim_kind kind, const char *uid);
struct obj *api_create(struct sim *s, enum sim_kind kind, const char *text);
void api_commit(struct sim *s, struct obj *o, const char *type);
void api_remove(struct sim *s, struct obj *o);
void api_delete(struct sim *s, struct obj *o);
void api_status(struct msg *m, int code, const char *reason, const char *message);
void api_done(struct sim *s);
/* patch: the text of a merge patch. */
void api_merge(struct sim *s, struct obj *o, const char *patch);

/* known.c */
void known_add(const char *text, struct json_object *tree);
void known_clear(void);
/* The tree of a text that comes again and again, also in later runs; NULL: it has to be parsed. */
struct json_object *known_part(const char *text, size_t len);

/* parse.c */
/* NULL: the text is for json_parse(). */
struct json_object *parse_quickly(const char *data, size_t len);

/* text.c */
char *text_of(struct json_object *j); /* to be freed */

/* api_watch.c */
void api_list(struct sim *s, struct msg *m, enum sim_kind kind);
void api_watch(struct sim *s, struct msg *m, enum sim_kind kind);
void api_tell_watches(struct sim *s, enum sim_kind kind);
const char *api_kind_name(enum sim_kind kind);
const char *query_get(const struct msg *m, const char *name, char *buf, size_t size);

/* kubelet.c, agent.c */
enum kpod_state { KPOD_NEW, KPOD_RUNNING, KPOD_ENDED, KPOD_GONE };

struct kstep_log; /* agent.c */

/* Who answers in place of its agent. */
enum hostile { HOSTILE_NOT, HOSTILE_ON_THE_WAY, HOSTILE_IN_PLACE, HOSTILE_EVIL };

struct sim_peer {
    char operator_key[CHANNEL_KEY_TEXT];
    struct channel_shared shared;
};

struct kpod {
    char *name;
    char *uid;
    unsigned ip; /* 0: none */
    enum kpod_state state;
    bool ready;
    bool broken; /* a container of the user's has ended for good: never ready again */
    bool agent_up;
    bool cut_off;      /* nobody hears its node, on which everything goes on */
    unsigned cut_offs; /* how often it was */
    bool ends_unheard; /* cut off and to be removed when it is heard again */
    char *served;      /* the sandbox UID that the agent was bound to */
    struct list attempts;
    unsigned agent_life;
    int64_t ill_ns; /* when something was wrong with it last, see agent_ill() */
    enum hostile hostile;
    struct channel_pair pair;
    struct sim_peer peers[SIM_PEERS]; /* operators that it knows */
    unsigned next_peer;
};

void kubelet_pod_made(struct sim *s, struct obj *o);
void kubelet_pod_deleting(struct sim *s, struct obj *o);
void kubelet_init(struct sim *s);
void kubelet_done(struct sim *s);
void kubelet_end_pod(struct sim *s, struct kpod *k, const char *reason);
void kubelet_set_ready(struct sim *s, struct kpod *k, bool ready);
void kubelet_end_container(struct sim *s, struct kpod *k);
void kubelet_cut_off(struct sim *s, struct kpod *k);
void kubelet_come_back(struct sim *s, struct kpod *k);
struct kpod *kubelet_find(struct sim *s, const char *uid);
void agent_handle(struct sim *s, struct msg *m);
void kubelet_tell_key(struct sim *s, struct kpod *k, const unsigned char *public_key);
void agent_up(struct sim *s, struct kpod *k);
void agent_restart(struct sim *s, struct kpod *k);
void agent_down(struct sim *s, struct kpod *k);
void agent_cut_off(struct sim *s, struct kpod *k);
void agent_done(struct kpod *k);
/* Finds the next pod in which this attempt has an end, and how it ended there; *pos begins with 0.
 * Usually there is one such pod at most. False: there is no further one. */
struct agent_truth {
    int code;
    const char *reason; /* Completed, StepFailed, ... */
    char *out;          /* all standard output, joined; owned by the agent */
    size_t printed;     /* how many steps have printed: the first ones */
    const struct kpod *pod;
};
size_t agent_running(const struct kpod *k);
void agent_turns_evil(struct sim *s, struct kpod *k);
bool agent_refused(struct sim *s, const char *task_uid); /* an agent has refused it, by a 4xx */
bool agent_truth(struct sim *s, size_t *pos, const char *task_uid, int64_t attempt,
                 struct agent_truth *ret);
/* What that step prints; the caller frees it. */
char *agent_step_text(const char *task_uid, int64_t attempt, size_t step);
/* Something between the operators and the agent at this address is wrong just now. */
void agent_ill(struct sim *s, const char *address);
/* Whether this agent has answered whoever asked it in the last `ns`. */
bool agent_well(const struct sim *s, const struct kpod *k, int64_t ns);

/* seal.c */
void seal_init(uint64_t seed);
void seal_make_key(struct kpod *k, unsigned generation);
/* The key of the answer to m, by whoever has this pair. */
bool seal_key(const struct channel_pair *pair, const struct msg *m,
              unsigned char ret[CHANNEL_KEY_BYTES]);
bool seal_open(struct kpod *k, struct msg *m); /* the body, in place */
void seal_begin(struct sim *s, struct kpod *k, const struct msg *m);
void seal_write(struct sim *s, uint64_t call, const char *data, size_t len, bool final);
void seal_answer(struct sim *s, struct kpod *k, struct msg *m);

/* hostile.c */
void hostile_choose(struct sim *s, size_t i);
bool hostile_on_the_way(struct sim *s, struct kpod *k, struct msg *m, struct buf *b);
void hostile_answer(struct sim *s, struct kpod *k, struct msg *m);

/* evil.c */
void evil_handle(struct sim *s, struct kpod *k, struct msg *m);
void evil_mark(struct sim *s, const char *task_uid);
/* Whether such an agent has told anything of this task: it may end in any way. */
bool evil_told(struct sim *s, const char *task_uid);

/* nasty.c */
void nasty_make(struct sim *s);
void nasty_remove(struct sim *s);
bool nasty_name(const char *name);

/* policy.c */
void policy_change(struct sim *s); /* for a while, by chance */
void policy_clear(struct sim *s);
/* Whether this patch is refused: answers in m. */
bool policy_refuses(struct sim *s, struct msg *m, const struct obj *o, struct json_object *patch,
                    bool status);

/* progress.c: output that is shown while a task runs */
void progress_written(struct sim *s, const struct obj *task);

/* client.c */
void client_start(struct sim *s);
void client_pool(struct sim *s, const char *name, int replicas, const char *image);
void client_scale(struct sim *s, const char *name, int replicas);
void client_orphan(struct sim *s, enum sim_kind kind, const char *name);
void client_image(struct sim *s, const char *name, const char *image);
/* extra: further members of spec, each with a leading comma; may be "" */
void client_sandbox(struct sim *s, const char *name, const char *pool, const char *extra);
/* steps: "ms:code ms:code ..." */
void client_task(struct sim *s, const char *name, const char *sandbox, const char *steps,
                 const char *extra);
/* The first step has an argument of so many bytes. */
void client_large_task(struct sim *s, const char *name, const char *sandbox, const char *steps,
                       const char *extra, size_t bytes);
void client_delete(struct sim *s, enum sim_kind kind, const char *name);

/* forged.c */
#define FORGED "forged"
void forged_make(struct sim *s);
bool forged_name(const char *pod);
void forged_deleted(struct sim *s, const char *pod);

/* oracle.c */
void oracle_change(struct sim *s, struct obj *o, const char *type);
void oracle_step_starts(struct sim *s, const struct kpod *k, const char *sandbox_uid,
                        const char *task_uid, int64_t attempt, size_t step);
/* An operator asks to delete that sandbox, with this body. */
void oracle_expires(struct sim *s, const char *name, const char *body);
void oracle_request(struct sim *s, const struct kpod *k, const char *sandbox_uid);
bool oracle_settled(struct sim *s, struct buf *why); /* everything is as it has to be at rest */
void oracle_queues(struct sim *s);                   /* at rest: nobody keeps more than he needs */
bool oracle_same_second(const struct obj *a, const struct obj *b); /* made in */
bool oracle_task_final(const struct obj *task);
void oracle_done(struct sim *s);

/* output.c */
/* Whether out is what the steps have printed, but for parts that markers stand for, byte for byte;
 * the last step shows its last `least` bytes at least. */
bool output_is_tail(const char *out, const char *task_uid, const struct agent_truth *truth,
                    int64_t attempt, size_t least);

/* phases.c */
void phase_moved(struct sim *s, const struct obj *o, const char *from, const char *to);
unsigned phases_never_made(void); /* by any run of this process; prints them */

/* run.c */
void sim_config_of_seed(struct sim_config *c, uint64_t seed);
struct sim *sim_new(const struct sim_config *cfg);
void sim_free(struct sim *s);
/* Quiet, settled, ten virtual minutes without a write; s->failure says what was wrong. */
void sim_come_to_rest(struct sim *s);
/* A run by chance from its seed; returns whether it was right. */
struct sim_sum {
    uint64_t hash; /* of the last run */
    uint64_t calls;
    uint64_t known_holes; /* what the oracles excused */
    uint64_t doubles;
};
bool sim_run_seed(uint64_t seed, bool trace, struct sim_sum *sum);

#endif
