"""Sandboxes: bound to one pod, told apart, and gone when they should be."""
import json
import time

from harness import case, condition, contains, equal, expect, path_of, pool_object, sh, wait


def finished(status):
    return condition({"status": status}, "Finished")


@case(shared=True)
def status_columns_and_labels(t):
    box = t.box(keepAlive=True)
    obj, pod = t.get("Sandbox", box), t.pod_of(box)
    s = obj["status"]
    equal((s["podName"], s["podIP"], s["workDir"]), (pod["metadata"]["name"], pod["status"]["podIP"], "/workspace"), "podName, podIP, workDir")
    first = s["conditions"][0]
    equal((first["type"], first["status"], first["reason"]), ("Ready", "True", "PodReady"), "conditions[0]")
    labels = {k: v for k, v in pod["metadata"]["labels"].items() if k.startswith("arl.infra.io/")}
    equal({k: labels.get(f"arl.infra.io/{k}") for k in ("pool", "sandbox", "status")},
          {"pool": "shared", "sandbox": box, "status": "allocated"}, "the pod's labels")
    rows = t.kubectl("get", "sbx", box).splitlines()
    equal(rows[0].split(), ["NAME", "POOL", "PHASE", "POD", "AGE"], "the columns")
    equal(rows[1].split()[:4], [box, "shared", "Ready", s["podName"]], "what they say")
    contains(t.kubectl("get", "wp,sbx,tsk"), f"sandbox.arl.infra.io/{box}", "warmpool.arl.infra.io/shared", what="kubectl get wp,sbx,tsk")
    contains(t.kubectl("get", "arl"), box, what="kubectl get arl")
    t.kubectl("wait", "--for=condition=Ready", f"sandbox/{box}", "--timeout=10s")


@case(shared=True)
def last_task_time_is_written_for_people(t):
    box = t.box()
    name = t.task(box, sh("true"))
    ended = t.finished(name)["completionTime"]
    expect(wait("status.lastTaskTime", lambda: t.get("Sandbox", box)["status"].get("lastTaskTime"), 30) >= ended, "it is before the task's end")


@case(shared=True)
def deleting_a_sandbox_deletes_its_pod_at_once(t):
    box = t.box()
    pod = t.pod_of(box)["metadata"]
    running = t.task(box, sh("sleep 500"), timeout="600s")
    t.state(running, "Running")
    t.kubectl("delete", "sbx", box, "--timeout=10s")

    def on_its_way():
        p = t.api.find(path_of(t.ns, "pods", pod["name"]))
        return not p or "deletionTimestamp" in p["metadata"]
    wait("the pod to be on its way out", on_its_way, 10)
    s = t.finished(running, limit=20)
    equal((s["state"], finished(s)["reason"]), ("Failed", "SandboxDeleted"), "the task that ran: state and reason")
    wait("the pod to be gone", lambda: not t.api.find(path_of(t.ns, "pods", pod["name"])), 60)


@case()
def a_sandbox_that_is_deleted_alone_leaves_no_pod(t):
    t.pool(replicas=1)
    box = t.box()
    pod = t.pod_of(box)["metadata"]["name"]
    t.kubectl("delete", "sandbox", box, "--cascade=orphan", "--timeout=20s")
    wait("its pod to be gone", lambda: not t.api.find(path_of(t.ns, "pods", pod)), 60)
    t.alive(t.box())


@case(shared=True)
def the_same_name_can_be_used_again_at_once(t):
    name = t.unique("session")
    pods = set()
    for i in range(4):
        t.box(name=name)
        obj = t.get("Sandbox", name)
        pods.add(obj["status"]["podUID"])
        equal(t.out(name, sh(f"ls; touch file{i}; hostname > /dev/null; echo {i}")), f"{i}\n", "an empty workspace")
        t.delete("Sandbox", name)
        expect(t.find("Sandbox", name) is None, "the sandbox lingers after the DELETE")
    equal(len(pods), 4, "different pods")


