#include "sidecar/attempt/attempt_table.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>

#include "common/base/log.h"
#include "sidecar/attempt/attempt.h"
#include "sidecar/auth/sealed.h"

/* ---- the heartbeat --------------------------------------------------------------------------- */

static void on_heartbeat(uv_timer_t *timer)
{
    struct attempt_table *t = timer->data;

    list_for_each_safe (it, &t->attempts)
        attempt_beat(list_entry(it, struct attempt, node));
    if (t->streams > 0 || attempt_table_running(t) > 0)
        return;
    uv_timer_stop(timer);
    /* The sidecar is idle: memory of the last tasks goes back to the kernel. */
    runner_links_trim(t->links);
    malloc_trim(0);
}

void attempt_table_want_heartbeat(struct attempt_table *t)
{
    if (!uv_is_active((uv_handle_t *)&t->heartbeat) && !t->closing)
        uv_timer_start(&t->heartbeat, on_heartbeat, ATTEMPT_TABLE_HEARTBEAT_MS,
                       ATTEMPT_TABLE_HEARTBEAT_MS);
}

/* ---- saving ---------------------------------------------------------------------------------- */

static void save_all(struct attempt_table *t)
{
    list_for_each (it, &t->attempts)
        attempt_save(list_entry(it, struct attempt, node));
}

static void on_saver(uv_timer_t *timer)
{
    save_all(timer->data);
}

void attempt_table_want_save(struct attempt_table *t)
{
    if (!uv_is_active((uv_handle_t *)&t->saver) && !t->closing)
        uv_timer_start(&t->saver, on_saver, ATTEMPT_TABLE_SAVE_MS, 0);
}

/* ---- what runners report --------------------------------------------------------------------- */

static void on_ready(size_t container, void *arg)
{
    struct attempt_table *t = arg;

    log_info("runner connected", "container", t->opts.containers[container], NULL);
}

static void on_refused(size_t container, const char *why, void *arg)
{
    struct attempt_table *t = arg;
    struct refused *r = &t->refused[container];
    uint64_t now = uv_now(t->loop);
    char count[24];

    t->stats.callers_refused++;
    r->untold++;
    if (r->told_ms && now - r->told_ms < ATTEMPT_TABLE_REFUSED_LOG_MS)
        return;
    snprintf(count, sizeof(count), "%" PRIu64, r->untold);
    log_warn("caller refused", "container", t->opts.containers[container], "why", why, "count",
             count, NULL);
    *r = (struct refused){.told_ms = MAX(now, 1)};
}

static void on_trouble(size_t container, const char *why, void *arg)
{
    struct attempt_table *t = arg;

    log_error("no runner of the container can connect", "container", t->opts.containers[container],
              "why", why, NULL);
}

static void on_lost(size_t container, const char *why, void *arg)
{
    struct attempt_table *t = arg;

    t->stats.runners_lost++;
    log_warn("runner lost", "container", t->opts.containers[container], "why", why, NULL);
    list_for_each_safe (it, &t->attempts) {
        struct attempt *a = list_entry(it, struct attempt, node);

        if (a->running && a->step_id && a->container == container)
            attempt_lost(a);
    }
}

static struct attempt *find_step(struct attempt_table *t, size_t container, uint64_t id)
{
    /* The youngest are the ones that run. */
    for (struct list *it = t->attempts.prev; it != &t->attempts; it = it->prev) {
        struct attempt *a = list_entry(it, struct attempt, node);

        if (a->running && a->step_id == id && id != 0 && a->container == container)
            return a;
    }
    return NULL;
}

static void on_out(size_t container, uint64_t id, int fd, const char *data, size_t len, void *arg)
{
    struct attempt_table *t = arg;
    struct attempt *a = find_step(t, container, id);

    if (!a || len == 0)
        return;
    t->stats.output_bytes += len;
    attempt_output(a, fd, data, len);
}

static void on_done(size_t container, uint64_t id, enum frame_how how, uint32_t value,
                    const char *text, int64_t duration_ns, void *arg)
{
    struct attempt *a = find_step(arg, container, id);

    if (a)
        attempt_on_done(a, how, value, text, duration_ns);
}

/* ---- the table ------------------------------------------------------------------------------- */

static struct attempt *find(struct attempt_table *t, const struct journal_key *key)
{
    list_for_each (it, &t->attempts) {
        struct attempt *a = list_entry(it, struct attempt, node);

        if (memcmp(a->key.bytes, key->bytes, sizeof(key->bytes)) == 0)
            return a;
    }
    return NULL;
}

