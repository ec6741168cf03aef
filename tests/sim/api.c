/* The model of the API server: objects, verbs, preconditions. See tests/sim/behaviour.c, which asks
 * the same of a real one. */
#include "tests/sim/sim.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

#include "common/base/clock.h"
#include "common/base/json.h"

#define ETCD_BYTES 1572864u

static const struct {
    const char *kind;
    const char *plural;
    const char *prefix;
    bool custom; /* with a status subresource of its own */
} kinds[SIM_KINDS] = {
    [SIM_POD] = {"Pod", "pods", "/api/v1/", true},
    [SIM_POOL] = {"WarmPool", "warmpools", "/apis/arl.infra.io/v1alpha1/", true},
    [SIM_SANDBOX] = {"Sandbox", "sandboxes", "/apis/arl.infra.io/v1alpha1/", true},
    [SIM_TASK] = {"Task", "tasks", "/apis/arl.infra.io/v1alpha1/", true},
    [SIM_LEASE] = {"Lease", "leases", "/apis/coordination.k8s.io/v1/", false},
    [SIM_EVENT] = {"Event", "events", "/api/v1/", false},
};

const char *api_kind_name(enum sim_kind kind)
{
    return kinds[kind].kind;
}

/* ---- objects --------------------------------------------------------------------------------- */

struct obj *api_find(struct sim *s, enum sim_kind kind, const char *name)
{
    for (size_t i = 0; i < s->api.count[kind]; i++)
        if (strcmp(s->api.objs[kind][i]->name, name) == 0)
            return s->api.objs[kind][i];
    return NULL;
}

struct obj *api_find_uid(struct sim *s, enum sim_kind kind, const char *uid)
{
    for (size_t i = 0; uid && i < s->api.count[kind]; i++)
        if (strcmp(s->api.objs[kind][i]->uid, uid) == 0)
            return s->api.objs[kind][i];
    return NULL;
}

static void insert(struct sim *s, struct obj *o)
{
    size_t n = s->api.count[o->kind]++;
    struct obj **list = xrealloc(s->api.objs[o->kind], (n + 1) * sizeof(struct obj *));

    for (; n > 0 && strcmp(list[n - 1]->name, o->name) > 0; n--)
        list[n] = list[n - 1];
    list[n] = o;
    s->api.objs[o->kind] = list;
}

static void obj_free(struct obj *o)
{
    json_object_put(o->j);
    free(o->name);
    free(o->uid);
    free(o->shadow);
    free(o);
}

static void put_str(struct json_object *j, const char *name, const char *value)
{
    json_object_object_add(j, name, json_object_new_string(value));
}

/* A new object with the same members; their values are shared. */
static struct json_object *copy_of(struct json_object *j)
{
    struct json_object *c = json_object_new_object();

    if (!json_object_is_type(j, json_type_object))
        return c;
    json_object_object_foreach(j, name, value)
    {
        json_object_object_add_ex(c, name, json_object_get(value), JSON_C_OBJECT_ADD_KEY_IS_NEW);
    }
    return c;
}

static void set_tree(struct obj *o, struct json_object *j)
{
    json_object_put(o->j);
    o->j = j;
}

/* A tree that was committed is never changed, since known.c hands it out. So the root of o->j has
 * to be a new object before each commit. */
void api_commit(struct sim *s, struct obj *o, const char *type)
{
    struct api *a = &s->api;
    struct json_object *md = copy_of(json_get(o->j, "metadata"));
    struct change *c;
    char rv[24];

    o->rv = ++a->rv;
    snprintf(rv, sizeof(rv), "%" PRIu64, o->rv);
    put_str(md, "resourceVersion", rv);
    json_object_object_add(o->j, "metadata", md);
    if ((a->log_len & (a->log_len - 1)) == 0)
        a->log = xrealloc(a->log, MAX(2 * a->log_len, 16u) * sizeof(*a->log));
    c = &a->log[a->log_len++];
    *c = (struct change){o->rv, o->kind, type, text_of(o->j)};
    o->text = c->text;
    known_add(o->text, o->j);
    oracle_change(s, o, type);
    api_tell_watches(s, o->kind);
}

