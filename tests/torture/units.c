/*
 * Scenarios for torture: each does one thing that the programs do with the libraries, and prints
 * what came of it. tests/torture/run runs a scenario again and again; each time another of its
 * calls fails. The scenario must then print the same, or end with status 3 and an error, or end as
 * out_of_memory() ends a program.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <uv.h>

#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/map.h"
#include "common/io/http_client.h"
#include "common/io/http_server.h"
#include "common/wire/signature.h"
#include "common/wire/task_proto.h"
#include "operator/api/pod.h"
#include "operator/api/pod_build.h"
#include "operator/api/sandbox.h"
#include "operator/api/task_result.h"
#include "operator/auth/config.h"
#include "sidecar/app/install.h"
#include "sidecar/auth/agent_key.h"
#include "sidecar/disk/journal.h"
#include "sidecar/runner/hunks.h"

#define HEAD                                                                                       \
    "{\"metadata\":{\"namespace\":\"ns\",\"name\":\"x\",\"uid\":\"u\",\"resourceVersion\":\"7\"},"
#define STEPS                                                                                      \
    "[{\"name\":\"one\",\"type\":\"Command\",\"command\":[\"sh\",\"-c\",\"echo \\u00e9 | cat\"],"  \
    "\"env\":{\"A\":\"1\",\"B\":\"a longer value, so that the string is not kept inline\"}},"      \
    "{\"name\":\"two\",\"type\":\"FilePatch\",\"path\":\"a/b\",\"content\":\"hello\\n\"}]"
#define KEY "Vkdap1RjR0wChd9d:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

static int say(int r, const struct buf *b)
{
    if (r == 0)
        printf("%s\n", buf_str(b));
    return r;
}

/* ---- objects of the API server ----------------------------------------------------------------
 */

static int decode(const struct api_kind *kind, const char *text, struct meta **ret, struct err *err)
{
    cleanup_json struct json_object *obj = NULL;
    int r = json_parse(text, strlen(text), &obj, err);

    return r < 0 ? r : kind->decode(obj, ret, err);
}

static int do_pool(struct err *err)
{
    static const char text[] =
        HEAD "\"spec\":{\"replicas\":2,\"template\":{\"metadata\":{\"labels\":{\"app\":\"a\"}},"
             "\"spec\":{\"securityContext\":{\"runAsNonRoot\":true,\"runAsUser\":1000},"
             "\"containers\":[{\"name\":\"executor\",\"image\":\"a-registry.example/some/image\","
             "\"command\":[\"/bin/sh\",\"-c\"],\"args\":[\"sleep infinity\"],\"resources\":"
             "{\"limits\":{\"memory\":\"64Mi\",\"cpu\":0.5}}}]}}},\"status\":{\"readyReplicas\":1,"
             "\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\",\"reason\":\"R\"}]}}";
    static const struct pod_build_opts opts = {
        .sidecar_image = "i", .public_keys = "k=A", .key_id = "k", .output_limit = 1000};
    cleanup_buf struct buf pod = BUF_INIT(LIMIT_OBJECT_BYTES), st = BUF_INIT(LIMIT_OBJECT_BYTES);
    const struct warmpool *p;
    struct meta *m = NULL;
    int r = decode(&api_warmpool, text, &m, err);

    if (r < 0)
        return r;
    p = container_of(m, struct warmpool, meta);
    r = say(pod_build(p, "x-1", &opts, 0, &pod, err), &pod);
    if (r == 0)
        r = say(warmpool_status_patch(p, &p->status, &st), &st);
    api_warmpool.free(m);
    return r;
}

