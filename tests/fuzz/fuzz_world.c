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
 * After each, every key that it concerns is planned and every action done. Nothing may end the
 * process; what is held besides the caches has its limits.
 */
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "operator/manager.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/fake_ops.h"

#define TURNS 6
#define LINES 64

static const struct {
    char letter;
    const char *plural;
} kinds[] = {{'D', "/pods?"}, {'P', "/warmpools?"}, {'S', "/sandboxes?"}, {'T', "/tasks?"}};

struct rig {
    struct fake_ops ops;
    struct policy policy;
    struct manager *m;
};

static struct signing_keys keys;
static char public_keys[256];

static void turns(struct rig *r)
{
    for (int i = 0; i < TURNS; i++)
        manager_turn(r->m);
}

static struct ops_call *watch_of(struct rig *r, const char *plural)
{
    list_for_each (it, &r->ops.calls) {
        struct ops_call *call = list_entry(it, struct ops_call, link);

        if (strstr(call->path, plural) && strstr(call->path, "watch=1"))
            return call;
    }
    return NULL;
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

/* Lists that a broken watch asks for: empty ones. */
static void answer_lists(struct rig *r)
{
    list_for_each_safe (it, &r->ops.calls) {
        struct ops_call *call = list_entry(it, struct ops_call, link);

        if (is_list(call))
            fake_answer(call, 200, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}");
    }
}

static void on_object(struct rig *r, const char *plural, bool deleted, const char *text)
{
    cleanup_free char *line =
        xasprintf("{\"type\":\"%s\",\"object\":%s}", deleted ? "DELETED" : "MODIFIED", text);
    struct ops_call *call = watch_of(r, plural);

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

static void happen(struct rig *r, const char *line)
{
    struct ops_call *call;
    int64_t ms = 1;

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
        if ((line[0] | 0x20) == (kinds[i].letter | 0x20))
            on_object(r, kinds[i].plural, line[0] != kinds[i].letter, line + 1);
    switch (line[0]) {
    case 'A':
        on_answer(r, OPS_AGENT, line + 1);
        break;
    case 'R':
        on_answer(r, OPS_API, line + 1);
        break;
    case 'E':
        call = oldest(r, OPS_AGENT, true);
        if (call)
            fake_line(&r->ops, call, line + 1);
        break;
    case 'X':
        call = oldest(r, OPS_API, false);
        if (call)
            fake_fail(call, -104, true);
        break;
    case 'W':
        for (int n = line[1] >= '0' && line[1] <= '5' ? line[1] - '0' : 0; n > 0; n--)
            ms *= 10;
        fake_advance(&r->ops, ms);
        break;
    case 'L':
        manager_set_active(r->m, false);
        turns(r);
        manager_set_active(r->m, true);
        break;
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
                                         .output_limit = 4096},
                                 .task_timeout_ms = 300000,
                                 .idle_timeout_s = 600,
                                 .keepalive_idle_timeout_s = 3600,
                                 .sandbox_wait_ms = 300000,
                                 .output_limit = 4096}};
    fake_ops_init(&r->ops);
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
    for (int i = 0; i < LINES && at; i++)
        happen(&r, strsep(&at, "\n"));
    /* What was not answered is not, then all is over. */
    fake_advance(&r.ops, 3000);
    turns(&r);
    if (size % 16 == 0)
        look(&r);
    manager_free(r.m);
    fake_ops_done(&r.ops);
    return 0;
}
