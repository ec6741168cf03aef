#include "operator/api/pod.h"

#include <stdio.h>

#include <json-c/json.h>

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/limits.h"
#include "common/wire/channel.h"
#include "common/wire/task_proto.h"
#include "operator/api/pod_pb.h"

#define WIRE_VERSION_MAX 1000
#define LAST_WORDS_BYTES 240u /* of a container's termination message */
#define CRASH_LOOP "CrashLoopBackOff"

/* The kubelet says that a pod is not ready when it starts it, and with a later time only if the pod
 * has been ready meanwhile: the time is that of the last change. */
#define STARTING_NS (3 * NSEC_PER_SEC)
#define RESTARTS_MAX 1000000 /* no sum of a few of them overflows */

bool pod_terminal(const struct pod *p)
{
    return p->phase == POD_FAILED || p->phase == POD_SUCCEEDED;
}

bool pod_speaks(const struct pod *p)
{
    return p->agent_key && p->wire_version == WIRE_VERSION;
}

bool pod_idle(const struct pod *p)
{
    return !p->allocated && !p->sandbox;
}

bool pod_orphan(const struct pod *p)
{
    return p->ours && !p->owned && p->template_hash && p->key_id;
}

bool pod_unsealed(const struct pod *p)
{
    return !p->sealed && p->template_hash && p->key_id && pod_idle(p);
}

static void pod_free(struct meta *obj)
{
    struct pod *p = container_of(obj, struct pod, meta);

    if (!obj)
        return;
    free(p->pool);
    free(p->sandbox);
    free(p->owner_kind);
    free(p->owner_uid);
    free(p->template_hash);
    free(p->work_dir);
    free(p->key_id);
    free(p->pool_uid);
    free(p->seal);
    free(p->agent_key);
    free(p->ip);
    free(p->trouble_reason);
    free(p->trouble_message);
    free(p->broken);
    free(p->restarted);
    free(p->restart_why);
    free(p->disruption);
    meta_done(&p->meta);
    free(p);
}

static enum pod_phase phase_parse(const char *s)
{
    static const char *const names[] = {"Pending", "Running", "Succeeded", "Failed"};

    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (str_eq(s, names[i]))
            return (enum pod_phase)i;
    return s ? POD_UNKNOWN : POD_PENDING;
}

static void decode_owner(struct json_object *md, struct pod *p)
{
    struct json_object *refs = json_get(md, "ownerReferences");

    p->owned = json_array_len(refs) > 0;
    for (size_t i = 0; i < json_array_len(refs); i++) {
        struct json_object *ref = json_object_array_get_idx(refs, i);

        if (!json_get_bool(ref, "controller", false))
            continue;
        p->owner_kind = xstrdup_max(json_get_str(ref, "kind"), LIMIT_NAME_BYTES);
        p->owner_uid = meta_uid(ref, "uid");
        /* Labels are for those who look, and anybody changes them: whose it is the owner says. */
        if (str_eq(p->owner_kind, "Sandbox") && json_get(ref, "name")) {
            str_set(&p->sandbox, meta_name(ref, "name"));
            p->allocated = true;
        }
        return;
    }
}

/* The end of a container's last words, as its termination message has them; NULL: none. */
static char *last_words(struct json_object *ended)
{
    const char *s = json_get_str(ended, "message");
    size_t len = strlen(str_or_empty(s));

    while (len > 0 && (unsigned char)s[len - 1] <= ' ')
        len--;
    if (len == 0)
        return NULL;
    if (len > LAST_WORDS_BYTES) {
        s += len - LAST_WORDS_BYTES;
        len = LAST_WORDS_BYTES;
        while (((unsigned char)*s & 0xc0) == 0x80) {
            s++;
            len--;
        }
    }
    return xmemdup0(s, len);
}

/* Programs that have to be PID 1 say so in words of their own. */
static const char *pid_1_hint(const char *words)
{
    static const char *const said[] = {
        "pid 1",                /* s6-overlay's /init, busybox init */
        "process no 1",         /* runit */
        "run as user instance", /* systemd */
        "telinit",              /* systemd as /sbin/init */
    };

    for (size_t i = 0; words && i < ARRAY_SIZE(said); i++)
        if (strcasestr(words, said[i]))
            return "; arl-runner is PID 1 in every container: see \"PID 1\" in "
                   "docs/images-and-templates.md";
    return "";
}

/* "ended with exit code 7; see kubectl logs POD -c NAME; its last words: ...". */
static char *ended_text(const struct pod *p, const char *name, struct json_object *ended,
                        bool previous)
{
    cleanup_free char *words = last_words(ended);
    const char *reason = json_get_str(ended, "reason");
    bool oom = str_eq(reason, "OOMKilled");
    int64_t code = 0;

    json_get_int(ended, "exitCode", &code);
    return xasprintf("ended with exit code %lld%s; see kubectl logs %s -c %.*s%s%s%s%s",
                     (long long)code, oom ? " (OOMKilled: out of memory)" : "", p->meta.name,
                     LIMIT_LABEL_BYTES, name, previous ? " --previous" : "",
                     words ? "; its last words: " : "", str_or_empty(words), pid_1_hint(words));
}

