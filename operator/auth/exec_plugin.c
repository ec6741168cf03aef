#include "operator/auth/exec_plugin.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <uv.h>

#include "common/base/buf.h"
#include "common/base/log.h"

enum { PIPE_OUT, PIPE_ERR, PIPES };

/* One run of the plugin. Lives until its handles are closed, which may be after the next has begun.
 */
struct plugin_run {
    struct exec_plugin *plugin; /* NULL: nobody wants to know any more */
    uv_process_t process;
    uv_pipe_t pipes[PIPES];
    struct buf texts[PIPES]; /* of standard error: the end */
    char chunk[4096];
    unsigned reading; /* pipes that are not at their end */
    unsigned handles;
    bool spawned; /* the process is one of them */
    bool exited;
    int64_t status;
    int signum;
    struct err killed; /* why we killed it */
};

struct exec_plugin {
    uv_loop_t *loop;
    const struct kube_config *config;
    struct exec_plugin_opts opts;
    struct exec_machine machine;
    uv_timer_t timer; /* the next run, or the limit of the one under way */
    bool is_due;      /* a run was decided on, and begins from the loop */
    struct plugin_run *run;
    struct err err;
    void (*close_cb)(void *arg);
    void *close_arg;
};

static void arm(struct exec_plugin *p);

/* ---- words ----------------------------------------------------------------------------------- */

/* As one line, without characters that a terminal would obey. */
static void flatten(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            *s = ' ';
}

static void note(struct exec_plugin *p, int level, const char *msg)
{
    if (p->opts.on_note)
        p->opts.on_note(p->opts.arg, level, msg);
}

static void note_got(struct exec_plugin *p, int64_t expires_wall_ns)
{
    char until[RFC3339_MAX] = "";
    cleanup_free char *msg = NULL;
    bool is_news = p->machine.state == EXEC_FIRST || p->machine.failures > 0;

    if (expires_wall_ns)
        rfc3339_format(until, expires_wall_ns);
    msg = xasprintf("the credential plugin %s gave a credential%s%s", p->config->exec->command,
                    *until ? ", good until " : "", until);
    note(p, is_news ? LOG_INFO : LOG_DEBUG, msg);
}

/* ---- the end of a run ------------------------------------------------------------------------ */

static void failed(struct exec_plugin *p, const struct err *why)
{
    const struct exec_event ev = {.type = EXEC_EV_FAILED};

    p->err = *why;
    err_prefix(&p->err, "the credential plugin %.160s", p->config->exec->command);
    flatten(p->err.msg);
    exec_step(&p->machine, &ev, clock_read());
    note(p, LOG_WARN, p->err.msg);
}

static void settle(struct exec_plugin *p, const char *out, size_t len, const struct err *why)
{
    struct exec_event ev = {.type = EXEC_EV_GOT};
    struct exec_credential got;
    struct err err = *why;
    int64_t wall_ns = clock_read().wall_ns;

    if (err.code ||
        exec_proto_parse(out, len, p->config->exec->api_version, wall_ns, &got, &err) < 0) {
        failed(p, &err);
    } else {
        note_got(p, got.expires_wall_ns);
        p->err = (struct err){0};
        ev.expires_wall_ns = got.expires_wall_ns;
        exec_step(&p->machine, &ev, clock_read());
        p->opts.on_credential(p->opts.arg, &got);
        exec_credential_done(&got);
    }
    arm(p);
    p->opts.on_settled(p->opts.arg);
}

static void on_run_closed(uv_handle_t *h)
{
    struct plugin_run *r = h->data;

    if (--r->handles > 0)
        return;
    for (size_t i = 0; i < PIPES; i++) {
        if (r->texts[i].data)
            explicit_bzero(r->texts[i].data, r->texts[i].len);
        buf_done(&r->texts[i]);
    }
    explicit_bzero(r->chunk, sizeof(r->chunk));
    free(r);
}

static void plugin_run_close(struct plugin_run *r)
{
    r->plugin = NULL;
    if (r->spawned)
        uv_close((uv_handle_t *)&r->process, on_run_closed);
    for (size_t i = 0; i < PIPES; i++)
        uv_close((uv_handle_t *)&r->pipes[i], on_run_closed);
}

/* Why it gave nothing, if it did not. */
static void plugin_run_verdict(struct plugin_run *r, struct err *ret)
{
    const char *said = buf_str(&r->texts[PIPE_ERR]);
    struct err what;

    if (r->killed.code)
        *ret = r->killed;
    else if (r->signum)
        err_set(ret, -EIO, "ended by signal %d", r->signum);
    else if (r->status)
        err_set(ret, -EIO, "exit status %d", (int)r->status);
    what = *ret;
    if (what.code && *said)
        err_set(ret, what.code, "%.120s: %s", what.msg, said);
}

static void plugin_run_end(struct plugin_run *r)
{
    struct exec_plugin *p = r->plugin;
    struct err err = {0};

    p->run = NULL;
    plugin_run_verdict(r, &err);
    settle(p, buf_str(&r->texts[PIPE_OUT]), r->texts[PIPE_OUT].len, &err);
    plugin_run_close(r);
}