static int do_sandbox(struct err *err)
{
    static const char text[] =
        HEAD "\"spec\":{\"poolRef\":\"pool\",\"keepAlive\":true,\"maxLifetimeSeconds\":60,\"env\":["
             "{\"name\":\"A\",\"value\":\"a value of more than a few bytes\"}]},\"status\":{"
             "\"phase\":\"Ready\",\"podName\":\"p-1\",\"podIP\":\"10.0.0.1\",\"workDir\":\"/w\"}}";
    cleanup_buf struct buf b = BUF_INIT(LIMIT_OBJECT_BYTES);
    const struct sandbox *s;
    struct meta *m = NULL;
    int r = decode(&api_sandbox, text, &m, err);

    if (r < 0)
        return r;
    s = container_of(m, struct sandbox, meta);
    printf("%s %d %lld %s\n", s->pool, s->keep_alive, (long long)s->max_lifetime_s, s->env_json);
    r = say(sandbox_status_patch(s, &s->status, &b), &b);
    api_sandbox.free(m);
    return r;
}

static int do_task(struct err *err)
{
    static const char text[] =
        HEAD "\"spec\":{\"sandboxRef\":\"s\",\"timeout\":\"30s\",\"retries\":1,\"steps\":" STEPS
             "},\"status\":{\"state\":\"Running\",\"attempts\":[{\"attempt\":1,\"exitCode\":2}]}}";
    static const struct task_end end = {TASK_SUCCEEDED, "Completed", NULL};
    cleanup_buf struct buf b = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct task_result *result;
    const struct task *t;
    struct meta *m = NULL;
    int r = decode(&api_task, text, &m, err);

    if (r < 0)
        return r;
    t = container_of(m, struct task, meta);
    result = task_result_new(t->step_count);
    result->steps[0].started = result->steps[0].ended = true;
    task_result_add_output(result, 0, 1, "some output\n", 12);
    puts(t->steps_json);
    r = say(task_result_patch(t, result, &end, "a note", 1767323045000000000, &b), &b);
    task_result_free(result);
    api_task.free(m);
    return r;
}

static int do_pod(struct err *err)
{
    static const char text[] =
        HEAD "\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"executor\"}]},\"status\":{"
             "\"phase\":\"Running\",\"podIP\":\"10.0.0.1\",\"conditions\":[{\"type\":\"Ready\","
             "\"status\":\"True\",\"lastTransitionTime\":\"2026-01-02T03:04:05Z\"}]}}";
    static char name[] = "box", uid[] = "box-uid";
    static struct meta owner = {.name = name, .uid = uid};
    cleanup_buf struct buf b = BUF_INIT(LIMIT_OBJECT_BYTES);
    struct meta *m = NULL;
    int r = decode(&api_pod, text, &m, err);

    if (r < 0)
        return r;
    r = say(pod_claim_patch(container_of(m, struct pod, meta), &owner, &b), &b);
    api_pod.free(m);
    return r;
}

static int objects(struct err *err)
{
    int r = do_pool(err);

    if (r == 0)
        r = do_sandbox(err);
    if (r == 0)
        r = do_task(err);
    return r < 0 ? r : do_pod(err);
}

/* ---- kubeconfig -------------------------------------------------------------------------------
 */

static int config(struct err *err)
{
    struct kube_config_env env = {.kubeconfig_flag = getenv("TORTURE_KUBECONFIG")};
    struct kube_config c = {0};
    struct err note = {0};
    int r = kube_config_load(&env, &c, err);

    if (r < 0)
        return r;
    printf("%s %s %s %s %s\n", c.server, c.ns, c.token, c.ca_pem, str_or_empty(c.proxy));
    kube_config_refresh(&c, KUBE_CONFIG_TOKEN | KUBE_CONFIG_TLS, &note);
    /* What can not be read again stays as it was, and is told. */
    printf("%s %s\n", c.token, c.ca_pem);
    if (note.code)
        fprintf(stderr, "note: %s\n", note.msg);
    kube_config_done(&c);
    return 0;
}

/* ---- what travels between operator and sidecar ------------------------------------------------
 */

