"""The objects that tests/crds/run sends: those of clients, and good and bad variants of each kind."""
import copy

API = "arl.infra.io/v1alpha1"
SPEC_CHARACTERS = 1441792  # the most that all of spec.steps may have, as the rule in the CRD counts


def pool(name="p", **spec):
    full = {"replicas": 0, "template": {"spec": {"containers": [{"name": "executor", "image": "busybox"}]}}}
    full.update(spec)
    return {"apiVersion": API, "kind": "WarmPool", "metadata": {"name": name}, "spec": full}


def pod_pool(name="p", containers=None, **pod_spec):
    spec = {"containers": containers if containers is not None else [{"name": "executor", "image": "busybox"}]}
    spec.update(pod_spec)
    return pool(name, template={"spec": spec})


def sandbox(name="s", **spec):
    return {"apiVersion": API, "kind": "Sandbox", "metadata": {"name": name}, "spec": dict({"poolRef": "p"}, **spec)}


def command(*argv, **more):
    return dict({"name": "run", "type": "Command", "command": list(argv) or ["true"]}, **more)


def task(name="t", **spec):
    full = {"sandboxRef": "s", "steps": [command()]}
    full.update(spec)
    return {"apiVersion": API, "kind": "Task", "metadata": {"name": name}, "spec": full}


def without(obj, *path):
    """A copy without the field at the end of the path."""
    out = copy.deepcopy(obj)
    node = out
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    return out


def client_pool(testbed=False):
    """What WarmPoolManager.create_warmpool() of the Python client sends."""
    mounts = [{"name": "workspace", "mountPath": "/workspace"}]
    volumes = [{"name": "workspace", "emptyDir": {}}]
    if testbed:
        mounts.append({"name": "testbed", "mountPath": "/testbed"})
        volumes.append({"name": "testbed", "emptyDir": {}})
    out = pod_pool("python-39-std", volumes=volumes, containers=[
        {"name": "executor", "image": "python:3.9-slim", "command": ["/bin/sh", "-c", "sleep infinity"], "volumeMounts": mounts},
        {"name": "sidecar", "image": "your-registry/arl-sidecar:latest", "imagePullPolicy": "Always", "volumeMounts": mounts,
         "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"},
                   {"name": "grpc", "containerPort": 9090, "protocol": "TCP"}]}])
    out["spec"]["replicas"] = 2
    return out


def containers(n, *more):
    return [{"name": f"c{i}", "image": "busybox"} for i in range(n)] + list(more)


SIDECAR = {"name": "sidecar"}
STEP = "spec.steps[0]"
TEMPLATE = "spec.template.spec"

