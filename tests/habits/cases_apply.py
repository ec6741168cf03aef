"""As GitOps tools do again and again: apply, diff, replace and prune of files that have not changed must change no object.

The files are the samples of the documents and of deploy/, a pool as other tools write it, and the manifests of the installation.
"""
import json
import os
import re
import tempfile

import yaml

from drift import all_unchanged, by_name, no_drift, same_generation, unchanged
from harness import ROOT, case, equal, expect

BUSYBOX = "localhost/arl-test/busybox:1"
RECIPES = ("deepagents", "inspect", "mcp", "minisweagent")
LIMIT_S = 240

# A template as other tools write it: nulls, quantities as numbers, two variables with one name, fields that have their defaults.
BROUGHT = """
apiVersion: arl.infra.io/v1alpha1
kind: WarmPool
metadata:
  name: brought
  creationTimestamp: null
  labels: {app.kubernetes.io/instance: team}
  annotations: {argocd.argoproj.io/sync-wave: "1"}
spec:
  replicas: 0
  template:
    metadata:
      creationTimestamp: null
      labels: {app.kubernetes.io/instance: team}
    spec:
      nodeSelector: null
      containers:
      - name: main
        image: busybox:1.36
        command: [sleep, infinity]
        env: [{name: A, value: "1"}, {name: A, value: "2"}, {name: B, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        ports: [{containerPort: 8000}]
        resources: {limits: {cpu: 0.5, memory: 1024Mi}, requests: {cpu: "0.10", memory: 1e6}}
        readinessProbe: {httpGet: {path: /, port: 8000}}
      - {name: other, image: "busybox:1.36", env: null, resources: {}}
      volumes:
      - {name: work, emptyDir: {}}
      - {name: token, projected: {sources: [{serviceAccountToken: {path: token}}]}}
"""
# An object of each kind, with all fields that its user may change.
CHANGED = """
apiVersion: arl.infra.io/v1alpha1
kind: WarmPool
metadata: {name: changed}
spec:
  replicas: 0
  template:
    spec:
      priorityClassName: none
      containers:
      - {name: executor, image: "busybox:1.36", env: [{name: A, value: "1"}, {name: B, value: "2"}], workingDir: /tmp}
      - {name: second, image: "busybox:1.36"}
---
apiVersion: arl.infra.io/v1alpha1
kind: Sandbox
metadata: {name: changed}
spec: {poolRef: changed, keepAlive: true, idleTimeoutSeconds: 50, maxLifetimeSeconds: 500}
"""
PRUNED = """
apiVersion: arl.infra.io/v1alpha1
kind: WarmPool
metadata: {name: stays, labels: {app: x}}
spec: {replicas: 1, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: executor, image: "busybox:1.36"}]}}}
---
apiVersion: arl.infra.io/v1alpha1
kind: Sandbox
metadata: {name: stays, labels: {app: x}}
spec: {poolRef: stays}
"""
GOES = """
---
apiVersion: arl.infra.io/v1alpha1
kind: WarmPool
metadata: {name: goes, labels: {app: x}}
spec: {replicas: 0, template: {spec: {containers: [{name: executor, image: "busybox:1.36"}]}}}
---
apiVersion: arl.infra.io/v1alpha1
kind: Sandbox
metadata: {name: goes, labels: {app: x}}
spec: {poolRef: goes}
---
apiVersion: arl.infra.io/v1alpha1
kind: Task
metadata: {name: goes, labels: {app: x}}
spec: {sandboxRef: goes, steps: [{type: Command, command: ["true"]}]}
"""


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def samples():
    """All samples that a reader can copy and apply, with an image that the cluster has."""
    texts = [next(b for b in re.findall(r"```yaml\n(.*?)```", read("README.md"), re.S) if "kind: WarmPool" in b),
             re.search(r"^objects\(\) \{\n *cat <<Y\n(.*?)^Y$", read("deploy", "quickstart"), re.S | re.M)[1].replace(r"\$", "$"),
             re.search(r"```yaml\n(apiVersion: rbac.*?)```", read("docs", "clients.md"), re.S)[1],
             read("deploy", "networkpolicy.yaml"), read("deploy", "poddisruptionbudget.yaml"), BROUGHT]
    pools = {re.search(r"```yaml pool.yaml\n(.*?)```", read("docs", "recipes", f"{name}.md"), re.S)[1] for name in RECIPES}
    equal(len(pools), 1, "the pools of the recipes")
    return images("\n---\n".join([*texts, *pools]))


def images(text):
    return re.sub(r'"\$EXECUTOR_IMAGE"|"?(busybox:1\.36|python:3\.12)"?', BUSYBOX, text)


