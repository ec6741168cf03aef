#include "common/io/http_client.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

#include <curl/curl.h>
#include <uv.h>

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "common/base/list.h"
#include "common/io/http_call_state.h"
#include "common/io/http_client_easy.h"
#include "common/io/http_client_body.h"
#include "common/io/http_client_tls.h"
#include "common/io/send_line.h"
#include "common/io/send_window.h"

/* A peer that vanished without a word is noticed after about 75 s of silence (30 + 3 * 15), or 45 s
 * after something was sent to it. */
#define KEEPALIVE_IDLE_S 30
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_COUNT 3
#define TCP_USER_TIMEOUT_MS 45000
/* Kept connections: not reused when idle for longer (the API server closes them after 90 s), nor
 * when older, so that load spreads again after an API server came back. */
#define CONN_MAX_IDLE_S 80L
#define CONN_MAX_AGE_S 900L
/* More than can ever be open: SEND_WINDOW_MAX bounds the shared ones, and the callers those of
 * their own. With a smaller number curl would close idle connections while many streams are open.
 */
#define CONN_CACHE_MAX 65536L

struct http_client {
    uv_loop_t *loop;
    struct http_client_opts opts;
    CURLM *multi;
    uv_timer_t timer;     /* what curl asks for; also the end of closing */
    uv_timer_t deadlines; /* the next time limit of a call, or earlier */
    unsigned handles;     /* uv handles that are not closed yet */
    struct list sockets;
    struct list running;   /* calls that curl has */
    struct list waiting;   /* calls to be given to curl: the pool is full, or curl is calling us */
    struct send_line line; /* those of them that share kept connections */
    struct send_window window; /* how many of these may run */
    struct list zombies;       /* cancelled from inside a callback of curl's */
    unsigned pooled;           /* running calls that share kept connections */
    bool in_curl; /* inside curl_multi_socket_action(): handles can not be added, removed */
    bool closing;
    struct http_tls_ref *tls;
    void (*close_cb)(void *arg);
    void *close_arg;
};

struct http_socket {
    struct list link;
    struct http_client *client;
    uv_poll_t poll;
    curl_socket_t fd;
    int events;
};

struct http_call {
    struct list link;
    struct send_entry turn; /* while it waits, and shares kept connections */
    struct http_client *client;
    enum call_state state;
    struct http_handler handler;
    void *arg;
    CURL *easy;
    struct curl_slist *headers;
    struct curl_slist *connect_to;
    struct http_tls_ref *tls;
    struct http_body body;
    struct buf answer;
    bool stream;
    bool pooled;
    bool writes; /* reads may be long, and say little of how busy the server is */
    bool too_large;
    bool wants_open; /* on_open, or a time limit that ends with the headers */
    size_t header_bytes;
    int64_t sent_ns;     /* when curl got it */
    int64_t timeout_ms;  /* from when curl has it; 0: none */
    int64_t deadline_ms; /* loop time; 0: none, or it waits in line */
    int64_t idle_ms;
    int64_t idle_deadline_ms; /* loop time; 0: none */
    char error[CURL_ERROR_SIZE];
};

static void client_settle(struct http_client *c);

/* A request that fails is not an error of the multi handle. Such an error is a mistake of ours, or
 * memory has run out. */
static void multi_check(CURLMcode code)
{
    assert(code == CURLM_OK);
}

static void call_move(struct http_call *call, enum call_state to)
{
    sm_move(&http_call_table, (size_t)call->state, (size_t)to);
    call->state = to;
}

/* ---- TLS ------------------------------------------------------------------------------------- */

/* Running requests keep their own certificates. curl itself does not reuse a connection that was
 * made with another CA or certificate. */
void http_client_set_tls(struct http_client *c, const struct http_tls *tls)
{
    http_tls_unref(c->tls);
    c->tls = http_tls_new(tls);
}

static void call_set_tls(struct http_call *call, struct http_tls_ref *t)
{
    call->tls = t;
    http_tls_apply(t, call->easy);
}

/* curl checks the certificate against the host of the URL. So the server name becomes the host, and
 * the connection is directed to the host that the URL had before. */
