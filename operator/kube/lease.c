#include "operator/kube/lease.h"

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/log.h"
#include "operator/kube/client.h"
#include "operator/kube/lease_step.h"
#include "operator/kube/reflector.h"

#define LEASE_BYTES 4096

/* ---- the object ------------------------------------------------------------------------------ */

struct lease_record {
    struct meta meta;
    char *holder; /* NULL or "": none */
    int64_t transitions;
};

static void record_free(struct meta *m)
{
    struct lease_record *rec = container_of(m, struct lease_record, meta);

    free(rec->holder);
    meta_done(&rec->meta);
    free(rec);
}

static int record_decode(struct json_object *obj, struct meta **ret, struct err *err)
{
    static const struct json_field fields[] = {
        {"spec.holderIdentity", JSON_STRING, offsetof(struct lease_record, holder)},
        {"spec.leaseTransitions", JSON_INT, offsetof(struct lease_record, transitions)},
        {NULL},
    };
    struct lease_record *rec = xcalloc(1, sizeof(*rec));
    int r = meta_decode(obj, &rec->meta, err);

    if (r == 0)
        r = json_decode(obj, fields, rec, err);
    if (r < 0) {
        record_free(&rec->meta);
        return r;
    }
    *ret = &rec->meta;
    return 0;
}

static const struct api_kind lease_kind = {
    .kind = "Lease",
    .plural = "leases",
    .api_prefix = "/apis/coordination.k8s.io/v1",
    .api_version = "coordination.k8s.io/v1",
    .decode = record_decode,
    .free = record_free,
};

/* ---- the election ---------------------------------------------------------------------------- */

struct lease {
    struct ops *ops;
    struct lease_opts opts;
    char *ns;
    char *name;
    char *identity;
    struct lease_machine machine;
    struct lease_record *record; /* as last read or written; NULL: none */
    char *seen_rv;               /* of the record that was last read, written or watched */
    struct store *watched;       /* while somebody else leads */
    struct reflector *watch;
    struct kube_call *call;
    struct ops_timer *timer;
    void (*release_cb)(void *arg);
    void *release_arg;
};

static void lease_event(struct lease *l, const struct lease_event *ev);

static void note(struct lease *l, int level, const char *what, const char *arg)
{
    cleanup_free char *msg = xasprintf("%s%s", what, arg);

    if (l->opts.on_note)
        l->opts.on_note(l->opts.arg, level, msg);
}

static bool has_holder(const struct lease_record *rec)
{
    return rec && rec->holder && *rec->holder;
}

/* Reads a record, and whether it has changed. NULL: there is none. */
static struct lease_event event_of(struct lease *l, enum lease_event_type type,
                                   const struct lease_record *rec)
{
    const char *rv = rec ? rec->meta.rv : NULL;
    struct lease_event ev = {.type = type, .vacant = !has_holder(rec)};

    ev.mine = rec && str_eq(rec->holder, l->identity);
    ev.changed = !str_eq(l->seen_rv, rv);
    str_set(&l->seen_rv, rv ? xstrdup(rv) : NULL);
    return ev;
}

/* Takes over the object of an answer, and gives its contents to the machine. */
static void record_came(struct lease *l, struct meta *obj)
{
    struct lease_record *rec = container_of(obj, struct lease_record, meta);
    struct lease_record *old = l->record;
    struct lease_event ev = event_of(l, LEASE_EV_RECORD, rec);

    if (has_holder(rec) && (!old || !str_eq(old->holder, rec->holder)))
        note(l, LOG_INFO, "held by ", rec->holder);
    l->record = rec;
    if (old)
        record_free(&old->meta);
    lease_event(l, &ev);
}

static void on_done(void *arg, struct kube_result *res)
{
    struct lease *l = arg;

    l->call = NULL;
    if (res->reason == KUBE_OK) {
        record_came(l, kube_result_take_object(res));
    } else if (res->reason == KUBE_NOT_FOUND) {
        lease_event(l, &(struct lease_event){.type = LEASE_EV_MISSING});
    } else {
        /* That somebody else was faster is no news. */
        if (res->reason != KUBE_CONFLICT && res->reason != KUBE_ALREADY_EXISTS)
            note(l, LOG_WARN, "", res->message);
        lease_event(l, &(struct lease_event){.type = LEASE_EV_FAILED});
    }
}

static void released(struct lease *l)
{
    void (*cb)(void *arg) = l->release_cb;

    l->ops->v->timer_set(l->ops, l->timer, 0);
    l->release_cb = NULL;
    if (cb)
        cb(l->release_arg);
}

static void on_vacated(void *arg, struct kube_result *res)
{
    struct lease *l = arg;

    l->call = NULL;
    released(l);
}

/* The body of a write. With a record: a compare-and-swap of just that one. */
static char *body_of(struct lease *l, enum lease_action_type type)
{
    struct buf b = BUF_INIT(LEASE_BYTES);
    struct json_writer w = JSON_WRITER_INIT(&b);
    char now[RFC3339_MAX];

    rfc3339_format_micro(now, ops_now(l->ops).wall_ns);
    json_w_object(&w, NULL);
    json_w_object(&w, "metadata");
    if (type == LEASE_CREATE) {
        json_w_str(&w, "name", l->name);
    } else {
        json_w_str(&w, "uid", l->record->meta.uid);
        json_w_str(&w, "resourceVersion", l->record->meta.rv);
    }
    json_w_end_object(&w);
    json_w_object(&w, "spec");
    json_w_str(&w, "holderIdentity", type == LEASE_VACATE ? "" : l->identity);
    json_w_int(&w, "leaseDurationSeconds",
               type == LEASE_VACATE ? 1 : LEASE_DURATION_MS / MSEC_PER_SEC);
    json_w_str(&w, "renewTime", now);
    if (type == LEASE_CREATE || type == LEASE_TAKE) {
        json_w_str(&w, "acquireTime", now);
        json_w_int(&w, "leaseTransitions", l->record ? l->record->transitions + 1 : 0);
    }
    json_w_end_object(&w);
    json_w_end_object(&w);
    assert(w.error == 0);
    return buf_steal(&b);
}