/* Waiting reasons that a pod passes through on its way to Ready; all others are trouble. */
static bool waiting_is_normal(const char *reason)
{
    return !reason || str_eq(reason, "ContainerCreating") || str_eq(reason, "PodInitializing");
}

static void set_trouble(struct pod *p, const char *container, const char *reason,
                        const char *message)
{
    cleanup_free char *text = NULL;

    if (p->trouble_reason)
        return;
    p->trouble_reason = xstrdup_foreign(reason, LIMIT_REASON_BYTES);
    if (container)
        text = xasprintf("container %.*s: %s%s%s", LIMIT_LABEL_BYTES, container, p->trouble_reason,
                         message ? ": " : "", str_or_empty(message));
    p->trouble_message = xstrdup_foreign(text      ? text
                                         : message ? message
                                                   : p->trouble_reason,
                                         LIMIT_FOREIGN_MESSAGE_BYTES);
}

/* A container that has failed and does not run now. The same word is used after its end and while
 * it waits to be restarted, so that messages do not change back and forth. */
static void set_ended_trouble(struct pod *p, const char *name, bool init, const char *reason,
                              struct json_object *ended, bool previous)
{
    cleanup_free char *how = ended_text(p, name, ended, previous);
    cleanup_free char *text =
        xasprintf("%scontainer %.*s %s", init ? "init " : "", LIMIT_LABEL_BYTES, name, how);

    set_trouble(p, NULL, init ? "InitContainerFailed" : reason, text);
}

/* Whether a container that has ended with this code is started again. */
static bool starts_again(struct json_object *spec, const char *container, int64_t code)
{
    struct json_object *containers = json_get(spec, "containers");
    const char *policy = json_get_str(spec, "restartPolicy");

    for (size_t i = 0; i < json_array_len(containers); i++) {
        struct json_object *c = json_object_array_get_idx(containers, i);

        if (str_eq(json_get_str(c, "name"), container) && json_get_str(c, "restartPolicy"))
            policy = json_get_str(c, "restartPolicy");
    }
    if (str_eq(policy, "Never"))
        return false;
    return !str_eq(policy, "OnFailure") || code != 0;
}

static void decode_ended(struct json_object *spec, const char *name, struct json_object *ended,
                         struct pod *p)
{
    int64_t code = 0;

    if (!json_get_int(ended, "exitCode", &code) || starts_again(spec, name, code))
        return;
    set_ended_trouble(p, name, false, "ContainerEnded", ended, false);
    if (!p->broken)
        p->broken =
            xasprintf("container %.63s has ended with exit code %lld, and spec.restartPolicy "
                      "does not start it again",
                      name, (long long)code);
}

static void note_restart(struct pod *p, struct json_object *ended)
{
    int64_t code = 0;

    if (json_get_int(ended, "exitCode", &code))
        str_set(&p->restart_why, xasprintf("exit code %lld%s", (long long)code,
                                           str_eq(json_get_str(ended, "reason"), "OOMKilled")
                                               ? " (OOMKilled: out of memory)"
                                               : ""));
}

/* init: that they end is their purpose. */
static void decode_containers(struct json_object *spec, struct json_object *statuses, bool init,
                              struct pod *p)
{
    for (size_t i = 0; i < json_array_len(statuses); i++) {
        struct json_object *c = json_object_array_get_idx(statuses, i);
        struct json_object *waiting = json_get_path(c, "state.waiting");
        struct json_object *ended = json_get_path(c, "state.terminated");
        struct json_object *before = json_get_path(c, "lastState.terminated");
        const char *name = str_or_empty(json_get_str(c, "name"));
        int64_t code = 0, restarts = 0;

        if (waiting && before && str_eq(json_get_str(waiting, "reason"), CRASH_LOOP))
            set_ended_trouble(p, name, init, CRASH_LOOP, before, true);
        else if (waiting && !waiting_is_normal(json_get_str(waiting, "reason")))
            set_trouble(p, name, json_get_str(waiting, "reason"), json_get_str(waiting, "message"));
        else if (ended && json_get_int(ended, "exitCode", &code) && code != 0)
            set_ended_trouble(p, name, init, "Error", ended, false);
        if (init)
            continue;
        if (ended)
            decode_ended(spec, name, ended, p);
        if (!json_get_int(c, "restartCount", &restarts) || restarts <= 0)
            continue;
        p->has_restarted = true;
        if (str_eq(name, POD_SIDECAR))
            continue;
        p->restarts += MIN(restarts, RESTARTS_MAX);
        str_set(&p->restarted, xstrdup_max(name, LIMIT_LABEL_BYTES));
        note_restart(p, before);
    }
}

