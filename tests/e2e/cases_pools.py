"""WarmPools: replicas counts idle pods; scaling, rolling, failing."""
import json

from harness import PATIENCE, PLACEHOLDER_SIDECAR, POOL_LIMIT_S, case, condition, contains, equal, expect, is_ready, path_of, pool_object, sh, wait

BUSYBOX = "localhost/arl-test/busybox:1"


def uids(pods):
    return {p["metadata"]["uid"] for p in pods if "deletionTimestamp" not in p["metadata"]}


def env_pool(value):
    return {"containers": [{"name": "executor", "image": BUSYBOX, "env": [{"name": "VERSION", "value": value}]}]}


@case()
def replicas_counts_idle_pods_only(t):
    t.pool(replicas=2)
    p = t.get("WarmPool", "pool")
    equal((p["status"]["readyReplicas"], p["status"]["allocatedReplicas"], p["status"]["phase"]), (2, 0, "Ready"), "status before")
    ready = condition(p, "Ready")
    equal((ready["status"], ready["message"]), ("True", "2/2 pods ready"), "the condition Ready")
    box = t.box()
    wait("one allocated pod and two idle ones", lambda: (lambda s: (s["readyReplicas"], s["allocatedReplicas"]) == (2, 1))(
        t.get("WarmPool", "pool")["status"]), 60)
    equal((len(t.pods(status="idle")), len(t.pods(status="allocated"))), (2, 1), "pods by label")
    rows = t.kubectl("get", "wp", "pool").splitlines()
    equal(rows[0].split(), ["NAME", "DESIRED", "READY", "ALLOCATED", "PHASE", "AGE"], "the columns")
    equal(rows[1].split()[:5], ["pool", "2", "2", "1", "Ready"], "what they say")
    t.kubectl("wait", "--for=condition=Ready", "wp/pool", "--timeout=30s")
    t.delete("Sandbox", box)
    wait("no allocated pod", lambda: t.get("WarmPool", "pool")["status"]["allocatedReplicas"] == 0, 60)
    equal(t.get("WarmPool", "pool")["status"]["readyReplicas"], 2, "idle pods after it")


@case()
def status_is_there_from_the_start(t):
    t.pool(replicas=0, ready=False)
    s = wait("a status", lambda: t.get("WarmPool", "pool").get("status"), 20)
    equal((s.get("readyReplicas"), s.get("allocatedReplicas")), (0, 0), "readyReplicas and allocatedReplicas")


@case(slow=True)
def scaling_down_removes_idle_pods_only(t):
    t.pool(replicas=1)
    box = t.box()
    taken = t.pod_of(box)["metadata"]["uid"]
    t.kubectl("scale", "wp", "pool", "--replicas=3")
    t.pool_ready("pool")
    running = t.task(box, sh("while [ ! -e stop ]; do sleep 0.1; done; echo finished"))
    t.state(running, "Running")
    t.kubectl("scale", "wp/pool", "--replicas=0")
    wait("every idle pod to be gone", lambda: not t.pods(status="idle"), 60)
    equal(uids(t.pods()), {taken}, "the pods that are left")
    equal(t.get("Task", running)["status"]["state"], "Running", "the task meanwhile")
    t.kubectl("exec", t.pod_of(box)["metadata"]["name"], "-c", "executor", "--", "touch", "/workspace/stop")
    equal(t.finished(running)["stdout"], "finished\n", "the task")
    scale = t.api.get(path_of(t.ns, "WarmPool", "pool") + "/scale")
    equal(scale["spec"].get("replicas", 0), 0, "the scale subresource")
    contains(scale["status"]["selector"], "arl.infra.io/pool=pool", what="its selector")


def events_of_idle_pods(t, version):
    """Watches the pool's idle pods from this resourceVersion on. Yields (event type, pod)."""
    conn = t.api.connect(POOL_LIMIT_S * PATIENCE)   # the longest time without an event
    conn.request("GET", path_of(t.ns, "pods") + f"?watch=1&labelSelector=arl.infra.io%2Fpool%3Dpool%2Carl.infra.io%2Fstatus%3Didle&resourceVersion={version}")
    for line in iter(conn.getresponse().readline, b""):
        event = json.loads(line)
        yield event["type"], event["object"]