@case(shared=True)
def a_running_task_ends_with_its_sandbox_even_if_the_name_is_used_again(t):
    name = t.box()
    running = t.task(name, sh("echo old >> /workspace/count; sleep 500"), timeout="600s", retries=3)
    t.state(running, "Running")
    t.delete("Sandbox", name)
    t.box(name=name)
    s = t.finished(running, limit=30)
    equal((s["state"], finished(s)["reason"]), ("Failed", "SandboxDeleted"), "the task of the first one")
    equal(t.out(name, sh("ls")), "", "what it left in the second one")


@case()
def retries_do_not_wait_for_a_pod_that_is_lost(t):
    t.pool()
    box = t.box()
    running = t.task(box, sh("sleep 500"), timeout="600s", retries=5)
    t.state(running, "Running")
    t.kubectl("delete", "pod", t.get("Sandbox", box)["status"]["podName"], "--grace-period=0", "--force", "--wait=false")
    s = t.finished(running, limit=40)
    equal(s["state"], "Failed", "state")
    expect(finished(s)["reason"] in ("PodLost", "SandboxFailed"), f"the reason: {finished(s)}")
    equal(t.phase(box, "Failed", limit=20)["conditions"][0]["reason"], "PodLost", "the sandbox's reason")


@case(shared=True)
def keep_alive_false_lives_through_several_tasks(t):
    box = t.box(keepAlive=False)
    uid = t.pod_of(box)["metadata"]["uid"]
    for i in range(4):
        s = t.run(box, sh(f"echo {i} >> log; exit {3 if i == 1 else 0}"))
        equal(s["exitCode"], 3 if i == 1 else 0, f"exit code of task {i}")
    equal(t.out(box, sh("cat log")), "0\n1\n2\n3\n", "what all tasks wrote")
    equal(t.pod_of(box)["metadata"]["uid"], uid, "the pod")


@case(slow=True)
def a_lost_pod_fails_the_sandbox_for_good(t):
    t.pool(replicas=2)
    box, other = t.box(), t.box()
    pod = t.pod_of(box)["metadata"]["name"]
    running = t.task(box, sh("sleep 500"), timeout="600s")
    waiting = t.task(box, sh("echo never"))
    t.state(running, "Running")
    t.kubectl("delete", "pod", pod, "--wait=false")
    s = t.phase(box, "Failed", limit=30)
    equal(s["conditions"][0]["reason"], "PodLost", "the reason")
    contains(s["conditions"][0]["message"], pod, what="the message")
    equal(s["podName"], pod, "it is given no other pod")
    for name in (running, waiting):
        e = t.finished(name, limit=30)
        equal(e["state"], "Failed", f"the state of {name}")
        expect(finished(e)["reason"] in ("PodLost", "SandboxFailed"), f"the reason of {name}: {finished(e)}")
        contains(finished(e)["message"], "pod", "lost" if name == running else pod, what="the task's message")
    late = t.run(box, sh("echo never"))
    expect(late["state"] == "Failed" and finished(late)["reason"] in ("PodLost", "SandboxFailed"), f"a later task: {finished(late)}")
    contains(finished(late)["message"], pod, what="the later task's message")
    wait("the pod to be gone", lambda: not t.api.find(path_of(t.ns, "pods", pod)), 60)
    equal([p for p in t.pods(sandbox=box)], [], "pods of the sandbox")
    t.alive(other)


@case()
def a_pod_that_ends_fails_the_sandbox(t):
    """As after an eviction: the pod object is still there, with phase Failed."""
    t.pool()
    box = t.box()
    t.api.merge(path_of(t.ns, "pods", t.pod_of(box)["metadata"]["name"]), {"spec": {"activeDeadlineSeconds": 1}})
    s = t.phase(box, "Failed", limit=120)
    equal(s["conditions"][0]["reason"], "PodLost", "the reason")
    contains(s["conditions"][0]["message"], s["podName"], what="the message")


