"""A kustomization with arl's objects, and deploy/kustomize/arl.yaml among its configurations."""
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


def case(f):
    CASES.append(f)
    return f


def equal(got, want):
    if got != want:
        raise AssertionError(f"got  {got!r}\nwant {want!r}")


@case
def a_name_prefix_reaches_all_references():
    with tempfile.TemporaryDirectory() as work:
        shutil.copy(os.path.join(ROOT, "deploy", "kustomize", "arl.yaml"), work)
        for name, text in (("kustomization.yaml", KUSTOMIZATION), ("all.yaml", ALL)):
            with open(os.path.join(work, name), "w", encoding="utf-8") as f:
                f.write(text)
        out = subprocess.run(["kubectl", "kustomize", work], check=True, capture_output=True, text=True).stdout
    objects = {o["kind"]: o for o in yaml.safe_load_all(out)}
    spec = objects["WarmPool"]["spec"]["template"]["spec"]
    equal(objects["Sandbox"]["spec"]["poolRef"], "team-first")
    equal(objects["Task"]["spec"]["sandboxRef"], "team-mine")
    equal({o["metadata"]["namespace"] for o in objects.values()}, {"agents"})
    equal(spec["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"], "team-token")
    equal(spec["initContainers"][0]["envFrom"][0]["configMapRef"]["name"], "team-settings")
    equal([spec["imagePullSecrets"][0]["name"], spec["volumes"][0]["secret"]["secretName"], spec["serviceAccountName"]],
          ["team-token", "team-token", "team-runner"])
    equal([c["image"] for c in spec["containers"] + spec["initContainers"]], ["registry.example/python:3.12"] * 2)
