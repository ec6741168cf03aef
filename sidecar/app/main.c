/* arl-sidecar: flags, environment, and the loop. */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/flags.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/wire/task_proto.h"
#include "sidecar/app/install.h"
#include "sidecar/app/server.h"
#include "sidecar/attempt/attempt_table.h"
#include "sidecar/auth/auth.h"
#include "sidecar/auth/sealed.h"
#include "sidecar/disk/journal.h"
#include "sidecar/disk/spool.h"
#include "sidecar/follow/follow.h"
#include "sidecar/follow/tail.h"
#include "sidecar/runner/outside.h"
#include "version.h"

#define REFUSED 126 /* as the verbs of the runner */

static const char usage[] =
    "Usage: arl-sidecar serve [FLAG...]\n"
    "       arl-sidecar cat [--state DIR] FILE...\n"
    "       arl-sidecar tail [-f] [FLAG...] TASKUID/STEP\n"
    "       arl-sidecar install --container NAME [--container NAME...] [FLAG...]\n"
    "       arl-sidecar --version | --help\n"
    "\n"
    "serve    answers the operator, and runs tasks in the containers of its pod\n"
    "install  makes the pod's key, and puts the runner into the folders of these containers\n"
    "cat      prints files that status.steps[].outputFile names\n"
    "tail     prints the output of a step so far; with -f until the step ends\n"
    "\n"
    "Environment of serve: ARL_POD_UID, ARL_PUBLIC_KEYS (keyid=base64url,...), ARL_CONTAINERS\n"
    "(NAME,..., the first one is the default), ARL_OUTPUT_LIMIT (how many bytes of each output\n"
    "stream of a step are kept).\n"
    "\n";

struct options {
    const char *listen;
    const char *dir;
    const char *state;
    const char *runner;
    const char *message;
    const char *log_level;
    const char *log_format;
    struct flag_strings containers;
    const char *stream;
    int64_t attempt;
    int64_t wait_s;
    bool framed;
};

static struct options opts = {
    .listen = AGENT_LISTEN,
    .dir = "/arl",
    .state = "/var/lib/arl",
    .runner = "/usr/bin/arl-runner",
    .message = "/dev/termination-log",
    .log_level = "info",
    .log_format = "text",
    .wait_s = FOLLOW_WAIT_S,
};

static const struct flag serve_flags[] = {
    {"listen", FLAG_STRING, &opts.listen, "ADDR:PORT", "the address that HTTP is served on"},
    {"dir", FLAG_STRING, &opts.dir, "DIR", "the folder that has a folder for each container"},
    {"state", FLAG_STRING, &opts.state, "DIR", "the folder of the journal"},
    {"log-level", FLAG_STRING, &opts.log_level, "LEVEL", "debug, info, warn or error"},
    {"log-format", FLAG_STRING, &opts.log_format, "FORMAT", "text or json"},
    {NULL, 0, NULL, NULL, NULL},
};

static const struct flag cat_flags[] = {
    {"state", FLAG_STRING, &opts.state, "DIR", "the folder of the journal"},
    {NULL, 0, NULL, NULL, NULL},
};

static const struct flag tail_flags[] = {
    {"state", FLAG_STRING, &opts.state, "DIR", "the folder of the journal"},
    {"stream", FLAG_STRING, &opts.stream, "stdout|stderr", "only this stream (default: both)"},
    {"framed", FLAG_BOOL, &opts.framed, "", "print both streams on standard output, in frames"},
    {"attempt", FLAG_INT, &opts.attempt, "N", "the attempt of the Task; 0: the latest one"},
    {"wait", FLAG_INT, &opts.wait_s, "SECONDS",
     "how long to wait for a step that has not begun, at most 600"},
    {NULL, 0, NULL, NULL, NULL},
};

static const struct flag install_flags[] = {
    {"dir", FLAG_STRING, &opts.dir, "DIR", "the folder that has a folder for each container"},
    {"container", FLAG_STRINGS, &opts.containers, "NAME", "a container that can run steps"},
    {"runner", FLAG_STRING, &opts.runner, "FILE", "the runner to copy"},
    {"state", FLAG_STRING, &opts.state, "DIR", "the folder of the journal"},
    {"termination-log", FLAG_STRING, &opts.message, "FILE",
     "the file that the public key of this pod is written to"},
    {NULL, 0, NULL, NULL, NULL},
};

