#include "tests/fuzz/world_server.h"

#include <stdio.h>

#include <json-c/json.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/wire/task_proto.h"

#define SEAL_HERE "@seal"
#define NAME_MAX_BYTES 256

const char *const world_plurals[WORLD_KINDS] = {"pods", "warmpools", "sandboxes", "tasks"};

void world_server_init(struct world_server *s, struct fake_ops *ops, struct world_reached *reached)
{
    *s = (struct world_server){.ops = ops, .version = 1000, .reached = reached};
}

static void object_done(struct world_object *o)
{
    free(o->text);
    json_free(&o->tree);
}

void world_server_done(struct world_server *s)
{
    for (size_t i = 0; i < s->count; i++)
        object_done(&s->objects[i]);
}

struct ops_call *world_watch(struct fake_ops *ops, enum world_kind kind)
{
    list_for_each (it, &ops->calls) {
        struct ops_call *call = list_entry(it, struct ops_call, link);
        const char *query = call->stream ? strchr(call->path, '?') : NULL;
        size_t len = strlen(world_plurals[kind]);

        if (query && (size_t)(query - call->path) > len && query[-(ptrdiff_t)len - 1] == '/' &&
            strncmp(query - len, world_plurals[kind], len) == 0 && strstr(query, "watch=1"))
            return call;
    }
    return NULL;
}

/* ---- objects --------------------------------------------------------------------------------- */

/* NULL: it is no object. */
static struct json_object *tree_of(struct world_object *o)
{
    if (!o->tree && o->text && json_parse(o->text, strlen(o->text), &o->tree, NULL) < 0)
        str_set(&o->text, NULL);
    return o->tree;
}

static const char *text_of(struct json_object *tree)
{
    return json_object_to_json_string_ext(tree, JSON_C_TO_STRING_PLAIN);
}

static const char *meta_str(struct json_object *tree, const char *name)
{
    return str_or_empty(json_get_str(json_get(tree, "metadata"), name));
}

void world_saw(struct world_server *s, enum world_kind kind, bool deleted, const char *text)
{
    if (s->count == WORLD_OBJECTS_MAX)
        return;
    s->objects[s->count++] =
        (struct world_object){.kind = kind, .text = xstrdup(text), .told = true, .gone = deleted};
}

static struct world_object *find(struct world_server *s, enum world_kind kind, const char *ns,
                                 const char *name)
{
    for (size_t i = s->count; i > 0; i--) {
        struct world_object *o = &s->objects[i - 1];
        struct json_object *tree = o->kind == kind ? tree_of(o) : NULL;

        if (tree && strcmp(meta_str(tree, "name"), name) == 0 &&
            strcmp(meta_str(tree, "namespace"), ns) == 0)
            return o->gone ? NULL : o;
    }
    return NULL;
}

static void put(struct json_object *tree, const char *name, const char *value)
{
    json_object_object_add(tree, name, json_object_new_string(value));
}

/* The object was changed in place. */
static void changed(struct world_server *s, struct world_object *o)
{
    struct json_object *meta = json_get(o->tree, "metadata");
    char version[16];

    snprintf(version, sizeof(version), "%u", ++s->version);
    if (json_object_is_type(meta, json_type_object))
        put(meta, "resourceVersion", version);
    o->told = false;
}

/* RFC 7396; both are objects. */
static void merge(struct json_object *to, struct json_object *patch)
{
    json_object_object_foreach(patch, name, value)
    {
        struct json_object *there = json_get(to, name);

        if (!value)
            json_object_object_del(to, name);
        else if (json_object_is_type(value, json_type_object)) {
            if (!json_object_is_type(there, json_type_object)) {
                there = json_object_new_object();
                json_object_object_add(to, name, there);
            }
            merge(there, value);
        } else {
            json_object_object_add(to, name, json_object_get(value));
        }
    }
}

/* ---- the API server -------------------------------------------------------------------------- */

/* Of a path such as /api/v1/namespaces/NS/pods/NAME/status. */
struct place {
    enum world_kind kind; /* WORLD_KINDS: none of ours */
    char ns[NAME_MAX_BYTES];
    char name[NAME_MAX_BYTES]; /* "": the collection */
};

/* The next component; false: there is none, or it is too long. */
static bool component(const char **p, char ret[NAME_MAX_BYTES])
{
    size_t len = strcspn(*p, "/?");

    if (len == 0 || len >= NAME_MAX_BYTES)
        return false;
    memcpy(ret, *p, len);
    ret[len] = '\0';
    *p += len + ((*p)[len] == '/');
    return true;
}

