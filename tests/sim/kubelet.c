/* The model of nodes: pods are scheduled, start, get ready, fail and end. And the garbage
 * collector, which deletes pods whose owner is gone. */
#include "tests/sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

#include <json-c/json.h>

#include "common/base/json.h"

#define GC_MS 5000
/* When kube-controller-manager takes a silent node for lost, and when it deletes the node's pods:
 * the defaults of --node-monitor-grace-period and of the pods' tolerationSeconds. */
#define NODE_GRACE_MS 40000
#define NODE_TOLERATION_MS 300000

struct kpod *kubelet_find(struct sim *s, const char *uid)
{
    for (size_t i = 0; uid && i < s->pod_count; i++)
        if (strcmp(s->pods[i]->uid, uid) == 0)
            return s->pods[i];
    return NULL;
}

static struct obj *object_of(struct sim *s, const struct kpod *k)
{
    return api_find_uid(s, SIM_POD, k->uid);
}

/* The lowest address that no running pod has: a new pod soon gets the address of one that has
 * gone. */
static unsigned free_address(struct sim *s)
{
    for (unsigned ip = 1;; ip++) {
        bool used = false;

        for (size_t i = 0; i < s->pod_count; i++)
            used |= s->pods[i]->ip == ip && s->pods[i]->state == KPOD_RUNNING;
        if (!used)
            return ip;
    }
}

static void write_status(struct sim *s, struct kpod *k, const char *phase, const char *more)
{
    struct obj *o = object_of(s, k);
    cleanup_free char *ip = NULL, *patch = NULL;

    if (!o)
        return;
    ip = k->ip ? xasprintf(",\"podIP\":\"10.0.0.%u\"", k->ip) : xstrdup("");
    patch = xasprintf("{\"status\":{\"phase\":\"%s\"%s,\"conditions\":[{\"type\":\"Ready\","
                      "\"status\":\"%s\"}]%s}}",
                      phase, ip, k->ready ? "True" : "False", more);
    api_merge(s, o, patch);
}

/* arl-init has ended and told this key. */
void kubelet_tell_key(struct sim *s, struct kpod *k, const unsigned char *public_key)
{
    struct obj *o = object_of(s, k);
    char key[CHANNEL_KEY_TEXT];
    cleanup_free char *patch = NULL;

    if (!o)
        return;
    channel_key_format(public_key, key);
    patch =
        xasprintf("{\"status\":{\"initContainerStatuses\":[{\"name\":\"" POD_INIT "\",\"state\":{"
                  "\"terminated\":{\"exitCode\":0,\"message\":\"" CHANNEL_KEY_PREFIX "%s\"}}}]}}",
                  key);
    api_merge(s, o, patch);
}

/* ---- starting -------------------------------------------------------------------------------- */

/* The probe looks at the port alone, whoever listens there. */
static bool probe_ok(const struct kpod *k)
{
    return k->agent_up || k->hostile == HOSTILE_IN_PLACE;
}

static void on_ready(struct sim *s, struct msg *m, uint64_t i, uint64_t life)
{
    struct kpod *k = s->pods[i];

    if (k->state != KPOD_RUNNING || k->agent_life != life || k->ready || !probe_ok(k))
        return;
    if (k->broken)
        return;
    k->ready = true;
    write_status(s, k, "Running", "");
}

static void become_ready_later(struct sim *s, uint64_t i, int64_t min_ms, int64_t max_ms)
{
    sim_after_ms(s, sim_between(s, min_ms, max_ms), on_ready, i, s->pods[i]->agent_life);
}

static size_t index_of(struct sim *s, const struct kpod *k)
{
    size_t i = 0;

    while (s->pods[i] != k)
        i++;
    return i;
}

static void on_back(struct sim *s, struct msg *m, uint64_t i, uint64_t b)
{
    kubelet_come_back(s, s->pods[i]);
}

