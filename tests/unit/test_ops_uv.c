/* The real ops against a real server in the same loop. */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io/http_server.h"
#include "operator/seam/ops_uv.h"

#include <uv.h>

#include "tests/unit/unit.h"

static uv_loop_t loop;
static struct http_server *server;
static struct ops_uv *real;
static struct ops *ops;
static char token_file[] = "/tmp/arl-token-XXXXXX";
static int closed;

struct answer {
    int done;
    int status;
    int error;
    char body[512];
    char data[64];
    char error_msg[128];
    struct ops_call *cancel;
};

static unsigned sum_of(const char *p, size_t len)
{
    unsigned sum = 0;

    for (size_t i = 0; i < len; i++)
        sum = sum * 31 + (unsigned char)p[i];
    return sum;
}

/* Tells what it got: "METHOD path?query|authorization|content-type|accept|x-one|body". */
static void on_request(struct http_exchange *x, void *arg)
{
    size_t len;
    const char *body = http_body(x, &len);
    const char *type = http_header(x, "Content-Type");
    const char *accept = http_header(x, "Accept");
    const char *auth = http_header(x, "Authorization");
    const char *one = http_header(x, "X-One");
    cleanup_free char *text =
        xasprintf("%s %s?%s|%s|%s|%s|%s|%.*s", http_method(x), http_path(x), http_query(x),
                  str_or_empty(auth), str_or_empty(type), str_or_empty(accept), str_or_empty(one),
                  (int)len, body ? body : "");
    cleanup_free char *sum = xasprintf("%zu %u", len, sum_of(body ? body : "", len));
    bool refuse = strcmp(http_path(x), "/base/refuse") == 0;

    if (strcmp(http_path(x), "/base/sum") == 0) {
        http_reply(x, 200, "text/plain", sum, strlen(sum));
        return;
    }
    http_reply(x, refuse ? 401 : 200, "text/plain", text, strlen(text));
}

static void on_closed(void *arg)
{
    closed++;
}

static void write_token(const char *token)
{
    FILE *f = fopen(token_file, "w");

    assert_non_null(f);
    fputs(token, f);
    assert_int_equal(fclose(f), 0);
}

static void *on_credentials_seen;

static void on_credentials(void *arg)
{
    on_credentials_seen = arg;
}

/* config has no server yet. */
static void begin(struct kube_config config)
{
    const struct ops_uv_opts opts = {.on_credentials = on_credentials, .arg = &loop};

    on_credentials_seen = NULL;
    config.server = xasprintf("http://127.0.0.1:%d/base", http_server_port(server));
    assert_int_equal(ops_uv_new(&loop, &config, &opts, &real, NULL), 0);
    assert_null(config.server);
    ops = ops_uv_ops(real);
}

static int setup(void **state)
{
    int fd;

    closed = 0;
    uv_loop_init(&loop);
    assert_int_equal(http_server_new(&loop,
                                     &(struct http_server_opts){.address = "127.0.0.1:0",
                                                                .max_body = 1 << 20,
                                                                .max_connections = 16,
                                                                .request_total_ms = 10000,
                                                                .on_request = on_request},
                                     &server, NULL),
                     0);
    snprintf(token_file, sizeof(token_file), "/tmp/arl-token-XXXXXX");
    fd = mkstemp(token_file);
    assert_true(fd >= 0);
    close(fd);
    begin((struct kube_config){.token = xstrdup("first"), .token_file = xstrdup(token_file)});
    return 0;
}

/* Another one instead of that of setup(). */
static void begin_again(struct kube_config config)
{
    ops_uv_close(real, on_closed, NULL);
    while (!closed)
        uv_run(&loop, UV_RUN_ONCE);
    closed = 0;
    begin(config);
}

static int teardown(void **state)
{
    ops_uv_close(real, on_closed, NULL);
    http_server_close(server, on_closed, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(closed, 2);
    assert_int_equal(uv_loop_close(&loop), 0);
    unlink(token_file);
    return 0;
}

static void on_data(void *arg, const char *data, size_t len)
{
    struct answer *a = arg;

    assert_true(len < sizeof(a->data));
    memcpy(a->data, data, len);
}

static void on_done(void *arg, const struct ops_response *resp)
{
    struct answer *a = arg;

    a->done++;
    a->status = resp->status;
    a->error = resp->error;
    snprintf(a->body, sizeof(a->body), "%s", resp->body);
    snprintf(a->error_msg, sizeof(a->error_msg), "%s", resp->error_msg);
    if (a->cancel)
        ops_cancel(ops, a->cancel);
}

static const struct ops_handler handler = {on_data, on_done};

static void run(struct answer *a)
{
    while (!a->done)
        uv_run(&loop, UV_RUN_ONCE);
}

static void test_api(void **state)
{
    struct answer a = {0};
    const char *headers[] = {"X-One: 1", NULL};

    a.cancel = ops_start(ops,
                         &(struct ops_request){.target = OPS_API,
                                               .method = "PATCH",
                                               .path = "/api/x?y=1",
                                               .content_type = "application/merge-patch+json",
                                               .headers = headers,
                                               .body = "{}",
                                               .body_len = 2,
                                               .timeout_ms = 30000},
                         &handler, &a);
    run(&a); /* cancelling itself in its on_done() does nothing */
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "PATCH /base/api/x?y=1|Bearer first|application/merge-patch+json|"
                                "application/json|1|{}");
}

