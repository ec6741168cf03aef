"""kubectl as people are used to it. On the real cluster."""
import os
import shutil
import subprocess

import cases_kustomize
from harness import ROOT, case, contains, equal, expect, wait

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
NAMES = ["task.arl.infra.io/greeting", "sandbox.arl.infra.io/mine", "warmpool.arl.infra.io/first"]


def versions(t):
    """Of the specs: what is written into a status does not count."""
    return {kind: t.get(kind, name)["metadata"]["generation"] for kind, name in (("WarmPool", "first"), ("Sandbox", "mine"), ("Task", "greeting"))}


@case()
def what_is_applied_again_is_unchanged(t):
    """By both kinds of apply, by diff, by replace and by prune: no drift after the first sync."""
    said = t.kubectl("apply", "-f", "-", body=OBJECTS)
    equal(sorted(said.split("\n")), sorted(["", *[f"{n} created" for n in NAMES]]), "the first apply")
    t.kubectl("wait", "--for=condition=Finished", "tsk/greeting", "--timeout=100s")
    before = versions(t)
    for _ in range(2):
        said = t.kubectl("apply", "-f", "-", body=OBJECTS)
        equal(sorted(said.split("\n")), sorted(["", *[f"{n} unchanged" for n in NAMES]]), "a later apply")
    equal(t.kubectl("diff", "-f", "-", body=OBJECTS), "", "kubectl diff")
    kinds = [f"--prune-allowlist=arl.infra.io/v1alpha1/{k}" for k in ("WarmPool", "Sandbox", "Task")]
    expect("pruned" not in t.kubectl("apply", "--prune", "-l", "team=a", *kinds, "-f", "-", body=OBJECTS), "something was pruned")
    for _ in range(2):
        t.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", body=OBJECTS)
    equal(t.kubectl("diff", "--server-side", "--force-conflicts", "-f", "-", body=OBJECTS), "", "kubectl diff --server-side")
    t.kubectl("replace", "-f", "-", body=OBJECTS)
    equal(versions(t), before, "generations")
    equal(t.kubectl("get", "tsk/greeting", "-o", "jsonpath={.status.stdout}"), "File created: /workspace/hello.sh\nhello\n", "what the task printed")


@case()
def what_is_no_longer_applied_is_pruned(t):
    t.kubectl("apply", "-f", "-", body=OBJECTS)
    pool_only = OBJECTS.split("---")[0]
    kinds = [f"--prune-allowlist=arl.infra.io/v1alpha1/{k}" for k in ("WarmPool", "Sandbox", "Task")]
    said = t.kubectl("apply", "--prune", "-l", "team=a", *kinds, "-f", "-", body=pool_only)
    equal(sorted(said.split("\n")), ["", "sandbox.arl.infra.io/mine pruned", "task.arl.infra.io/greeting pruned", "warmpool.arl.infra.io/first unchanged"],
          "what was pruned")
    t.gone("Sandbox", "mine", 60)
    wait("its pod to be gone", lambda: not t.pods(status="allocated"), 60)


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