static void forget(struct attempt *a)
{
    journal_forget(a->table->opts.journal, &a->key, a->has_file);
    attempt_free(a);
}

static struct attempt *oldest_ended(struct attempt_table *t, size_t *ret_bytes)
{
    struct attempt *oldest = NULL;

    *ret_bytes = 0;
    list_for_each (it, &t->attempts) {
        struct attempt *a = list_entry(it, struct attempt, node);

        *ret_bytes += a->log.bytes;
        if (!oldest && !a->running)
            oldest = a;
    }
    return oldest;
}

/* false: running attempts take all the room. */
static bool make_room(struct attempt_table *t)
{
    for (;;) {
        size_t bytes;
        struct attempt *oldest = oldest_ended(t, &bytes);

        if (t->count < ATTEMPT_TABLE_MAX && bytes < ATTEMPT_TABLE_BYTES)
            return true;
        if (!oldest)
            return false;
        log_warn("result dropped before it was acknowledged", "attempt", oldest->label, NULL);
        forget(oldest);
    }
}

size_t attempt_table_running(const struct attempt_table *t)
{
    size_t n = 0;

    list_for_each (it, &t->attempts)
        n += list_entry(it, struct attempt, node)->running;
    return n;
}

size_t attempt_table_kept(const struct attempt_table *t)
{
    return t->count;
}

bool attempt_table_container_ready(const struct attempt_table *t, size_t container)
{
    return runner_ready(t->links, container);
}

const struct attempt_table_stats *attempt_table_stats(const struct attempt_table *t)
{
    return &t->stats;
}

/* ---- requests -------------------------------------------------------------------------------- */

static enum attempt_put check_sandbox(struct attempt_table *t, const struct task_request *req,
                                      const char *signed_uid, struct err *err)
{
    const char *served = journal_sandbox(t->opts.journal);

    if (strcmp(req->sandbox_uid, str_or_empty(signed_uid)) != 0) {
        err_set(err, -EINVAL, "sandboxUID is not the one that was signed");
        return ATTEMPT_PUT_BAD;
    }
    if (served && strcmp(served, req->sandbox_uid) != 0) {
        err_set(err, -EPERM, "this pod serves another sandbox");
        return ATTEMPT_PUT_OTHER_SANDBOX;
    }
    if (!served && journal_set_sandbox(t->opts.journal, req->sandbox_uid, err) < 0)
        return ATTEMPT_PUT_NO_JOURNAL;
    return ATTEMPT_PUT_STARTED;
}

/* Whether all containers that the steps name are ready, and there is room. Unknown containers are
 * left out: the steps that name them fail. */
static int check_ready(struct attempt_table *t, const struct task_request *req, struct err *err)
{
    const struct attempt_machine all = {.containers = t->opts.containers,
                                        .container_count = t->opts.container_count};

    for (size_t i = 0; i < req->step_count; i++) {
        int c = attempt_machine_container(&all, req->steps[i].container);

        if (c >= 0 && !runner_ready(t->links, (size_t)c))
            return err_set(err, -EAGAIN, "container %s is not ready", t->opts.containers[c]);
    }
    if (!make_room(t))
        return err_set(err, -EAGAIN, "too many tasks are running here");
    return 0;
}

static int journal_new(struct attempt_table *t, const struct journal_key *key,
                       const unsigned char *digest, struct err *err)
{
    int64_t from = clock_read().mono_ns;
    int r = journal_start(t->opts.journal, key, digest, err);

    metrics_observe(&t->stats.journal_ns, clock_read().mono_ns - from);
    return r;
}

static enum attempt_put put_new(struct attempt_table *t, struct sealed_exchange *x,
                                const struct journal_key *key, const unsigned char *digest,
                                const char *label, uint64_t after, struct err *err)
{
    CLEANUP(task_request_done) struct task_request req = {0};
    struct attempt *a;
    enum attempt_put put;

    if (task_request_decode(x->body, x->body_len, &req, err) < 0)
        return ATTEMPT_PUT_BAD;
    put = check_sandbox(t, &req, x->sandbox_uid, err);
    if (put != ATTEMPT_PUT_STARTED)
        return put;
    if (check_ready(t, &req, err) < 0)
        return ATTEMPT_PUT_NOT_READY;
    if (journal_new(t, key, digest, err) < 0)
        return ATTEMPT_PUT_NO_JOURNAL;
    log_debug("task started", "task", req.task_name, "attempt", label, "trace", req.trace_id, NULL);
    a = attempt_new(t, key, label);
    attempt_start(a, &req);
    attempt_attach(a, x, after);
    return ATTEMPT_PUT_STARTED;
}

