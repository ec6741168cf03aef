"""What the attacks have in common: the tenant who attacks, the tenant who must not notice, what reports an attack, and the table."""
import base64
import contextlib
import glob
import hashlib
import http.client
import importlib.machinery
import importlib.util
import json
import os
import re
import subprocess
import threading
import time
import traceback

import harness
from harness import IMAGES, PATIENCE, ROOT, ApiError, Failed, expect, patch, path_of, sh, wait

HERE = os.path.dirname(os.path.realpath(__file__))
# The signing client of the suite integ. Its module is called harness, as that of e2e is: so it is loaded under another name.
loader = importlib.machinery.SourceFileLoader("integ_harness", os.path.join(ROOT, "tests", "integ", "harness.py"))
INTEG = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(INTEG)
with open(os.path.join(HERE, "inside.py"), encoding="utf-8") as program:
    INSIDE = program.read()
with open(os.path.join(ROOT, "sidecar", "runner", "frames.h"), encoding="utf-8") as frames:
    FRAMES_VERSION = int(re.search(r"#define FRAMES_VERSION (\d+)", frames.read())[1])
OLD_FRAMES_VERSION = 4      # of commit 4f97371
FORGED = "100 of 100 tests passed\n"
HONEST_S = 10               # a task of another sandbox has to end right within this time
SEEN_S = 20
WORK = "/workspace"
EXECUTOR = {"name": "executor", "image": IMAGES["python"]}
USER = {"runAsUser": 1000, "runAsGroup": 1000}
# Pools to attack from. root: root as containers have it by default (with NET_RAW). user: uid 1000. two: a container of each in one pod.
# suid: an image with a set-uid program. tty: a terminal. never: restartPolicy Never.
POOLS = {
    "root": {"containers": [{**EXECUTOR, "command": ["sleep", "1000000"]}]},
    "user": {"containers": [{**EXECUTOR, "securityContext": USER}]},
    "two": {"containers": [{**EXECUTOR, "securityContext": USER}, {"name": "grader", "image": IMAGES["python"]}]},
    "suid": {"containers": [{"name": "executor", "image": "localhost/arl-test/suid:1", "securityContext": USER}]},
    "tty": {"containers": [{**EXECUTOR, "tty": True, "command": ["sleep", "1000000"]}]},
    "never": {"restartPolicy": "Never", "containers": [EXECUTOR]},
}
REPLICAS = {"root": 3, "user": 2, "two": 2}
ATTACKS = []


# Reasons why only the attack's author is told: no metric, Event or condition reports the attack.
REFUSED = "the API server refuses it, and tells who asked"
OWN = "it is in the author's own sandbox, and its task says what came of it"
IGNORED = "the kernel, or the runner, does nothing of what is asked for: nothing happens"
NO_DOOR = "while the runner is in there is no socket that could be dialed: nothing happens"
PASSIVE = "it only listens, or looks"
NO_ATTACK = "a use that is allowed, and has to work"
ADMIN = "only an administrator can do it"


def attack(ref, mechanism, then=True, alone=False, seen=None, untold=None):
    """Adds the function to the list of attacks. The function returns None if the attack was refused, else a text that says what was won.

    ref: the attack's number in docs/reliability.md, or "". then: whether it succeeds with the images of 4f97371 (None: either).
    seen: reports, one of which must come: "metric REGEX" (of the operators), "agent REGEX" (a metric of an agent of the case's
    sandboxes), "event REGEX" or "condition REGEX". untold: why there is no report. Give either seen or untold."""
    def add(f):
        expect(bool(seen) != bool(untold), f"{f.__name__}: what tells of it?")
        ATTACKS.append({"name": f.__name__, "ref": ref, "mechanism": mechanism, "then": then, "alone": alone, "seen": seen or [],
                        "untold": untold or "", "run": f})
        return f
    return add


class OperatorKey(INTEG.Key):
    """A client that agents take for an operator: it has the operators' signing key, from the Secret, and a pair of its own."""

    def __init__(self, seed):
        super().__init__()
        INTEG.SODIUM.crypto_sign_seed_keypair(self.public, self.secret, seed)
        self.id = INTEG.url64(hashlib.sha256(self.public.raw).digest()[:12])


def quick(look, limit):
    """Whether look() becomes true within the limit. For what an attack wants: when the attack is refused, the whole limit passes."""
    end = time.monotonic() + limit
    while not look():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


