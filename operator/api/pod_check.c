#include "operator/api/pod_check.h"

#include <errno.h>
#include <stdio.h>

#include <json-c/json.h>

#include "common/base/json.h"
#include "operator/api/pod.h"

#define APPARMOR_ANNOTATION "container.apparmor.security.beta.kubernetes.io/"
#define PATH_MAX_BYTES 96

/* ---- the table ------------------------------------------------------------------------------- */

enum check {
    NOT_TRUE,   /* absent or false */
    NOT_GIVEN,  /* absent */
    NO_NUMBER,  /* absent or 0 */
    NO_TEXT,    /* absent or "" */
    ONE_OF,     /* absent or one of `allowed` */
    NOT_SYSTEM, /* absent or a name that does not begin with "system-" */
};

struct rule {
    const char *path; /* "a.b[].c": of each element of b */
    enum check check;
    const char *const *allowed; /* ONE_OF; ends with NULL */
};

static const char *const capabilities[] = {
    "AUDIT_WRITE",      "CHOWN",   "DAC_OVERRIDE", "FOWNER",  "FSETID", "KILL",       "MKNOD",
    "NET_BIND_SERVICE", "SETFCAP", "SETGID",       "SETPCAP", "SETUID", "SYS_CHROOT", NULL};
static const char *const profiles[] = {"RuntimeDefault", "Localhost", NULL};
static const char *const proc_mounts[] = {"Default", NULL};
static const char *const selinux_types[] = {
    "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t", NULL};
static const char *const sysctls[] = {"kernel.shm_rmid_forced",
                                      "net.ipv4.ip_local_port_range",
                                      "net.ipv4.ip_local_reserved_ports",
                                      "net.ipv4.ip_unprivileged_port_start",
                                      "net.ipv4.ping_group_range",
                                      "net.ipv4.tcp_fin_timeout",
                                      "net.ipv4.tcp_keepalive_intvl",
                                      "net.ipv4.tcp_keepalive_probes",
                                      "net.ipv4.tcp_keepalive_time",
                                      "net.ipv4.tcp_rmem",
                                      "net.ipv4.tcp_syncookies",
                                      "net.ipv4.tcp_wmem",
                                      NULL};

/* Of the pod. Those of the standard, then our own. */
static const struct rule pod_rules[] = {
    {"hostNetwork", NOT_TRUE, NULL},
    {"hostPID", NOT_TRUE, NULL},
    {"hostIPC", NOT_TRUE, NULL},
    {"volumes[].hostPath", NOT_GIVEN, NULL},
    {"securityContext.windowsOptions.hostProcess", NOT_TRUE, NULL},
    {"securityContext.appArmorProfile.type", ONE_OF, profiles},
    {"securityContext.seccompProfile.type", ONE_OF, profiles},
    {"securityContext.seLinuxOptions.type", ONE_OF, selinux_types},
    {"securityContext.seLinuxOptions.user", NO_TEXT, NULL},
    {"securityContext.seLinuxOptions.role", NO_TEXT, NULL},
    {"securityContext.sysctls[].name", ONE_OF, sysctls},
    {"shareProcessNamespace", NOT_TRUE, NULL}, /* the steps' parents would see each other */
    {"nodeName", NO_TEXT, NULL},               /* past the scheduler, its quotas and taints */
    {"priorityClassName", NOT_SYSTEM, NULL},
};

/* Of every container, init containers and ephemeral ones included. */
static const struct rule container_rules[] = {
    {"securityContext.privileged", NOT_TRUE, NULL},
    {"securityContext.capabilities.add[]", ONE_OF, capabilities},
    {"securityContext.windowsOptions.hostProcess", NOT_TRUE, NULL},
    {"securityContext.appArmorProfile.type", ONE_OF, profiles},
    {"securityContext.seccompProfile.type", ONE_OF, profiles},
    {"securityContext.procMount", ONE_OF, proc_mounts},
    {"securityContext.seLinuxOptions.type", ONE_OF, selinux_types},
    {"securityContext.seLinuxOptions.user", NO_TEXT, NULL},
    {"securityContext.seLinuxOptions.role", NO_TEXT, NULL},
    {"ports[].hostPort", NO_NUMBER, NULL},
    {"livenessProbe.httpGet.host", NO_TEXT, NULL},
    {"livenessProbe.tcpSocket.host", NO_TEXT, NULL},
    {"readinessProbe.httpGet.host", NO_TEXT, NULL},
    {"readinessProbe.tcpSocket.host", NO_TEXT, NULL},
    {"startupProbe.httpGet.host", NO_TEXT, NULL},
    {"startupProbe.tcpSocket.host", NO_TEXT, NULL},
    {"lifecycle.postStart.httpGet.host", NO_TEXT, NULL},
    {"lifecycle.postStart.tcpSocket.host", NO_TEXT, NULL},
    {"lifecycle.preStop.httpGet.host", NO_TEXT, NULL},
    {"lifecycle.preStop.tcpSocket.host", NO_TEXT, NULL},
};