class Files:
    """A file of objects, and calls of kubectl with it in the namespace of the case."""

    def __init__(self, t, text):
        self.t, self.folder = t, tempfile.mkdtemp(dir=t.env.work)
        self.file = os.path.join(self.folder, "objects.yaml")
        self.write(text)

    def write(self, text):
        with open(self.file, "w", encoding="utf-8") as f:
            f.write(images(text))

    def run(self, verb, *flags):
        return self.t.kubectl(verb, "-f", self.file, *flags, limit=LIMIT_S)

    def apply(self, *flags):
        return self.run("apply", *flags)

    def objects(self):
        return by_name(self.run("get", "-o", "json"))

    def settle(self, *conditions):
        for condition, what in conditions:
            self.t.kubectl("wait", f"--for={condition}", f"--timeout={LIMIT_S}s", *what.split(), limit=LIMIT_S + 60)


SETTLED = (("jsonpath={.status.phase}=Ready", "wp/first wp/quickstart wp/python"), ("condition=Ready", "sbx/mine sbx/quickstart"),
           ("condition=Finished", "tsk/greeting tsk/hello"))


@case(slow=True)
def samples_that_are_applied_again_do_not_change(t):
    p = Files(t, samples())
    p.apply()
    p.settle(*SETTLED)
    no_drift(p.run, p.objects)


@case(slow=True)
def samples_that_are_applied_by_the_server_first_do_not_change(t):
    """Flux applies so, and Argo CD can. The pool has no replicas, so the sandboxes only wait."""
    p = Files(t, samples().replace("replicas: 2", "replicas: 0"))
    p.apply("--server-side", "--field-manager=gitops")
    before = p.objects()
    p.apply("--server-side", "--field-manager=gitops")
    unchanged(before, p.objects(), "a second server-side apply")
    equal(p.run("diff", "--server-side", "--field-manager=gitops"), "", "what diff --server-side tells")
    p.apply("--server-side", "--field-manager=somebody-else")      # no conflict: all values are the same
    same_generation(before, p.objects(), "a server-side apply by somebody else")
    p.apply()
    same_generation(before, p.objects(), "an apply after it")


def on_cluster(t):
    """A function that calls kubectl outside of the case's namespace."""
    def call(*args):
        r = t.env.run_kubectl(*args, limit=LIMIT_S + 60)
        expect(r.returncode == 0, f"kubectl {' '.join(args)}: exit {r.returncode}: {(r.stdout + r.stderr)[-2000:]}")
        return r.stdout
    return call


def installation(kubectl, work):
    """deploy/manifests with the images that run, as YAML. The custom resources are left out: tests/crds/run applies them in both ways."""
    operator = json.loads(kubectl("-n", "arl-system", "get", "deployment", "arl-operator", "-o", "json"))["spec"]["template"]["spec"]["containers"][0]
    sidecar = next(e["value"] for e in operator["env"] if e["name"] == "ARL_SIDECAR_IMAGE")
    names = [dict(zip(("name", "newName", "newTag"), (name, *image.rsplit(":", 1)))) for name, image in (("arl-operator", operator["image"]), ("arl-sidecar", sidecar))]
    manifests = os.path.relpath(os.path.join(ROOT, "deploy", "manifests"), os.path.realpath(work))
    overlay = {"resources": [manifests], "configurations": ["image-fields.yaml"], "images": names}
    for name, text in (("image-fields.yaml", read("deploy", "manifests", "image-fields.yaml")), ("kustomization.yaml", json.dumps(overlay))):
        with open(os.path.join(work, name), "w", encoding="utf-8") as f:
            f.write(text)
    parts = [part for part in kubectl("kustomize", work).split("\n---\n") if "kind: CustomResourceDefinition\n" not in part]
    unlabelled = [yaml.safe_load(part)["metadata"]["name"] for part in parts if "app.kubernetes.io/part-of: arl\n" not in part]
    equal(unlabelled, [], "objects without the label that apply --prune selects by")
    return "\n---\n".join(parts)


@case(slow=True)
def an_installation_that_is_applied_again_does_not_change(t):
    """No rollout and no new resourceVersion; and the signing key that the operator made stays."""
    kubectl = on_cluster(t)
    key = kubectl("-n", "arl-system", "get", "secret", "arl-signing-key", "-o", "jsonpath={.metadata.uid}")
    work = tempfile.mkdtemp(dir=t.env.work)
    file = os.path.join(work, "installation.yaml")
    with open(file, "w", encoding="utf-8") as f:
        f.write(installation(kubectl, work))
    kubectl("apply", "-f", file)
    kubectl("-n", "arl-system", "rollout", "status", "deployment/arl-operator", f"--timeout={LIMIT_S}s")
    no_drift(lambda verb, *flags: kubectl(verb, "-f", file, *flags), lambda: by_name(kubectl("get", "-f", file, "-o", "json")), replace=False)
    equal(kubectl("-n", "arl-system", "get", "secret", "arl-signing-key", "-o", "jsonpath={.metadata.uid}"), key, "the uid of the signing key")


