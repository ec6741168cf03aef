"""Objects that are too large or too many, and objects with names that are too long for the labels of other objects."""
import concurrent.futures
import contextlib
import json
import statistics
import threading
import time

from base import ADMIN, EXECUTOR, NO_ATTACK, OWN, REFUSED, WORK, attack, quick
from harness import ApiError, command, expect, patch, path_of, pool_object, sh, wait

API = "arl.infra.io/v1alpha1"


def offer(t, kind, name, spec, **labels):
    """Creates an object as the tenant. Returns whether the API server took it."""
    status, text = t.tenant.request("POST", path_of(t.ns, kind), {"apiVersion": API, "kind": kind, "metadata": {"name": name, "labels": labels}, "spec": spec})
    if status >= 300 and status not in (400, 413, 422, 500):
        raise ApiError(status, text)
    return status < 300


def make(t, name, steps, box):
    """Creates a task as the tenant; the end of the case deletes it. Returns whether the API server took it."""
    taken = offer(t, "Task", name, {"sandboxRef": box, "steps": steps})
    if taken:
        t.made.append(("Task", name))
    return taken


def offer_many(t, kind, specs):
    """Creates an object of each spec as the tenant; the end of the case deletes them with one request. Returns the names of those that
    the API server took."""
    names, label = [t.unique("many") for _ in specs], t.unique("all")
    t.undo.append(lambda: t.api.call("DELETE", path_of(t.ns, kind) + f"?labelSelector=attack={label}"))
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda name, spec: offer(t, kind, name, spec, attack=label), names, specs))
    return [name for name, was in zip(names, taken) if was]


def claims(t, count=5):
    """The median time of the other tenant's claims. Each finds a warm pod: how fast a node starts pods is not measured."""
    took = []
    for _ in range(count):
        t.env.honest.warm(2)
        began = time.monotonic()
        name = t.env.honest.sandbox("honest")
        t.env.honest.phase(name, "Ready", 60)
        took.append(time.monotonic() - began)
        t.env.honest.delete("Sandbox", name)
    return statistics.median(took)


@attack("R12", "three tasks of 1,572,300 bytes: no status fits, and all tenants' claims wait", alone=True, untold=REFUSED)
def three_tasks_too_large_for_a_status(t):
    box = t.sandbox_of("root")
    quiet = claims(t, 3)
    taken = [n for n in (t.unique("huge") for _ in range(3)) if make(t, n, [patch(f"{WORK}/huge", "a" * 1572300)], box)]
    time.sleep(1)
    loud = claims(t, 3)
    if loud > max(3.0, 3 * quiet):
        return f"claims of others take {loud:.1f} s, not {quiet:.2f} s"
    if not taken:
        return None
    ended = t.comes(lambda: all(t.get("Task", n).get("status", {}).get("state") == "Failed" for n in taken), 15)
    events = t.api.get(path_of(t.ns, "events"))["items"]
    told = ended or {n for n in taken if any(e["involvedObject"]["name"] == n for e in events)} == set(taken)
    return None if told else "they were accepted, and nothing tells that they cannot run"


