"""The client behind a proxy that breaks things, and with an API server that dies: each call returns the right result or its
error, and no command runs twice."""
import json
import os
import subprocess
import sys
import threading
import time

import harness
import tools
from cases_sandbox import HEAD, pool
from harness import case, equal, expect, wait

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "faults"))
import proxy  # noqa: E402

LONG = os.environ.get("ARL_LONG") == "1"
COMMANDS = 60 if LONG else 12
KILLS = 20 if LONG else 2
EXECUTES = 200 if LONG else 60

# Each command appends a line to a file. The program prints the result of each, or the class and reason of its error.
WORK = HEAD + r"""
import json
with Sandbox.create("pool", namespace=NS, idle_timeout=0) as s:
    print(json.dumps(s.pod), flush=True)
    for i in range(int(sys.argv[1])):
        try:
            r = s.run(f"echo {i} >> /tmp/log; sleep 0.1; echo {i}")
            print(json.dumps([i, r.exit_code, r.stdout, r.reason]), flush=True)
        except errors.ArlError as e:
            print(json.dumps([i, type(e).__name__, e.reason]), flush=True)
    for left in (1, 0):
        try:
            log = s.run(["cat", "/tmp/log"], check=True)
            break
        except errors.NotAllowed:
            if not left: raise
    print(json.dumps(log.stdout.split()), flush=True)
"""


