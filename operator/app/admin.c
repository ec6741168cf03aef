#include "operator/app/admin.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/limits.h"
#include "common/base/metrics.h"
#include "common/io/http_server.h"
#include "operator/app/manager.h"
#include "version.h"

#define METRICS_MAX (256u << 10)
#define CONNECTIONS 16

struct admin {
    struct http_server *server;
    struct manager *const *manager;
    void (*close_cb)(void *arg);
    void *close_arg;
};

static void text(struct http_exchange *x, int status, const char *body)
{
    http_reply(x, status, "text/plain; charset=utf-8", body, strlen(body));
}

static void healthz(struct admin *a, struct http_exchange *x)
{
    text(x, 200, "ok\n");
}

static void readyz(struct admin *a, struct http_exchange *x)
{
    if (!*a->manager)
        text(x, 503, "starting: no signing key yet\n");
    else if (!manager_synced(*a->manager))
        text(x, 503, "starting: waiting for the first lists from the API server\n");
    else
        text(x, 200, "ok\n");
}

/* proc(5), statm: the second field is the resident set, the third the shared part of it. */
static void process_metrics(struct buf *out)
{
    FILE *f = fopen("/proc/self/statm", "re");
    unsigned long long rss = 0, shared = 0;
    double page = (double)sysconf(_SC_PAGESIZE);

    if (!f)
        return;
    if (fscanf(f, "%*u %llu %llu", &rss, &shared) == 2) {
        metrics_head(out, "process_resident_memory_bytes", "gauge", "Resident memory.");
        metrics_value(out, "process_resident_memory_bytes", NULL, (double)rss * page);
        metrics_head(out, "process_private_memory_bytes", "gauge", "Resident and not shared.");
        metrics_value(out, "process_private_memory_bytes", NULL, (double)(rss - shared) * page);
    }
    fclose(f);
}

static void metrics(struct admin *a, struct http_exchange *x)
{
    cleanup_buf struct buf out = BUF_INIT(METRICS_MAX), page = BUF_INIT(METRICS_MAX);
    enum metrics_format format = metrics_format_of(http_header(x, "Accept"));

    metrics_head(&out, "arl_build_info", "gauge", "The version as labels.");
    metrics_value(&out, "arl_build_info", "version=\"" ARL_VERSION "\",commit=\"" ARL_COMMIT "\"",
                  1);
    process_metrics(&out);
    if (*a->manager)
        manager_metrics(*a->manager, &out);
    metrics_page(&out, format, &page);
    http_reply(x, 200, metrics_content_type(format), buf_str(&page), page.len);
}

static void debug_state(struct admin *a, struct http_exchange *x)
{
    cleanup_buf struct buf out = BUF_INIT(METRICS_MAX);

    const char *query = http_query(x);

    /* The page has names and messages of all tenants, so it is not for everybody in the cluster.
     * The kernel drops packets from outside that pretend to come from the loopback. */
    if (!http_from_loopback(x)) {
        text(x, 403, "/debug/state is served over the loopback only: kubectl port-forward\n");
        return;
    }
    if (!*a->manager) {
        buf_puts(&out, "{\"active\":false}");
    } else if (strncmp(query, "key=", 4) != 0) {
        manager_debug(*a->manager, &out);
    } else if (!manager_debug_key(*a->manager, query + 4, &out)) {
        text(x, 400, "a key is pool/NAMESPACE/NAME, sandbox/... or task/...\n");
        return;
    }
    buf_putc(&out, '\n');
    http_reply(x, 200, "application/json", buf_str(&out), out.len);
}

static void on_request(struct http_exchange *x, void *arg)
{
    static const struct {
        const char *path;
        void (*fn)(struct admin *a, struct http_exchange *x);
    } routes[] = {
        {"/healthz", healthz},
        {"/readyz", readyz},
        {"/metrics", metrics},
        {"/debug/state", debug_state},
    };

    if (strcmp(http_method(x), "GET") != 0 && strcmp(http_method(x), "HEAD") != 0) {
        text(x, 405, "only GET\n");
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (strcmp(http_path(x), routes[i].path) == 0) {
            routes[i].fn(arg, x);
            return;
        }
    }
    text(x, 404, "there are /healthz, /readyz, /metrics and /debug/state\n");
}

int admin_new(struct uv_loop_s *loop, const char *listen, struct manager *const *manager,
              struct admin **ret, struct err *err)
{
    struct admin *a = xcalloc(1, sizeof(*a));
    struct http_server_opts opts = {
        .address = listen,
        .max_body = 0,
        .max_connections = CONNECTIONS,
        .request_total_ms = LIMIT_HTTP_REQUEST_TOTAL_MS,
        .on_request = on_request,
        .arg = a,
    };
    int r;

    a->manager = manager;
    r = http_server_new(loop, &opts, &a->server, err);
    if (r < 0) {
        free(a);
        return r;
    }
    *ret = a;
    return 0;
}

static void on_closed(void *arg)
{
    struct admin *a = arg;
    void (*cb)(void *) = a->close_cb;
    void *cb_arg = a->close_arg;

    free(a);
    if (cb)
        cb(cb_arg);
}

void admin_close(struct admin *a, void (*cb)(void *arg), void *arg)
{
    if (!a)
        return;
    a->close_cb = cb;
    a->close_arg = arg;
    http_server_close(a->server, on_closed, a);
}