static bool place_of(const char *path, struct place *ret)
{
    const char *p = strstr(path, "/namespaces/");
    char plural[NAME_MAX_BYTES];

    *ret = (struct place){.kind = WORLD_KINDS};
    if (!p)
        return false;
    p += strlen("/namespaces/");
    if (!component(&p, ret->ns) || !component(&p, plural))
        return false;
    component(&p, ret->name);
    for (int i = 0; i < WORLD_KINDS; i++)
        if (strcmp(plural, world_plurals[i]) == 0)
            ret->kind = i;
    return ret->kind != WORLD_KINDS;
}

/* Of the containers that it made, the operator reads the names alone. To parse all the rest of a
 * pod would take most of the time of an execution. */
static void keep_names(struct json_object *spec, const char *list)
{
    struct json_object *all = json_get(spec, list);

    for (size_t i = 0; i < json_array_len(all); i++) {
        struct json_object *one = json_object_new_object();

        put(one, "name", str_or_empty(json_get_str(json_object_array_get_idx(all, i), "name")));
        json_object_array_put_idx(all, i, one);
    }
}

static void shrink_pod(struct json_object *tree)
{
    struct json_object *spec = json_get(tree, "spec");

    keep_names(spec, "initContainers");
    keep_names(spec, "containers");
    json_object_object_del(spec, "volumes");
}

static void create(struct world_server *s, const struct place *at, struct ops_call *call)
{
    cleanup_json struct json_object *tree = NULL;
    struct json_object *meta;
    struct world_object *o;
    char text[RFC3339_MAX];
    int r = json_parse(call->body, strlen(call->body), &tree, NULL);

    meta = json_get(tree, "metadata");
    assert(r == 0 && json_object_is_type(meta, json_type_object)); /* the operator made it */
    if (s->count == WORLD_OBJECTS_MAX) {
        fake_answer(call, 403, "{\"reason\":\"Forbidden\",\"message\":\"exceeded quota\"}");
        return;
    }
    if (find(s, at->kind, at->ns, meta_str(tree, "name"))) {
        fake_answer(call, 409, "{\"reason\":\"AlreadyExists\"}");
        return;
    }
    o = &s->objects[s->count++];
    *o = (struct world_object){.kind = at->kind, .tree = tree};
    tree = NULL;
    rfc3339_format(text, s->ops->now.wall_ns);
    put(meta, "creationTimestamp", text);
    snprintf(text, sizeof(text), "made-%u", s->version);
    put(meta, "uid", text);
    put(meta, "namespace", at->ns);
    if (at->kind == WORLD_POD)
        shrink_pod(o->tree);
    changed(s, o);
    s->reached->created++;
    fake_answer(call, 201, text_of(o->tree));
}

static void note(struct world_server *s, const struct place *at, const struct world_object *o)
{
    struct json_object *status = json_get(o->tree, "status");

    s->reached->claimed += at->kind == WORLD_POD;
    s->reached->ready +=
        at->kind == WORLD_SANDBOX && str_eq(json_get_str(status, "phase"), "Ready");
    s->reached->ended +=
        at->kind == WORLD_TASK && str_eq(json_get_str(status, "state"), "Succeeded");
}

static void patch(struct world_server *s, const struct place *at, struct world_object *o,
                  struct ops_call *call)
{
    cleanup_json struct json_object *tree = NULL;
    int r = json_parse(call->body, strlen(call->body), &tree, NULL);
    const char *version;

    assert(r == 0 && json_object_is_type(tree, json_type_object));
    version = meta_str(tree, "resourceVersion");
    if (*version && strcmp(version, meta_str(o->tree, "resourceVersion")) != 0) {
        fake_answer(call, 409, "{\"reason\":\"Conflict\"}");
        return;
    }
    merge(o->tree, tree);
    changed(s, o);
    note(s, at, o);
    fake_answer(call, 200, text_of(o->tree));
}

void world_obey(struct world_server *s, struct ops_call *call)
{
    struct world_object *o;
    struct place at;

    if (!place_of(call->path, &at)) {
        fake_answer(call, 200, "{}");
        return;
    }
    o = *at.name ? find(s, at.kind, at.ns, at.name) : NULL;
    if (strcmp(call->method, "POST") == 0 && !*at.name)
        create(s, &at, call);
    else if (!o)
        fake_answer(call, 404, "{\"reason\":\"NotFound\"}");
    else if (strcmp(call->method, "PATCH") == 0)
        patch(s, &at, o, call);
    else if (strcmp(call->method, "DELETE") == 0) {
        s->reached->deleted += at.kind == WORLD_POD;
        o->gone = true;
        changed(s, o);
        fake_answer(call, 200, "{\"status\":\"Success\"}");
    } else {
        fake_answer(call, 200, text_of(o->tree));
    }
}

