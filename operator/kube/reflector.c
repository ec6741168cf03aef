#include "operator/kube/reflector.h"

#include <errno.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "operator/kube/status.h"
#include "operator/kube/watch_step.h"
#include "operator/kube/encoding.h"

#define PATH_MAX_BYTES 16384 /* a continue token is several hundred bytes long */
#define WATCH_TIMEOUT_MIN_S 300
/* A watch that is silent for longer is taken for dead. A peer that vanished is noticed sooner by
 * TCP (common/io/http_client.c), but a proxy between answers for itself. kube-apiserver sends a
 * bookmark each minute (k8s.io/apiserver, cacher, defaultBookmarkFrequency); two and more may be
 * late. */
#define WATCH_SILENCE_MS 180000
/* It answers a watch at once, before there is an event. */
#define WATCH_ANSWER_MS 30000
/* Memory of a long line is not kept for the next one, which is most often short. */
#define LINE_KEEP_BYTES 32768

/* How the events of a watch are told apart. */
enum framing {
    FRAMING_UNKNOWN, /* nothing has come yet */
    FRAMING_LINES,   /* JSON */
    FRAMING_LENGTHS, /* protobuf */
};
#define FRAME_LENGTH_BYTES 4

struct reflector {
    struct ops *ops;
    struct reflector_opts opts;
    char *ns;
    char *name;
    struct watch_machine machine;
    struct ops_call *call;
    struct ops_timer *timer;
    char *rv;       /* where to watch from */
    char *cont;     /* of the list under way; NULL: first page */
    bool replacing; /* a list is under way in the store */
    bool complete;  /* a watch has told everything up to rv */
    bool synced;
    enum framing framing;  /* of the watch */
    unsigned length_bytes; /* FRAMING_LENGTHS: that have come of the length of this frame */
    uint32_t frame_left;   /* and what is still to come of the frame then */
    struct buf line;       /* the beginning of a line, or of a frame */
    size_t passed_bytes;   /* skipped bytes of one that is too long */
    unsigned turn;         /* number of the watch or list; tells data of an earlier one */
    struct reflector_stats stats;
};

static void reflector_step(struct reflector *r, const struct watch_event *ev);

static void note(struct reflector *r, int level, const char *msg)
{
    if (r->opts.on_note)
        r->opts.on_note(r->opts.arg, level, r->opts.kind->kind, msg);
}