@case()
def an_empty_pool_is_waited_for_first_come_first_served(t):
    t.pool(replicas=0, ready=False)
    boxes = []
    for _ in range(3):
        boxes.append(t.sandbox())
        t.phase(boxes[-1], "Pending", limit=20)
    s = t.get("Sandbox", boxes[0])["status"]
    equal(s["conditions"][0]["reason"], "WaitingForPod", "the reason")
    contains(s["conditions"][0]["message"], "WarmPool pool", what="what it waits for")
    waiting = t.task(boxes[0], sh("echo at last"))
    w = wait("the task to say that it waits", lambda: t.get("Task", waiting).get("status"), 20)
    equal((w["state"], finished(w)["reason"]), ("Pending", "WaitingForSandbox"), "the task meanwhile")
    contains(finished(w)["message"], boxes[0], what="the task's message")
    t.kubectl("scale", "wp", "pool", "--replicas=1")

    def all_ready():
        phases = [t.get("Sandbox", b)["status"]["phase"] for b in reversed(boxes)][::-1]   # the last in line is read first
        ready = [p == "Ready" for p in phases]
        expect(ready == sorted(ready, reverse=True), f"out of turn: {phases}")
        return all(ready)
    wait("all three sandboxes to be Ready, in order", all_ready, 120)
    equal(t.finished(waiting)["stdout"], "at last\n", "the task that waited")
    equal(len({t.pod_of(b)["metadata"]["uid"] for b in boxes}), 3, "pods of the three")


@case()
def a_pool_may_come_after_its_sandbox(t):
    box = t.sandbox(pool="later")
    s = t.phase(box, "Pending", limit=10)
    contains(s["conditions"][0]["message"], "later", what="what it waits for")
    t.create(pool_object("later"))
    t.phase(box, "Ready")
    t.alive(box)


@case()
def a_pool_deleted_and_applied_again_fails_nobody_who_waits(t):
    """The time that a sandbox waits for a missing pool counts from the pool's deletion, not from the sandbox's creation."""
    def pool(replicas):
        return json.dumps({**pool_object("pool"), "spec": {**pool_object("pool")["spec"], "replicas": replicas}})
    t.kubectl("apply", "-f", "-", body=pool(0))
    boxes = [t.sandbox(), t.sandbox()]
    for b in boxes:
        t.phase(b, "Pending", limit=10)
    time.sleep(11)      # longer than a sandbox waits for a pool that does not exist
    t.kubectl("delete", "wp", "pool")
    for b in boxes:
        wait("it to be missed", lambda n=b: condition(t.get("Sandbox", n), "Ready")["reason"] == "WaitingForPool", 10)
    t.kubectl("apply", "-f", "-", body=pool(2))
    for b in boxes:
        t.phase(b, "Ready")
        t.alive(b)


@case(shared=True)
def a_sandbox_whose_name_no_label_can_bear_is_refused(t):
    t.refused({"kind": "Sandbox", "metadata": {"name": "a" * 64}, "spec": {"poolRef": "shared"}}, "metadata.name", "63")
    t.alive(t.box(name=(t.unique("a") + "-" + "b" * 63)[:63]))


def refuse_claims(t, prefix):
    """Adds an admission policy: in this namespace no pod can be bound to a sandbox whose name begins with the prefix. Returns a
    function that removes the policy."""
    name, base = t.ns, "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    label = "object.metadata.labels['arl.infra.io/sandbox']"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["pods"]}
    specs = {"ies": {"matchConstraints": {"resourceRules": [rule]}, "validations": [{
        "expression": f"!(has(object.metadata.labels) && 'arl.infra.io/sandbox' in object.metadata.labels && {label}.startsWith('{prefix}'))",
        "message": "not this one"}]},
        "ybindings": {"policyName": name, "validationActions": ["Deny"],
                      "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": t.ns}}}}}
    for plural, spec in specs.items():
        t.api.call("POST", base + plural, {"metadata": {"name": name}, "spec": spec})
    pod = t.pods()[0]["metadata"]["name"]
    wait("the policy to be in force", lambda: t.api.request("PATCH", path_of(t.ns, "pods", pod) + "?dryRun=All", {"metadata": {"labels": {
        "arl.infra.io/sandbox": prefix}}}, "application/merge-patch+json")[0] >= 400, 30)
    return lambda: [t.api.request("DELETE", f"{base}{plural}/{name}") for plural in specs]


