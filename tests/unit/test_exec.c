/* Credential plugins: when they are run, what they print, and real runs of small scripts. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "operator/auth/exec_plugin.h"

#include <uv.h>

#include "tests/unit/unit.h"

/* ---- decisions ------------------------------------------------------------------------------- */

static struct exec_machine m;
static struct now now;

/* Moves the clock and steps; every move of the state has to be an allowed one. */
static bool step(int64_t after_ms, enum exec_event_type type, int64_t lasts_ms)
{
    enum exec_state from = m.state;
    struct exec_event ev = {.type = type};
    bool run;

    now.mono_ns += after_ms * NSEC_PER_MSEC;
    now.wall_ns += after_ms * NSEC_PER_MSEC;
    if (lasts_ms)
        ev.expires_wall_ns = now.wall_ns + lasts_ms * NSEC_PER_MSEC;
    run = exec_step(&m, &ev, now);
    assert_true(from == m.state || sm_may_follow(&exec_table, from, m.state));
    return run;
}

static int64_t next_in_ms(void)
{
    return m.next_ns ? (m.next_ns - now.mono_ns) / NSEC_PER_MSEC : -1;
}

static void begin(void)
{
    m = (struct exec_machine){0};
    now = (struct now){.mono_ns = 5 * NSEC_PER_SEC, .wall_ns = 1700000000 * NSEC_PER_SEC};
    assert_true(step(0, EXEC_EV_TIMER, 0));
    assert_string_equal(sm_state_str(&exec_table, m.state), "first");
    assert_int_equal(exec_way(&m), EXEC_WAIT);
}

static void test_renewed_before_it_expires(void **state)
{
    static const struct {
        int64_t lasts_ms, renewed_ms;
    } rows[] = {{3600000, 3540000}, {300000, 240000}, {100000, 80000},
                {5000, 4000},       {500, 1000},      {0, -1}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        begin();
        assert_false(step(100, EXEC_EV_GOT, rows[i].lasts_ms));
        assert_int_equal(m.state, EXEC_HAVE);
        assert_int_equal(exec_way(&m), EXEC_SEND);
        assert_int_equal(next_in_ms(), rows[i].renewed_ms);
        if (rows[i].renewed_ms < 0) {
            assert_false(step(1000000000, EXEC_EV_TIMER, 0));
            continue;
        }
        assert_false(step(rows[i].renewed_ms - 1, EXEC_EV_TIMER, 0));
        assert_true(step(1, EXEC_EV_TIMER, 0));
        assert_int_equal(m.state, EXEC_RENEWING);
        assert_int_equal(exec_way(&m), EXEC_SEND); /* the old one is good still */
        assert_false(step(1, EXEC_EV_TIMER, 0));   /* one run at a time */
    }
}

static void test_failures_back_off(void **state)
{
    static const int64_t pauses_ms[] = {1000, 2000, 4000, 8000, 10000, 10000};

    begin();
    for (size_t i = 0; i < ARRAY_SIZE(pauses_ms); i++) {
        assert_false(step(10, EXEC_EV_FAILED, 0));
        assert_int_equal(m.state, EXEC_NONE);
        assert_int_equal(exec_way(&m), EXEC_FAIL);
        assert_int_equal(next_in_ms(), pauses_ms[i]);
        assert_true(step(pauses_ms[i], EXEC_EV_TIMER, 0));
        assert_int_equal(exec_way(&m), EXEC_WAIT);
    }
    assert_false(step(10, EXEC_EV_GOT, 10000));
    assert_true(step(8000, EXEC_EV_TIMER, 0));
    assert_false(step(10, EXEC_EV_FAILED, 0)); /* anew from 1 s, and the old one is kept */
    assert_int_equal(next_in_ms(), 1000);
    assert_int_equal(m.state, EXEC_HAVE);
    assert_int_equal(exec_way(&m), EXEC_SEND);
}

static void test_refused(void **state)
{
    begin();
    assert_false(step(0, EXEC_EV_REFUSED, 0)); /* there is no credential yet */
    step(0, EXEC_EV_GOT, 3600000);
    assert_true(step(EXEC_GOOD_MS, EXEC_EV_REFUSED, 0));
    assert_int_equal(exec_way(&m), EXEC_WAIT); /* else they would be refused as well */
    assert_false(step(0, EXEC_EV_REFUSED, 0));
    step(50, EXEC_EV_GOT, 0);
    assert_int_equal(exec_way(&m), EXEC_SEND);
    /* Each credential is refused as soon as the plugin has given it: the pauses grow. */
    for (int64_t pause_ms = 1000; pause_ms <= 8000; pause_ms = pause_ms * 2) {
        assert_false(step(1, EXEC_EV_REFUSED, 0));
        assert_false(step(1, EXEC_EV_REFUSED, 0));
        assert_int_equal(next_in_ms(), pause_ms - 2);
        assert_int_equal(exec_way(&m), EXEC_SEND);
        assert_true(step(pause_ms, EXEC_EV_TIMER, 0));
        step(0, EXEC_EV_GOT, 3600000);
    }
    assert_true(step(EXEC_GOOD_MS, EXEC_EV_REFUSED, 0));
    step(0, EXEC_EV_GOT, 0);
    step(1, EXEC_EV_REFUSED, 0);
    assert_int_equal(next_in_ms(), 999);
}

