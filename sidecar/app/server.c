#include "sidecar/app/server.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/buf.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/io/http_server.h"
#include "sidecar/auth/sealed.h"
#include "sidecar/auth/words.h"

#define TASK_LIST "/v1/tasks"
#define TASKS TASK_LIST "/"
#define ACKNOWLEDGED "/v1/acknowledged"
#define ATTEMPT_MAX 1000
#define BODY_MAX (64u << 10)
#define OLDER "this agent speaks wire version 2, the operator is older: update the operator"

struct server {
    struct server_opts opts;
    struct http_server *http;
    uint64_t refused; /* signatures */
    struct log_rate refusals;
    void (*close_cb)(void *arg);
    void *close_arg;
};

/* ---- answers --------------------------------------------------------------------------------- */

static void put_error(struct buf *b, const char *message)
{
    struct json_writer w = JSON_WRITER_INIT(b);

    json_w_object(&w, NULL);
    json_w_str(&w, "error", message);
    json_w_end_object(&w);
}

static void reply_error(struct sealed_exchange *x, int status, const char *message)
{
    cleanup_buf struct buf b = BUF_INIT(4 * ERR_MSG_MAX);

    put_error(&b, message);
    sealed_reply(x, status, b.data, b.len);
}

/* For who has no right to a sealed answer. */
static void reply_unsealed(struct http_exchange *x, int status, const char *message)
{
    cleanup_buf struct buf b = BUF_INIT(4 * ERR_MSG_MAX);

    put_error(&b, message);
    http_reply(x, status, "application/json", b.data, b.len);
}

static void get_ready(struct server *s, struct http_exchange *x)
{
    cleanup_buf struct buf b = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&b);
    bool ready = true;

    for (size_t i = 0; i < s->opts.container_count; i++)
        ready = ready && attempt_table_container_ready(s->opts.table, i);
    json_w_object(&w, NULL);
    json_w_bool(&w, "ready", ready);
    json_w_array(&w, "missing");
    for (size_t i = 0; i < s->opts.container_count; i++)
        if (!attempt_table_container_ready(s->opts.table, i))
            json_w_str(&w, NULL, s->opts.containers[i]);
    json_w_end_array(&w);
    json_w_end_object(&w);
    http_reply(x, ready ? 200 : 503, "application/json", b.data, b.len);
}

static void put_ended(const struct attempt_table_stats *st, struct buf *b)
{
    metrics_head(b, "arl_sidecar_tasks_ended_total", "counter", "Attempts that ended, by reason.");
    for (int r = TASK_END_COMPLETED; r <= TASK_END_AGENT_LOST; r++) {
        char labels[64];

        snprintf(labels, sizeof(labels), "reason=\"%s\"",
                 task_end_reason_str((enum task_end_reason)r));
        metrics_value(b, "arl_sidecar_tasks_ended_total", labels, (double)st->ended[r]);
    }
}

static void get_metrics(struct server *s, struct sealed_exchange *x)
{
    const struct attempt_table_stats *st = attempt_table_stats(s->opts.table);
    const struct {
        const char *name, *type, *help;
        double value;
    } rows[] = {
        {"arl_sidecar_tasks_started_total", "counter", "Attempts started.", (double)st->started},
        {"arl_sidecar_tasks_running", "gauge", "Attempts that run.",
         (double)attempt_table_running(s->opts.table)},
        {"arl_sidecar_tasks_kept", "gauge", "Attempts that run or whose result is kept.",
         (double)attempt_table_kept(s->opts.table)},
        {"arl_sidecar_output_bytes_total", "counter", "Bytes that steps printed.",
         (double)st->output_bytes},
        {"arl_sidecar_runners_lost_total", "counter", "Connections to runners that ended.",
         (double)st->runners_lost},
        {"arl_sidecar_callers_refused_total", "counter",
         "Callers at a runner's socket that are not the runner.", (double)st->callers_refused},
        {"arl_sidecar_requests_refused_total", "counter", "Requests without a good signature.",
         (double)s->refused},
    };
    cleanup_buf struct buf b = BUF_INIT(BODY_MAX);

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        metrics_head(&b, rows[i].name, rows[i].type, rows[i].help);
        metrics_value(&b, rows[i].name, NULL, rows[i].value);
    }
    put_ended(st, &b);
    metrics_head(&b, "arl_sidecar_journal_seconds", "histogram", "Time to put a start on disk.");
    metrics_histogram(&b, "arl_sidecar_journal_seconds", &st->journal_ns, NULL);
    metrics_head(&b, "arl_sidecar_task_seconds", "histogram", "Time that attempts took.");
    metrics_histogram(&b, "arl_sidecar_task_seconds", &st->duration_ns, NULL);
    sealed_reply(x, 200, b.data, b.len);
}

