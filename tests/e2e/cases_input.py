"""Bad input: each gets a clear message, and all other work goes on."""
from harness import ApiError, Failed, GROUP, case, command, condition, contains, equal, expect, patch, path_of, pool_object, sh, wait


def task_of(box, steps, **spec):
    return {"kind": "Task", "metadata": {"name": "bad"}, "spec": {"sandboxRef": box, "steps": steps, **spec}}


@case(shared=True)
def unknown_step_type_is_refused(t):
    box = t.box()
    t.refused(task_of(box, [{"name": "s", "type": "Teleport", "command": ["true"]}]), "spec.steps[0].type", '"Command"', '"FilePatch"')
    t.alive(box)


@case(shared=True)
def timeout_banana_is_refused(t):
    box = t.box()
    for timeout in ("banana", "abc", "10", "-5s", "0s", ""):
        t.refused(task_of(box, [sh("true")], timeout=timeout), "spec.timeout")
    t.refused(task_of(box, [sh("true")], timeout="banana"), "spec.timeout must be a duration such as")
    t.alive(box)


@case(shared=True)
def negative_numbers_are_refused(t):
    t.refused(pool_object("bad", replicas=-1), "spec.replicas", "greater than or equal to 0")
    box = t.box()
    t.refused({"kind": "Sandbox", "metadata": {"name": "bad"}, "spec": {"poolRef": "x", "idleTimeoutSeconds": -1}}, "spec.idleTimeoutSeconds")
    t.refused({"kind": "Sandbox", "metadata": {"name": "bad"}, "spec": {"poolRef": "x", "maxLifetimeSeconds": -1}}, "spec.maxLifetimeSeconds")
    t.refused(task_of(box, [sh("true")], retries=11), "spec.retries", "less than or equal to 10")
    t.refused(task_of(box, [sh("true")], ttlSecondsAfterFinished=-1), "spec.ttlSecondsAfterFinished")
    t.alive(box)


@case(shared=True)
def empty_steps_are_refused(t):
    box = t.box()
    t.refused(task_of(box, []), "spec.steps", "at least 1")
    t.refused({"kind": "Task", "metadata": {"name": "bad"}, "spec": {"sandboxRef": box}}, "spec.steps", "Required")
    t.refused(task_of(box, [{"name": "s", "type": "Command", "command": []}]), "spec.steps[0]", "command")
    t.refused(task_of(box, [{"name": "s", "type": "Command"}]), "spec.steps[0]", "command")
    for steps in (None, [None], "ls", {"type": "Command"}, [["ls"]]):
        body = {"apiVersion": "arl.infra.io/v1alpha1", **task_of(box, steps)}
        status, text = t.api.request("POST", path_of(t.ns, "Task"), body)
        expect(status in (400, 422), f"steps {steps!r}: HTTP {status}: {text[:300]}")
        contains(text, "spec.steps", what=f"the refusal of steps {steps!r}")
    t.alive(box)


@case(shared=True)
def references_are_required_and_immutable(t):
    t.refused({"kind": "Task", "metadata": {"name": "bad"}, "spec": {"steps": [sh("true")]}}, "spec.sandboxRef", "Required")
    t.refused({"kind": "Sandbox", "metadata": {"name": "bad"}, "spec": {}}, "spec.poolRef", "Required")
    t.refused({"kind": "WarmPool", "metadata": {"name": "bad"}, "spec": {"replicas": 1}}, "spec.template", "Required")
    box = t.box()
    said = t.kubectl("patch", "sbx", box, "--type=merge", "-p", '{"spec":{"poolRef":"other"}}', fails=True)
    contains(said, "spec.poolRef", "immutable", what="the refusal")
    t.alive(box)


@case(shared=True)
def pool_names_are_dns_labels(t):
    t.refused(pool_object("python.3.12"), "metadata.name", "without dots")
    t.refused(pool_object("p" * 64), "metadata.name")
    t.refused(pool_object("Upper"), "metadata.name")


