#include "tests/sim/story.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/base/map.h"

#define TEXT_MAX (1u << 20)

/* ---- scripts --------------------------------------------------------------------------------- */

static void accident(struct sim *s, const char *what, unsigned n)
{
    struct kpod *k = n >= 1 && n <= s->pod_count ? s->pods[n - 1] : NULL;

    if (strcmp(what, "kill") == 0)
        proc_kill(s, (int)n);
    else if (strcmp(what, "release") == 0)
        proc_release(s, (int)n);
    else if (strcmp(what, "stop") == 0)
        s->procs[n].paused_until_ns = s->now_ns + 20 * NSEC_PER_SEC;
    else if (k && k->state == KPOD_RUNNING && strcmp(what, "evict") == 0)
        kubelet_end_pod(s, k, "Evicted");
    else if (k && k->state == KPOD_RUNNING && strcmp(what, "end") == 0)
        kubelet_end_container(s, k);
    else if (k && k->state == KPOD_RUNNING && strcmp(what, "restart") == 0)
        agent_restart(s, k);
    else if (k && k->state == KPOD_RUNNING && strcmp(what, "unready") == 0)
        kubelet_set_ready(s, k, false);
    else if (k && k->state == KPOD_RUNNING && strcmp(what, "ready") == 0)
        kubelet_set_ready(s, k, true);
    else if (k && k->state == KPOD_RUNNING && strcmp(what, "lose") == 0)
        kubelet_cut_off(s, k);
    else if (k && strcmp(what, "return") == 0)
        kubelet_come_back(s, k);
    else if (k && strcmp(what, "unlabel") == 0)
        api_merge(s, api_find_uid(s, SIM_POD, k->uid),
                  "{\"metadata\":{\"labels\":{\"arl.infra.io/sandbox\":null}}}");
    else if (k && strcmp(what, "remove") == 0)
        client_delete(s, SIM_POD, k->name);
}

static enum sim_kind kind_of(const char *name)
{
    int k = SIM_POD;

    while (k < SIM_LEASE && strcmp(api_kind_name((enum sim_kind)k), name) != 0)
        k++;
    assert(k < SIM_LEASE);
    return (enum sim_kind)k;
}

/* A task whose steps print again and again, each after 500 ms. */
static void chatty(struct sim *s, const char *name, const char *box, unsigned steps, unsigned kib)
{
    struct buf b = BUF_INIT(1u << 16);

    while (steps-- > 0)
        buf_puts(&b, "500:0 ");
    client_large_task(s, name, box, buf_str(&b), "", (size_t)kib << 10);
    buf_done(&b);
}

/*
 * pool NAME REPLICAS IMAGE | scale POOL REPLICAS | image POOL IMAGE
 * box NAME POOL [MORE-SPEC] | task NAME BOX MS:CODE[;MS:CODE...] [MORE-SPEC] | delete KIND NAME
 * orphan KIND NAME: as with --cascade=orphan
 * kill OPERATOR | release OPERATOR | stop OPERATOR | evict POD | restart POD | remove POD
 * end POD: its main container, for good | forge: a pod that only looks like the operator's
 * unready POD | ready POD | unlabel POD: without its sandbox's name
 * lose POD: its node, where all goes on but nobody hears of it | return POD
 * chatty NAME BOX STEPS KIB: a task that prints, of that size | large NAME BOX BYTES: a short one
 * deny BOX: its claims are refused | webhook: of tasks, it is down | allow: neither any more
 */
static void act(struct sim *s, const char *line)
{
    char what[16] = "", a[64] = "", b[64] = "", c[256] = "", d[128] = "";

    sscanf(line, "%15s %63s %63s %255s %127s", what, a, b, c, d);
    for (char *p = c; strcmp(what, "task") == 0 && *p; p++)
        *p = *p == ';' ? ' ' : *p;
    if (strcmp(what, "pool") == 0)
        client_pool(s, a, (int)strtol(b, NULL, 10), c);
    else if (strcmp(what, "scale") == 0)
        client_scale(s, a, (int)strtol(b, NULL, 10));
    else if (strcmp(what, "image") == 0)
        client_image(s, a, b);
    else if (strcmp(what, "orphan") == 0)
        client_orphan(s, kind_of(a), b);
    else if (strcmp(what, "box") == 0)
        client_sandbox(s, a, b, c);
    else if (strcmp(what, "task") == 0)
        client_task(s, a, b, c, d);
    else if (strcmp(what, "chatty") == 0)
        chatty(s, a, b, (unsigned)strtoul(c, NULL, 10), (unsigned)strtoul(d, NULL, 10));
    else if (strcmp(what, "large") == 0)
        client_large_task(s, a, b, "20:0", "", strtoul(c, NULL, 10));
    else if (strcmp(what, "deny") == 0)
        snprintf(s->denied.claims_of, sizeof(s->denied.claims_of), "%s", a);
    else if (strcmp(what, "webhook") == 0)
        s->denied.task_webhook = true;
    else if (strcmp(what, "allow") == 0)
        policy_clear(s);
    else if (strcmp(what, "forge") == 0)
        forged_make(s);
    else if (strcmp(what, "delete") == 0)
        client_delete(s, kind_of(a), b);
    else
        accident(s, what, (unsigned)strtoul(a, NULL, 10));
}