static void lease_do(struct lease *l, enum lease_action_type type)
{
    cleanup_free char *body = NULL;

    if (type == LEASE_NOTHING)
        return;
    kube_cancel(l->call);
    l->call = NULL;
    if (type == LEASE_READ)
        l->call = kube_get(l->ops, KUBE_TO_LEAD, &lease_kind, l->ns, l->name, on_done, l);
    if (type == LEASE_STOP || type == LEASE_READ)
        return;
    if (type == LEASE_CREATE && l->record) {
        record_free(&l->record->meta);
        l->record = NULL;
    }
    body = body_of(l, type);
    if (type == LEASE_CREATE)
        l->call = kube_create(l->ops, KUBE_TO_LEAD, &lease_kind, l->ns, body, on_done, l);
    else
        l->call = kube_patch(l->ops, KUBE_TO_LEAD, &lease_kind, l->ns, l->name, NULL, body,
                             type == LEASE_VACATE ? on_vacated : on_done, l);
}

/* ---- the watch of who waits ------------------------------------------------------------------ */

static void on_watched(void *arg, struct meta *old_obj, struct meta *new_obj)
{
    struct lease *l = arg;
    struct lease_event ev = event_of(
        l, LEASE_EV_SEEN, new_obj ? container_of(new_obj, struct lease_record, meta) : NULL);

    lease_event(l, &ev);
}

static void on_watch_note(void *arg, int level, const char *kind, const char *msg)
{
    note(arg, level, "watch: ", msg);
}

static void watch_begin(struct lease *l)
{
    struct reflector_opts opts = {
        .kind = &lease_kind, .ns = l->ns, .name = l->name, .on_note = on_watch_note, .arg = l};

    l->watched = opts.store = store_new(&lease_kind, on_watched, l);
    l->watch = reflector_new(l->ops, &opts);
}

static void watch_end(struct lease *l)
{
    reflector_free(l->watch);
    store_free(l->watched);
    l->watch = NULL;
    l->watched = NULL;
}

static void lease_event(struct lease *l, const struct lease_event *ev)
{
    bool led = lease_is_leading(&l->machine);
    enum lease_state from = l->machine.state;
    struct lease_action action;
    uint64_t jitter;

    ops_random(l->ops, &jitter, sizeof(jitter));
    action = lease_step(&l->machine, ev, ops_now(l->ops), jitter);
    if (from != l->machine.state)
        note(l, LOG_DEBUG, "", lease_state_str(l->machine.state));
    l->ops->v->timer_set(l->ops, l->timer, action.timer_ns);
    lease_do(l, action.type);
    /* The watch is never ended inside of its own callback: one of its events can only start a read
     * or a write, and only the answer leads to LEASE_HOLDING. */
    if (l->machine.state == LEASE_WAITING && !l->watch)
        watch_begin(l);
    else if (l->machine.state == LEASE_HOLDING)
        watch_end(l);
    /* Last: these may free the lease. */
    if (!led && lease_is_leading(&l->machine))
        l->opts.on_leading(l->opts.arg);
    else if (l->machine.state == LEASE_LOST && from != LEASE_LOST)
        l->opts.on_lost(l->opts.arg);
}

static void on_timer(void *arg)
{
    struct lease *l = arg;

    if (l->machine.state != LEASE_RELEASED) {
        lease_event(l, &(struct lease_event){.type = LEASE_EV_TIMER});
        return;
    }
    kube_cancel(l->call);
    l->call = NULL;
    released(l);
}

struct lease *lease_new(struct ops *ops, const struct lease_opts *opts)
{
    struct lease *l = xcalloc(1, sizeof(*l));

    l->ops = ops;
    l->opts = *opts;
    l->ns = xstrdup(opts->ns);
    l->name = xstrdup(opts->name);
    l->identity = xstrdup(opts->identity);
    l->timer = ops->v->timer_new(ops, on_timer, l);
    lease_event(l, &(struct lease_event){.type = LEASE_EV_START});
    return l;
}

void lease_free(struct lease *l)
{
    if (!l)
        return;
    watch_end(l);
    kube_cancel(l->call);
    l->ops->v->timer_free(l->ops, l->timer);
    if (l->record)
        record_free(&l->record->meta);
    free(l->ns);
    free(l->name);
    free(l->identity);
    free(l->seen_rv);
    free(l);
}

bool lease_leading(const struct lease *l)
{
    return lease_is_leading(&l->machine) && ops_now(l->ops).mono_ns < lease_ends_ns(&l->machine);
}

void lease_release(struct lease *l, void (*cb)(void *arg), void *arg)
{
    int64_t now_ns = ops_now(l->ops).mono_ns;
    bool led = lease_leading(l);

    watch_end(l);
    l->release_cb = cb;
    l->release_arg = arg;
    lease_event(l, &(struct lease_event){.type = LEASE_EV_RELEASE});
    /* The callback always comes from the loop: at once, or when the write has had its time. */
    l->ops->v->timer_set(l->ops, l->timer, now_ns + (led ? LEASE_RELEASE_MS * NSEC_PER_MSEC : 1));
}