static void call_set_server_name(struct http_call *call, const char *name)
{
    CURLU *u = curl_url();
    char *host = NULL, *port = NULL, *url = NULL, *to = NULL;

    curl_easy_getinfo(call->easy, CURLINFO_EFFECTIVE_URL, &url);
    if (curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
        curl_url_set(u, CURLUPART_HOST, name, 0) == CURLUE_OK) {
        to = xasprintf("%s:%s:%s:%s", name, port, host, port);
        call->connect_to = curl_slist_append(NULL, to);
        easy_set(call->easy, CURLOPT_CONNECT_TO, call->connect_to);
        url = NULL;
        curl_url_get(u, CURLUPART_URL, &url, 0);
        easy_set(call->easy, CURLOPT_URL, url);
        curl_free(url);
    }
    free(to);
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(u);
}

/* ---- calls: setting up ----------------------------------------------------------------------- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr)
{
    int fd = socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
    int count = KEEPALIVE_COUNT;
    unsigned timeout_ms = TCP_USER_TIMEOUT_MS;

    if (fd >= 0 && (addr->family == AF_INET || addr->family == AF_INET6)) {
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
    }
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static size_t call_on_data(char *data, size_t size, size_t nmemb, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * nmemb;
    long status = 0;

    if (call->state != CALL_RUNNING)
        return CURL_WRITEFUNC_ERROR;
    http_body_answered(&call->body);
    if (call->idle_ms > 0)
        call->idle_deadline_ms = (int64_t)uv_now(call->client->loop) + call->idle_ms;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (call->stream && status >= 200 && status < 300) {
        call->handler.on_data(call->arg, data, len);
        return call->state == CALL_RUNNING ? len : CURL_WRITEFUNC_ERROR;
    }
    if (buf_append(&call->answer, data, len) < 0) {
        call->too_large = true;
        return CURL_WRITEFUNC_ERROR;
    }
    return len;
}

/* Each line of the headers, with its end; an empty one is the last. */
static size_t call_on_header(char *line, size_t size, size_t nmemb, void *arg)
{
    struct http_call *call = arg;
    size_t len = size * nmemb;
    long status = 0;

    if (call->state != CALL_RUNNING)
        return len;
    call->header_bytes += len;
    if (call->header_bytes > LIMIT_ANSWER_HEADERS_BYTES) {
        call->too_large = true;
        return 0;
    }
    if (!call->wants_open || len > 2 || line[0] == ' ' || line[0] == '\t')
        return len;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200 || status >= 300)
        return len;
    call->idle_deadline_ms =
        call->idle_ms > 0 ? (int64_t)uv_now(call->client->loop) + call->idle_ms : 0;
    if (call->handler.on_open)
        call->handler.on_open(call->arg);
    return len;
}

static bool header_is(const char *line, const char *name)
{
    size_t len = strlen(name);

    return strncasecmp(line, name, len) == 0 && line[len] == ':';
}

static void call_set_headers(struct http_call *call, const struct http_request *req)
{
    bool has_type = false;
    struct curl_slist *l = NULL;

    for (const char *const *h = req->headers; h && *h; h++) {
        l = curl_slist_append(l, *h);
        has_type = has_type || header_is(*h, "Content-Type");
    }
    /* No waiting for "100 Continue", no form type that curl would make up. */
    l = curl_slist_append(l, "Expect:");
    if (!has_type)
        l = curl_slist_append(l, "Content-Type:");
    call->headers = l;
    easy_set(call->easy, CURLOPT_HTTPHEADER, l);
}

static void call_set_body(struct http_call *call, const struct http_request *req)
{
    CURL *easy = call->easy;

    if (req->body_len > 0 || strcmp(req->method, "GET") != 0)
        http_body_set(&call->body, easy, req->body, req->body_len);
    easy_set(easy, CURLOPT_CUSTOMREQUEST, req->method);
}