@attack("R12", "60 such tasks for a sandbox that is not there: both operators run out of memory", alone=True, untold=REFUSED)
def sixty_huge_tasks(t):
    before = t.env.restarts()
    names = [t.unique("huge") for _ in range(60)]
    threads = [threading.Thread(target=lambda part=names[i::4]: [make(t, n, [patch("x", "a" * 1572300)], "nowhere") for n in part]) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    quick(lambda: t.env.restarts() != before, 20 if t.env.old else 3)       # for the harm to be done


@attack("", "a task of four-byte characters, which the API server counts as one each", then=None, alone=True, seen=["condition Task SpecTooLarge", "event SpecTooLarge"])
def characters_of_four_bytes(t):
    box = t.sandbox_of("root")
    name = t.unique("wide")
    if not make(t, name, [patch(f"{WORK}/wide-{i}", "\U0001F600" * 98150) for i in range(4)], box):
        return None
    if t.ends(name, 15):
        return None
    events = [e for e in t.api.get(path_of(t.ns, "events"))["items"] if e["involvedObject"]["name"] == name]
    return None if events else f"after 15 s it is {t.get('Task', name).get('status', {}).get('state')}, and nothing tells why"


@attack("", "1,000 steps with an environment of 100 names each", then=None, untold=REFUSED)
def many_steps_with_many_names(t):
    box = t.sandbox_of("root")
    name = t.unique("many")
    if not make(t, name, [{**command("true", name=f"s{i}"), "env": {f"N{j}": "x" for j in range(100)}} for i in range(1000)], box):
        return None
    s = t.finished(name, 60)
    return None if s["state"] in ("Succeeded", "Failed") else s["state"]


@attack("", "40 steps whose output of control characters grows six times as JSON", then=False, untold=OWN)
def output_of_control_characters(t):
    box = t.sandbox_of("root")
    s = t.run(box, *[sh("head -c 20000 /dev/zero | tr '\\0' '\\1'", name=f"s{i}") for i in range(40)], limit=100)
    return None if s["state"] == "Succeeded" else f"it ended as {s['state']}: {json.dumps(s.get('conditions'))[:200]}"


@attack("R13", "16 sandboxes whose tasks print 2 MB on both streams and end in the same second", alone=True, then=None, untold=NO_ATTACK)
def a_crowd_of_noisy_tasks(t):
    count = 16
    pool = t.unique("noisy")
    t.create(pool_object(pool, "busybox", replicas=count))
    t.pool_ready(pool)
    boxes = [t.sandbox(pool, idleTimeoutSeconds=0) for _ in range(count)]
    t.merge("WarmPool", pool, {"spec": {"replicas": 0}})
    for b in boxes:
        t.phase(b, "Ready")
    at = int(time.time()) + 4
    script = f"head -c 2000000 /dev/zero | tr '\\0' 'a'; head -c 2000000 /dev/zero | tr '\\0' 'b' >&2; while [ $(date +%s) -lt {at} ]; do sleep 0.05; done"
    names = [t.task(b, sh(script)) for b in boxes]
    ends = [t.finished(n, 60) for n in names]
    wrong = [s for s in ends if s["state"] != "Succeeded" or not s["stdout"].startswith("aaa")]
    return f"{len(wrong)} of {count} tasks ended wrong: {json.dumps(wrong[0])[:200]}" if wrong else None


@attack("R16", "a Sandbox with a name of 64 characters can never be bound, and the next one waits beside an idle pod", untold=REFUSED)
def a_sandbox_with_a_long_name(t):
    pool = t.unique("pool")
    t.create(pool_object(pool, "busybox"))
    t.pool_ready(pool)
    with contextlib.suppress(ApiError):
        t.sandbox(pool, name="a" * 64)
    return None if held_up(t, pool) is None else "the next sandbox waits"


def held_up(t, pool):
    """None if the next sandbox of the pool is Ready soon."""
    box = t.sandbox(pool)
    return None if t.comes(lambda: t.get("Sandbox", box).get("status", {}).get("phase") == "Ready", 12) else box


@attack("R16", "a claim that an admission policy refuses: the next sandbox waits beside an idle pod", seen=["condition Sandbox ClaimRefused", "event ClaimRefused"])
def a_claim_that_is_refused(t):
    pool, name = t.unique("pool"), f"refuse-{t.env.id}"
    t.create(pool_object(pool, "busybox"))
    t.pool_ready(pool)
    policy = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
        "failurePolicy": "Fail", "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"]}]},
        "validations": [{"expression": "!(has(object.metadata.labels) && 'arl.infra.io/sandbox' in object.metadata.labels && object.metadata.labels['arl.infra.io/sandbox'].startsWith('unwanted'))",
                         "message": "no unwanted sandboxes"}]}}
    binding = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {
        "policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": t.ns}}}}}
    base = "/apis/admissionregistration.k8s.io/v1/"
    for plural, obj in (("validatingadmissionpolicies", policy), ("validatingadmissionpolicybindings", binding)):
        t.api.call("POST", base + plural, obj)
        t.undo.append(lambda p=plural: t.api.call("DELETE", f"{base}{p}/{name}"))
    pod = t.pods(pool=pool)[0]["metadata"]["name"]
    wait("the policy to be in force", lambda: t.api.request("PATCH", path_of(t.ns, "pods", pod) + "?dryRun=All", {"metadata": {"labels": {"arl.infra.io/sandbox": "unwanted-x"}}},
                                                            "application/merge-patch+json")[0] >= 400, 30)
    box = t.sandbox(pool, name="unwanted-1")
    # Wait before the next sandbox is made: it takes the pod whose claim is refused here.
    t.comes(lambda: any(c["reason"] == "ClaimRefused" for c in t.get("Sandbox", box).get("status", {}).get("conditions", [])), 12)
    return None if held_up(t, pool) is None else "the next sandbox waits"


