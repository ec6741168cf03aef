#include "common/io/http_server_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/limits.h"

/* The memory that MHD keeps for a connection: the whole head of the request, and the chunk that is
 * being sent. MHD takes pools of up to 32 KiB from malloc(), and larger ones as mappings of their
 * own (memorypool.c). */
#define CONNECTION_POOL_BYTES (32u << 10)
/* A connection without a byte in either direction; catches readers that stopped reading. */
#define CONNECTION_IDLE_S 60
/* A peer that acknowledges nothing for so long is gone (tcp(7)). */
#define TCP_USER_TIMEOUT_MS 20000
#define TCP_KEEPIDLE_S 15
#define TCP_KEEPINTVL_S 5
#define TCP_KEEPCNT_PROBES 3
#define LISTEN_BACKLOG 128
/* Connections that are cut to make room, until MHD has cleaned up behind them. */
#define SPARE_CONNECTIONS 32
/* Turns of MHD in one turn of the loop; further work waits for a timer of 0 ms. */
#define PUMP_TURNS 4

/* ---- driving MHD ----------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *t);

/* Never called from inside an MHD callback: MHD_run() does not nest. */
static void pump(struct http_server *s)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
    bool pending = true;

    for (int i = 0; i < PUMP_TURNS && pending && timeout_ms == 0; i++) {
        MHD_run(s->daemon);
        pending = MHD_get_timeout(s->daemon, &timeout_ms) == MHD_YES;
    }
    if (s->closing)
        return;
    if (pending)
        uv_timer_start(&s->timer, on_timer, timeout_ms, 0);
    else
        uv_timer_stop(&s->timer);
}

static void on_timer(uv_timer_t *t)
{
    pump(t->data);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
    pump(p->data);
}

static void on_kick(uv_idle_t *idle)
{
    uv_idle_stop(idle);
    pump(idle->data);
}

/* MHD_resume_connection() wakes nobody. An active idle handle keeps the loop from waiting and runs
 * before it polls the next time, so several resumed streams share one turn. */
void http_server_kick(struct http_server *s)
{
    if (!s->closing)
        uv_idle_start(&s->kick, on_kick);
}

/* ---- deadlines of requests ------------------------------------------------------------------- */

static void on_deadlines(uv_timer_t *t);

static void arm_deadlines(struct http_server *s, int64_t due_ms)
{
    int64_t now_ms = (int64_t)uv_now(s->loop);

    if (s->closing || due_ms >= s->deadline_due_ms)
        return;
    s->deadline_due_ms = due_ms;
    uv_timer_start(&s->deadlines, on_deadlines, (uint64_t)MAX(due_ms - now_ms, 0), 0);
}

/* MHD sees the end of the connection and cleans up. */
static void conn_cut(struct http_conn *c)
{
    shutdown(c->fd, SHUT_RDWR);
    c->deadline_ms = INT64_MAX;
}

static void on_deadlines(uv_timer_t *t)
{
    struct http_server *s = t->data;
    int64_t now_ms = (int64_t)uv_now(s->loop);
    int64_t next_ms = INT64_MAX;

    s->deadline_due_ms = INT64_MAX;
    list_for_each (it, &s->conns) {
        struct http_conn *c = list_entry(it, struct http_conn, node);

        if (c->deadline_ms <= now_ms)
            conn_cut(c);
        next_ms = MIN(next_ms, c->deadline_ms);
    }
    if (next_ms != INT64_MAX)
        arm_deadlines(s, next_ms);
}

void http_conn_set_deadline(struct http_conn *c, int64_t in_ms)
{
    c->deadline_ms = (int64_t)uv_now(c->server->loop) + in_ms;
    arm_deadlines(c->server, c->deadline_ms);
}

/* ---- connections ----------------------------------------------------------------------------- */

static void conn_tune(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS},
        {IPPROTO_TCP, TCP_KEEPIDLE, TCP_KEEPIDLE_S},
        {IPPROTO_TCP, TCP_KEEPINTVL, TCP_KEEPINTVL_S},
        {IPPROTO_TCP, TCP_KEEPCNT, TCP_KEEPCNT_PROBES},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
    };

    /* A peer that is gone already makes these fail; MHD will find out. */
    for (size_t i = 0; i < ARRAY_SIZE(options); i++)
        setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(int));
}

static void maybe_finish_close(struct http_server *s)
{
    void (*cb)(void *) = s->close_cb;
    void *arg = s->close_arg;

    if (s->handles_open > 0 || s->daemon)
        return;
    free((char *)s->opts.address);
    free(s);
    if (cb)
        cb(arg);
}

static void on_disconnect_closed(uv_handle_t *h)
{
    struct http_conn *c = h->data;
    struct http_server *s = c->server;

    free(c);
    s->handles_open--;
    maybe_finish_close(s);
}

static bool conn_may_go(const struct http_conn *c)
{
    return c->deadline_ms != INT64_MAX;
}

static bool same_peer(const struct http_conn *a, const struct http_conn *b)
{
    return memcmp(&a->peer, &b->peer, sizeof(a->peer)) == 0;
}