void api_remove(struct sim *s, struct obj *o)
{
    struct api *a = &s->api;
    size_t i = 0;

    set_tree(o, copy_of(o->j));
    api_commit(s, o, "DELETED");
    while (a->objs[o->kind][i] != o)
        i++;
    a->count[o->kind]--;
    memmove(a->objs[o->kind] + i, a->objs[o->kind] + i + 1,
            (a->count[o->kind] - i) * sizeof(struct obj *));
    obj_free(o);
}

/* A pod that has a node gets time to end; everything else is gone at once. */
void api_delete(struct sim *s, struct obj *o)
{
    struct json_object *md;
    char now[RFC3339_MAX];

    if (o->kind != SIM_POD || !json_get_str(json_get(o->j, "spec"), "nodeName")) {
        api_remove(s, o);
        return;
    }
    if (json_get_str(json_get(o->j, "metadata"), "deletionTimestamp"))
        return;
    rfc3339_format(now, sim_wall_ns(s));
    md = copy_of(json_get(o->j, "metadata"));
    put_str(md, "deletionTimestamp", now);
    set_tree(o, copy_of(o->j));
    json_object_object_add(o->j, "metadata", md);
    api_commit(s, o, "MODIFIED");
    kubelet_pod_deleting(s, o);
}

/* Of a pod's spec the model needs the images; parsing all the rest again and again costs time. */
static void strip_spec(struct json_object *j)
{
    struct json_object *images = json_object_new_array(), *spec = json_object_new_object();
    struct json_object *containers = json_get_path(j, "spec.containers");

    for (size_t i = 0; i < json_array_len(containers); i++) {
        const char *image = json_get_str(json_object_array_get_idx(containers, i), "image");

        json_object_array_add(images, json_object_new_string(str_or_empty(image)));
    }
    json_object_object_add(spec, "images", images);
    json_object_object_add(j, "spec", spec);
}

/* Takes over j. */
static struct obj *create(struct sim *s, enum sim_kind kind, struct json_object *j)
{
    struct obj *o = xcalloc(1, sizeof(*o));
    struct json_object *md = json_get(j, "metadata");
    char now[RFC3339_MAX];

    o->kind = kind;
    o->j = j;
    o->name = xstrdup(json_get_str(md, "name"));
    o->uid = xasprintf("%s-%" PRIu64, kinds[kind].plural, ++s->api.next_uid);
    rfc3339_format(now, sim_wall_ns(s));
    put_str(md, "namespace", kind == SIM_LEASE ? "arl-system" : SIM_NS);
    put_str(md, "uid", o->uid);
    put_str(md, "creationTimestamp", now);
    if (kinds[kind].custom) {
        json_object_object_add(md, "generation", json_object_new_int(1));
        json_object_object_del(j, "status");
    }
    if (kind == SIM_POD)
        strip_spec(j);
    insert(s, o);
    api_commit(s, o, "ADDED");
    if (kind == SIM_POD)
        kubelet_pod_made(s, o);
    return o;
}

struct obj *api_create(struct sim *s, enum sim_kind kind, const char *text)
{
    struct json_object *j = NULL;
    int r = json_parse(text, strlen(text), &j, NULL);

    assert(r == 0);
    if (api_find(s, kind, json_get_str(json_get(j, "metadata"), "name"))) {
        json_object_put(j);
        return NULL;
    }
    return create(s, kind, j);
}

/* ---- answers --------------------------------------------------------------------------------- */

void api_status(struct msg *m, int code, const char *reason, const char *message)
{
    free(m->reply);
    m->status = code;
    m->reply = xasprintf("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"
                         "\"%s\",\"message\":\"%s\",\"reason\":\"%s\",\"code\":%d}",
                         code < 300 ? "Success" : "Failure", message, reason, code);
}

static void answer_object(struct msg *m, int code, const struct obj *o)
{
    m->status = code;
    m->reply = xstrdup(o->text);
}