static void test_agent(void **state)
{
    struct answer a = {0}, refused = {0};
    char address[32];

    snprintf(address, sizeof(address), "127.0.0.1:%d", http_server_port(server));
    ops_start(ops,
              &(struct ops_request){.target = OPS_AGENT,
                                    .address = address,
                                    .method = "PUT",
                                    .path = "/v1/tasks/u/1?after=0",
                                    .stream = true,
                                    .idle_timeout_ms = 30000},
              &handler, &a);
    run(&a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "");
    assert_string_equal(a.data, "PUT /v1/tasks/u/1?after=0|||*/*||"); /* no token for pods */
    ops_start(ops,
              &(struct ops_request){.target = OPS_AGENT,
                                    .address = "127.0.0.1:1",
                                    .method = "GET",
                                    .path = "/",
                                    .timeout_ms = 30000},
              &handler, &refused);
    run(&refused);
    assert_int_equal(refused.error, -ECONNREFUSED);
}

static void get(const char *path, struct answer *a)
{
    ops_start(ops,
              &(struct ops_request){
                  .target = OPS_API, .method = "GET", .path = path, .timeout_ms = 30000},
              &handler, a);
    run(a);
}

/* The lease is asked for last, and answered before what waits for a connection. */
static void test_lease_goes_beside_the_line(void **state)
{
    enum { WRITES = 50 };
    struct answer lease = {0}, writes[WRITES] = {{0}};

    for (size_t i = 0; i < WRITES; i++)
        ops_start(ops,
                  &(struct ops_request){.target = OPS_API,
                                        .method = "PATCH",
                                        .path = "/w",
                                        .body = "{}",
                                        .body_len = 2,
                                        .timeout_ms = 30000},
                  &handler, &writes[i]);
    get("/apis/coordination.k8s.io/v1/namespaces/n/leases/l", &lease);
    assert_int_equal(lease.status, 200);
    assert_int_equal(writes[WRITES - 1].done, 0);
}

/* Bodies that go out with the head, and piece by piece. */
static void test_bodies(void **state)
{
    static const size_t sizes[] = {1, 65536, 65537, 900000};
    static char text[900000];

    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)(i % 251);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct answer a = {0};
        char want[64];

        snprintf(want, sizeof(want), "%zu %u", sizes[i], sum_of(text, sizes[i]));
        ops_start(ops,
                  &(struct ops_request){.target = OPS_API,
                                        .method = i % 2 ? "PUT" : "PATCH",
                                        .path = "/sum",
                                        .body = text,
                                        .body_len = sizes[i],
                                        .timeout_ms = 30000},
                  &handler, &a);
        run(&a);
        assert_string_equal(a.body, want);
    }
}

static void test_token_after_401(void **state)
{
    struct answer before = {0}, refused = {0}, after = {0};

    write_token("second\n");
    get("/x", &before);
    assert_string_equal(before.body, "GET /base/x?|Bearer first||application/json||");
    get("/refuse", &refused);
    assert_int_equal(refused.status, 401);
    get("/x", &after);
    assert_string_equal(after.body, "GET /base/x?|Bearer second||application/json||");
}

static void test_cancel_and_close(void **state)
{
    struct answer a = {0}, b = {0};
    struct ops_request req = {.target = OPS_API, .method = "GET", .path = "/", .timeout_ms = 30000};
    struct ops_call *call = ops_start(ops, &req, &handler, &a);

    ops_start(ops, &req, &handler, &b); /* closing cancels this one */
    ops_cancel(ops, call);
    teardown(state);
    assert_int_equal(a.done + b.done, 0);
    setup(state);
}