static int request(struct err *err)
{
    static const struct task_request_head head = {
        .sandbox_uid = "s",
        .task_name = "ns/t",
        .trace_id = "trace",
        .work_dir = "/w",
        .timeout_ms = 1000,
        .output_limit = 1000,
        .env_json = "[{\"name\":\"C\",\"value\":\"from the sandbox, long enough for a block\"}]"};
    cleanup_buf struct buf b = BUF_INIT(LIMIT_TASK_REQUEST_BYTES);
    struct task_request req;
    int r = task_request_encode(&head, STEPS, &b, err);

    if (r == 0)
        r = task_request_decode(b.data, b.len, &req, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < req.step_count; i++) {
        const struct task_step *s = &req.steps[i];

        printf("%s %s %zu %s %s\n", s->name, str_or_empty(s->invalid), s->argc,
               s->argc ? s->argv[s->argc - 1] : "-", str_or_empty(s->content));
        for (size_t e = 0; e < s->env_count; e++)
            printf("  %s=%s\n", s->env[e].name, s->env[e].value);
    }
    task_request_done(&req);
    return 0;
}

static int events(struct err *err)
{
    static const struct task_event ev = {
        .seq = 1, .type = TASK_EVENT_OUT, .fd = 1, .data = "a\0b\n", .data_len = 4};
    cleanup_buf struct buf line = BUF_INIT(LIMIT_EVENT_LINE_BYTES + 1);
    cleanup_buf struct buf scratch = BUF_INIT(LIMIT_EVENT_LINE_BYTES);
    struct task_event got;
    int r = task_event_encode(&ev, &line);

    if (r == 0)
        r = task_event_decode(line.data, line.len - 1, &scratch, &got, err);
    if (r == 0)
        printf("%llu %d %zu\n", (unsigned long long)got.seq, got.type, got.data_len);
    return r;
}

static int signing(struct err *err)
{
    static const struct signature_input in = {"PUT", "/v1/tasks/a/1", "",   "pod",
                                              "box", "key",           "{}", 2};
    static const unsigned char nonce[SIGNATURE_NONCE_BYTES];
    struct signature_keyring ring = {.count = 1};
    struct signature_proof proof;
    struct signature_headers h;
    struct signature_key key;
    int r = signature_key_parse(KEY, &key, err);

    if (r < 0)
        return r;
    signature_key_public(&key, &ring.keys[0]);
    r = signature_sign(&key, &in, 1, nonce, &h, err);
    if (r == 0)
        r = signature_verify_head(&ring, &in, &h, 1, &proof, err);
    if (r == 0)
        r = signature_verify_body(h.content_digest, in.body, in.body_len, err);
    if (r == 0)
        printf("%s %s\n", h.signature, proof.nonce);
    return r;
}

static int proto(struct err *err)
{
    int r = request(err);

    if (r == 0)
        r = events(err);
    return r < 0 ? r : signing(err);
}

static int patch(struct err *err)
{
    static const char old[] = "one\ntwo\nthree\n";
    static const char diff[] = "@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n three\n";
    CLEANUP(diff_done) struct diff d = {0};
    CLEANUP(hunks_text_done) struct hunks_text new = {0};
    cleanup_free char *why = NULL;

    if (diff_parse(diff, strlen(diff), &d, &why) < 0 ||
        hunks_apply(old, strlen(old), d.files, 0, &new, &why) < 0)
        return err_set(err, -EINVAL, "%s", why);
    printf("%.*s", (int)new.len, new.data);
    return 0;
}

/* ---- a request, a stream and one that is not answered, all in one loop ------------------------
 */

#define HTTP_LIMIT_MS 5000

static struct {
    uv_loop_t loop;
    uv_timer_t limit;
    struct http_server *server;
    struct http_client *client;
    char url[64], large[100000];
    size_t at; /* which request */
    size_t streamed;
    char said[256]; /* the answers; printed at the end, when all is known */
    struct err err;
} h;

static void next_request(void);

static void finish(int code, const char *msg)
{
    if (code < 0 && h.err.code == 0)
        err_set(&h.err, code, "%s", msg);
    uv_close((uv_handle_t *)&h.limit, NULL);
    http_client_close(h.client, NULL, NULL);
    http_server_close(h.server, NULL, NULL);
}

static void on_limit(uv_timer_t *t)
{
    finish(-ETIMEDOUT, "HANG: a request was not answered within its limit");
}

