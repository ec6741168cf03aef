"""Sandbox, AsyncSandbox, Pool and arl.map on real pods."""
import json
import os
import signal
import subprocess

import tools
from harness import IMAGES, case, equal, expect, wait

HEAD = """
import asyncio, os, signal, sys, time
import arl
from arl import AsyncSandbox, Pool, Sandbox, errors
NS = os.environ["E2E_NAMESPACE"]
def equal(got, want):
    if got != want: sys.exit(f"got {got!r}, want {want!r}")
def raises(kind, fn):
    try: fn()
    except kind as e: return e
    sys.exit(f"no {kind.__name__}")
"""


def pool(t, replicas=1):
    return t.pool(replicas=replicas, spec={"containers": [{"name": "executor", "image": IMAGES["busybox"]}]})


def run(t, text, *argv, **more):
    return tools.program(t, HEAD + text, *argv, **more)


def none_left(t):
    """Waits until there is neither a sandbox nor a pod of one."""
    wait("no sandbox to be left", lambda: t.api.get(f"/apis/arl.infra.io/v1alpha1/namespaces/{t.ns}/sandboxes")["items"] == [], 60)
    wait("no pod of a sandbox to be left", lambda: not t.pods(status="allocated"), 60)


@case()
def commands_and_their_results(t):
    pool(t)
    run(t, r"""
with Sandbox.create("pool", namespace=NS, env={"COLOUR": "blue"}) as s:
    r = s.run("echo $COLOUR $SIZE; pwd; echo err >&2", env={"SIZE": "big"}, cwd="/tmp")
    equal((r.exit_code, r.stdout, r.stderr, bool(r), r.reason, r.truncated), (0, "blue big\n/tmp\n", "err\n", True, "Completed", False))
    r = s.run(["sh", "-c", "exit 42"])
    equal((r.exit_code, bool(r), r.reason), (42, False, "StepFailed"))
    e = raises(errors.CommandFailed, lambda: s.run("echo why >&2; exit 3", check=True))
    equal((e.result.exit_code, "why" in str(e)), (3, True))
    e = raises(TimeoutError, lambda: s.run(["sleep", "60"], timeout=0.2, check=True))
    equal((type(e), e.result.exit_code), (errors.CommandTimeout, 124))
    equal(s.run(["no-such-program"]).exit_code, 127)
    t = s.execute([arl.FilePatch(path="a.txt", content="x"), arl.Command(command=["cat", "a.txt"])])
    equal((t.state, t.result.stdout, t["status"]["exitCode"]), ("Succeeded", "File created: a.txt\nx", 0))
    p = s.start("sleep 0.5; echo late")
    equal(s.process(p.task_name).wait().stdout, "late\n")
    p = s.start(["sleep", "600"])
    p.kill()
    p.kill()
    r = p.wait()
    equal((r.exit_code, r.reason), (137, "Canceled"))
    equal(s.run("cat; id -u", stdin="in\n", user=1234).stdout, "in\n1234\n")
    equal(s.run(["wc", "-c"], stdin=bytes(range(256))).stdout, "256\n")
    equal([x.name for x in Sandbox.list(namespace=NS)], [s.name])
    equal(Sandbox.attach(s.name, namespace=NS).run("echo again").stdout, "again\n")
raises(errors.NotFound, lambda: Sandbox.attach(s.name, namespace=NS))
""")
    none_left(t)


@case()
def errors_say_what_is_wrong(t):
    run(t, r"""
e = raises(ValueError, lambda: Sandbox.create("nothing", namespace=NS))
equal((type(e), e.reason, "WarmPool 'nothing' not found" in e.message, "Pool.create" in e.hint), (errors.PoolNotFound, "PoolNotFound", True, True))
e = raises(errors.Refused, lambda: Pool.create("a.b", "image", namespace=NS))
equal("DNS label" in e.message, True)
e = raises(errors.PoolNotFound, lambda: Pool.get("nothing", namespace=NS))
equal(e.available, ())
p = Pool.create("broken", "localhost/arl-test/no-such-image:1", replicas=1, namespace=NS)
e = raises(TimeoutError, lambda: p.wait_ready(timeout=20))
equal((type(e), "broken-" in e.message), (errors.PoolNotReady, True))
e = raises(TimeoutError, lambda: Sandbox.create("broken", namespace=NS, timeout=2))
equal((type(e), "was not ready after 2 s" in e.message), (errors.SandboxTimeout, True))
equal([x.name for x in Sandbox.list(namespace=NS)], [])
p.delete(); p.delete()
raises(NotImplementedError, lambda: Sandbox.create("x", namespace=NS, resources={}))
raises(NotImplementedError, lambda: Sandbox.create("x", namespace=NS, network={}))
""")


