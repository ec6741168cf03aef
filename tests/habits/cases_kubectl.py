"""What people do with kubectl. On the real cluster."""
import os
import shutil
import subprocess

import cases_kustomize
from harness import ROOT, case, contains, equal

OBJECTS = """
apiVersion: arl.infra.io/v1alpha1
kind: WarmPool
metadata: {name: first, labels: {team: a}}
spec:
  replicas: 1
  template:
    spec:
      containers:
      - {name: executor, image: "localhost/arl-test/busybox:1", env: [{name: A, value: a}]}
---
apiVersion: arl.infra.io/v1alpha1
kind: Sandbox
metadata: {name: mine, labels: {team: a}}
spec: {poolRef: first, idleTimeoutSeconds: 600}
---
apiVersion: arl.infra.io/v1alpha1
kind: Task
metadata: {name: greeting, labels: {team: a}}
spec:
  sandboxRef: mine
  steps:
  - {name: write, type: FilePatch, path: /workspace/hello.sh, content: "echo hello\\n"}
  - {name: run, type: Command, command: [sh, /workspace/hello.sh]}
"""


@case()
def waiting_by_short_name_condition_and_field(t):
    t.kubectl("apply", "-f", "-", body=OBJECTS)
    for what, condition in (("wp/first", "condition=Ready"), ("sbx/mine", "condition=Ready"), ("sandboxes.arl.infra.io/mine", "jsonpath={.status.phase}=Ready"),
                            ("tsk/greeting", "condition=Finished"), ("tasks.arl.infra.io/greeting", "jsonpath={.status.state}=Succeeded")):
        contains(t.kubectl("wait", f"--for={condition}", what, "--timeout=100s"), "condition met", what=f"waiting for {what}")
    t.kubectl("delete", "sbx/mine", "--wait=false")
    t.kubectl("wait", "--for=delete", "sbx/mine", "--timeout=60s")


@case()
def a_kustomization_with_a_name_prefix_runs(t):
    """The prefix reaches the names inside: the pool's Secret, the sandbox's pool, the task's sandbox."""
    work = os.path.join(t.env.work, t.ns)
    os.mkdir(work)
    shutil.copy(os.path.join(ROOT, "deploy", "kustomize", "arl.yaml"), work)
    text = cases_kustomize.KUSTOMIZATION.replace("namespace: agents", f"namespace: {t.ns}")
    text = text.replace("registry.example/python", "localhost/arl-test/busybox").replace('"3.12"', '"1"')
    objects = cases_kustomize.ALL.replace("metadata: {name: token}", "metadata: {name: token}\nstringData: {a: secret}")
    objects = objects.replace('command: ["true"]', "command: [sh, -c, 'echo $T']")
    objects = objects.replace('{name: prep, image: "python:3.9",', '{name: prep, image: "python:3.9", command: ["true"],')
    for name, content in (("kustomization.yaml", text), ("all.yaml", objects)):
        with open(os.path.join(work, name), "w", encoding="utf-8") as f:
            f.write(content)
    out = subprocess.run([*t.env.kubectl, "apply", "-k", work], capture_output=True, text=True, timeout=120, check=False)
    equal(out.returncode, 0, f"kubectl apply -k: {out.stderr}")
    s = t.finished("team-t")
    equal((s["state"], s["stdout"], t.get("Sandbox", "team-mine")["spec"]["poolRef"]), ("Succeeded", "secret\n", "team-first"), "the task and its pool")
