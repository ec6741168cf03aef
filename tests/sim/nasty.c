/*
 * Objects that a tenant may write and nobody needs: their names, references, times and statuses
 * make no sense. Such a pod counts as a forged one; the oracles pass over the other kinds. No
 * operator may die of these objects, and the objects of others may not suffer. They are removed
 * when it gets quiet.
 */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "common/base/buf.h"
#include "common/base/json.h"

#define NASTY "nasty"
#define LONG_NAME 600

/* In a text: @L a long name, @P the newest pool's UID, @S the newest sandbox's, @Q its pool's name,
 * @K a pod's UID. */
static const struct {
    enum sim_kind kind;
    const char *text;
    const char *status;
} things[] = {
    {SIM_POD,
     "\"labels\":{\"arl.infra.io/"
     "pool\":\"@Q\"},\"ownerReferences\":[{\"kind\":\"Sandbox\",\"name\":"
     "\"@L\",\"uid\":\"@S\",\"controller\":true}]},\"spec\":{}",
     NULL},
    {SIM_POD,
     "\"labels\":{\"arl.infra.io/pool\":\"@L\",\"arl.infra.io/"
     "sandbox\":\"@L\"},\"ownerReferences\":"
     "[{\"kind\":\"WarmPool\",\"name\":\"../x\",\"uid\":\"@P\",\"controller\":true}]},\"spec\":{}",
     NULL},
    {SIM_POD,
     "\"labels\":{\"arl.infra.io/pool\":\"@Q\",\"arl.infra.io/sandbox\":\"a/b\"},\"annotations\":{"
     "\"arl.infra.io/template-hash\":\"@L\",\"arl.infra.io/"
     "seal\":\"@L\"}},\"spec\":{\"containers\":"
     "7}",
     "{\"phase\":\"@L\",\"podIP\":\"10.0.0.1@evil\",\"conditions\":{},\"containerStatuses\":[[]]}"},
    {SIM_SANDBOX, "\"labels\":{}},\"spec\":{\"poolRef\":\"@L\",\"env\":\"x\"}",
     "{\"phase\":\"Ready\",\"podUID\":\"@K\"}"},
    {SIM_SANDBOX, "\"labels\":{}},\"spec\":{\"poolRef\":\"../@Q\",\"idleTimeoutSeconds\":-5}",
     "{\"phase\":\"Bound\",\"podUID\":\"@L\",\"podName\":\"@L\",\"agentKey\":\"@L\"}"},
    {SIM_SANDBOX,
     "\"labels\":{}},\"spec\":{\"poolRef\":\"no-pool\",\"idleTimeoutSeconds\":"
     "9223372036854775807}",
     "{\"phase\":7,\"lastTaskTime\":\"9999-99-99T99:99:99Z\",\"podUID\":\"a/b\"}"},
    {SIM_TASK, "\"labels\":{}},\"spec\":{\"sandboxRef\":\"@L\",\"steps\":[{}]}",
     "{\"state\":\"Running\",\"attempt\":9223372036854775807,\"attempts\":\"x\",\"sandboxUID\":\"a/"
     "b"
     "\"}"},
    {SIM_TASK,
     "\"labels\":{}},\"spec\":{\"sandboxRef\":\"no-box\",\"timeout\":\"9999999h\",\"retries\":"
     "-1,\"steps\":[7,null,{\"name\":[],\"command\":{}}]}",
     "{\"state\":\"Pending\",\"startTime\":\"2999-01-01T00:00:00Z\",\"conditions\":[7,{}]}"},
    {SIM_TASK,
     "\"labels\":{}},\"spec\":{\"sandboxRef\":\"../box0\",\"steps\":{},\"ttlSecondsAfter"
     "Finished\":-9223372036854775807}",
     "{\"state\":\"Succeeded\",\"completionTime\":\"1000-01-01T00:00:00Z\"}"},
    {SIM_POOL,
     "\"labels\":{}},\"spec\":{\"replicas\":0,\"template\":{\"spec\":{\"containers\":\"x\"}}"
     "}",
     "{\"phase\":\"@L\",\"readyReplicas\":-1}"},
    {SIM_POOL, "\"labels\":{}},\"spec\":{\"replicas\":-3,\"template\":7}", NULL},
};

bool nasty_name(const char *name)
{
    return strncmp(name, NASTY, strlen(NASTY)) == 0;
}

static const struct obj *newest(struct sim *s, enum sim_kind kind)
{
    for (size_t i = s->api.count[kind]; i > 0; i--)
        if (!nasty_name(s->api.objs[kind][i - 1]->name))
            return s->api.objs[kind][i - 1];
    return NULL;
}

static void fill_in(struct sim *s, const char *text, struct buf *out)
{
    const struct obj *pool = newest(s, SIM_POOL), *box = newest(s, SIM_SANDBOX);
    const struct obj *pod = newest(s, SIM_POD);

    for (; *text; text++) {
        if (text[0] != '@' || !strchr("LPSQK", text[1])) {
            buf_putc(out, *text);
            continue;
        }
        switch (*++text) {
        case 'L':
            for (int i = 0; i < LONG_NAME; i++)
                buf_putc(out, 'a');
            break;
        case 'P':
            buf_puts(out, pool ? pool->uid : "none");
            break;
        case 'S':
            buf_puts(out, box ? box->uid : "none");
            break;
        case 'K':
            buf_puts(out, pod ? pod->uid : "none");
            break;
        default:
            buf_puts(out, pool ? pool->name : "pool0");
        }
    }
}

void nasty_make(struct sim *s)
{
    size_t i = sim_below(s, ARRAY_SIZE(things));
    /* A pod has the name of a forged one as well: no operator may take it. */
    cleanup_free char *name =
        xasprintf("%s%u", things[i].kind == SIM_POD ? FORGED NASTY : NASTY, s->nasty++);
    cleanup_buf struct buf b = BUF_INIT(1u << 16);
    struct obj *o;

    buf_printf(&b, "{\"metadata\":{\"name\":\"%s\",", name);
    fill_in(s, things[i].text, &b);
    buf_putc(&b, '}');
    sim_note(s, "client makes %s, thing %zu", name, i);
    o = api_create(s, things[i].kind, buf_str(&b));
    if (!o || !things[i].status)
        return;
    buf_clear(&b);
    buf_puts(&b, "{\"status\":");
    fill_in(s, things[i].status, &b);
    buf_putc(&b, '}');
    api_merge(s, o, buf_str(&b));
}

static bool is_nasty_pod(const char *name)
{
    return strncmp(name, FORGED NASTY, strlen(FORGED NASTY)) == 0;
}

void nasty_remove(struct sim *s)
{
    for (int kind = 0; kind < SIM_LEASE; kind++)
        for (size_t i = s->api.count[kind]; i > 0; i--) {
            struct obj *o = s->api.objs[kind][i - 1];

            if (kind == SIM_POD ? is_nasty_pod(o->name) : nasty_name(o->name))
                api_delete(s, o);
        }
}
