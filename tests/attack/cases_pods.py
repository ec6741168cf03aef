"""Pods that a tenant makes or changes by hand, and what else a tenant can try by the API."""
import copy
import json
import subprocess
import time

from base import ADMIN, EXECUTOR, NO_ATTACK, REFUSED, WORK, attack, quick
from harness import ApiError, expect, path_of, pool_object, sh, wait

API = "arl.infra.io/v1alpha1"


def refused(call):
    """The HTTP status if the API server refuses the call; None if it does not."""
    try:
        call()
    except ApiError as e:
        if e.status in (403, 422, 400, 404):
            return e.status
        raise
    return None


def removes(t, path):
    t.undo.append(lambda: t.api.call("DELETE", path + "?gracePeriodSeconds=0"))
    return path


def tenants_pod(t, meta, name=None, spec=None):
    """A pod that the tenant makes; None if it was refused."""
    name = name or t.unique("hand")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **meta},
           "spec": spec or {"containers": [{**EXECUTOR, "command": ["sleep", "1000"]}], "terminationGracePeriodSeconds": 0}}
    if refused(lambda: t.tenant.call("POST", path_of(t.ns, "pods"), pod)):
        return None
    removes(t, path_of(t.ns, "pods", name))
    return name


def is_ending(t, name):
    pod = t.find("pods", name)
    return not pod or "deletionTimestamp" in pod["metadata"]


def copied(pod):
    """The labels, annotations and owner of a pod of arl's, for a pod made by hand."""
    m = pod["metadata"]
    return copy.deepcopy({k: m[k] for k in ("labels", "annotations", "ownerReferences") if k in m})


@attack("R8", "a pod by hand with the pool's label, owner and annotations, and an agent of the tenant's: it is claimed for a stranger's sandbox", untold=REFUSED)
def a_pod_by_hand_is_claimed(t):
    pool = t.unique("pool")
    t.create(pool_object(pool))
    t.pool_ready(pool)
    real = t.pods(pool=pool)[0]
    meta, spec = copied(real), copy.deepcopy(real["spec"])
    for gone in ("nodeName", "tolerations"):
        spec.pop(gone, None)
    for c in spec["containers"] + spec["initContainers"]:
        c["volumeMounts"] = [m for m in c.get("volumeMounts", []) if "serviceaccount" not in m["mountPath"]]
    # A claim comes first: until the pool has replaced the claimed pod, the pod made by hand is not one too many.
    t.box(pool)
    name = tenants_pod(t, meta, spec=spec)
    if not name:
        return None

    def ready():
        pod = t.find("pods", name)
        expect(pod, "the operator has removed the pod made by hand as one too many")
        return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
    quick(ready, 20)
    box = t.sandbox(pool)
    t.comes(lambda: t.get("Sandbox", box).get("status", {}).get("phase") == "Ready", 15)
    return f"sandbox {box} has the pod made by hand" if t.get("Sandbox", box)["status"].get("podName") == name else None


@attack("R8", "the label and two annotations on an unowned pod of the tenant's: the operator deletes it", untold=REFUSED)
def an_unowned_pod_is_deleted(t):
    t.env.pool("root")
    t.pool_ready("root")
    meta = copied(t.pods(pool="root")[0])
    del meta["ownerReferences"]
    name = tenants_pod(t, meta)
    if not name:
        return None
    return "the operator deleted the tenant's pod" if quick(lambda: is_ending(t, name), 10) else None


@attack("R8", "the pool's label put on a pod that runs", then=True, untold=REFUSED)
def labels_put_on_a_pod(t):
    t.env.pool("root")
    t.pool_ready("root")
    name = tenants_pod(t, {})
    expect(name, "an ordinary pod was refused")
    meta = copied(t.pods(pool="root")[0])
    del meta["ownerReferences"]
    if refused(lambda: t.tenant.merge(path_of(t.ns, "pods", name), {"metadata": meta})):
        return None
    gone = quick(lambda: not t.find("pods", name) or "deletionTimestamp" in t.find("pods", name)["metadata"], 10)
    return "arl's labels were put on a pod" + (", which the operator deleted" if gone else "")


@attack("", "annotations of arl's changed on an idle pod", then=True, untold=REFUSED)
def annotations_of_an_idle_pod(t):
    t.env.pool("root")
    t.pool_ready("root")
    pod = next(p for p in t.pods(pool="root", status="idle"))
    keys = [k for k in pod["metadata"].get("annotations", {}) if k.startswith("arl.infra.io/")]
    expect(keys, f"an idle pod has no annotations of arl's: {pod['metadata']}")
    return None if refused(lambda: t.tenant.merge(path_of(t.ns, "pods", pod["metadata"]["name"]), {"metadata": {"annotations": {keys[0]: "x"}}})) else f"{keys[0]} was changed"