static void test_refused_while_renewing(void **state)
{
    begin();
    step(0, EXEC_EV_GOT, 10000);
    assert_true(step(8000, EXEC_EV_TIMER, 0));
    assert_false(step(1, EXEC_EV_REFUSED, 0));
    assert_int_equal(exec_way(&m), EXEC_WAIT);
    step(0, EXEC_EV_FAILED, 0);
    assert_int_equal(exec_way(&m), EXEC_SEND); /* there is nothing better */
}

/* ---- what it prints -------------------------------------------------------------------------- */

#define CREDENTIAL(status)                                                                         \
    "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" EXEC_V1 "\",\"status\":" status "}"
#define PEM "-----BEGIN X-----\\nYQ==\\n-----END X-----\\n"
#define WALL_NS (1700000000 * NSEC_PER_SEC) /* 2023-11-14T22:13:20Z */

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        const char *want; /* what it is refused for; NULL: it is taken */
    } rows[] = {
        {CREDENTIAL("{\"token\":\"t\"}"), NULL},
        {CREDENTIAL("{\"token\":\"t\",\"expirationTimestamp\":null,\"clientKeyData\":\"\"}"), NULL},
        {CREDENTIAL("{\"token\":\"t\",\"expirationTimestamp\":\"2023-11-14T22:13:21Z\"}"), NULL},
        {CREDENTIAL("{\"clientCertificateData\":\"" PEM "\",\"clientKeyData\":\"" PEM "\"}"), NULL},
        {CREDENTIAL("{\"token\":\"t\",\"expirationTimestamp\":\"2023-11-14T22:13:20Z\"}"),
         "it gave a credential that had expired at 2023-11-14T22:13:20Z"},
        {CREDENTIAL("{\"token\":\"t\",\"expirationTimestamp\":\"soon\"}"),
         "it gave an expirationTimestamp that is no time"},
        {CREDENTIAL("{}"), "it gave neither a token nor a client certificate"},
        {CREDENTIAL("7"), "it gave neither a token nor a client certificate"},
        {CREDENTIAL("{\"token\":7}"), "it gave neither a token nor a client certificate"},
        {CREDENTIAL("{\"token\":\"\"}"), "it gave neither a token nor a client certificate"},
        {CREDENTIAL("{\"clientKeyData\":\"" PEM "\"}"),
         "it gave a client certificate without a key, or a key alone"},
        {CREDENTIAL("{\"token\":\"t\",\"clientCertificateData\":\"" PEM "\"}"),
         "it gave a client certificate without a key, or a key alone"},
        {CREDENTIAL("{\"clientCertificateData\":\"x\",\"clientKeyData\":\"" PEM "\"}"),
         "it gave a client certificate or key that is no PEM text"},
        {CREDENTIAL("{\"token\":\"t\\r\\nX-Evil: 1\"}"),
         "it gave a token with characters that no token has"},
        {"{\"kind\":\"ExecCredential\",\"apiVersion\":\"" EXEC_V1BETA1
         "\",\"status\":{\"token\":\"t\"}}",
         "it speaks " EXEC_V1BETA1 ", the kubeconfig says " EXEC_V1},
        {"{\"kind\":\"ExecCredential\"}", "it speaks no apiVersion, the kubeconfig says " EXEC_V1},
        {"{\"kind\":\"Secret\"}", "what it printed is no ExecCredential"},
        {"secret {", "what it printed is not JSON"},
        {"", "what it printed is not JSON"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct exec_credential got = {0};
        struct err err = {0};
        int r = exec_proto_parse(rows[i].text, strlen(rows[i].text), EXEC_V1, WALL_NS, &got, &err);

        assert_string_equal(err.msg, str_or_empty(rows[i].want));
        assert_int_equal(r, rows[i].want ? -EINVAL : 0);
        if (!rows[i].want)
            assert_true(str_eq(got.token, "t") || (got.cert_pem && got.key_pem));
        exec_credential_done(&got);
    }
}

/* ---- real runs ------------------------------------------------------------------------------- */

static char dir[] = "/tmp/arl-exec-XXXXXX";
static uv_loop_t loop;
static struct kube_exec exec_part;
static struct kube_config config;
static struct exec_plugin *plugin;
static char *args[8], *env[8];
static int settled, got_count, closed;
static char token[256];