@case(shared=True, slow=True)
def sandbox_of_an_unknown_pool_fails_and_names_it(t):
    box = t.box()
    bad = t.sandbox(pool="no-such-pool")
    t.alive(box)
    status = t.phase(bad, "Failed", limit=40)
    first = status["conditions"][0]
    equal((first["type"], first["status"], first["reason"]), ("Ready", "False", "PoolNotFound"), "conditions[0]")
    contains(first["message"], "no-such-pool", what="the message")
    expect(not status.get("podName"), f"it has a pod: {status}")
    said = t.run(bad, sh("true"))
    equal((said["state"], condition({"status": said}, "Finished")["reason"]), ("Failed", "SandboxFailed"), "a task of it")
    contains(condition({"status": said}, "Finished")["message"], "no-such-pool", what="the task's message")
    t.alive(box)


@case(shared=True, slow=True)
def task_of_an_unknown_sandbox_fails_and_names_it(t):
    box = t.box()
    bad = t.task("no-such-sandbox", sh("true"))
    t.alive(box)
    s = t.finished(bad, limit=40)
    equal((s["state"], s["stderr"].rstrip("\n")), ("Failed", "sandbox no-such-sandbox not found"), "state and stderr")
    expect(s.get("exitCode", 0) != 0, f"exitCode {s.get('exitCode')}")
    equal(condition({"status": s}, "Finished")["reason"], "SandboxNotFound", "the reason")


@case(shared=True)
def file_patch_without_a_path_fails_when_it_runs(t):
    box = t.box()
    s = t.run(box, {"name": "no-path", "type": "FilePatch", "content": "x"}, sh("echo never", name="after"))
    equal((s["state"], s["exitCode"]), ("Failed", 1), "state and exit code")
    equal(s["stderr"], "FilePatch step requires 'path' field\n", "stderr")
    equal([r["name"] for r in s["steps"]], ["no-path"], "the steps that ran")
    s = t.run(box, {"name": "empty-path", "type": "FilePatch", "path": "", "content": "x"})
    equal((s["state"], s["exitCode"], s["stderr"]), ("Failed", 1, "FilePatch step requires 'path' field\n"), "with an empty path")
    t.alive(box)


@case(shared=True)
def file_patch_with_dot_dot_is_refused(t):
    box = t.box()
    for path in ("../escaped", "/workspace/../escaped", "/workspace/a/../../escaped", "a/..", ".."):
        s = t.run(box, patch(path, "x"))
        equal((s["state"], s["exitCode"], s.get("stdout", "")), ("Failed", 1, ""), f"state, exit code, stdout for {path}")
        contains(s["stderr"], "..", path, what="stderr")
    equal(t.out(box, sh("ls -d /escaped /workspace/escaped 2>/dev/null; echo none")), "none\n", "what was written")
    equal(t.out(box, patch("/workspace/a..b", "dots"), sh("cat /workspace/a..b")), "File created: /workspace/a..b\ndots",
          "a name with two dots in it is fine")


@case(shared=True)
def no_such_command_is_127_and_not_executable_126(t):
    box = t.box()
    s = t.run(box, command("nosuchprogram", "--help"))
    equal((s["state"], s["exitCode"]), ("Failed", 127), "state and exit code")
    contains(s["stderr"], "nosuchprogram", "not found", what="stderr")
    equal(s["steps"][0]["exitCode"], 127, "the step's exit code")
    s = t.run(box, command("/no/such/program"))
    equal((s["state"], s["exitCode"]), ("Failed", 127), "an absolute path: state and exit code")
    contains(s["stderr"], "/no/such/program", what="stderr")
    s = t.run(box, patch("/workspace/plain", "just text"), command("/workspace/plain", name="run"))
    equal((s["state"], s["exitCode"]), ("Failed", 126), "not executable: state and exit code")
    contains(s["stderr"], "/workspace/plain", what="stderr")
    equal([r["exitCode"] for r in s["steps"]], [0, 126], "the steps' exit codes")
    s = t.run(box, command("/workspace"))
    equal((s["state"], s["exitCode"]), ("Failed", 126), "a folder: state and exit code")
    t.alive(box)


