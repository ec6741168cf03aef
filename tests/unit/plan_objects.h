/*
 * For tests of the planners: the keys and objects that they use. Header only; beside
 * world_fixture.h, which owns the world.
 */
#ifndef ARL_TESTS_PLAN_OBJECTS_H
#define ARL_TESTS_PLAN_OBJECTS_H

#include "tests/agent_side.h"
#include "tests/unit/unit.h"
#include "tests/unit/world_fixture.h"

#define POOL "pool/ns/p"
#define SANDBOX "sandbox/ns/s"
#define TASK "task/ns/t"

static inline int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    fixture_init(f);
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static inline void put_pool(struct fixture *f, int replicas, const char *image)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"replicas\":%d,\"template\":{\"spec\":{\"containers\":[{\"name\":"
                  "\"executor\",\"image\":\"%s\"}]}}}",
                  replicas, image);

    fixture_put(f, &api_warmpool, "p", "", rest);
}

static inline void put_pod_at(struct fixture *f, const char *name, const char *created, bool ready,
                              const char *sandbox, const char *hash)
{
    cleanup_free char *owner =
        sandbox
            ? xasprintf("{\"kind\":\"Sandbox\",\"uid\":\"uid-%s\",\"controller\":true}", sandbox)
            : xstrdup("{\"kind\":\"WarmPool\",\"uid\":\"uid-p\",\"controller\":true}");
    cleanup_free char *label =
        sandbox ? xasprintf(",\"arl.infra.io/sandbox\":\"%s\"", sandbox) : xstrdup("");
    cleanup_free char *md =
        xasprintf(",\"labels\":{\"arl.infra.io/pool\":\"p\",\"arl.infra.io/status\":\"%s\"%s},"
                  "\"annotations\":{\"arl.infra.io/wire-version\":\"2\",\"arl.infra.io/"
                  "template-hash\":\"%s\",\"arl.infra.io/work-dir\":\"/w\"},"
                  "\"ownerReferences\":[%s]",
                  sandbox ? "allocated" : "idle", label, hash, owner);
    cleanup_free char *rest = xasprintf(
        "\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"conditions\":[{\"type\":"
        "\"Ready\",\"status\":\"%s\"}]," AGENT_SIDE_TOLD(AGENT_SIDE_KEY) "}",
        ready ? "True" : "False");

    fixture_put_at(f, &api_pod, name, created, md, rest);
}

static inline const char *pool_hash(struct fixture *f)
{
    return world_pool(f->w, "ns/p")->template_hash;
}

static inline void put_pod(struct fixture *f, const char *name, bool ready, const char *sandbox)
{
    struct warmpool *p = world_pool(f->w, "ns/p");

    put_pod_at(f, name, T0_TEXT, ready, sandbox, p ? p->template_hash : "h");
}

static inline void put_sandbox(struct fixture *f, const char *name, const char *more_spec,
                               const char *status)
{
    cleanup_free char *rest =
        xasprintf("\"spec\":{\"poolRef\":\"p\"%s},\"status\":{%s}", more_spec, status);

    fixture_put(f, &api_sandbox, name, "", rest);
}

#define READY_STATUS                                                                               \
    "\"phase\":\"Ready\",\"agentKey\":\"" AGENT_SIDE_KEY                                           \
    "\",\"podName\":\"a\",\"podUID\":\"uid-a\",\"podIP\":\"10.0.0.1\","                            \
    "\"workDir\":\"/w\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\",\"reason\":"       \
    "\"PodReady\",\"message\":\"the agent in the pod answers\",\"lastTransitionTime\":\"" T0_TEXT  \
    "\"}]"

static inline void put_ready_sandbox(struct fixture *f)
{
    put_pod(f, "a", true, "s");
    put_sandbox(f, "s", "", READY_STATUS);
    world_sandbox_state(f->w, "ns/s")->agent.state = AGENT_CLEAN;
}

#define ONE_STEP                                                                                   \
    "\"sandboxRef\":\"s\",\"steps\":[{\"name\":\"x\",\"type\":\"Command\",\"command\":[\"true\"]}" \
    "]"

static inline void put_task(struct fixture *f, const char *name, const char *spec,
                            const char *status)
{
    cleanup_free char *rest = xasprintf("\"spec\":{%s},\"status\":{%s}", spec, status);

    fixture_put(f, &api_task, name, "", rest);
}

#define assert_plan(f, key, want) assert_string_equal(fixture_plan(f, key, NULL), want)

static inline char *plan_body(struct fixture *f, const char *key)
{
    char *body = NULL;

    fixture_plan(f, key, &body);
    return body;
}

static inline void assert_in(const char *text, const char *part)
{
    if (!text || !strstr(text, part))
        fail_msg("%s is not in %s", part, text ? text : "(nothing)");
}

#endif