static char *file_of(const char *name)
{
    return xasprintf("%s/%s", dir, name);
}

static void write_file(const char *name, const char *text)
{
    cleanup_free char *path = file_of(name);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/arl-exec-XXXXXX");
    assert_non_null(mkdtemp(dir));
    uv_loop_init(&loop);
    memset(args, 0, sizeof(args));
    memset(env, 0, sizeof(env));
    exec_part = (struct kube_exec){.api_version = (char *)(uintptr_t)EXEC_V1,
                                   .command = (char *)(uintptr_t) "/bin/sh",
                                   .args = args,
                                   .env = env};
    config = (struct kube_config){.exec = &exec_part};
    settled = got_count = closed = 0;
    token[0] = '\0';
    return 0;
}

static void on_closed(void *arg)
{
    closed++;
}

static int teardown(void **state)
{
    static const char *const names[] = {"info", "count", "pid", "fail"};

    exec_plugin_close(plugin, on_closed, NULL);
    plugin = NULL;
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(closed, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cleanup_free char *path = file_of(names[i]);

        unlink(path);
    }
    assert_int_equal(rmdir(dir), 0);
    return 0;
}

static void on_credential(void *arg, struct exec_credential *c)
{
    got_count++;
    snprintf(token, sizeof(token), "%s", str_or_empty(c->token));
}

static void on_settled(void *arg)
{
    settled++;
}

static void start(const char *script, int64_t limit_ms)
{
    const struct exec_plugin_opts opts = {
        .time_limit_ms = limit_ms, .on_credential = on_credential, .on_settled = on_settled};

    args[0] = (char *)(uintptr_t) "-c";
    args[1] = (char *)(uintptr_t)script;
    args[2] = dir; /* $0 of the script */
    plugin = exec_plugin_new(&loop, &config, &opts);
    assert_int_equal(exec_plugin_way(plugin), EXEC_WAIT);
    assert_int_equal(settled, 0);
}

static void run_until(int count)
{
    while (settled < count)
        uv_run(&loop, UV_RUN_ONCE);
}

/* The plugin fails with this error, and there is no credential. */
static void fails(const char *script, int64_t limit_ms, const char *want)
{
    cleanup_free char *full = xasprintf("the credential plugin %s: %s", exec_part.command, want);

    start(script, limit_ms);
    run_until(1);
    assert_string_equal(exec_plugin_why(plugin), full);
    assert_int_equal(exec_plugin_way(plugin), EXEC_FAIL);
    assert_int_equal(got_count, 0);
}

#define PRINT(status) "cat <<E\n" CREDENTIAL(status) "\nE\n"

static void test_success(void **state)
{
    /* The script opens /dev/stderr: that works with a pipe and not with a socket. */
    start(
        "set -e; echo hello >/dev/stderr; exec 3>\"$0/info\"; echo "
        "\"$KUBERNETES_EXEC_INFO|$A|$PATH_WAS\" >&3; read x || true; " PRINT("{\"token\":\"abc\"}"),
        0);
    run_until(1);
    assert_string_equal(token, "abc");
    assert_string_equal(exec_plugin_why(plugin), "");
    assert_int_equal(exec_plugin_way(plugin), EXEC_SEND);
}

/* A variable of the plugin's own beats one of ours, and a later one beats an earlier one. */
static void test_environment(void **state)
{
    setenv("A", "ours", 1);
    setenv("B", "ours", 1);
    env[0] = (char *)(uintptr_t) "A=first";
    env[1] = (char *)(uintptr_t) "A=second";
    start("echo $A $B $(env | grep -c ^A=) >\"$0/info\"; "
          "case $KUBERNETES_EXEC_INFO in *'\"interactive\":false'*) ;; *) exit 1;; esac; "
          "printf '{\"kind\":\"ExecCredential\",\"apiVersion\":\"" EXEC_V1
          "\",\"status\":{\"token\":\"%s-%s\"}}' $A $B",
          0);
    run_until(1);
    assert_string_equal(token, "second-ours");
    unsetenv("A");
    unsetenv("B");
}

static void test_exit_status(void **state)
{
    fails("echo 'first line' >&2; printf 'no\\tway\\033[1m' >&2; exit 3", 0,
          "exit status 3: first line no way [1m");
}

static void test_long_complaint(void **state)
{
    start("i=0; while [ $i -lt 3000 ]; do echo \"line $i\"; i=$((i+1)); done >&2; exit 1", 0);
    run_until(1);
    assert_non_null(strstr(exec_plugin_why(plugin), "line 2999"));
    assert_null(strstr(exec_plugin_why(plugin), "line 2000 "));
}

static void test_not_found(void **state)
{
    exec_part.command = (char *)(uintptr_t) "no-such-plugin-anywhere";
    exec_part.hint = (char *)(uintptr_t) "install it\nfrom there";
    fails("", 0, "not found: install it from there");
}

