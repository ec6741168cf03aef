/* The model of the API server: lists in pages, watches, and what goes wrong with them. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/json.h"
#include "tests/pb_write.h"

#define LINE_MAX_BYTES (4u << 20)
#define BOOKMARK_MS 60000

const char *query_get(const struct msg *m, const char *name, char *buf, size_t size)
{
    size_t len = strlen(name);

    for (const char *p = m->query; p && *p;) {
        const char *end = p + strcspn(p, "&");

        if (strncmp(p, name, len) == 0 && p[len] == '=') {
            snprintf(buf, size, "%.*s", (int)(end - p - (ptrdiff_t)len - 1), p + len + 1);
            return buf;
        }
        p = *end ? end + 1 : end;
    }
    return NULL;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static void add(struct buf *b, const char *text, size_t len)
{
    int r = buf_append(b, text, len);

    assert(r == 0);
}

/* Keeps all items as they are now, one a line, so that the further pages show the same moment. */
static size_t take_snapshot(struct sim *s, enum sim_kind kind)
{
    size_t at = s->api.snapshot_next;
    struct buf b = BUF_INIT(64u << 20);

    s->api.snapshot_next = (at + 1) % SIM_SNAPSHOTS;
    for (size_t i = 0; i < s->api.count[kind]; i++) {
        add(&b, s->api.objs[kind][i]->text, strlen(s->api.objs[kind][i]->text));
        add(&b, "\n", 1);
    }
    str_set(&s->api.snapshots[at].text, buf_steal(&b));
    s->api.snapshots[at].rv = s->api.rv;
    return at;
}