static const char *const container_lists[] = {"containers", "initContainers",
                                              "ephemeralContainers"};

/* ---- one value ------------------------------------------------------------------------------- */

static bool is_one_of(const char *s, const char *const *allowed)
{
    for (; *allowed; allowed++)
        if (strcmp(s, *allowed) == 0)
            return true;
    return false;
}

/* A value of a wrong type is refused, because another reader may understand it in another way. */
static bool is_fine(const struct rule *rule, struct json_object *v)
{
    bool text = json_object_is_type(v, json_type_string);
    const char *s = text ? json_object_get_string(v) : "";

    if (!v)
        return true;
    switch (rule->check) {
    case NOT_TRUE:
        return json_object_is_type(v, json_type_boolean) && !json_object_get_boolean(v);
    case NOT_GIVEN:
        return false;
    case NO_NUMBER:
        return json_object_is_type(v, json_type_int) && json_object_get_int64(v) == 0;
    case NO_TEXT:
        return text && !*s;
    case ONE_OF:
        return text && is_one_of(s, rule->allowed);
    case NOT_SYSTEM:
        return text && strncmp(s, "system-", strlen("system-")) != 0;
    }
    return false;
}

static const char *const remedy[] = {
    [NOT_TRUE] = "leave it out",
    [NOT_GIVEN] = "use a volume of another type",
    [NO_NUMBER] = "leave it out: a Service reaches pods without it",
    [NO_TEXT] = "leave it out",
    [ONE_OF] = "leave it out, or use one of those that the Pod Security Standard \"baseline\" has",
    [NOT_SYSTEM] = "use a PriorityClass of your own",
};

static int refuse(const struct rule *rule, const char *container, struct json_object *v,
                  struct err *err)
{
    bool text = json_object_is_type(v, json_type_string);

    return err_set(err, -EPERM,
                   "spec.template.spec%s%.63s%s%s%s%.64s is not allowed: %s (see "
                   "--allow-privileged-templates)",
                   container ? ": container " : ".", str_or_empty(container), container ? ": " : "",
                   rule->path, text ? " " : "", text ? json_object_get_string(v) : "",
                   remedy[rule->check]);
}

/* The value below o, at the rest of the rule's path, that breaks the rule; NULL: none. */
static struct json_object *find_bad(const struct rule *rule, struct json_object *o,
                                    const char *path)
{
    size_t len = strcspn(path, ".[");
    char name[PATH_MAX_BYTES];
    struct json_object *v;
    bool each;

    if (!*path)
        return is_fine(rule, o) ? NULL : o;
    assert(len < sizeof(name));
    memcpy(name, path, len);
    name[len] = '\0';
    v = json_get(o, name);
    path += len;
    each = strncmp(path, "[]", 2) == 0;
    path += each ? 2 : 0;
    path += *path == '.';
    if (!each)
        return v ? find_bad(rule, v, path) : NULL;
    for (size_t i = 0; i < json_array_len(v); i++) {
        struct json_object *bad = find_bad(rule, json_object_array_get_idx(v, i), path);

        if (bad)
            return bad;
    }
    return NULL;
}

static int check_rules(const struct rule *rules, size_t count, struct json_object *o,
                       const char *container, struct err *err)
{
    for (size_t i = 0; i < count; i++) {
        struct json_object *bad = find_bad(&rules[i], o, rules[i].path);

        if (bad)
            return refuse(&rules[i], container, bad, err);
    }
    return 0;
}

/* ---- all of a template ----------------------------------------------------------------------- */