/* An agent is ready when each container has its runner. A runner connects as soon as it runs; if it
 * does not, it was refused or cannot reach the agent. */
static bool lacks_runner(struct json_object *statuses)
{
    bool agent_ready = true;

    for (size_t i = 0; i < json_array_len(statuses); i++) {
        struct json_object *c = json_object_array_get_idx(statuses, i);

        if (!json_get_path(c, "state.running"))
            return false;
        if (str_eq(json_get_str(c, "name"), POD_SIDECAR))
            agent_ready = json_get_bool(c, "ready", true);
    }
    return !agent_ready;
}

/* Only the status that the kubelet writes of the init container counts, since others can write
 * labels and annotations. While the container runs again, its last end is in lastState. */
static void decode_agent_key(struct json_object *statuses, struct pod *p)
{
    static const char *const ends[] = {"state.terminated", "lastState.terminated"};
    const size_t prefix = strlen(CHANNEL_KEY_PREFIX);
    unsigned char key[CHANNEL_KEY_BYTES];

    for (size_t i = 0; i < json_array_len(statuses); i++) {
        struct json_object *c = json_object_array_get_idx(statuses, i);

        if (!str_eq(json_get_str(c, "name"), POD_INIT))
            continue;
        for (size_t j = 0; j < ARRAY_SIZE(ends) && !p->agent_key; j++) {
            const char *m = str_or_empty(json_get_str(json_get_path(c, ends[j]), "message"));

            if (strncmp(m, CHANNEL_KEY_PREFIX, prefix) == 0 &&
                channel_key_parse(m + prefix, strnlen(m + prefix, CHANNEL_KEY_TEXT), key))
                p->agent_key = xstrdup(m + prefix);
        }
        return;
    }
}

/* "Evicted: The node was low on resource: memory." NULL: there is no reason. */
static char *reason_and_message(struct json_object *o)
{
    const char *reason = json_get_str(o, "reason"), *message = json_get_str(o, "message");
    cleanup_free char *text = NULL;

    if (!reason)
        return NULL;
    text = xasprintf("%.*s%s%s", LIMIT_REASON_BYTES, reason, message && *message ? ": " : "",
                     str_or_empty(message));
    return xstrdup_foreign(text, LIMIT_FOREIGN_MESSAGE_BYTES);
}

/* The copy of the image's files counts as use of the disk, in each pod. */
static const char *copy_hint(struct json_object *spec, const char *why)
{
    struct json_object *containers = json_get(spec, "initContainers");

    for (size_t i = 0; strcasestr(why, "ephemeral") && i < json_array_len(containers); i++)
        if (str_eq(json_get_str(json_object_array_get_idx(containers, i), "name"), POD_COPY))
            return "; the image's files that are copied to /workspace count as well: see "
                   "\"/workspace\" in docs/images-and-templates.md";
    return "";
}

static void decode_conditions(struct json_object *status, struct pod *p)
{
    struct json_object *conditions = json_get(status, "conditions");
    int64_t started = meta_time(status, "startTime");

    for (size_t i = 0; i < json_array_len(conditions); i++) {
        struct json_object *c = json_object_array_get_idx(conditions, i);
        const char *type = json_get_str(c, "type");
        bool is_true = str_eq(json_get_str(c, "status"), "True");

        if (str_eq(type, "Ready")) {
            p->ready = is_true;
            p->ready_since_wall_ns = meta_time(c, "lastTransitionTime");
            p->was_ready = is_true || (started && p->ready_since_wall_ns > started + STARTING_NS);
        } else if (str_eq(type, "DisruptionTarget") && is_true) {
            p->disruption = reason_and_message(c);
        } else if (str_eq(type, "PodScheduled") && !is_true && json_get_str(c, "reason"))
            set_trouble(p, NULL, json_get_str(c, "reason"), json_get_str(c, "message"));
    }
}

/* An annotation with a path; NULL: there is none. */
static char *annotated_path(struct json_object *annotations, const char *name)
{
    const char *s = json_get_str(annotations, name);

    return s && s[0] == '/' && strnlen(s, LIMIT_PATH_BYTES) < LIMIT_PATH_BYTES ? xstrdup(s) : NULL;
}

/* An annotation with a number of 1 to max; fallback: there is no such number. */
static int annotated_number(struct json_object *annotations, const char *name, int max,
                            int fallback)
{
    const char *s = json_get_str(annotations, name);
    int v = 0;

    for (; s && *s >= '0' && *s <= '9' && v <= max; s++)
        v = 10 * v + (*s - '0');
    return s && *s == '\0' && v >= 1 && v <= max ? v : fallback;
}