static void call_set_connection(struct http_call *call, const struct http_request *req)
{
    CURL *easy = call->easy;

    easy_set(easy, CURLOPT_NOSIGNAL, 1L);
    easy_set(easy, CURLOPT_PATH_AS_IS, 1L);
    easy_set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    easy_set(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    easy_set(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_TIMEOUT_MS);
    easy_set(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    easy_set(easy, CURLOPT_TCP_NODELAY, 1L);
    easy_set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    easy_set(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
    easy_set(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL_S);
    easy_set(easy, CURLOPT_MAXAGE_CONN, CONN_MAX_IDLE_S);
    easy_set(easy, CURLOPT_MAXLIFETIME_CONN, CONN_MAX_AGE_S);
    /* "" and not NULL: the environment's proxies are not for us. */
    easy_set(easy, CURLOPT_PROXY, str_or_empty(req->proxy));
    /* The same: it would overrule a proxy that was asked for. */
    easy_set(easy, CURLOPT_NOPROXY, "");
    /* Headers for the server, such as a token, are not sent to the proxy. */
    easy_set(easy, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    easy_set(easy, CURLOPT_FRESH_CONNECT, (long)req->own_connection);
    easy_set(easy, CURLOPT_FORBID_REUSE, (long)(req->own_connection || req->close_after));
}

static struct http_call *call_new(struct http_client *c, const struct http_request *req,
                                  const struct http_handler *handler, void *arg)
{
    struct http_call *call = xcalloc(1, sizeof(*call));
    int64_t now_ms = (int64_t)uv_now(c->loop), first_ms;

    call->client = c;
    call->state = CALL_WAITING;
    send_entry_init(&call->turn);
    call->handler = *handler;
    call->arg = arg;
    call->stream = req->stream;
    call->wants_open = req->stream && (handler->on_open || req->answer_timeout_ms > 0);
    call->pooled = !req->own_connection && !req->close_after;
    call->writes = strcmp(req->method, "GET") != 0;
    call->timeout_ms = req->timeout_ms;
    call->idle_ms = req->idle_timeout_ms;
    first_ms = req->answer_timeout_ms > 0 ? req->answer_timeout_ms : req->idle_timeout_ms;
    call->idle_deadline_ms = first_ms > 0 ? now_ms + first_ms : 0;
    buf_init(&call->answer, req->max_response);
    call->easy = curl_easy_init();
    assert(call->easy);
    easy_set(call->easy, CURLOPT_PRIVATE, call);
    easy_set(call->easy, CURLOPT_ERRORBUFFER, call->error);
    easy_set(call->easy, CURLOPT_WRITEFUNCTION, call_on_data);
    easy_set(call->easy, CURLOPT_WRITEDATA, call);
    easy_set(call->easy, CURLOPT_HEADERFUNCTION, call_on_header);
    easy_set(call->easy, CURLOPT_HEADERDATA, call);
    easy_set(call->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L); /* a proxy's */
    easy_set(call->easy, CURLOPT_USERAGENT, "arl");
    easy_set(call->easy, CURLOPT_URL, req->url);
    call_set_connection(call, req);
    call_set_headers(call, req);
    call_set_body(call, req);
    if (strncasecmp(req->url, "https:", 6) == 0)
        call_set_tls(call, c->tls);
    if (call->tls && call->tls->tls.server_name)
        call_set_server_name(call, call->tls->tls.server_name);
    return call;
}

static void call_free(struct http_call *call)
{
    list_remove(&call->link);
    send_line_remove(&call->client->line, &call->turn);
    curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    curl_slist_free_all(call->connect_to);
    http_tls_unref(call->tls);
    http_body_done(&call->body);
    buf_done(&call->answer);
    free(call);
}

/* ---- calls: the end -------------------------------------------------------------------------- */

/* Takes a running call out of curl; its connection is closed unless the answer was complete. */
static void call_detach(struct http_call *call)
{
    assert(!call->client->in_curl);
    multi_check(curl_multi_remove_handle(call->client->multi, call->easy));
    if (call->pooled)
        call->client->pooled--;
}

static int error_of(const struct http_call *call, CURLcode code)
{
    long os_errno = 0;

    switch (code) {
    case CURLE_OK:
        return 0;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &os_errno);
        return os_errno > 0 ? -(int)os_errno : -ECONNREFUSED;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return -EHOSTUNREACH;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return -ECONNRESET;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_PEER_FAILED_VERIFICATION:
        return -EPROTO;
    case CURLE_URL_MALFORMAT:
        return -EINVAL;
    case CURLE_WRITE_ERROR:
        return call->too_large ? -EMSGSIZE : -EIO;
    default:
        return -EIO;
    }
}

static void response_fill(struct http_call *call, int error, struct http_response *ret)
{
    struct curl_header *h;
    curl_off_t retry_after_s = 0;
    long status = 0;
    long sent = 0;

    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent);
    *ret = (struct http_response){.status = (int)status,
                                  .body = buf_str(&call->answer),
                                  .body_len = call->answer.len,
                                  .retry_after_ms = -1,
                                  .error = error,
                                  .error_msg = "",
                                  .maybe_sent = error != 0 && sent > 0};
    if (status > 0 &&
        curl_easy_header(call->easy, "Retry-After", 0, CURLH_HEADER, -1, &h) == CURLHE_OK) {
        curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
        ret->retry_after_ms = retry_after_s * MSEC_PER_SEC;
    }
}

/* How long a write took, and whether the server has too much to do, sets how many run at once. */
static void note_answer(const struct http_call *call, const struct http_response *resp)
{
    struct http_client *c = call->client;
    bool refused = resp->status == 429 || resp->status == 503 || resp->error == -ETIMEDOUT;

    if (call->pooled && call->writes && (resp->status || refused))
        send_window_answer(&c->window, call->sent_ns, (int64_t)uv_hrtime(), refused, c->pooled);
}

/* Ends a call that curl has or that waits: tells its owner and frees it. */
static void call_end(struct http_call *call, int error, const char *msg)
{
    struct http_response resp;

    response_fill(call, error, &resp);
    if (error)
        resp.error_msg = msg;
    if (call->state == CALL_RUNNING) {
        note_answer(call, &resp);
        call_detach(call);
    }
    list_remove(&call->link);
    send_line_remove(&call->client->line, &call->turn);
    call_move(call, CALL_ENDED);
    call->handler.on_done(call->arg, &resp);
    call_free(call);
}

static void call_completed(struct http_call *call, CURLcode code)
{
    int error = error_of(call, code);
    const char *msg = call->error[0] ? call->error : curl_easy_strerror(code);

    if (error == -EMSGSIZE)
        msg = "the answer is larger than allowed";
    call_end(call, error, msg);
}

void http_client_cancel(struct http_call *call)
{
    struct http_client *c = call->client;

    switch (call->state) {
    case CALL_ENDED: /* freed when its on_done() returns */
    case CALL_ZOMBIE:
        return;
    case CALL_WAITING:
        call_free(call);
        return;
    default:
        break;
    }
    if (c->in_curl) {
        call_move(call, CALL_ZOMBIE);
        list_remove(&call->link);
        list_push_back(&c->zombies, &call->link);
        return;
    }
    call_detach(call);
    call_free(call);
    client_settle(c);
}

/* ---- time limits ----------------------------------------------------------------------------- */

/* The time at which the call ends unless something comes; 0: never. */
static int64_t call_due_ms(const struct http_call *call)
{
    if (!call->deadline_ms || !call->idle_deadline_ms)
        return MAX(call->deadline_ms, call->idle_deadline_ms);
    return MIN(call->deadline_ms, call->idle_deadline_ms);
}

static struct http_call *list_earliest(struct list *l, struct http_call *best)
{
    list_for_each (it, l) {
        struct http_call *call = list_entry(it, struct http_call, link);
        int64_t due_ms = call_due_ms(call);

        if (due_ms && (!best || due_ms < call_due_ms(best)))
            best = call;
    }
    return best;
}

/* While the timer is armed, limits only become later. So arriving data need not touch the timer: if
 * it fires too early, it is armed again. */
static void on_deadline(uv_timer_t *timer)
{
    struct http_client *c = timer->data;
    int64_t now_ms = (int64_t)uv_now(c->loop);
    struct http_call *call;

    while ((call = list_earliest(&c->waiting, list_earliest(&c->running, NULL))) &&
           call_due_ms(call) <= now_ms)
        call_end(call, -ETIMEDOUT,
                 call->idle_deadline_ms == call_due_ms(call) ? "nothing came for too long"
                                                             : "the time limit is over");
    if (call && !c->closing)
        uv_timer_start(timer, on_deadline, (uint64_t)(call_due_ms(call) - now_ms), 0);
    client_settle(c);
}

static void deadline_arm(struct http_client *c, const struct http_call *call)
{
    int64_t now_ms = (int64_t)uv_now(c->loop);
    int64_t in_ms = call_due_ms(call) - now_ms;

    if (!call_due_ms(call))
        return;
    if (!uv_is_active((uv_handle_t *)&c->deadlines) ||
        (int64_t)uv_timer_get_due_in(&c->deadlines) > in_ms)
        uv_timer_start(&c->deadlines, on_deadline, (uint64_t)MAX(in_ms, 0), 0);
}

/* The request goes to the server now, and its time limit begins. */
static void call_set_deadline(struct http_call *call)
{
    if (call->timeout_ms <= 0)
        return;
    call->deadline_ms = (int64_t)uv_now(call->client->loop) + call->timeout_ms;
    deadline_arm(call->client, call);
}

/* ---- curl inside uv -------------------------------------------------------------------------- */

static void reap_completed(struct http_client *c)
{
    struct http_call *call;
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(c->multi, &left))) {
        CURLcode code = msg->data.result;

        if (msg->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        if (call->state == CALL_RUNNING)
            call_completed(call, code);
    }
}

static void reap_zombies(struct http_client *c)
{
    while (!list_empty(&c->zombies)) {
        struct http_call *call = list_first(&c->zombies, struct http_call, link);

        call_detach(call);
        call_free(call);
    }
}

static void call_run(struct http_call *call)
{
    struct http_client *c = call->client;

    list_remove(&call->link);
    list_push_back(&c->running, &call->link);
    call_move(call, CALL_RUNNING);
    call->sent_ns = (int64_t)uv_hrtime();
    call_set_deadline(call);
    c->pooled += call->pooled;
    multi_check(curl_multi_add_handle(c->multi, call->easy));
}

/* Gives the waiting requests to curl, as far as the pool allows. */
static void client_settle(struct http_client *c)
{
    struct send_entry *next;

    if (c->in_curl || c->closing)
        return;
    list_for_each_safe (it, &c->waiting) {
        struct http_call *call = list_entry(it, struct http_call, link);

        if (!call->pooled)
            call_run(call);
    }
    while ((!c->opts.in_line || c->pooled < c->window.size) && (next = send_line_take(&c->line)))
        call_run(container_of(next, struct http_call, turn));
}

static void client_act(struct http_client *c, curl_socket_t fd, int events)
{
    int running;

    c->in_curl = true;
    multi_check(curl_multi_socket_action(c->multi, fd, events, &running));
    c->in_curl = false;
    reap_zombies(c);
    /* Also when nothing runs any more: the last ones have just ended. */
    reap_completed(c);
    client_settle(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct http_socket *s = poll->data;
    int flags = 0;

    if (status < 0) {
        /* uv has stopped the handle; curl finds out the error itself. */
        flags = CURL_CSELECT_ERR;
        uv_poll_start(&s->poll, s->events, on_poll);
    }
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    client_act(s->client, s->fd, flags);
}

static void client_handle_closed(struct http_client *c);

static void on_socket_closed(uv_handle_t *h)
{
    struct http_socket *s = h->data;
    struct http_client *c = s->client;

    free(s);
    client_handle_closed(c);
}

static void socket_close(struct http_socket *s)
{
    list_remove(&s->link);
    uv_poll_stop(&s->poll);
    uv_close((uv_handle_t *)&s->poll, on_socket_closed);
}

static struct http_socket *socket_new(struct http_client *c, curl_socket_t fd)
{
    struct http_socket *s = xcalloc(1, sizeof(*s));
    int r = uv_poll_init(c->loop, &s->poll, fd);

    assert(r == 0);
    s->client = c;
    s->fd = fd;
    s->poll.data = s;
    c->handles++;
    list_push_back(&c->sockets, &s->link);
    multi_check(curl_multi_assign(c->multi, fd, s));
    return s;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *sockp)
{
    struct http_client *c = arg;
    struct http_socket *s = sockp;

    if (what == CURL_POLL_REMOVE) {
        if (s)
            socket_close(s);
        multi_check(curl_multi_assign(c->multi, fd, NULL));
        return 0;
    }
    if (!s)
        s = socket_new(c, fd);
    s->events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    uv_poll_start(&s->poll, s->events, on_poll);
    return 0;
}

static void client_finish(struct http_client *c);

static void on_timer(uv_timer_t *timer)
{
    struct http_client *c = timer->data;

    if (c->closing)
        client_finish(c);
    else
        client_act(c, CURL_SOCKET_TIMEOUT, 0);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct http_client *c = arg;

    if (c->closing)
        return 0;
    if (timeout_ms < 0)
        uv_timer_stop(&c->timer);
    else
        uv_timer_start(&c->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

/* ---- the client ------------------------------------------------------------------------------ */

int http_client_new(struct uv_loop_s *loop, const struct http_client_opts *opts,
                    struct http_client **ret, struct err *err)
{
    static const struct http_client_opts shared = {.in_line = true, .cache_max = CONN_CACHE_MAX};
    struct http_client *c;

    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return err_set(err, -EIO, "libcurl does not start");
    c = xcalloc(1, sizeof(*c));
    c->loop = loop;
    c->opts = opts ? *opts : shared;
    list_init(&c->sockets);
    list_init(&c->running);
    list_init(&c->waiting);
    list_init(&c->zombies);
    send_line_init(&c->line);
    send_window_init(&c->window);
    c->multi = curl_multi_init();
    assert(c->multi);
    multi_check(curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket));
    multi_check(curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c));
    multi_check(curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer));
    multi_check(curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c));
    multi_check(curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, c->opts.cache_max));
    uv_timer_init(loop, &c->timer);
    uv_timer_init(loop, &c->deadlines);
    c->timer.data = c;
    c->deadlines.data = c;
    c->handles = 2;
    *ret = c;
    return 0;
}

