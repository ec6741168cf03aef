/* arl-operator: flags, the loop, start and end. */
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

#include <uv.h>

#include "common/base/flags.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/wire/task_proto.h"
#include "common/base/map.h"
#include "common/wire/seal.h"
#include "operator/app/admin.h"
#include "operator/auth/config.h"
#include "operator/kube/gate.h"
#include "operator/kube/lease.h"
#include "operator/app/manager.h"
#include "operator/seam/ops_uv.h"
#include "operator/agent/signing.h"
#include "version.h"

#define DEFAULT_NAMESPACE "arl-system"
#define LEASE_NAME "arl-operator"
/* How long handles may take to close at the end of the process. Then the process ends without them.
 */
#define SHUTDOWN_MS 5000
#define MAX_STREAMS 100000
/* Descriptors beside those of streams: for the API server, for errands to agents, for the loop. */
#define OTHER_FILES 256

struct options {
    const char *kubeconfig, *context, *ns;
    const char *sidecar_image, *sidecar_image_policy;
    const char *listen;
    int64_t sidecar_port;
    const char *signing_key, *signing_secret;
    int64_t task_timeout_ms, idle_timeout_ms, keepalive_idle_timeout_ms, sandbox_wait_ms;
    size_t output_limit, run_memory;
    int64_t max_streams;
    int64_t task_ttl_ms;
    const char *log_level, *log_format;
    bool leader_elect, allow_privileged, platform_users, version, help;
    const char *identity;
};

struct program {
    struct options opt;
    struct policy policy;
    struct signing_keys keys;
    struct seal_keys seal; /* made of them */
    char public_keys[512];
    char *own_ns; /* where Secret and Lease live */
    char *instance;
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_signal_t signals[2];
    uv_timer_t shutdown;
    struct ops_uv *ops_uv;
    struct gate *gate;
    struct ops *ops; /* through the gate */
    struct admin *admin;
    struct signing_load *load;
    struct manager *manager;
    struct lease *lease;
    bool stopping;
    bool lost; /* the lease, and not begun anew yet */
    int exit_code;
};

static const struct options defaults = {
    .sidecar_image_policy = "Replace",
    .listen = "[::]:8080",
    .sidecar_port = AGENT_PORT,
    .signing_secret = "arl-signing-key",
    .task_timeout_ms = LIMIT_TASK_TIMEOUT_MS_DEFAULT,
    .idle_timeout_ms = 600 * MSEC_PER_SEC,
    .keepalive_idle_timeout_ms = 3600 * MSEC_PER_SEC,
    .sandbox_wait_ms = 300 * MSEC_PER_SEC,
    .output_limit = LIMIT_OUTPUT_BYTES_DEFAULT,
    .run_memory = LIMIT_RUN_MEMORY_BYTES,
    .max_streams = LIMIT_STREAMS,
    .log_level = "info",
    .log_format = "text",
    .leader_elect = true,
};

/* ---- flags ----------------------------------------------------------------------------------- */

static void print_help(const struct flag *flags)
{
    puts("usage: arl-operator [flags]      keeps warm pods, binds sandboxes, runs tasks\n"
         "       arl-operator keygen       prints a new signing key for "
         "--signing-key\n\nflags:");
    flags_help(flags);
}