/* The new token is read without a 401, whether the file is written or replaced. */
static void test_token_file_changes(void **state)
{
    cleanup_free char *other = xasprintf("%s-new", token_file);
    int64_t end_ns = ops_now(ops).mono_ns + 20 * NSEC_PER_SEC;
    struct answer a = {0};

    write_token("written\n");
    do {
        a = (struct answer){0};
        get("/x", &a);
    } while (!strstr(a.body, "Bearer written") && ops_now(ops).mono_ns < end_ns);
    assert_non_null(strstr(a.body, "Bearer written"));
    write_token("replaced\n");
    assert_int_equal(rename(token_file, other), 0);
    write_token("in between\n");
    assert_int_equal(rename(other, token_file), 0);
    do {
        a = (struct answer){0};
        get("/x", &a);
        assert_null(strstr(a.body, "in between")); /* seen when all is quiet again */
    } while (!strstr(a.body, "Bearer replaced") && ops_now(ops).mono_ns < end_ns);
    assert_non_null(strstr(a.body, "Bearer replaced"));
    assert_null(on_credentials_seen);
}

static void put(const char *folder, const char *name, const char *token)
{
    cleanup_free char *file = xasprintf("%s/%s/token", folder, name);
    cleanup_free char *sub = xasprintf("%s/%s", folder, name);
    FILE *f;

    assert_int_equal(mkdir(sub, 0700), 0);
    f = fopen(file, "w");
    assert_non_null(f);
    fputs(token, f);
    assert_int_equal(fclose(f), 0);
}

/* As the kubelet replaces what is in a volume: all of it at once, by a link. */
static void test_volume_changes(void **state)
{
    char folder[] = "/tmp/arl-volume-XXXXXX";
    cleanup_free char *path = NULL, *data = NULL, *next = NULL;
    int64_t end_ns = ops_now(ops).mono_ns + 20 * NSEC_PER_SEC;
    struct answer a = {0};

    assert_non_null(mkdtemp(folder));
    path = xasprintf("%s/token", folder);
    data = xasprintf("%s/..data", folder);
    next = xasprintf("%s/..data_tmp", folder);
    put(folder, "..1", "one");
    put(folder, "..2", "two");
    assert_int_equal(symlink("..1", data), 0);
    assert_int_equal(symlink("..data/token", path), 0);
    begin_again((struct kube_config){.token = xstrdup("one"), .token_file = xstrdup(path)});
    assert_int_equal(symlink("..2", next), 0);
    assert_int_equal(rename(next, data), 0);
    do {
        a = (struct answer){0};
        get("/x", &a);
    } while (!strstr(a.body, "Bearer two") && ops_now(ops).mono_ns < end_ns);
    assert_non_null(strstr(a.body, "Bearer two"));
    for (int i = 1; i <= 2; i++) {
        cleanup_free char *file = xasprintf("%s/..%d/token", folder, i);

        unlink(file);
        *strrchr(file, '/') = '\0';
        rmdir(file);
    }
    unlink(path);
    unlink(data);
    assert_int_equal(rmdir(folder), 0);
}

#define PEM(text) "-----BEGIN X-----\n" text "\n-----END X-----\n"

/* Whoever watches is told of a new CA. */
static void test_ca_file_changes(void **state)
{
    write_token(PEM("old"));
    begin_again(
        (struct kube_config){.ca_pem = xstrdup(PEM("old")), .ca_file = xstrdup(token_file)});
    write_token(PEM("new"));
    while (!on_credentials_seen)
        uv_run(&loop, UV_RUN_ONCE);
    assert_ptr_equal(on_credentials_seen, &loop);
}

static struct kube_config plugin_config(const char *script)
{
    struct kube_exec *e = xcalloc(1, sizeof(*e));

    e->api_version = xstrdup("client.authentication.k8s.io/v1");
    e->command = xstrdup("/bin/sh");
    e->args = xcalloc(4, sizeof(*e->args));
    e->args[0] = xstrdup("-c");
    e->args[1] = xstrdup(script);
    e->args[2] = xstrdup(token_file); /* $0 of the script */
    e->env = xcalloc(1, sizeof(*e->env));
    return (struct kube_config){.exec = e};
}

/* It gives what stands in the file, and fails if that is empty. */
#define FROM_FILE                                                                                  \
    "read t <\"$0\" || { echo no token here >&2; exit 1; }; "                                      \
    "printf '{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1\","     \
    "\"status\":{\"token\":\"%s\"}}' $t"

static void ask(const char *path, struct answer *a)
{
    ops_start(ops,
              &(struct ops_request){.target = OPS_API,
                                    .method = "GET",
                                    .path = path,
                                    .accept = "a/b, c/d",
                                    .timeout_ms = 30000},
              &handler, a);
}