static void client_handle_closed(struct http_client *c)
{
    void (*cb)(void *arg) = c->close_cb;
    void *arg = c->close_arg;

    if (--c->handles > 0)
        return;
    http_tls_unref(c->tls);
    send_line_done(&c->line);
    free(c);
    curl_global_cleanup();
    if (cb)
        cb(arg);
}

static void on_handle_closed(uv_handle_t *h)
{
    client_handle_closed(h->data);
}

/* Second half of closing, from the loop: nothing of curl's is on the stack here. */
static void client_finish(struct http_client *c)
{
    reap_zombies(c);
    list_for_each_safe (it, &c->sockets)
        socket_close(list_entry(it, struct http_socket, link));
    multi_check(curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, NULL));
    multi_check(curl_multi_cleanup(c->multi));
    uv_close((uv_handle_t *)&c->timer, on_handle_closed);
    uv_close((uv_handle_t *)&c->deadlines, on_handle_closed);
}

void http_client_close(struct http_client *c, void (*cb)(void *arg), void *arg)
{
    if (!c)
        return;
    assert(!c->closing);
    c->closing = true;
    c->close_cb = cb;
    c->close_arg = arg;
    list_for_each_safe (it, &c->waiting)
        http_client_cancel(list_entry(it, struct http_call, link));
    list_for_each_safe (it, &c->running)
        http_client_cancel(list_entry(it, struct http_call, link));
    uv_timer_stop(&c->deadlines);
    uv_timer_start(&c->timer, on_timer, 0, 0);
}

struct http_call *http_client_start(struct http_client *c, const struct http_request *req,
                                    const struct http_handler *handler, void *arg)
{
    struct http_call *call = call_new(c, req, handler, arg);

    assert(!c->closing);
    list_push_back(&c->waiting, &call->link);
    if (call->pooled)
        send_line_add(&c->line, &call->turn, req->urgency, req->group);
    deadline_arm(c, call);
    client_settle(c);
    return call;
}