static void not_found(struct msg *m, const char *name)
{
    cleanup_free char *text = xasprintf("\\\"%s\\\" not found", name);

    api_status(m, 404, "NotFound", text);
}

static void conflict(struct msg *m, const char *name, const char *why)
{
    cleanup_free char *text =
        xasprintf("Operation cannot be fulfilled on \\\"%s\\\": %s", name, why);

    api_status(m, 409, "Conflict", text);
}

/* ---- merge patches (RFC 7396) ---------------------------------------------------------------- */

static bool same_text(struct json_object *a, struct json_object *b)
{
    cleanup_free char *text_a = text_of(a), *text_b = text_of(b);

    return strcmp(text_a, text_b) == 0;
}

/* Whether two values that are no objects are the same. Lists are compared as text. */
static bool same_value(struct json_object *a, struct json_object *b)
{
    if (json_object_is_type(a, json_type_array) && json_object_is_type(b, json_type_array))
        return same_text(a, b);
    return json_object_equal(a, b);
}

/* A new tree, which shares with the old one what stays. */
static struct json_object *merged(struct json_object *old, struct json_object *patch, bool *changed)
{
    struct json_object *to = copy_of(old);

    *changed |= !json_object_is_type(old, json_type_object);
    json_object_object_foreach(patch, name, value)
    {
        struct json_object *there;
        bool has = json_object_object_get_ex(to, name, &there);

        if (!value) {
            *changed |= has;
            json_object_object_del(to, name);
        } else if (!json_object_is_type(value, json_type_object)) {
            *changed |= !has || !same_value(there, value);
            json_object_object_add(to, name, json_object_get(value));
        } else {
            json_object_object_add(to, name, merged(there, value, changed));
        }
    }
    return to;
}

void api_merge(struct sim *s, struct obj *o, const char *patch)
{
    struct json_object *j = NULL;
    int r = json_parse(patch, strlen(patch), &j, NULL);
    bool changed = false;

    assert(r == 0);
    set_tree(o, merged(o->j, j, &changed));
    json_object_put(j);
    api_commit(s, o, "MODIFIED");
}

static bool precondition(struct msg *m, const struct obj *o, struct json_object *md)
{
    const char *uid = json_get_str(md, "uid"), *rv = json_get_str(md, "resourceVersion");
    char now[24];

    snprintf(now, sizeof(now), "%" PRIu64, o->rv);
    if (uid && strcmp(uid, o->uid) != 0)
        conflict(m, o->name, "Precondition failed: UID in precondition and in object meta differ");
    else if (rv && strcmp(rv, now) != 0)
        conflict(m, o->name,
                 "the object has been modified; please apply your changes to the "
                 "latest version and try again");
    else
        return true;
    return false;
}

static void count_generation(struct obj *o)
{
    struct json_object *md = copy_of(json_get(o->j, "metadata"));
    int64_t generation = 0;

    json_get_int(md, "generation", &generation);
    json_object_object_add(md, "generation", json_object_new_int64(generation + 1));
    json_object_object_add(o->j, "metadata", md);
}

/* etcd's --max-request-bytes. */
static bool is_too_large(const struct obj *o)
{
    cleanup_free char *text = strlen(o->text) > ETCD_BYTES / 2 ? text_of(o->j) : NULL;

    return text && strlen(text) > ETCD_BYTES;
}

/* A patch through the subresource changes the status alone. Another patch of a custom resource
 * changes everything but the status. A patch that changes nothing is not written. */