static int parse_flags(struct options *o, int argc, char **argv, struct err *err)
{
    const struct flag flags[] = {
        {"kubeconfig", FLAG_STRING, &o->kubeconfig, "FILE",
         "the cluster and the credentials for it; without the flag: $KUBECONFIG, or the pod's "
         "service account, or ~/.kube/config"},
        {"context", FLAG_STRING, &o->context, "NAME", "the context of the kubeconfig to use"},
        {"namespace", FLAG_STRING, &o->ns, "NAME",
         "serve only this namespace (default: all namespaces); two operators with different Leases "
         "must not serve the same namespace"},
        {"sidecar-image", FLAG_STRING, &o->sidecar_image, "IMAGE",
         "the image of the sidecar in each pod (required)"},
        {"sidecar-image-policy", FLAG_STRING, &o->sidecar_image_policy, "Replace|Keep",
         "Replace: each pod gets --sidecar-image. Keep: an image that the template names goes "
         "first"},
        {"sidecar-port", FLAG_INT, &o->sidecar_port, "PORT",
         "the port on which the sidecars of new pods listen; code in a pod cannot use that port"},
        {"platform-users", FLAG_BOOL, &o->platform_users, "",
         "name no user for arl-init and the sidecar, so that the platform chooses one, as "
         "OpenShift's restricted policy does; without the flag they run as user 65532"},
        {"listen", FLAG_STRING, &o->listen, "IP:PORT",
         "the address for /healthz, /readyz, /metrics and (loopback only) /debug/state"},
        {"signing-key", FLAG_STRING, &o->signing_key, "FILE",
         "the file with the key that signs requests to pods (default: use --signing-secret)"},
        {"signing-secret", FLAG_STRING, &o->signing_secret, "NAME",
         "the Secret with that key, in the operator's own namespace; made if it does not exist"},
        {"default-task-timeout", FLAG_DURATION, &o->task_timeout_ms, "DURATION",
         "the time limit of a step whose task has no spec.timeout"},
        {"idle-timeout", FLAG_DURATION, &o->idle_timeout_ms, "DURATION",
         "how long a sandbox may be unused before it is deleted (0: for ever)"},
        {"keepalive-idle-timeout", FLAG_DURATION, &o->keepalive_idle_timeout_ms, "DURATION",
         "the same for sandboxes with spec.keepAlive: true"},
        {"sandbox-wait", FLAG_DURATION, &o->sandbox_wait_ms, "DURATION",
         "how long a sandbox waits for a ready pod and its agent before it fails"},
        {"output-limit", FLAG_SIZE, &o->output_limit, "BYTES",
         "how many bytes of each output stream of a step are kept"},
        {"run-memory", FLAG_SIZE, &o->run_memory, "BYTES",
         "memory for the output of all tasks that run, or whose result is not written yet; output "
         "beyond it is read from the pod again when its task has ended"},
        {"max-streams", FLAG_INT, &o->max_streams, "NUMBER",
         "how many tasks may have a connection to their pods at one moment; if more tasks run, "
         "they take turns of 5 seconds or more"},
        {"default-task-ttl", FLAG_DURATION, &o->task_ttl_ms, "DURATION",
         "how long a finished task without spec.ttlSecondsAfterFinished is kept (0: for ever)"},
        {"log-level", FLAG_STRING, &o->log_level, "debug|info|warn|error",
         "log lines of this level and above"},
        {"log-format", FLAG_STRING, &o->log_format, "text|json", "the format of log lines"},
        {"leader-elect", FLAG_BOOL, &o->leader_elect, "",
         "act only while holding the Lease arl-operator in the operator's own namespace"},
        {"identity", FLAG_STRING, &o->identity, "NAME",
         "the name of this process in that Lease; each process needs a name of its own. A process "
         "that starts again with its old name need not wait until the Lease expires (default: the "
         "host's name and a number)"},
        {"allow-privileged-templates", FLAG_BOOL, &o->allow_privileged, "",
         "allow pod templates with nodeName, with system-* priority classes, and with what the Pod "
         "Security Standard \"baseline\" forbids (the host's namespaces, paths and ports, "
         "privileges, capabilities, ...)"},
        {"version", FLAG_BOOL, &o->version, "", "print the version"},
        {"help", FLAG_BOOL, &o->help, "", "print this"},
        {NULL},
    };
    int rest = argc;
    int r = flags_parse(flags, argc, argv, &rest, err);

    if (r == 0 && rest < argc)
        return err_set(err, -EINVAL, "%s: arl-operator takes only flags", argv[rest]);
    if (r == 0 && o->help) {
        *o = defaults;
        print_help(flags);
        o->help = true;
    }
    return r;
}