@case(slow=True)
def a_changed_template_rolls_idle_pods_only(t):
    """While four idle pods are replaced, at least three of them are ready: checked at each event of a watch of the pods."""
    t.pool(replicas=4, spec=env_pool("one"))
    box = t.box()
    taken = t.pod_of(box)["metadata"]["uid"]
    old = t.warm(4)
    answer = t.api.get(path_of(t.ns, "pods"))
    pods = {p["metadata"]["uid"]: p for p in answer["items"] if p["metadata"]["labels"]["arl.infra.io/status"] == "idle"}

    def ready():
        return {uid for uid, p in pods.items() if is_ready(p) and "deletionTimestamp" not in p["metadata"]}
    equal(ready(), old, "the idle pods, all ready")
    t.merge("WarmPool", "pool", {"spec": {"template": {"spec": env_pool("two")}}})
    for kind, pod in events_of_idle_pods(t, answer["metadata"]["resourceVersion"]):
        expect(kind in ("ADDED", "MODIFIED", "DELETED"), f"the watch of pods: {pod}")
        pods[pod["metadata"]["uid"]] = pod
        if kind == "DELETED":
            del pods[pod["metadata"]["uid"]]
        expect(len(ready()) >= 3, f"{len(ready())} ready idle pods for 4 replicas, after {kind} of {pod['metadata']['name']}")
        if len(ready()) == len(pods) == 4 and not old & set(pods):
            break
    equal((len(ready()), ready() & old), (4, set()), "idle pods of the new template, and old ones")
    t.pool_ready("pool")
    equal(t.pod_of(box)["metadata"]["uid"], taken, "the allocated pod")
    equal(t.out(box, sh("echo $VERSION")), "one\n", "what the old sandbox sees")
    equal(t.out(t.box(), sh("echo $VERSION")), "two\n", "what a new sandbox sees")


@case()
def a_changed_label_of_the_pool_rolls_nothing(t):
    t.pool(replicas=2)
    before = uids(t.pods())
    t.kubectl("label", "wp", "pool", "team=blue")
    t.merge("WarmPool", "pool", {"spec": {"replicas": 3}})
    t.pool_ready("pool")
    expect(before < uids(t.pods()), "pods were replaced")


@case()
def template_metadata_is_kept_and_ours_is_not_taken_from_it(t):
    meta = {"labels": {"team": "blue", "arl.infra.io/status": "allocated", "arl.infra.io/own": "x"},
            "annotations": {"note": "kept", "arl.infra.io/note": "stripped"}}
    t.pool(template_meta=meta)
    got = t.pods()[0]["metadata"]
    equal((got["labels"].get("team"), got["annotations"].get("note")), ("blue", "kept"), "label and annotation")
    equal((got["labels"]["arl.infra.io/status"], got["labels"]["arl.infra.io/pool"]), ("idle", "pool"), "our labels")
    expect("arl.infra.io/own" not in got["labels"] and "arl.infra.io/note" not in got["annotations"], f"not stripped: {got}")


@case()
def placeholder_sidecar_images_and_bare_templates_work(t):
    """Templates as the Python client makes them, and as people write them for kubectl."""
    mount = [{"name": "workspace", "mountPath": "/data"}]
    t.pool("client", spec={
        "containers": [{"name": "executor", "image": BUSYBOX, "command": ["/bin/sh", "-c", "sleep infinity"], "volumeMounts": mount},
                       {"name": "sidecar", "image": PLACEHOLDER_SIDECAR, "imagePullPolicy": "Always", "volumeMounts": mount,
                        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"name": "grpc", "containerPort": 9090, "protocol": "TCP"}]}],
        "volumes": [{"name": "workspace", "emptyDir": {}}]}, ready=False)
    t.pool("bare", spec={"containers": [{"name": "anything", "image": BUSYBOX}]}, ready=False)
    t.pool("ends", spec={"containers": [{"name": "main", "image": BUSYBOX, "command": ["/bin/sleep"], "args": ["3600"]},
                                        {"name": "second", "image": BUSYBOX}]}, ready=False)
    for name in ("client", "bare", "ends"):
        t.pool_ready(name)
    sidecar = [c for c in t.pods(pool="client")[0]["spec"]["containers"] if c["name"] == "sidecar"][0]
    expect(sidecar["image"] != PLACEHOLDER_SIDECAR and sidecar["imagePullPolicy"] == "IfNotPresent", f"the sidecar: {sidecar}")
    box = t.box("client")
    equal((t.get("Sandbox", box)["status"]["workDir"], t.out(box, sh("pwd; ls"))), ("/data", "/data\n"), "workDir where the workspace is mounted")
    box = t.box("bare")
    equal((t.get("Sandbox", box)["status"]["workDir"], t.out(box, sh("pwd"))), ("/workspace", "/workspace\n"), "a single container of any name")
    box = t.box("ends")
    equal(t.out(box, sh("touch /in-first; touch /workspace/shared"), sh("ls /in-first 2>/dev/null; ls /workspace", container="second")),
          "shared\n", "two containers with one workspace")