static void apply(struct sim *s, struct msg *m, struct obj *o, struct json_object *patch,
                  bool status)
{
    struct json_object *was = json_object_get(o->j);
    bool changed = false, new_spec = false;

    if (status) {
        struct json_object *only = json_object_new_object();

        json_object_object_add(only, "status", json_object_get(json_get(patch, "status")));
        set_tree(o, merged(was, only, &changed));
        json_object_put(only);
    } else {
        if (kinds[o->kind].custom)
            json_object_object_del(patch, "status");
        set_tree(o, merged(was, patch, &changed));
        new_spec = json_get(patch, "spec") && kinds[o->kind].custom && o->kind != SIM_POD;
    }
    if (changed && is_too_large(o)) {
        set_tree(o, was);
        api_status(m, 500, "InternalError", "etcdserver: request is too large");
        return;
    }
    if (new_spec && !same_text(json_get(was, "spec"), json_get(o->j, "spec")))
        count_generation(o);
    if (changed)
        api_commit(s, o, "MODIFIED");
    else
        set_tree(o, json_object_get(was));
    json_object_put(was);
    answer_object(m, 200, o);
}

/* ---- verbs ----------------------------------------------------------------------------------- */

struct target {
    enum sim_kind kind;
    char name[128]; /* "": the collection */
    bool status;
};

/* The model keeps no Events. But nothing except an Event tells of a spec that is too large, so this
 * one becomes a move. */
static void tell_event(struct sim *s, struct json_object *event)
{
    const char *reason = str_or_empty(json_get_str(event, "reason"));

    if (strcmp(reason, "SpecTooLarge") == 0)
        sim_move(s, "task %s: %s",
                 str_or_empty(json_get_str(json_get(event, "involvedObject"), "name")), reason);
}

/* The specs of most pods are the same text: that is parsed once. */
static int parse_pod(const struct msg *m, struct json_object **ret)
{
    cleanup_buf struct buf others = BUF_INIT(ETCD_BYTES);
    struct json_object *tree;
    const char *spec;
    size_t len;

    if (!json_find(m->body, m->body_len, "spec", &spec, &len) || !(tree = known_part(spec, len)))
        return json_parse(m->body, m->body_len, ret, NULL);
    buf_append(&others, m->body, (size_t)(spec - m->body));
    buf_puts(&others, "{}");
    buf_puts(&others, spec + len);
    if (json_parse(others.data, others.len, ret, NULL) < 0) {
        json_object_put(tree);
        return -EINVAL;
    }
    json_object_object_add(*ret, "spec", tree);
    return 0;
}

static int parse_body(const struct msg *m, enum sim_kind kind, struct json_object **ret)
{
    return kind == SIM_POD ? parse_pod(m, ret) : json_parse(m->body, m->body_len, ret, NULL);
}

static void do_post(struct sim *s, struct msg *m, const struct target *t)
{
    struct json_object *j = NULL;
    const char *name;

    if (parse_body(m, t->kind, &j) < 0) {
        api_status(m, 400, "BadRequest", "the body is no object");
        return;
    }
    name = json_get_str(json_get(j, "metadata"), "name");
    if (!name || !*name) {
        api_status(m, 422, "Invalid", "name is required");
        json_object_put(j);
    } else if (t->kind == SIM_EVENT) {
        tell_event(s, j);
        api_status(m, 201, "", "");
        json_object_put(j);
    } else if (api_find(s, t->kind, name)) {
        api_status(m, 409, "AlreadyExists", "already exists");
        json_object_put(j);
    } else if (t->kind == SIM_POD && !s->quiet && sim_chance(s, s->cfg.pod_faults / 4)) {
        api_status(m, 403, "Forbidden", "exceeded quota: pods");
        json_object_put(j);
    } else {
        answer_object(m, 201, create(s, t->kind, j));
    }
}

/* A resourceVersion is a precondition. A UID is a field that may not change; a patch of the status
 * ignores it. */
static bool patch_may(struct msg *m, const struct obj *o, struct json_object *md, bool status)
{
    const char *uid = json_get_str(md, "uid"), *rv = json_get_str(md, "resourceVersion");
    char now[24];

    snprintf(now, sizeof(now), "%" PRIu64, o->rv);
    if (rv && strcmp(rv, now) != 0)
        conflict(m, o->name,
                 "the object has been modified; please apply your changes to the "
                 "latest version and try again");
    else if (uid && !status && strcmp(uid, o->uid) != 0)
        api_status(m, 422, "Invalid", "metadata.uid: Invalid value: field is immutable");
    else
        return true;
    return false;
}