@attack("", "the label arl.infra.io/status taken off a bound pod", then=True, untold=REFUSED)
def labels_of_a_bound_pod(t):
    box = t.sandbox_of("root")
    pod = t.pod_of(box)
    if refused(lambda: t.tenant.merge(path_of(t.ns, "pods", pod["metadata"]["name"]), {"metadata": {"labels": {"arl.infra.io/status": None, "arl.infra.io/pool": "other"}}})):
        return None
    return "arl's labels were changed"


@attack("", "an owner of kind Sandbox put on a pod", then=True, untold=REFUSED)
def an_owner_put_on_a_pod(t):
    box = t.sandbox_of("root")
    name = tenants_pod(t, {})
    owner = {"apiVersion": API, "kind": "Sandbox", "name": box, "uid": t.get("Sandbox", box)["metadata"]["uid"], "controller": True}
    return None if refused(lambda: t.tenant.merge(path_of(t.ns, "pods", name), {"metadata": {"ownerReferences": [owner]}})) else "a pod has a Sandbox as its owner"


@attack("", "kubectl debug --copy-to with the labels kept: the copy is deleted as an orphan", then=True, untold=REFUSED)
def a_copy_with_the_labels(t):
    box = t.sandbox_of("root")
    meta = copied(t.pod_of(box))
    meta.pop("ownerReferences", None)
    name = tenants_pod(t, meta)
    if not name:
        return None
    return "the operator deleted the copy" if quick(lambda: is_ending(t, name), 10) else None


@attack("R10", "a Pod with the pool's label and a controller of kind Sandbox with a name of 600 characters", alone=True, untold=ADMIN)
def an_owner_with_a_long_name(t):
    owner = {"apiVersion": API, "kind": "Sandbox", "name": "a" * 600, "uid": "6b9b6f0e-0000-4000-8000-000000000001", "controller": True}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": t.unique("hand"), "labels": {"arl.infra.io/pool": "x"}, "ownerReferences": [owner]},
           "spec": {"containers": [{**EXECUTOR, "command": ["sleep", "1000"]}], "terminationGracePeriodSeconds": 0}}
    # The administrator creates it: no policy refuses it, and the operator must cope with it.
    with_policy = refused(lambda: t.api.call("POST", path_of(t.ns, "pods"), pod))
    if not with_policy:
        removes(t, path_of(t.ns, "pods", pod["metadata"]["name"]))
    time.sleep(3)       # for the harm to be done


@attack("R10", "a Sandbox's status with a podUID and no podName", then=None, alone=True, seen=["condition Sandbox"])
def a_status_without_a_name(t):
    name = t.sandbox("nowhere")
    t.api.merge(path_of(t.ns, "Sandbox", name) + "/status", {"status": {"phase": "Ready", "podUID": "6b9b6f0e-0000-4000-8000-000000000001"}})
    t.task(name, sh("true"))
    time.sleep(3)       # for the harm to be done


def status_of(kind):
    def f(t):
        box = t.sandbox_of("root")
        name = box if kind == "Sandbox" else t.task(box, sh("sleep 5"))
        status = {"phase": "Ready", "podName": "x"} if kind == "Sandbox" else {"state": "Succeeded", "exitCode": 0}
        return None if refused(lambda: t.tenant.merge(path_of(t.ns, kind, name) + "/status", {"status": status})) else "the status was written"
    f.__name__ = f"the_status_of_a_{kind.lower()}"
    # The tenant's role of this suite has all verbs of the kinds, but not of their subresources.
    return attack("", f"the status of a {kind} written by a tenant", then=False, untold=REFUSED)(f)


status_of("Sandbox")
status_of("Task")


@attack("", "spec.sandboxRef of a task changed after it was made", then=False, untold=REFUSED)
def a_task_sent_elsewhere(t):
    box = t.sandbox_of("root")
    name = t.task(box, sh("sleep 3"))
    return None if refused(lambda: t.tenant.merge(path_of(t.ns, "Task", name), {"spec": {"sandboxRef": "other"}})) else "the task has another sandbox"


@attack("", "a task for a sandbox of another namespace, by names with slashes and dots", then=False, untold=REFUSED)
def a_task_for_another_namespace(t):
    for ref in (f"{t.env.good}/honest", f"../../{t.env.good}/sandboxes/honest", f"honest.{t.env.good}"):
        if refused(lambda r=ref: t.tenant.call("POST", path_of(t.ns, "Task"), {
                "apiVersion": API, "kind": "Task", "metadata": {"name": t.unique("far")}, "spec": {"sandboxRef": r, "steps": [sh(f"touch {WORK}/far")]}})):
            continue
        time.sleep(1)
    out = t.env.honest.out("honest", sh("ls"))
    return "a task ran in another namespace's sandbox" if "far" in out else None