static int check_options(const struct options *o, struct err *err)
{
    enum log_level level;
    enum log_format format;

    if (log_level_parse(o->log_level, &level) < 0)
        return err_set(err, -EINVAL, "--log-level: %s is none of debug, info, warn, error",
                       o->log_level);
    if (log_format_parse(o->log_format, &format) < 0)
        return err_set(err, -EINVAL, "--log-format: %s is neither text nor json", o->log_format);
    log_setup(level, format);
    /* A manifest whose variable is missing passes "$(NAME)", or "". Neither is a namespace, and ""
     * must not mean all namespaces. */
    if (o->ns && !is_dns_label(o->ns))
        return err_set(err, -EINVAL, "--namespace: \"%s\" is not the name of a namespace", o->ns);
    if (!o->sidecar_image || !*o->sidecar_image)
        return err_set(err, -EINVAL, "--sidecar-image is missing");
    if (strcmp(o->sidecar_image_policy, "Replace") != 0 &&
        strcmp(o->sidecar_image_policy, "Keep") != 0)
        return err_set(err, -EINVAL, "--sidecar-image-policy: %s is neither Replace nor Keep",
                       o->sidecar_image_policy);
    if (o->sidecar_port < 1024 || o->sidecar_port > UINT16_MAX)
        return err_set(err, -EINVAL, "--sidecar-port: %" PRId64 " is not a port of 1024 to 65535",
                       o->sidecar_port);
    if (o->task_timeout_ms < 1 || o->sandbox_wait_ms < 1 || o->output_limit < 1024)
        return err_set(err, -EINVAL,
                       "--default-task-timeout and --sandbox-wait must be at least 1ms, "
                       "--output-limit at least 1Ki");
    if (o->run_memory < LIMIT_RUN_MEMORY_LEAST)
        return err_set(err, -EINVAL, "--run-memory must be at least %uMi",
                       LIMIT_RUN_MEMORY_LEAST >> 20);
    if (o->max_streams < 1 || o->max_streams > MAX_STREAMS)
        return err_set(err, -EINVAL, "--max-streams: %" PRId64 " is not a number of 1 to %d",
                       o->max_streams, MAX_STREAMS);
    if (o->task_ttl_ms != 0 && o->task_ttl_ms < MSEC_PER_SEC)
        return err_set(err, -EINVAL, "--default-task-ttl must be 0 or at least 1s");
    return 0;
}

static void make_policy(struct program *p)
{
    const struct options *o = &p->opt;

    p->policy = (struct policy){
        .pod = {.sidecar_image = o->sidecar_image,
                .keep_sidecar_image = strcmp(o->sidecar_image_policy, "Keep") == 0,
                .public_keys = p->public_keys,
                .key_id = p->keys.keys[0].id,
                .sidecar_port = (int)o->sidecar_port,
                .platform_users = o->platform_users,
                .seal = &p->seal,
                .output_limit = o->output_limit,
                .allow_privileged = o->allow_privileged},
        .task_timeout_ms = o->task_timeout_ms,
        .idle_timeout_s = o->idle_timeout_ms / MSEC_PER_SEC,
        .keepalive_idle_timeout_s = o->keepalive_idle_timeout_ms / MSEC_PER_SEC,
        .sandbox_wait_ms = o->sandbox_wait_ms,
        .output_limit = o->output_limit,
        .run_memory = o->run_memory,
        .streams = (size_t)o->max_streams,
        .task_ttl_s = o->task_ttl_ms / MSEC_PER_SEC,
    };
    seal_keys_init(&p->seal, p->keys.keys, p->keys.count);
    signing_public_text(&p->keys, p->public_keys, sizeof(p->public_keys));
}

/* ---- the end --------------------------------------------------------------------------------- */

static void close_handle(uv_handle_t *h)
{
    if (!uv_is_closing(h))
        uv_close(h, NULL);
}

/* Frees everything; the loop ends when the last handle has closed. */
static void teardown(struct program *p)
{
    signing_load_cancel(p->load);
    lease_free(p->lease);
    manager_free(p->manager);
    p->load = NULL;
    p->lease = NULL;
    p->manager = NULL;
    admin_close(p->admin, NULL, NULL);
    gate_free(p->gate);
    ops_uv_close(p->ops_uv, NULL, NULL);
    close_handle((uv_handle_t *)&p->prepare);
    close_handle((uv_handle_t *)&p->signals[0]);
    close_handle((uv_handle_t *)&p->signals[1]);
    close_handle((uv_handle_t *)&p->shutdown);
}

static void on_shutdown_timer(uv_timer_t *t)
{
    struct program *p = t->data;

    teardown(p);
}

static void on_released(void *arg)
{
    struct program *p = arg;

    uv_timer_start(&p->shutdown, on_shutdown_timer, 0, 0);
}

static void stop(struct program *p, int exit_code)
{
    if (p->stopping)
        return;
    p->stopping = true;
    p->exit_code = exit_code;
    if (p->manager)
        manager_set_active(p->manager, false);
    uv_timer_start(&p->shutdown, on_shutdown_timer, SHUTDOWN_MS, 0);
    if (p->lease)
        lease_release(p->lease, on_released, p);
    else
        on_released(p);
}

