"""Kustomizations with arl's objects, and the files of deploy/kustomize beside them."""
import os
import shutil
import subprocess
import tempfile

import yaml

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
CASES = []

KUSTOMIZATION = """
namePrefix: team-
namespace: agents
resources: [all.yaml]
configurations: [arl.yaml]
images:
- {name: python, newName: registry.example/python, newTag: "3.12"}
"""
ALL = """
apiVersion: v1
kind: Secret
metadata: {name: token}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: runner}
---
apiVersion: arl.infra.io/v1alpha1
kind: WarmPool
metadata: {name: first}
spec:
  replicas: 1
  template:
    spec:
      serviceAccountName: runner
      initContainers:
      - {name: prep, image: "python:3.9", envFrom: [{configMapRef: {name: settings}}]}
      containers:
      - {name: executor, image: "python:3.9", env: [{name: T, valueFrom: {secretKeyRef: {name: token, key: a}}}]}
      imagePullSecrets: [{name: token}]
      volumes: [{name: s, secret: {secretName: token}}]
---
apiVersion: arl.infra.io/v1alpha1
kind: Sandbox
metadata: {name: mine}
spec: {poolRef: first}
---
apiVersion: arl.infra.io/v1alpha1
kind: Task
metadata: {name: t}
spec: {sandboxRef: mine, steps: [{type: Command, command: ["true"]}]}
"""
SCALER = """
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: idle}
spec: {scaleTargetRef: {apiVersion: arl.infra.io/v1alpha1, kind: WarmPool, name: first}, maxReplicas: 3}
"""


def case(f):
    CASES.append(f)
    return f


def equal(got, want):
    if got != want:
        raise AssertionError(f"got  {got!r}\nwant {want!r}")


def build(kustomization, **files):
    """Builds a kustomization with kubectl; the files of deploy/kustomize lie beside it. Returns the objects by kind."""
    with tempfile.TemporaryDirectory() as work:
        for name in ("arl.yaml", "arl-openapi.yaml"):
            shutil.copy(os.path.join(ROOT, "deploy", "kustomize", name), work)
        for name, text in (("kustomization", kustomization), *files.items()):
            with open(os.path.join(work, f"{name}.yaml"), "w", encoding="utf-8") as f:
                f.write(text)
        out = subprocess.run(["kubectl", "kustomize", work], check=True, capture_output=True, text=True).stdout
    return {o["kind"]: o for o in yaml.safe_load_all(out)}


