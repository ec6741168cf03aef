#include "operator/kube/events.h"

#include <inttypes.h>

#include "common/base/buf.h"
#include "common/base/hash.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/list.h"
#include "operator/kube/client.h"

/* Message, trace and reason, each byte escaped as six, and names. */
#define EVENT_MAX_BYTES 32768
#define COMPONENT "arl-operator"
/* A name is the object's, a dot and 16 hex digits, and has to stay a name. */
#define NAME_PART_MAX (LIMIT_NAME_BYTES - 17)

static const struct api_kind event_kind = {
    .kind = "Event", .plural = "events", .api_prefix = "/api/v1", .api_version = "v1"};

struct event {
    struct list link;
    char *ns;
    char *name; /* of one that is there, which gets another count; NULL: a new one */
    char *body;
};

struct seen {
    uint64_t hash; /* 0: free */
    int64_t mono_ns;
    int64_t told_mono_ns;
    char *name; /* of the Event */
    uint64_t count;
};

struct events {
    struct ops *ops;
    char *instance;
    struct list queue;
    size_t queued;
    struct kube_call *call;
    struct seen seen[EVENTS_REMEMBERED]; /* a ring */
    size_t seen_next;
    uint64_t dropped;
};

struct events *events_new(struct ops *ops, const char *instance)
{
    struct events *e = xcalloc(1, sizeof(*e));

    e->ops = ops;
    e->instance = xstrdup(instance);
    list_init(&e->queue);
    return e;
}

static void event_free(struct event *ev)
{
    list_remove(&ev->link);
    free(ev->ns);
    free(ev->name);
    free(ev->body);
    free(ev);
}

void events_free(struct events *e)
{
    if (!e)
        return;
    kube_cancel(e->call);
    list_for_each_safe (it, &e->queue)
        event_free(list_entry(it, struct event, link));
    for (size_t i = 0; i < EVENTS_REMEMBERED; i++)
        free(e->seen[i].name);
    free(e->instance);
    free(e);
}

uint64_t events_dropped(const struct events *e)
{
    return e->dropped;
}

/* The end counts as well: "ab" and "c" differ from "a" and "bc". */
static uint64_t hash_more(uint64_t h, const char *s)
{
    return hash_add(hash_text(h, s), 0xff);
}

static char *new_name(struct events *e, const char *about)
{
    uint64_t random;

    ops_random(e->ops, &random, sizeof(random));
    return xasprintf("%.*s.%016" PRIx64, NAME_PART_MAX, about, random);
}

/* Finds the Event with this content that was sent a short while ago, or notes a new one. */
static struct seen *remember(struct events *e, const char *about, const char *uid,
                             const char *reason, const char *message)
{
    int64_t now_ns = ops_now(e->ops).mono_ns;
    uint64_t h = hash_more(hash_more(hash_more(HASH_INIT, uid), reason), message);
    struct seen *s;

    for (size_t i = 0; i < EVENTS_REMEMBERED; i++)
        if (e->seen[i].hash == h && now_ns - e->seen[i].mono_ns < EVENTS_REPEAT_MS * NSEC_PER_MSEC)
            return &e->seen[i];
    s = &e->seen[e->seen_next];
    e->seen_next = (e->seen_next + 1) % EVENTS_REMEMBERED;
    free(s->name);
    *s = (struct seen){.hash = h, .mono_ns = now_ns, .name = new_name(e, about)};
    return s;
}

static void write_involved(struct json_writer *w, const struct api_kind *kind, const char *ns,
                           const char *name, const char *uid)
{
    json_w_object(w, "involvedObject");
    json_w_str(w, "apiVersion", kind->api_version);
    json_w_str(w, "kind", kind->kind);
    json_w_str(w, "namespace", ns);
    json_w_str(w, "name", name);
    json_w_str(w, "uid", uid);
    json_w_end_object(w);
}

