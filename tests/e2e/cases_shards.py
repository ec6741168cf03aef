"""Several releases on one cluster, each of which serves one namespace (deploy/sharded)."""
import contextlib
import copy
import json
import os
import re
import shutil

from drift import by_name, no_drift
from harness import ROOT, case, equal, expect, is_ready, sh, wait

BINDING = "validatingadmissionpolicybinding/arl-pods.arl-system"
ARL = "/apis/apps/v1/namespaces/arl-system/deployments/arl-operator"


def operators(t, ns):
    return t.api.get(f"/api/v1/namespaces/{ns}/pods?labelSelector=app.kubernetes.io%2Fcomponent%3Doperator")["items"]


def kubectl(t, *args):
    r = t.env.run_kubectl(*args)
    expect(r.returncode == 0, f"kubectl {' '.join(args)}: {r.stderr.strip()[-1500:]}")
    return r.stdout


def scale(t, ns, replicas):
    kubectl(t, "-n", ns, "scale", "deployment/arl-operator", f"--replicas={replicas}")
    wait(f"{replicas} operators in {ns}",
         lambda: len(operators(t, ns)) == replicas and all(is_ready(p) for p in operators(t, ns)), 60)


def install(t, serves, images):
    """A copy of deploy/sharded with its shard.yaml filled in, as a person would do it. Returns the release's namespace."""
    release = f"{serves}-arl"
    work = os.path.join(t.env.work, "deploy")
    folder = os.path.join(work, serves)
    if not os.path.exists(work):
        shutil.copytree(os.path.join(ROOT, "deploy", "manifests"), os.path.join(work, "manifests"))
    shutil.copytree(os.path.join(ROOT, "deploy", "sharded"), folder)
    values = {"release": release, "serves": serves, "operatorImage": images[0], "sidecarImage": images[1]}
    with open(os.path.join(folder, "shard.yaml"), "r+", encoding="utf-8") as f:
        text = f.read()
        for key, value in values.items():
            text, n = re.subn(rf"(?m)^  {key}: .*$", f"  {key}: {value}", text)
            equal(n, 1, f"lines of {key} in shard.yaml")
        f.seek(0)
        f.truncate()
        f.write(text)
    with t.env.lock:
        t.env.namespaces.append(release)
    kubectl(t, "apply", "-k", folder)
    return release


def applied_again(t, serves):
    folder = os.path.join(t.env.work, "deploy", serves)
    no_drift(lambda verb, *flags: kubectl(t, verb, "-k", folder, *flags), lambda: by_name(kubectl(t, "get", "-k", folder, "-o", "json")), replace=False)


def in_namespace(t, ns):
    other = copy.copy(t)
    other.ns, other.made = ns, []
    return other


def take_binding(t):
    """Removes the binding of the cluster-wide policy, under which no other release could make pods of arl's. Returns the object to
    create again; None if there was no binding."""
    found = kubectl(t, "get", BINDING, "--ignore-not-found", "-o", "json")
    if not found:
        return None
    b = json.loads(found)
    kubectl(t, "delete", BINDING)
    return {"apiVersion": b["apiVersion"], "kind": b["kind"], "spec": b["spec"],
            "metadata": {k: b["metadata"][k] for k in ("name", "labels", "annotations") if k in b["metadata"]}}


@contextlib.contextmanager
def without_arl(t):
    """Within the block, the operators that serve all namespaces are scaled to 0 and their policy is not in force."""
    replicas = t.api.get(ARL)["spec"]["replicas"]
    scale(t, "arl-system", 0)
    binding = take_binding(t)
    try:
        yield
    finally:
        if binding:
            done = t.env.run_kubectl("create", "-f", "-", body=binding)
            expect(done.returncode == 0, f"the binding of the policy: {done.stderr}")
        scale(t, "arl-system", replicas)
        wait("an operator to lead", t.env.operator.ready, 60)