static void on_request(struct http_exchange *x, void *arg)
{
    struct http_stream_opts opts = {.status = 200, .max_queue = sizeof(h.large) + 1};
    struct http_stream *s;
    size_t len;
    const char *body = http_body(x, &len);

    if (strcmp(http_path(x), "/stream") != 0) {
        http_reply(x, 200, "text/plain", body, len);
        return;
    }
    s = http_reply_stream(x, &opts);
    if (s) {
        http_stream_write(s, h.large, sizeof(h.large));
        http_stream_end(s);
    }
}

static void on_data(void *arg, const char *data, size_t len)
{
    h.streamed += len;
}

static void on_done(void *arg, const struct http_response *r)
{
    size_t n = strlen(h.said);

    if (r->error || r->status != 200) {
        finish(r->error ? r->error : -EPROTO, r->error ? r->error_msg : "not 200");
        return;
    }
    snprintf(h.said + n, sizeof(h.said) - n, "%d %zu %zu\n", r->status, r->body_len, h.streamed);
    next_request();
}

static void next_request(void)
{
    static const struct http_handler handler = {on_data, on_done, NULL};
    static const char *const headers[] = {"X-A: b", "Content-Type: application/json", NULL};
    struct http_request req = {.method = "PUT",
                               .url = h.url,
                               .headers = headers,
                               .body = h.large,
                               .body_len = h.at == 1 ? sizeof(h.large) : 5,
                               .stream = h.at == 2,
                               .own_connection = h.at == 2,
                               .timeout_ms = 2000,
                               .idle_timeout_ms = 2000,
                               .max_response = 1 << 20};

    snprintf(h.url, sizeof(h.url), "http://127.0.0.1:%d/%s", http_server_port(h.server),
             h.at == 2 ? "stream" : "echo");
    if (h.at++ == 3)
        finish(0, NULL);
    else
        http_client_start(h.client, &req, &handler, NULL);
}

static int http(struct err *err)
{
    const struct http_server_opts opts = {.address = "127.0.0.1:0",
                                          .max_body = 1 << 20,
                                          .max_connections = 10,
                                          .request_total_ms = 2000,
                                          .on_request = on_request};
    int r = uv_loop_init(&h.loop);

    if (r < 0)
        return err_set(err, r, "%s", uv_strerror(r));
    uv_timer_init(&h.loop, &h.limit);
    uv_timer_start(&h.limit, on_limit, HTTP_LIMIT_MS, 0);
    r = http_server_new(&h.loop, &opts, &h.server, err);
    if (r == 0)
        r = http_client_new(&h.loop, NULL, &h.client, err);
    if (r == 0) {
        next_request();
    } else {
        uv_close((uv_handle_t *)&h.limit, NULL);
        if (h.server)
            http_server_close(h.server, NULL, NULL);
    }
    uv_run(&h.loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&h.loop) < 0)
        return err_set(err, -EBUSY, "HANG: handles are left");
    if (r == 0 && h.err.code) {
        *err = h.err;
        r = h.err.code;
    }
    if (r == 0)
        printf("%s", h.said);
    return r;
}

/* ---- the journal: what was started stays started --------------------------------------------- */

#define STARTS 4

/* Makes the file so long that the next start writes it anew. */
static int fill_journal(const char *dir, struct err *err)
{
    cleanup_free char *name = xasprintf("%s/started", dir);
    cleanup_free char *text = xmalloc(JOURNAL_FILE_BYTES);
    int fd = open(name, O_RDWR | O_CLOEXEC);
    bool ok = fd >= 0 && pread(fd, text, 64, 0) == 64;

    for (size_t i = 64; i < JOURNAL_FILE_BYTES; i += 64)
        memcpy(text + i, text, 64);
    ok = ok && pwrite(fd, text, JOURNAL_FILE_BYTES, 0) == (ssize_t)JOURNAL_FILE_BYTES;
    if (fd >= 0)
        close(fd);
    return ok ? 0 : err_set(err, -EIO, "the scenario could not be prepared");
}

