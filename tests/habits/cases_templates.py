"""Templates as teams write them: what is used, what is refused, and what a pool says when its pods fail. On the real cluster."""
import base64
import functools
import json
import os
import subprocess
import threading

from harness import IMAGES, ROOT, Failed, case, condition, contains, equal, expect, patch, path_of, pool_object, sh, wait

BUSYBOX = IMAGES["busybox"]
DEPLOY = os.path.join(ROOT, "deploy")
FILES = "localhost/arl-test/files:1"
LOCK = threading.Lock()
LOADED = []


def copy(value):
    """Metadata of a template with the annotation that says whether the image's /workspace is copied."""
    return {"annotations": {"arl.infra.io/copy-workspace": value}}


def files_image(t):
    """The name of an image: busybox with files below /workspace. The first call packs and loads it."""
    with LOCK:
        if LOADED:
            return FILES
        root, archive = os.path.join(t.env.work, "files"), os.path.join(t.env.work, "files.tar")
        run = functools.partial(subprocess.run, check=True, capture_output=True)
        run([os.path.join(DEPLOY, "local-cluster", "images", "busybox-rootfs"), root])
        for name, text, mode in (("README", "read me\n", 0o644), ("bin/run", "#!/bin/sh\necho run\n", 0o755), (".hidden", "hidden\n", 0o640)):
            path = os.path.join(root, "workspace", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as f:
                f.write(text)
            os.chmod(path, mode)
        os.symlink("README", os.path.join(root, "workspace", "link"))
        run([os.path.join(DEPLOY, "images", "pack"), root, "--tag", FILES, "--cmd", "/bin/sh", "--env", "PATH=/bin:/usr/bin", "-o", archive])
        r = t.env.cluster_command("load", archive)
        expect(r.returncode == 0, f"the image could not be loaded: {r.stdout}{r.stderr}")
        LOADED.append(archive)
        return FILES


def pod(*more, **fields):
    """The spec of a pod with a container `executor` that has these fields."""
    return {"containers": [{"name": "executor", "image": BUSYBOX, **fields}, *more]}


def failing(t, pool, reason, *texts, limit=120):
    """Waits until the pool's condition PodsFailing and its Event have the reason and the texts. Returns the message."""
    def look():
        c = condition(t.get("WarmPool", pool), "PodsFailing")
        if not (c.get("status") == "True" and c["reason"] == reason and all(x in c["message"] for x in texts)):
            raise Failed(f"the condition: {c}")
        return c["message"]
    message = wait(f"the pool to say {reason}: {texts}", look, limit)
    equal(t.get("WarmPool", pool)["status"]["phase"], "Degraded", "the phase")
    wait("its Event", lambda: [e for e in t.events(pool, "PodsFailing") if all(x in e["message"] for x in texts)], 30)
    return message


def apply(t, obj, *flags):
    return t.kubectl("apply", *flags, "-f", "-", body=obj)


POOL = """
apiVersion: arl.infra.io/v1alpha1
kind: WarmPool
metadata: {name: pool, creationTimestamp: null}
spec:
  replicas: 0
  template:
    metadata: {creationTimestamp: null, labels: {blank: null}, annotations: null}
    spec:
      nodeSelector: null
      tolerations: null
      containers:
      - name: executor
        image: localhost/arl-test/busybox:1
        command: null
        env: null
        ports: null
        volumeMounts: null
        resources: {requests: {cpu: 0.05, memory: 1.6e7}, limits: {cpu: 0.5, memory: 64Mi}}
status: {}
"""


@case()
def numbers_and_nulls_are_taken_from_every_kind_of_apply(t):
    apply(t, POOL)
    apply(t, POOL, "--server-side", "--force-conflicts")
    apply(t, POOL.replace("name: pool", "name: other"), "--server-side")
    t.kubectl("scale", "wp/other", "--replicas=1")
    t.pool_ready("other")
    c = next(c for c in t.pods(pool="other")[0]["spec"]["containers"] if c["name"] == "executor")
    equal(c["resources"], {"requests": {"cpu": "50m", "memory": "16M"}, "limits": {"cpu": "500m", "memory": "64Mi"}}, "the pod's resources")
    equal(t.pods(pool="other")[0]["metadata"]["labels"].get("blank"), "", "a label without a value")


@case()
def metadata_that_pods_do_not_get_is_told(t):
    """As with each unknown field: kubectl refuses the object, other clients get a warning, and the API server drops the field."""
    for field, value in (("namespace", "other"), ("generateName", "x-"), ("finalizers", ["a/b"]),
                         ("ownerReferences", [{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "x"}])):
        obj = pool_object("pool", replicas=0, spec=pod())
        obj["spec"]["template"]["metadata"] = {field: value, "labels": {"a": "b"}}
        told = f'unknown field "spec.template.metadata.{field}"'
        t.refused(obj, told)
        r = t.env.run_kubectl("-n", t.ns, "create", "--dry-run=server", "--validate=warn", "-o", "json", "-f", "-", body={"apiVersion": "arl.infra.io/v1alpha1", **obj})
        equal(r.returncode, 0, r.stderr)
        contains(r.stderr, f"Warning: {told}", what="the warning")
        equal(json.loads(r.stdout)["spec"]["template"]["metadata"], {"labels": {"a": "b"}}, "what is kept")


@case()
def a_container_of_ones_own_that_is_named_sidecar_is_warned_of(t):
    """arl does not use such a container. A warning of the API server says so, and kubectl shows it."""
    def warnings(**fields):
        obj = pool_object("pool", replicas=0, spec=pod({"name": "sidecar", **fields}))
        r = t.env.run_kubectl("-n", t.ns, "create", "--dry-run=server", "-f", "-", body={"apiVersion": "arl.infra.io/v1alpha1", **obj})
        equal(r.returncode, 0, r.stderr)
        return r.stderr

    contains(warnings(image="nginx", command=["nginx"], env=[{"name": "A", "value": "b"}], args=["-g", "daemon off;"]),
             "Warning: ", "the container sidecar is arl's own, and only its resources are used, not command, args, env, image: give a container "
             "of yours another name", what="the warning")
    contains(warnings(image="registry.example/team/proxy:1"), "not image: ", what="the warning")
    # Such containers are written by the Python clients and by other tools: no warning.
    equal(warnings(image="your-registry/arl-sidecar:latest", imagePullPolicy="Always", ports=[{"containerPort": 8080, "name": "http"}],
                   volumeMounts=[{"name": "workspace", "mountPath": "/workspace"}], env=None, command=[]), "", "the warnings")
    equal(warnings(resources={"limits": {"memory": "64Mi"}}), "", "the warnings")


@case()
def the_last_of_two_variables_of_one_name_holds(t):
    twice = [{"name": "A", "value": "first"}, {"name": "B", "value": "b"}, {"name": "A", "value": "last"}]
    obj = pool_object("pool", spec=pod(env=twice))
    for flags in ((), ("--server-side", "--force-conflicts")):
        apply(t, obj, *flags)
    t.pool_ready("pool")
    box = t.box(env=[{"name": "B", "value": "1"}, {"name": "B", "value": "2"}])
    equal(t.out(box, sh("echo $A $B")), "last 2\n", "what a step sees")


@case()
def the_working_dir_of_the_container_is_that_of_the_steps(t):
    t.pool(spec=pod(workingDir="/etc"))
    box = t.box()
    equal(t.get("Sandbox", box)["status"]["workDir"], "/etc", "status.workDir")
    equal(t.out(box, sh("pwd; ls -d /workspace")), "/etc\n/workspace\n", "where a step begins")
    equal(t.out(box, {"name": "w", "type": "FilePatch", "path": "new", "content": "x"}, sh("cat /etc/new")), "File created: new\nx", "a relative path")


@case(slow=True)
def the_images_files_are_in_the_workspace(t):
    t.pool(spec={"containers": [{"name": "executor", "image": files_image(t)}]})
    box = t.box()
    equal(t.out(box, sh("stat -c '%a %u:%g %n' README bin bin/run .hidden; stat -c %Y README")),
          "644 0:0 README\n755 0:0 bin\n755 0:0 bin/run\n640 0:0 .hidden\n0\n", "modes, owners and a time")
    equal(t.out(box, sh("cat link; readlink link; ./bin/run; ls -A")), "read me\nREADME\nrun\n.hidden\nREADME\nbin\nlink\n", "what is in it")


@case(slow=True)
def the_images_files_as_another_user(t):
    """Files that the user may not read are left out. The copies belong to the user."""
    t.pool(spec={"containers": [{"name": "executor", "image": files_image(t), "securityContext": {"runAsUser": 1000, "runAsNonRoot": True}}]},
           template_meta=copy("true"))
    equal(t.out(t.box(), sh("ls -A; stat -c %u README; ./bin/run")), "README\nbin\nlink\n1000\nrun\n", "what is in it")


@case()
def no_copy_where_nobody_wants_one(t):
    """There is no copy if the annotation says no, or if the template has its own volume or mount for the workspace."""
    executor = {"name": "executor", "image": files_image(t)}
    mounted = {**executor, "volumeMounts": [{"name": "data", "mountPath": "/workspace"}]}
    t.pool("off", spec={"containers": [executor]}, template_meta=copy("false"))
    t.pool("own", spec={"containers": [executor], "volumes": [{"name": "workspace", "emptyDir": {}}]})
    t.pool("mounted", spec={"containers": [mounted], "volumes": [{"name": "data", "emptyDir": {}}]})
    for name in ("off", "own", "mounted"):
        equal([c["name"] for c in t.pods(pool=name)[0]["spec"]["initContainers"]], ["arl-init"], f"the init containers of {name}")
        equal(t.out(t.box(name), sh("pwd; ls -A")), "/workspace\n", f"what is in the workspace of {name}")


@case()
def a_copy_that_is_neither_wanted_nor_not(t):
    t.pool(template_meta=copy("no"), ready=False)
    contains(failing(t, "pool", "InvalidTemplate"),
             'the template\'s annotation arl.infra.io/copy-workspace is "no"; it must be "true" or "false"', what="the message")


@case()
def files_that_are_mounts_are_written_in_place(t):
    """The kubelet mounts /etc/hosts, /etc/resolv.conf and a subPath of a volume as single files: no rename can replace them."""
    volumes = [{"name": "v", "emptyDir": {}}]
    prep = {"name": "prep", "image": BUSYBOX, "command": ["sh", "-c", "echo old and long >/v/f"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    t.pool(spec={**pod(volumeMounts=[{"name": "v", "mountPath": "/data/file", "subPath": "f"}, {"name": "v", "mountPath": "/v"}]),
                 "initContainers": [prep], "volumes": volumes})
    box = t.box()
    for path in ("/etc/hosts", "/etc/resolv.conf", "/data/file"):
        text = f"# {path}\n"
        change = {"name": "d", "type": "FilePatch", "path": path, "patch": f"@@ -1 +1 @@\n-{text}+# changed\n"}
        equal(t.out(box, patch(path, text), sh(f"cat {path}"), change, sh(f"cat {path}")),
              f"File created: {path}\n{text}File patched: {path}\n# changed\n", path)
    equal(t.out(box, sh("cat /v/f")), "# changed\n", "the other side of the mount")


# ---- pods that fail

@case(slow=True)
def an_init_container_that_fails(t):
    t.pool(spec={**pod(), "initContainers": [{"name": "prep", "image": BUSYBOX, "command": ["sh", "-c", "echo no such branch >&2; exit 7"]}]}, ready=False)
    message = failing(t, "pool", "InitContainerFailed", "init container prep ended with exit code 7; see kubectl logs ", " -c prep",
                      "its last words: no such branch")
    name = t.pods(pool="pool")[0]["metadata"]["name"]
    contains(message, f"see kubectl logs {name} -c prep", what="the message")


@case(slow=True)
def a_program_that_insists_on_pid_1(t):
    """Like /init of s6-overlay."""
    init = "[ $$ = 1 ] || { echo starting; echo 's6-overlay-suexec: fatal: can only run as pid 1' >&2; exit 100; }; sleep 1000"
    t.pool(spec=pod(command=["sh", "-c", init]), ready=False)
    failing(t, "pool", "CrashLoopBackOff", "container executor ended with exit code 100; see kubectl logs ", " -c executor --previous",
            "s6-overlay-suexec: fatal: can only run as pid 1", 'arl-runner is PID 1 in every container: see "PID 1" in docs/images-and-templates.md')


@case(slow=True)
def a_main_command_that_ends_at_once(t):
    t.pool(spec=pod(command=["sh", "-c", "echo all done"]), ready=False)
    failing(t, "pool", "CrashLoopBackOff", "container executor ended with exit code 0; see kubectl logs ", " -c executor --previous")


@case(slow=True)
def a_main_command_that_is_a_script_of_windows(t):
    text = base64.b64encode(b"#!/bin/sh\r\nexec server\r\n").decode()
    prep = {"name": "prep", "image": BUSYBOX, "command": ["sh", "-c", f"echo {text} | base64 -d > /s/start; chmod +x /s/start"],
            "volumeMounts": [{"name": "s", "mountPath": "/s"}]}
    t.pool(spec={**pod(command=["/s/start"], volumeMounts=[{"name": "s", "mountPath": "/s"}]), "initContainers": [prep],
                 "volumes": [{"name": "s", "emptyDir": {}}]}, ready=False)
    failing(t, "pool", "CrashLoopBackOff", "container executor ended with exit code 127",
            'arl-runner: /s/start: cannot execute: its first line ends in a carriage return (CR), which makes the interpreter "/bin/sh\\r"')


@case(slow=True)
def a_main_command_that_does_not_exist(t):
    t.pool(spec=pod(command=["nosuch", "--port", "80"]), ready=False)
    failing(t, "pool", "CrashLoopBackOff", "container executor ended with exit code 127", "arl-runner: nosuch: No such file or directory")


@case()
def a_secret_that_does_not_exist(t):
    t.pool(spec=pod(env=[{"name": "T", "valueFrom": {"secretKeyRef": {"name": "nosuch", "key": "a"}}}]), ready=False)
    failing(t, "pool", "CreateContainerConfigError", "container executor: CreateContainerConfigError: ", 'secret "nosuch" not found')


@case()
def a_node_that_does_not_exist(t):
    t.pool(spec={**pod(), "nodeSelector": {"disk": "gold"}}, ready=False)
    failing(t, "pool", "Unschedulable", "node affinity/selector")


@case(slow=True)
def a_creation_that_is_refused_is_one_event_that_counts(t):
    """Each try gives the pod another name, so the name is in no message: the Events are one Event that counts."""
    t.kubectl("create", "quota", "q", "--hard=pods=0")
    t.pool(ready=False)
    message = failing(t, "pool", "QuotaExceeded", "a pod could not be created: pods \"pool-*\" is forbidden: exceeded quota: q")
    rv = t.get("WarmPool", "pool")["metadata"]["resourceVersion"]

    def counted():
        events = t.events("pool", "PodsFailing")
        equal(len(events), 1, f"Events: {[e['message'] for e in events]}")
        return events[0]["count"] >= 3 and events[0]
    event = wait("the Event to count three refusals", counted, 60)
    equal((event["message"], event["type"]), (message, "Warning"), "the Event")
    equal(t.get("WarmPool", "pool")["metadata"]["resourceVersion"], rv, "nobody has written the pool meanwhile: its resourceVersion")


@case(slow=True)
def a_sandbox_says_why_its_pool_has_no_pods(t):
    t.pool(spec=pod(command=["false"]), ready=False)
    failing(t, "pool", "CrashLoopBackOff", "ended with exit code 1")
    box = t.sandbox()

    def told():
        c = condition(t.get("Sandbox", box), "Ready")
        return c.get("reason") == "WaitingForPod" and "its pods fail, see its condition PodsFailing" in c["message"]
    wait("the sandbox to say so", told, 30)


# ---- memory

@case(slow=True)
def a_step_that_takes_too_much_memory(t):
    """The kernel kills the step, and counts that in the container's control group: so the message can say why."""
    t.pool(spec=pod(resources={"limits": {"memory": "48Mi"}}))
    box = t.box()
    s = t.run(box, sh("exec tail /dev/zero", name="eat"))
    fin = condition({"status": s}, "Finished")
    if fin["reason"] == "AgentRestarted":       # a node with cgroup v2: the kernel ends the whole container
        c = wait("the sandbox to say why", lambda: condition(t.get("Sandbox", box), "ContainerRestarted"), 60)
        contains(c["message"], "OOMKilled: out of memory", what="ContainerRestarted")
        return
    why = "killed by signal 9 (SIGKILL): out of memory (its container's memory limit)"
    equal((s["exitCode"], fin["reason"], fin["message"]), (137, "StepFailed", f'step "eat" (1 of 1): exit code 137: {why}'), "its end")
    equal(s["stderr"], f'arl: step "eat" was {why}\n', "stderr")
    s = t.run(box, sh("tail /dev/zero; echo status $?; exit 3", name="go on"))
    equal((s["exitCode"], s["stdout"]), (3, "status 137\n"), "a shell that goes on")
    contains(condition({"status": s}, "Finished")["message"],
             'step "go on" (1 of 1): exit code 3: a process was killed meanwhile: out of memory', what="the condition")
    expect("out of memory" not in t.run(box, sh("kill -9 $$"))["stderr"], "a later kill is not for want of memory")


# ---- pods that are lost under a task

def lost(t, end, *texts, spec=None):
    """end() ends the pod of a task that runs. The task's and the sandbox's condition must say how the pod was lost."""
    t.pool(spec=spec or pod())
    box = t.box()
    # The step exits with 9 on SIGTERM. The task must not take that for the step's own end.
    task = t.task(box, sh("trap 'exit 9' TERM; touch /workspace/runs; while true; do sleep 0.1; done", name="run"))
    t.state(task, "Running")
    name = t.pod_of(box)["metadata"]["name"]
    end(name)
    s = t.finished(task)
    fin, ready = condition({"status": s}, "Finished"), condition({"status": t.phase(box, "Failed")}, "Ready")
    equal((fin["reason"], s["exitCode"], ready["reason"]), ("PodLost", 137, "PodLost"), f"reasons and exit code ({fin}, {ready})")
    contains(fin["message"], f"pod {name} was lost while the task ran: ", *texts, what="the task's message")
    contains(ready["message"], *texts, what="the sandbox's message")
    contains(s["stderr"], f"arl: {fin['message']}\n", what="stderr")


@case(slow=True)
def a_pod_that_somebody_deletes_under_a_task(t):
    lost(t, lambda name: t.kubectl("delete", "pod", name, "--wait=false"), "is being deleted")


@case(slow=True)
def a_pod_that_is_evicted_under_a_task(t):
    lost(t, lambda name: t.api.call("POST", path_of(t.ns, "pods", name) + "/eviction",
                                    {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": t.ns}}),
         "is being deleted: EvictionByEvictionAPI: Eviction API: evicting")


@case(slow=True)
def a_pod_that_reaches_its_deadline_under_a_task(t):
    """The kubelet ends the containers first, and writes the pod's status afterwards."""
    lost(t, lambda name: t.kubectl("patch", "pod", name, "--type=merge", "-p", '{"spec":{"activeDeadlineSeconds":1}}'),
         "has ended: DeadlineExceeded: Pod was active on the node longer than the specified deadline")


@case(slow=True)
def a_pod_that_fills_its_disk_under_a_task(t):
    lost(t, lambda name: t.kubectl("exec", name, "-c", "executor", "--", "dd", "if=/dev/zero", "of=/workspace/big", "bs=1M", "count=20"),
         "has ended: Evicted: ", "workspace",
         spec={**pod(), "volumes": [{"name": "workspace", "emptyDir": {"sizeLimit": "4Mi"}}]})


@case(slow=True)
def a_container_that_the_kubelet_restarts_is_not_the_pods_end(t):
    """A liveness probe lets the kubelet restart one container: the pod and the sandbox live on."""
    probe = {"exec": {"command": ["sh", "-c", "[ ! -e /workspace/sick ]"]}, "periodSeconds": 1, "failureThreshold": 1}
    t.pool(spec=pod(command=["sleep", "1000"], livenessProbe=probe))
    box = t.box()
    s = t.run(box, sh("touch /workspace/sick; while [ -e /workspace/sick ]; do sleep 0.1; done", name="run"))
    fin = condition({"status": s}, "Finished")
    equal((s["state"], s["exitCode"], fin["reason"], fin["message"]), ("Failed", 255, "AgentRestarted", "the agent in the pod restarted while a step ran"),
          "the task's end")
    c = wait("the sandbox to tell of the restart", lambda: condition(t.get("Sandbox", box), "ContainerRestarted"), 60)
    contains(c["message"], "container executor was started anew", "before, it ended with exit code ", what="ContainerRestarted")
