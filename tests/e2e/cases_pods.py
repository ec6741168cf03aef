"""Pods that are not arl's, pods that became useless, and templates that ask for too much."""
import json
import os
import subprocess
import tempfile

from harness import PATIENCE, ROOT, ApiError, case, condition, contains, equal, expect, is_ready, path_of, pool_object, sh, wait

BUSYBOX = "localhost/arl-test/busybox:1"
UNTIL_STOP = ["/bin/sh", "-c", "while [ ! -e /workspace/stop ]; do sleep 0.2; done; rm -f /workspace/stop"]
CPU = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}}


def stoppable(policy="Always"):
    return {"restartPolicy": policy, "containers": [{"name": "executor", "image": BUSYBOX, "command": UNTIL_STOP}]}


def copy_of(pod, name, owners=True):
    """A copy of a warm pod, as anybody who may create pods can make it: it becomes ready, but has neither agent nor runner."""
    md = pod["metadata"]
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": md["labels"], "annotations": md["annotations"], "ownerReferences": md["ownerReferences"] if owners else []},
            "spec": {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": False,
                     "containers": [{"name": "executor", "image": BUSYBOX, "command": ["sleep", "3600"]}]}}


def pod_ready(t, name):
    wait(f"pod {name} to be ready", lambda: is_ready(t.api.get(path_of(t.ns, "pods", name))), 60)


@case(slow=True)
def hand_made_pods_are_never_claimed_counted_or_deleted(t):
    t.pool(replicas=1)
    idle = t.pods(status="idle")[0]
    t.kubectl("create", "-f", "-", body=copy_of(idle, "evil"))
    t.kubectl("create", "-f", "-", body=copy_of(idle, "evil-orphan", owners=False))
    for name in ("evil", "evil-orphan"):
        pod_ready(t, name)
    boxes = [t.box() for _ in range(2)]
    pods = {t.get("Sandbox", b)["status"]["podName"] for b in boxes}
    expect(not pods & {"evil", "evil-orphan"} and idle["metadata"]["name"] in pods, f"the pods of the sandboxes: {pods}")
    t.pool_ready("pool")
    status = t.get("WarmPool", "pool")["status"]
    equal((status["replicas"], status["readyReplicas"], status["allocatedReplicas"]), (1, 1, 2), "what the pool counts")
    for name in ("evil", "evil-orphan"):
        md = t.api.get(path_of(t.ns, "pods", name))["metadata"]
        expect("deletionTimestamp" not in md and md["labels"]["arl.infra.io/status"] == "idle", f"{name}: {md}")
    wait("the Event ForeignPod", lambda: t.events("pool", "ForeignPod"), 30)


@case()
def a_hand_made_pod_does_not_bind_itself_to_a_sandbox(t):
    t.pool("source")
    t.pool(replicas=0)
    box = t.sandbox()
    pod = copy_of(t.pods(pool="source")[0], "evil")
    sandbox = wait("the sandbox to wait", lambda: (lambda s: s if s.get("status", {}).get("phase") == "Pending" else None)(t.get("Sandbox", box)), 20)
    pod["metadata"]["labels"] = {**pod["metadata"]["labels"], "arl.infra.io/pool": "pool", "arl.infra.io/sandbox": box, "arl.infra.io/status": "allocated"}
    pod["metadata"]["ownerReferences"] = [{"apiVersion": "arl.infra.io/v1alpha1", "kind": "Sandbox", "name": box, "uid": sandbox["metadata"]["uid"],
                                           "controller": True}]
    t.kubectl("create", "-f", "-", body=pod)
    pod_ready(t, "evil")
    t.kubectl("scale", "wp/pool", "--replicas=1")
    expect(t.phase(box, "Ready")["podName"] != "evil", "the sandbox has the pod that says so itself")