/* Its process group is killed, too, with all that it has started and left behind. */
static void plugin_run_kill(struct plugin_run *r, const char *why)
{
    if (why && !r->killed.code)
        err_set(&r->killed, -ETIMEDOUT, "%s", why);
    if (!r->exited)
        kill(-r->process.pid, SIGKILL);
}

/* ---- a run ----------------------------------------------------------------------------------- */

static void plugin_run_settle(struct plugin_run *r)
{
    if (r->plugin && r->exited && (r->reading == 0 || r->killed.code))
        plugin_run_end(r);
}

static void on_process_exit(uv_process_t *process, int64_t status, int signum)
{
    struct plugin_run *r = process->data;

    r->exited = true;
    r->status = status;
    r->signum = signum;
    if (r->plugin && r->reading > 0 && !r->killed.code)
        arm(r->plugin);
    plugin_run_settle(r);
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *ret)
{
    struct plugin_run *r = h->data;

    *ret = uv_buf_init(r->chunk, sizeof(r->chunk));
}

/* Keeps the last bytes only. */
static void tail_append(struct buf *b, const char *data, size_t len)
{
    size_t skip = len > EXEC_STDERR_BYTES ? len - EXEC_STDERR_BYTES : 0;
    size_t room = EXEC_STDERR_BYTES - (len - skip);

    if (b->len > room)
        buf_consume(b, b->len - room);
    buf_append(b, data + skip, len - skip);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct plugin_run *r = stream->data;

    if (n < 0) {
        uv_read_stop(stream);
        r->reading--;
        plugin_run_settle(r);
    } else if (stream == (uv_stream_t *)&r->pipes[PIPE_ERR]) {
        tail_append(&r->texts[PIPE_ERR], b->base, (size_t)n);
    } else if (buf_append(&r->texts[PIPE_OUT], b->base, (size_t)n) < 0) {
        plugin_run_kill(r, "printed more than allowed and was killed");
        plugin_run_settle(r);
    }
}

/* Unless there is one of that name. */
static void env_add(char **env, size_t *count, char *variable)
{
    size_t name_len = strcspn(variable, "=") + 1;

    for (size_t i = 0; i < *count; i++)
        if (strncmp(env[i], variable, name_len) == 0)
            return;
    env[(*count)++] = variable;
}

/* The plugin's variables, of which the last of a name counts, go before ours. */
static char **make_env(const struct kube_exec *e, char *info)
{
    size_t count = 0, own = 0, all = 0;
    char **env;

    while (e->env[own])
        own++;
    while (environ[all])
        all++;
    env = xcalloc(own + all + 2, sizeof(*env));
    env_add(env, &count, info);
    while (own > 0)
        env_add(env, &count, e->env[--own]);
    for (size_t i = 0; i < all; i++)
        env_add(env, &count, environ[i]);
    return env;
}

static char **make_args(const struct kube_exec *e)
{
    size_t count = 0;
    char **args;

    while (e->args[count])
        count++;
    args = xcalloc(count + 2, sizeof(*args));
    args[0] = e->command;
    memcpy(args + 1, e->args, count * sizeof(*args));
    return args;
}

/* Real pipes: with UV_CREATE_PIPE uv_spawn() makes sockets, which a script cannot open as
 * /dev/stdout. The plugin's end goes to *ret. */
static int open_pipe(uv_pipe_t *ours, uv_file *ret)
{
    uv_file ends[2];
    int rc = uv_pipe(ends, UV_NONBLOCK_PIPE, 0);

    if (rc < 0)
        return rc;
    rc = uv_pipe_open(ours, ends[0]);
    if (rc < 0) {
        close(ends[0]);
        close(ends[1]);
        return rc;
    }
    *ret = ends[1];
    return 0;
}

static int spawn_with(struct exec_plugin *p, struct plugin_run *r, const uv_file *ends)
{
    const struct kube_exec *e = p->config->exec;
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = ends[PIPE_OUT]},
        {.flags = UV_INHERIT_FD, .data.fd = ends[PIPE_ERR]},
    };
    char *info = exec_proto_info(p->config);
    char **args = make_args(e), **env = make_env(e, info);
    uv_process_options_t options = {
        .exit_cb = on_process_exit,
        .file = e->command,
        .args = args,
        .env = env,
        .flags = UV_PROCESS_DETACHED, /* a process group, so that all of it can be killed */
        .stdio_count = ARRAY_SIZE(stdio),
        .stdio = stdio,
    };
    int rc = uv_spawn(p->loop, &r->process, &options);

    r->spawned = true; /* also if it failed */
    r->handles++;
    free(args);
    free(env);
    free(info);
    return rc;
}