/* The form before the field securityContext.appArmorProfile. */
static int check_apparmor(struct json_object *annotations, struct err *err)
{
    if (!json_object_is_type(annotations, json_type_object))
        return 0;
    json_object_object_foreach(annotations, key, value)
    {
        const char *s =
            json_object_is_type(value, json_type_string) ? json_object_get_string(value) : "?";

        if (strncmp(key, APPARMOR_ANNOTATION, strlen(APPARMOR_ANNOTATION)) == 0 && *s &&
            strcmp(s, "runtime/default") != 0 && strncmp(s, "localhost/", strlen("localhost/")))
            return err_set(err, -EPERM,
                           "spec.template.metadata.annotations: %.120s %.64s is not allowed: leave "
                           "it out (see --allow-privileged-templates)",
                           key, s);
    }
    return 0;
}

int pod_check_baseline(struct json_object *template, struct err *err)
{
    struct json_object *spec = json_get(template, "spec");
    int r = check_apparmor(json_get_path(template, "metadata.annotations"), err);

    if (r == 0)
        r = check_rules(pod_rules, ARRAY_SIZE(pod_rules), spec, NULL, err);
    for (size_t k = 0; k < ARRAY_SIZE(container_lists); k++) {
        struct json_object *list = json_get(spec, container_lists[k]);

        for (size_t i = 0; r == 0 && i < json_array_len(list); i++) {
            struct json_object *c = json_object_array_get_idx(list, i);

            r = check_rules(container_rules, ARRAY_SIZE(container_rules), c,
                            str_or_empty(json_get_str(c, "name")), err);
        }
    }
    return r;
}

static bool is_ours(const char *volume)
{
    return str_eq(volume, POD_VOLUME_ARL) || str_eq(volume, POD_VOLUME_JOURNAL);
}

static int check_mounts(struct json_object *container, int unused, struct err *err)
{
    static const char *const fields[] = {"volumeMounts", "volumeDevices"};

    for (size_t k = 0; k < ARRAY_SIZE(fields); k++) {
        struct json_object *mounts = json_get(container, fields[k]);

        for (size_t i = 0; i < json_array_len(mounts); i++) {
            const char *name = json_get_str(json_object_array_get_idx(mounts, i), "name");

            if (is_ours(name))
                return err_set(err, -EINVAL,
                               "spec.template.spec: container %.63s: %s: the volume %s is arl's "
                               "own and may not be mounted: use a volume of another name",
                               str_or_empty(json_get_str(container, "name")), fields[k], name);
        }
    }
    return 0;
}

/* Of each container but the sidecar, of which nothing but its resources is taken (pod_build.c). */
static int check_containers(struct json_object *spec,
                            int (*check)(struct json_object *container, int arg, struct err *err),
                            int arg, struct err *err)
{
    int r = 0;

    for (size_t k = 0; k < ARRAY_SIZE(container_lists); k++) {
        struct json_object *list = json_get(spec, container_lists[k]);

        for (size_t i = 0; r == 0 && i < json_array_len(list); i++) {
            struct json_object *c = json_object_array_get_idx(list, i);

            if (k > 0 || !str_eq(json_get_str(c, "name"), POD_SIDECAR))
                r = check(c, arg, err);
        }
    }
    return r;
}

int pod_check_volumes(struct json_object *spec, struct err *err)
{
    struct json_object *volumes = json_get(spec, "volumes");

    for (size_t i = 0; i < json_array_len(volumes); i++) {
        const char *name = json_get_str(json_object_array_get_idx(volumes, i), "name");

        if (is_ours(name))
            return err_set(err, -EINVAL,
                           "spec.template.spec.volumes: the name %s is reserved: use another one",
                           name);
    }
    return check_containers(spec, check_mounts, 0, err);
}

static int check_ports(struct json_object *container, int agent_port, struct err *err)
{
    struct json_object *ports = json_get(container, "ports");
    int64_t n;

    for (size_t i = 0; i < json_array_len(ports); i++) {
        struct json_object *p = json_object_array_get_idx(ports, i);
        const char *protocol = json_get_str(p, "protocol");

        if (json_get_int(p, "containerPort", &n) && n == agent_port &&
            (!protocol || str_eq(protocol, "TCP")))
            return err_set(err, -EINVAL,
                           "spec.template.spec: container %.63s: ports: %d is the port of arl's "
                           "agent, and containers of a pod share their ports: use another one (or "
                           "see --sidecar-port)",
                           str_or_empty(json_get_str(container, "name")), agent_port);
    }
    return 0;
}

int pod_check_ports(struct json_object *spec, int agent_port, struct err *err)
{
    return check_containers(spec, check_ports, agent_port, err);
}