struct sim *story_play(const struct story *st, struct sim_config cfg)
{
    struct sim *s;

    cfg.seed = 1;
    cfg.calm = true;
    cfg.procs = MAX(st->procs, 1);
    cfg.leases = st->procs > 0;
    cfg.watch_delay_ms = cfg.answer_delay_ms = 1;
    s = sim_new(&cfg);
    for (const char *p = st->script; *p;) {
        size_t len = strcspn(p, "\n");
        cleanup_free char *line = xmemdup0(p, len);
        char *rest;
        double ms = strtod(line, &rest);

        sim_run_until(s, (int64_t)(ms * SIM_MS));
        if (!s->failure)
            act(s, rest);
        p += len + (p[len] == '\n');
    }
    return s;
}

struct sim *story_run(const struct story *st, enum fault fault, unsigned fault_at,
                      enum watch_fault watch_fault, unsigned watch_fault_at)
{
    struct sim *s = story_play(st, (struct sim_config){.fault = fault,
                                                       .fault_at = fault_at,
                                                       .watch_fault = watch_fault,
                                                       .watch_fault_at = watch_fault_at});

    sim_come_to_rest(s);
    return s;
}

/* ---- what came of it ------------------------------------------------------------------------- */

struct told {
    char name[128];
    struct buf moves;
    char last[128];
};

#define TOLD_MAX 64

/* "OBJECT: from -> to" or "OBJECT: move" */
static void add(struct told *all, size_t *count, const char *line, size_t len)
{
    const char *colon = memmem(line, len, ": ", 2);
    const char *arrow = memmem(line, len, "-> ", 3);
    const char *move = arrow ? arrow + 3 : colon + 2;
    size_t name_len = (size_t)(colon - line), i = 0;

    while (i < *count &&
           (strlen(all[i].name) != name_len || strncmp(all[i].name, line, name_len) != 0))
        i++;
    if (i == *count) {
        assert(i < TOLD_MAX);
        (*count)++;
        snprintf(all[i].name, sizeof(all[i].name), "%.*s", (int)name_len, line);
        buf_init(&all[i].moves, TEXT_MAX);
    }
    snprintf(all[i].last, sizeof(all[i].last), "%.*s", (int)(line + len - move), move);
    buf_printf(&all[i].moves, "%s%s", all[i].moves.len ? ", " : "", all[i].last);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct told *)a)->name, ((const struct told *)b)->name);
}

static char *tell(const struct sim *s, bool ends)
{
    static struct told all[TOLD_MAX];
    struct buf out = BUF_INIT(TEXT_MAX);
    size_t count = 0;

    memset(all, 0, sizeof(all));
    for (const char *p = buf_str(&s->moves); *p;) {
        size_t len = strcspn(p, "\n");

        add(all, &count, p, len);
        p += len + (p[len] == '\n');
    }
    qsort(all, count, sizeof(*all), by_name);
    for (size_t i = 0; i < count; i++) {
        bool person_sees = strncmp(all[i].name, "sandbox", 7) == 0 ||
                           strncmp(all[i].name, "task", 4) == 0 ||
                           strncmp(all[i].name, "pool", 4) == 0;

        if (!ends)
            buf_printf(&out, "%s: %s\n", all[i].name, buf_str(&all[i].moves));
        else if (person_sees)
            buf_printf(&out, "%s: %.*s\n", all[i].name, (int)strcspn(all[i].last, " "),
                       all[i].last);
        buf_done(&all[i].moves);
    }
    return out.len ? buf_steal(&out) : xstrdup("");
}

char *story_moves(const struct sim *s)
{
    return tell(s, false);
}

char *story_ends(const struct sim *s)
{
    return tell(s, true);
}
