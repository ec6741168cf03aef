"""What the cases share: an operator behind the proxy, work whose effects can be counted, and the checks of that work."""
import atexit
import base64
import functools
import http.client
import itertools
import json
import os
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.parse

import harness
import proxy
import tools
from harness import ApiError, equal, expect, sh, wait
from tools import SYSTEM, WORK, lines

LONG = os.environ.get("ARL_LONG") == "1"
POOL = 3
END_S = 90      # within this time a task ends, whatever was done to its operator


class DirectApi(harness.Api):
    """The API without `kubectl proxy`, which keeps its connection to an API server that was killed for up to a minute."""

    def __init__(self, config):  # pylint: disable=super-init-not-called
        url = urllib.parse.urlsplit(config["clusters"][0]["cluster"]["server"])
        self.address = (url.hostname, url.port or 443)
        user = config["users"][0]["user"]
        self.tls = ssl.create_default_context(cadata=base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode())
        with tempfile.NamedTemporaryFile() as f:    # ssl loads certificates and keys from files only
            f.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            f.flush()
            self.tls.load_cert_chain(f.name)
        self.local = threading.local()

    def close(self):
        pass

    def connect(self, limit):
        return http.client.HTTPSConnection(*self.address, context=self.tls, timeout=limit)


class FaultsEnv(tools.ExecEnv):
    shared_replicas = 0

    @functools.cached_property
    def config(self):
        return json.loads(subprocess.run(["kubectl", "config", "view", "--raw", "--minify", "-o", "json"],
                                         check=True, capture_output=True, text=True).stdout)

    def make_api(self):
        return DirectApi(self.config)

    def operator_command(self):
        self.proxy = proxy.Proxy(self.config)
        return super().operator_command() + f" --kubeconfig={self.kubeconfig()} --sandbox-wait=30m"

    def kubeconfig(self):
        """The path of a kubeconfig for the operator: it names the proxy, and a token of the operator's service account."""
        token = subprocess.run(["kubectl", "-n", SYSTEM, "create", "token", "arl-operator", "--duration=24h"],
                               check=True, capture_output=True, text=True).stdout.strip()
        path = os.path.join("/var/tmp", f"arl-faults-{os.getpid()}.kubeconfig")
        atexit.register(os.unlink, path)
        with open(path, "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "c",
                       "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.proxy.port}"}}],
                       "users": [{"name": "u", "user": {"token": token}}],
                       "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": SYSTEM}}]}, f)
        return path


    def api_server_answers(self):
        conn = self.api.connect(3)
        try:
            conn.request("GET", "/readyz")
            return conn.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            conn.close()


def persist(call, limit=300):
    """Makes the call again while the API server is away. AlreadyExists counts as success: an earlier try has made the object."""
    end = time.monotonic() + limit
    while True:
        try:
            return call()
        except ApiError as e:
            if e.reason == "AlreadyExists":
                return None
            if e.status < 500 and e.status != 429 or time.monotonic() > end:
                raise
        except (OSError, http.client.HTTPException):
            if time.monotonic() > end:
                raise
        time.sleep(0.1)


class Owners(tools.Watch):
    """Records the sandboxes that each pod ever belonged to, the pods that each sandbox ever had, and the most pods that were idle at once."""

    def __init__(self, t):
        self.sandboxes, self.pods = {}, {}
        self.idle, self.most_idle = set(), 0
        super().__init__(t, "pods")

    def take(self, what, obj):
        uid = obj["metadata"]["uid"]
        for owner in obj["metadata"].get("ownerReferences", []):
            if owner["kind"] == "Sandbox":
                self.sandboxes.setdefault(uid, set()).add(owner["uid"])
                self.pods.setdefault(owner["uid"], set()).add(uid)
        if what == "DELETED" or "deletionTimestamp" in obj["metadata"] or uid in self.sandboxes:
            self.idle.discard(uid)
        else:
            self.idle.add(uid)
            self.most_idle = max(self.most_idle, len(self.idle))

    def check(self, leader=True):
        """Checks that no pod had two sandboxes and, with leader=True, that no sandbox had two pods. leader=False: two operators acted at
        once. Then each may bind a pod to the same sandbox, and one of the pods must go again."""
        two = {k: v for k, v in self.sandboxes.items() if len(v) > 1}
        expect(not two, f"pods with more than one owner: {two}")
        if not leader:
            return
        two = {k: v for k, v in self.pods.items() if len(v) > 1}
        expect(not two, f"sandboxes with more than one pod: {two}")