static void on_signal(uv_signal_t *s, int signum)
{
    log_info("stopping", "signal", signum == SIGTERM ? "SIGTERM" : "SIGINT", NULL);
    stop(s->data, 0);
}

/* ---- running --------------------------------------------------------------------------------- */

static bool may_act(void *arg)
{
    const struct program *p = arg;

    return !p->lease || lease_leading(p->lease);
}

static void on_leading(void *arg)
{
    struct program *p = arg;

    if (!p->stopping)
        manager_set_active(p->manager, true);
}

static void on_lost(void *arg)
{
    struct program *p = arg;

    /* As after a crash, but at once: with empty caches, and in line for the lease again. */
    log_error("the lease was lost: beginning anew as a standby", NULL);
    manager_set_active(p->manager, false);
    p->lost = true;
}

static void on_lease_note(void *arg, int level, const char *msg)
{
    log_line((enum log_level)level, "lease", "note", msg, NULL);
}

static void start_manager(struct program *p)
{
    struct manager_opts opts = {.ns = p->opt.ns,
                                .instance = p->instance,
                                .policy = &p->policy,
                                .keys = &p->keys,
                                .gate = p->gate,
                                .may_act = may_act,
                                .arg = p};
    struct lease_opts lease = {.ns = p->own_ns,
                               .name = LEASE_NAME,
                               .identity = p->instance,
                               .on_leading = on_leading,
                               .on_lost = on_lost,
                               .on_note = on_lease_note,
                               .arg = p};

    make_policy(p);
    p->manager = manager_new(p->ops, &opts);
    if (p->opt.leader_elect)
        p->lease = lease_new(p->ops, &lease);
    else
        manager_set_active(p->manager, true);
}

static void restart_manager(struct program *p)
{
    p->lost = false;
    lease_free(p->lease);
    manager_free(p->manager);
    p->lease = NULL;
    p->manager = NULL;
    start_manager(p);
}

static void on_prepare(uv_prepare_t *h)
{
    struct program *p = h->data;

    if (p->lost && !p->stopping)
        restart_manager(p);
    if (p->manager && !p->stopping)
        manager_turn(p->manager);
}

static void on_keys(void *arg, const struct signing_keys *keys)
{
    struct program *p = arg;

    p->keys = *keys;
    log_info("signing key loaded", "key", p->keys.keys[0].id, NULL);
    if (!p->stopping)
        start_manager(p);
}

static void on_keys_note(void *arg, const char *msg)
{
    log_warn("no signing key yet", "why", msg, NULL);
}

static int start_keys(struct program *p, struct err *err)
{
    struct signing_load_opts opts = {.ns = p->own_ns,
                                     .name = p->opt.signing_secret,
                                     .on_loaded = on_keys,
                                     .on_note = on_keys_note,
                                     .arg = p};
    int r;

    if (!p->opt.signing_key) {
        p->load = signing_load_start(p->ops, &opts);
        return 0;
    }
    r = signing_load_file(p->opt.signing_key, &p->keys, err);
    if (r == 0)
        start_manager(p);
    return r;
}

static void on_credentials(void *arg)
{
    struct program *p = arg;

    if (p->manager)
        manager_kick(p->manager);
}

static void on_ops_note(void *arg, int level, const char *msg)
{
    log_line((enum log_level)level, "credentials", "note", msg, NULL);
}

static void on_gate_note(void *arg, int level, const char *msg)
{
    log_line((enum log_level)level, msg, NULL);
}

static void on_gate_turn(void *arg)
{
    struct program *p = arg;

    if (p->manager)
        manager_gate_turned(p->manager);
}