def side_by_side(a, b, releases):
    for t, release in zip((a, b), releases):
        wait(f"the operators of {release}", lambda r=release: len(operators(a, r)) == 2 and all(is_ready(p) for p in operators(a, r)), 90)
        t.pool(replicas=1)
        t.alive(t.box())
    leases = [a.api.get(f"/apis/coordination.k8s.io/v1/namespaces/{r}/leases/arl-operator")["spec"]["holderIdentity"] for r in releases]
    for release, holder in zip(releases, leases):
        expect(holder in [f"{p['metadata']['name']}_{p['metadata']['uid']}" for p in operators(a, release)], f"{release}: {holder} leads")
    keys = [a.api.get(f"/api/v1/namespaces/{r}/secrets/arl-signing-key")["data"]["key"] for r in releases]
    expect(keys[0] != keys[1], "both releases sign with one key")


def rights_end_at_the_namespace(a, b, releases):
    account = f"system:serviceaccount:{releases[0]}:arl-operator"
    for ns, resource, verb, want in ((a.ns, "pods", "create", "yes"), (b.ns, "pods", "list", "no"), (b.ns, "sandboxes.arl.infra.io", "list", "no"),
                                     (releases[1], "secrets/arl-signing-key", "get", "no")):
        r = a.env.run_kubectl("-n", ns, "auth", "can-i", verb, resource, f"--as={account}")
        equal(r.stdout.strip(), want, f"whether {account} may {verb} {resource} in {ns}")


@case(alone=True)
def two_releases_side_by_side(t):
    """Neither release sees, needs or touches what the other one serves. Applying a release again changes nothing."""
    expect(not t.env.operator.argv, "this case needs the cluster's own operators")
    container = t.api.get(ARL)["spec"]["template"]["spec"]["containers"][0]
    images = (container["image"], next(v["value"] for v in container["env"] if v["name"] == "ARL_SIDECAR_IMAGE"))
    a, b = t, in_namespace(t, t.env.make_namespace(f"{t.number:02d}b"))
    with without_arl(t):
        releases = [install(t, s.ns, images) for s in (a, b)]
        try:
            side_by_side(a, b, releases)
            rights_end_at_the_namespace(a, b, releases)
            applied_again(a, a.ns)
            scale(t, releases[0], 0)
            waits = a.sandbox()
            b.alive(b.box())
            b.pool_ready("pool")
            equal(a.get("Sandbox", waits).get("status"), None, "the status of a sandbox that only the other release could have seen")
            scale(t, releases[0], 1)
            a.phase(waits, "Ready")
            a.alive(waits)
        finally:
            for release in releases:
                kubectl(t, "-n", release, "delete", "deployment/arl-operator", "--cascade=foreground", "--timeout=60s")
                kubectl(t, "delete", f"validatingadmissionpolicy,{BINDING.split('/', maxsplit=1)[0]}", f"arl-pods.{release}")
            for ns in [*releases, b.ns]:
                t.env.drop_namespace(ns)


def idle_uids(t):
    return {p["metadata"]["uid"] for p in t.pods(status="idle") if "deletionTimestamp" not in p["metadata"]}


def rolled(t, before):
    """Whether all operator pods are new. before: the uids of the old ones."""
    pods = t.env.operator.pods()
    return len(pods) == 2 and all(is_ready(p) and p["metadata"]["uid"] not in before for p in pods)


@case(alone=True)
def operators_rolled_under_load(t):
    """A rollout ends each operator, also the leader. Tasks that run go on, new ones are served, warm pods stay, no step runs twice."""
    expect(not t.env.operator.argv, "this case needs the cluster's own operators")
    t.pool(replicas=2)
    box, other = t.box(), t.box()
    long = t.task(box, sh("echo began >> count; while [ ! -e go ]; do sleep 0.1; done; wc -l < count", name="long"))
    t.state(long, "Running")
    warm = t.warm(2)
    before = {p["metadata"]["uid"] for p in t.env.operator.pods()}
    kubectl(t, "-n", "arl-system", "rollout", "restart", "deployment/arl-operator")
    quick = []

    def rolled_under_load():
        quick.append(t.task(other, sh("echo x >> count; wc -l < count")))
        return rolled(t, before)
    wait("two new operators", rolled_under_load, 120)
    equal(idle_uids(t), warm, "the idle pods")
    late = t.box()
    expect(t.pod_of(late)["metadata"]["uid"] in warm, "the new operator served a sandbox with another pod than a warm one")
    for i, name in enumerate(quick):
        equal(t.finished(name)["stdout"], f"{i + 1}\n", "how often steps ran before")
    t.kubectl("exec", t.pod_of(box)["metadata"]["name"], "-c", "executor", "--", "touch", "/workspace/go")
    equal(t.finished(long)["stdout"], "1\n", "how often the long step began")
    expect(not t.get("Task", long)["status"].get("attempts"), "the long task was tried again")
    t.alive(late)
    equal(len(t.pods(status="allocated")), 3, "allocated pods")