class Work:
    """The sandboxes and tasks of a case. Each step of a task appends a line to a file of its own, on the node."""

    def __init__(self, t, replicas=POOL, **spec):
        self.t, self.replicas = t, replicas
        self.folder = t.env.host_pool(t, replicas, **spec)
        self.states, self.owners = tools.States(t), Owners(t)
        self.numbers = itertools.count(1)
        self.made = []
        self.lock = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.t.env.proxy.hook = self.t.env.proxy.chop = None
        self.states.stop()
        self.owners.stop()

    def sandbox(self):
        name = f"box-{next(self.numbers)}"
        # Cases take long: no sandbox may be deleted meanwhile because it is idle.
        persist(lambda: self.t.create({"kind": "Sandbox", "metadata": {"name": name}, "spec": {"poolRef": "pool", "idleTimeoutSeconds": 0}}))
        return name

    def task(self, box, steps=2, lasting=0.05):
        name = f"task-{next(self.numbers)}"
        body = [sh(f"echo x >> {WORK}/{name}.{i}; sleep {lasting}; echo {i}", name=f"step{i}") for i in range(steps)]
        persist(lambda: self.t.create({"kind": "Task", "metadata": {"name": name}, "spec": {"sandboxRef": box, "steps": body}}))
        with self.lock:
            self.made.append((name, steps))
        return name

    def ended(self, name, limit=END_S):
        """Waits until the watch has told the task's end: this makes no further requests."""
        wait(f"task {name} to end", lambda: self.states.finals.get(name), limit)

    def drop(self, box):
        persist(lambda: self.t.delete("Sandbox", box))

    def check_task(self, name, steps):
        s = persist(lambda: self.t.get("Task", name)).get("status", {})
        expect(s.get("state") == "Succeeded", f"{name}: {s}")
        equal(s["stdout"], "".join(f"{i}\n" for i in range(steps)), f"stdout of {name}")
        equal(s.get("attempt", 1), 1, f"attempts of {name}")
        for i in range(steps):
            equal(len(lines(os.path.join(self.folder, f"{name}.{i}"))), 1, f"how often step {i} of {name} began")

    def settle(self, boxes=(), leader=True):
        """Waits for the end of all tasks, and checks that each ended right and only once. Then deletes the sandboxes, and waits until
        there are as many idle pods as at the beginning, and no others. leader: see Owners.check()."""
        for name, steps in self.made:
            self.ended(name)
            self.check_task(name, steps)
        for box in boxes:
            self.drop(box)

        def look():
            pods = persist(lambda: self.t.pods())
            idle = [p for p in pods if p["metadata"]["labels"].get("arl.infra.io/status") == "idle" and harness.is_ready(p)]
            expect(len(pods) == len(idle) == self.replicas, f"{len(pods)} pods, {len(idle)} of them idle and ready, for {self.replicas} replicas")
            return True
        wait("the pool to be whole again, and nothing else to be left", look, 90 + 4 * len(boxes))
        self.owners.check(leader)
        expect(not [n for n, f in self.states.finals.items() if len(f) != 1], f"more than one end: {self.states.finals}")


def summary(values, unit="s"):
    if not values:
        return "none"
    ordered = sorted(values)
    return (f"p50 {statistics.median(ordered):.2f} {unit}, p90 {ordered[int(len(ordered) * 0.9)]:.2f} {unit}, "
            f"max {ordered[-1]:.2f} {unit} ({len(ordered)})")

