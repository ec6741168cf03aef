"""What the cases of this suite use beside e2e's tools: an operator beside the cluster, the node's files and processes, watches."""
import atexit
import contextlib
import glob
import http.client
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.append(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import harness  # noqa: E402
from harness import IMAGES, ROOT, expect, path_of, wait  # noqa: E402
from memory import Sampler  # noqa: E402
from ports import free_port  # noqa: E402

NUMBERS = {"sidecar": 10, "operator": 5, "pod": 8}
LONG = {"sidecar": 500, "operator": 500, "pod": 200}
WORK = "/workspace"
FINAL = ("Succeeded", "Failed")
SYSTEM = "arl-system"


def choose_numbers(args):
    if args.long or os.environ.get("ARL_LONG") == "1":
        NUMBERS.update(LONG)
    for what in NUMBERS:
        given = getattr(args, f"{what}_kills")
        if given is not None:
            NUMBERS[what] = given


def figure(text):
    print(f"# {text}", flush=True)


def load(name, *path):
    """Loads a file of another suite as a module with this name. The file need not end with .py."""
    loader = importlib.machinery.SourceFileLoader(name, os.path.join(ROOT, "tests", *path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


INTEG = load("integ_harness", "integ", "harness.py")    # the signing client of the suite integ
Runner = load("e2e_run", "e2e", "run").Runner
harness.CASES.clear()                                   # the cases of e2e: the loading above has added them


class ExecEnv(harness.Env):
    shared_image = "python"  # some cases run Python scripts inside of the pods
    shared_replicas = 2

    def __init__(self):
        if not os.environ.get("KUBECONFIG"):
            r = subprocess.run([harness.CLUSTER, "kubeconfig"], check=True, capture_output=True, text=True)
            os.environ["KUBECONFIG"] = r.stdout.strip()
        self.port = free_port()
        super().__init__(self.operator_command())
        expect(self.cluster, "this suite needs the local cluster, whose node can be reached")
        self.folder = tempfile.mkdtemp(prefix="arl-exec-", dir="/var/tmp")
        os.chmod(self.folder, 0o777)
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.operator_answers()

    def operator_command(self):
        build = os.environ.get("ARL_BUILD_RELEASE") or os.path.join(ROOT, "build-gcc-release")
        binary = os.path.join(build, "operator", "arl-operator")
        expect(os.path.exists(binary), f"there is no {binary}: set ARL_BUILD_RELEASE to a meson build folder")
        # hostPath templates, so that the steps' files outlive their pods.
        return (f"{binary} --sidecar-image={self.take_over()} --signing-secret=arl-signing-key "
                f"--listen=127.0.0.1:{self.port} --allow-privileged-templates --identity=beside-{os.getpid()}")

    def take_over(self):
        """Scales the cluster's own operator to 0 until the end of the suite. Returns the image of the sidecar."""
        def kubectl(*args):
            r = subprocess.run(["kubectl", "-n", SYSTEM, *args], capture_output=True, text=True, timeout=120)
            expect(r.returncode == 0, f"kubectl {' '.join(args)}: {r.stderr.strip()}")
            return r.stdout
        deployment = json.loads(kubectl("get", "deployment", "arl-operator", "-o", "json"))
        atexit.register(kubectl, "scale", "deployment/arl-operator", f"--replicas={deployment['spec']['replicas'] or 1}")
        kubectl("scale", "deployment/arl-operator", "--replicas=0")
        kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator", "--timeout=60s")
        container = deployment["spec"]["template"]["spec"]["containers"][0]
        return {e["name"]: e.get("value") for e in container["env"]}["ARL_SIDECAR_IMAGE"]

    def operator_answers(self):
        def look():
            expect(self.operator.process.poll() is None, f"the operator ended: {self.operator.logs(5)}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                c.request("GET", "/readyz")
                return c.getresponse().status == 200
        wait("the operator to be ready", look, 60)

    def host_pool(self, t, replicas, name="pool", **spec):
        """Makes a pool whose workspace is a folder of this machine, which all its pods share. spec: further fields of the pods' spec.
        Returns the folder."""
        folder = tempfile.mkdtemp(dir=self.folder)
        os.chmod(folder, 0o777)
        t.pool(name, replicas=replicas, spec={
            "volumes": [{"name": "workspace", "hostPath": {"path": folder}}],
            "containers": [{"name": "executor", "image": IMAGES["busybox"],
                            "volumeMounts": [{"name": "workspace", "mountPath": WORK}]}], **spec})
        return folder


def uptime():
    """The time of the clock that a step reads in /proc/uptime."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def lines(path):
    return read(path).splitlines()


def processes(pod_uid, command):
    """The ids of a pod's processes with this name. The processes of the local cluster's node are processes of this machine."""
    found = []
    for path in glob.glob("/proc/[0-9]*/comm"):
        folder = os.path.dirname(path)
        if read(path).strip() == command:
            groups = read(os.path.join(folder, "cgroup"))
            if pod_uid in groups or pod_uid.replace("-", "_") in groups:
                found.append(int(os.path.basename(folder)))
    return found


def sidecar_pid(pod_uid):
    return wait("the sidecar's process", lambda: processes(pod_uid, "arl-sidecar"), 30)[0]


class Peak(Sampler):
    """The most anonymous memory that a process has while the block runs, in KiB."""

    def __init__(self, pid):
        super().__init__(0.02)
        self.pid, self.most = pid, 0

    def look(self):
        with open(f"/proc/{self.pid}/status", encoding="utf-8") as f:
            self.most = max(self.most, int(re.search(r"RssAnon:\s*(\d+)", f.read())[1]))


def quick(look, limit=30):
    """As wait(), but looks every few milliseconds, and returns False if look() does not become true in time."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if look():
            return True
        time.sleep(0.004)
    return False


class Watch:
    """Follows a kind of a namespace until stop(); take() gets each object that was listed, made, changed or deleted."""

    def __init__(self, t, kind):
        self.t, self.kind, self.stopping = t, kind, False
        self.list()
        threading.Thread(target=self.run, daemon=True).start()

    def stop(self):
        self.stopping = True

    def list(self):
        answer = self.t.api.get(path_of(self.t.ns, self.kind))
        for obj in answer["items"]:
            self.take("LISTED", obj)
        self.version = answer["metadata"]["resourceVersion"]

    def watch(self):
        # kubectl proxy does not close a watch when the API server behind it is killed: so a silent watch is begun again.
        conn = self.t.api.connect(15)
        conn.request("GET", f"{path_of(self.t.ns, self.kind)}?watch=1&timeoutSeconds=60&resourceVersion={self.version}")
        answer = conn.getresponse()
        for line in iter(answer.readline, b""):
            event = json.loads(line)
            if self.stopping:
                break
            if event.get("type") not in ("ADDED", "MODIFIED", "DELETED"):
                self.list()     # the resourceVersion is too old: the API server was restarted
                break
            self.version = event["object"]["metadata"]["resourceVersion"]
            self.take(event["type"], event["object"])

    def run(self):
        while not self.stopping:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError, harness.ApiError):
                self.watch()
            time.sleep(0.1)


class States(Watch):
    """Records each final status that a task of the namespace ever shows, and each change after that."""

    def __init__(self, t):
        self.finals = {}
        super().__init__(t, "Task")

    def take(self, _, obj):
        s = obj.get("status", {})
        if s.get("state") in FINAL or self.finals.get(obj["metadata"]["name"]):
            seen = self.finals.setdefault(obj["metadata"]["name"], [])
            now = (s.get("state"), s.get("exitCode"), s.get("completionTime"))
            if not seen or seen[-1] != now:
                seen.append(now)

    def check(self, names):
        """Checks that each task has reached a final state, and has never changed it."""
        wait("the watch to have seen every end", lambda: all(n in self.finals for n in names), 30)
        self.stop()
        several = {n: f for n, f in self.finals.items() if len(f) != 1}
        expect(not several, f"tasks with more than one final state: {several}")