void world_tell(struct world_server *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct world_object *o = &s->objects[i];
        struct ops_call *call = o->told ? NULL : world_watch(s->ops, o->kind);
        cleanup_free char *line =
            call ? xasprintf("{\"type\":\"%s\",\"object\":%s}", o->gone ? "DELETED" : "MODIFIED",
                             text_of(o->tree))
                 : NULL;

        o->told = o->told || call;
        if (call)
            fake_line(s->ops, call, line);
    }
}

/* ---- nodes and agents ------------------------------------------------------------------------ */

void world_run_pods(struct world_server *s)
{
    static const char running[] =
        "{\"status\":{\"phase\":\"Running\",\"podIP\":\"10.0.0.1\","
        "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]," AGENT_SIDE_TOLD(
            AGENT_SIDE_KEY) "}}";
    cleanup_json struct json_object *change = NULL;
    int r = json_parse(running, strlen(running), &change, NULL);

    assert(r == 0);
    for (size_t i = 0; i < s->count; i++) {
        struct world_object *o = &s->objects[i];
        struct json_object *tree = o->kind == WORLD_POD && !o->gone ? tree_of(o) : NULL;

        if (!json_object_is_type(tree, json_type_object) ||
            str_eq(json_get_str(json_get(tree, "status"), "phase"), "Running"))
            continue;
        merge(tree, change);
        changed(s, o);
    }
}

static size_t steps_of(const struct ops_call *call)
{
    cleanup_json struct json_object *tree = NULL;

    if (json_parse(call->body, strlen(call->body), &tree, NULL) < 0)
        return 0;
    return json_array_len(json_get(tree, "steps"));
}

static void add_event(struct buf *out, uint64_t *seq, struct task_event ev)
{
    ev.seq = ++*seq;
    task_event_encode(&ev, out);
}

static void run_task(struct world_server *s, struct ops_call *call)
{
    cleanup_buf struct buf out = BUF_INIT(64u << 10);
    size_t steps = MIN(steps_of(call), 16);
    unsigned number = call->number;
    int64_t at_ms = s->ops->now.wall_ns / NSEC_PER_MSEC;
    uint64_t seq = 0;

    add_event(&out, &seq, (struct task_event){.type = TASK_EVENT_ACCEPTED});
    for (uint32_t i = 0; i < steps; i++) {
        add_event(&out, &seq,
                  (struct task_event){.type = TASK_EVENT_STEP, .step = i, .time_unix_ms = at_ms});
        add_event(&out, &seq,
                  (struct task_event){
                      .type = TASK_EVENT_OUT, .step = i, .fd = 1, .data = "hi\n", .data_len = 3});
        add_event(&out, &seq,
                  (struct task_event){.type = TASK_EVENT_EXIT, .step = i, .duration_ns = 1000});
    }
    add_event(&out, &seq, (struct task_event){.type = TASK_EVENT_END, .duration_ns = 1000});
    if (!fake_data(s->ops, call, out.data, out.len))
        return;
    list_for_each (it, &s->ops->calls) {
        call = list_entry(it, struct ops_call, link);
        if (call->number != number)
            continue;
        fake_answer(call, 200, "");
        return;
    }
}

void world_agent(struct world_server *s, struct ops_call *call)
{
    if (call->stream)
        run_task(s, call);
    else
        fake_answer(call, 200, strcmp(call->method, "GET") == 0 ? "{\"running\":[]}" : "{}");
}

/* ---- seals ----------------------------------------------------------------------------------- */

char *world_sealed(const struct seal_key *key, int64_t wall_ns, const char *text)
{
    cleanup_json struct json_object *tree = NULL;
    const char *at = strstr(text, SEAL_HERE);
    char seal[SEAL_TEXT_MAX];

    if (!at || json_parse(text, strlen(text), &tree, NULL) < 0)
        return xstrdup(text);
    pod_seal_make(key, meta_str(tree, "namespace"), meta_str(tree, "name"),
                  json_get_path(tree, "metadata.annotations"), wall_ns, seal);
    return xasprintf("%.*s%s%s", (int)(at - text), text, seal, at + strlen(SEAL_HERE));
}
