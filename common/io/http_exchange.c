#include "common/io/http_server_internal.h"

#include <stdio.h>
#include <strings.h>

#include "common/base/limits.h"

/* How long a kept-alive connection may wait for its next request. */
#define KEEPALIVE_MS 60000

/* ---- replies --------------------------------------------------------------------------------- */

void http_exchange_queue(struct http_exchange *x, int status, const char *content_type,
                         struct MHD_Response *response)
{
    assert(!x->replied);
    x->replied = true;
    if (!response) {
        x->queue_result = MHD_NO;
        return;
    }
    if (content_type)
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    x->queue_result = (int)MHD_queue_response(x->mhd, (unsigned)status, response);
    MHD_destroy_response(response);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, const char *body,
                size_t len)
{
    http_exchange_queue(x, status, content_type,
                        MHD_create_response_from_buffer(len, (void *)(uintptr_t)(len ? body : ""),
                                                        MHD_RESPMEM_MUST_COPY));
}

static void reply_error(struct http_exchange *x, int status, const char *what)
{
    char body[128];
    int n = snprintf(body, sizeof(body), "{\"error\":\"%s\"}", what);

    http_reply(x, status, "application/json", body, (size_t)n);
}

/* ---- requests -------------------------------------------------------------------------------- */

const char *http_method(const struct http_exchange *x)
{
    return x->method;
}

const char *http_path(const struct http_exchange *x)
{
    return x->path;
}

const char *http_query(const struct http_exchange *x)
{
    return x->query;
}

const char *http_body(const struct http_exchange *x, size_t *ret_len)
{
    *ret_len = x->body.len;
    return buf_str(&x->body);
}

bool http_from_loopback(const struct http_exchange *x)
{
    return http_peer_is_loopback(&x->conn->peer);
}

void http_trust(struct http_exchange *x)
{
    http_conn_trust(x->conn);
}

void http_set_user(struct http_exchange *x, void *user, void (*free_user)(void *user))
{
    assert(!x->user);
    x->user = user;
    x->free_user = free_user;
}

void *http_user(const struct http_exchange *x)
{
    return x->user;
}

const char *http_header(const struct http_exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

struct header_count {
    const char *name;
    int count;
};

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct header_count *c = cls;

    c->count += strcasecmp(name, c->name) == 0;
    return MHD_YES;
}

static int header_count(const struct http_exchange *x, const char *name)
{
    struct header_count c = {name, 0};

    MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, count_header, &c);
    return c.count;
}

bool http_header_repeated(const struct http_exchange *x, const char *name)
{
    return header_count(x, name) > 1;
}

bool http_decimal_parse(const char *s, size_t *ret)
{
    size_t v = 0;

    if (!*s)
        return false;
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || v > (SIZE_MAX - 9) / 10)
            return false;
        v = v * 10 + (size_t)(*s - '0');
    }
    *ret = v;
    return true;
}

static bool target_valid(const struct http_exchange *x)
{
    if (!x->path || x->path[0] != '/')
        return false;
    for (const char *p = x->path; *p; p++) {
        if (*p < 0x21 || *p > 0x7e || *p == '#')
            return false;
    }
    for (const char *p = x->query; *p; p++) {
        if (*p < 0x21 || *p > 0x7e || *p == '#')
            return false;
    }
    return true;
}

static size_t head_bytes(struct http_exchange *x)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

    return info ? info->header_size : 0;
}

/* MHD takes the last of several lengths and prefers chunks to a length: anything that two readers
 * could see differently is refused (RFC 9112, 3.2 and 6.3). */
static int check_head(struct http_exchange *x, const char *version, size_t *ret_length,
                      const char **ret_what)
{
    const char *length = http_header(x, "Content-Length");
    const char *coding = http_header(x, "Transfer-Encoding");
    bool http11 = strcmp(version, MHD_HTTP_VERSION_1_1) == 0;
    int hosts = header_count(x, "Host");
    size_t n = 0;

    if (head_bytes(x) > LIMIT_HTTP_HEADER_BYTES) {
        *ret_what = "the head of the request is too long";
        return 431;
    }
    *ret_what = "malformed request target";
    if (!target_valid(x))
        return 400;
    *ret_what = "exactly one Host header is needed";
    if (hosts > 1 || (http11 && hosts == 0))
        return 400;
    *ret_what = "malformed Content-Length or Transfer-Encoding";
    if (http_header_repeated(x, "Content-Length") || http_header_repeated(x, "Transfer-Encoding") ||
        (length && coding) || (coding && !http11) || (length && !http_decimal_parse(length, &n)) ||
        (coding && strcasecmp(coding, "chunked") != 0))
        return 400;
    *ret_length = n;
    return 0;
}