def in_a_namespace(t, kind, obj):
    """Makes a pool in a namespace with this limit. Returns None if the pool becomes ready, else why it does not."""
    ns = t.env.make_namespace(f"limited-{t.number}")
    t.undo.append(lambda: t.env.drop_namespace(ns))
    t.api.call("POST", path_of(ns, kind), obj)
    resources = {"requests": {"cpu": "60m", "memory": "32Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}}
    spec = {"containers": [{"name": "executor", "image": "localhost/arl-test/busybox:1", "resources": resources},
                           {"name": "sidecar", "image": "x", "resources": resources}]}
    t.api.call("POST", path_of(ns, "WarmPool"), pool_object("pool", spec=spec))
    if t.comes(lambda: t.api.get(path_of(ns, "WarmPool", "pool")).get("status", {}).get("readyReplicas") == 1, 25):
        return None
    return "no pod can be made: " + json.dumps(t.api.get(path_of(ns, "WarmPool", "pool")).get("status", {}).get("conditions"))[-300:]


@attack("R21", "a LimitRange with a minimum of 50m: arl-init has less, and nobody can set it", untold=NO_ATTACK)
def a_limit_range(t):
    return in_a_namespace(t, "limitranges", {"metadata": {"name": "least"}, "spec": {"limits": [{"type": "Container", "min": {"cpu": "50m"}}]}})


@attack("R21", "a quota on limits.cpu: arl-init has none", untold=NO_ATTACK)
def a_quota_on_limits(t):
    return in_a_namespace(t, "resourcequotas", {"metadata": {"name": "most"}, "spec": {"hard": {"limits.cpu": "2"}}})


FUZZ = {
    "names": lambda i: {"metadata": {"name": ("a." * 120 + str(i))[:253]}},
    "labels": lambda i: {"metadata": {"labels": {f"arl.infra.io/{k}": "x" * 63 for k in ("pool", "status", "sandbox")}}},
    "owners": lambda i: {"metadata": {"ownerReferences": [{"apiVersion": API, "kind": k, "name": "o" * 600, "uid": "u" * 100, "controller": k == "WarmPool"} for k in ("WarmPool", "Sandbox", "Task")]}},
    "annotations": lambda i: {"metadata": {"annotations": {"arl.infra.io/used-at": "9999-99-99T99:99:99Z" * 1000, "arl.infra.io/x": "\x7f" * 10000}}},
    "finalizers": lambda i: {"metadata": {"finalizers": ["example.com/" + "f" * 60]}},
}


@attack("R10", "200 objects of all kinds with names, labels, owners and annotations that are too long or strange", alone=True, then=None, untold=ADMIN)
def strange_objects(t):
    """The administrator creates them: no policy refuses them, and the operator must cope with them."""
    specs = {"WarmPool": lambda: pool_object("x", "busybox", replicas=0)["spec"], "Sandbox": lambda: {"poolRef": "p" * 253},
             "Task": lambda: {"sandboxRef": "s" * 253, "timeout": "9" * 15 + "h", "traceID": "t" * 5000, "steps": [{"name": "n" * 5000, "type": "Command", "command": ["x"] * 1000}]},
             "pods": lambda: {"containers": [{**EXECUTOR, "command": ["sleep", "9"]}], "nodeSelector": {"none": "such"}, "terminationGracePeriodSeconds": 0}}
    taken = 0
    for kind, spec in specs.items():
        for what, change in FUZZ.items():
            for i in range(10):
                obj = {"apiVersion": API, "kind": kind, "spec": spec(), **change(i)}
                if kind == "pods":
                    obj.update(apiVersion="v1", kind="Pod")
                obj["metadata"].setdefault("name", f"{what}-{i}")
                status, _ = t.api.request("POST", path_of(t.ns, kind), obj)
                if status < 300:
                    taken += 1
                    name = obj["metadata"]["name"]
                    t.undo.append(lambda k=kind, n=name: t.api.call("DELETE", path_of(t.ns, k, n) + "?gracePeriodSeconds=0"))
                    t.undo.append(lambda k=kind, n=name: t.api.merge(path_of(t.ns, k, n), {"metadata": {"finalizers": []}}))
    expect(taken > 20, f"only {taken} objects were taken")
    time.sleep(3)       # for the harm to be done


@attack("", "300 tasks in line for one sandbox", then=False, alone=True, seen=["condition Task Queued"])
def many_tasks_in_line(t):
    box = t.sandbox_of("root")
    t.task(box, sh("sleep 20"))
    for i in range(300):
        make(t, t.unique("line"), [sh("true")], box)
    return None


@attack("", "45 sandboxes with 1.4 MiB of env, 20 pools with as large templates, and 600 tasks in line for a sandbox that is deleted", then=None, alone=True,
        seen=["event PodsFailing: spec.template takes "])
def more_than_an_operator_may_keep(t):
    empty = pool_object(t.unique("empty"), "busybox", replicas=0)
    fat = pool_object("fat", replicas=0, spec={"containers": [{**EXECUTOR, "command": ["sleep"], "args": ["a" * 1400000]}]})
    t.create(empty)
    box = t.sandbox(empty["metadata"]["name"], idleTimeoutSeconds=0)
    env = [{"name": f"E{i}", "value": "a" * 130000} for i in range(11)]
    boxes = offer_many(t, "Sandbox", [{"poolRef": empty["metadata"]["name"], "env": env}] * 45)
    pools = offer_many(t, "WarmPool", [fat["spec"]] * 20)
    tasks = offer_many(t, "Task", [{"sandboxRef": box, "steps": [sh("true")]}] * 600)
    expect((len(boxes), len(pools), len(tasks)) == (45, 20, 600) or t.env.old, f"of the objects only {len(boxes)}, {len(pools)} and {len(tasks)} were taken")
    t.delete("Sandbox", box)
    return None if t.ends(tasks[-1], 30) else "its sandbox was deleted, and after 30 s the last task has not ended"


@attack("", "20 pools whose pods can never start", then=None, alone=True, seen=["event PodsFailing"])
def pools_that_never_start(t):
    quiet = claims(t, 2)
    for _ in range(20):
        t.create(pool_object(t.unique("broken"), replicas=5, spec={"containers": [{"name": "executor", "image": "localhost/none/such:1"}]}))
    took = claims(t, 2)
    return None if took < max(5.0, 3 * quiet) else f"claims of others take {took:.1f} s, not {quiet:.2f} s"