@case(slow=True)
def a_template_that_never_gets_ready_is_said_and_bounded(t):
    t.create(pool_object("pool", replicas=3, spec={"containers": [{"name": "executor", "image": "localhost/no/such:1"}]}))

    def failing():
        p = t.get("WarmPool", "pool")
        c = condition(p, "PodsFailing")
        expect(c.get("status") == "True", f"{p.get('status')}")
        expect(p["status"]["phase"] == "Degraded", f"phase {p['status']['phase']}")
        return c
    c = wait("the condition PodsFailing", failing, 90)
    expect("ImagePull" in c["reason"] or "ErrImage" in c["reason"], f"the reason: {c}")
    contains(c["message"], "localhost/no/such:1", what="the message")
    wait("an Event that says so", lambda: [e for e in t.events("pool", "PodsFailing") if "localhost/no/such:1" in e["message"]], 20)
    expect(len(t.pods()) <= 3, f"{len(t.pods())} pods")
    box = t.sandbox()
    t.phase(box, "Pending", limit=20)
    t.merge("WarmPool", "pool", {"spec": {"template": {"spec": env_pool("good")}}})
    t.phase(box, "Ready")
    t.pool_ready("pool")
    wait("the condition to be taken back", lambda: condition(t.get("WarmPool", "pool"), "PodsFailing").get("status") == "False", 30)


@case(slow=True)
def a_container_that_keeps_ending_is_said_and_bounded(t):
    t.create(pool_object("pool", replicas=2, spec={"containers": [{"name": "executor", "image": BUSYBOX, "command": ["sh", "-c", "exit 3"]}]}))

    def failing():
        p = t.get("WarmPool", "pool")
        expect(condition(p, "PodsFailing").get("status") == "True", f"{p.get('status')}")
        return condition(p, "PodsFailing")
    c = wait("the condition PodsFailing", failing, 90)
    contains(c["message"], "executor", what="the message")
    expect(len(t.pods()) <= 4, f"{len(t.pods())} pods")


@case()
def deleting_a_pool_leaves_its_sandboxes(t):
    t.pool(replicas=2)
    box = t.box()
    t.kubectl("delete", "wp", "pool", "--timeout=20s")
    wait("its idle pods to be gone", lambda: not [p for p in t.pods() if p["metadata"]["labels"]["arl.infra.io/status"] == "idle"], 90)
    t.alive(box)


@case()
def an_idle_pod_that_is_deleted_is_replaced(t):
    t.pool(replicas=1)
    first = t.pods()[0]["metadata"]
    t.kubectl("delete", "pod", first["name"], "--wait=false")
    wait("another idle pod", lambda: (lambda now: len(now) == 1 and first["uid"] not in now)(uids(t.pods())), 60)
    t.pool_ready("pool")
    t.alive(t.box())


@case()
def a_pool_that_is_made_anew_has_pods_of_its_own(t):
    """A sandbox of the new pool gets a pod of the new template, never one that the old pool has left."""
    t.pool("pool", replicas=2, spec=env_pool("old"))
    t.delete("WarmPool", "pool")
    t.create(pool_object("pool", replicas=1, spec=env_pool("new")))
    box = t.box()
    equal(t.out(box, sh("echo $VERSION")), "new\n", "the template of the sandbox's pod")
    wait("the old pods to be gone", lambda: len(t.pods(status="idle")) == 1, 60)


@case()
def a_quota_is_said_and_lifted(t):
    quota = path_of(t.ns, "resourcequotas", "few")
    t.api.call("POST", path_of(t.ns, "resourcequotas"), {"metadata": {"name": "few"}, "spec": {"hard": {"pods": "1"}}})
    wait("the quota to be in force", lambda: t.api.get(quota).get("status", {}).get("hard"), 30)
    t.create(pool_object("pool", replicas=3))

    def refused():
        c = condition(t.get("WarmPool", "pool"), "PodsFailing")
        expect(c.get("status") == "True" and c["reason"] == "QuotaExceeded", f"{c}")
        return c
    contains(wait("the condition PodsFailing", refused, 60)["message"], "few", "pods=1", what="the message")
    equal(len(t.pods()), 1, "pods")
    t.box()
    t.api.merge(quota, {"spec": {"hard": {"pods": "10"}}})
    t.pool_ready("pool", 120)
    wait("the condition to be taken back", lambda: condition(t.get("WarmPool", "pool"), "PodsFailing").get("status") == "False", 30)