struct app {
    uv_loop_t loop;
    uv_poll_t signals;
    int signal_fd; /* every signal but faults; libuv's own do not tell who sent them */
    struct auth auth;
    struct sealer *sealer;
    struct journal *journal;
    struct spool *spool;
    struct attempt_table *table;
    struct server *server;
    char *containers_text;
    const char *containers[LIMIT_CONTAINERS];
    size_t container_count;
    size_t output_limit;
    bool stopping;
};

/* ---- settings -------------------------------------------------------------------------------- */

static int read_containers(struct app *app, struct err *err)
{
    const char *text = getenv("ARL_CONTAINERS");
    char *p;

    if (!text || !*text)
        return err_set(err, -EINVAL, "ARL_CONTAINERS is not set");
    app->containers_text = xstrdup(text);
    for (p = app->containers_text; p;) {
        char *name = p, *comma = strchr(p, ',');

        p = comma ? comma + 1 : NULL;
        if (comma)
            *comma = '\0';
        if (!is_dns_label(name))
            return err_set(err, -EINVAL, "ARL_CONTAINERS: \"%s\" is not a container's name", name);
        if (app->container_count == LIMIT_CONTAINERS)
            return err_set(err, -EINVAL, "ARL_CONTAINERS: more than %d", LIMIT_CONTAINERS);
        app->containers[app->container_count++] = name;
    }
    return 0;
}

static int read_output_limit(struct app *app, struct err *err)
{
    const char *text = getenv("ARL_OUTPUT_LIMIT");
    unsigned long long v;
    char *end;

    app->output_limit = LIMIT_OUTPUT_BYTES_DEFAULT;
    if (!text || !*text)
        return 0;
    errno = 0;
    v = strtoull(text, &end, 10);
    if (errno || *end || v == 0 || text[0] == '-')
        return err_set(err, -EINVAL, "ARL_OUTPUT_LIMIT: \"%s\" is not a number of bytes", text);
    app->output_limit = (size_t)v;
    return 0;
}

static int set_up_log(struct err *err)
{
    enum log_format format;
    enum log_level level;

    if (log_level_parse(opts.log_level, &level) < 0)
        return err_set(err, -EINVAL, "--log-level wants debug, info, warn or error");
    if (log_format_parse(opts.log_format, &format) < 0)
        return err_set(err, -EINVAL, "--log-format wants text or json");
    log_setup(level, format);
    return 0;
}

/* ---- serve ----------------------------------------------------------------------------------- */

static void on_table_closed(void *arg)
{
    struct app *app = arg;

    uv_close((uv_handle_t *)&app->signals, NULL);
}

static void on_server_closed(void *arg)
{
    struct app *app = arg;

    attempt_table_close(app->table, on_table_closed, app);
}

static void stop(struct app *app)
{
    if (app->stopping)
        return;
    app->stopping = true;
    log_info("stopping", NULL);
    server_close(app->server, on_server_closed, app);
}