# (name, object): these are accepted without a warning.
ACCEPTED = [
    ("pool of the client", client_pool()),
    ("pool of the client with a testbed", client_pool(testbed=True)),
    ("pool as kubectl users write it", pod_pool("python", containers=[{"name": "main", "image": "busybox"}])),
    ("pool of no pods", pool(replicas=0)),
    ("pool name of 54 characters", pool("a" * 54)),
    ("sandbox name of 63 characters", sandbox("a" * 63)),
    ("sandbox name with dots", task("a.b", sandboxRef="a.b-c")),
    ("task of as many characters as there may be",
     task(steps=[{"type": "FilePatch", "path": "p", "content": "a" * (SPEC_CHARACTERS - 193)}])),
    ("256 steps of 60 arguments and 15 variables",
     task(steps=[command(*["a" * 10] * 60, env={f"V{i}": "x" * 20 for i in range(15)})] * 256)),
    ("8 containers and a sidecar without image", pod_pool(containers=containers(8, SIDECAR))),
    ("template metadata with creationTimestamp null", pool(template={
        "metadata": {"creationTimestamp": None, "labels": {"team": "a"}, "annotations": {"note": "b"}},
        "spec": {"containers": [{"name": "executor", "image": "busybox"}]}})),
    ("quantities as numbers and texts", pod_pool(containers=[
        {"name": "executor", "image": "busybox", "resources": {
            "requests": {"cpu": 1, "memory": "64Mi"}, "limits": {"cpu": "1500m", "memory": "1e9", "example.com/gpu": 1}}}])),
    ("probe ports by number and name", pod_pool(containers=[
        {"name": "executor", "image": "busybox", "readinessProbe": {"tcpSocket": {"port": 80}},
         "livenessProbe": {"httpGet": {"port": "http"}}}])),
    ("sandbox of the client", sandbox("session-1700000000", keepAlive=False, idleTimeoutSeconds=None)),
    ("sandbox of the client, keep_alive", sandbox("session-1700000001", keepAlive=True, idleTimeoutSeconds=1800)),
    ("sandbox with every field", sandbox(keepAlive=True, idleTimeoutSeconds=0, maxLifetimeSeconds=3600, resources={
        "requests": {"cpu": "500m"}, "limits": {"cpu": 1, "memory": "1Gi"}})),
    ("replicas of a sandbox as the API server fills them in", sandbox(replicas=1)),
    ("sandbox of a pool that does not exist", sandbox(poolRef="no.such.pool")),
    ("task of the client", task("session-1700000000-task-1700000000123", traceID="0d3c")),
    ("step of each type with every field", task(steps=[
        command("sh", "-c", "echo", env={"A": "", "B": "x=y"}, workDir="sub", container="executor"),
        {"name": "w", "type": "FilePatch", "path": "/workspace/a", "content": "", "workDir": "/", "container": "executor"}])),
    ("nulls for what is not given", task(traceID=None, timeout=None, retries=None, ttlSecondsAfterFinished=None, steps=[
        command(env=None, workDir=None, path=None, content=None, container=None)])),
    ("numbers as quantities", pod_pool(containers=[{"name": "a", "image": "x", "resources": {"limits": {"cpu": 0.5, "memory": 1e9}}}])),
    ("nulls in a template", pool(template={"metadata": {"creationTimestamp": None, "labels": None}, "spec": {
        "nodeSelector": None, "containers": [{"name": "a", "image": "x", "command": None, "env": None, "ports": None}]}})),
    ("two variables of one name", pod_pool(containers=[{"name": "a", "image": "x", "env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}])),
    ("one port twice", pod_pool(containers=[{"name": "a", "image": "x", "ports": [{"containerPort": 80}, {"containerPort": 80, "name": "web"}]}])),
    ("args of the sidecar", pod_pool(containers=[{"name": "a", "image": "x"}, {"name": "sidecar", "image": "x", "args": ["a"]}])),
    ("FilePatch without path", task(steps=[{"name": "w", "type": "FilePatch", "content": "x"}])),
    ("FilePatch with .. in its path", task(steps=[{"name": "w", "type": "FilePatch", "path": "../../etc/passwd", "content": "x"}])),
    ("FilePatch with mode and encoding", task(steps=[
        {"name": "w", "type": "FilePatch", "path": "a", "content": "YQ==", "encoding": "base64", "mode": "0755"}])),
    ("FilePatch with a patch", task(steps=[{"name": "w", "type": "FilePatch", "path": "a", "patch": "@@ -1 +1 @@\n-a\n+b\n", "mode": "600"}])),
    ("FilePatch with an empty command", task(steps=[{"name": "w", "type": "FilePatch", "path": "a", "content": "x", "command": []}])),
    ("step without name", task(steps=[{"type": "Command", "command": ["true"]}])),
    ("two steps of one name", task(steps=[command(), command()])),
    ("256 steps", task(steps=[command()] * 256)),
    ("retries 10", task(retries=10)),
    ("ttlSecondsAfterFinished 0", task(ttlSecondsAfterFinished=0)),
] + [(f"timeout {t}", task(timeout=t)) for t in ("300s", "1m30.5s", "250ms", "1h", "1ms", "1000us", "1000µs", ".5s", "2.s", "1h2m3s4ms")]

# (name, object, a text of the refusal): these are refused.
REFUSED = [
    ("negative replicas", pool(replicas=-1), "spec.replicas"),
    ("replicas missing", without(pool(), "spec", "replicas"), "spec.replicas"),
    ("replicas null", pool(replicas=None), "spec.replicas"),
    ("replicas as text", pool(replicas="two"), "spec.replicas"),
    ("replicas too large", pool(replicas=2 ** 31), "spec.replicas"),
    ("template missing", without(pool(), "spec", "template"), "spec.template"),
    ("template without spec", pool(template={"metadata": {"labels": {"a": "b"}}}), "spec.template.spec"),
    ("no containers", pod_pool(containers=[]), TEMPLATE + ".containers"),
    ("containers missing", pool(template={"spec": {}}), TEMPLATE + ".containers"),
    ("only a sidecar", pod_pool(containers=[SIDECAR]), TEMPLATE + ".containers needs a container other than sidecar"),
    ("9 containers, none the sidecar", pod_pool(containers=containers(9)), TEMPLATE + ".containers may have at most 8"),
    ("9 containers and the sidecar", pod_pool(containers=containers(9, SIDECAR)), TEMPLATE + ".containers"),
    ("container without image", pod_pool(containers=[{"name": "executor"}]), TEMPLATE + ".containers: image"),
    ("container without name", pod_pool(containers=[{"image": "busybox"}]), TEMPLATE + ".containers[0].name"),
    ("container name with a slash", pod_pool(containers=[{"name": "a/b", "image": "x"}]), TEMPLATE + ".containers[0].name"),
    ("two containers of one name", pod_pool(containers=[{"name": "a", "image": "x"}] * 2), TEMPLATE + ".containers[1]"),
    ("container named arl-init", pod_pool(containers=[{"name": "arl-init", "image": "x"}]), "the names arl-init and arl-workspace are reserved"),
    ("init container named arl-init", pod_pool(initContainers=[{"name": "arl-init", "image": "x"}]), TEMPLATE + ".initContainers"),
    ("init container named arl-workspace", pod_pool(initContainers=[{"name": "arl-workspace", "image": "x"}]), TEMPLATE + ".initContainers"),
    ("args without command", pod_pool(containers=[{"name": "db", "image": "x", "args": ["a"]}]),
     "container db has args without command: the ENTRYPOINT of an image does not run"),
    ("a quantity that is true", pod_pool(containers=[{"name": "a", "image": "x", "resources": {"limits": {"cpu": True}}}]), "resources.limits.cpu"),
    ("a quantity that is a list", pod_pool(containers=[{"name": "a", "image": "x", "resources": {"limits": {"cpu": ["1"]}}}]), "resources.limits.cpu"),
    ("volume named arl", pod_pool(volumes=[{"name": "arl", "emptyDir": {}}]), TEMPLATE + ".volumes"),
    ("bad quantity", pod_pool(containers=[{"name": "a", "image": "x", "resources": {"limits": {"cpu": "much"}}}]), "resources.limits.cpu"),
    ("wrong type in the pod", pod_pool(hostNetwork="yes"), TEMPLATE + ".hostNetwork"),
    ("misspelt field in the pod", pod_pool(nodeSelecter={}), "nodeSelecter"),
    ("pool name with a dot", pool("a.b"), "metadata.name must be a DNS label, without dots"),
    ("pool name of 55 characters", pool("a" * 55), "metadata.name may have at most 54"),
    ("pool without spec", without(pool(), "spec"), "spec: Required"),
    ("sandbox name of 64 characters", sandbox("a" * 64), "metadata.name may have at most 63"),
    ("poolRef that is no name", sandbox(poolRef="A_b"), "spec.poolRef"),
    ("sandboxRef that is no name", task(sandboxRef="../x"), "spec.sandboxRef"),
    ("sandboxRef that no sandbox can have", task(sandboxRef="a" * 64), "spec.sandboxRef"),
    ("container that is no name", task(steps=[command(container="A/b")]), "container"),
    ("a character too many", task(steps=[{"type": "FilePatch", "path": "p", "content": "a" * (SPEC_CHARACTERS - 192)}]),
     "spec.steps may have at most 1441792 characters"),
    ("characters too many in all", task(steps=[{"type": "FilePatch", "path": "p", "patch": "a" * (SPEC_CHARACTERS // 2)}] * 2),
     "spec.steps may have at most 1441792 characters"),
    ("characters too many in arguments", task(steps=[command(*["a" * 1000] * 1500)]), "spec.steps may have at most 1441792 characters"),
    ("characters too many in variables", task(steps=[command(env={f"V{i}": "x" * 100000 for i in range(15)})]),
     "spec.steps may have at most 1441792 characters"),
    ("arguments too many", task(steps=[command(*["a"] * 1537)]), "spec.steps[0].command"),
    ("poolRef missing", without(sandbox(), "spec", "poolRef"), "spec.poolRef"),
    ("poolRef null", sandbox(poolRef=None), "spec.poolRef"),
    ("poolRef empty", sandbox(poolRef=""), "spec.poolRef"),
    ("a sandbox of no pod", sandbox(replicas=0), "spec.replicas is always 1"),
    ("a sandbox of two pods", sandbox(replicas=2), "spec.replicas is always 1"),
    ("keepAlive as text", sandbox(keepAlive="yes"), "spec.keepAlive"),
    ("negative idleTimeoutSeconds", sandbox(idleTimeoutSeconds=-1), "spec.idleTimeoutSeconds"),
    ("negative maxLifetimeSeconds", sandbox(maxLifetimeSeconds=-1), "spec.maxLifetimeSeconds"),
    ("bad quantity of a sandbox", sandbox(resources={"limits": {"memory": "big"}}), "spec.resources.limits.memory"),
    ("sandboxRef missing", without(task(), "spec", "sandboxRef"), "spec.sandboxRef"),
    ("sandboxRef empty", task(sandboxRef=""), "spec.sandboxRef"),
    ("steps missing", without(task(), "spec", "steps"), "spec.steps"),
    ("steps null", task(steps=None), "spec.steps"),
    ("steps empty", task(steps=[]), "spec.steps"),
    ("257 steps", task(steps=[command()] * 257), "spec.steps"),
    ("a step that is null", task(steps=[None]), STEP),
    ("unknown step type", task(steps=[{"name": "x", "type": "Shell"}]), STEP + ".type"),
    ("step type missing", task(steps=[{"name": "x", "command": ["true"]}]), STEP + ".type"),
    ("Command without command", task(steps=[{"name": "x", "type": "Command"}]), "needs a command"),
    ("Command with an empty command", task(steps=[{"name": "x", "type": "Command", "command": []}]), STEP),
    ("command as one text", task(steps=[{"name": "x", "type": "Command", "command": "echo hi"}]), STEP + ".command"),
    ("command of a number", task(steps=[command("sleep", 1)]), STEP + ".command[1]"),
    ("env of a number", task(steps=[command(env={"PORT": 80})]), STEP + ".env.PORT"),
    ("content and patch", task(steps=[{"type": "FilePatch", "path": "a", "content": "", "patch": "@@"}]), "content and patch"),
    ("an unknown encoding", task(steps=[{"type": "FilePatch", "path": "a", "encoding": "hex"}]), STEP + ".encoding"),
    ("a mode that is not octal", task(steps=[{"type": "FilePatch", "path": "a", "mode": "0888"}]), STEP + ".mode"),
    ("a mode as a number", task(steps=[{"type": "FilePatch", "path": "a", "mode": 493}]), STEP + ".mode"),
    ("content as a number", task(steps=[{"type": "FilePatch", "path": "a", "content": 1}]), STEP + ".content"),
    ("misspelt step field", task(steps=[command(workdir="/")]), "workdir"),
    ("retries 11", task(retries=11), "spec.retries"),
    ("retries -1", task(retries=-1), "spec.retries"),
    ("ttlSecondsAfterFinished -1", task(ttlSecondsAfterFinished=-1), "spec.ttlSecondsAfterFinished"),
    ("timeout as a number", task(timeout=300), "spec.timeout"),
    ("timeout 0s", task(timeout="0s"), "spec.timeout must be at least 1ms"),
    ("timeout 999us", task(timeout="999us"), "spec.timeout must be at least 1ms"),
    ("timeout beyond 292 years", task(timeout="99999999h"), "spec.timeout"),
] + [(f"timeout {t!r}", task(timeout=t), "spec.timeout must be a duration")
     for t in ("banana", "", "0", "300", "-5s", "+5s", "5 s", "s", ".s", "1d", "5s banana", "1m30")]

# Every field of each status, as the operator writes them.
TIME = "2026-01-02T03:04:05Z"


def condition(kind, status="True"):
    return {"type": kind, "status": status, "reason": "Because", "message": "", "lastTransitionTime": TIME, "observedGeneration": 1}


STATUS = {
    "wp": {"phase": "Scaling", "replicas": 3, "readyReplicas": 2, "allocatedReplicas": 1, "observedGeneration": 1,
           "selector": "arl.infra.io/pool=full,arl.infra.io/status=idle", "conditions": [condition("Ready", "False"), condition("PodsFailing")]},
    "sbx": {"phase": "Ready", "podName": "p-abc", "podUID": "u", "podIP": "10.1.2.3", "workDir": "/workspace", "lastTaskTime": TIME,
            "observedGeneration": 1, "conditions": [condition("Ready")]},
    "tsk": {"state": "Failed", "exitCode": 42, "stdout": "a\u0000\u001b\ufffd\n", "stderr": "", "duration": "1.5s", "startTime": TIME,
            "completionTime": TIME, "observedGeneration": 1, "attempt": 2,
            "steps": [{"name": "run", "exitCode": 42, "stdout": "", "stderr": "", "startTime": TIME, "duration": "2ms", "error": "e",
                       "truncated": True}],
            "attempts": [{"attempt": 1, "startTime": TIME, "completionTime": TIME, "exitCode": 1, "reason": "PodLost", "message": "m"}],
            "conditions": [condition("Finished"), condition("Succeeded", "False")]},
}