@case(shared=True)
def unknown_container_and_work_dir_are_failed_steps(t):
    box = t.box()
    s = t.run(box, sh("true", container="nosuch"))
    equal(s["state"], "Failed", "state")
    contains(s["stderr"], "nosuch", "executor", what="stderr, which lists the containers")
    s = t.run(box, sh("true", container="sidecar"))
    equal(s["state"], "Failed", "a step in the sidecar")
    contains(s["stderr"], "sidecar", "executor", what="stderr")
    s = t.run(box, sh("echo ran", workDir="/no/such/folder"))
    equal((s["state"], s.get("stdout", "")), ("Failed", ""), "state and stdout with a missing workDir")
    expect(s["exitCode"] != 0, "exit code 0")
    contains(s["stderr"], "/no/such/folder", what="stderr")
    t.alive(box)


@case(shared=True)
def one_bad_object_fails_alone(t):
    """Good tasks run on beside objects that are bad in each way that the API server accepts."""
    box = t.box()
    bad = [t.task(box, {"name": "p", "type": "FilePatch", "content": "x"}), t.task("nobody", sh("true")),
           t.task(box, command("nosuch")), t.task(box, sh("true", workDir="/none")),
           t.task(box, patch("/workspace/big", "x" * 900_000)), t.task(box, command("echo", "y" * 200_000))]
    good = [t.task(box, sh(f"echo {i}")) for i in range(5)]
    for i, name in enumerate(good):
        s = t.finished(name)
        equal((s["state"], s["stdout"]), ("Succeeded", f"{i}\n"), f"good task {i}")
    states = [t.finished(name)["state"] for name in bad if name != bad[1]]
    equal(states[:3], ["Failed"] * 3, "the bad ones")
    expect(len(states) == 5, f"all have ended: {states}")


@case(shared=True)
def huge_objects_are_refused_and_nothing_else_suffers(t):
    box = t.box()
    steps = [patch(f"/workspace/f{i}", "x" * 700_000) for i in range(4)]
    status, text = t.api.request("POST", path_of(t.ns, "Task"), {"apiVersion": "arl.infra.io/v1alpha1", **task_of(box, steps)})
    expect(status >= 400, f"HTTP {status}")
    contains(text, "spec.steps may have at most 1441792 characters", what="the refusal")
    t.alive(box)


@case(shared=True)
def bad_pod_templates_are_refused_by_field(t):
    def refused(spec, *texts):
        t.refused(pool_object("bad", spec=spec), *texts)
    refused({"containers": []}, "spec.template.spec.containers")
    refused({"containers": [{"name": "executor"}]}, "image")
    refused({"containers": [{"name": "sidecar", "image": "x"}]}, "container other than sidecar")
    refused({"containers": [{"name": "executor", "image": "x", "imagePullPolicy": "Sometimes", "colour": "red"}]}, "colour")


@case()
def templates_that_reach_for_the_host_make_no_pod(t):
    """The pool's condition says why no pod is made, and a good pool beside it is not disturbed."""
    t.pool("good")
    spec = {"hostNetwork": True, "containers": [{"name": "executor", "image": "localhost/arl-test/busybox:1"}]}
    t.pool("bad", spec=spec, ready=False)

    def failing():
        c = condition(t.get("WarmPool", "bad"), "PodsFailing")
        if c.get("status") != "True":
            raise Failed(str(c))
        return c
    c = wait("the condition PodsFailing of the pool", failing, 30)
    contains(c["message"], "hostNetwork", what="the message")
    equal(t.pods(pool="bad"), [], "its pods")
    t.alive(t.box("good"))


@case(shared=True)
def unknown_kinds_of_fields_are_pointed_out_by_kubectl(t):
    t.refused({"kind": "Task", "metadata": {"name": "bad"}, "spec": {"sandboxRef": "x", "steps": [sh("true")], "timeoutt": "5s"}}, "timeoutt")
    try:
        t.api.call("POST", f"{GROUP}/namespaces/{t.ns}/tasks", {"kind": "Task", "apiVersion": "arl.infra.io/v1alpha1",
                                                               "metadata": {"name": "Bad Name"}, "spec": {"sandboxRef": "x", "steps": [sh("true")]}})
    except ApiError as e:
        contains(e.message, "metadata.name", what="the refusal")
    else:
        raise Failed("a task with a bad name was taken")
