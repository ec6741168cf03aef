#include "operator/agent.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

int agent_sign(struct ops *ops, const struct signing_keys *keys, const struct run_target *t,
               const char *method, const void *body, size_t body_len, struct agent_request *ret,
               struct err *err)
{
    const struct signature_key *key = signing_find(keys, t->key_id);
    struct signature_input in = {method,         ret->path, ret->query, t->pod_uid,
                                 t->sandbox_uid, "none",    body,       body_len};
    unsigned char nonce[SIGNATURE_NONCE_BYTES];
    struct signature_headers h;
    int r;

    if (!key)
        return err_set(err, -ENOKEY, "the signing key %s that the pod knows is gone", t->key_id);
    ops_random(ops, nonce, sizeof(nonce));
    r = signature_sign(key, &in, ops_now(ops).wall_ns / NSEC_PER_SEC, nonce, &h, err);
    if (r < 0)
        return r;
    snprintf(ret->target, sizeof(ret->target), "%s%s%s", ret->path, *ret->query ? "?" : "",
             ret->query);
    snprintf(ret->lines[0], sizeof(ret->lines[0]), "Signature-Input: %s", h.signature_input);
    snprintf(ret->lines[1], sizeof(ret->lines[1]), "Signature: %s", h.signature);
    snprintf(ret->lines[2], sizeof(ret->lines[2]), "Content-Digest: %s", h.content_digest);
    snprintf(ret->lines[3], sizeof(ret->lines[3]), "Arl-Pod-Uid: %s", t->pod_uid);
    snprintf(ret->lines[4], sizeof(ret->lines[4]), "Arl-Sandbox-Uid: %s", t->sandbox_uid);
    snprintf(ret->lines[5], sizeof(ret->lines[5]), "Arl-Operator-Key: %s", in.operator_key);
    for (size_t i = 0; i < ARRAY_SIZE(ret->lines); i++)
        ret->headers[i] = ret->lines[i];
    return 0;
}

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
        .task_uid = t ? xstrdup(t->meta.uid) : NULL,
        .sandbox_uid = xstrdup(s->meta.uid),
        .pod_uid = xstrdup(p->meta.uid),
        .pod_name = xstrdup(p->meta.name),
        .address = agent_address(p),
        .key_id = xstrdup(p->key_id),
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