def sidecar_image(pod):
    return next(c["image"] for c in pod["spec"]["containers"] if c["name"] == "sidecar")


def set_sidecar_image(t, image):
    before = {p["metadata"]["uid"] for p in t.env.operator.pods()}
    kubectl(t, "-n", "arl-system", "set", "env", "deployment/arl-operator", f"ARL_SIDECAR_IMAGE={image}")
    wait("two new operators", lambda: rolled(t, before), 120)
    wait("one of them to lead", t.env.operator.ready, 60)


@contextlib.contextmanager
def another_sidecar_image(t):
    """Within the block, the operators make pods with the same sidecar image under another tag, which the node has as well."""
    expect(t.env.cluster, "this case needs the local cluster, whose node can be reached")
    old = next(e["value"] for e in t.api.get(ARL)["spec"]["template"]["spec"]["containers"][0]["env"] if e["name"] == "ARL_SIDECAR_IMAGE")
    new = f"localhost/arl-test/sidecar:{t.env.id}"

    def images(*argv):
        r = t.env.cluster_command("exec", "ctr", "-n", "k8s.io", "images", *argv)
        expect(r.returncode == 0, f"ctr images {argv}: {r.stdout}{r.stderr}")
    images("tag", old, new)
    try:
        set_sidecar_image(t, new)
        yield new
    finally:
        set_sidecar_image(t, old)
        images("rm", new)


@case(alone=True)
def an_upgrade_keeps_warm_pods(t):
    """Operators get another sidecar image. Idle pods stay and are used as they are; only pods made from then on have the new image."""
    expect(not t.env.operator.argv, "this case needs the cluster's own operators")
    t.pool(replicas=3)
    box = t.box()
    warm = t.warm(3)
    with another_sidecar_image(t) as image:
        equal(idle_uids(t), warm, "the idle pods after the rollout")
        late = t.box()
        pod = t.pod_of(late)
        expect(pod["metadata"]["uid"] in warm and sidecar_image(pod) != image, f"the new operator served a sandbox with {pod['metadata']['name']}")
        mixed = t.warm(3)
        fresh = [p for p in t.pods(status="idle") if p["metadata"]["uid"] not in warm]
        equal([sidecar_image(p) for p in fresh], [image], "the sidecars of new pods")
        expect(len(mixed & warm) == 2, "warm pods were replaced")
        t.alive(box)
        t.alive(late)
    equal(idle_uids(t), mixed, "the idle pods after going back")
    t.alive(late)
    t.alive(t.box())


@case(alone=True)
def a_namespace_that_cannot_be_is_refused(t):
    """An operator whose --namespace has no value must refuse to start: it must not serve all namespaces instead."""
    expect(not t.env.operator.argv, "this case needs the cluster's own operators")
    pod = wait("an operator to lead", t.env.operator.leader, 60)["metadata"]["name"]
    for value in ("", "$(ARL_NAMESPACE)", "-x", "Team"):
        r = t.env.run_kubectl("-n", "arl-system", "exec", pod, "--", "arl-operator", "--sidecar-image=x", f"--namespace={value}")
        expect(r.returncode == 2 and f'"{value}" is not the name of a namespace' in r.stderr, f"exit {r.returncode}: {r.stderr[-400:]}")
