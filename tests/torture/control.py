"""An operator, one of whose calls fails, serves a pool, a sandbox and a task, with a small API server and a real sidecar and runner."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading

import harness
from fake_api import Cluster, Server
from tools import Fault, Finding, address, check_log, outcome, tail

NS = "default"
TASK_S = 60         # for a task to end: an operator that has lost a connection pauses before it tries again
STOP_S = 15
FILE = "hello\n"
SHARED = {}


def prepare(folder):
    cert = os.path.join(folder, "cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", cert + ".key", "-out", cert],
                   check=True, stderr=subprocess.DEVNULL)
    with open(cert, encoding="utf-8") as f:
        SHARED["ca"] = f.read()
    with open(cert, "a", encoding="utf-8") as f, open(cert + ".key", encoding="utf-8") as key:
        f.write(key.read())
    SHARED["cert"] = cert


class Control:
    def __init__(self, build, cls, k):
        self.build, self.ends = build, set()
        self.dir = tempfile.mkdtemp(prefix="arl-torture-")
        self.pod = harness.Pod(build)
        self.pod.host, self.pod.port = address(), harness.AGENT_PORT
        self.listen = "127.0.0.1:0"
        self.cluster = Cluster(harness.POD, self.pod.host, self.pod.message)
        self.server = Server(self.cluster, SHARED["cert"])
        self.fault = Fault(build, self.dir, cls, k)
        self.operator, self.faulty, self.log = None, True, os.path.join(self.dir, "log")
        self.lock = threading.Lock()
        self.write("key", "%s:%s" % (self.pod.key.id, harness.url64(self.pod.key.secret.raw[:32])))
        self.write("token", "a-token")
        self.write("ca", SHARED["ca"])
        self.write("config", json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{self.server.port}", "certificate-authority": "ca"}}],
            "users": [{"name": "u", "user": {"tokenFile": "token"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": NS}}]}))

    def write(self, name, text):
        with open(os.path.join(self.dir, name), "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(text)

    def said(self):
        with open(self.log, "rb") as f:
            return f.read()

    def start(self):
        env = {**os.environ, **(self.fault.env if self.faulty else {})}
        with open(self.log, "ab") as f:
            self.operator = subprocess.Popen(
                [os.path.join(self.build, "operator/arl-operator"), "--kubeconfig", os.path.join(self.dir, "config"),
                 "--signing-key", os.path.join(self.dir, "key"), "--sidecar-image", "sidecar", "--listen", self.listen,
                 "--identity", "torture", "--log-level", "debug"],
                env=env, stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        threading.Thread(target=self.watch, args=(self.operator,), daemon=True).start()

    def watch(self, process):
        """Waits for the end of the operator, and then wakes those who wait for a change of the cluster."""
        process.wait()
        with self.cluster.changed:
            self.cluster.changed.notify_all()

    def ended(self):
        if not self.faulty:
            raise Finding(f"an operator without a fault has ended with {self.operator.returncode}: {tail(self.said())}")
        self.ends.add(self.fault.end("operator", self.operator.returncode, self.said()))
        self.faulty = False

    def until(self, condition, what):
        """Waits until the condition is true. Starts the operator again when it has ended."""
        for _ in range(2):
            if not self.operator:
                self.start()
            if not self.cluster.wait(lambda: condition() or self.operator.poll() is not None, TASK_S):
                raise Finding(f"HANG: no {what} within {TASK_S} s: {tail(self.said(), 25)}")
            if condition():
                return
            self.ended()
            self.operator = None
        raise Finding("the operator does not stay")

    def status(self, plural, name):
        return self.cluster.objects[(plural, NS, name)].get("status", {})

    def stop_operator(self):
        self.operator.send_signal(signal.SIGTERM)
        try:
            code = self.operator.wait(STOP_S)
        except subprocess.TimeoutExpired as e:
            raise Finding(f"HANG: the operator does not end on SIGTERM: {tail(self.said())}") from e
        if code != 0:
            self.ended()

    def close(self):
        if self.operator and self.operator.poll() is None:
            self.operator.kill()
            self.operator.wait()
        self.server.stop()
        self.pod.stop()
        self.pod.remove()
        shutil.rmtree(self.dir, ignore_errors=True)

    def lines(self, name):
        try:
            with open(os.path.join(self.pod.work, name), encoding="utf-8") as f:
                return len(f.readlines())
        except FileNotFoundError:
            return 0


TEMPLATE = {"spec": {"containers": [{"name": "executor", "image": "x"}]}}


def step(number, text):
    return {"name": str(number), "type": "Command", "command": ["sh", "-c", f"echo x >> {number}; {text}"]}


def create(c):
    steps = [step(1, "echo one"), {"name": "2", "type": "FilePatch", "path": "f", "content": FILE}, step(3, "cat f; echo err >&2")]
    for s in steps:
        s["workDir"] = c.pod.work
    c.cluster.create("warmpools", NS, {"metadata": {"name": "pool"}, "spec": {"replicas": 1, "template": TEMPLATE}})
    c.cluster.create("sandboxes", NS, {"metadata": {"name": "box"}, "spec": {"poolRef": "pool", "keepAlive": True}})
    c.cluster.create("tasks", NS, {"metadata": {"name": "task"}, "spec": {"sandboxRef": "box", "timeout": "20s", "steps": steps}})


def check_task(c):
    s = c.status("tasks", "task")
    if s["state"] == "Succeeded":
        got = (s.get("exitCode"), s.get("stdout"), s.get("stderr"), [x.get("exitCode") for x in s.get("steps", [])], c.lines("1"), c.lines("3"))
        if got != (0, "one\nFile created: f\n" + FILE, "err\n", [0, 0, 0], 1, 1):
            raise Finding(f"a false success: {got}")
    elif not s.get("exitCode") or not s.get("stderr"):
        raise Finding(f"it failed and does not say why: {s}")
    for name in ("1", "3"):
        if c.lines(name) > 1:
            raise Finding(f"step {name} ran {c.lines(name)} times")
    if s.get("attempt", 1) != 1:
        raise Finding(f"it was tried {s['attempt']} times")
    return s["state"] == "Succeeded"


def check_owners(c):
    owners = c.cluster.owners
    if len({pod for pod, _ in owners}) != len(owners) or len({box for _, box in owners}) != len(owners):
        raise Finding(f"a pod with two owners or a sandbox with two pods: {owners}")
    box = c.status("sandboxes", "box")
    if box.get("phase") != "Ready" or not box.get("podIP"):
        raise Finding(f"the sandbox is not Ready: {box}")


def scenario(c):
    c.pod.start()
    create(c)
    c.until(lambda: c.status("tasks", "task").get("state") in ("Succeeded", "Failed"), "end of the task")
    well = check_task(c)
    check_owners(c)
    # An idle pod again, and the pool's status says so: everything goes on.
    c.until(lambda: c.status("warmpools", "pool").get("allocatedReplicas") == 1
            and len([k for k in c.cluster.objects if k[0] == "pods"]) == 2, "second pod of the pool")
    c.stop_operator()
    check_task(c)
    if len([k for k in c.cluster.objects if k[0] == "pods"]) != 2:
        raise Finding("the pool has more pods than it should")
    return well


def run(build, cls, k, keep_count=None):
    c = Control(build, cls, k)
    try:
        well = scenario(c)
        check_log("operator", c.said())
        count, hit, _ = c.fault.read()
        if keep_count is not None:
            keep_count.append(count)
        return outcome(c.ends, well, hit or k == 0)
    except Finding as e:
        raise Finding("(%s) %s" % (c.fault.read()[2], e)) from e
    finally:
        c.close()

