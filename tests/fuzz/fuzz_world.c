/*
 * The whole operator above the seam, fed with whatever the API server, those who write objects and
 * the agents in pods might send. Each line of the input is one thing that happens; its first byte
 * says which:
 *
 *   D P S T   the watch of pods, pools, sandboxes, tasks brings this object
 *   d p s t   ... that it was deleted
 *   A         an agent answers its oldest request: status (three digits), then the body
 *   E         a line of the oldest task's stream
 *   R         the API server answers its oldest call: status, then the body
 *   X         that call gets no answer
 *   W         time passes: 10^n ms
 *   L         the lead is lost, or had again
 *
 * and those of an honest world (world_server.h), so that a short input comes to claims and ends:
 *
 *   O         the API server does what its oldest call asks for
 *   V         the watches bring what has changed by that
 *   Y         all pods run, and are ready
 *   G         an agent does what its oldest request asks for
 *   H         all of that, a few times over: what is asked for is done until nothing is
 *
 * In an object "@seal" stands for the operator's seal of that pod.
 *
 * After each, every key that it concerns is planned and every action done. Nothing may end the
 * process; what is held besides the caches has its limits.
 */
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "operator/app/manager.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/world_server.h"
#include "tests/unit/fake_ops.h"

#define TURNS 6
#define LINES 64
#define HONEST_ROUNDS 4
#define REQUESTS_MAX 40 /* then the input is over: requests take the most time */

static const char letters[WORLD_KINDS] = "DPST";

struct rig {
    struct fake_ops ops;
    struct policy policy;
    struct manager *m;
    struct world_server server;
};

static struct signing_keys keys;
static struct seal_keys seals;
static struct world_reached reached;
static char public_keys[256];

static void turns(struct rig *r)
{
    unsigned before = 0;

    /* What a turn starts may make more work at once. */
    for (int i = 0; i < TURNS && (i == 0 || before != r->ops.started); i++) {
        before = r->ops.started;
        manager_turn(r->m);
    }
}

/* Only lists and watches have a query and no body. */
static bool is_list(const struct ops_call *call)
{
    return call->target == OPS_API && strcmp(call->method, "GET") == 0 && strchr(call->path, '?') &&
           !strstr(call->path, "watch=1");
}

/* The oldest that is no watch or list: of an agent, or of the API server. */
static struct ops_call *oldest(struct rig *r, enum ops_target target, bool stream)
{
    list_for_each (it, &r->ops.calls) {
        struct ops_call *call = list_entry(it, struct ops_call, link);

        if (call->target == target && call->stream == stream && !is_list(call) &&
            !strstr(call->path, "watch=1"))
            return call;
    }
    return NULL;
}

/* Answers the lists that follow a broken watch: all are empty. */
static void answer_lists(struct rig *r)
{
    list_for_each_safe (it, &r->ops.calls) {
        struct ops_call *call = list_entry(it, struct ops_call, link);

        if (is_list(call))
            fake_answer(call, 200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}");
    }
}

static void on_object(struct rig *r, enum world_kind kind, bool deleted, const char *text)
{
    cleanup_free char *object = world_sealed(&seals.keys[0], r->ops.now.wall_ns, text);
    cleanup_free char *line =
        xasprintf("{\"type\":\"%s\",\"object\":%s}", deleted ? "DELETED" : "MODIFIED", object);
    struct ops_call *call = world_watch(&r->ops, kind);

    world_saw(&r->server, kind, deleted, object);
    if (call)
        fake_line(&r->ops, call, line);
}

static int status_of(const char *text)
{
    int n = 0;

    for (int i = 0; i < 3; i++)
        n = n * 10 + (text[i] >= '0' && text[i] <= '9' ? text[i] - '0' : 2);
    return MIN(MAX(n, 100), 599);
}

static void on_answer(struct rig *r, enum ops_target target, const char *text)
{
    struct ops_call *call = oldest(r, target, false);

    if (!call)
        call = oldest(r, target, true);
    if (call && strnlen(text, 3) == 3)
        fake_answer(call, status_of(text), text + 3);
}

static struct ops_call *oldest_of_agent(struct rig *r)
{
    struct ops_call *call = oldest(r, OPS_AGENT, false);

    return call ? call : oldest(r, OPS_AGENT, true);
}