static void on_trouble(struct sim *s, struct msg *m, uint64_t i, uint64_t what)
{
    struct kpod *k = s->pods[i];

    if (k->state != KPOD_RUNNING || s->quiet)
        return;
    switch (what) {
    case 0:
        if (i % 2)
            kubelet_end_container(s, k);
        else
            kubelet_end_pod(s, k, "Evicted");
        break;
    case 1:
        agent_restart(s, k);
        break;
    case 2:
        kubelet_set_ready(s, k, false);
        become_ready_later(s, i, 500, 10000);
        break;
    case 3:
        kubelet_cut_off(s, k);
        sim_after_ms(s, sim_between(s, 1000, sim_chance(s, 500) ? 20000 : 600000), on_back, i, 0);
        break;
    default:
        if (object_of(s, k))
            api_delete(s, object_of(s, k));
    }
}

static bool image_is_bad(struct sim *s, const struct obj *o)
{
    return strstr(o->text, "\"bad-image\"") != NULL;
}

static void on_run(struct sim *s, struct msg *m, uint64_t i, uint64_t b)
{
    struct kpod *k = s->pods[i];
    struct obj *o = object_of(s, k);

    if (!o || k->state != KPOD_NEW)
        return;
    if (image_is_bad(s, o)) {
        write_status(s, k, "Pending",
                     ",\"containerStatuses\":[{\"name\":\"executor\",\"state\":{\"waiting\":{"
                     "\"reason\":\"ErrImagePull\",\"message\":\"no such image\"}}}]");
        return;
    }
    k->ip = free_address(s);
    k->state = KPOD_RUNNING;
    k->agent_up = true;
    seal_make_key(k, 0);
    kubelet_tell_key(s, k, k->pair.public_key);
    write_status(s, k, "Running", "");
    become_ready_later(s, i, 200, 1000);
    hostile_choose(s, i);
    if (!s->quiet && sim_chance(s, s->cfg.pod_faults))
        sim_after_ms(s, sim_between(s, 100, 30000), on_trouble, i, sim_below(s, 5));
}

static void on_scheduled(struct sim *s, struct msg *m, uint64_t i, uint64_t b)
{
    struct obj *o = object_of(s, s->pods[i]);

    if (!o)
        return;
    api_merge(s, o, "{\"spec\":{\"nodeName\":\"node\"}}");
    sim_after_ms(s, sim_between(s, 300, 2000), on_run, i, 0);
}

void kubelet_pod_made(struct sim *s, struct obj *o)
{
    struct kpod *k = xcalloc(1, sizeof(*k));

    k->name = xstrdup(o->name);
    k->uid = xstrdup(o->uid);
    list_init(&k->attempts);
    s->pods = xrealloc(s->pods, (s->pod_count + 1) * sizeof(*s->pods));
    s->pods[s->pod_count++] = k;
    sim_after_ms(s, sim_between(s, 20, 300), on_scheduled, s->pod_count - 1, 0);
}

/* ---- ending ---------------------------------------------------------------------------------- */

void kubelet_set_ready(struct sim *s, struct kpod *k, bool ready)
{
    if (k->ready == ready || k->cut_off || k->broken)
        return;
    k->ready = ready;
    write_status(s, k, "Running", "");
}

static bool still_cut_off(const struct kpod *k, uint64_t cut_offs)
{
    return k->cut_off && k->cut_offs == cut_offs;
}

static void on_node_lost(struct sim *s, struct msg *m, uint64_t i, uint64_t cut_offs)
{
    struct kpod *k = s->pods[i];

    if (!still_cut_off(k, cut_offs))
        return;
    k->ready = false;
    write_status(s, k, "Running", "");
}

static void on_node_given_up(struct sim *s, struct msg *m, uint64_t i, uint64_t cut_offs)
{
    struct kpod *k = s->pods[i];

    if (still_cut_off(k, cut_offs) && object_of(s, k))
        api_delete(s, object_of(s, k));
}

/* Its node cannot be reached any more, and does not reach the API server. */
void kubelet_cut_off(struct sim *s, struct kpod *k)
{
    sim_note(s, "the node of %s is cut off", k->name);
    k->cut_off = true;
    k->cut_offs++;
    agent_cut_off(s, k);
    sim_after_ms(s, NODE_GRACE_MS, on_node_lost, index_of(s, k), k->cut_offs);
    sim_after_ms(s, NODE_GRACE_MS + NODE_TOLERATION_MS, on_node_given_up, index_of(s, k),
                 k->cut_offs);
}