static void remove_folder(const char *dir)
{
    static const char *const names[] = {"started", "started.new", "sandbox", "sandbox.new",
                                        "events"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cleanup_free char *path = xasprintf("%s/%s", dir, names[i]);

        remove(path);
    }
    remove(dir);
}

/* Remembers in started[] what was reported as being on the disk; an error does not stop it. */
static int journal_try(const char *dir, unsigned from, unsigned to, bool started[STARTS],
                       struct err *err)
{
    static const unsigned char digest[JOURNAL_DIGEST_BYTES];
    struct journal *j;
    int r = journal_open(dir, &j, err);

    if (r < 0)
        return r;
    if (!journal_sandbox(j) && from > 0)
        printf("LOST: the sandbox\n");
    else if (!journal_sandbox(j))
        r = journal_set_sandbox(j, "box", err);
    for (unsigned i = 0; i < STARTS; i++) {
        struct journal_key key = journal_key_of("task", i);

        if (started[i] && !journal_find(j, &key))
            printf("LOST: task %u\n", i);
        if (r < 0 || i < from || i >= to || journal_find(j, &key))
            continue;
        if (journal_start(j, &key, digest, err) < 0)
            fprintf(stderr, "error: task %u: %s\n", i, err->msg);
        else
            started[i] = true;
    }
    journal_free(j);
    return r;
}

static int journal(struct err *err)
{
    char dir[] = "/tmp/arl-torture-journal-XXXXXX";
    bool started[STARTS] = {false};
    int r = mkdtemp(dir) ? 0 : err_errno(err, errno, "mkdtemp");

    if (r == 0)
        r = journal_try(dir, 0, 1, started, err);
    if (r == 0)
        r = fill_journal(dir, err);
    if (r == 0)
        r = journal_try(dir, 1, STARTS, started, err);
    if (r == 0)
        r = journal_try(dir, STARTS, STARTS, started, err);
    for (unsigned i = 0; r == 0 && i < STARTS; i++)
        if (!started[i])
            r = err_set(err, -EIO, "task %u was not started", i);
    remove_folder(dir);
    return r;
}

/* What init containers and sidecars of one pod see, one after the other. */
static int agent_key(struct err *err)
{
    char dir[] = "/tmp/arl-torture-key-XXXXXX";
    cleanup_free char *message = NULL;
    struct channel_pair first = {0}, pair;
    int r = mkdtemp(dir) ? 0 : err_errno(err, errno, "mkdtemp");

    if (r < 0)
        return r;
    message = xasprintf("%s/message", dir);
    for (int i = 0; i < 3; i++) {
        struct err e;
        int now = i < 2 ? install_key(dir, message, &e) : 0;

        if (now == 0)
            now = agent_key_load(dir, &pair, &e);
        if (now == 0 && i > 0 && r == 0 && memcmp(&pair, &first, sizeof(pair)) != 0)
            printf("LOST: the key\n");
        first = now == 0 ? pair : first;
        if (now < 0 && r == 0) {
            r = now;
            *err = e;
        }
    }
    if (r == 0)
        printf("one key\n");
    remove_folder(dir);
    return r;
}

static const struct {
    const char *name;
    int (*run)(struct err *err);
} scenarios[] = {{"objects", objects}, {"config", config},   {"proto", proto},  {"patch", patch},
                 {"http", http},       {"journal", journal}, {"key", agent_key}};

int main(int argc, char **argv)
{
    struct err err = {0};
    size_t i = 0;
    int r;

    while (i < ARRAY_SIZE(scenarios) && (argc != 2 || strcmp(argv[1], scenarios[i].name) != 0))
        i++;
    if (i == ARRAY_SIZE(scenarios) || signature_init() < 0)
        return 2;
    map_seed(1);
    r = scenarios[i].run(&err);
    if (r < 0)
        fprintf(stderr, "error: %s\n", err.msg[0] ? err.msg : strerror(-r));
    puts("done");
    return r < 0 ? 3 : 0;
}
