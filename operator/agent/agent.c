#include "operator/agent/agent.h"

#include <inttypes.h>
#include <stdio.h>

void agent_task_path(char *ret, const char *task_uid, int64_t attempt)
{
    snprintf(ret, AGENT_PATH_MAX, "/v1/tasks/%s/%" PRId64, task_uid, attempt);
}

char *agent_address(const struct pod *p)
{
    return xasprintf(strchr(p->ip, ':') ? "[%s]:%d" : "%s:%d", p->ip, p->agent_port);
}

struct run_target agent_target(const struct task *t, const struct sandbox *s, const struct pod *p)
{
    return (struct run_target){
        .ns = xstrdup(s->meta.ns),
        .sandbox = xstrdup(s->meta.name),
        .task_uid = t ? xstrdup(t->meta.uid) : NULL,
        .sandbox_uid = xstrdup(s->meta.uid),
        .pod_uid = xstrdup(p->meta.uid),
        .pod_name = xstrdup(p->meta.name),
        .address = agent_address(p),
        .key_id = xstrdup(p->key_id),
        .agent_key = xstrdup(s->status.agent_key ? s->status.agent_key : p->agent_key),
    };
}

bool agent_follow(const struct world *w, const char *ns, struct run_target *t)
{
    const struct pod *pod;
    char key[META_KEY_MAX];

    meta_key(key, ns, t->pod_name);
    pod = world_pod(w, key);
    if (!pod || !str_eq(pod->meta.uid, t->pod_uid))
        return false;
    if (pod->ip)
        str_set(&t->address, agent_address(pod));
    return true;
}
