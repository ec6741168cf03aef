#include "operator/agent/inputs.h"

#include <errno.h>

#include "common/wire/task_proto.h"
#include "operator/kube/client.h"

struct inputs {
    struct ops *ops;
    struct kube_call *call;
    struct task *task; /* NULL: not read yet */
    char *ns;
    char *task_uid;
    char *sandbox;
    char *sandbox_uid;
    bool env;
    inputs_done_fn *done;
    void *arg;
};

static void inputs_free(struct inputs *in)
{
    if (in->task)
        api_task_whole.free(&in->task->meta);
    free(in->ns);
    free(in->task_uid);
    free(in->sandbox);
    free(in->sandbox_uid);
    free(in);
}

static void finish(struct inputs *in, struct task *t, const char *env_json, bool gone)
{
    assert(!in->call);
    in->done(in->arg, t, env_json, gone);
    inputs_free(in);
}

/* The object of the answer. NULL: there is none, or it has another UID. */
static struct meta *object_of(const struct kube_result *res, const char *uid)
{
    return res->object && str_eq(res->object->uid, uid) ? res->object : NULL;
}

static void on_sandbox(void *arg, struct kube_result *res)
{
    struct inputs *in = arg;
    const struct meta *m = object_of(res, in->sandbox_uid);

    in->call = NULL;
    if (m)
        finish(in, in->task, container_of(m, struct sandbox, meta)->env_json, false);
    else
        finish(in, NULL, NULL, false);
}

static void on_task(void *arg, struct kube_result *res)
{
    struct inputs *in = arg;

    assert(!in->task);
    in->call = NULL;
    if (!object_of(res, in->task_uid)) {
        finish(in, NULL, NULL, res->reason == KUBE_NOT_FOUND);
        return;
    }
    in->task = container_of(kube_result_take_object(res), struct task, meta);
    if (in->env)
        in->call = kube_get(in->ops, KUBE_TO_FINISH, &api_sandbox_whole, in->ns, in->sandbox,
                            on_sandbox, in);
    else
        finish(in, in->task, NULL, false);
}

/* The sandbox of the run. NULL: it does not exist any more. */
static const struct sandbox *sandbox_of(const struct world *w, const struct run *r)
{
    const struct sandbox *s;
    char key[META_KEY_MAX];

    meta_key(key, r->target.ns, r->target.sandbox);
    s = world_sandbox(w, key);
    return s && str_eq(s->meta.uid, r->target.sandbox_uid) ? s : NULL;
}

static bool env_is_apart(const struct world *w, const struct run *r)
{
    const struct sandbox *s = sandbox_of(w, r);

    return s && sandbox_env_apart(s);
}

struct inputs *inputs_read(struct ops *ops, const struct world *w, const struct run *r,
                           const char *task_name, inputs_done_fn *done, void *arg)
{
    const struct run_target *target = &r->target;
    struct inputs *in = xcalloc(1, sizeof(*in));

    in->ops = ops;
    in->ns = xstrdup(target->ns);
    in->task_uid = xstrdup(target->task_uid);
    in->sandbox = xstrdup(target->sandbox);
    in->sandbox_uid = xstrdup(target->sandbox_uid);
    in->env = env_is_apart(w, r);
    in->done = done;
    in->arg = arg;
    in->call = kube_get(ops, KUBE_TO_FINISH, &api_task_whole, in->ns, task_name, on_task, in);
    return in;
}

void inputs_cancel(struct inputs *in)
{
    if (!in)
        return;
    kube_cancel(in->call);
    inputs_free(in);
}

bool inputs_kept(const struct world *w, const struct run *r, const struct task *t)
{
    return t->steps_json && !env_is_apart(w, r);
}

size_t inputs_bytes(const struct world *w, const struct run *r, const struct task *t)
{
    const struct sandbox *s = sandbox_of(w, r);

    return t->spec_bytes + (s ? s->env_bytes : 0);
}

int inputs_encode(const struct world *w, const char *task_key, const struct run *r,
                  const struct task *t, const char *env_json, struct buf *out, struct err *err)
{
    const struct sandbox *s = sandbox_of(w, r);
    struct task_request_head head = {
        .sandbox_uid = r->target.sandbox_uid,
        .task_name = task_key,
        .trace_id = t->trace_id,
        .timeout_ms = t->timeout_ms > 0 ? t->timeout_ms : w->policy->task_timeout_ms,
        .output_limit = w->policy->output_limit,
    };

    if (!s)
        return err_set(err, -ENOENT, "the sandbox was deleted while the task ran");
    head.env_json = env_json ? env_json : s->env_json;
    head.work_dir = s->status.work_dir ? s->status.work_dir : "/";
    return task_request_encode(&head, t->steps_json, out, err);
}
