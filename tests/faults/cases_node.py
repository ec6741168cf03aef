"""The node of the pods is lost: nothing on it can be reached any more, but its processes run on."""
import contextlib
import datetime
import os
import signal
import threading

import tools
from base import Work
from harness import case, condition, contains, equal, expect, is_ready, sh, wait
from tools import WORK, lines

# kube-controller-manager takes the node for lost after 50 s (--node-monitor-grace-period), and deletes its pods this much later (300 s
# by default). Between the two, after a minute without an answer of its agent, a task is given up.
TOLERATION_S = 60
LOST_S = 50 + TOLERATION_S
BEAT_S = 5


class OtherNode:
    """A healthy node that is only an object. Without a healthy node kube-controller-manager deletes no pods: it takes itself for cut
    off."""

    def __init__(self, api):
        self.api, self.name, self.stopping = api, f"other-{os.getpid()}", threading.Event()
        self.lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        self.thread = threading.Thread(target=self.beat)

    @staticmethod
    def now():
        return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def spec(self):
        return {"holderIdentity": self.name, "leaseDurationSeconds": 40, "renewTime": self.now()}

    def __enter__(self):
        self.api.call("POST", "/api/v1/nodes", {"metadata": {"name": self.name}, "spec": {"unschedulable": True}})
        self.api.call("POST", self.lease, {"metadata": {"name": self.name}, "spec": self.spec()})
        self.api.merge(f"/api/v1/nodes/{self.name}/status", {"status": {"conditions": [
            {"type": "Ready", "status": "True", "reason": "Ready", "message": "", "lastHeartbeatTime": self.now(), "lastTransitionTime": self.now()}]}})
        self.thread.start()

    def beat(self):
        while not self.stopping.wait(BEAT_S):
            self.api.merge(f"{self.lease}/{self.name}", {"spec": self.spec()})

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()
        self.api.call("DELETE", f"{self.lease}/{self.name}")
        self.api.call("DELETE", f"/api/v1/nodes/{self.name}")


@contextlib.contextmanager
def cut_off(t, pod_uids):
    """Within the block, the node looks cut off: the kubelet and the agents are stopped, so they do not answer. Steps run on."""
    def kubelet(how):
        r = t.env.cluster_command("exec", "pkill", f"-{how}", "-f", "kubelet --config=")
        equal(r.returncode, 0, f"pkill: {r.stderr}")
    agents = [tools.sidecar_pid(uid) for uid in pod_uids]
    try:
        kubelet("STOP")
        for pid in agents:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in agents:
            os.kill(pid, signal.SIGCONT)
        kubelet("CONT")


def one_is_lost(t, w, box):
    """Checks what is to be seen while the node is lost, from the first sign to the last."""
    s = wait("the task to be given up", lambda: w.states.finals.get("long") and t.get("Task", "long")["status"], LOST_S)
    equal((s["state"], condition({"status": s}, "Succeeded").get("reason")), ("Failed", "AgentUnavailable"), "the task's end")
    equal(t.get("Sandbox", box)["status"]["phase"], "Ready", "the phase of a sandbox whose pod may come back")

    wait("its pods not to be ready", lambda: not [p for p in t.pods() if is_ready(p)], LOST_S)
    wait("the pool to say so", lambda: t.get("WarmPool", "pool")["status"].get("readyReplicas", 0) == 0, 30)
    t.sandbox("pool", "late", idleTimeoutSeconds=0)

    def failed():
        s = t.get("Sandbox", box)["status"]
        expect(s["phase"] == "Failed", f"the sandbox: {s}")
        return s
    s = wait("the sandbox to fail, as its pod is deleted", failed, LOST_S)
    equal(condition({"status": s}, "Ready").get("reason"), "PodLost", "why the sandbox failed")
    contains(condition({"status": s}, "Ready").get("message"), s["podName"], what="the message")
    equal(t.get("Sandbox", "late")["status"]["phase"], "Pending", "the phase of a sandbox that finds no ready pod")


@case(alone=True)
def a_node_that_is_lost(t):
    tolerations = [{"key": f"node.kubernetes.io/{k}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_S}
                   for k in ("not-ready", "unreachable")]
    with Work(t, 2, tolerations=tolerations) as w:
        box = w.sandbox()
        pod = t.phase(box, "Ready")["podUID"]
        t.create({"kind": "Task", "metadata": {"name": "long"}, "spec": {
            "sandboxRef": box, "steps": [sh(f"echo x >> {WORK}/long; sleep 600")], "timeout": "20m"}})
        wait("the task to run", lambda: lines(os.path.join(w.folder, "long")), 30)
        t.pool_ready("pool")
        with OtherNode(t.api), cut_off(t, [pod]):
            one_is_lost(t, w, box)
        t.phase("late", "Ready")
        w.drop("late")
        w.settle([box])
        equal(lines(os.path.join(w.folder, "long")), ["x"], "how often the step began")