@attack("", "exec into the agent's container: a shell, the installer once more, the runner", then=None, untold="who calls them is told")
def exec_into_the_agents_container(t):
    box = t.sandbox_of("root")
    pod = t.pod_of(box)["metadata"]["name"]
    won = []
    for argv in (["sh", "-c", "id"], ["/usr/bin/arl-sidecar", "install", "--dir", "/arl", "--state", "/var/lib/arl", "--container", "executor"],
                 ["/usr/bin/arl-runner", "run", "--socket", "/arl/executor/sock", "--", "/usr/bin/arl-sidecar", "--version"]):
        try:
            r = t.env.run_kubectl("-n", t.ns, "exec", pod, "-c", "sidecar", "--", *argv, limit=6)
        except subprocess.TimeoutExpired:
            continue
        if r.returncode == 0 and argv[0] == "sh":
            won.append("a shell runs beside the agent")
        if argv[1:2] == ["install"] and (r.returncode != 126 or "runs in this container already" not in r.stderr):
            won.append(f"the installer: exit {r.returncode}, {r.stderr[:200]!r}")
    s = t.run(box, sh("echo true; exit 1"), limit=100)
    return "; ".join(won) or t.true_result(s, 1, "true\n")


def by_the_agents_program(t, pod, argv):
    """Runs arl-sidecar with these arguments in the agent's container. The exit code is 0 if it still runs after 30 s: a refusal ends."""
    command = ["-n", t.ns, "exec", pod, "-c", "sidecar", "--", "/usr/bin/arl-sidecar", *argv]
    try:
        return t.env.run_kubectl(*command, limit=30)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 0, "", "it runs on")


@attack("", "exec into the agent's container: its files by the verbs of the runner, by every path that the program has there", then=None, untold="who calls them is told")
def verbs_in_the_agents_container(t):
    box = t.sandbox_of("root")
    pod = t.pod_of(box)["metadata"]["name"]
    won, program = [], ["/usr/bin/arl-runner", "/arl/executor/runner", "/arl/executor/../executor/runner", "/proc/self/root/usr/bin/arl-runner"]
    verbs = (["ls", "/var/lib/arl"], ["stat", "/"], ["tar", "/var/lib/arl"], ["put", "--size", "0", "/var/lib/arl/journal"],
             ["rm", "-r", "/var/lib/arl"], ["mkdir", "/var/lib/arl/output/x"], ["untar", "/arl/executor"])
    for argv in [[p, "get", "/var/lib/arl/agent-key"] for p in program] + [[program[1], *verb] for verb in verbs]:
        r = t.env.run_kubectl("-n", t.ns, "exec", pod, "-c", "sidecar", "--", *argv, limit=30)
        if r.returncode != 126 or '"error":"HERE"' not in r.stderr or r.stdout:
            won.append(f"{argv}: exit {r.returncode}, {r.stdout[:200]!r} {r.stderr[:200]!r}")
    for argv in (["cat", "../agent-key"], ["cat", "/var/lib/arl/output/../agent-key"], ["cat", "/var/lib/arl/agent-key"]):
        r = by_the_agents_program(t, pod, argv)
        if r.returncode == 0 or r.stdout:
            won.append(f"{argv}: exit {r.returncode}, {r.stdout[:200]!r}")
    s = t.run(box, sh("echo true; exit 1"), limit=100)
    return "; ".join(won) or t.true_result(s, 1, "true\n")


@attack("", "exec into the agent's container: tail of what is no step, of another sandbox's task, of what is no argument; a second agent", then=None,
        untold="who calls them is told")
def tail_in_the_agents_container(t):
    box = t.sandbox_of("root")
    pod, won = t.pod_of(box)["metadata"]["name"], []
    name = t.task(t.sandbox_of("root"), sh("echo secret; sleep 20"))
    uid = t.get("Task", name)["metadata"]["uid"]
    wrong = ["..", "../../var/lib/arl/agent-key", "/var/lib/arl/agent-key", "x/../0", "output/..", f"{uid}/..", f"{uid}/0/../../agent-key", "x" * 20_000 + "/0", "x\n/0"]
    for argv, code in [(["tail", "-f", target], 2) for target in wrong] + [
            (["tail", "-f", "--wait", "1", f"{uid}/0"], 4), (["tail", "--attempt", "99", "x/0"], 2), (["tail", "--state", "/arl/executor", "x/0"], 1),
            (["serve", "--listen", "127.0.0.1:0"], 126)]:
        r = by_the_agents_program(t, pod, argv)
        if r.returncode != code or r.stdout:
            won.append(f"{[a[:80] for a in argv]}: exit {r.returncode}, {r.stdout[:200]!r} {r.stderr[:200]!r}")
    s = t.run(box, sh("echo true; exit 1"), limit=100)
    return "; ".join(won) or t.true_result(s, 1, "true\n")