static void test_plugin_first(void **state)
{
    struct answer a = {0}, b = {0}, c = {0}, gone = {0};
    struct ops_call *call;

    write_token("given\n");
    begin_again(plugin_config(FROM_FILE));
    ask("/a", &a); /* all wait for the first run */
    call = ops_start(
        ops,
        &(struct ops_request){.target = OPS_API, .method = "GET", .path = "/", .timeout_ms = 30000},
        &handler, &gone);
    ask("/b", &b);
    ops_cancel(ops, call);
    run(&a);
    run(&b);
    assert_string_equal(a.body, "GET /base/a?|Bearer given||a/b, c/d||");
    assert_string_equal(b.body, "GET /base/b?|Bearer given||a/b, c/d||");
    assert_int_equal(gone.done, 0);
    ask("/c", &c); /* and is cancelled by the end */
}

static void test_plugin_after_401(void **state)
{
    struct answer refused = {0}, after = {0};

    write_token("one\n");
    begin_again(plugin_config(FROM_FILE));
    get("/refuse", &refused);
    assert_int_equal(refused.status, 401);
    assert_non_null(strstr(refused.body, "Bearer one"));
    write_token("two\n");
    do {
        after = (struct answer){0};
        get("/x", &after);
    } while (!strstr(after.body, "Bearer two"));
}

static void test_plugin_fails(void **state)
{
    struct answer held = {0}, late = {0}, good = {0};

    begin_again(plugin_config(FROM_FILE));
    get("/x", &held);
    assert_int_equal(held.error, -EACCES);
    assert_string_equal(held.error_msg,
                        "the credential plugin /bin/sh: exit status 1: no token here ");
    ask("/x", &late); /* not from inside of the call */
    assert_int_equal(late.done, 0);
    run(&late);
    assert_int_equal(late.error, -EACCES);
    write_token("better\n");
    do {
        good = (struct answer){0};
        get("/x", &good);
    } while (good.error == -EACCES);
    assert_non_null(strstr(good.body, "Bearer better"));
}

static void test_plugin_too_many(void **state)
{
    static struct answer a[OPS_HELD_MAX + 2];
    unsigned failed = 0;

    memset(a, 0, sizeof(a));
    write_token("given\n");
    begin_again(plugin_config(FROM_FILE));
    for (size_t i = 0; i < ARRAY_SIZE(a); i++)
        ask("/x", &a[i]);
    for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
        run(&a[i]);
        failed += a[i].error == -EAGAIN;
        assert_true(a[i].error == -EAGAIN || a[i].status == 200);
    }
    assert_int_equal(failed, 2);
}

struct alarm {
    struct ops_timer *timer;
    int64_t due_ns;
    int fired;
};

static void on_alarm(void *arg)
{
    struct alarm *al = arg;

    assert_true(ops_now(ops).mono_ns >= al->due_ns); /* never early */
    al->fired++;
    uv_stop(&loop); /* or the rest of this turn waits for something else */
}

static void test_timers(void **state)
{
    struct alarm al[2] = {0};

    for (int i = 0; i < 2; i++)
        al[i].timer = ops->v->timer_new(ops, on_alarm, &al[i]);
    al[0].due_ns = ops_now(ops).mono_ns + 3500000;
    ops->v->timer_set(ops, al[0].timer, al[0].due_ns + NSEC_PER_SEC * 3600);
    ops->v->timer_set(ops, al[0].timer, al[0].due_ns); /* replaces the hour */
    ops->v->timer_set(ops, al[1].timer, 1);            /* long past: at once, but from the loop */
    ops->v->timer_set(ops, al[1].timer, 0);            /* not at all */
    assert_int_equal(al[0].fired + al[1].fired, 0);
    while (!al[0].fired)
        uv_run(&loop, UV_RUN_ONCE);
    assert_int_equal(al[0].fired, 1);
    assert_int_equal(al[1].fired, 0);
    ops->v->timer_set(ops, al[1].timer, 1);
    assert_int_equal(al[1].fired, 0);
    while (!al[1].fired)
        uv_run(&loop, UV_RUN_ONCE);
    for (int i = 0; i < 2; i++)
        ops->v->timer_free(ops, al[i].timer);
}

static void test_random(void **state)
{
    unsigned char a[32] = {0}, b[32] = {0};

    ops_random(ops, a, sizeof(a));
    ops_random(ops, b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_api),
        TEST(test_agent),
        TEST(test_lease_goes_beside_the_line),
        TEST(test_bodies),
        TEST(test_token_after_401),
        TEST(test_token_file_changes),
        TEST(test_volume_changes),
        TEST(test_ca_file_changes),
        TEST(test_plugin_first),
        TEST(test_plugin_after_401),
        TEST(test_plugin_fails),
        TEST(test_plugin_too_many),
        TEST(test_cancel_and_close),
        TEST(test_timers),
        TEST(test_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