/* As those of the same peer have it. */
static unsigned strangers_of(const struct http_conn *c)
{
    list_for_each (it, &c->server->conns) {
        const struct http_conn *other = list_entry(it, struct http_conn, node);

        if (same_peer(other, c))
            return other->strangers;
    }
    return 0;
}

/* Changes the count of untrusted connections of the peer. */
static void count_stranger(const struct http_conn *c, bool more)
{
    list_for_each (it, &c->server->conns) {
        struct http_conn *other = list_entry(it, struct http_conn, node);

        if (same_peer(other, c))
            other->strangers += more ? 1u : -1u;
    }
}

void http_conn_trust(struct http_conn *c)
{
    if (!c->trusted)
        count_stranger(c, false);
    c->trusted = true;
}

/* Cuts a connection that waits for a request or the rest of one. If new connections had to wait
 * instead, a few slow clients could keep everybody out. Trusted connections are cut last. Of the
 * others one of the peer with the most connections is cut first. So strangers push out only
 * themselves, and a new client has time to prove its identity. */
static void make_room(struct http_server *s)
{
    struct http_conn *victim = NULL;
    unsigned most = 0;

    list_for_each (it, &s->conns) {
        struct http_conn *c = list_entry(it, struct http_conn, node);
        unsigned rank = c->trusted ? 0 : c->strangers;

        if (conn_may_go(c) && (!victim || rank > most)) {
            victim = c;
            most = rank;
        }
    }
    if (victim)
        conn_cut(victim);
}

static void peer_read(const struct sockaddr *sa, struct http_peer *ret)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;

    memset(ret, 0, sizeof(*ret));
    if (sa->sa_family == AF_INET6) {
        memcpy(ret->address, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
    } else if (sa->sa_family == AF_INET) {
        memcpy(ret->address, mapped, sizeof(mapped));
        memcpy(ret->address + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
    }
    if (memcmp(ret->address, mapped, sizeof(mapped)) == 0 && ret->address[12] == IN_LOOPBACKNET)
        memcpy(ret->address, &loopback, sizeof(loopback));
}

bool http_peer_is_loopback(const struct http_peer *p)
{
    static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;

    return memcmp(p->address, &loopback, sizeof(loopback)) == 0;
}

/* ---- the budget ------------------------------------------------------------------------------ */

size_t http_server_room(const struct http_server *s)
{
    return s->opts.max_held > 0 ? s->opts.max_held - MIN(s->held, s->opts.max_held) : SIZE_MAX / 2;
}

bool http_server_hold(struct http_server *s, size_t bytes)
{
    if (bytes > http_server_room(s))
        return false;
    s->held += bytes;
    return true;
}

void http_server_hold_anyway(struct http_server *s, size_t bytes)
{
    s->held += bytes;
}

void http_server_release(struct http_server *s, size_t bytes)
{
    assert(bytes <= s->held);
    s->held -= bytes;
}

/* ---- connections: begin and end -------------------------------------------------------------- */

void http_conn_waits(struct http_conn *c, int64_t limit_ms)
{
    list_remove(&c->node);
    list_push_back(&c->server->conns, &c->node);
    http_conn_set_deadline(c, limit_ms);
}

static void *conn_start(struct http_server *s, struct MHD_Connection *mhd)
{
    struct http_conn *c = xcalloc(1, sizeof(*c));

    c->server = s;
    c->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    peer_read(MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr,
              &c->peer);
    if (++s->conn_count > s->opts.max_connections)
        make_room(s);
    c->strangers = strangers_of(c);
    list_push_back(&s->conns, &c->node);
    count_stranger(c, true);
    conn_tune(c->fd);
    http_conn_set_deadline(c, s->opts.request_total_ms);
    return c;
}

/* Called before MHD closes the socket, so that uv forgets it while its number is still ours. */
static void conn_end(struct http_conn *c)
{
    list_remove(&c->node);
    if (!c->trusted)
        count_stranger(c, false);
    c->server->conn_count--;
    /* If there was no descriptor for a new connection, MHD has stopped to listen. It listens again
     * in the turn after a connection has closed, but does not ask for that turn. */
    http_server_kick(c->server);
    if (c->disconnect_used)
        uv_close((uv_handle_t *)&c->disconnect, on_disconnect_closed);
    else
        free(c);
}

static void on_connection(void *cls, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        *socket_context = conn_start(cls, mhd);
    else
        conn_end(*socket_context);
}

/* ---- start and stop -------------------------------------------------------------------------- */

/* Splits "host:port" or "[v6]:port" into a socket address. */
static int parse_address(const char *text, struct sockaddr_storage *ret, socklen_t *ret_len,
                         struct err *err)
{
    struct sockaddr_in *in4 = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN] = "";
    size_t port = 0, len;

    if (!colon || !http_decimal_parse(colon + 1, &port) || port > UINT16_MAX)
        return err_set(err, -EINVAL, "listen address %s: no port", text);
    len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && colon[-1] == ']' && len - 2 < sizeof(host)) {
        memcpy(host, text + 1, len - 2);
        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
        *ret_len = sizeof(*in6);
        if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1)
            return 0;
    } else if (len < sizeof(host)) {
        memcpy(host, text, len);
        *in4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        *ret_len = sizeof(*in4);
        if (inet_pton(AF_INET, host, &in4->sin_addr) == 1)
            return 0;
    }
    return err_set(err, -EINVAL, "listen address %s: not an IP address with a port", text);
}

