/*
 * What the operator's fuzz target may have around it beside hostile input: an API server that does
 * what it is asked, a kubelet that starts pods, agents that run tasks. So a short input comes to
 * claims and to ends of tasks. It knows the objects that the watches have brought; whatever it can
 * make nothing of gets an answer all the same.
 *
 * Limits: WORLD_OBJECTS_MAX objects, further ones are not kept.
 */
#ifndef ARL_TESTS_FUZZ_WORLD_SERVER_H
#define ARL_TESTS_FUZZ_WORLD_SERVER_H

#include "operator/api/pod_seal.h"
#include "tests/unit/fake_ops.h"

#define WORLD_OBJECTS_MAX 24

enum world_kind { WORLD_POD, WORLD_POOL, WORLD_SANDBOX, WORLD_TASK, WORLD_KINDS };
extern const char *const world_plurals[WORLD_KINDS];

/* How often each has happened. */
struct world_reached {
    uint64_t created; /* pods */
    uint64_t claimed; /* pods */
    uint64_t ready;   /* sandboxes */
    uint64_t ended;   /* tasks, well */
    uint64_t deleted; /* pods */
};

struct world_object {
    enum world_kind kind;
    char *text;
    struct json_object *tree; /* NULL: not needed yet */
    bool told;                /* the watch has it */
    bool gone;
};

struct world_server {
    struct fake_ops *ops;
    struct world_object objects[WORLD_OBJECTS_MAX];
    size_t count;
    unsigned version;
    struct world_reached *reached;
};

void world_server_init(struct world_server *s, struct fake_ops *ops, struct world_reached *reached);
void world_server_done(struct world_server *s);

/* The watch has brought an object, or its end. */
void world_saw(struct world_server *s, enum world_kind kind, bool deleted, const char *text);
/* Does what the call asks for, and answers it. */
void world_obey(struct world_server *s, struct ops_call *call);
/* The watches bring what has changed. */
void world_tell(struct world_server *s);
/* All pods that do not run get an address, a key and the condition Ready. */
void world_run_pods(struct world_server *s);
/* The agent runs what it is asked to, to a good end, or answers. */
void world_agent(struct world_server *s, struct ops_call *call);

/* The watch of a kind that is under way; NULL: none. */
struct ops_call *world_watch(struct fake_ops *ops, enum world_kind kind);
/* The text with each "@seal" as the seal of this pod. Owned. */
char *world_sealed(const struct seal_key *key, int64_t wall_ns, const char *text);

#endif