@case()
def a_claim_that_a_policy_refuses_holds_up_nobody_behind_it(t):
    t.pool(replicas=1)
    allow = refuse_claims(t, "unwanted")
    try:
        unwanted = t.sandbox(name="unwanted-1")

        def told():
            return condition(t.get("Sandbox", unwanted), "Ready").get("reason") == "ClaimRefused"
        wait("the refusal to be told", told, 30)
        contains(condition(t.get("Sandbox", unwanted), "Ready")["message"], "not this one", what="the message")
        behind = t.box(name="behind")
        t.alive(behind)
        expect(told(), f"the refused one: {t.get('Sandbox', unwanted)['status']}")
    finally:
        allow()
    t.phase(unwanted, "Ready")


@case()
def a_sandbox_that_a_finalizer_keeps_says_that_it_is_over(t):
    t.pool()
    t.create({"kind": "Sandbox", "metadata": {"name": "kept", "finalizers": ["example.com/wait"]}, "spec": {"poolRef": "pool"}})
    pod = t.phase("kept", "Ready")["podName"]
    running = t.task("kept", sh("sleep 500"), timeout="600s")
    t.state(running, "Running")
    t.delete("Sandbox", "kept")
    s = t.phase("kept", "Failed", limit=20)
    equal(s["conditions"][0]["reason"], "Deleted", "the reason")
    s = t.finished(running)
    equal((s["state"], s["exitCode"], finished(s)["reason"]), ("Failed", 137, "SandboxDeleted"), "the task that ran in it")
    wait("its pod to go", lambda: "deletionTimestamp" in (t.find("pods", pod) or {"metadata": {"deletionTimestamp": ""}})["metadata"], 20)
    t.merge("Sandbox", "kept", {"metadata": {"finalizers": []}})
    t.gone("Sandbox", "kept", 20)


@case(shared=True)
def a_task_that_a_finalizer_keeps_says_that_it_is_over(t):
    box, name = t.box(), t.unique("kept")
    t.create({"kind": "Task", "metadata": {"name": name, "finalizers": ["example.com/wait"]},
              "spec": {"sandboxRef": box, "timeout": "600s", "steps": [sh("echo begun; sleep 500")]}})
    try:
        wait("it to print", lambda: "begun" in t.state(name, "Running").get("stdout", ""), 20)
        t.delete("Task", name)
        s = t.finished(name, 20)
        equal((s["state"], s["exitCode"], finished(s)["reason"]), ("Failed", 137, "Deleted"), "its end")
        contains(s["stdout"], "begun", what="what it has printed")
        equal(t.out(box, sh("ps | grep -c '[s]leep 500'; true")), "0\n", "processes of it beside the next task")
    finally:
        t.merge("Task", name, {"metadata": {"finalizers": []}})
    t.gone("Task", name, 20)


@case(slow=True)
def idle_sandboxes_are_deleted_and_used_ones_are_not(t):
    t.pool(replicas=4)
    never, unused, used, busy = (t.box(idleTimeoutSeconds=n) for n in (0, 20, 20, 20))
    pods = {b: t.pod_of(b)["metadata"]["name"] for b in (unused, used, busy)}
    long = t.task(busy, sh("sleep 30; echo worked"))
    t.gone("Sandbox", unused, 60)
    wait("the Event of it", lambda: t.events(unused, "IdleTimeout"), 10)
    if t.find("Sandbox", used):
        t.task(used, sh("true"), name="just-in-time")
    equal(t.finished(long)["stdout"], "worked\n", "a task that runs longer than the idle timeout")
    t.gone("Sandbox", busy, 60)
    t.gone("Sandbox", used, 60)
    wait("their pods to be gone", lambda: not [p for p in t.pods() if p["metadata"]["name"] in pods.values()], 60)
    t.alive(never)
    equal(t.get("Task", long)["status"]["stdout"], "worked\n", "a finished task outlives its sandbox")