/* The page from `skip` on; the server may give fewer than asked for. */
static void answer_page(struct sim *s, struct msg *m, size_t at, size_t skip)
{
    const struct snapshot *snap = &s->api.snapshots[at];
    char limit[16];
    size_t n = (size_t)sim_between(s, 50, 50), given = 0;
    struct buf b = BUF_INIT(64u << 20);
    const char *p = str_or_empty(snap->text);

    if (query_get(m, "limit", limit, sizeof(limit)))
        n = MIN(n, (size_t)atoi(limit));
    if (sim_chance(s, 300))
        n = 1 + sim_below(s, 4);
    for (size_t i = 0; i < skip && *p; i++)
        p = strchr(p, '\n') + 1;
    buf_puts(&b, "{\"kind\":\"List\",\"items\":[");
    for (; *p && given < n; given++) {
        size_t len = (size_t)(strchr(p, '\n') - p);

        add(&b, given ? "," : "", given > 0);
        add(&b, p, len);
        p += len + 1;
    }
    buf_printf(&b, "],\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"", snap->rv);
    if (*p)
        buf_printf(&b, ",\"continue\":\"%zu.%" PRIu64 ".%zu\"", at, snap->rv, skip + given);
    buf_puts(&b, "}}");
    m->status = 200;
    m->reply = buf_steal(&b);
}

void api_list(struct sim *s, struct msg *m, enum sim_kind kind)
{
    char cont[64];
    size_t at, skip;
    uint64_t rv;

    if (!query_get(m, "continue", cont, sizeof(cont))) {
        answer_page(s, m, take_snapshot(s, kind), 0);
        return;
    }
    if (sscanf(cont, "%zu.%" SCNu64 ".%zu", &at, &rv, &skip) != 3)
        api_status(m, 400, "BadRequest", "continue key is not valid");
    else if (at >= SIM_SNAPSHOTS || s->api.snapshots[at].rv != rv ||
             (!s->quiet && sim_chance(s, s->cfg.watch_faults)))
        api_status(m, 410, "Expired", "the provided continue parameter is too old");
    else
        answer_page(s, m, at, skip);
}

/* ---- watches --------------------------------------------------------------------------------- */

static struct watch *find_watch(struct sim *s, uint64_t call)
{
    for (size_t i = 0; i < SIM_WATCHES; i++)
        if (s->api.watches[i].call == call)
            return &s->api.watches[i];
    return NULL;
}

/* A free place. Watches whose callers went away are freed first. */
static struct watch *new_watch(struct sim *s)
{
    for (size_t i = 0; i < SIM_WATCHES; i++)
        if (s->api.watches[i].call && !stream_alive(s, s->api.watches[i].call))
            s->api.watches[i].call = 0;
    return find_watch(s, 0);
}

/* Writes lines, each of them an event: as protobuf if the watch asked for it, which only watches of
 * pods do. */
static void write_events(struct sim *s, uint64_t call, bool pb, const char *lines, size_t len)
{
    cleanup_buf struct buf out = BUF_INIT(LINE_MAX_BYTES);
    const char *end;

    if (!pb) {
        stream_write(s, call, lines, len);
        return;
    }
    for (; (end = memchr(lines, '\n', len)); len -= (size_t)(end + 1 - lines), lines = end + 1)
        pb_write_event(&out, &api_pod, lines, (size_t)(end - lines));
    stream_write(s, call, out.data, out.len);
}

static void write_error(struct sim *s, uint64_t call, bool pb)
{
    static const char line[] =
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":"
        "\"too old resource version\",\"reason\":\"Expired\",\"code\":410}}\n";

    write_events(s, call, pb, line, sizeof(line) - 1);
    stream_end(s, call);
}

/* Somebody missed an event of this kind. So all watches of the kind end with 410, and whoever wants
 * to watch from an earlier resourceVersion has to list first. */
static void on_expire(struct sim *s, struct msg *m, uint64_t kind, uint64_t b)
{
    s->api.floor[kind] = ++s->api.rv;
    for (size_t i = 0; i < SIM_WATCHES; i++) {
        struct watch *w = &s->api.watches[i];

        if (!w->call || w->kind != (enum sim_kind)kind)
            continue;
        write_error(s, w->call, w->pb);
        w->call = 0;
    }
}

static enum watch_fault choose_watch_fault(struct sim *s)
{
    if (++s->api.watch_events == s->cfg.watch_fault_at)
        return s->cfg.watch_fault;
    if (s->quiet || !sim_chance(s, s->cfg.watch_faults))
        return WATCH_FINE;
    return WATCH_FINE + 1 + sim_below(s, WATCH_FAULTS - 1);
}

static void pump(struct sim *s, struct msg *m, uint64_t call, uint64_t b);

/* Writes the event of one change to out, perhaps with a fault. False: this event comes later, and
 * so do all behind it. */
static bool tell(struct sim *s, struct watch *w, const struct change *c, struct buf *out)
{
    enum watch_fault f = choose_watch_fault(s);
    int times = f == WATCH_DROPPED ? 0 : f == WATCH_DOUBLED ? 2 : 1;

    if (f != WATCH_FINE)
        sim_note(s, "watch fault %d of %s %s", (int)f, c->type, api_kind_name(c->kind));
    if (f == WATCH_LATE) {
        w->pending = true;
        sim_after_ms(s, sim_between(s, 3000, 15000), pump, w->call, 0);
        return false;
    }
    if (f == WATCH_DROPPED)
        sim_after_ms(s, sim_between(s, 2000, 10000), on_expire, w->kind, 0);
    for (int i = 0; i < times; i++) {
        buf_printf(out, "{\"type\":\"%s\",\"object\":", c->type);
        add(out, c->text, strlen(c->text));
        add(out, "}\n", 2);
    }
    return true;
}

static void pump(struct sim *s, struct msg *m, uint64_t call, uint64_t b)
{
    struct watch *w = call ? find_watch(s, call) : NULL;
    cleanup_buf struct buf out = BUF_INIT(LINE_MAX_BYTES);
    bool go_on = true;

    if (!w)
        return;
    w->pending = false;
    while (w->next < s->api.log_len && go_on) {
        const struct change *c = &s->api.log[w->next];

        if (c->kind == w->kind)
            go_on = tell(s, w, c, &out);
        w->next += go_on;
        if (!go_on && s->cfg.watch_fault_at == s->api.watch_events)
            s->cfg.watch_fault_at = 0; /* late once */
    }
    if (out.len > 0)
        write_events(s, call, w->pb, out.data, out.len);
}

void api_tell_watches(struct sim *s, enum sim_kind kind)
{
    for (size_t i = 0; i < SIM_WATCHES; i++) {
        struct watch *w = &s->api.watches[i];

        if (!w->call || w->kind != kind || w->pending)
            continue;
        w->pending = true;
        sim_after_ms(s, sim_between(s, 1, s->quiet ? 5 : s->cfg.watch_delay_ms), pump, w->call, 0);
    }
}

static void on_bookmark(struct sim *s, struct msg *m, uint64_t call, uint64_t b)
{
    struct watch *w = call ? find_watch(s, call) : NULL;
    cleanup_free char *line = NULL;

    if (!w || !stream_alive(s, call))
        return;
    if (!w->pending) {
        line = xasprintf("{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"metadata\":{"
                         "\"resourceVersion\":\"%" PRIu64 "\"}}}\n",
                         api_kind_name(w->kind), s->api.rv);
        write_events(s, call, w->pb, line, strlen(line));
    }
    sim_after_ms(s, BOOKMARK_MS, on_bookmark, call, 0);
}

static void on_watch_end(struct sim *s, struct msg *m, uint64_t call, uint64_t b)
{
    struct watch *w = call ? find_watch(s, call) : NULL;

    if (!w)
        return;
    stream_end(s, call);
    w->call = 0;
}

static bool too_old(struct sim *s, enum sim_kind kind, uint64_t rv)
{
    return rv < s->api.floor[kind] || (!s->quiet && sim_chance(s, s->cfg.watch_faults / 2));
}

void api_watch(struct sim *s, struct msg *m, enum sim_kind kind)
{
    char text[32];
    uint64_t rv =
        strtoull(str_or_empty(query_get(m, "resourceVersion", text, sizeof(text))), NULL, 10);
    int64_t timeout_s = 300;
    struct watch *w;

    if (query_get(m, "timeoutSeconds", text, sizeof(text)))
        timeout_s = strtoll(text, NULL, 10);
    m->status = 200;
    if (too_old(s, kind, rv)) {
        if (sim_chance(s, 500))
            api_status(m, 410, "Expired", "too old resource version");
        else
            write_error(s, m->call, m->pb);
        return;
    }
    w = new_watch(s);
    assert(w);
    *w = (struct watch){.call = m->call, .kind = kind, .pb = m->pb};
    while (w->next < s->api.log_len && s->api.log[w->next].rv <= rv)
        w->next++;
    w->pending = true;
    sim_after_ms(s, sim_between(s, 0, 5), pump, w->call, 0);
    sim_after_ms(s, BOOKMARK_MS, on_bookmark, w->call, 0);
    sim_after_ms(s, timeout_s * MSEC_PER_SEC, on_watch_end, w->call, 0);
}