static int spawn(struct exec_plugin *p, struct plugin_run *r)
{
    uv_file ends[PIPES] = {-1, -1};
    int rc = 0;

    for (size_t i = 0; i < PIPES && rc == 0; i++)
        rc = open_pipe(&r->pipes[i], &ends[i]);
    if (rc == 0)
        rc = spawn_with(p, r, ends);
    for (size_t i = 0; i < PIPES; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    return rc;
}

static struct plugin_run *plugin_run_new(struct exec_plugin *p)
{
    struct plugin_run *r = xcalloc(1, sizeof(*r));

    r->plugin = p;
    r->process.data = r;
    buf_init(&r->texts[PIPE_OUT], EXEC_OUTPUT_BYTES);
    buf_init(&r->texts[PIPE_ERR], EXEC_STDERR_BYTES);
    for (size_t i = 0; i < PIPES; i++) {
        uv_pipe_init(p->loop, &r->pipes[i], 0);
        r->pipes[i].data = r;
    }
    r->handles = PIPES;
    return r;
}

static void not_started(struct exec_plugin *p, int rc)
{
    const char *hint = p->config->exec->hint;
    struct err err;

    if (rc == UV_ENOENT)
        err_set(&err, -ENOENT, "not found%s%.256s", hint ? ": " : "", str_or_empty(hint));
    else
        err_set(&err, rc, "%s", uv_strerror(rc));
    settle(p, "", 0, &err);
}

/* As PID 1 of a container this process inherits the processes that plugins leave behind. No plugin
 * runs now, so none of them belongs to uv. */
static void reap_orphans(void)
{
    if (getpid() == 1)
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
}

static void run_start(struct exec_plugin *p)
{
    struct plugin_run *r = plugin_run_new(p);
    int rc;

    reap_orphans();
    rc = spawn(p, r);
    if (rc < 0) {
        plugin_run_close(r);
        not_started(p, rc);
        return;
    }
    p->run = r;
    r->reading = PIPES;
    for (size_t i = 0; i < PIPES; i++)
        uv_read_start((uv_stream_t *)&r->pipes[i], on_alloc, on_read);
    arm(p);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void on_timer(uv_timer_t *timer)
{
    struct exec_plugin *p = timer->data;
    const struct exec_event ev = {.type = EXEC_EV_TIMER};
    struct plugin_run *r = p->run;

    if (r && (r->exited || r->killed.code)) { /* not even SIGKILL may have ended it */
        plugin_run_end(r);
    } else if (r) {
        plugin_run_kill(r, "did not end in time and was killed");
        arm(p);
    } else if (p->is_due || exec_step(&p->machine, &ev, clock_read())) {
        p->is_due = false;
        run_start(p);
    } else {
        arm(p);
    }
}

/* For whatever comes next: the end of a run that has gone on for too long, or the next one. */
static void arm(struct exec_plugin *p)
{
    int64_t in_ms = p->opts.time_limit_ms;

    if (p->is_due) {
        in_ms = 0;
    } else if (p->run && p->run->exited) {
        in_ms = EXEC_DRAIN_MS;
    } else if (!p->run && p->machine.next_ns) {
        int64_t left_ns = MAX(p->machine.next_ns - clock_read().mono_ns, 0);

        in_ms = (left_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
    } else if (!p->run) {
        uv_timer_stop(&p->timer);
        return;
    }
    uv_update_time(p->loop);
    uv_timer_start(&p->timer, on_timer, (uint64_t)in_ms, 0);
}

/* ---- the whole ------------------------------------------------------------------------------- */

struct exec_plugin *exec_plugin_new(struct uv_loop_s *loop, const struct kube_config *config,
                                    const struct exec_plugin_opts *opts)
{
    struct exec_plugin *p = xcalloc(1, sizeof(*p));

    p->loop = loop;
    p->config = config;
    p->opts = *opts;
    if (!p->opts.time_limit_ms)
        p->opts.time_limit_ms = EXEC_TIME_LIMIT_MS;
    uv_timer_init(loop, &p->timer);
    p->timer.data = p;
    uv_timer_start(&p->timer, on_timer, 0, 0);
    return p;
}

enum exec_way exec_plugin_way(const struct exec_plugin *p)
{
    /* Not even begun: the first run is due. */
    return p->machine.state == EXEC_NONE && !p->machine.failures ? EXEC_WAIT
                                                                 : exec_way(&p->machine);
}

const char *exec_plugin_why(const struct exec_plugin *p)
{
    return p->err.msg;
}

void exec_plugin_refused(struct exec_plugin *p)
{
    const struct exec_event ev = {.type = EXEC_EV_REFUSED};

    p->is_due = exec_step(&p->machine, &ev, clock_read()) || p->is_due;
    if (!p->run)
        arm(p);
}

static void on_timer_closed(uv_handle_t *h)
{
    struct exec_plugin *p = h->data;
    void (*cb)(void *) = p->close_cb;
    void *arg = p->close_arg;

    free(p);
    if (cb)
        cb(arg);
}

void exec_plugin_close(struct exec_plugin *p, void (*cb)(void *arg), void *arg)
{
    if (!p)
        return;
    p->close_cb = cb;
    p->close_arg = arg;
    if (p->run) {
        plugin_run_kill(p->run, NULL);
        plugin_run_close(p->run);
    }
    uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}
