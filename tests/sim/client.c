/* What people do: they make and delete pools, sandboxes and tasks, and change pools. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

#include "common/base/json.h"

#define POOLS 2
#define SANDBOXES 5
#define TASKS 8

/* ---- single steps ---------------------------------------------------------------------------- */

static char *template_of(const char *image)
{
    return xasprintf("{\"spec\":{\"containers\":[{\"name\":\"executor\",\"image\":\"%s\"}]}}",
                     image);
}

static void made(struct sim *s, const struct obj *o)
{
    if (o)
        sim_note(s, "client makes %s %s as %s", api_kind_name(o->kind), o->name, o->uid);
}

void client_pool(struct sim *s, const char *name, int replicas, const char *image)
{
    cleanup_free char *template = template_of(image);
    cleanup_free char *text =
        xasprintf("{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"replicas\":%d,\"template\":%s}}",
                  name, replicas, template);

    made(s, api_create(s, SIM_POOL, text));
}

static void change(struct sim *s, enum sim_kind kind, const char *name, const char *patch)
{
    struct obj *o = api_find(s, kind, name);
    int64_t generation = 0;
    cleanup_free char *full = NULL;

    if (!o)
        return;
    json_get_int(json_get(o->j, "metadata"), "generation", &generation);
    full = xasprintf("{\"metadata\":{\"generation\":%" PRId64 "},%s}", generation + 1, patch);
    sim_note(s, "client changes %s: %s", name, patch);
    api_merge(s, o, full);
}

void client_scale(struct sim *s, const char *name, int replicas)
{
    cleanup_free char *patch = xasprintf("\"spec\":{\"replicas\":%d}", replicas);

    change(s, SIM_POOL, name, patch);
}

void client_image(struct sim *s, const char *name, const char *image)
{
    cleanup_free char *template = template_of(image);
    cleanup_free char *patch = xasprintf("\"spec\":{\"template\":%s}", template);

    change(s, SIM_POOL, name, patch);
}

void client_sandbox(struct sim *s, const char *name, const char *pool, const char *extra)
{
    cleanup_free char *text = xasprintf(
        "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"poolRef\":\"%s\"%s}}", name, pool, extra);

    made(s, api_create(s, SIM_SANDBOX, text));
}

void client_task(struct sim *s, const char *name, const char *sandbox, const char *steps,
                 const char *extra)
{
    client_large_task(s, name, sandbox, steps, extra, 0);
}

void client_large_task(struct sim *s, const char *name, const char *sandbox, const char *steps,
                       const char *extra, size_t bytes)
{
    struct buf b = BUF_INIT(2u << 20);
    cleanup_free char *much = xcalloc(bytes + 1, 1), *text = NULL;
    const char *comma = "";
    int ms, code, used;

    memset(much, 'y', bytes);
    for (int i = 0; sscanf(steps, " %d:%d%n", &ms, &code, &used) >= 2; i++, steps += used) {
        buf_printf(
            &b,
            "%s{\"name\":\"s%d\",\"type\":\"Command\",\"command\":[\"do\",\"%d\",\"%d\"%s%s%s]}",
            comma, i, ms, code, *much && i == 0 ? ",\"" : "", i == 0 ? much : "",
            *much && i == 0 ? "\"" : "");
        comma = ",";
    }
    text = xasprintf("{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"sandboxRef\":\"%s\","
                     "\"steps\":[%s]%s}}",
                     name, sandbox, buf_str(&b), extra);
    buf_done(&b);
    made(s, api_create(s, SIM_TASK, text));
}

void client_delete(struct sim *s, enum sim_kind kind, const char *name)
{
    struct obj *o = api_find(s, kind, name);

    if (!o)
        return;
    sim_note(s, "client deletes %s %s", api_kind_name(kind), name);
    api_delete(s, o);
}

/* As with --cascade=orphan: the garbage collector takes the owner reference off the pods before the
 * owner goes. */
void client_orphan(struct sim *s, enum sim_kind kind, const char *name)
{
    struct obj *owner = api_find(s, kind, name);

    if (owner)
        api_merge(s, owner, "{\"metadata\":{\"deletionTimestamp\":\"2026-01-02T03:04:05Z\"}}");
    for (size_t i = 0; owner && i < s->api.count[SIM_POD]; i++) {
        struct obj *o = s->api.objs[SIM_POD][i];
        struct json_object *refs = json_get_path(o->j, "metadata.ownerReferences");

        if (str_eq(json_get_str(json_object_array_get_idx(refs, 0), "uid"), owner->uid))
            api_merge(s, o, "{\"metadata\":{\"ownerReferences\":null}}");
    }
    client_delete(s, kind, name);
}