#define EXECUTOR_ENDED                                                                             \
    ",\"containerStatuses\":[{\"name\":\"executor\",\"state\":{\"terminated\":{\"exitCode\":0}}}]"

/* The user's container ends and, as restartPolicy is Never, is not started again; the agent lives.
 */
void kubelet_end_container(struct sim *s, struct kpod *k)
{
    struct obj *o = object_of(s, k);

    if (!o || k->cut_off || k->broken)
        return;
    sim_note(s, "the executor of %s ends for good", k->name);
    k->broken = true;
    k->ready = false;
    api_merge(s, o, "{\"spec\":{\"restartPolicy\":\"Never\"}}");
    write_status(s, k, "Running", EXECUTOR_ENDED);
}

/* Its containers end; the object stays, as Failed. */
void kubelet_end_pod(struct sim *s, struct kpod *k, const char *reason)
{
    cleanup_free char *more =
        xasprintf(",\"reason\":\"%s\",\"message\":\"the node was low on memory\"", reason);

    sim_note(s, "pod %s ends: %s", k->name, reason);
    k->state = KPOD_ENDED;
    k->ready = false;
    agent_down(s, k);
    write_status(s, k, "Failed", more);
}

static void on_gone(struct sim *s, struct msg *m, uint64_t i, uint64_t b)
{
    struct kpod *k = s->pods[i];
    struct obj *o = object_of(s, k);

    k->ends_unheard = k->cut_off;
    if (k->cut_off)
        return;
    k->state = KPOD_GONE;
    k->ready = false;
    agent_down(s, k);
    if (o)
        api_remove(s, o);
}

void kubelet_pod_deleting(struct sim *s, struct obj *o)
{
    struct kpod *k = kubelet_find(s, o->uid);

    sim_after_ms(s, sim_between(s, 100, sim_chance(s, 50) ? 30000 : 2500), on_gone, index_of(s, k),
                 0);
}

void kubelet_come_back(struct sim *s, struct kpod *k)
{
    sim_note(s, "the node of %s is back", k->name);
    k->cut_off = false;
    k->ill_ns = s->now_ns;
    if (k->ends_unheard)
        on_gone(s, NULL, index_of(s, k), 0);
    else if (k->state == KPOD_RUNNING)
        kubelet_set_ready(s, k, probe_ok(k));
}

/* ---- garbage --------------------------------------------------------------------------------- */

static bool owner_lives(struct sim *s, const struct obj *pod)
{
    struct json_object *refs = json_get_path(pod->j, "metadata.ownerReferences");

    for (size_t i = 0; i < json_array_len(refs); i++) {
        const char *uid = json_get_str(json_object_array_get_idx(refs, i), "uid");

        if (api_find_uid(s, SIM_POOL, uid) || api_find_uid(s, SIM_SANDBOX, uid))
            return true;
    }
    return json_array_len(refs) == 0;
}

static void on_gc(struct sim *s, struct msg *m, uint64_t a, uint64_t b)
{
    for (size_t i = s->api.count[SIM_POD]; i > 0; i--) {
        struct obj *o = s->api.objs[SIM_POD][i - 1];

        if (!json_get_str(json_get(o->j, "metadata"), "deletionTimestamp") && !owner_lives(s, o))
            api_delete(s, o);
    }
    sim_after_ms(s, sim_between(s, GC_MS, 6 * GC_MS), on_gc, 0, 0);
}

void kubelet_init(struct sim *s)
{
    sim_after_ms(s, GC_MS, on_gc, 0, 0);
}

void kubelet_done(struct sim *s)
{
    for (size_t i = 0; i < s->pod_count; i++) {
        agent_done(s->pods[i]);
        free(s->pods[i]->name);
        free(s->pods[i]->uid);
        free(s->pods[i]->served);
        free(s->pods[i]);
    }
    free(s->pods);
}