/* The API server, the pods or an agent do what they should. */
static void on_honest(struct rig *r, char what)
{
    struct ops_call *call;

    switch (what) {
    case 'O':
        if ((call = oldest(r, OPS_API, false)))
            world_obey(&r->server, call);
        break;
    case 'V':
        world_tell(&r->server);
        break;
    case 'Y':
        world_run_pods(&r->server);
        world_tell(&r->server);
        break;
    case 'G':
        if ((call = oldest_of_agent(r)))
            world_agent(&r->server, call);
        break;
    }
    turns(r);
}

/* A write that is done leads to further ones; two that undo each other would go on for ever. So the
 * number of rounds has a limit. */
static void on_all_honest(struct rig *r)
{
    for (int i = 0; i < HONEST_ROUNDS; i++) {
        unsigned before = r->ops.started;

        for (const char *what = "OOOOVYGG"; *what; what++)
            on_honest(r, *what);
        if (r->ops.started == before)
            return;
    }
}

static void pass_time(struct rig *r, char digits)
{
    int64_t ms = 1;

    for (int n = digits >= '0' && digits <= '5' ? digits - '0' : 0; n > 0; n--)
        ms *= 10;
    fake_advance(&r->ops, ms);
}

static void stand_by(struct rig *r)
{
    manager_set_active(r->m, false);
    turns(r);
    manager_set_active(r->m, true);
}

static void happen(struct rig *r, const char *line)
{
    struct ops_call *call;

    for (size_t i = 0; i < ARRAY_SIZE(letters); i++)
        if ((line[0] | 0x20) == (letters[i] | 0x20))
            on_object(r, i, line[0] != letters[i], line + 1);
    switch (line[0]) {
    case 'A':
        on_answer(r, OPS_AGENT, line + 1);
        break;
    case 'R':
        on_answer(r, OPS_API, line + 1);
        break;
    case 'E':
        if ((call = oldest(r, OPS_AGENT, true)))
            fake_line(&r->ops, call, line + 1);
        break;
    case 'X':
        if ((call = oldest(r, OPS_API, false)))
            fake_fail(call, -104, true);
        break;
    case 'W':
        pass_time(r, line[1]);
        break;
    case 'L':
        stand_by(r);
        break;
    case 'H':
        on_all_honest(r);
        break;
    default:
        on_honest(r, line[0]);
    }
    turns(r);
    answer_lists(r);
}

static void begin(struct rig *r)
{
    struct manager_opts opts = {.instance = "fuzz", .policy = &r->policy, .keys = &keys};

    *r = (struct rig){.policy = {.pod = {.sidecar_image = "i",
                                         .public_keys = public_keys,
                                         .key_id = keys.keys[0].id,
                                         .seal = &seals,
                                         .output_limit = 4096},
                                 .task_timeout_ms = 300000,
                                 .idle_timeout_s = 600,
                                 .keepalive_idle_timeout_s = 3600,
                                 .sandbox_wait_ms = 300000,
                                 .output_limit = 4096,
                                 .check = true}};
    fake_ops_init(&r->ops);
    world_server_init(&r->server, &r->ops, &reached);
    r->m = manager_new(&r->ops.ops, &opts);
    manager_set_active(r->m, true);
    answer_lists(r);
    property(manager_synced(r->m));
}

static void begin_once(void)
{
    if (keys.count)
        return;
    property(signature_init() == 0);
    log_setup(LOG_ERROR, LOG_TEXT);
    /* The same in each run, so that a finding is found again. */
    keys.keys[0] = (struct signature_key){.id = "k"};
    keys.count = 1;
    seal_keys_init(&seals, keys.keys, keys.count);
    signing_public_text(&keys, public_keys, sizeof(public_keys));
}

static void look(struct rig *r)
{
    cleanup_buf struct buf out = BUF_INIT(1 << 20);

    manager_metrics(r->m, &out);
    buf_clear(&out);
    manager_debug(r->m, &out);
    property(out.len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_free char *text = xmemdup0(data, size);
    char *at = text;
    struct rig r;

    begin_once();
    begin(&r);
    for (int i = 0; i < LINES && at && r.ops.started < REQUESTS_MAX; i++)
        happen(&r, strsep(&at, "\n"));
    /* What was not answered by now gets no answer; then all is over. */
    fake_advance(&r.ops, 3000);
    turns(&r);
    if (size % 16 == 0)
        look(&r);
    manager_free(r.m);
    world_server_done(&r.server);
    fake_ops_done(&r.ops);
    return 0;
}

/* The corpus must still reach what the target is for. */
void fuzz_replayed(void)
{
    property(reached.created > 0 && reached.claimed > 0 && reached.ready > 0 && reached.ended > 0 &&
             reached.deleted > 0);
}