static void note_failure(struct reflector *r, const char *what, const struct kube_status *s)
{
    cleanup_free char *msg =
        xasprintf("%s: %s: %s", what, kube_reason_str(s->reason), str_or_empty(s->message));

    r->stats.errors++;
    r->stats.failures[s->reason]++;
    note(r, LOG_WARN, msg);
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void path_begin(const struct reflector *r, struct buf *b)
{
    const struct api_kind *k = r->opts.kind;

    buf_puts(b, k->api_prefix);
    if (r->ns) {
        buf_puts(b, "/namespaces/");
        kube_path_segment(b, r->ns);
    }
    buf_printf(b, "/%s?", k->plural);
    if (k->selector)
        buf_printf(b, "labelSelector=%s&", k->selector);
    if (r->name) {
        buf_puts(b, "fieldSelector=metadata.name%3D");
        kube_path_segment(b, r->name);
        buf_puts(b, "&");
    }
}

/* how: how long its answer is waited for, and whether it is a stream. */
static void do_get(struct reflector *r, const struct buf *path, struct ops_request how,
                   const struct ops_handler *handler)
{
    how.target = OPS_API;
    how.method = "GET";
    how.path = buf_str(path);
    how.accept = encoding_accept(r->opts.kind);
    r->call = ops_start(r->ops, &how, handler, r);
}

static void page_item(struct json_object *obj, const struct err *why, void *arg)
{
    struct reflector *r = arg;
    struct err err = *why;
    struct meta *m;

    /* An object that can not be read is left out: it must not keep the others away. */
    if (!obj || r->opts.kind->decode(obj, &m, &err) < 0) {
        r->stats.errors++;
        note(r, LOG_WARN, err.msg);
    } else {
        store_replace_add(r->opts.store, m);
    }
}

/* The list's own metadata: where to watch from, how to go on. */
static int page_meta(struct reflector *r, struct json_object *meta, struct err *err)
{
    const char *rv = json_get_str(meta, "resourceVersion");
    const char *cont = json_get_str(meta, "continue");

    if (!rv)
        return err_set(err, -EINVAL, "a list without resourceVersion");
    str_set(&r->rv, xstrdup(rv));
    str_set(&r->cont, cont && *cont ? xstrdup(cont) : NULL);
    return 0;
}

static int page_read(struct reflector *r, const struct ops_response *resp, struct err *err)
{
    cleanup_json struct json_object *meta = NULL;
    int e = encoding_list(r->opts.kind, resp->body, resp->body_len, page_item, r, &meta, err);

    return e < 0 ? e : page_meta(r, meta, err);
}

/* Objects that are gone may have been deleted after the watch ended. The watch has not missed
 * these. */
static void note_repairs(struct reflector *r)
{
    struct store_repairs n = store_repairs(r->opts.store);
    cleanup_free char *msg = NULL;

    if (n.changed + n.gone == 0)
        return;
    r->stats.repairs += n.changed + n.gone;
    msg = xasprintf("the list repaired the cache: %u changed, %u gone", n.changed, n.gone);
    note(r, n.changed ? LOG_WARN : LOG_INFO, msg);
}

static void list_complete(struct reflector *r)
{
    r->replacing = false;
    store_replace_end(r->opts.store, r->rv);
    r->stats.lists++;
    note_repairs(r);
    if (r->synced)
        return;
    r->synced = true;
    if (r->opts.on_synced)
        r->opts.on_synced(r->opts.arg);
}

static void list_failed(struct reflector *r, const struct kube_status *s, bool too_large)
{
    note_failure(r, "list", s);
    reflector_step(r, &(struct watch_event){.type = WATCH_EV_LIST_FAILED,
                                            .too_large = too_large,
                                            .reason = s->reason,
                                            .retry_after_ms = s->retry_after_ms});
}

static void on_page(void *arg, const struct ops_response *resp)
{
    struct reflector *r = arg;
    struct kube_status s;
    struct err err = {0};

    r->call = NULL;
    kube_status_of_answer(resp, &s);
    if (s.reason == KUBE_OK && page_read(r, resp, &err) < 0) {
        s.reason = KUBE_SERVER_ERROR;
        s.message = xstrdup(err.msg);
    }
    if (s.reason == KUBE_OK) {
        if (!r->cont)
            list_complete(r);
        reflector_step(r, &(struct watch_event){.type = WATCH_EV_PAGE, .more = r->cont != NULL});
    } else {
        list_failed(r, &s, resp->error == -EMSGSIZE);
    }
    kube_status_done(&s);
}

static void do_page(struct reflector *r, unsigned limit)
{
    static const struct ops_handler handler = {.on_done = on_page};
    cleanup_buf struct buf path = BUF_INIT(PATH_MAX_BYTES);

    path_begin(r, &path);
    /* Without a resourceVersion the answer is the present state of etcd, and not that of a cache.
     */
    if (limit)
        buf_printf(&path, "limit=%u", limit);
    if (r->cont) {
        buf_puts(&path, "&continue=");
        kube_path_segment(&path, r->cont);
    }
    do_get(r, &path, (struct ops_request){.timeout_ms = KUBE_CALL_TIMEOUT_MS}, &handler);
}

static void do_list(struct reflector *r, unsigned limit)
{
    str_set(&r->cont, NULL);
    /* From the request on, and not from its answer: objects made in between are not in the list,
     * and have to stay. */
    store_replace_begin(r->opts.store);
    r->replacing = true;
    if (r->complete)
        store_replace_known(r->opts.store, r->rv);
    r->complete = false;
    do_page(r, limit);
}

/* ---- watches --------------------------------------------------------------------------------- */

static void watch_ended(struct reflector *r, const struct kube_status *s)
{
    if (s->reason != KUBE_OK)
        note_failure(r, "watch", s);
    r->complete = s->reason == KUBE_OK;
    reflector_step(r, &(struct watch_event){.type = WATCH_EV_ENDED,
                                            .reason = s->reason,
                                            .retry_after_ms = s->retry_after_ms});
}

/* Ends the watch from this side. */
static void watch_abandon(struct reflector *r, const struct kube_status *s)
{
    ops_cancel(r->ops, r->call);
    r->call = NULL;
    watch_ended(r, s);
}

/* A stream that can not be followed any further leaves a gap, which only a list fills. */
static void watch_broken(struct reflector *r, const char *why)
{
    struct kube_status s = {KUBE_GONE, -1, xstrdup(why)};

    watch_abandon(r, &s);
    kube_status_done(&s);
}

static void event_error(struct reflector *r, struct json_object *status)
{
    struct kube_status s;

    kube_status_of_object(status, 0, &s);
    watch_abandon(r, &s);
    kube_status_done(&s);
}

static void event_object(struct reflector *r, struct json_object *obj, bool deleted)
{
    char key[META_KEY_MAX];
    struct meta *m;
    struct err err = {0};

    if (r->opts.kind->decode(obj, &m, &err) < 0) {
        r->stats.errors++;
        note(r, LOG_WARN, err.msg);
        return;
    }
    str_set(&r->rv, xstrdup(m->rv));
    if (!deleted) {
        store_put(r->opts.store, m);
        return;
    }
    meta_key(key, m->ns, m->name);
    store_remove(r->opts.store, key, m->uid, m->rv);
    r->opts.kind->free(m);
}

static void event_bookmark(struct reflector *r, struct json_object *obj)
{
    const char *rv = json_get_str(json_get(obj, "metadata"), "resourceVersion");

    if (rv)
        str_set(&r->rv, xstrdup(rv));
}

static bool is_framed(const struct reflector *r)
{
    return r->framing == FRAMING_LENGTHS;
}

/* An event that is too large for a tree, or for the line: the important parts of its object are at
 * the front. false: not even these can be read. */
static bool watch_large(struct reflector *r, const char *line, size_t len)
{
    cleanup_json struct json_object *ev = NULL;
    struct err err = {0};

    reflector_step(r, &(struct watch_event){.type = WATCH_EV_OBJECT});
    r->stats.events++;
    if (encoding_event_head(r->opts.kind, is_framed(r), line, len, &ev, &err) < 0)
        return false;
    event_object(r, json_get(ev, "object"), str_eq(json_get_str(ev, "type"), "DELETED"));
    return true;
}

static void watch_line(struct reflector *r, const char *line, size_t len)
{
    cleanup_json struct json_object *ev = NULL;
    struct json_object *obj;
    const char *type;
    struct err err = {0};
    int e;

    if (len == 0)
        return;
    e = encoding_event(r->opts.kind, is_framed(r), line, len, &ev, &err);
    if (e == -EMSGSIZE) {
        if (!watch_large(r, line, len))
            note(r, LOG_WARN, "an object is left out: it is too large");
        return;
    }
    if (e < 0 || !(type = json_get_str(ev, "type"))) {
        watch_broken(r, err.code ? err.msg : "an event without type");
        return;
    }
    obj = json_get(ev, "object");
    r->stats.events++;
    if (strcmp(type, "ERROR") == 0) {
        event_error(r, obj);
        return;
    }
    reflector_step(r, &(struct watch_event){.type = WATCH_EV_OBJECT});
    if (strcmp(type, "BOOKMARK") == 0)
        event_bookmark(r, obj);
    else
        event_object(r, obj, strcmp(type, "DELETED") == 0);
}

static void line_reset(struct reflector *r)
{
    if (r->line.alloc > LINE_KEEP_BYTES)
        buf_done(&r->line);
    else
        buf_clear(&r->line);
}

/* More of an unfinished line. If a line gets too long, its beginning is read and the rest is
 * skipped. A list instead would bring the same object again. */
static void line_more(struct reflector *r, const char *data, size_t len)
{
    if (r->passed_bytes == 0 && buf_append(&r->line, data, len) == 0)
        return;
    r->passed_bytes += len;
    if ((r->line.len > 0 && !watch_large(r, r->line.data, r->line.len)) ||
        r->passed_bytes > LIMIT_RESPONSE_BYTES)
        watch_broken(r, "an event is larger than allowed");
    else
        line_reset(r);
}

static void line_end(struct reflector *r, const char *data, size_t len)
{
    if (r->line.len == 0 && r->passed_bytes == 0) {
        watch_line(r, data, len);
        return;
    }
    line_more(r, data, len);
    /* The line is only read before anything can begin a new watch. */
    if (r->passed_bytes == 0)
        watch_line(r, r->line.data, r->line.len);
    r->passed_bytes = 0;
    line_reset(r);
}

/* Takes bytes of lines, and returns how many. */
static size_t take_line(struct reflector *r, const char *data, size_t len)
{
    const char *end = memchr(data, '\n', len);

    if (!end) {
        line_more(r, data, len);
        return len;
    }
    line_end(r, data, (size_t)(end - data));
    return (size_t)(end - data) + 1;
}

/* A byte of the length that is before each frame. */
static void take_length(struct reflector *r, unsigned char byte)
{
    assert(r->frame_left <= UINT32_MAX >> 8);
    r->frame_left = r->frame_left << 8 | byte;
    if (++r->length_bytes < FRAME_LENGTH_BYTES)
        return;
    if (r->frame_left == 0 || r->frame_left > LIMIT_RESPONSE_BYTES)
        watch_broken(r, "an event is empty, or larger than allowed");
}

/* The same of frames. */
static size_t take_frame(struct reflector *r, const char *data, size_t len)
{
    if (r->length_bytes < FRAME_LENGTH_BYTES) {
        take_length(r, (unsigned char)*data);
        return 1;
    }
    assert(r->frame_left > 0);
    len = MIN(len, r->frame_left);
    r->frame_left -= (uint32_t)len;
    if (r->frame_left > 0) {
        line_more(r, data, len);
    } else {
        r->length_bytes = 0;
        line_end(r, data, len);
    }
    return len;
}

static void on_watch_data(void *arg, const char *data, size_t len)
{
    struct reflector *r = arg;
    unsigned turn = r->turn;

    /* Any event may end this watch, and the next one may have begun then. */
    while (r->turn == turn && len > 0) {
        size_t n;

        /* No line begins with a zero, but each frame that is allowed does. */
        if (r->framing == FRAMING_UNKNOWN)
            r->framing = r->opts.kind->pb && *data == '\0' ? FRAMING_LENGTHS : FRAMING_LINES;
        n = is_framed(r) ? take_frame(r, data, len) : take_line(r, data, len);
        data += n;
        len -= n;
    }
}

static void on_watch_done(void *arg, const struct ops_response *resp)
{
    struct reflector *r = arg;
    struct kube_status s;

    r->call = NULL;
    kube_status_of_answer(resp, &s);
    /* Cut while it worked: nothing was lost, as the resourceVersion says where to go on. */
    if (resp->error && resp->status >= 200 && resp->status < 300)
        s.reason = KUBE_OK;
    watch_ended(r, &s);
    kube_status_done(&s);
}

static void do_watch(struct reflector *r)
{
    static const struct ops_handler handler = {.on_data = on_watch_data, .on_done = on_watch_done};
    cleanup_buf struct buf path = BUF_INIT(PATH_MAX_BYTES);
    uint32_t random;
    int64_t timeout_s;

    ops_random(r->ops, &random, sizeof(random));
    /* Not all at once: watches that began together would come back together for ever. */
    timeout_s = WATCH_TIMEOUT_MIN_S + random % WATCH_TIMEOUT_MIN_S;
    path_begin(r, &path);
    buf_printf(&path, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%d&resourceVersion=",
               (int)timeout_s);
    kube_path_segment(&path, r->rv);
    r->stats.watches++;
    line_reset(r);
    r->passed_bytes = 0;
    r->framing = FRAMING_UNKNOWN;
    r->length_bytes = 0;
    r->frame_left = 0;
    do_get(r, &path,
           (struct ops_request){.stream = true,
                                .answer_timeout_ms = WATCH_ANSWER_MS,
                                .idle_timeout_ms = WATCH_SILENCE_MS},
           &handler);
}

/* ---- the machine's actions ------------------------------------------------------------------- */

static void stop_all(struct reflector *r)
{
    r->turn++;
    r->ops->v->timer_set(r->ops, r->timer, 0);
    if (r->call)
        ops_cancel(r->ops, r->call);
    r->call = NULL;
    if (r->replacing)
        store_replace_abort(r->opts.store);
    r->replacing = false;
}

static void do_wait(struct reflector *r, int64_t until_ns)
{
    cleanup_free char *msg = xasprintf("tries again in %d ms",
                                       (int)((until_ns - ops_now(r->ops).mono_ns) / NSEC_PER_MSEC));

    note(r, LOG_INFO, msg);
    r->ops->v->timer_set(r->ops, r->timer, until_ns);
}

static void note_move(struct reflector *r, enum watch_state from)
{
    cleanup_free char *msg = NULL;

    if (from == r->machine.state || !r->opts.on_note)
        return;
    msg = xasprintf("%s -> %s", watch_state_str(from), watch_state_str(r->machine.state));
    note(r, LOG_DEBUG, msg);
}

static void reflector_step(struct reflector *r, const struct watch_event *ev)
{
    enum watch_state from = r->machine.state;
    struct watch_action action;
    uint64_t jitter = 0;

    if (ev->type != WATCH_EV_OBJECT)
        ops_random(r->ops, &jitter, sizeof(jitter));
    action = watch_step(&r->machine, ev, ops_now(r->ops), jitter);
    note_move(r, from);
    if (action.type != WATCH_NOTHING && action.type != WATCH_PAGE)
        stop_all(r);
    switch (action.type) {
    case WATCH_NOTHING:
        break;
    case WATCH_LIST:
        do_list(r, action.page_limit);
        break;
    case WATCH_PAGE:
        do_page(r, action.page_limit);
        break;
    case WATCH_WATCH:
        do_watch(r);
        break;
    case WATCH_WAIT:
        do_wait(r, action.until_ns);
        break;
    }
}

static void on_timer(void *arg)
{
    reflector_step(arg, &(struct watch_event){.type = WATCH_EV_TIMER});
}

struct reflector *reflector_new(struct ops *ops, const struct reflector_opts *opts)
{
    struct reflector *r = xcalloc(1, sizeof(*r));

    r->ops = ops;
    r->opts = *opts;
    r->ns = xstrdup(opts->ns);
    r->name = xstrdup(opts->name);
    buf_init(&r->line, LIMIT_OBJECT_BYTES);
    r->timer = ops->v->timer_new(ops, on_timer, r);
    watch_machine_init(&r->machine);
    reflector_step(r, &(struct watch_event){.type = WATCH_EV_START});
    return r;
}

void reflector_free(struct reflector *r)
{
    if (!r)
        return;
    stop_all(r);
    r->ops->v->timer_free(r->ops, r->timer);
    buf_done(&r->line);
    free(r->rv);
    free(r->cont);
    free(r->ns);
    free(r->name);
    free(r);
}

bool reflector_synced(const struct reflector *r)
{
    return r->synced;
}

void reflector_kick(struct reflector *r)
{
    reflector_step(r, &(struct watch_event){.type = WATCH_EV_KICK});
}

void reflector_gate_turned(struct reflector *r)
{
    reflector_step(r, &(struct watch_event){.type = WATCH_EV_GATE_TURNED});
}

void reflector_stats(const struct reflector *r, struct reflector_stats *ret)
{
    *ret = r->stats;
    ret->state = watch_state_str(r->machine.state);
}
