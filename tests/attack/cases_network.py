"""What can be sent to a pod by anybody who reaches its address, and what can be read from the operator's address."""
import http.client
import json
import time

from base import INTEG, NO_ATTACK, NO_DOOR, PASSIVE, WORK, attack
from harness import expect, sh


def flooded(t, connections, size, seconds=6):
    """Another pod floods the agent of a sandbox, in which a task runs."""
    thief, box = t.armed("root"), t.sandbox_of("user")
    pod = t.pod_of(box)
    before = t.restarts_of(box, "sidecar")
    name = t.task(box, sh(f"while [ ! -e {WORK}/over ]; do sleep 0.1; done; echo done"))
    t.state(name, "Running")
    s = t.program(thief, "flood", pod["status"]["podIP"], t.port(pod), connections, size, seconds)
    expect("connections" in s.get("stdout", ""), f"the flood: {s}")
    t.inside(box, f"touch {WORK}/over")
    s = t.finished(name, 100)
    if t.restarts_of(box, "sidecar") > before:
        return f"the agent was killed, and the running task ended as {s['state']}"
    return t.true_result(s, 0, "done\n")


@attack("R14", "24 unsigned bodies of 4 MiB from another pod: the agent is killed, the running task is lost", seen=["agent requests_refused"])
def unsigned_bodies_from_another_pod(t):
    return flooded(t, 24, 4190000)


@attack("R14", "64 unsigned bodies of 4 MiB from another pod", seen=["agent requests_refused"])
def many_unsigned_bodies_from_another_pod(t):
    return flooded(t, 64, 4190000)


@attack("", "500 connections that say little, from another pod", then=False, seen=["agent requests_refused"])
def slow_connections_from_another_pod(t):
    return flooded(t, 500, 1)


@attack("", "3,000 unsigned requests: a line in the log for each", then=None, seen=["agent requests_refused"])
def unsigned_requests_fill_no_log(t):
    thief, box = t.armed("root"), t.sandbox_of("user")
    pod = t.pod_of(box)

    def lines():
        return len(t.env.run_kubectl("-n", t.ns, "logs", pod["metadata"]["name"], "-c", "sidecar").stdout.splitlines())
    before = lines()
    s = t.program(thief, "knock", pod["status"]["podIP"], t.port(pod), 3000, limit=100)
    expect("401" in s.get("stdout", ""), f"the requests: {s}")
    more = lines() - before
    return f"{more} lines in the agent's log" if more > 300 else None


@attack("", "400 refused callers of the runner's socket: a line in the log for each (uid 1000)", then=True, untold=NO_DOOR)
def refused_callers_fill_no_log(t):
    box = t.sandbox_of("user")
    pod = t.pod_of(box)["metadata"]["name"]

    def lines():
        return len(t.env.run_kubectl("-n", t.ns, "logs", pod, "-c", "sidecar").stdout.splitlines())
    before = lines()
    s = t.run(box, sh("python3 -c 'import socket\nfor i in range(400):\n  try:\n    s=socket.socket(socket.AF_UNIX); s.connect(\"/.arl/sock\"); s.sendall(b\"x\"*64); s.close()\n  except OSError: pass'"))
    expect(s["state"] == "Succeeded", f"the callers: {s}")
    time.sleep(1)       # for the harm to be done
    more = lines() - before
    return f"{more} lines in the agent's log" if more > 100 else None


def fetch(t, box, ip, port, path):
    s = t.run(box, sh(f"python3 -c 'import urllib.request,sys\ntry: print(urllib.request.urlopen(\"http://{ip}:{port}{path}\", timeout=3).read().decode())\nexcept Exception as e: print(\"error\", e)'"))
    return s.get("stdout", "")


@attack("R18", "/debug/state of the operator, asked for from a sandbox: names and messages of all tenants", untold=PASSIVE)
def the_operators_state(t):
    box = t.sandbox_of("user")
    for p in t.env.operator.pods():
        ports = {q["containerPort"] for c in p["spec"]["containers"] for q in c.get("ports", [])} | {8080}
        for port in ports:
            text = fetch(t, box, p["status"]["podIP"], port, "/debug/state")
            if t.env.good in text or '"queue"' in text:
                return f"port {port} tells {len(text)} bytes" + (", with the names of another tenant" if t.env.good in text else "")
    return None


@attack("", "the operator's metrics: no name of a tenant's is in them", then=None, untold=PASSIVE)
def names_in_metrics(t):
    box = t.sandbox_of("user")
    t.run(box, sh("true"), traceID="trace-of-" + t.ns)
    for p in t.env.operator.pods():
        for port in {q["containerPort"] for c in p["spec"]["containers"] for q in c.get("ports", [])}:
            text = fetch(t, box, p["status"]["podIP"], port, "/metrics")
            if any(n in text for n in (t.env.good, "honest")):
                return "the metrics name another tenant"
    return None


@attack("R20", "port 8080 of the pod is taken by the agent, and localhost:8080 answers with arl's 401", untold=NO_ATTACK)
def port_8080(t):
    box = t.sandbox_of("user")
    s = t.run(box, sh("python3 -c 'import socket; s=socket.socket(); s.bind((\"0.0.0.0\",8080)); print(\"bound\")'"))
    return None if s.get("stdout") == "bound\n" else "a server of the user's gets: " + s.get("stderr", "").strip().splitlines()[-1]


@attack("", "requests signed by another key, as of an operator of another installation", then=False, seen=["agent requests_refused"])
def requests_signed_by_another_key(t):
    box = t.sandbox_of("user")
    pod, sandbox = t.pod_of(box), t.get("Sandbox", box)["metadata"]["uid"]
    body = json.dumps({"sandboxUID": sandbox, "task": "x/y", "workDir": WORK, "timeoutMs": 5000, "outputLimit": 1024, "steps": [sh(f"touch {WORK}/intruder")]}).encode()
    target = "/v1/tasks/6b9b6f0e-0000-4000-8000-000000000001/1"
    c = http.client.HTTPConnection(pod["status"]["podIP"], t.port(pod), timeout=10)
    c.request("PUT", target, body=body, headers=INTEG.signed_headers(INTEG.Key(), "PUT", target, body, pod=pod["metadata"]["uid"], sandbox=sandbox))
    status = c.getresponse().status
    time.sleep(0.5)
    return None if status == 401 and not t.inside(box, f"ls {WORK}/intruder 2>/dev/null", fails=True) else f"answered with {status}"


@attack("R19", "the queue of the standby only grows: keys of what is gone are never forgotten", then=None, alone=True, untold=NO_ATTACK)
def keys_of_what_is_gone(t):
    def depth():
        return {k: v for k, v in t.env.metrics().items() if k.startswith("arl_queue_de")}
    box = t.sandbox_of("user")
    before = depth()
    names = [t.task(box, sh("true")) for _ in range(40)]
    for n in names:
        t.finished(n, 60)
        t.delete("Task", n)
    if t.comes(lambda: sum(depth().values()) <= sum(before.values()) + 15, 10):
        return None
    return f"{before} became {depth()}"


@attack("", "the API server asked for by a sandbox: no token is in it", then=False, untold=PASSIVE)
def a_token_in_the_sandbox(t):
    box = t.sandbox_of("root")
    s = t.run(box, sh("ls /var/run/secrets/kubernetes.io/serviceaccount 2>/dev/null; env | grep -i token; true"))
    return None if not s["stdout"] else s["stdout"]


