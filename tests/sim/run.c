/* One run: chaos, quiet, rest. */
#include "common/base/hash.h"
#include "common/wire/seal.h"
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

/* Less than a large output takes. So each of them is read again, one at a time. */
#define SIM_RUN_MEMORY (24u << 10)
/* In every second seed; in the others there is room for all. */
#define SIM_STREAMS 1
#define SETTLE_NS (20 * 60 * NSEC_PER_SEC)
#define REST_NS (10 * 60 * NSEC_PER_SEC)
#define LOOK_NS (2 * NSEC_PER_SEC)

struct sim *sim_new(const struct sim_config *cfg)
{
    static char public_keys[256];
    static struct seal_keys seal;
    struct sim *s = xcalloc(1, sizeof(*s));

    seal_init(cfg->seed);
    if (sim_keys.count == 0) {
        signature_init();
        signature_key_generate(&sim_keys.keys[0]);
        sim_keys.count = 1;
        seal_keys_init(&seal, sim_keys.keys, sim_keys.count);
        signing_public_text(&sim_keys, public_keys, sizeof(public_keys));
    }
    s->cfg = *cfg;
    s->random = cfg->seed * 0x9e3779b97f4a7c15ULL + 1;
    s->hash = HASH_INIT;
    s->api.rv = 100;
    s->policy = (struct policy){.pod = {.sidecar_image = "arl-sidecar",
                                        .public_keys = public_keys,
                                        .key_id = sim_keys.keys[0].id,
                                        .seal = &seal,
                                        .output_limit = 262144},
                                /* An evil agent uses up all of it. */
                                .task_timeout_ms = cfg->calm ? 300000 : 25000,
                                .sandbox_wait_ms = cfg->calm ? 120000 : 30000,
                                .output_limit = 262144,
                                .run_memory = SIM_RUN_MEMORY,
                                .check = true,
                                .streams = cfg->calm || cfg->seed % 2 ? 0 : SIM_STREAMS};
    net_init(s);
    kubelet_init(s);
    return s;
}

void sim_free(struct sim *s)
{
    net_done(s);
    for (size_t i = 0; i < s->heap_len; i++)
        msg_free(s->heap[i].m);
    kubelet_done(s);
    oracle_done(s);
    api_done(s);
    buf_done(&s->trace);
    buf_done(&s->moves);
    for (size_t i = 0; i < SIM_RECORDED; i++)
        buf_done(&s->recorded[i]);
    free(s->heap);
    free(s->failure);
    free(s);
}

static void wake_all(struct sim *s)
{
    for (int i = 0; i < s->cfg.procs; i++)
        s->procs[i].paused_until_ns = MIN(s->procs[i].paused_until_ns, s->now_ns);
}

/* Settled: it was so at three looks in a row. */
static void settle(struct sim *s)
{
    int64_t until = s->now_ns + SETTLE_NS;
    cleanup_buf struct buf why = BUF_INIT(1u << 20);
    int good = 0;

    while (!s->failure && good < 3) {
        sim_run_until(s, s->now_ns + LOOK_NS);
        buf_clear(&why);
        good = oracle_settled(s, &why) ? good + 1 : 0;
        if (s->now_ns > until)
            sim_fail(s, "does not settle: %.400s", buf_str(&why));
    }
}

void sim_come_to_rest(struct sim *s)
{
    cleanup_buf struct buf why = BUF_INIT(1u << 20);
    uint64_t writes;

    s->quiet = true;
    wake_all(s);
    nasty_remove(s);
    policy_clear(s);
    for (int i = 1; i < s->cfg.procs && !s->cfg.leases; i++)
        proc_stop(s, i); /* several act at once for a while only */
    sim_note(s, "quiet");
    settle(s);
    /* By then all lifetimes are over, and what is written late (once a second and the like) is
     * written. */
    sim_run_until(s, s->now_ns + 100 * NSEC_PER_SEC);
    settle(s);
    writes = s->writes;
    s->calls_in_story = s->calls;
    sim_note(s, "at rest");
    sim_run_until(s, s->now_ns + REST_NS);
    if (s->writes != writes)
        sim_fail(s, "%" PRIu64 " writes while nothing happens", s->writes - writes);
    if (!oracle_settled(s, &why))
        sim_fail(s, "does not stay settled: %.400s", buf_str(&why));
    oracle_queues(s);
}

void sim_config_of_seed(struct sim_config *c, uint64_t seed)
{
    struct sim r = {.random = seed ^ 0x5deece66dULL};
    unsigned style = (unsigned)sim_below(&r, 100);

    *c = (struct sim_config){.seed = seed,
                             .procs = 1,
                             .chaos_ms = 10000 + (int64_t)sim_below(&r, 25000),
                             .watch_delay_ms = 1 + (int64_t)sim_below(&r, 50),
                             .answer_delay_ms = 1 + (int64_t)sim_below(&r, 20)};
    if (style < 45) {
        c->procs = 2;
        c->leases = style < 30; /* else both act at once, all the time */
    }
    if (sim_below(&r, 2))
        c->api_faults = (unsigned)sim_below(&r, 120);
    if (sim_below(&r, 2))
        c->agent_faults = (unsigned)sim_below(&r, 150);
    if (sim_below(&r, 2))
        c->crashes = (unsigned)sim_below(&r, 25);
    if (sim_below(&r, 3) == 0)
        c->watch_faults = (unsigned)sim_below(&r, 100);
    if (sim_below(&r, 3) == 0)
        c->watch_delay_ms = (int64_t)sim_below(&r, 8000);
    if (sim_below(&r, 4) == 0)
        c->answer_delay_ms = (int64_t)sim_below(&r, 3000);
    if (sim_below(&r, 2))
        c->cuts = (unsigned)sim_below(&r, 100);
    if (sim_below(&r, 2))
        c->pod_faults = (unsigned)sim_below(&r, 300);
    if (sim_below(&r, 3) == 0)
        c->hostile = (unsigned)sim_below(&r, 600);
    c->evil = (unsigned)sim_below(&r, 1000);
    if (sim_below(&r, 4) == 0)
        c->nasty = (unsigned)sim_below(&r, 300);
    if (sim_below(&r, 4) == 0)
        c->policies = (unsigned)sim_below(&r, 200);
}

bool sim_run_seed(uint64_t seed, bool trace, struct sim_sum *sum)
{
    struct sim_config cfg;
    struct sim *s;
    bool ok;

    sim_config_of_seed(&cfg, seed);
    cfg.keep_trace = trace;
    s = sim_new(&cfg);
    client_start(s);
    sim_run_until(s, cfg.chaos_ms * SIM_MS);
    sim_come_to_rest(s);
    ok = !s->failure;
    if (trace)
        fputs(buf_str(&s->trace), stdout);
    if (!ok)
        printf("seed %" PRIu64 " failed %s\n", seed, s->failure);
    sum->hash = s->hash;
    sum->calls += s->calls;
    sum->known_holes += s->known_holes;
    sum->doubles += s->doubles;
    sim_free(s);
    return ok;
}