@case()
def pools(t):
    run(t, r"""
p = Pool.ensure("%s", replicas=1, namespace=NS)
equal(Pool.ensure("%s", replicas=1, namespace=NS).name, p.name)
p.wait_ready(120)
equal((p.status().phase, p.status().idle, p.status().wanted), ("Ready", 1, 1))
p.scale(2)
p.wait_ready(120)
equal(p.status().idle, 2)
equal([x.name for x in Pool.list(namespace=NS)], [p.name])
p.delete()
""" % (IMAGES["busybox"], IMAGES["busybox"]))


@case()
def async_and_map(t):
    pool(t, replicas=3)
    run(t, r"""
async def main():
    async with AsyncSandbox.create("pool", namespace=NS) as s:
        results = await asyncio.gather(*(s.run(f"echo {i}") for i in range(5)))
        equal([r.stdout for r in results], [f"{i}\n" for i in range(5)])
    got = [(i, r.stdout) async for i, r in arl.amap(lambda s, i: s.run(f"echo {i}"), range(6), "pool", concurrency=3, namespace=NS)]
    equal(sorted(got), [(i, f"{i}\n") for i in range(6)])
    try:
        await AsyncSandbox.create("nothing", namespace=NS)
        sys.exit("no PoolNotFound")
    except errors.PoolNotFound:
        pass
asyncio.run(main())
def work(s, i):
    if i == 3: raise KeyError(i)
    return s.run(["echo", str(i)]).stdout
equal(sorted(arl.map(lambda s, i: s.run(["echo", str(i)]).stdout, "abc", "pool", concurrency=2, namespace=NS)), [(c, c + "\n") for c in "abc"])
raises(KeyError, lambda: list(arl.map(work, range(5), "pool", concurrency=2, namespace=NS)))
""")
    none_left(t)


LONG = HEAD + """
s = Sandbox.create("pool", namespace=NS)
print(s.name, flush=True)
s.run(["sleep", "600"], timeout=600)
"""