def ephemeral(t, box, **container):
    """Whether the tenant may add this ephemeral container to the sandbox's pod."""
    path = path_of(t.ns, "pods", t.pod_of(box)["metadata"]["name"]) + "/ephemeralcontainers"
    body = {"spec": {"ephemeralContainers": [{"name": t.unique("debug"), "image": EXECUTOR["image"], "command": ["sleep", "1000"], **container}]}}
    return not refused(lambda: t.tenant.strategic(path, body))


@attack("", "an ephemeral container (kubectl debug) beside the agent's process, whose key root can read there", then=None, untold=REFUSED)
def an_ephemeral_container_beside_the_agent(t):
    box = t.sandbox_of("user")
    expect(t.env.old or ephemeral(t, box, targetContainerName="executor"), "one beside the user's own container was refused")
    return "it was taken" if ephemeral(t, box, targetContainerName="sidecar") else None


@attack("", "an ephemeral container that mounts the volume of the agent's key", then=None, untold=REFUSED)
def an_ephemeral_container_with_the_journal(t):
    box = t.sandbox_of("user")
    won = [v for v in ("arl-journal", "arl") if ephemeral(t, box, volumeMounts=[{"name": v, "mountPath": "/stolen"}])]
    return f"it was taken, with {won}" if won else None


@attack("", "another image for the agent's container of a pod that runs", then=True, untold=REFUSED)
def another_image_for_the_agent(t):
    box = t.sandbox_of("user")
    body = {"spec": {"containers": [{"name": "sidecar", "image": EXECUTOR["image"]}]}}
    return None if refused(lambda: t.tenant.strategic(path_of(t.ns, "pods", t.pod_of(box)["metadata"]["name"]), body)) else "the image was changed"


@attack("R22", "a Task with a finalizer, deleted while it runs: its status stays Running", seen=["condition Task Deleted"])
def a_deleted_task_with_a_finalizer(t):
    box = t.sandbox_of("root")
    name = t.unique("task")
    t.create({"kind": "Task", "metadata": {"name": name, "finalizers": ["example.com/wait"]}, "spec": {"sandboxRef": box, "steps": [sh("sleep 100")]}})
    t.undo.append(lambda: t.merge("Task", name, {"metadata": {"finalizers": []}}))
    t.state(name, "Running")
    t.delete("Task", name)
    return None if t.comes(lambda: t.get("Task", name)["status"]["state"] == "Failed", 10) else f"after 10 s it is {t.get('Task', name)['status']['state']}"


@attack("R22", "a Sandbox with a finalizer, deleted: its status stays Ready", seen=["condition Sandbox Deleted"])
def a_deleted_sandbox_with_a_finalizer(t):
    name = t.unique("box")
    t.create({"kind": "Sandbox", "metadata": {"name": name, "finalizers": ["example.com/wait"]}, "spec": {"poolRef": t.env.pool("root")}})
    t.undo.append(lambda: t.merge("Sandbox", name, {"metadata": {"finalizers": []}}))
    t.phase(name, "Ready")
    t.delete("Sandbox", name)
    return None if t.comes(lambda: t.get("Sandbox", name)["status"]["phase"] == "Failed", 10) else f"after 10 s it is {t.get('Sandbox', name)['status']['phase']}"


@attack("", "a pool deleted and made again while a sandbox waits: the sandbox fails at once", then=True, untold=NO_ATTACK)
def a_pool_made_again(t):
    pool = t.unique("pool")
    obj = pool_object(pool, replicas=0)
    t.create(obj)
    box = t.sandbox(pool)
    wait("the sandbox to wait", lambda: t.get("Sandbox", box).get("status", {}).get("phase") == "Pending", 10)
    time.sleep(11)      # longer than a sandbox waits for a pool that does not exist
    t.delete("WarmPool", pool)
    time.sleep(1)
    t.api.call("POST", path_of(t.ns, "WarmPool"), {**obj, "spec": {**obj["spec"], "replicas": 1}})
    t.comes(lambda: t.get("Sandbox", box)["status"]["phase"] in ("Ready", "Failed"), 15)
    s = t.get("Sandbox", box)["status"]
    return None if s["phase"] != "Failed" else f"it failed: {json.dumps(s['conditions'])[:200]}"