@case(slow=True)
def a_field_that_is_taken_out_goes_back_to_its_default(t):
    """In each of three ways to apply, a field that was removed from the file goes, and fields that others have added stay."""
    p = Files(t, CHANGED)
    for flags in ((), ("--server-side",)):
        p.write(CHANGED)
        p.apply(*flags)
        t.kubectl("annotate", "--overwrite", "sandbox.arl.infra.io/changed", "arl.infra.io/used-at=2026-01-31T12:00:00Z")
        t.kubectl("scale", "wp/changed", "--replicas=1")
        t.kubectl("label", "--overwrite", "wp/changed", "team=a")
        less = CHANGED.replace(", keepAlive: true, idleTimeoutSeconds: 50", "").replace('{name: A, value: "1"}, ', "").replace(
            '      - {name: second, image: "busybox:1.36"}\n', "").replace("      priorityClassName: none\n", "").replace(", workingDir: /tmp", "")
        p.write(less)
        p.apply(*flags, *(["--force-conflicts"] if flags else []))
        equal(p.objects()["Sandbox changed"]["spec"], {"poolRef": "changed", "replicas": 1, "keepAlive": False, "maxLifetimeSeconds": 500}, "the Sandbox")
        pool = p.objects()["WarmPool changed"]
        equal(pool["spec"], {"replicas": 0, "template": {"spec": {"containers": [
            {"name": "executor", "image": BUSYBOX, "env": [{"name": "B", "value": "2"}]}]}}}, "the WarmPool")
        equal(pool["metadata"]["labels"], {"team": "a"}, "its labels")
        equal(p.objects()["Sandbox changed"]["metadata"]["annotations"]["arl.infra.io/used-at"], "2026-01-31T12:00:00Z", "the annotation of another")
        before = p.objects()
        p.apply(*flags)
        unchanged(before, p.objects(), "one more apply")
        p.run("delete", f"--timeout={LIMIT_S}s")


@case(slow=True)
def prune_takes_what_is_gone_from_the_files_and_nothing_else(t):
    """Prune selects by a label. The pods and a client's task have the label as well, but were not applied: they stay."""
    kinds = [f"--prune-allowlist=arl.infra.io/v1alpha1/{kind}" for kind in ("WarmPool", "Sandbox", "Task")]
    p = Files(t, PRUNED + GOES)
    p.apply()
    p.settle(("jsonpath={.status.phase}=Ready", "wp/stays"), ("condition=Ready", "sbx/stays"))
    t.task("stays", {"type": "Command", "command": ["true"]}, name="made")
    t.kubectl("label", "tsk/made", "app=x")
    p.settle(("condition=Finished", "tsk/made"), ("jsonpath={.status.phase}=Ready", "wp/stays"))
    p.write(PRUNED)
    used = t.kubectl("get", "sbx/stays", "-o", "jsonpath={.status.podUID}")
    before, had = p.objects(), {pod["metadata"]["uid"] for pod in t.pods()}
    expect(used in had, "the pod of the sandbox is not there")
    all_unchanged(p.apply("--prune", "-l", "app=x"), "apply --prune with the kinds of kubectl itself")
    equal(sorted(by_name(t.kubectl("get", "arl", "-o", "json"))), ["Sandbox goes", "Sandbox stays", "Task goes", "Task made", "WarmPool goes", "WarmPool stays"],
          "what is left of arl's kinds, which it does not know")
    out = p.apply("--prune", "-l", "app=x", *kinds)
    equal(sorted(line.split()[0] for line in out.splitlines() if line.endswith(" pruned")),
          ["sandbox.arl.infra.io/goes", "task.arl.infra.io/goes", "warmpool.arl.infra.io/goes"], "what is pruned")
    unchanged(before, p.objects(), "apply --prune")
    t.gone("WarmPool", "goes", 60)
    equal(sorted(by_name(t.kubectl("get", "arl", "-o", "json"))), ["Sandbox stays", "Task made", "WarmPool stays"], "what is left")
    expect(had <= {pod["metadata"]["uid"] for pod in t.pods()}, "pods are gone")