/* The answer to a request whose body is not taken, for this status. */
static void reply_dropped(struct http_exchange *x, int status)
{
    reply_error(x, status,
                status == 413 ? "the body is too large"
                              : "too much is being received at once: try again");
}

/* How much of a body is accepted, before a byte of it is kept. An announced length is taken from
 * the budget at once. */
static void admit(struct http_exchange *x, size_t length)
{
    const struct http_server_opts *o = &x->server->opts;
    size_t most = o->on_head ? o->on_head(x, o->arg) : o->max_body;

    if (x->replied)
        return;
    most = MIN(most, o->max_body);
    if (length > most)
        reply_dropped(x, 413);
    else if (!http_server_hold(x->server, length))
        reply_dropped(x, 503);
    else
        x->held = length;
    buf_init(&x->body, length > 0 ? length : most);
}

/* MHD closes the connection after an answer that is given here, before the body. So the body is not
 * taken for another request. */
static enum MHD_Result begin(struct http_exchange *x, struct MHD_Connection *mhd,
                             const char *method, const char *version)
{
    size_t length = 0;
    const char *what;
    int status;

    x->begun = true;
    x->mhd = mhd;
    x->method = method;
    status = check_head(x, version, &length, &what);
    if (status == 0)
        admit(x, length);
    else
        reply_error(x, status, what);
    return x->replied ? (enum MHD_Result)x->queue_result : MHD_YES;
}

static void body_free(struct http_exchange *x)
{
    buf_done(&x->body);
    http_server_release(x->server, x->held);
    x->held = 0;
}

/* A part of the body. Only a body in chunks can be longer than the head has announced. */
static void take_part(struct http_exchange *x, const char *data, size_t len)
{
    size_t len_then = x->body.len + len, more = len_then > x->held ? len_then - x->held : 0;

    if (x->drop)
        return;
    if (len_then > x->body.max)
        x->drop = 413;
    else if (!http_server_hold(x->server, more))
        x->drop = 503;
    if (x->drop) {
        body_free(x);
        return;
    }
    x->held += more;
    buf_append(&x->body, data, len);
}

/* A stranger has as much time to read the answer as to send the request, so that a stranger who
 * does not read can be cut. */
static enum MHD_Result complete(struct http_exchange *x)
{
    if (x->conn->trusted)
        x->conn->deadline_ms = INT64_MAX;
    if (x->drop)
        reply_dropped(x, x->drop);
    else if (x->server->closing)
        reply_error(x, 503, "shutting down");
    else
        x->server->opts.on_request(x, x->server->opts.arg);
    assert(x->replied);
    if (x->stream)
        x->conn->deadline_ms = INT64_MAX;
    body_free(x);
    return (enum MHD_Result)x->queue_result;
}

enum MHD_Result http_exchange_access(void *cls, struct MHD_Connection *mhd, const char *url,
                                     const char *method, const char *version,
                                     const char *upload_data, size_t *upload_data_size,
                                     void **req_cls)
{
    struct http_exchange *x = *req_cls;

    if (!x->begun)
        return begin(x, mhd, method, version);
    if (*upload_data_size == 0)
        return complete(x);
    take_part(x, upload_data, *upload_data_size);
    *upload_data_size = 0;
    return MHD_YES;
}

/* Called with the request line's target before MHD decodes it; makes the exchange. */
void *http_exchange_new(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    struct http_server *s = cls;
    struct http_exchange *x = xcalloc(1, sizeof(*x));
    size_t path_len = strcspn(uri, "?");

    x->server = s;
    x->conn = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    x->path = xstrdup(uri);
    x->query = x->path + path_len;
    if (*x->query) {
        x->path[path_len] = '\0';
        x->query++;
    }
    if (x->conn->deadline_ms - (int64_t)uv_now(s->loop) > s->opts.request_total_ms)
        http_conn_set_deadline(x->conn, s->opts.request_total_ms);
    return x;
}

void http_exchange_completed(void *cls, struct MHD_Connection *mhd, void **req_cls,
                             enum MHD_RequestTerminationCode code)
{
    struct http_exchange *x = *req_cls;

    if (!x)
        return;
    *req_cls = NULL;
    if (x->stream) {
        http_stream_gone(x->stream);
        http_stream_free(x->stream);
    }
    http_conn_waits(x->conn, KEEPALIVE_MS + x->server->opts.request_total_ms);
    body_free(x);
    if (x->free_user)
        x->free_user(x->user);
    free(x->path);
    free(x);
}