class Tenant:
    """A ServiceAccount that may do anything with pods of the namespace, signed in by a token of its own."""

    def __init__(self, t):
        t.kubectl("create", "serviceaccount", "tenant")
        t.kubectl("create", "role", "tenant", "--verb=*", "--resource=pods,pods/status,pods/ephemeralcontainers")
        t.kubectl("create", "rolebinding", "tenant", "--role=tenant", f"--serviceaccount={t.ns}:tenant")
        config = json.loads(t.env.run_kubectl("config", "view", "--raw", "--minify", "-o", "json").stdout)
        config["users"][0]["user"] = {"token": t.kubectl("create", "token", "tenant").strip()}
        self.t = t
        self.folder = tempfile.TemporaryDirectory(prefix="arl-tenant-")
        self.config = os.path.join(self.folder.name, "kubeconfig")
        with open(self.config, "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            json.dump(config, f)

    def kubectl(self, *args, body=None):
        r = subprocess.run(self.t.env.kubectl + ["--kubeconfig", self.config, "-n", self.t.ns, *args], input=json.dumps(body) if body else None,
                           capture_output=True, text=True, timeout=60 * PATIENCE)
        return r.returncode, r.stderr


@case()
def tenants_cannot_say_that_a_pod_is_arls(t):
    if t.env.operator.argv:
        return      # an operator beside the cluster: the manifests need not be installed
    t.pool()
    idle = t.pods(status="idle")[0]
    tenant = Tenant(t)
    plain = copy_of(idle, "plain", owners=False)
    plain["metadata"].pop("annotations")
    plain["metadata"]["labels"] = {"app": "mine"}
    equal(tenant.kubectl("create", "-f", "-", body=plain)[0], 0, "a pod of the tenant's own")
    for what, body in (("a copy", copy_of(idle, "evil")), ("a copy without owner", copy_of(idle, "evil", owners=False)),
                       ("an owner", {**plain, "metadata": {"name": "evil", "ownerReferences": idle["metadata"]["ownerReferences"]}})):
        rc, said = tenant.kubectl("create", "-f", "-", body=body)
        expect(rc != 0 and "arl.infra.io" in said and "arl's operator only" in said, f"{what}: {rc} {said[:300]}")
    for patch in ({"labels": {"arl.infra.io/status": "allocated"}}, {"annotations": {"arl.infra.io/seal": None}}):
        rc, said = tenant.kubectl("patch", "pod", idle["metadata"]["name"], "--type=merge", "-p", json.dumps({"metadata": patch}))
        expect(rc != 0 and "arl's operator only" in said, f"{patch}: {rc} {said[:300]}")
    t.alive(t.box())


@case(slow=True)
def a_container_that_is_started_anew_is_told(t):
    t.pool(spec=stoppable())
    box = t.box()
    t.out(box, sh("echo lost > /root-file 2>/dev/null || echo lost > /tmp/root-file"))
    t.run(box, sh("touch /workspace/stop; sleep 5"))

    def told():
        c = [c for c in t.get("Sandbox", box)["status"]["conditions"] if c["type"] == "ContainerRestarted"]
        return c and c[0]
    c = wait("the condition ContainerRestarted", told, 60)
    equal((c["status"], "container executor was started anew" in c["message"]), ("True", True), f"the condition: {c}")
    equal(t.get("Sandbox", box)["status"]["containerRestarts"], 1, "status.containerRestarts")
    wait("its Event", lambda: t.events(box, "ContainerRestarted"), 30)
    wait("the sandbox to serve again", lambda: t.run(box, sh("ls /root-file /tmp/root-file 2>/dev/null; echo again"))["stdout"] == "again\n", 90)


@case(slow=True)
def a_container_that_ends_for_good_fails_its_sandbox_at_once(t):
    t.pool(spec=stoppable("Never"))
    box = t.box()
    t.task(box, sh("touch /workspace/stop; sleep 600"), name="under-way")
    status = t.phase(box, "Failed", 30)
    reason = [c for c in status["conditions"] if c["type"] == "Ready"][0]
    equal(reason["reason"], "PodBroken", "why the sandbox failed")
    contains(reason["message"], "container executor has ended", what="the message")
    # The agent sees that its runner is gone, and may say so before the kubelet reports the pod's end.
    t.finished("under-way", 10)
    expect(condition(t.get("Task", "under-way"), "Finished")["reason"] in ("AgentRestarted", "SandboxFailed"), "why the task that ran failed")
    after = t.task(box, sh("true"))
    s = t.finished(after, 10)
    equal(condition(t.get("Task", after), "Finished")["reason"], "SandboxFailed", "why the next task failed")
    contains(s["stderr"], "container executor has ended", what="its stderr")
    # The pool replaces its idle pods.
    t.pool_ready("pool")
    idle = t.pods(status="idle")[0]["metadata"]
    t.kubectl("exec", idle["name"], "-c", "executor", "--", "touch", "/workspace/stop")
    t.gone("pods", idle["name"], 60)
    t.pool_ready("pool")


@case()
def templates_that_reach_out_are_refused(t):
    executor = {"name": "executor", "image": BUSYBOX}
    rows = {
        "capability": ({"containers": [{**executor, "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}, "container executor: ", "SYS_ADMIN"),
        "port": ({"containers": [{**executor, "ports": [{"containerPort": 80, "hostPort": 80}]}]}, "container executor: ", "hostPort"),
        "profile": ({"containers": [executor], "securityContext": {"seccompProfile": {"type": "Unconfined"}}}, "seccompProfile.type Unconfined"),
        "priority": ({"containers": [executor], "priorityClassName": "system-node-critical"}, "priorityClassName system-node-critical"),
        "node": ({"containers": [executor], "nodeName": "somewhere"}, "nodeName somewhere"),
        "init": ({"containers": [executor], "initContainers": [{"name": "first", "image": BUSYBOX, "securityContext": {"privileged": True}}]},
                 "container first: ", "privileged"),
        "runner": ({"containers": [{**executor, "volumeMounts": [{"name": "arl", "mountPath": "/x"}]}]}, "container executor: ", "volume arl"),
        "journal": ({"containers": [{**executor, "volumeMounts": [{"name": "arl-journal", "mountPath": "/x"}]}]}, "container executor: ", "volume arl-journal"),
    }
    for name, (spec, *_) in rows.items():
        t.pool(name, spec=spec, ready=False)
    for name, (_, *texts) in rows.items():
        c = wait(f"{name} to say so", lambda n=name: (lambda p: condition(p, "PodsFailing") if p.get("status", {}).get("phase") == "Degraded" else None)(
            t.get("WarmPool", n)), 30)
        equal(c["reason"], "InvalidTemplate", f"the reason of {name}")
        contains(c["message"], *texts, what=f"the message of {name}")
    equal(t.pods(), [], "pods of them")


@case(slow=True)
def limit_ranges_and_quotas_can_be_satisfied(t):
    t.kubectl("create", "-f", "-", body={"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "least"},
                                         "spec": {"limits": [{"type": "Container", "min": {"cpu": "50m"}}]}})
    t.kubectl("create", "-f", "-", body={"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "most"}, "spec": {"hard": {"limits.cpu": "2"}}})
    t.create(pool_object("bare"))
    c = wait("the bare pool to say so", lambda: (lambda p: condition(p, "PodsFailing") if p.get("status", {}).get("phase") == "Degraded" else None)(
        t.get("WarmPool", "bare")), 60)
    contains(c["message"], "cpu", what="its message")
    t.pool(spec={"containers": [{"name": "executor", "image": BUSYBOX, "resources": CPU}, {"name": "sidecar", "resources": CPU}]})
    pod = t.pods(pool="pool")[0]["spec"]
    for c in pod["initContainers"] + pod["containers"]:
        equal(c["resources"]["limits"]["cpu"], "100m", f"limits.cpu of {c['name']}")
    t.alive(t.box())


def budget(t, name, generation=1):
    """The budget's status, once the disruption controller has counted for this generation. If it cannot count, it says SyncFailed."""
    def look():
        s = t.api.get(f"/apis/policy/v1/namespaces/{t.ns}/poddisruptionbudgets/{name}").get("status", {})
        expect(s.get("observedGeneration", 0) >= generation and s["currentHealthy"] == s["expectedPods"] > 0, f"{s}")
        expect([c["reason"] for c in s["conditions"]] in (["SufficientPods"], ["InsufficientPods"]), f"conditions: {s['conditions']}")
        return s["expectedPods"], s["disruptionsAllowed"]
    return wait(f"PodDisruptionBudget {name} to be counted", look, 20)


def evict(t, pod):
    """Evicts a pod as kubectl drain does. Returns the message of the refusal; "" if there is none."""
    try:
        t.api.call("POST", path_of(t.ns, "pods", pod) + "/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}})
    except ApiError as e:
        equal(e.status, 429, "HTTP status")
        return e.message
    return ""


@case(slow=True)
def disruption_budgets_count_pods_in_use_and_idle_ones(t):
    """deploy/poddisruptionbudget.yaml. For maxUnavailable the controller asks the scale of the pods' owners, WarmPool and Sandbox."""
    t.pool(replicas=2)
    box, other = t.box(), t.box()
    t.warm(2)
    t.kubectl("apply", "-f", os.path.join(ROOT, "deploy", "poddisruptionbudget.yaml"))
    equal((budget(t, "arl-sandboxes"), budget(t, "arl-idle")), ((2, 0), (2, 1)), "pods, and how many may be away, in use and idle")
    used, idle = t.pod_of(box)["metadata"]["name"], t.pods(status="idle")[0]["metadata"]
    contains(evict(t, used), "disruption budget", what="the refusal of a pod in use")
    equal(evict(t, idle["name"]), "", "the refusal of an idle pod")
    t.gone("pods", idle["name"], 60, idle["uid"])
    t.warm(2)
    t.alive(box)
    contains(t.kubectl("scale", f"sandbox/{box}", "--replicas=0", fails=True), "spec.replicas is always 1, a Sandbox has one pod; delete the Sandbox to end it")
    path = f"/apis/policy/v1/namespaces/{t.ns}/poddisruptionbudgets/arl-sandboxes"
    t.api.merge(path, {"spec": {"maxUnavailable": "50%"}})
    equal(budget(t, "arl-sandboxes", 2), (2, 1), "pods in use, and how many may be away with 50%")
    t.api.merge(path, {"spec": {"maxUnavailable": None, "minAvailable": "100%"}})
    equal(budget(t, "arl-sandboxes", 3), (2, 0), "pods in use, and how many may be away with minAvailable 100%")
    t.api.merge(path, {"spec": {"minAvailable": 1}})
    equal(budget(t, "arl-sandboxes", 4), (2, 1), "pods in use, and how many may be away with minAvailable 1")
    equal(evict(t, t.pod_of(other)["metadata"]["name"]), "", "the refusal of the one that may be away")
    s = t.phase(other, "Failed")
    equal(s["conditions"][0]["reason"], "PodLost", "why the other sandbox failed")
    t.alive(box)