static void on_signals(uv_poll_t *h, int status, int events)
{
    struct app *app = h->data;
    struct signalfd_siginfo info;

    while (read(app->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
        if ((info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT) && is_from_outside(&info))
            stop(app);
}

/* Call it before the loop begins, so that the threads of the loop inherit the blocked signals. */
static int open_signals(struct app *app, struct err *err)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t all;
    int r;

    sigfillset(&all);
    for (size_t i = 0; i < ARRAY_SIZE(faults); i++)
        sigdelset(&all, faults[i]);
    sigprocmask(SIG_BLOCK, &all, NULL);
    app->signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
    if (app->signal_fd < 0)
        return err_errno(err, errno, "signalfd");
    r = uv_poll_init(&app->loop, &app->signals, app->signal_fd);
    if (r == 0)
        r = uv_poll_start(&app->signals, UV_READABLE, on_signals);
    app->signals.data = app;
    return r < 0 ? err_set(err, r, "signalfd: %s", uv_strerror(r)) : 0;
}

static int set_up(struct app *app, struct err *err)
{
    struct attempt_table_opts to = {.dir = opts.dir};
    struct server_opts so = {.listen = opts.listen, .auth = &app->auth};
    cleanup_free char *follow_path = NULL;

    if (set_up_log(err) < 0 || read_containers(app, err) < 0 || read_output_limit(app, err) < 0)
        return -EINVAL;
    if (auth_init(&app->auth, getenv("ARL_POD_UID"), getenv("ARL_PUBLIC_KEYS"), err) < 0)
        return -EINVAL;
    if (sealer_new(opts.state, app->auth.pod_uid, &app->sealer, err) < 0)
        return -EIO;
    if (journal_open(opts.state, &app->journal, err) < 0 ||
        spool_open(opts.state, &app->spool, err) < 0)
        return -EIO;
    to.containers = so.containers = app->containers;
    to.container_count = so.container_count = app->container_count;
    to.output_limit = app->output_limit;
    to.journal = app->journal;
    to.spool = app->spool;
    to.follow_path = follow_path = xasprintf("%s/" FOLLOW_SOCKET, opts.state);
    if (attempt_table_new(&app->loop, &to, &app->table, err) < 0)
        return -EIO;
    so.table = app->table;
    so.sealer = app->sealer;
    return server_new(&app->loop, &so, &app->server, err);
}

static void tear_down(struct app *app)
{
    auth_done(&app->auth);
    sealer_free(app->sealer);
    journal_free(app->journal);
    spool_free(app->spool);
    free(app->containers_text);
}

static int serve(void)
{
    static struct app the_app; /* static, so that nothing counts as leaked if the start fails */
    struct app *app = &the_app;
    struct err err;
    char port[16];
    int r = uv_loop_init(&app->loop);

    if (r < 0)
        err_set(&err, r, "event loop: %s", uv_strerror(r));
    if (r < 0 || open_signals(app, &err) < 0 || set_up(app, &err) < 0) {
        log_error("can not start", "why", err.msg, NULL);
        return 1;
    }
    snprintf(port, sizeof(port), "%d", server_port(app->server));
    log_info("serving", "version", ARL_COMMIT, "port", port, "containers", getenv("ARL_CONTAINERS"),
             NULL);
    uv_run(&app->loop, UV_RUN_DEFAULT);
    close(app->signal_fd);
    tear_down(app);
    uv_loop_close(&app->loop);
    return 0;
}

/* ---- verbs ----------------------------------------------------------------------------------- */

static int install(void)
{
    struct err err;

    if (opts.containers.count == 0) {
        fputs("arl-sidecar: install wants --container NAME\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < opts.containers.count; i++) {
        const char *name = opts.containers.values[i];

        if (install_runner(opts.dir, name, opts.runner, opts.containers.count == 1, opts.state,
                           &err) < 0) {
            fprintf(stderr, "arl-sidecar: %s\n", err.msg);
            return 1;
        }
    }
    if (install_key(opts.state, opts.message, &err) < 0) {
        fprintf(stderr, "arl-sidecar: %s\n", err.msg);
        return 1;
    }
    return 0;
}

static int cat(int count, char **files)
{
    struct err err;

    for (int i = 0; i < count; i++) {
        if (spool_cat(opts.state, files[i], &err) < 0) {
            fprintf(stderr, "arl-sidecar: %s\n", err.msg);
            return 1;
        }
    }
    return 0;
}

static int take_tail_arguments(struct tail_opts *t, const char *target, struct err *err)
{
    static const struct {
        const char *name;
        unsigned streams;
    } names[] = {{"stdout", 1}, {"stderr", 2}};

    if (opts.attempt > FOLLOW_ATTEMPTS)
        return err_set(err, -EINVAL, "--attempt: at most %d", FOLLOW_ATTEMPTS);
    if (opts.wait_s > FOLLOW_WAIT_MAX_S)
        return err_set(err, -EINVAL, "--wait: at most %d seconds", FOLLOW_WAIT_MAX_S);
    t->state = opts.state;
    t->framed = opts.framed;
    t->request.attempt = (unsigned)opts.attempt;
    t->request.wait_s = (unsigned)opts.wait_s;
    t->request.streams = opts.stream ? 0 : 3;
    for (size_t i = 0; opts.stream && i < ARRAY_SIZE(names); i++)
        if (strcmp(opts.stream, names[i].name) == 0)
            t->request.streams = names[i].streams;
    if (t->request.streams == 0)
        return err_set(err, -EINVAL, "--stream wants stdout or stderr");
    return follow_target_parse(target, &t->request, err);
}

/* From argv[0], which is no flag of the tables. */
static int tail(int argc, char **argv)
{
    struct tail_opts t = {.state = NULL};
    struct err err;

    while (argc > 0 && strcmp(argv[0], "-f") == 0) {
        int rest;

        t.request.follow = true;
        if (flags_parse(tail_flags, argc, argv, &rest, &err) < 0) {
            fprintf(stderr, "arl-sidecar: %s\n", err.msg);
            return FOLLOW_ARGUMENTS;
        }
        argc -= rest;
        argv += rest;
    }
    if (argc != 1) {
        fputs("arl-sidecar: tail wants one TASKUID/STEP (see --help)\n", stderr);
        return FOLLOW_ARGUMENTS;
    }
    if (take_tail_arguments(&t, argv[0], &err) < 0) {
        fprintf(stderr, "arl-sidecar: %s\n", err.msg);
        return FOLLOW_ARGUMENTS;
    }
    return tail_run(&t);
}

static int help(void)
{
    fputs(usage, stdout);
    puts("Flags of serve:");
    flags_help(serve_flags);
    puts("\nFlags of install:");
    flags_help(install_flags);
    puts("\nFlags of tail:");
    flags_help(tail_flags);
    return 0;
}

static const struct {
    const char *name;
    const struct flag *flags;
} verbs[] = {
    {"serve", serve_flags}, {"install", install_flags}, {"cat", cat_flags}, {"tail", tail_flags}};

/* Whether this is a process that was put into the container of an agent that runs. */
static bool is_beside_an_agent(void)
{
    char name[32] = "";
    FILE *f = getpid() == 1 ? NULL : fopen("/proc/1/comm", "re");

    if (!f)
        return false;
    if (!fgets(name, sizeof(name), f))
        name[0] = '\0';
    fclose(f);
    return strcmp(name, "arl-sidecar\n") == 0;
}

static int run_verb(size_t v, int rest, int argc, char **argv)
{
    if (verbs[v].flags == cat_flags)
        return cat(argc - rest, argv + rest);
    if (verbs[v].flags == tail_flags)
        return tail(argc - rest, argv + rest);
    if (is_beside_an_agent()) {
        fprintf(stderr,
                "arl-sidecar: %s: the agent of this pod runs in this container already, as its "
                "first process\n",
                verbs[v].name);
        return REFUSED;
    }
    if (rest < argc) {
        fprintf(stderr, "arl-sidecar: %s: no argument is expected here\n", argv[rest]);
        return 2;
    }
    return verbs[v].flags == serve_flags ? serve() : install();
}

static int verb(const char *name, int argc, char **argv)
{
    struct err err;
    size_t v = 0;
    int rest;

    while (v < ARRAY_SIZE(verbs) && strcmp(name, verbs[v].name) != 0)
        v++;
    if (v == ARRAY_SIZE(verbs)) {
        fprintf(stderr, "arl-sidecar: there is no verb %s (see --help)\n", name);
        return 2;
    }
    if (argc == 2 && str_is_help(argv[1]))
        return help();
    if (flags_parse(verbs[v].flags, argc, argv, &rest, &err) < 0) {
        fprintf(stderr, "arl-sidecar: %s\n", err.msg);
        return 2;
    }
    return run_verb(v, rest, argc, argv);
}

int main(int argc, char **argv)
{
    uint64_t seed = 0;

    if (argc < 2) {
        fputs(usage, stderr);
        return 2;
    }
    if (str_is_help(argv[1]))
        return help();
    if (strcmp(argv[1], "--version") == 0) {
        puts("arl-sidecar " ARL_VERSION " (" ARL_COMMIT ")");
        return 0;
    }
    /* Small and quick to give memory back: hundreds of these run on a node. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 64 << 10);
    mallopt(M_MMAP_THRESHOLD, 64 << 10);
    signal(SIGPIPE, SIG_IGN);
    if (signature_init() < 0 || uv_random(NULL, NULL, &seed, sizeof(seed), 0, NULL) < 0) {
        fputs("arl-sidecar: no randomness\n", stderr);
        return 1;
    }
    map_seed(seed);
    return verb(argv[1], argc - 1, argv + 1);
}