@case(slow=True)
def idle_time_counts_from_the_end_of_the_last_task(t):
    t.pool()
    box = t.box(idleTimeoutSeconds=12)
    for i in range(4):
        equal(t.out(box, sh(f"sleep 4; echo {i}")), f"{i}\n", "a task within the time")
    expect(t.find("Sandbox", box), "the sandbox is gone")
    t.gone("Sandbox", box, 60)


@case()
def used_at_counts_as_use(t):
    """Each new value of the annotation counts as use, whatever time it names. A value that stays the same does not."""
    t.pool()
    box = t.box(idleTimeoutSeconds=15)
    for at in ("2001-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "2001-01-01T00:00:01.5+01:00", "2001-01-01T00:00:00Z", "2099-01-01T00:00:00Z"):
        time.sleep(5)
        t.merge("Sandbox", box, {"metadata": {"annotations": {"arl.infra.io/used-at": at}}})
    expect(t.find("Sandbox", box), "the sandbox is gone")
    t.gone("Sandbox", box, 60)


@case()
def max_lifetime_ends_a_sandbox_even_while_it_works(t):
    t.pool()
    box = t.sandbox(maxLifetimeSeconds=15, idleTimeoutSeconds=3600, keepAlive=True)
    t.phase(box, "Ready", limit=14)
    long = t.task(box, sh("sleep 600"), timeout="700s")
    t.gone("Sandbox", box, 40)
    wait("the Event of it", lambda: t.events(box, "LifetimeEnded"), 10)
    s = t.finished(long, limit=20)
    equal((s["state"], finished(s)["reason"]), ("Failed", "SandboxDeleted"), "the task that ran")


@case(slow=True)
def ten_at_once_take_ten_pods_and_leave_none_behind(t):
    """An old defect: a sandbox sometimes took two pods, and one of them was never deleted."""
    t.pool(replicas=3)
    boxes = [t.sandbox() for _ in range(10)]
    for b in boxes:
        t.phase(b, "Ready")
    uids = {t.get("Sandbox", b)["status"]["podUID"] for b in boxes}
    equal(len(uids), 10, "different pods")

    def bearers():
        return sorted(p["metadata"]["labels"]["arl.infra.io/sandbox"] for p in t.pods(status="allocated"))
    wait("each sandbox to have its pod", lambda: len(bearers()) == 10, 10)    # the claim of a pod may end after the status
    equal(bearers(), sorted(boxes), "the sandboxes of the allocated pods")
    t.kubectl("delete", "sbx", "--all", "--timeout=20s")
    t.kubectl("scale", "wp", "pool", "--replicas=0")
    wait("every pod to be gone", lambda: not t.pods(), 90)


@case(shared=True)
def two_sandboxes_do_not_see_each_other(t):
    one, two = t.box(), t.box()
    t.out(one, sh("echo secret > /workspace/s; echo secret > /tmp/s"))
    equal(t.out(two, sh("ls /workspace; ls /tmp/s 2>/dev/null; echo end")), "end\n", "files in the second one")


@case(slow=True)
def a_namespace_that_is_deleted_takes_everything_along(t):
    """A pool, a sandbox and a task that runs; its name can be used again."""
    t.pool(replicas=2)
    box = t.box()
    running = t.task(box, sh("sleep 500"), timeout="600s")
    t.state(running, "Running")
    t.kubectl("delete", "namespace", t.ns, "--timeout=270s", limit=290)
    t.api.call("POST", "/api/v1/namespaces", {"metadata": {"name": t.ns}})
    equal([p["metadata"]["name"] for p in t.pods()], [], "pods in the new namespace")
    t.pool(replicas=1)
    t.alive(t.box())