@case
def a_name_prefix_reaches_all_references():
    objects = build(KUSTOMIZATION, all=ALL + SCALER)
    spec = objects["WarmPool"]["spec"]["template"]["spec"]
    equal(objects["Sandbox"]["spec"]["poolRef"], "team-first")
    equal(objects["Task"]["spec"]["sandboxRef"], "team-mine")
    equal(objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"], "team-first")
    equal({o["metadata"]["namespace"] for o in objects.values()}, {"agents"})
    equal(spec["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"], "team-token")
    equal(spec["initContainers"][0]["envFrom"][0]["configMapRef"]["name"], "team-settings")
    equal([spec["imagePullSecrets"][0]["name"], spec["volumes"][0]["secret"]["secretName"], spec["serviceAccountName"]],
          ["team-token", "team-token", "team-runner"])
    equal([c["image"] for c in spec["containers"] + spec["initContainers"]], ["registry.example/python:3.12"] * 2)


TEMPLATE = """
  template:
    metadata: {labels: {a: b}}
    spec:
      initContainers: [{name: prep, image: a}, {name: fetch, image: a}]
      containers:
      - name: executor
        image: a
        env: [{name: A, value: "1"}, {name: B, value: "2"}]
        ports: [{containerPort: 53, protocol: TCP, name: t}, {containerPort: 53, protocol: UDP, name: u}]
        volumeMounts: [{name: s, mountPath: /s}, {name: s, mountPath: /t}]
        args: [x, y]
      - {name: helper, image: a}
      - {name: unwanted, image: a}
      volumes: [{name: s, emptyDir: {}}, {name: c, configMap: {name: c}}]
      imagePullSecrets: [{name: p}]
      tolerations: [{key: k, operator: Exists}]
      hostAliases: [{ip: 1.2.3.4, hostnames: [h]}]
      topologySpreadConstraints: [{topologyKey: zone, whenUnsatisfiable: ScheduleAnyway, maxSkew: 1}]
"""
CHANGES = """
  template:
    metadata: {annotations: {c: d}}
    spec:
      initContainers: [{name: fetch, image: b}]
      containers:
      - name: executor
        env: [{name: B, value: "3"}, {name: C, value: "4"}]
        ports: [{containerPort: 53, protocol: UDP, name: v}]
        volumeMounts: [{name: w, mountPath: /t}]
        args: [z]
      - {name: unwanted, $patch: delete}
      volumes: [{name: w, emptyDir: {}}, {name: c, emptyDir: {}, $retainKeys: [name, emptyDir]}]
      imagePullSecrets: [{name: q}]
      tolerations: [{key: l, operator: Exists}]
      hostAliases: [{ip: 1.2.3.4, hostnames: [i]}]
      topologySpreadConstraints: [{topologyKey: host, whenUnsatisfiable: DoNotSchedule, maxSkew: 2}]
"""
# Kubernetes' kinds with lists that merge by keys. arl-openapi.yaml replaces kustomize's own file, so it must have their keys as well.
OTHERS = """
apiVersion: batch/v1
kind: CronJob
metadata: {{name: c, finalizers: [{0}]}}
spec: {{jobTemplate: {{spec: {{template: {{spec: {{containers: [{{name: {0}, image: a}}]}}}}}}}}}}
---
apiVersion: batch/v1
kind: Job
metadata: {{name: c}}
spec: {{template: {{spec: {{containers: [{{name: {0}, image: a}}]}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: c}}
spec: {{containers: [{{name: {0}, image: a}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: c}}
spec: {{ports: [{{port: 53, protocol: {0}, name: {0}}}]}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: c}}
secrets: [{{name: {0}}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {{name: c}}
webhooks: [{{name: {0}}}]
"""


def of_kind(group, kind, text):
    return f"apiVersion: {group}\nkind: {kind}\nmetadata: {{name: x}}\nspec:{text}"


@case
def a_patch_of_a_pool_merges_as_that_of_a_deployment():
    """One template and one patch, in a Deployment (merged by kustomize's own file) and in a WarmPool (by arl-openapi.yaml)."""
    plain = "resources: [all.yaml]\npatches: [{path: patch.yaml}]\n"
    deployment = build(plain, all=of_kind("apps/v1", "Deployment", TEMPLATE), patch=of_kind("apps/v1", "Deployment", CHANGES))
    pool, group = "WarmPool", "arl.infra.io/v1alpha1"
    merged = build(plain + "openapi: {path: arl-openapi.yaml}\n", all=of_kind(group, pool, TEMPLATE), patch=of_kind(group, pool, CHANGES))
    want = deployment["Deployment"]["spec"]
    equal(merged[pool]["spec"], want)
    equal(sorted(c["name"] for c in want["template"]["spec"]["containers"]), ["executor", "helper"])
    equal(sorted(e["name"] + e["value"] for e in want["template"]["spec"]["containers"][0]["env"]), ["A1", "B3", "C4"])


@case
def the_file_for_patches_keeps_the_keys_of_other_kinds():
    plain = "resources: [all.yaml]\npatches: [{path: patch.yaml}]\n"
    files = {"all": OTHERS.format("TCP"), "patch": OTHERS.format("UDP")}
    files["all"] += "---\n" + of_kind("apps/v1", "Deployment", TEMPLATE)
    files["patch"] += "---\n" + of_kind("apps/v1", "Deployment", CHANGES)
    want = build(plain, **files)
    equal(build(plain + "openapi: {path: arl-openapi.yaml}\n", **files), want)
    equal(len(want["Service"]["spec"]["ports"]), 2)


@case
def replicas_of_a_kustomization_count_pools():
    objects = build("resources: [all.yaml]\nconfigurations: [arl.yaml]\nreplicas: [{name: x, count: 7}]\n",
                    all=of_kind("arl.infra.io/v1alpha1", "WarmPool", TEMPLATE) + "---\n" + of_kind("apps/v1", "Deployment", TEMPLATE))
    equal([o["spec"]["replicas"] for o in objects.values()], [7, 7])