/* ---- by chance ------------------------------------------------------------------------------- */

static char *name_of(struct sim *s, const char *what, unsigned n)
{
    return xasprintf("%s%u", what, (unsigned)sim_below(s, n));
}

static const char *some_image(struct sim *s)
{
    static const char *const images[] = {"a", "b", "c"};

    return sim_chance(s, 60) ? "bad-image" : images[sim_below(s, ARRAY_SIZE(images))];
}

static void some_pool(struct sim *s)
{
    cleanup_free char *name = name_of(s, "pool", POOLS);
    unsigned what = (unsigned)sim_below(s, 100);

    if (!api_find(s, SIM_POOL, name))
        client_pool(s, name, (int)sim_below(s, 5), some_image(s));
    else if (what < 55)
        client_scale(s, name, (int)sim_below(s, 5));
    else if (what < 85)
        client_image(s, name, some_image(s));
    else
        client_delete(s, SIM_POOL, name);
}

static void some_sandbox(struct sim *s)
{
    cleanup_free char *name = name_of(s, "box", SANDBOXES);
    cleanup_free char *pool = name_of(s, "pool", POOLS);
    const char *extra = sim_chance(s, 100)   ? s->client_seq % 2 ? ",\"idleTimeoutSeconds\":15"
                                                                 : ",\"idleTimeoutSeconds\":60"
                        : sim_chance(s, 100) ? ",\"maxLifetimeSeconds\":40"
                                             : "";

    if (api_find(s, SIM_SANDBOX, name)) {
        if (sim_chance(s, 400))
            client_delete(s, SIM_SANDBOX, name);
        else
            return;
        if (sim_chance(s, 500)) /* else made anew at once, under the same name */
            return;
    }
    client_sandbox(s, name, pool, extra);
}

static void some_task(struct sim *s)
{
    cleanup_free char *name = name_of(s, "task", TASKS);
    cleanup_free char *box = name_of(s, "box", SANDBOXES);
    struct buf steps = BUF_INIT(1024);
    const char *extra = sim_chance(s, 250)  ? ",\"retries\":2"
                        : sim_chance(s, 50) ? ",\"ttlSecondsAfterFinished\":5"
                        : sim_chance(s, 50) ? ",\"timeout\":\"500ms\""
                        : sim_chance(s, 20) ? ",\"timeout\":\"banana\""
                                            : "";

    if (api_find(s, SIM_TASK, name)) {
        if (sim_chance(s, 500))
            client_delete(s, SIM_TASK, name);
        if (sim_chance(s, 500))
            return;
    }
    for (size_t i = 1 + sim_below(s, 3); i > 0; i--)
        buf_printf(&steps, "%u:%u ", (unsigned)sim_below(s, sim_chance(s, 100) ? 20000 : 600),
                   sim_chance(s, 120) ? 1 + (unsigned)sim_below(s, 100) : 0);
    client_task(s, name, box, buf_str(&steps), extra);
    buf_done(&steps);
}

static void some_accident(struct sim *s)
{
    int index = (int)sim_below(s, (uint64_t)s->cfg.procs);
    struct proc *p = &s->procs[index];

    if (s->cfg.crashes == 0)
        return;
    if (sim_chance(s, 300)) {
        proc_kill(s, index);
    } else if (sim_chance(s, 400)) {
        proc_release(s, index);
    } else if (p->up) {
        s->stood_still = true;
        p->paused_until_ns = s->now_ns + sim_between(s, 500, 25000) * SIM_MS;
        sim_note(s, "op%d stands still", index);
    }
}

static void on_turn(struct sim *s, struct msg *m, uint64_t a, uint64_t b)
{
    unsigned what = (unsigned)sim_below(s, 100);

    if (s->now_ns > s->cfg.chaos_ms * SIM_MS)
        return;
    if (sim_chance(s, s->cfg.nasty))
        nasty_make(s);
    else if (sim_chance(s, s->cfg.policies))
        policy_change(s);
    else if (what < 15)
        some_pool(s);
    else if (what < 50)
        some_sandbox(s);
    else if (what < 93)
        some_task(s);
    else if (what < 95)
        forged_make(s);
    else
        some_accident(s);
    sim_after_ms(s, sim_chance(s, 300) ? sim_between(s, 0, 5) : sim_between(s, 50, 2500), on_turn,
                 0, 0);
}

void client_start(struct sim *s)
{
    client_pool(s, "pool0", 1 + (int)sim_below(s, 4), "a");
    sim_after_ms(s, sim_between(s, 0, 4000), on_turn, 0, 0);
}
