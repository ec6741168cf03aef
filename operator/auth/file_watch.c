#include "operator/auth/file_watch.h"

#include <uv.h>

struct file_watch {
    uv_fs_event_t events[FILE_WATCH_FILES];
    char *names[FILE_WATCH_FILES]; /* the files' own, without their folders */
    uv_timer_t timer;
    uint64_t first_ms; /* loop time of the first event that was not reported; 0: none */
    unsigned handles;
    void (*on_change)(void *arg);
    void *arg;
    void (*close_cb)(void *arg);
    void *close_arg;
};

static void on_timer(uv_timer_t *timer)
{
    struct file_watch *w = timer->data;

    w->first_ms = 0;
    w->on_change(w->arg);
}

/* Whether it is about one of the files. "..data" and the like: a volume of Kubernetes'. */
static bool concerns(const struct file_watch *w, const char *name)
{
    if (!name || strncmp(name, "..", 2) == 0)
        return true;
    for (size_t i = 0; i < FILE_WATCH_FILES; i++)
        if (str_eq(w->names[i], name))
            return true;
    return false;
}

static void on_event(uv_fs_event_t *h, const char *name, int events, int status)
{
    struct file_watch *w = h->data;
    uint64_t now_ms = uv_now(h->loop), age_ms;

    if (status < 0 || !concerns(w, name))
        return;
    if (!w->first_ms)
        w->first_ms = MAX(now_ms, 1);
    age_ms = MIN(now_ms - w->first_ms, FILE_WATCH_MAX_MS);
    uv_timer_start(&w->timer, on_timer, MIN(FILE_WATCH_SETTLE_MS, FILE_WATCH_MAX_MS - age_ms), 0);
}

static void add(struct file_watch *w, size_t i, const char *path)
{
    const char *slash = strrchr(path, '/');
    cleanup_free char *folder =
        slash ? xmemdup0(path, MAX((size_t)(slash - path), 1)) : xstrdup(".");

    w->names[i] = xstrdup(slash ? slash + 1 : path);
    uv_fs_event_start(&w->events[i], on_event, folder, 0);
}

struct file_watch *file_watch_new(struct uv_loop_s *loop, const char *const *paths,
                                  void (*on_change)(void *arg), void *arg)
{
    struct file_watch *w = xcalloc(1, sizeof(*w));

    w->on_change = on_change;
    w->arg = arg;
    uv_timer_init(loop, &w->timer);
    w->timer.data = w;
    for (size_t i = 0; i < FILE_WATCH_FILES; i++) {
        uv_fs_event_init(loop, &w->events[i]);
        w->events[i].data = w;
        if (paths[i])
            add(w, i, paths[i]);
    }
    w->handles = FILE_WATCH_FILES + 1;
    return w;
}

static void on_closed(uv_handle_t *h)
{
    struct file_watch *w = h->data;
    void (*cb)(void *) = w->close_cb;
    void *arg = w->close_arg;

    if (--w->handles > 0)
        return;
    for (size_t i = 0; i < FILE_WATCH_FILES; i++)
        free(w->names[i]);
    free(w);
    if (cb)
        cb(arg);
}

void file_watch_close(struct file_watch *w, void (*cb)(void *arg), void *arg)
{
    if (!w)
        return;
    w->close_cb = cb;
    w->close_arg = arg;
    uv_close((uv_handle_t *)&w->timer, on_closed);
    for (size_t i = 0; i < FILE_WATCH_FILES; i++)
        uv_close((uv_handle_t *)&w->events[i], on_closed);
}