@case()
def nothing_is_left_by_a_client_that_ends(t):
    """The client ends by an exception, or in the middle of a command by Ctrl-C or SIGTERM."""
    pool(t)
    r = run(t, 'Sandbox.create("pool", namespace=NS)\nraise KeyError("mine")', fails=True)
    expect(r.returncode == 1 and "KeyError: 'mine'" in r.stderr, f"an exception of the user's: {r.stderr[-500:]}")
    none_left(t)
    for number in (signal.SIGINT, signal.SIGTERM):
        env = {**os.environ, "E2E_NAMESPACE": t.ns}
        p = subprocess.Popen([tools.installed(t.env.cache), "-c", LONG], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        name = p.stdout.readline().strip()
        wait("the task to run", lambda: any(x.get("status", {}).get("state") == "Running" for x in t.api.get(
            f"/apis/arl.infra.io/v1alpha1/namespaces/{t.ns}/tasks")["items"] if x["spec"]["sandboxRef"] == name), 30)
        p.send_signal(number)
        _, err = p.communicate(timeout=60)
        expect(p.returncode != 0, f"signal {number}: exit {p.returncode}: {err[-500:]}")
        none_left(t)


@case()
def a_sandbox_that_is_deleted_ends_its_command(t):
    pool(t)
    run(t, r"""
import threading
s = Sandbox.create("pool", namespace=NS)
threading.Timer(1, lambda: Sandbox.attach(s.name, namespace=NS).delete()).start()
e = raises(errors.TaskLost, lambda: s.run(["sleep", "600"], timeout=600))
equal((e.reason, "not repeated" in e.hint), ("SandboxDeleted", True))
""")


@case()
def a_pod_that_is_lost(t):
    """The pod is lost while a command runs. That command and the next one raise an error that says so, and neither hangs."""
    pool(t)
    run(t, r"""
import threading
from kubernetes import client
from arl import SandboxSession
with SandboxSession("pool", namespace=NS) as session:
    pod = Sandbox.attach(session.sandbox_name, namespace=NS).pod
    s = Sandbox.attach(session.sandbox_name, namespace=NS)
    threading.Timer(1, lambda: client.CoreV1Api().delete_namespaced_pod(pod, NS, grace_period_seconds=0)).start()
    e = raises(errors.TaskLost, lambda: s.run(["sleep", "600"], timeout=600))
    equal(e.reason, "PodLost")
    e = raises(RuntimeError, lambda: s.wait_ready(60))
    equal((type(e), e.reason, pod in e.message), (errors.SandboxFailed, "PodLost", True))
    e = raises(errors.TaskLost, lambda: s.run("echo never"))
    equal(e.reason, "PodLost")
""")


@case()
def a_sandbox_that_is_not_ready_for_a_while(t):
    """While a client uses it, its phase goes back to Bound, and later to Failed. Commands wait at Bound, and raise at Failed."""
    pool(t)
    run(t, r"""
from kubernetes import client
s = Sandbox.create("pool", namespace=NS)
api = client.CustomObjectsApi(s._connection.api_client)
def phase(phase):
    api.patch_namespaced_custom_object_status("arl.infra.io", "v1alpha1", NS, "sandboxes", s.name, {"status": {"phase": phase}})
for i in range(3):
    phase("Bound")
    equal(s.run(f"echo {i}").stdout, f"{i}\n")
s.wait_ready(60)
client.CoreV1Api(s._connection.api_client).delete_namespaced_pod(s.pod, NS, grace_period_seconds=0)
e = raises(errors.TaskLost, lambda: s.run("echo never"))
equal(e.reason in ("PodLost", "SandboxFailed"), True)
s.delete()
""")
    none_left(t)


@case()
def nothing_is_left_by_a_client_that_is_killed(t):
    """The client's sandbox goes after its idle time, and the task has a ttlSecondsAfterFinished."""
    pool(t)
    p = subprocess.Popen([tools.installed(t.env.cache), "-c", HEAD + """
s = Sandbox.create("pool", namespace=NS, idle_timeout=3)
s.run("true")
print("ready", flush=True)
s.run(["sleep", "2"])
"""], env={**os.environ, "E2E_NAMESPACE": t.ns}, stdout=subprocess.PIPE, text=True)
    expect(p.stdout.readline() == "ready\n", "the client did not begin")
    p.kill()
    p.wait()
    tasks = t.api.get(f"/apis/arl.infra.io/v1alpha1/namespaces/{t.ns}/tasks")["items"]
    expect(tasks and all(x["spec"]["ttlSecondsAfterFinished"] == 600 for x in tasks), f"the tasks that are left: {tasks}")
    none_left(t)


MANY = 200 if os.environ.get("ARL_LONG") == "1" else 20
SMALL = {"name": "sidecar", "resources": {"requests": {"cpu": "1m"}, "limits": {"memory": "64Mi"}}}    # so that 200 fit on two cores


@case(alone=True)
def requests_are_counted(t):
    """Many sandboxes at once, from a pool with enough pods. Each needs two POSTs, to make it and to run a command, one DELETE, no GET."""
    t.pool(replicas=MANY, spec={"containers": [{"name": "executor", "image": IMAGES["busybox"]}, SMALL]})
    out = run(t, r"""
import collections, json
from concurrent.futures import ThreadPoolExecutor
from kubernetes import client
MANY = int(sys.argv[1])
seen = collections.Counter()
request = client.rest.RESTClientObject.request
def counted(self, method, url, *args, **kwargs):
    watch = "watch=" in url or any(k == "watch" for k, _ in kwargs.get("query_params") or [])
    plural = url.split("?")[0].rsplit("/", 1)[1] in ("sandboxes", "tasks")
    seen["WATCH" if watch else "LIST" if plural and method == "GET" else method] += 1
    return request(self, method, url, *args, **kwargs)
client.rest.RESTClientObject.request = counted
def one(i):
    with Sandbox.create("pool", namespace=NS) as s:
        return s.run(f"echo {i}", check=True).stdout
began = time.monotonic()
with ThreadPoolExecutor(MANY) as e:
    equal(list(e.map(one, range(MANY))), [f"{i}\n" for i in range(MANY)])
print(json.dumps([time.monotonic() - began, seen]))
""", str(MANY), limit=600)
    took, seen = json.loads(out.stdout)
    equal((seen.get("POST"), seen.get("DELETE"), seen.get("GET", 0), seen.get("PATCH", 0)), (2 * MANY, MANY, 0, 0), f"the client's requests ({seen})")
    expect(seen["LIST"] + seen["WATCH"] <= 12, f"lists and watches: {seen}")
    print(f"# {MANY} sandboxes at once, a command each: {took:.1f} s, {seen}", flush=True)
    none_left(t)