static int connect_cluster(struct program *p, struct err *err)
{
    struct ops_uv_opts opts = {.on_credentials = on_credentials, .on_note = on_ops_note, .arg = p};
    const struct gate_opts gate = {.on_note = on_gate_note, .on_turn = on_gate_turn, .arg = p};
    struct kube_config config = {0};
    struct kube_config_env env;
    char host[256] = "arl-operator";
    uint32_t unique = 0;
    int r;

    kube_config_env_init(&env);
    env.kubeconfig_flag = p->opt.kubeconfig;
    env.context = p->opt.context;
    r = kube_config_load(&env, &config, err);
    if (r < 0)
        return r;
    log_info("starting", "version", ARL_VERSION, "commit", ARL_COMMIT, "server", config.server,
             "namespace", p->opt.ns ? p->opt.ns : "(all)", NULL);
    p->own_ns = xstrdup(config.ns ? config.ns : DEFAULT_NAMESPACE);
    gethostname(host, sizeof(host) - 1);
    if (getrandom(&unique, sizeof(unique), 0) < 0)
        return err_errno(err, errno, "getrandom");
    p->instance =
        p->opt.identity ? xstrdup(p->opt.identity) : xasprintf("%s_%08" PRIx32, host, unique);
    r = ops_uv_new(&p->loop, &config, &opts, &p->ops_uv, err);
    if (r < 0) {
        kube_config_done(&config);
        return r;
    }
    p->gate = gate_new(ops_uv_ops(p->ops_uv), &gate);
    p->ops = gate_ops(p->gate);
    return 0;
}

static void start_handles(struct program *p)
{
    static const int signums[] = {SIGTERM, SIGINT};

    uv_prepare_init(&p->loop, &p->prepare);
    uv_prepare_start(&p->prepare, on_prepare);
    uv_timer_init(&p->loop, &p->shutdown);
    p->prepare.data = p->shutdown.data = p;
    for (size_t i = 0; i < ARRAY_SIZE(signums); i++) {
        uv_signal_init(&p->loop, &p->signals[i]);
        p->signals[i].data = p;
        uv_signal_start(&p->signals[i], on_signal, signums[i]);
    }
}

/* Each stream needs a descriptor: without one the agent could not be reached, and its tasks would
 * be given up. */
static void make_room_for_streams(struct options *o)
{
    int64_t files;
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) < 0)
        return;
    l.rlim_cur = l.rlim_max;
    setrlimit(RLIMIT_NOFILE, &l);
    getrlimit(RLIMIT_NOFILE, &l);
    files = (int64_t)MIN(l.rlim_cur, (rlim_t)INT32_MAX);
    if (files >= o->max_streams + OTHER_FILES)
        return;
    o->max_streams = MAX(files - OTHER_FILES, 1);
    log_warn("fewer streams than --max-streams says: only so many files may be open", NULL);
}

static int start(struct program *p, struct err *err)
{
    int r = connect_cluster(p, err);

    if (r == 0)
        r = admin_new(&p->loop, p->opt.listen, &p->manager, &p->admin, err);
    return r < 0 ? r : start_keys(p, err);
}

static int run(struct program *p)
{
    struct err err = {0};
    int r = uv_loop_init(&p->loop);

    if (r < 0) {
        log_error("cannot start", "error", uv_strerror(r), NULL);
        return 1;
    }
    start_handles(p);
    make_room_for_streams(&p->opt);
    if (start(p, &err) < 0) {
        log_error("cannot start", "error", err.msg, NULL);
        p->exit_code = 1;
        teardown(p);
    }
    uv_run(&p->loop, UV_RUN_DEFAULT);
    r = uv_loop_close(&p->loop);
    assert(r == 0);
    free(p->own_ns);
    free(p->instance);
    log_info("stopped", NULL);
    return p->exit_code;
}

static int keygen(void)
{
    struct signature_key key;
    char text[128];

    signature_key_generate(&key);
    signature_key_format(&key, text, sizeof(text));
    puts(text);
    return 0;
}

int main(int argc, char **argv)
{
    static struct program p;
    struct err err = {0};
    uint64_t seed = 0;

    /* One arena, given back early: the heap of one thread that is small most of the time. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_TRIM_THRESHOLD, 128 << 10);
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    signal(SIGPIPE, SIG_IGN);
    if (signature_init() < 0 || getrandom(&seed, sizeof(seed), 0) < 0) {
        fputs("arl-operator: no source of randomness\n", stderr);
        return 1;
    }
    map_seed(seed);
    if (argc == 2 && strcmp(argv[1], "keygen") == 0)
        return keygen();
    p.opt = defaults;
    if (parse_flags(&p.opt, argc, argv, &err) < 0) {
        fprintf(stderr, "arl-operator: %s\n", err.msg);
        return 2;
    }
    if (p.opt.help)
        return 0;
    if (p.opt.version) {
        puts("arl-operator " ARL_VERSION " (" ARL_COMMIT ")");
        return 0;
    }
    if (check_options(&p.opt, &err) < 0) {
        fprintf(stderr, "arl-operator: %s\n", err.msg);
        return 2;
    }
    return run(&p);
}