static void do_patch(struct sim *s, struct msg *m, const struct target *t)
{
    cleanup_json struct json_object *patch = NULL;
    struct obj *o = api_find(s, t->kind, t->name);

    if (!o) {
        not_found(m, t->name);
    } else if (json_parse(m->body, m->body_len, &patch, NULL) < 0) {
        api_status(m, 400, "BadRequest", "the body is no object");
    } else if (patch_may(m, o, json_get(patch, "metadata"), t->status) &&
               !policy_refuses(s, m, o, patch, t->status)) {
        if (json_get(patch, "metadata")) {
            json_object_object_del(json_get(patch, "metadata"), "uid");
            json_object_object_del(json_get(patch, "metadata"), "resourceVersion");
        }
        apply(s, m, o, patch, t->status);
    }
}

static void do_delete(struct sim *s, struct msg *m, const struct target *t)
{
    cleanup_json struct json_object *options = NULL;
    struct obj *o = api_find(s, t->kind, t->name);

    if (!o) {
        not_found(m, t->name);
        return;
    }
    json_parse(m->body, m->body_len, &options, NULL);
    if (!precondition(m, o, json_get(options, "preconditions")))
        return;
    if (t->kind == SIM_POD)
        answer_object(m, 200, o);
    else
        api_status(m, 200, "", "");
    api_delete(s, o);
}

static void do_get(struct sim *s, struct msg *m, const struct target *t)
{
    char watch[8];
    const struct obj *o;

    if (*t->name) {
        o = api_find(s, t->kind, t->name);
        if (o)
            answer_object(m, 200, o);
        else
            not_found(m, t->name);
    } else if (query_get(m, "watch", watch, sizeof(watch))) {
        api_watch(s, m, t->kind);
    } else {
        api_list(s, m, t->kind);
    }
}

/* PREFIX[namespaces/NS/]PLURAL[/NAME[/status]] */
static bool parse(const char *path, struct target *t)
{
    for (int k = 0; k < SIM_KINDS; k++) {
        size_t len = strlen(kinds[k].prefix), plural = strlen(kinds[k].plural);
        const char *p = path + len;

        if (strncmp(path, kinds[k].prefix, len) != 0)
            continue;
        if (strncmp(p, "namespaces/", 11) == 0) {
            p = strchr(p + 11, '/');
            p = p ? p + 1 : "";
        }
        if (strncmp(p, kinds[k].plural, plural) != 0 || (p[plural] != '/' && p[plural]))
            continue;
        p += plural;
        *t = (struct target){.kind = (enum sim_kind)k};
        if (*p != '/')
            return true;
        snprintf(t->name, sizeof(t->name), "%.*s", (int)strcspn(p + 1, "/"), p + 1);
        t->status = strstr(p + 1, "/status") != NULL;
        return true;
    }
    return false;
}

void api_handle(struct sim *s, struct msg *m)
{
    static const struct {
        const char *method;
        void (*fn)(struct sim *, struct msg *, const struct target *);
    } verbs[] = {{"GET", do_get}, {"POST", do_post}, {"PATCH", do_patch}, {"DELETE", do_delete}};
    struct target t;

    if (!parse(m->path, &t)) {
        api_status(m, 404, "NotFound", "the server could not find the requested resource");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (strcmp(m->method, verbs[i].method) == 0)
            verbs[i].fn(s, m, &t);
}

void api_done(struct sim *s)
{
    known_clear();
    for (int k = 0; k < SIM_KINDS; k++) {
        for (size_t i = 0; i < s->api.count[k]; i++)
            obj_free(s->api.objs[k][i]);
        free(s->api.objs[k]);
    }
    for (size_t i = 0; i < s->api.log_len; i++)
        free(s->api.log[i].text);
    for (size_t i = 0; i < SIM_SNAPSHOTS; i++)
        free(s->api.snapshots[i].text);
    free(s->api.log);
}