class TenantApi:
    """The API as a ServiceAccount with the rights of `edit`, of kubectl debug and of arl's users in one namespace, by impersonation."""

    def __init__(self, api, ns, account):
        self.api = api
        self.headers = {"Impersonate-User": f"system:serviceaccount:{ns}:{account}"}
        self.groups = ["system:serviceaccounts", f"system:serviceaccounts:{ns}", "system:authenticated"]

    def request(self, method, path, body=None, content_type="application/json"):
        conn = self.api.connect(60)
        try:
            data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
            conn.putrequest(method, path)
            for k, v in [*self.headers.items(), *(("Impersonate-Group", g) for g in self.groups)]:
                conn.putheader(k, v)
            if data is not None:
                conn.putheader("Content-Type", content_type)
                conn.putheader("Content-Length", str(len(data)))
            conn.endheaders(data)
            answer = conn.getresponse()
            return answer.status, answer.read().decode("utf-8", "replace")
        finally:
            conn.close()

    def call(self, *args, **more):
        status, text = self.request(*args, **more)
        if status >= 300:
            raise ApiError(status, text)
        return json.loads(text)

    def merge(self, path, body):
        return self.call("PATCH", path, body, content_type="application/merge-patch+json")

    def strategic(self, path, body):
        return self.call("PATCH", path, body, content_type="application/strategic-merge-patch+json")