/* ---- who asks -------------------------------------------------------------------------------- */

static const char *const signed_headers[] = {"Signature-Input", "Signature",
                                             "Content-Digest",  "Arl-Pod-Uid",
                                             "Arl-Sandbox-Uid", "Arl-Operator-Key"};

static bool copy_header(const struct http_exchange *x, const char *name, char *ret)
{
    const char *v = http_header(x, name);

    if (!v || strlen(v) >= SIGNATURE_HEADER_MAX)
        return false;
    memcpy(ret, v, strlen(v) + 1);
    return true;
}

static int read_signature(const struct http_exchange *x, struct signature_headers *ret,
                          struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(signed_headers); i++) {
        if (!http_header(x, signed_headers[i]) || http_header_repeated(x, signed_headers[i]))
            return err_set(err, -EACCES, "the request needs one %s header", signed_headers[i]);
    }
    if (!copy_header(x, "Signature-Input", ret->signature_input) ||
        !copy_header(x, "Signature", ret->signature) ||
        !copy_header(x, "Content-Digest", ret->content_digest))
        return err_set(err, -EACCES, "a header of the signature is too long");
    return 0;
}

static int check_signature(struct server *s, const struct http_exchange *x,
                           struct signature_proof *ret, struct err *err)
{
    struct signature_input in = {
        .method = http_method(x), .path = http_path(x), .query = http_query(x)};
    struct signature_headers headers;

    if (read_signature(x, &headers, err) < 0)
        return -EACCES;
    in.pod_uid = http_header(x, "Arl-Pod-Uid");
    in.sandbox_uid = http_header(x, "Arl-Sandbox-Uid");
    in.operator_key = http_header(x, "Arl-Operator-Key");
    return auth_check_head(s->opts.auth, &in, &headers, clock_read().wall_ns / NSEC_PER_SEC, ret,
                           err);
}

static void refuse(struct server *s, struct http_exchange *x, int status, const char *why)
{
    uint64_t left_out;
    char others[24];

    s->refused++;
    if (log_rate_pass(&s->refusals, clock_read().mono_ns, LIMIT_REFUSAL_LINES_MS, &left_out)) {
        snprintf(others, sizeof(others), "%llu", (unsigned long long)left_out);
        log_warn("request refused", "method", http_method(x), "path", http_path(x), "why", why,
                 "others", others, NULL);
    }
    reply_unsealed(x, status, why);
}

static bool is_get(const struct http_exchange *x, const char *path)
{
    return strcmp(http_method(x), "GET") == 0 && strcmp(http_path(x), path) == 0;
}

static bool is_task(const struct http_exchange *x)
{
    return strncmp(http_path(x), TASKS, strlen(TASKS)) == 0;
}

static bool is_acknowledgement(const struct http_exchange *x)
{
    return strcmp(http_method(x), "POST") == 0 && strcmp(http_path(x), ACKNOWLEDGED) == 0;
}

/* Answered without a signature. */
static bool is_for_everybody(const struct http_exchange *x)
{
    return is_get(x, "/healthz") || is_get(x, "/readyz");
}

/* Of an operator that spoke in the clear: it signs, and says no key to seal the answer to. */
static bool is_older(const struct http_exchange *x)
{
    return http_header(x, "Signature-Input") && !http_header(x, "Arl-Operator-Key");
}

static void free_sealed(void *user)
{
    sealed_done(user);
    free(user);
}

/* How long the body of a request may be, as it is sent. */
static size_t body_limit(const struct http_exchange *x)
{
    if (is_task(x) && strcmp(http_method(x), "PUT") == 0)
        return LIMIT_TASK_REQUEST_BYTES + CHANNEL_SEAL_BYTES;
    return is_acknowledgement(x) ? BODY_MAX + CHANNEL_SEAL_BYTES : 0;
}

/* The keys of the exchange, if the head has a valid signature. NULL: it was refused. */
static struct sealed_exchange *admit(struct server *s, struct http_exchange *x)
{
    struct signature_proof proof;
    struct sealed_exchange sealed;
    struct err err;

    if (is_older(x)) {
        refuse(s, x, 426, OLDER);
        return NULL;
    }
    if (check_signature(s, x, &proof, &err) < 0 ||
        sealed_begin(s->opts.sealer, x, proof.nonce, &sealed, &err) < 0) {
        refuse(s, x, 401, err.msg);
        return NULL;
    }
    return memcpy(xmalloc(sizeof(sealed)), &sealed, sizeof(sealed));
}