/* An annotation that the operator wrote when it made the pod. Others may have changed it since: a
 * value that the operator cannot have written counts as absent. */
static void decode_marks(struct json_object *md, struct pod *p)
{
    struct json_object *labels = json_get(md, "labels");
    struct json_object *annotations = json_get(md, "annotations");

    p->pool = meta_name(labels, POD_LABEL_POOL);
    if (!p->pool)
        p->pool = xstrdup("");
    p->sandbox = meta_name(labels, POD_LABEL_SANDBOX);
    /* A pod of a sandbox with an invalid name does not count as idle. */
    p->allocated = str_eq(json_get_str(labels, POD_LABEL_STATUS), "allocated") ||
                   (json_get(labels, POD_LABEL_SANDBOX) && !p->sandbox);
    p->template_hash = meta_uid(annotations, POD_ANNOTATION_HASH);
    p->work_dir = annotated_path(annotations, POD_ANNOTATION_WORK_DIR);
    p->key_id = meta_uid(annotations, POD_ANNOTATION_KEY_ID);
    p->pool_uid = meta_uid(annotations, POD_ANNOTATION_POOL_UID);
    p->seal = meta_uid(annotations, POD_ANNOTATION_SEAL);
    p->agent_port = annotated_number(annotations, POD_ANNOTATION_PORT, UINT16_MAX, AGENT_PORT_OLD);
    p->wire_version =
        annotated_number(annotations, POD_ANNOTATION_WIRE, WIRE_VERSION_MAX, WIRE_VERSION_OLD);
}

/* The first of its addresses: that of the family that the cluster puts first. */
static char *decode_ip(struct json_object *status)
{
    struct json_object *ips = json_get(status, "podIPs");
    const char *ip = json_get_str(status, "podIP");

    for (size_t i = 0; !ip && i < json_array_len(ips); i++)
        ip = json_get_str(json_object_array_get_idx(ips, i), "ip");
    return meta_is_ip(ip) ? xstrdup(ip) : NULL;
}

static int pod_decode(struct json_object *obj, struct meta **ret, struct err *err)
{
    struct pod *p = xcalloc(1, sizeof(*p));
    struct json_object *md = json_get(obj, "metadata");
    struct json_object *spec = json_get(obj, "spec");
    struct json_object *status = json_get(obj, "status");
    cleanup_free char *why = NULL;
    int r = meta_decode(obj, &p->meta, err);

    if (r < 0) {
        pod_free(&p->meta);
        return r;
    }
    p->ip = decode_ip(status);
    decode_marks(md, p);
    decode_owner(md, p);
    p->phase = phase_parse(json_get_str(status, "phase"));
    why = reason_and_message(status);
    if (why) {
        cleanup_free char *text = xasprintf("%s%s", why, copy_hint(spec, why));

        set_trouble(p, NULL, json_get_str(status, "reason"), text);
    }
    decode_containers(spec, json_get(status, "initContainerStatuses"), true, p);
    decode_agent_key(json_get(status, "initContainerStatuses"), p);
    decode_containers(spec, json_get(status, "containerStatuses"), false, p);
    p->lacks_runner = lacks_runner(json_get(status, "containerStatuses"));
    decode_conditions(status, p);
    *ret = &p->meta;
    return 0;
}

int pod_claim_patch(const struct pod *p, const struct meta *sandbox, struct buf *out)
{
    struct json_writer w = JSON_WRITER_INIT(out);

    json_w_object(&w, NULL);
    json_w_object(&w, "metadata");
    json_w_str(&w, "uid", p->meta.uid);
    json_w_str(&w, "resourceVersion", p->meta.rv);
    json_w_object(&w, "labels");
    json_w_str(&w, POD_LABEL_STATUS, "allocated");
    json_w_str(&w, POD_LABEL_SANDBOX, sandbox->name);
    json_w_end_object(&w);
    json_w_array(&w, "ownerReferences");
    json_w_object(&w, NULL);
    json_w_str(&w, "apiVersion", "arl.infra.io/v1alpha1");
    json_w_str(&w, "kind", "Sandbox");
    json_w_str(&w, "name", sandbox->name);
    json_w_str(&w, "uid", sandbox->uid);
    json_w_bool(&w, "controller", true);
    json_w_bool(&w, "blockOwnerDeletion", false);
    json_w_end_object(&w);
    json_w_end_array(&w);
    json_w_end_object(&w);
    json_w_end_object(&w);
    return w.error;
}

const struct api_kind api_pod = {
    .kind = "Pod",
    .plural = "pods",
    .api_prefix = "/api/v1",
    .api_version = "v1",
    .selector = "arl.infra.io%2Fpool",
    .decode = pod_decode,
    .free = pod_free,
    .pb = pod_pb,
};