class Env(harness.Env):
    """The cluster with arl in it, a namespace of a tenant who attacks, and one of a tenant who works."""

    def __init__(self, old):
        super().__init__()
        self.old = old
        expect(self.cluster, "this suite needs the local cluster, whose node can be reached")
        archive = subprocess.run([os.path.join(HERE, "images")], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        r = self.cluster_command("load", archive)
        expect(r.returncode == 0, f"cluster load {archive}: {r.stderr}")
        self.evil = self.make_namespace("evil")
        self.good = self.make_namespace("good")
        self.frames_version = OLD_FRAMES_VERSION if old else FRAMES_VERSION
        self.make_tenant()
        self.tenant = TenantApi(self.api, self.evil, "tenant")
        self.key = None
        self.pools_made, self.pools_lock = set(), threading.Lock()
        self.honest = harness.Case(self, 0, "honest", True)
        self.honest.ns = self.good
        self.honest.pool("honest", replicas=2)
        self.honest.box("honest", name="honest", idleTimeoutSeconds=0)

    def shared(self):
        return "none"   # there is no shared namespace: Attack sets that of each case

    def make_tenant(self):
        ns = self.evil
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}"
        self.api.call("POST", f"/api/v1/namespaces/{ns}/serviceaccounts", {"metadata": {"name": "tenant"}})
        self.api.call("POST", f"{rbac}/roles", {"metadata": {"name": "arl"}, "rules": [
            {"apiGroups": ["arl.infra.io"], "resources": ["warmpools", "sandboxes", "tasks"], "verbs": ["*"]},
            {"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["patch"]}]})
        for role in ({"kind": "ClusterRole", "name": "edit"}, {"kind": "Role", "name": "arl"}):
            self.api.call("POST", f"{rbac}/rolebindings", {
                "metadata": {"name": role["name"]}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", **role},
                "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": ns}]})

    def pool(self, kind):
        with self.pools_lock:
            if kind not in self.pools_made:
                self.pools_made.add(kind)
                obj = harness.pool_object(kind, replicas=REPLICAS.get(kind, 1), spec=json.loads(json.dumps(POOLS[kind])))
                self.api.call("POST", path_of(self.evil, "WarmPool"), obj)
        return kind

    def restarts(self):
        """How often the operator's container was restarted, by pod."""
        return {p["metadata"]["name"]: self.operator.restarts(p["metadata"]["name"]) for p in self.operator.pods()}

    def metrics_of(self, pod):
        """The metrics of an operator, as {"name{labels}": value}."""
        port = next((p["containerPort"] for c in pod["spec"]["containers"] for p in c.get("ports", [])), 8080)
        status, text = self.api.request("GET", path_of(Env.system(), "pods", f"{pod['metadata']['name']}:{port}/proxy/metrics"))
        found = re.findall(r"^([a-z_]+(?:\{[^}]*\})?) ([0-9.e+]+)$", text, re.M) if status == 200 else []
        return {name: float(value) for name, value in found}

    def metrics(self):
        """The metrics of all operators, added up."""
        total = {}
        for pod in self.operator.pods():
            for name, value in self.metrics_of(pod).items():
                total[name] = total.get(name, 0) + value
        return total

    def agent_metrics(self, box, pod):
        """The metrics of the agent in a sandbox's pod."""
        if not self.key:
            secret = self.api.get(path_of(Env.system(), "secrets", "arl-signing-key"))["data"]["key"]
            self.key = OperatorKey(INTEG.channel.unurl64(base64.b64decode(secret).decode().strip().partition(":")[2]))
        told = next(c["state"]["terminated"]["message"] for c in pod["status"]["initContainerStatuses"] if c["name"] == "arl-init")
        q = INTEG.Request(self.key, INTEG.channel.unurl64(told.strip().removeprefix(INTEG.channel.KEY_PREFIX)), "GET", "/metrics",
                          pod=pod["metadata"]["uid"], sandbox=box["metadata"]["uid"])
        c = http.client.HTTPConnection(pod["status"]["podIP"], Attack.port(pod), timeout=10)
        try:
            c.request(q.method, q.target, body=q.body, headers=q.headers)
            text = INTEG.channel.Answer(c.getresponse(), q.answer_key).read().decode()
        finally:
            c.close()
        return {name: float(value) for name, value in re.findall(r"^([a-z_]+(?:\{[^}]*\})?) ([0-9.e+]+)$", text, re.M)}

    @staticmethod
    def processor_time(pod_uid):
        """Seconds of processor time of the operator in that pod. The processes of the local cluster's node are processes of this machine."""
        for path in glob.glob("/proc/[0-9]*/comm"):
            folder = os.path.dirname(path)
            with contextlib.suppress(OSError), open(path, encoding="ascii") as comm, open(f"{folder}/cgroup", encoding="ascii") as groups:
                if comm.read().strip() == "arl-operator" and pod_uid in groups.read():
                    with open(f"{folder}/stat", encoding="ascii") as stat:
                        fields = stat.read().rpartition(")")[2].split()
                    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        raise Failed(f"pod {pod_uid} has no operator's process")

    @staticmethod
    def system():
        return harness.Operator.NS

    def honest_task(self):
        """How many seconds a task of the other tenant takes. Raises Failed if the task does not end right."""
        began = time.monotonic()
        word = f"honest-{time.time_ns()}"
        name = self.honest.task("honest", sh(f"echo {word}"))
        s = self.honest.finished(name, 60)
        took = time.monotonic() - began
        self.honest.delete("Task", name)
        expect((s["state"], s["exitCode"], s["stdout"]) == ("Succeeded", 0, word + "\n"), f"an honest task: {s}")
        return took


class Attack(harness.Case):
    """An attack under way, in the attacker's namespace."""

    def __init__(self, env, number, a):
        self.a = a
        super().__init__(env, number, a["name"], True)
        self.ns, self.tenant = env.evil, env.tenant
        self.details = []
        self.undo = []

    def tell(self, text):
        """Adds a figure to the attack's line."""
        self.details.append(text)

    def comes(self, look, limit):
        """Whether look() becomes true within the limit. For what arl has to do: the limit is PATIENCE times as long, but not with old
        images, which may never do it."""
        return quick(look, limit * (1 if self.env.old else PATIENCE))

    def ends(self, name, limit):
        """Whether the task ends within the limit."""
        return self.comes(lambda: self.get("Task", name).get("status", {}).get("state") in ("Succeeded", "Failed"), limit)

    # -- sandboxes of the attacker's

    def sandbox_of(self, kind, **spec):
        return self.box(self.env.pool(kind), idleTimeoutSeconds=0, **spec)

    def armed(self, kind, **spec):
        """A sandbox with inside.py in its workspace."""
        box = self.sandbox_of(kind, **spec)
        self.arm(box)
        return box

    def arm(self, box):
        s = self.run(box, patch(f"{WORK}/inside.py", INSIDE))
        expect(s["state"] == "Succeeded", f"the attacker's program could not be written: {s}")

    def daemon(self, box, *args, container=None):
        """Leaves inside.py behind as a daemon in the sandbox, and waits until it has called up()."""
        text, up = " ".join(str(a) for a in args), self.unique("up")
        script = (f"cd {WORK}; UP={up} setsid python3 inside.py {text} </dev/null >log 2>&1 & cd {WORK}; "
                  f"while [ ! -e {up} ] && kill -0 $! 2>/dev/null; do sleep 0.05; done; cat log; [ -e {up} ]")
        s = self.run(box, sh(script, **({"container": container} if container else {})))
        expect(s["state"] == "Succeeded", f"the attacker's daemon: {s}")

    def program(self, box, *args, limit=60, **step):
        """Runs inside.py as a step. Returns the task's status."""
        return self.run(box, sh(f"python3 {WORK}/inside.py " + " ".join(str(a) for a in args), **step), limit=limit)

    def inside(self, box, script, container="executor", fails=False):
        """Runs a script in the sandbox's container by kubectl exec, past arl. Returns its stdout."""
        r = self.env.run_kubectl("-n", self.ns, "exec", self.get("Sandbox", box)["status"]["podName"], "-c", container, "--", "sh", "-c", script)
        expect(fails or r.returncode == 0, f"exec {script!r}: {r.stderr}")
        return r.stdout

    def on_the_node(self, box, name):
        """The content of a file of the workspace, read on the node: in the container nothing may work any more."""
        uid = self.pod_of(box)["metadata"]["uid"]
        return self.env.cluster_command("exec", "cat", f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/workspace/{name}").stdout

    @staticmethod
    def port(pod):
        """The port on which the pod's agent listens."""
        c = next(c for c in pod["spec"]["containers"] + pod["spec"].get("initContainers", []) if c["name"] == "sidecar")
        return c["ports"][0]["containerPort"]

    def port_of(self, box):
        return self.port(self.pod_of(box))

    def restarts_of(self, box, container):
        return next(c["restartCount"] for c in self.pod_of(box)["status"]["containerStatuses"] if c["name"] == container)

    def agent_ended(self, box):
        """Kills the agent's container from outside, and waits until it is ready again."""
        def again():
            c = next(c for c in self.pod_of(box)["status"]["containerStatuses"] if c["name"] == "sidecar")
            return c["restartCount"] > before and c["ready"]
        before = self.restarts_of(box, "sidecar")
        self.env.kill_container(self.pod_of(box), "sidecar")
        wait("the agent to begin again", again, 60)

    def peers(self):
        return ",".join(p["status"]["podIP"] for p in self.env.operator.pods())

    def neighbour(self, box, victim_pod, mode, seconds=6, wanted="PUT", peers=None):
        """Leaves a daemon that takes the victim's address and answers the operators in the victim's place. It ends the given number of
        seconds after the first request with the wanted method."""
        self.daemon(box, "neighbour", victim_pod["status"]["podIP"], self.port(victim_pod), peers or self.peers(), mode, seconds, wanted)
        time.sleep(1.2)     # for a second after it has learned a MAC address, a host believes no other one

    def gave(self, box, to="PUT"):
        """Whether the false agent in this sandbox has answered an operator's request with this method."""
        return f" to {to} /v1/" in self.said(box)

    def said(self, box, name="said", container="executor"):
        """The content of a file into which inside.py writes; empty if there is none."""
        return self.inside(box, f"cat {WORK}/{name} 2>/dev/null", container, fails=True)

    def true_result(self, s, code, out):
        """None if the task ended with this exit code and stdout, or because its agent was unavailable. Else what was won."""
        if s["state"] == "Failed" and "Unavailable" in json.dumps(s.get("conditions", [])):
            return None
        if (s["exitCode"], s.get("stdout", "")) == (code, out) and (s["state"] == "Succeeded") == (code == 0):
            return None
        return f"the task ended as {s['state']}, exit {s['exitCode']}, stdout {s.get('stdout', '')[:80]!r}"

    # -- what reports the attack

    def look(self, before):
        """The first report of the attack that is found within SEEN_S; None: there is none."""
        def found():
            for want in self.a["seen"]:
                kind, _, pattern = want.partition(" ")
                for text in getattr(self, "look_at_" + kind)(before):
                    if re.search(pattern, text):
                        return f"{kind} {text[:100]}"
            return None
        end = time.monotonic() + SEEN_S
        while True:
            got = found()
            if got or time.monotonic() > end:
                return got
            time.sleep(0.3)

    def look_at_metric(self, before):
        now = self.env.metrics()
        return [k for k, v in now.items() if v > before["metrics"].get(k, 0)]

    def look_at_agent(self, _):
        """All counters above 0 of the agents of this case's sandboxes. Nobody else uses these pods, so there is no need to compare."""
        out = []
        for kind, name in self.made:
            box = self.find(kind, name) if kind == "Sandbox" else None
            if box and "podName" in box.get("status", {}):
                with contextlib.suppress(OSError, INTEG.channel.NotBelieved, http.client.HTTPException):
                    out += [k for k, v in self.env.agent_metrics(box, self.pod_of(name)).items() if v > 0]
        return out

    def look_at_event(self, before):
        items = self.api.get(path_of(self.ns, "events"))["items"]
        return [f"{e['reason']}: {e['message']}" for e in items if (e.get("lastTimestamp") or e.get("eventTime") or "") >= before["time"]]

    def look_at_condition(self, _):
        out = []
        for kind, name in self.made:
            obj = self.find(kind, name) or {}
            out += [f"{kind} {c['reason']}: {c.get('message', '')}" for c in obj.get("status", {}).get("conditions", [])]
        return out

    def close(self):
        for f in reversed(self.undo):
            with contextlib.suppress(Exception):
                f()
        for kind, name in reversed(self.made):
            if kind in harness.PLURALS:
                with contextlib.suppress(ApiError):
                    self.delete(kind, name)


class Runner:
    """Runs attacks, prints a line for each and, at the end, the table."""

    def __init__(self, env, old):
        self.env, self.old = env, old
        self.lock = threading.Lock()
        self.rows, self.passed, self.failed = [], 0, 0

    def say(self, ok, a, result, whole, took, seen, detail=""):
        with self.lock:
            self.passed, self.failed = self.passed + ok, self.failed + (not ok)
            honest = f"{took:.2f}" if took is not None else "-"
            self.rows.append((a["ref"], a["name"], a["mechanism"], result, honest, seen or a["untold"]))
            print(f"{'ok' if ok else 'not ok'} - {a['ref'] + ' ' if a['ref'] else ''}{a['name']}: {result} ({whole:.1f}s; honest task {honest} s)", flush=True)
            for text in detail.splitlines()[:200]:
                print(f"    {text}", flush=True)

    def one(self, number, a):
        env, t, won, broken, took = self.env, None, None, "", None
        began = time.monotonic()
        before = {"metrics": env.metrics(), "restarts": env.restarts(), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 1))}
        try:
            t = Attack(env, number, a)
            won = a["run"](t)
        except Exception as e:  # pylint: disable=broad-except
            where = [f"{os.path.basename(f.filename)}:{f.lineno}: {f.line}" for f in traceback.extract_tb(e.__traceback__) if "cases_" in f.filename]
            broken = "\n".join(where + [str(e) if isinstance(e, (Failed, ApiError)) else traceback.format_exc()])
        harm = self.harm(before)
        seen = ""
        try:
            if not self.old and not won and a["seen"] and t:
                seen = t.look(before)
        finally:
            if t:
                report = t.report() if broken or (won and not self.old) else ""
                t.close()
        try:
            took = env.honest_task()
            if took > HONEST_S:
                harm += f"; an honest task took {took:.1f} s"
        except (Failed, ApiError, OSError) as e:
            harm += f"; {e}"
            self.recover()
        won = won or harm.strip("; ") or None
        ok, result = self.judge(a, won, broken, seen)
        result = "; ".join([result] + (t.details if t else []))
        self.say(ok, a, result, time.monotonic() - began, took, seen, "" if ok else broken + "\n" + report[-6000:])

    def judge(self, a, won, broken, seen):
        if broken and not won:
            return False, "the attack could not be made"
        if self.old:
            return a["then"] is None or bool(won) == a["then"], f"SUCCEEDED: {won}" if won else "refused"
        if won:
            return False, f"SUCCEEDED: {won}"
        if a["seen"] and not seen:
            return False, "refused, but nothing tells of it: no " + " or ".join(a["seen"])
        return True, "refused" + (f", seen by {seen}" if seen else "")

    def harm(self, before):
        now = self.env.restarts()
        again = sum(max(0, n - before["restarts"].get(name, 0)) for name, n in now.items())
        return f"; the operators' containers began again {again} times" if again else ""

    def recover(self):
        """Waits until the operators work again, for the next attack."""
        with contextlib.suppress(Failed, ApiError):
            wait("the operators to work again", lambda: self.env.operator.ready() and self.env.honest_task() < 60, 60)

    def table(self):
        head = ("ref", "attack", "mechanism", "result", "honest s", "seen by")
        print("# | " + " | ".join(head) + " |\n# |" + "---|" * len(head))
        for row in sorted(self.rows, key=lambda r: (int((re.findall(r"\d+", r[0]) or [99])[0]), r[1])):
            print("# | " + " | ".join(text.replace("|", "/").replace("\n", " ")[:160] for text in row) + " |")


def install(folder, name):
    """A cluster of our own with the images and manifests of that folder, and the test images. Returns its name."""
    script = ('set -euo pipefail; . "$0/deploy/lib.sh"; cluster="$0/deploy/local-cluster/cluster"; "$cluster" --name "$2" up; '
              'deploy_archives "$2" "$1" "$1/deploy/manifests"; "$cluster" --name "$2" load $("$0/tests/images/build")')
    r = subprocess.run(["bash", "-c", script, ROOT, folder, name], capture_output=True, text=True, timeout=1800)
    expect(r.returncode == 0, f"the cluster {name} with the images of {folder}: {(r.stdout + r.stderr)[-3000:]}")
    os.environ["KUBECONFIG"] = subprocess.run([harness.CLUSTER, "--name", name, "kubeconfig"], check=True, capture_output=True, text=True).stdout.strip()
    os.environ["ARL_CLUSTER"] = name