/* The journal knows this attempt: attaches to it if the table has it. */
static enum attempt_put attach(struct attempt_table *t, struct sealed_exchange *x,
                               const struct journal_key *key, const char *label, uint64_t after,
                               struct err *err)
{
    struct attempt *a = find(t, key);

    if (!a) {
        err_set(err, -ESTALE, "attempt %s is over, and its result was dropped", label);
        return ATTEMPT_PUT_FORGOTTEN;
    }
    attempt_attach(a, x, after);
    return ATTEMPT_PUT_ATTACHED;
}

enum attempt_put attempt_table_put(struct attempt_table *t, struct sealed_exchange *x,
                                   const char *task_uid, unsigned attempt, uint64_t after,
                                   struct err *err)
{
    struct journal_key key = journal_key_of(task_uid, attempt);
    const struct journal_entry *e = journal_find(t->opts.journal, &key);
    cleanup_free char *label = xasprintf("%s/%u", task_uid, attempt);
    unsigned char digest[JOURNAL_DIGEST_BYTES];

    journal_digest(x->body, x->body_len, digest);
    if (!e)
        return put_new(t, x, &key, digest, label, after, err);
    if (!e->forgotten && memcmp(e->digest, digest, sizeof(digest)) != 0) {
        err_set(err, -EEXIST, "attempt %s was started with another body", label);
        return ATTEMPT_PUT_OTHER_BODY;
    }
    return attach(t, x, &key, label, after, err);
}

enum attempt_put attempt_table_attach(struct attempt_table *t, struct sealed_exchange *x,
                                      const char *task_uid, unsigned attempt, uint64_t after,
                                      struct err *err)
{
    struct journal_key key = journal_key_of(task_uid, attempt);
    cleanup_free char *label = xasprintf("%s/%u", task_uid, attempt);

    if (journal_find(t->opts.journal, &key))
        return attach(t, x, &key, label, after, err);
    err_set(err, -ENOENT, "attempt %s was never started here", label);
    return ATTEMPT_PUT_UNKNOWN;
}

void attempt_table_each_running(const struct attempt_table *t,
                                void (*tell)(const char *label, const char *task, void *arg),
                                void *arg)
{
    list_for_each (it, &t->attempts) {
        const struct attempt *a = list_entry(it, struct attempt, node);

        if (a->running)
            tell(a->label, a->request.task_name, arg);
    }
}

bool attempt_table_serves(const struct attempt_table *t, const char *sandbox_uid)
{
    const char *served = journal_sandbox(t->opts.journal);

    return !served || str_eq(served, sandbox_uid);
}

/* The PUT of a cancelled attempt may come after its DELETE, on another connection. It must find
 * that this attempt is over. */
static enum attempt_delete delete_unknown(struct attempt_table *t, const struct journal_key *key)
{
    static const unsigned char no_digest[JOURNAL_DIGEST_BYTES];

    if (journal_find(t->opts.journal, key))
        return ATTEMPT_DELETE_ACKNOWLEDGED;
    if (journal_start(t->opts.journal, key, no_digest, NULL) < 0)
        return ATTEMPT_DELETE_NO_JOURNAL;
    journal_forget(t->opts.journal, key, false);
    follow_look(t->follow);
    return ATTEMPT_DELETE_UNKNOWN;
}

enum attempt_delete attempt_table_delete(struct attempt_table *t, const char *task_uid,
                                         unsigned attempt)
{
    struct journal_key key = journal_key_of(task_uid, attempt);
    struct attempt *a = find(t, &key);

    if (!a)
        return delete_unknown(t, &key);
    if (a->running) {
        if (a->machine.state == ATTEMPT_RUNNING) /* else it is being killed already */
            log_info("task canceled", "attempt", a->label, NULL);
        attempt_cancel(a);
        return ATTEMPT_DELETE_CANCELED;
    }
    forget(a);
    return ATTEMPT_DELETE_ACKNOWLEDGED;
}

void attempt_table_acknowledge(struct attempt_table *t, const char *task_uid, unsigned attempt)
{
    struct journal_key key = journal_key_of(task_uid, attempt);
    struct attempt *a = find(t, &key);

    if (a && !a->running)
        forget(a);
}