static void write_head(struct json_writer *w, const char *ns, const char *event_name,
                       const char *trace)
{
    json_w_str(w, "apiVersion", "v1");
    json_w_str(w, "kind", "Event");
    json_w_object(w, "metadata");
    json_w_str(w, "namespace", ns);
    json_w_str(w, "name", event_name);
    if (trace) {
        json_w_object(w, "annotations");
        json_w_str(w, EVENTS_TRACE, trace);
        json_w_end_object(w);
    }
    json_w_end_object(w);
}

static void write_source(struct events *e, struct json_writer *w)
{
    char time[RFC3339_MAX];

    rfc3339_format(time, ops_now(e->ops).wall_ns);
    json_w_object(w, "source");
    json_w_str(w, "component", COMPONENT);
    json_w_end_object(w);
    json_w_str(w, "reportingComponent", COMPONENT);
    json_w_str(w, "reportingInstance", e->instance);
    json_w_str(w, "firstTimestamp", time);
    json_w_str(w, "lastTimestamp", time);
    json_w_int(w, "count", 1);
}

static void events_send(struct events *e);

static void on_done(void *arg, struct kube_result *res)
{
    struct events *e = arg;

    e->call = NULL;
    e->dropped += res->reason != KUBE_OK;
    events_send(e);
}

static void events_send(struct events *e)
{
    struct event *ev;

    if (e->call || list_empty(&e->queue))
        return;
    ev = list_first(&e->queue, struct event, link);
    e->call = ev->name
                  ? kube_patch(e->ops, KUBE_TO_TELL, &event_kind, ev->ns, ev->name, NULL, ev->body,
                               on_done, e)
                  : kube_create(e->ops, KUBE_TO_TELL, &event_kind, ev->ns, ev->body, on_done, e);
    e->queued--;
    event_free(ev);
}

/* Takes over name and body. */
static void enqueue(struct events *e, const char *ns, char *name, char *body)
{
    struct event *ev = xcalloc(1, sizeof(*ev));

    ev->ns = xstrdup(ns);
    ev->name = name;
    ev->body = body;
    list_push_back(&e->queue, &ev->link);
    e->queued++;
    events_send(e);
}

static void count_again(struct events *e, const char *ns, struct seen *s)
{
    struct now now = ops_now(e->ops);
    struct buf body = BUF_INIT(EVENT_MAX_BYTES);
    struct json_writer w = JSON_WRITER_INIT(&body);
    char time[RFC3339_MAX];

    if (now.mono_ns - s->told_mono_ns < EVENTS_COUNT_MS * NSEC_PER_MSEC ||
        e->queued >= EVENTS_QUEUE_MAX)
        return;
    s->told_mono_ns = now.mono_ns;
    rfc3339_format(time, now.wall_ns);
    json_w_object(&w, NULL);
    json_w_str(&w, "lastTimestamp", time);
    json_w_int(&w, "count", (int64_t)s->count);
    json_w_end_object(&w);
    assert(w.error == 0);
    enqueue(e, ns, xstrdup(s->name), buf_steal(&body));
}

void events_add(struct events *e, const struct api_kind *kind, const char *ns, const char *name,
                const char *uid, const char *trace, bool warning, const char *reason,
                const char *message)
{
    struct buf body = BUF_INIT(EVENT_MAX_BYTES);
    struct json_writer w = JSON_WRITER_INIT(&body);
    struct seen *s = remember(e, name, uid, reason, message);

    if (++s->count > 1) {
        count_again(e, ns, s);
        return;
    }
    s->told_mono_ns = ops_now(e->ops).mono_ns;
    if (e->queued >= EVENTS_QUEUE_MAX) {
        e->dropped++;
        s->hash = 0;
        return;
    }
    json_w_object(&w, NULL);
    write_head(&w, ns, s->name, trace);
    write_involved(&w, kind, ns, name, uid);
    json_w_str(&w, "type", warning ? "Warning" : "Normal");
    json_w_str(&w, "reason", reason);
    json_w_strn(&w, "message", message, strnlen(message, EVENTS_MESSAGE_MAX));
    write_source(e, &w);
    json_w_end_object(&w);
    assert(w.error == 0);
    enqueue(e, ns, NULL, buf_steal(&body));
}
