"""Templates that ask for rights which no pod of arl's may have: a condition of the pool says so, and no pod is made."""
import copy

from base import EXECUTOR, attack
from harness import condition, pool_object

SPECS = {
    "cap_sys_admin": ("capabilities.add: [SYS_ADMIN]", {"containers": [{**EXECUTOR, "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}, True),
    "cap_net_admin_of_an_init_container": ("capabilities.add: [NET_ADMIN] of an init container", {
        "initContainers": [{**EXECUTOR, "name": "before", "command": ["true"], "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}],
        "containers": [EXECUTOR]}, True),
    "host_port": ("hostPort", {"containers": [{**EXECUTOR, "ports": [{"containerPort": 9999, "hostPort": 9999}]}]}, True),
    "seccomp_unconfined": ("seccompProfile Unconfined", {"containers": [{**EXECUTOR, "securityContext": {"seccompProfile": {"type": "Unconfined"}}}]}, True),
    "seccomp_unconfined_pod": ("seccompProfile Unconfined of the pod", {"securityContext": {"seccompProfile": {"type": "Unconfined"}}, "containers": [EXECUTOR]}, True),
    "apparmor_unconfined": ("appArmorProfile Unconfined", {"containers": [{**EXECUTOR, "securityContext": {"appArmorProfile": {"type": "Unconfined"}}}]}, True),
    "proc_mount": ("procMount Unmasked", {"containers": [{**EXECUTOR, "securityContext": {"procMount": "Unmasked"}}]}, None),
    "sysctl": ("a sysctl of the kernel", {"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}, "containers": [EXECUTOR]}, None),
    "selinux_user": ("an SELinux user", {"containers": [{**EXECUTOR, "securityContext": {"seLinuxOptions": {"user": "system_u"}}}]}, None),
    "host_process": ("windowsOptions.hostProcess", {"containers": [{**EXECUTOR, "securityContext": {"windowsOptions": {"hostProcess": True}}}]}, None),
    "privileged": ("privileged", {"containers": [{**EXECUTOR, "securityContext": {"privileged": True}}]}, False),
    "host_network": ("hostNetwork", {"hostNetwork": True, "containers": [EXECUTOR]}, False),
    "host_pid": ("hostPID", {"hostPID": True, "containers": [EXECUTOR]}, False),
    "shared_processes": ("shareProcessNamespace", {"shareProcessNamespace": True, "containers": [EXECUTOR]}, False),
    "host_path": ("hostPath", {"volumes": [{"name": "h", "hostPath": {"path": "/"}}],
                               "containers": [{**EXECUTOR, "volumeMounts": [{"name": "h", "mountPath": "/h"}]}]}, False),
    "node_name": ("nodeName", {"nodeName": "NODE", "containers": [EXECUTOR]}, True),
    "system_priority": ("priorityClassName system-node-critical", {"priorityClassName": "system-node-critical", "containers": [EXECUTOR]}, True),
    "arls_volume": ("a mount of the volume arl: the runner's sockets and program", {"containers": [{**EXECUTOR, "volumeMounts": [{"name": "arl", "mountPath": "/other"}]}]}, True),
    "arls_journal": ("a mount of the volume arl-journal: the key and what has run", {
        "containers": [{**EXECUTOR, "volumeMounts": [{"name": "arl-journal", "mountPath": "/journal"}]}]}, True),
    "the_agents_port": ("a container that listens on the agent's port", {"containers": [{**EXECUTOR, "ports": [{"containerPort": 27182}]}]}, None),
    "the_sidecars_command": ("the sidecar's own lifecycle, command, environment and mounts", {"containers": [EXECUTOR, {
        "name": "sidecar", "image": EXECUTOR["image"], "command": ["sleep", "1000"], "lifecycle": {"postStart": {"exec": {"command": ["false"]}}},
        "env": [{"name": "ARL_PUBLIC_KEYS", "value": "mine"}], "volumeMounts": [{"name": "workspace", "mountPath": "/var/lib/arl/x"}]}]}, None),
}


def template(name):
    what, spec, then = SPECS[name]

    def f(t):
        spec_ = copy.deepcopy(spec)
        if "nodeName" in spec_:
            spec_["nodeName"] = t.env.cluster
        pool = t.unique("pool")
        t.create(pool_object(pool, spec=spec_))
        if name == "the_sidecars_command":
            return sidecar_is_ours(t, pool)

        def told():
            return condition(t.get("WarmPool", pool), "Ready").get("reason") not in (None, "Filling") or pods_of(t, pool)
        t.comes(told, 8)
        pods = pods_of(t, pool)
        if pods:
            return f"a pod was made: {pods[0]['metadata']['name']}"
        told = t.get("WarmPool", pool).get("status", {}).get("conditions", [])
        return None if told else "no condition tells why there is no pod"
    f.__name__ = "template_" + name
    return attack("R17" if then else "", f"a template with {what}", then=then, **(
        {"untold": "nothing of it is taken, as docs/api.md says"} if name == "the_sidecars_command" else {"seen": ["condition WarmPool InvalidTemplate"]}))(f)


def pods_of(t, pool):
    return t.pods(pool=pool)


def sidecar_is_ours(t, pool):
    """The pod is made, and its agent is arl's own, whatever the template says of the container sidecar."""
    if not t.comes(lambda: pods_of(t, pool) or t.get("WarmPool", pool).get("status", {}).get("conditions"), 8) or not pods_of(t, pool):
        return None
    c = next(c for c in pods_of(t, pool)[0]["spec"]["containers"] if c["name"] == "sidecar")
    foreign = [k for k in ("command", "lifecycle", "livenessProbe") if k in c] + [m["name"] for m in c["volumeMounts"] if m["name"] not in ("arl", "arl-journal")]
    foreign += [e["name"] for e in c["env"] if e.get("value") == "mine"]
    return f"the agent's container has the template's {foreign}" if foreign or c["image"] == EXECUTOR["image"] else None


for each in SPECS:
    template(each)