/* ---- followers ------------------------------------------------------------------------------- */

/* The latest attempt of a task that was ever started here, or 0. */
static unsigned latest_attempt(const struct attempt_table *t, const char *task_uid)
{
    unsigned n = FOLLOW_ATTEMPTS;

    for (; n > 0; n--) {
        struct journal_key key = journal_key_of(task_uid, n);

        if (journal_find(t->opts.journal, &key))
            break;
    }
    return n;
}

static enum follow_found find_followed(const struct follow_request *req, struct follow_output **ret,
                                       void *arg)
{
    struct attempt_table *t = arg;
    struct journal_key key =
        journal_key_of(req->uid, req->attempt ? req->attempt : latest_attempt(t, req->uid));
    struct attempt *a = find(t, &key);

    if (!journal_find(t->opts.journal, &key))
        return FOLLOW_IS_LATER;
    return a ? attempt_follow(a, req->step, ret) : FOLLOW_IS_OVER;
}

/* Without a socket for followers there is no live output, but tasks run. */
static void let_follow(struct attempt_table *t)
{
    struct follow_opts fo = {.path = t->opts.follow_path, .find = find_followed, .arg = t};
    struct err err;

    if (!fo.path)
        return;
    if (follow_new(t->loop, &fo, &t->follow, &err) < 0)
        log_error("live output is not available: arl-sidecar tail does not work", "why", err.msg,
                  NULL);
    else
        t->handles_open++;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static void restore(struct attempt_table *t)
{
    for (size_t i = 0; i < journal_count(t->opts.journal); i++) {
        const struct journal_entry *e = journal_at(t->opts.journal, i);
        char label[2 * JOURNAL_KEY_BYTES + 1];

        if (e->forgotten)
            continue;
        for (size_t j = 0; j < JOURNAL_KEY_BYTES; j++)
            snprintf(label + 2 * j, 3, "%02x", e->key.bytes[j]);
        attempt_restore(attempt_new(t, &e->key, label));
    }
}

int attempt_table_new(struct uv_loop_s *loop, const struct attempt_table_opts *opts,
                      struct attempt_table **ret, struct err *err)
{
    struct attempt_table *t = xcalloc(1, sizeof(*t));
    struct runner_links_opts lo = {.dir = opts->dir,
                                   .containers = opts->containers,
                                   .container_count = opts->container_count,
                                   .journal = opts->journal,
                                   .on_ready = on_ready,
                                   .on_lost = on_lost,
                                   .on_refused = on_refused,
                                   .on_trouble = on_trouble,
                                   .on_out = on_out,
                                   .on_done = on_done,
                                   .arg = t};
    int r;

    t->loop = loop;
    t->opts = *opts;
    list_init(&t->attempts);
    restore(t);
    r = runner_links_new(loop, &lo, &t->links, err);
    if (r < 0) {
        list_for_each_safe (it, &t->attempts)
            attempt_free(list_entry(it, struct attempt, node));
        free(t);
        return r;
    }
    uv_timer_init(loop, &t->heartbeat);
    t->heartbeat.data = t;
    uv_timer_init(loop, &t->saver);
    t->saver.data = t;
    t->handles_open = 2;
    let_follow(t);
    *ret = t;
    return 0;
}

void attempt_table_handle_closed(struct attempt_table *t)
{
    t->handles_open--;
    if (!t->closing || t->handles_open > 0)
        return;
    if (t->close_cb)
        t->close_cb(t->close_arg);
    free(t);
}

static void on_timer_closed(uv_handle_t *h)
{
    attempt_table_handle_closed(h->data);
}

static void on_follow_closed(void *arg)
{
    attempt_table_handle_closed(arg);
}

static void on_links_closed(void *arg)
{
    struct attempt_table *t = arg;

    list_for_each_safe (it, &t->attempts)
        attempt_free(list_entry(it, struct attempt, node));
    uv_close((uv_handle_t *)&t->heartbeat, on_timer_closed);
    uv_close((uv_handle_t *)&t->saver, on_timer_closed);
}

void attempt_table_close(struct attempt_table *t, void (*cb)(void *arg), void *arg)
{
    if (!t)
        return;
    t->closing = true;
    t->close_cb = cb;
    t->close_arg = arg;
    save_all(t);
    follow_close(t->follow, on_follow_closed, t);
    t->follow = NULL;
    runner_links_close(t->links, on_links_closed, t);
}
