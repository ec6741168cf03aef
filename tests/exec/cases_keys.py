"""A change of the signing key, as docs/threat-model.md describes it."""
import base64
import subprocess

import tools
from cases_inside import Signer
from harness import case, condition, equal, sh, wait

SECRET = f"/api/v1/namespaces/{tools.SYSTEM}/secrets/arl-signing-key"


def key_ids(pod):
    env = [c for c in pod["spec"]["containers"] if c["name"] == "sidecar"][0]["env"]
    return [pair.split("=")[0] for pair in {e["name"]: e.get("value", "") for e in env}["ARL_PUBLIC_KEYS"].split(",")]


def set_keys(t, **keys):
    """Puts these keys into the Secret, and restarts the operator."""
    data = {name: base64.b64encode(text.encode()).decode() if text else None for name, text in keys.items()}
    t.api.merge(SECRET, {"data": data})
    t.env.operator.stop()
    t.env.operator.start()
    t.env.operator_answers()


def idle_pod_knows(t, key_id):
    """Whether an idle and ready pod was made with this key as the first one."""
    def look():
        pods = [p for p in t.pods(status="idle") if key_ids(p)[0] == key_id and "deletionTimestamp" not in p["metadata"]]
        return [p for p in pods if any(c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", []))]
    return wait(f"an idle pod that knows the key {key_id}", look, 90)[0]


@case(alone=True)
def two_keys_at_once_and_then_the_new_one_alone(t):
    before = t.api.get(SECRET)["data"]
    old = Signer(t).text
    new = subprocess.run([t.env.operator.argv[0], "keygen"], capture_output=True, text=True, check=True).stdout.strip()
    ids = {"old": old.split(":")[0], "new": new.split(":")[0]}
    t.pool(replicas=1)
    first = t.box()
    equal(t.out(first, sh("echo before > f; cat f")), "before\n", "a task before the change")
    began = t.task(first, sh("echo begin; while [ ! -e go ]; do sleep 0.1; done; echo end"), timeout="200s")
    t.state(began, "Running")
    try:
        set_keys(t, key=new, previous=old)
        pod = idle_pod_knows(t, ids["new"])
        equal(key_ids(pod), [ids["new"], ids["old"]], "the keys that a new pod knows")
        equal(key_ids(t.pod_of(first))[0], ids["old"], "the key of the pod that was there before")
        t.kubectl("exec", t.pod_of(first)["metadata"]["name"], "-c", "executor", "--", "touch", "/workspace/go")
        equal(t.finished(began)["stdout"], "begin\nend\n", "a task that ran during the change")
        equal(t.out(first, sh("cat f")), "before\n", "a task in a sandbox from before the change")
        second = t.box()
        equal(key_ids(t.pod_of(second))[0], ids["new"], "the first key of a new sandbox's pod")
        t.alive(second)
        set_keys(t, key=new, previous=None)
        equal(t.out(second, sh("echo new alone")), "new alone\n", "a task when the earlier key is gone")
        # The idle pod may have been made while the earlier key was in the Secret, and may accept that key: see docs/threat-model.md.
        t.kubectl("delete", "pods", "-l", "arl.infra.io/status=idle")
        equal(key_ids(idle_pod_knows(t, ids["new"])), [ids["new"]], "the keys of a pod made now")
        s = t.run(first, sh("touch never"), limit=120)
        equal((s["state"], condition({"status": s}, "Finished")["reason"]), ("Failed", "AgentUnavailable"), "a task in a pod whose key is gone")
    finally:
        set_keys(t, key=base64.b64decode(before["key"]).decode(),
                 previous=base64.b64decode(before["previous"]).decode() if "previous" in before else None)
