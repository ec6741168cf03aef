/* Pods that look like the operator's and are not: somebody makes them who may create pods. They
 * have the labels and annotations of one of the operator's pods, some have its owner or its seal as
 * well. They get ready like others, and their agents answer. No operator may take, delete or count
 * one. */
#include "tests/sim/sim.h"

#include <stdio.h>

#include <json-c/json.h>

#include "common/base/json.h"

bool forged_name(const char *pod)
{
    return strncmp(pod, FORGED, strlen(FORGED)) == 0;
}

static const struct obj *some_pod(struct sim *s)
{
    for (size_t i = s->api.count[SIM_POD]; i > 0; i--)
        if (!forged_name(s->api.objs[SIM_POD][i - 1]->name))
            return s->api.objs[SIM_POD][i - 1];
    return NULL;
}

/* The newest sandbox: it may wait for a pod. */
static struct json_object *owned_by_sandbox(struct sim *s)
{
    size_t n = s->api.count[SIM_SANDBOX];
    const struct obj *box = n ? s->api.objs[SIM_SANDBOX][n - 1] : NULL;
    struct json_object *refs = NULL;
    cleanup_free char *text =
        box ? xasprintf("[{\"apiVersion\":\"arl.infra.io/v1alpha1\",\"kind\":\"Sandbox\",\"name\":"
                        "\"%s\",\"uid\":\"%s\",\"controller\":true}]",
                        box->name, box->uid)
            : xstrdup("[]");
    int r = json_parse(text, strlen(text), &refs, NULL);

    assert(r == 0);
    return refs;
}

/* Every other forged pod bears no seal. */
static struct json_object *annotations_of(struct sim *s, struct json_object *like)
{
    struct json_object *all = json_object_new_object();

    json_object_object_foreach(like, name, value)
    {
        if (s->forged % 2 == 0 || strcmp(name, POD_ANNOTATION_SEAL) != 0)
            json_object_object_add(all, name, json_object_get(value));
    }
    return all;
}

void forged_make(struct sim *s)
{
    const struct obj *like = some_pod(s);
    cleanup_free char *name = xasprintf(FORGED "%u", s->forged);
    struct json_object *md, *from;
    cleanup_json struct json_object *pod = NULL;

    if (!like || !json_get_path(like->j, "metadata.annotations"))
        return;
    from = json_get(like->j, "metadata");
    pod = json_object_new_object();
    md = json_object_new_object();
    json_object_object_add(md, "name", json_object_new_string(name));
    json_object_object_add(md, "labels", json_object_get(json_get(from, "labels")));
    json_object_object_add(md, "annotations", annotations_of(s, json_get(from, "annotations")));
    if (s->forged % 3 == 0)
        json_object_object_add(md, "ownerReferences",
                               json_object_get(json_get(from, "ownerReferences")));
    else if (s->forged % 3 == 1)
        json_object_object_add(md, "ownerReferences", owned_by_sandbox(s));
    json_object_object_add(pod, "metadata", md);
    json_object_object_add(pod, "spec", json_object_get(json_get(like->j, "spec")));
    s->forged++;
    sim_note(s, "client forges %s", name);
    api_create(s, SIM_POD, json_object_to_json_string(pod));
}

/* An operator asks to delete that pod. It may do so only when the pod's owner is gone, as garbage
 * collection does. */
void forged_deleted(struct sim *s, const char *pod)
{
    const struct obj *o = forged_name(pod) ? api_find(s, SIM_POD, pod) : NULL;
    struct json_object *refs = o ? json_get_path(o->j, "metadata.ownerReferences") : NULL;
    const char *uid =
        json_array_len(refs) ? json_get_str(json_object_array_get_idx(refs, 0), "uid") : NULL;

    if (o && (!uid || api_find_uid(s, SIM_POOL, uid) || api_find_uid(s, SIM_SANDBOX, uid)))
        sim_fail(s, "an operator deletes %s, which it has not made", pod);
}