static void test_not_executable(void **state)
{
    cleanup_free char *path = file_of("info");

    write_file("info", "");
    exec_part.command = path;
    fails("", 0, "permission denied");
}

static void test_bad_json(void **state)
{
    fails("echo secret", 0, "what it printed is not JSON");
}

static void test_killed_by_another(void **state)
{
    fails("kill -9 $$", 0, "ended by signal 9");
}

static void test_huge_output(void **state)
{
    fails("yes", 0, "printed more than allowed and was killed");
}

/* Alive, and no zombie that nobody has waited for yet. */
static bool is_alive(pid_t pid)
{
    cleanup_free char *path = xasprintf("/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    char state = 'X';

    if (!f)
        return false;
    assert_true(fscanf(f, "%*d (%*[^)]) %c", &state) == 1);
    fclose(f);
    return state != 'Z' && state != 'X';
}

/* Its children are killed with it. */
static void test_hangs(void **state)
{
    cleanup_free char *path = file_of("pid");
    int pid = 0;
    FILE *f;

    fails("trap '' TERM; sleep 1000 & echo $! >\"$0/pid\"; wait", 2000,
          "did not end in time and was killed");
    f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    fclose(f);
    for (int i = 0; is_alive(pid) && i < 5000; i++)
        usleep(1000);
    assert_false(is_alive(pid));
}

/* Something that it left behind holds its output open. */
static void test_output_held(void **state)
{
    int64_t began_ns = clock_read().mono_ns;

    start("sleep 1000 & echo $! >\"$0/pid\"; " PRINT("{\"token\":\"abc\"}"), 20000);
    run_until(1);
    assert_string_equal(token, "abc");
    assert_true(clock_read().mono_ns - began_ns < 10 * NSEC_PER_SEC);
    {
        cleanup_free char *path = file_of("pid");
        FILE *f = fopen(path, "r");
        int pid = 0;

        assert_non_null(f);
        assert_int_equal(fscanf(f, "%d", &pid), 1);
        fclose(f);
        assert_int_equal(kill(pid, SIGKILL), 0);
    }
}

#define COUNTING                                                                                   \
    "n=$(($(cat \"$0/count\" 2>/dev/null || echo 0) + 1)); echo $n >\"$0/count\"; "                \
    "[ -e \"$0/fail\" ] && exit 9; "                                                               \
    "printf '{\"kind\":\"ExecCredential\",\"apiVersion\":\"" EXEC_V1 "\",\"status\":"              \
    "{\"token\":\"t%s\",\"expirationTimestamp\":\"%s\"}}' $n $(date -ud @$(($(date +%s) + "

static void test_renewed(void **state)
{
    start(COUNTING "4)) +%FT%TZ)", 0);
    run_until(1);
    assert_string_equal(token, "t1");
    run_until(2);
    assert_string_equal(token, "t2");
}

static void test_kept_when_it_fails(void **state)
{
    start(COUNTING "4)) +%FT%TZ)", 0);
    run_until(1);
    write_file("fail", "");
    run_until(2);
    assert_string_equal(exec_plugin_why(plugin), "the credential plugin /bin/sh: exit status 9");
    assert_int_equal(exec_plugin_way(plugin), EXEC_SEND);
    assert_int_equal(got_count, 1);
}

/* The plugin is run at once, and once; requests wait for it. */
static void test_run_when_refused(void **state)
{
    int64_t began_ns;

    start(COUNTING "3600)) +%FT%TZ)", 0);
    run_until(1);
    began_ns = clock_read().mono_ns;
    exec_plugin_refused(plugin);
    exec_plugin_refused(plugin);
    run_until(2);
    assert_string_equal(token, "t2");
    assert_true(clock_read().mono_ns - began_ns >= EXEC_RETRY_MS * NSEC_PER_MSEC / 2);
}

static void test_closed_in_a_run(void **state)
{
    cleanup_free char *path = file_of("pid");

    start("echo $$ >\"$0/pid\"; exec sleep 1000", 0);
    while (access(path, F_OK) != 0)
        uv_run(&loop, UV_RUN_NOWAIT);
}

#define RUN(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_renewed_before_it_expires),
        cmocka_unit_test(test_failures_back_off),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_refused_while_renewing),
        cmocka_unit_test(test_parse),
        RUN(test_success),
        RUN(test_environment),
        RUN(test_exit_status),
        RUN(test_long_complaint),
        RUN(test_not_found),
        RUN(test_not_executable),
        RUN(test_bad_json),
        RUN(test_killed_by_another),
        RUN(test_huge_output),
        RUN(test_hangs),
        RUN(test_output_held),
        RUN(test_renewed),
        RUN(test_kept_when_it_fails),
        RUN(test_run_when_refused),
        RUN(test_closed_in_a_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
