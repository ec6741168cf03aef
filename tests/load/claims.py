"""A thousand claims at once, while each write takes long: the operator keeps the Lease.

The operator runs beside the cluster, behind the proxy of the suite faults. The pods are on no node, since no tasks run in them: the
test itself writes that they are ready.
"""
import concurrent.futures
import os
import re
import sys
import time

TESTS = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
for suite in ("exec", "faults"):
    sys.path.insert(0, os.path.join(TESTS, suite))
import base  # noqa: E402
import harness  # noqa: E402
from harness import expect, equal, path_of, wait  # noqa: E402

WRITE_S = 0.3
AGENT_KEY = "3kfnQ0nVY2yWcJ8nIJ3h8mvJHBs1B1qVbQyX7V8o4zA"     # a public key to which no agent has the private one
LEASE = "/apis/coordination.k8s.io/v1/namespaces/arl-system/leases/arl-operator"


def constant(name):
    """A constant of lease_step.h in milliseconds, returned in seconds."""
    with open(os.path.join(harness.ROOT, "operator", "kube", "lease_step.h"), encoding="utf-8") as f:
        return int(re.search(rf"#define {name} (\d+)", f.read())[1]) / 1000


class Lease:
    """The operator's Lease, with the time of each renewal, as the proxy sees them."""

    def __init__(self, env):
        self.env = env
        self.renewals = [time.monotonic()]
        self.first = self.spec()

    def spec(self):
        return self.env.api.get(LEASE)["spec"]

    def note(self, moment, request):
        if moment == "applied" and request.writes("leases") and request.status < 300:
            self.renewals.append(time.monotonic())

    def longest_s(self):
        times = sorted(self.renewals) + [time.monotonic()]
        return max(b - a for a, b in zip(times, times[1:]))

    def check(self):
        now = self.spec()
        for field in ("holderIdentity", "acquireTime", "leaseTransitions"):
            equal(now.get(field), self.first.get(field), f"the Lease's {field}")
        limit = constant("LEASE_RENEW_DEADLINE_MS")
        expect(self.longest_s() < limit, f"{self.longest_s():.1f} s between two renewals, {limit:.0f} are the limit")


def pool_of(t, count):
    """Makes a pool whose pods are on no node, and writes that they are ready. Returns when the operator has counted them."""
    t.create(harness.pool_object("pool", replicas=count, spec={"schedulerName": "nobody", "containers": [
        {"name": "executor", "image": harness.IMAGES["busybox"], "command": ["sleep", "1000000"]}]}))
    done = set()

    def make_ready(pod):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        n = int(pod["metadata"]["uid"][:6], 16)
        ended = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now, "message": f"arl-agent-key:{AGENT_KEY}"}
        ip = f"127.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}"
        t.api.merge(path_of(t.ns, "pods", pod["metadata"]["name"]) + "/status", {"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "startTime": now,
            "conditions": [{"type": k, "status": "True", "lastTransitionTime": now} for k in ("Initialized", "Ready", "ContainersReady")],
            "initContainerStatuses": [{"name": c["name"], "image": c["image"], "imageID": "", "ready": True, "restartCount": 0,
                                       "state": {"terminated": ended}} for c in pod["spec"]["initContainers"]],
            "containerStatuses": [{"name": c["name"], "image": c["image"], "imageID": "", "ready": True, "started": True, "restartCount": 0,
                                   "state": {"running": {"startedAt": now}}} for c in pod["spec"]["containers"]]}})
        done.add(pod["metadata"]["name"])

    def look():
        pods = t.api.get(path_of(t.ns, "pods"))["items"]
        with concurrent.futures.ThreadPoolExecutor(4) as threads:
            list(threads.map(make_ready, [p for p in pods if p["metadata"]["name"] not in done]))
        ready = t.get("WarmPool", "pool").get("status", {}).get("readyReplicas", 0)
        expect(len(done) >= count and ready >= count, f"{len(pods)} pods, {ready} of them ready as the pool says")
        return True
    wait(f"{count} pods that are said to be ready", look, 60 + count // 4)


def memory_kib(env):
    """The anonymous memory of the operator's process, in KiB."""
    with open(f"/proc/{env.operator.process.pid}/status", encoding="utf-8") as f:
        return int(re.search(r"RssAnon:\s*(\d+)", f.read())[1])


def make_sandboxes(t, count):
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda i: t.create({"kind": "Sandbox", "metadata": {"name": f"box-{i}"},
                                             "spec": {"poolRef": "pool", "idleTimeoutSeconds": 0}}), range(count)))


def all_ready(t, count):
    items = t.api.get(path_of(t.ns, "Sandbox"))["items"]
    phases = [o.get("status", {}).get("phase") for o in items]
    expect("Failed" not in phases, "a sandbox has failed")
    ready = phases.count("Ready")
    expect(ready == count, f"{ready} of {count} are Ready")
    return True


def claims_leave_the_lease(env, t, count, figure):
    empty = memory_kib(env)
    pool_of(t, count)
    filled = memory_kib(env)
    lease = Lease(env)

    def hook(moment, request):
        if moment == "before" and request.method != "GET":
            time.sleep(WRITE_S)
        lease.note(moment, request)
    env.proxy.hook = hook
    began = time.monotonic()
    make_sandboxes(t, count)
    made = time.monotonic() - began
    wait(f"{count} sandboxes to be Ready", lambda: all_ready(t, count), 60 + count)
    took = time.monotonic() - began
    env.proxy.hook = None
    figure(f"{count} claims at once, {WRITE_S * 1000:.0f} ms a write: made in {made:.1f} s, all Ready after {took:.1f} s, "
           f"{len(lease.renewals) - 1} renewals of the Lease, at most {lease.longest_s():.1f} s apart")
    figure(f"the operator's own memory: {empty} KiB when empty, {(filled - empty) * 1000 / count:.0f} more for 1,000 pods, "
           f"{(memory_kib(env) - filled) * 1000 / count:.0f} more for 1,000 sandboxes that have one")
    lease.check()
    # In a shorter time the Lease could not run out, and the test would show nothing.
    expect(took > constant("LEASE_DURATION_MS"), f"{took:.0f} s are too short to tell: more claims are needed")


class Env(base.FaultsEnv):
    shared_image = "busybox"
