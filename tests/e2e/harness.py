"""What cases use: the API server, kubectl, the operator, waits and expectations.

A case is a function that takes a Case, and raises Failed if an expectation does not hold. It works in a namespace of its own, or,
with shared=True, in one with a pool of warm busybox pods that all such cases share.
"""
import atexit
import contextlib
import fcntl
import http.client
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CLUSTER = os.path.join(ROOT, "deploy", "local-cluster", "cluster")
GROUP = "/apis/arl.infra.io/v1alpha1"
PLURALS = {"WarmPool": "warmpools", "Sandbox": "sandboxes", "Task": "tasks"}
IMAGES = {name: f"localhost/arl-test/{name}:1" for name in ("busybox", "scratch", "python", "nonroot")}
PLACEHOLDER_SIDECAR = "your-registry/arl-sidecar:latest"
POOL_LIMIT_S = 120      # for pods to become ready, on a machine that is busy with two other cases
TASK_LIMIT_S = 60
PATIENCE = 3            # wait() takes so many times its limit, which is that of an idle machine
POLL_S = 0.1
SHARED_POOL = "shared"
SHARED_REPLICAS = 4


class Failed(Exception):
    """An expectation does not hold. The text says what was seen."""


class ApiError(Exception):
    """The API server refused; the text is its own message."""

    def __init__(self, status, body):
        self.status = status
        try:
            answer = json.loads(body)
            self.message, self.reason = answer.get("message", ""), answer.get("reason", "")
        except (ValueError, AttributeError):
            self.message, self.reason = body[:2000], ""
        super().__init__(f"HTTP {status}: {self.message}")


def expect(holds, text):
    if not holds:
        raise Failed(text)


def equal(got, want, what):
    if got != want:
        raise Failed(f"{what}: got {shorten(got)}, want {shorten(want)}")


def contains(text, *wanted, what="the text"):
    for w in wanted:
        expect(w in (text or ""), f"{what} does not contain {w!r}: {shorten(text)}")


def shorten(value, limit=600):
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit // 2]} ... ({len(text)} characters) ... {text[-limit // 2:]}"


def wait(what, look, limit):
    """Calls look() until it returns something true, and returns that. look() may raise Failed, whose text tells what it saw last."""
    limit *= PATIENCE
    end = time.monotonic() + limit
    while True:
        seen = ""
        try:
            value = look()
            if value:
                return value
        except Failed as e:
            seen = f"; last seen: {e}"
        if time.monotonic() > end:
            raise Failed(f"waited {limit} s for {what}{seen}")
        time.sleep(POLL_S)


def seconds(duration):
    """The seconds of a Go duration."""
    units = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
    expect(re.fullmatch(r"(\d+(\.\d+)?(ns|us|µs|ms|s|m|h))+", duration or ""), f"not a Go duration: {duration!r}")
    return sum(float(n) * units[u] for n, _, u in re.findall(r"(\d+(\.\d+)?)(ns|us|µs|ms|s|m|h)", duration))


def condition(obj, kind):
    for c in obj.get("status", {}).get("conditions", []):
        if c["type"] == kind:
            return c
    return {}


# ---- steps

def command(*argv, name="step", **more):
    return {"name": name, "type": "Command", "command": list(argv), **more}


def sh(script, name="step", **more):
    return command("sh", "-c", script, name=name, **more)


def patch(path, content, name="write", **more):
    return {"name": name, "type": "FilePatch", "path": path, "content": content, **more}


# ---- the API server