/* All checks that need no body. A client without a valid signature cannot send one. */
static size_t on_head(struct http_exchange *x, void *arg)
{
    struct sealed_exchange *sealed = is_for_everybody(x) ? NULL : admit(arg, x);
    const char *length = http_header(x, "Content-Length");
    size_t limit = body_limit(x);

    if (!sealed)
        return 0;
    http_trust(x);
    http_set_user(x, sealed, free_sealed);
    /* What is told in chunks shows itself later. */
    if (length && strtoull(length, NULL, 10) > limit)
        reply_error(sealed, 413, "the body is too large");
    return limit;
}

/* The head was accepted. Answers the request itself if the body does not match the head, or was not
 * sealed for it. */
static bool body_is_good(struct server *s, struct sealed_exchange *x)
{
    struct err err;
    size_t len;
    const char *body = http_body(x->http, &len);
    int r;

    if (signature_verify_body(http_header(x->http, "Content-Digest"), body, len, &err) < 0) {
        refuse(s, x->http, 401, err.msg);
        return false;
    }
    r = sealed_open(x, &err);
    if (r == -EPROTO)
        refuse(s, x->http, 426, OLDER);
    else if (r < 0)
        reply_error(x, 400, err.msg);
    return r == 0;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

struct task_path {
    char uid[LIMIT_UID_BYTES + 1];
    unsigned attempt;
    uint64_t after;
};

/* "uid/attempt" */
static bool parse_label(const char *text, struct task_path *ret)
{
    size_t len = strcspn(text, "/");
    uint64_t attempt = 0;

    if (!word_uid(text, len, ret->uid) || text[len] != '/' ||
        !word_number(text + len + 1, strlen(text + len + 1), ATTEMPT_MAX, &attempt) || attempt == 0)
        return false;
    ret->attempt = (unsigned)attempt;
    return true;
}

static bool parse_task(const struct http_exchange *x, struct task_path *ret)
{
    const char *query = http_query(x);

    ret->after = 0;
    if (!parse_label(http_path(x) + strlen(TASKS), ret))
        return false;
    if (!*query)
        return true;
    return strncmp(query, "after=", 6) == 0 &&
           word_number(query + 6, strlen(query + 6), INT64_MAX - 1, &ret->after);
}

typedef enum attempt_put attempt_table_fn(struct attempt_table *t, struct sealed_exchange *x,
                                          const char *task_uid, unsigned attempt, uint64_t after,
                                          struct err *err);

/* PUT starts or attaches, GET only attaches. */
static void stream_task(struct server *s, struct sealed_exchange *x, const struct task_path *p,
                        attempt_table_fn *fn)
{
    static const int statuses[] = {
        [ATTEMPT_PUT_OTHER_BODY] = 409, [ATTEMPT_PUT_OTHER_SANDBOX] = 403,
        [ATTEMPT_PUT_FORGOTTEN] = 410,  [ATTEMPT_PUT_NOT_READY] = 503,
        [ATTEMPT_PUT_BAD] = 400,        [ATTEMPT_PUT_NO_JOURNAL] = 507,
        [ATTEMPT_PUT_UNKNOWN] = 404,
    };
    struct err err;
    enum attempt_put r = fn(s->opts.table, x, p->uid, p->attempt, p->after, &err);

    if (r == ATTEMPT_PUT_STARTED || r == ATTEMPT_PUT_ATTACHED)
        return;
    log_warn("task refused", "method", http_method(x->http), "path", http_path(x->http), "why",
             err.msg, NULL);
    reply_error(x, statuses[r], err.msg);
}

static void delete_task(struct server *s, struct sealed_exchange *x, const struct task_path *p)
{
    switch (attempt_table_delete(s->opts.table, p->uid, p->attempt)) {
    case ATTEMPT_DELETE_CANCELED:
        sealed_reply(x, 202, NULL, 0);
        break;
    case ATTEMPT_DELETE_ACKNOWLEDGED:
        sealed_reply(x, 204, NULL, 0);
        break;
    case ATTEMPT_DELETE_UNKNOWN:
        reply_error(x, 404, "this attempt was never started here");
        break;
    case ATTEMPT_DELETE_NO_JOURNAL:
        reply_error(x, 507, "the journal could not record that this attempt was canceled");
        break;
    }
}

static void one_task(struct server *s, struct sealed_exchange *x)
{
    const char *method = http_method(x->http);
    struct task_path p;

    if (!parse_task(x->http, &p))
        reply_error(x, 400, "the path is not " TASKS "{uid}/{attempt}?after={number}");
    else if (!attempt_table_serves(s->opts.table, x->sandbox_uid))
        reply_error(x, 403, "this pod serves another sandbox");
    else if (strcmp(method, "PUT") == 0)
        stream_task(s, x, &p, attempt_table_put);
    else if (strcmp(method, "GET") == 0)
        stream_task(s, x, &p, attempt_table_attach);
    else if (strcmp(method, "DELETE") == 0)
        delete_task(s, x, &p);
    else
        reply_error(x, 405, "only PUT, GET and DELETE are known here");
}

static void put_running(const char *label, const char *task, void *arg)
{
    json_w_object(arg, NULL);
    json_w_str(arg, "attempt", label);
    json_w_str(arg, "task", task);
    json_w_end_object(arg);
}

/* Lists the running attempts, for an operator that audits them. */
static void list_tasks(struct server *s, struct sealed_exchange *x)
{
    cleanup_buf struct buf b = BUF_INIT(BODY_MAX);
    struct json_writer w = JSON_WRITER_INIT(&b);

    json_w_object(&w, NULL);
    json_w_array(&w, "running");
    attempt_table_each_running(s->opts.table, put_running, &w);
    json_w_end_array(&w);
    json_w_end_object(&w);
    sealed_reply(x, 200, b.data, b.len);
}

/* Results that are written where they belong and not needed here any more. */
static void acknowledge(struct server *s, struct sealed_exchange *x)
{
    cleanup_json struct json_object *obj = NULL;
    struct json_object *attempts;
    struct task_path p;
    struct err err;

    if (!attempt_table_serves(s->opts.table, x->sandbox_uid)) {
        reply_error(x, 403, "this pod serves another sandbox");
        return;
    }
    if (json_parse(x->body, x->body_len, &obj, &err) < 0) {
        reply_error(x, 400, err.msg);
        return;
    }
    attempts = json_get(obj, "attempts");
    for (size_t i = 0; i < json_array_len(attempts); i++)
        if (parse_label(str_or_empty(json_array_str(attempts, i)), &p))
            attempt_table_acknowledge(s->opts.table, p.uid, p.attempt);
    sealed_reply(x, 204, NULL, 0);
}

static void on_request(struct http_exchange *x, void *arg)
{
    struct sealed_exchange *sealed = http_user(x);
    struct server *s = arg;

    if (is_get(x, "/healthz"))
        http_reply(x, 200, "text/plain", "ok\n", 3);
    else if (is_get(x, "/readyz"))
        get_ready(s, x);
    else if (!body_is_good(s, sealed))
        return;
    else if (is_task(x))
        one_task(s, sealed);
    else if (is_acknowledgement(x))
        acknowledge(s, sealed);
    else if (is_get(x, TASK_LIST))
        list_tasks(s, sealed);
    else if (is_get(x, "/metrics"))
        get_metrics(s, sealed);
    else
        reply_error(sealed, 404, "there is nothing at this path");
}

/* ---- start and stop -------------------------------------------------------------------------- */

int server_new(struct uv_loop_s *loop, const struct server_opts *opts, struct server **ret,
               struct err *err)
{
    struct server *s = xcalloc(1, sizeof(*s));
    struct http_server_opts ho = {.address = opts->listen,
                                  .max_body = LIMIT_TASK_REQUEST_BYTES + CHANNEL_SEAL_BYTES,
                                  .max_held = LIMIT_HTTP_HELD_BYTES,
                                  .max_connections = LIMIT_HTTP_CONNECTIONS,
                                  .request_total_ms = LIMIT_HTTP_REQUEST_TOTAL_MS,
                                  .on_head = on_head,
                                  .on_request = on_request,
                                  .arg = s};
    int r;

    s->opts = *opts;
    r = http_server_new(loop, &ho, &s->http, err);
    if (r < 0) {
        free(s);
        return r;
    }
    *ret = s;
    return 0;
}

int server_port(const struct server *s)
{
    return http_server_port(s->http);
}

static void on_http_closed(void *arg)
{
    struct server *s = arg;
    void (*cb)(void *) = s->close_cb;
    void *cb_arg = s->close_arg;

    free(s);
    if (cb)
        cb(cb_arg);
}

void server_close(struct server *s, void (*cb)(void *arg), void *arg)
{
    if (!s)
        return;
    s->close_cb = cb;
    s->close_arg = arg;
    http_server_close(s->http, on_http_closed, s);
}