/* The descriptor, or a negative errno value. *sa then has the port. */
static int listen_at(struct sockaddr_storage *sa, socklen_t len)
{
    static const int on = 1, off = 0, bytes = LIMIT_HTTP_SOCKET_BYTES;
    int fd = socket(sa->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)); /* connections inherit it */
    if (sa->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, (struct sockaddr *)sa, len) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)sa, &len) < 0) {
        r = -errno;
        close(fd);
        return r;
    }
    return fd;
}

/* "[::]" means everywhere, and a kernel without IPv6 has that, too. */
static bool fall_back(struct sockaddr_storage *sa, socklen_t *len, int code)
{
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
    struct sockaddr_in in4 = {.sin_family = AF_INET};

    if (sa->ss_family != AF_INET6 || !IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr) ||
        (code != -EAFNOSUPPORT && code != -EADDRNOTAVAIL))
        return false;
    in4.sin_port = in6->sin6_port;
    memcpy(sa, &in4, sizeof(in4));
    *len = sizeof(in4);
    return true;
}

static int listen_on(const char *address, int *ret_fd, int *ret_port, struct err *err)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = 0;
    int r = parse_address(address, &sa, &len, err);

    if (r < 0)
        return r;
    r = listen_at(&sa, len);
    if (r < 0 && fall_back(&sa, &len, r))
        r = listen_at(&sa, len);
    if (r < 0)
        return err_errno(err, -r, "listen on %s", address);
    *ret_fd = r;
    *ret_port = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                               : ((struct sockaddr_in *)&sa)->sin_port);
    return 0;
}

static struct MHD_Daemon *start_daemon(struct http_server *s, int fd)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, http_exchange_access, s,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_POOL_BYTES, MHD_OPTION_CONNECTION_LIMIT,
        s->opts.max_connections + SPARE_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)CONNECTION_IDLE_S, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK,
        http_exchange_new, s, MHD_OPTION_NOTIFY_COMPLETED, http_exchange_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
}

/* Of these only the watching can fail. */
static int start_handles(struct http_server *s, int epoll_fd)
{
    int r = uv_poll_init(s->loop, &s->poll, epoll_fd);

    if (r < 0)
        return r;
    uv_timer_init(s->loop, &s->timer);
    uv_timer_init(s->loop, &s->deadlines);
    uv_idle_init(s->loop, &s->kick);
    s->timer.data = s->deadlines.data = s->kick.data = s->poll.data = s;
    s->handles_open = 4;
    uv_poll_start(&s->poll, UV_READABLE, on_poll);
    return 0;
}

static int start_failed(struct http_server *s, int code, const char *why, struct err *err)
{
    int r = err_set(err, code, "start the HTTP server on %s: %s", s->opts.address, why);

    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    free((char *)s->opts.address);
    free(s);
    return r;
}

int http_server_new(struct uv_loop_s *loop, const struct http_server_opts *opts,
                    struct http_server **ret, struct err *err)
{
    struct http_server *s = xcalloc(1, sizeof(*s));
    int fd = -1;
    int r = listen_on(opts->address, &fd, &s->port, err);

    if (r < 0) {
        free(s);
        return r;
    }
    s->loop = loop;
    s->opts = *opts;
    s->opts.address = xstrdup(opts->address);
    s->deadline_due_ms = INT64_MAX;
    list_init(&s->conns);
    s->daemon = start_daemon(s, fd);
    if (!s->daemon)
        return start_failed(s, -EIO, "out of file descriptors or memory", err);
    r = start_handles(s, MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    if (r < 0)
        return start_failed(s, r, uv_strerror(r), err);
    *ret = s;
    return 0;
}

int http_server_port(const struct http_server *s)
{
    return s->port;
}

/* MHD_stop_daemon() aborts the process if a connection is still suspended, and must not be called
 * from inside an MHD callback, hence from here only: the handles are closed, nothing else runs. */
static void on_handle_closed(uv_handle_t *h)
{
    struct http_server *s = h->data;

    s->handles_open--;
    if (h == (uv_handle_t *)&s->poll) {
        MHD_stop_daemon(s->daemon);
        s->daemon = NULL;
    }
    maybe_finish_close(s);
}

void http_server_close(struct http_server *s, void (*cb)(void *arg), void *arg)
{
    if (!s)
        return;
    assert(!s->closing);
    s->closing = true;
    s->close_cb = cb;
    s->close_arg = arg;
    list_for_each (it, &s->conns) {
        struct http_conn *c = list_entry(it, struct http_conn, node);

        if (c->stream)
            http_stream_gone(c->stream);
    }
    uv_close((uv_handle_t *)&s->timer, on_handle_closed);
    uv_close((uv_handle_t *)&s->deadlines, on_handle_closed);
    uv_close((uv_handle_t *)&s->kick, on_handle_closed);
    uv_close((uv_handle_t *)&s->poll, on_handle_closed);
}