class Api:
    """JSON over `kubectl proxy`, which knows every way to sign in that a kubeconfig can name."""

    def __init__(self, kubectl):
        self.proxy = subprocess.Popen(kubectl + ["proxy", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        atexit.register(self.close)
        line = self.proxy.stdout.readline()
        m = re.search(r"127\.0\.0\.1:(\d+)", line)
        expect(m, f"kubectl proxy: {line.strip()}")
        self.port = int(m.group(1))
        self.local = threading.local()

    def close(self):
        self.proxy.terminate()
        self.proxy.wait()

    def connect(self, limit):
        """A new connection, for one caller. limit: how many seconds may pass without a byte."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit)

    def request(self, method, path, body=None, content_type="application/json", limit=60):
        """The status and the text of the answer, whatever the status is."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        for last in (False, True):
            conn = getattr(self.local, "conn", None)
            if conn is None:
                conn = self.local.conn = self.connect(limit)
            elif time.monotonic() - self.local.used > 30:
                conn.close()    # the proxy may have closed the connection; http.client opens another one
            self.local.used = time.monotonic()
            try:
                conn.request(method, path, data, {"Content-Type": content_type} if data is not None else {})
                answer = conn.getresponse()
                return answer.status, answer.read().decode("utf-8", "replace")
            except (http.client.HTTPException, OSError):
                conn.close()
                self.local.conn = None
                if last or method == "POST":
                    raise

    def call(self, method, path, body=None, content_type="application/json"):
        status, text = self.request(method, path, body, content_type)
        if status >= 300:
            raise ApiError(status, text)
        return json.loads(text)

    def get(self, path):
        return self.call("GET", path)

    def find(self, path):
        """The object; None if there is none."""
        try:
            return self.get(path)
        except ApiError as e:
            if e.status != 404:
                raise
            return None

    def merge(self, path, body):
        return self.call("PATCH", path, body, "application/merge-patch+json")


def path_of(ns, kind, name=""):
    base = f"{GROUP}/namespaces/{ns}/{PLURALS[kind]}" if kind in PLURALS else f"/api/v1/namespaces/{ns}/{kind}"
    return f"{base}/{name}" if name else base


# ---- the operator

def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


class Operator:
    """The operator: the cluster's Deployment, or a command that runs beside the cluster."""

    NS = "arl-system"
    SELECTOR = "app.kubernetes.io%2Fcomponent%3Doperator"

    def __init__(self, env, command_line):
        self.env = env
        self.argv = shlex.split(command_line) if command_line else None
        self.process = None
        self.stopping = False
        if self.argv:
            self.log = os.path.join(env.work, "operator.log")
            self.start()
            atexit.register(self.stop)

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(20)

    def pods(self):
        pods = self.env.api.get(f"/api/v1/namespaces/{self.NS}/pods?labelSelector={self.SELECTOR}")["items"]
        return [p for p in pods if "deletionTimestamp" not in p["metadata"]]

    def leader(self):
        """The pod that holds the lease; None while there is none."""
        lease = self.env.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{self.NS}/leases/arl-operator")
        holder = lease["spec"].get("holderIdentity", "")
        return next((p for p in self.pods() if holder == f"{p['metadata']['name']}_{p['metadata']['uid']}"), None)

    def restarts(self, name):
        return sum(s["restartCount"] for p in self.pods() if p["metadata"]["name"] == name
                   for s in p["status"].get("containerStatuses", []))

    def ready(self):
        """Whether an operator acts: the process that was started runs, or there is a leader and its pod is ready."""
        if self.argv:
            expect(self.process.poll() is None, f"the operator ended with status {self.process.returncode}")
            return True
        with contextlib.suppress(ApiError):  # no lease yet
            leader = self.leader()
            return bool(leader) and is_ready(leader)
        return False

    def kill(self):
        """Kills the operator with SIGKILL. The kubelet starts it again, or this function does."""
        if self.argv:
            self.process.kill()
            self.process.wait()
            self.start()
            return
        leader = wait("an operator to lead", self.leader, 60)
        name = leader["metadata"]["name"]
        before = self.restarts(name)
        self.env.kill_container(leader, "operator")
        wait("the killed operator's container to be started again", lambda: self.restarts(name) > before, 60)

    def logs(self, lines=40):
        if self.argv:
            with open(self.log, encoding="utf-8", errors="replace") as f:
                return "".join(f.readlines()[-lines:])
        r = self.env.run_kubectl("-n", self.NS, "logs", f"--tail={lines}", "-l", "app.kubernetes.io/component=operator")
        return r.stdout + r.stderr


class Env:
    """One run of the suite on one cluster."""

    shared_image = "busybox"
    shared_replicas = SHARED_REPLICAS

    def __init__(self, operator_command=None):
        self.id = f"e2e-{secrets.token_hex(3)}"
        self.work = tempfile.mkdtemp(prefix="arl-e2e-")
        atexit.register(shutil.rmtree, self.work, ignore_errors=True)
        self.cache = os.environ.get("ARL_CACHE") or os.path.join(
            os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "arl")
        if not os.environ.get("KUBECONFIG"):
            os.environ["KUBECONFIG"] = subprocess.run([CLUSTER, "kubeconfig"], check=True, capture_output=True, text=True).stdout.strip()
        state = os.environ.get("ARL_STATE", "/var/tmp/arl")
        self.cluster = os.environ.get("ARL_CLUSTER", "")
        if os.path.dirname(os.path.dirname(os.environ["KUBECONFIG"])) == os.path.realpath(state):
            self.cluster = os.path.basename(os.path.dirname(os.environ["KUBECONFIG"]))
        self.kubectl = ["kubectl"] if shutil.which("kubectl") else [CLUSTER, "--name", self.cluster or "arl", "kubectl"]
        self.api = self.make_api()
        self.namespaces = []
        self.lock = threading.Lock()
        self.shared_ns = None
        self.operator = Operator(self, operator_command)
        wait("the operator to be ready", self.operator.ready, 120)

    def make_api(self):
        return Api(self.kubectl)

    def run_kubectl(self, *args, body=None, limit=120):
        text = json.dumps(body) if isinstance(body, (dict, list)) else body
        return subprocess.run(self.kubectl + list(args), input=text, capture_output=True, encoding="utf-8", errors="replace", timeout=limit)

    def make_namespace(self, suffix):
        name = f"{self.id}-{suffix}"
        with self.lock:
            self.namespaces.append(name)
        self.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def shared(self):
        """The namespace with the shared pool. The first call makes it."""
        with self.lock:
            if self.shared_ns:
                return self.shared_ns
            self.shared_ns = f"{self.id}-shared"
            self.namespaces.append(self.shared_ns)
            self.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": self.shared_ns}})
            self.api.call("POST", path_of(self.shared_ns, "WarmPool"), pool_object(SHARED_POOL, self.shared_image, self.shared_replicas))
        return self.shared_ns

    def drop_namespace(self, name):
        with contextlib.suppress(ApiError):
            self.api.call("DELETE", f"/api/v1/namespaces/{name}")

    def cluster_command(self, *argv):
        return subprocess.run([CLUSTER, "--name", self.cluster, *argv], capture_output=True, text=True, timeout=60)

    def kill_container(self, pod, name):
        self.signal_container(pod, name, "SIGKILL")

    def signal_container(self, pod, name, signal):
        """Sends a signal to the first process of a container, from outside of the container. Needs the local cluster."""
        expect(self.cluster, "this case needs the local cluster, whose node can be reached")
        ids = [s["containerID"] for s in pod["status"]["containerStatuses"] if s["name"] == name]
        expect(ids, f"pod {pod['metadata']['name']} has no running container {name}")
        r = self.cluster_command("exec", "ctr", "-n", "k8s.io", "tasks", "kill", "--signal", signal, ids[0].split("//")[1])
        expect(r.returncode == 0, f"could not send {signal} to the container {name}: {r.stdout}{r.stderr}")

    @contextlib.contextmanager
    def stopped(self, pod, name):
        """Within the block, the first process of a container is stopped (SIGSTOP)."""
        self.signal_container(pod, name, "SIGSTOP")
        try:
            yield
        except Failed:
            with contextlib.suppress(Failed):  # the error of the block says more
                self.signal_container(pod, name, "SIGCONT")
            raise
        self.signal_container(pod, name, "SIGCONT")

    def probes_failed(self, pod, name, kind):
        """How often a probe of a container has failed, by the kubelet's counter. kind: Liveness, Readiness or Startup."""
        metrics = self.run_kubectl("get", "--raw", f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/metrics/probes")
        equal(metrics.returncode, 0, "the kubelet's counters")
        wanted = (f'container="{name}"', f'pod_uid="{pod["metadata"]["uid"]}"', f'probe_type="{kind}"', 'result="failed"')
        return sum(int(float(line.rsplit(" ", 1)[1])) for line in metrics.stdout.splitlines()
                   if line.startswith("prober_probe_total{") and all(w in line for w in wanted))

    def finish(self):
        """Removes the run's namespaces, and fails if one of them does not go."""
        for name in self.namespaces:
            self.drop_namespace(name)

        def gone():
            left = [n for n in self.namespaces if self.api.find(f"/api/v1/namespaces/{n}")]
            expect(not left, f"{len(left)} namespaces are left, such as {left[:1]}")
            return True
        wait("the namespaces to be gone", gone, 120)


def pool_object(name, image="busybox", replicas=1, spec=None, template_meta=None):
    pod = spec or {"containers": [{"name": "executor", "image": IMAGES[image]}]}
    return {"apiVersion": "arl.infra.io/v1alpha1", "kind": "WarmPool", "metadata": {"name": name},
            "spec": {"replicas": replicas, "template": {"metadata": template_meta or {}, "spec": pod}}}


class Case:
    """A test under way: its namespace, and short methods for what tests do."""

    def __init__(self, env, number, name, shared):
        self.env, self.api, self.name, self.number = env, env.api, name, number
        self.is_shared = shared
        self.names = 0
        self.made = []
        self.ns = env.shared() if shared else env.make_namespace(f"{number:02d}")
        self.start = time.monotonic()

    # -- kubectl and the API

    def kubectl(self, *args, body=None, fails=False, limit=120):
        """Runs kubectl in the case's namespace. Returns stdout, or, with fails=True, the stderr of the refusal."""
        r = self.env.run_kubectl("-n", self.ns, *args, body=body, limit=limit)
        expect(fails == (r.returncode != 0), f"kubectl {' '.join(args)}: exit {r.returncode}: {(r.stderr or r.stdout).strip()[:1500]}")
        return r.stderr if fails else r.stdout

    def create(self, obj):
        made = self.api.call("POST", path_of(self.ns, obj["kind"]), {"apiVersion": "arl.infra.io/v1alpha1", **obj})
        self.made.append((obj["kind"], obj["metadata"]["name"]))
        return made

    def refused(self, obj, *texts):
        """Checks that kubectl cannot create the object, and that the message has these texts."""
        said = self.kubectl("create", "-f", "-", body={"apiVersion": "arl.infra.io/v1alpha1", **obj}, fails=True)
        contains(said, *texts, what="the refusal")

    def get(self, kind, name):
        return self.api.get(path_of(self.ns, kind, name))

    def find(self, kind, name):
        return self.api.find(path_of(self.ns, kind, name))

    def delete(self, kind, name):
        return self.api.call("DELETE", path_of(self.ns, kind, name))

    def merge(self, kind, name, body):
        return self.api.merge(path_of(self.ns, kind, name), body)

    def pods(self, **labels):
        want = {f"arl.infra.io/{k}": v for k, v in labels.items()}
        items = self.api.get(path_of(self.ns, "pods"))["items"]
        return [p for p in items if want.items() <= p["metadata"].get("labels", {}).items()]

    def events(self, name, reason):
        items = self.api.get(path_of(self.ns, "events"))["items"]
        return [e for e in items if e["involvedObject"]["name"] == name and e["reason"] == reason]

    def gone(self, kind, name, limit, uid=None):
        def look():
            obj = self.find(kind, name)
            return not obj or (uid and obj["metadata"]["uid"] != uid)
        wait(f"{kind} {name} to be gone", look, limit)

    # -- pools and sandboxes

    def unique(self, prefix):
        self.names += 1
        return f"{prefix}-{self.number}-{self.names}"

    def pool(self, name="pool", image="busybox", replicas=1, spec=None, template_meta=None, ready=True):
        self.create(pool_object(name, image, replicas, spec, template_meta))
        if ready:
            self.pool_ready(name)
        return name

    def pool_ready(self, name, limit=POOL_LIMIT_S):
        def look():
            p = self.get("WarmPool", name)
            s = p.get("status", {})
            expect(s.get("readyReplicas", 0) >= p["spec"]["replicas"], f"{s.get('readyReplicas')} ready; {s.get('conditions')}")
            return p
        return wait(f"WarmPool {name} to be ready", look, limit)

    def warm(self, count, limit=POOL_LIMIT_S):
        """Waits for so many idle and ready pods, and returns their uids. It looks at the pods: a pool's status may be a second old."""
        def look():
            pods = [p for p in self.pods(status="idle") if "deletionTimestamp" not in p["metadata"]]
            ready = {p["metadata"]["uid"] for p in pods if is_ready(p)}
            expect(len(pods) == len(ready) == count, f"{len(pods)} idle pods, {len(ready)} of them ready")
            return ready
        return wait(f"{count} idle and ready pods", look, limit)

    def sandbox(self, pool=None, name=None, **spec):
        """Creates a sandbox and does not wait. Returns its name."""
        name = name or self.unique("box")
        pool = pool or (SHARED_POOL if self.is_shared else "pool")
        self.create({"kind": "Sandbox", "metadata": {"name": name}, "spec": {"poolRef": pool, **spec}})
        return name

    def phase(self, name, want, limit=POOL_LIMIT_S):
        def look():
            s = self.get("Sandbox", name).get("status", {})
            expect(s.get("phase") == want, f"{s.get('phase')}: {s.get('conditions')}")
            return s
        return wait(f"Sandbox {name} to be {want}", look, limit)

    def box(self, pool=None, name=None, **spec):
        """Creates a sandbox and waits until it is Ready. Returns its name."""
        name = self.sandbox(pool, name, **spec)
        self.phase(name, "Ready")
        return name

    def pod_of(self, box):
        return self.api.get(path_of(self.ns, "pods", self.get("Sandbox", box)["status"]["podName"]))

    # -- tasks

    def task(self, box, *steps, name=None, **spec):
        """Creates a task and does not wait. Returns its name."""
        name = name or self.unique("task")
        self.create({"kind": "Task", "metadata": {"name": name}, "spec": {"sandboxRef": box, "steps": list(steps), **spec}})
        return name

    def finished(self, name, limit=TASK_LIMIT_S):
        """Waits until the task has ended. Returns its status."""
        def look():
            s = self.get("Task", name).get("status", {})
            expect(s.get("state") in ("Succeeded", "Failed"), f"{s.get('state')}: {s.get('conditions')}")
            return s
        return wait(f"Task {name} to finish", look, limit)

    def state(self, name, want, limit=TASK_LIMIT_S):
        def look():
            s = self.get("Task", name).get("status", {})
            expect(s.get("state") == want, f"{s.get('state')}: {s.get('conditions')}")
            return s
        return wait(f"Task {name} to be {want}", look, limit)

    def run(self, box, *steps, limit=TASK_LIMIT_S, **spec):
        return self.finished(self.task(box, *steps, **spec), limit)

    def out(self, box, *steps, **spec):
        """Runs a task that must succeed. Returns its stdout."""
        s = self.run(box, *steps, **spec)
        equal((s["state"], s["exitCode"], s.get("stderr", "")), ("Succeeded", 0, ""), "state, exit code and stderr")
        return s.get("stdout", "")

    def alive(self, box):
        """Checks that the sandbox still runs tasks."""
        equal(self.out(box, sh("echo still here")), "still here\n", "a good task's stdout")

    # -- the Python client

    def client(self, version, function, **more):
        """Runs one function of client_side.py in a venv with that version of arl-env."""
        python = venv(self.env.cache, version)
        variables = {**os.environ, "E2E_NAMESPACE": self.ns, "PYTHONDONTWRITEBYTECODE": "1", **{f"E2E_{k.upper()}": v for k, v in more.items()}}
        r = subprocess.run([python, os.path.join(HERE, "client_side.py"), function], env=variables, capture_output=True, text=True, timeout=240)
        expect(r.returncode == 0, f"arl-env {version}, {function}: exit {r.returncode}\n{r.stdout[-2500:]}{r.stderr[-2500:]}")
        return r.stdout

    # -- the end

    def close(self):
        if not self.is_shared:
            self.env.drop_namespace(self.ns)
            return
        for kind, name in reversed(self.made):
            if kind in ("Sandbox", "Task"):
                with contextlib.suppress(ApiError):
                    self.delete(kind, name)

    def report(self):
        """What to look at after a failure: the namespace's objects, shortened, and the operator's last lines."""
        r = self.env.run_kubectl("-n", self.ns, "get", "wp,sbx,tsk,pods", "-o", "yaml", "--show-managed-fields=false")
        keep = [name for _, name in self.made]
        text = r.stdout
        if self.is_shared:
            items = [self.find(kind, name) for kind, name in self.made]
            text = "\n".join(json.dumps(o) for o in items if o) + f"\n(made: {keep})"
        lines = [line[:400] for line in text.splitlines()]
        if len(lines) > 400:
            lines = lines[:200] + [f"... {len(lines) - 400} lines ..."] + lines[-200:]
        events = self.env.run_kubectl("-n", self.ns, "get", "events", "--sort-by=.lastTimestamp").stdout.splitlines()[-25:]
        return "\n".join(lines + ["--- events"] + events + ["--- the operator's last lines", self.env.operator.logs()])


def venv(cache, version):
    """The python of a venv with this version of arl-env. The cache keeps the venv; one that is not complete is made again."""
    folder = os.path.join(cache, "venv", f"arl-env-{version}-py{sys.version_info.major}.{sys.version_info.minor}")
    python = os.path.join(folder, "bin", "python")
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    with open(folder + ".lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(folder, "complete")) or not os.path.exists(python):
            shutil.rmtree(folder, ignore_errors=True)
            for argv in ([sys.executable, "-m", "venv", folder],
                         [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", f"arl-env=={version}"],
                         [python, "-c", "import arl"]):
                r = subprocess.run(argv, capture_output=True, text=True, timeout=600)
                expect(r.returncode == 0, f"{' '.join(argv)}: exit {r.returncode}: {(r.stdout + r.stderr)[-1500:]}")
            with open(os.path.join(folder, "complete"), "w", encoding="utf-8"):
                pass
    return python


# ---- the list of cases

CASES = []
LEFT_OUT = []    # what the caller wanted to be left out; the last line names it


def case(shared=False, alone=False, slow=False):
    """Adds the function to the list of cases. alone: no other case may run beside it. slow: it starts first, to make the run shorter."""
    def add(f):
        module = f.__module__.replace("cases_", "")
        CASES.append({"name": f"{module}.{f.__name__}", "run": f, "shared": shared, "alone": alone, "slow": slow})
        return f
    return add