class Behind:
    """A client behind the proxy, as a service account that may do everything in its namespace."""

    def __init__(self, t):
        self.t = t
        config = json.loads(t.env.run_kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json").stdout)
        self.proxy = proxy.Proxy(config)
        t.kubectl("create", "serviceaccount", "client")
        t.kubectl("create", "rolebinding", "client", "--clusterrole=cluster-admin", f"--serviceaccount={t.ns}:client")
        token = t.kubectl("create", "token", "client").strip()
        self.path = os.path.join(t.env.work, f"{t.ns}.kubeconfig")
        with open(self.path, "w", encoding="utf-8", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
            json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "c",
                       "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.proxy.port}"}}],
                       "users": [{"name": "u", "user": {"token": token}}],
                       "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": t.ns}}]}, f)

    def start(self, text, *argv, direct=False):
        env = {**os.environ, "E2E_NAMESPACE": self.t.ns, "PYTHONDONTWRITEBYTECODE": "1"}
        if not direct:
            env["KUBECONFIG"] = self.path
        return subprocess.Popen([tools.installed(self.t.env.cache), "-c", text, *argv], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_of(p, limit=240):
    out, err = p.communicate(timeout=limit * harness.PATIENCE)
    equal(p.returncode, 0, f"the client's exit; it said {out[-1500:]}{err[-2500:]}")
    return [json.loads(line) for line in out.splitlines()]


def check(lines, allowed=()):
    """lines: what WORK has printed. allowed: names of errors that calls may have ended with."""
    *results, log = lines[1:] if isinstance(lines[0], str) else lines
    equal(len(results), COMMANDS, "how many calls ended")
    for i, *result in results:
        if isinstance(result[0], str):
            expect(result[0] in allowed, f"command {i} raised {result}")
            expect(log.count(str(i)) <= 1, f"command {i} ran {log.count(str(i))} times")
            continue
        equal(result, [0, f"{i}\n", "Completed"], f"the result of command {i}")
        equal(log.count(str(i)), 1, f"how often command {i} ran")
    return results


def under(t, *, hook=None, chop=None, allowed=()):
    """Runs WORK behind a proxy with this hook and chop, and checks what it printed. Returns the client and the results."""
    pool(t)
    b = Behind(t)
    b.proxy.hook, b.proxy.chop = hook, chop
    results = check(end_of(b.start(WORK, str(COMMANDS))), allowed)
    return b, results


@case()
def watches_that_are_cut(t):
    """Watches are cut in the middle of an event, and after an event."""
    cuts = []

    def chop(data):
        cuts.append(len(data))
        if len(cuts) % 2:
            yield data[:len(data) // 2]
            raise proxy.Cut
        yield data
        if len(cuts) % 4 == 0:
            raise proxy.HalfCut
    b, _ = under(t, chop=chop)
    expect(len([r for r in b.proxy.requests if r.is_watch]) >= 10, "hardly any watch was cut")


@case()
def versions_that_are_too_old(t):
    """Each third watch is answered with 410. All others get their first events, and then an event with 410."""
    watches = []

    def hook(moment, request):
        if moment == "before" and request.is_watch:
            watches.append(request)
            if len(watches) % 3 == 0:
                return proxy.Answer(410, "Expired")
        return None

    def chop(data):
        yield data
        yield json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}).encode() + b"\n"
        raise proxy.Cut
    b, _ = under(t, hook=hook, chop=chop)
    lists = [r for r in b.proxy.requests if r.method == "GET" and not r.is_watch]
    expect(len(lists) >= COMMANDS // 2 and len(watches) >= 3, f"after an expired version there is a new list: {lists}, {len(watches)} watches")


@case()
def a_server_that_is_busy(t):
    """Every other request fails: with 429 and Retry-After, with 503, or with a reset. Some POSTs are applied, but their answers are lost."""
    counts = {}

    def hook(moment, request):
        key = moment, request.method, request.is_watch
        n = counts[key] = counts.get(key, 0) + 1
        if moment == "before" and n % 2:
            return (proxy.Answer(429, "TooManyRequests", headers={"Retry-After": "1"}), proxy.Answer(503, "ServiceUnavailable"), proxy.RESET)[n // 2 % 3]
        if moment == "applied" and request.method == "POST" and n % 3 == 0:
            return proxy.RESET
        return None
    under(t, hook=hook)


@case()
def credentials_that_are_refused(t):
    """A call whose POST is refused fails with NotAllowed. A wait goes on after a refused watch."""
    counts = {"watch": 0, "POST": 0}

    def hook(moment, request):
        kind = "watch" if request.is_watch else request.method
        if moment == "before" and kind in counts:
            counts[kind] += 1
            if counts[kind] % 3 == 2 and (kind == "watch" or "/tasks" in request.path):
                return proxy.Answer(401, "Unauthorized")
        return None

    def chop(data):     # ends each watch early, so that there are many
        yield data
        raise proxy.Cut
    _, results = under(t, hook=hook, chop=chop, allowed=("NotAllowed",))
    refused = [r for r in results if r[1] == "NotAllowed"]
    expect(0 < len(refused) < COMMANDS, f"{len(refused)} of {COMMANDS} calls were refused")


@case(alone=True)
def an_api_server_that_is_killed(t):
    """The API server is killed while one client runs commands and another one moves files."""
    pool(t, replicas=2)
    b = Behind(t)
    work = b.start(WORK, str(COMMANDS), direct=True)
    pod = json.loads(work.stdout.readline())
    expect(pod, "no pod")
    files = b.start(HEAD + r"""
data = os.urandom(1 << 20) * 8
done = lost = 0
with Sandbox.create("pool", namespace=NS, idle_timeout=0) as s:
    print("begun", flush=True)
    while not os.path.exists(sys.argv[1]):
        try:
            s.files.write("/tmp/x", data)
            equal(s.files.read_bytes("/tmp/x") == data, True)
            done += 1
        except (errors.StreamLost, errors.ClusterUnreachable):
            lost += 1
    s.files.write("/tmp/x", data)
    equal(s.files.read_bytes("/tmp/x") == data, True)
print("null")
""", os.path.join(t.env.work, "enough"), direct=True)
    files.stdout.readline()
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(work.stdout), daemon=True)
    reader.start()
    for kill in range(KILLS):
        before = len(seen)
        wait("commands to end", lambda: len(seen) > before or work.poll() is not None, 60)  # pylint: disable=cell-var-from-loop
        wait("the API server to run", lambda: t.env.run_kubectl("get", "--raw", "/readyz").returncode == 0, 60)
        r = t.env.cluster_command("kill", "kube-apiserver")
        equal(r.returncode, 0, f"kill {kill}: {r.stderr}")
    reader.join(240 * harness.PATIENCE)
    expect(work.wait(60) == 0, f"the client: {work.stderr.read()[-2500:]}")
    check([json.loads(line) for line in seen], allowed=("ClusterUnreachable",))
    with open(os.path.join(t.env.work, "enough"), "w", encoding="utf-8"):
        pass
    end_of(files)


@case(alone=True)
def execute_returns_with_its_event(t):
    """Prints how long after the last byte of the watch event a call returns. There is no limit for that time."""
    pool(t)
    b = Behind(t)
    ends = {}

    def chop(data):
        at = time.monotonic()
        for line in data.splitlines():
            if b'"Succeeded"' in line and b'"kind":"Task"' in line:
                try:
                    ends.setdefault(json.loads(line)["object"]["metadata"]["name"], at)
                except ValueError:
                    pass    # the line is only a part of an event
        yield data
    b.proxy.chop = chop
    p = b.start(HEAD + r"""
import json
with Sandbox.create("pool", namespace=NS) as s:
    for i in range(int(sys.argv[1])):
        r = s.run(["true"], check=True)
        print(json.dumps([r.task["metadata"]["name"], time.monotonic()]))
""", str(EXECUTES))
    waits = sorted(at - ends[name] for name, at in end_of(p) if name in ends)
    expect(len(waits) >= EXECUTES // 2, f"{len(waits)} ends were seen on their way")
    expect(waits[0] >= 0, f"a result before its event: {waits[0]}")
    print(f"# execute() returns after its watch event: p50 {1000 * waits[len(waits) // 2]:.1f} ms, "
          f"p95 {1000 * waits[int(len(waits) * 0.95)]:.1f} ms, of {len(waits)}", flush=True)
