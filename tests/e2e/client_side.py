"""Programs as users of arl-env write them, with checks. Runs in a venv: client_side.py FUNCTION, with the namespace in E2E_NAMESPACE."""
import os
import sys
import threading
import time
import uuid
import warnings

from arl import SandboxSession, WarmPoolManager
from kubernetes import client

NS = os.environ["E2E_NAMESPACE"]
PLACEHOLDER = "your-registry/arl-sidecar:latest"
LIMIT_S = 120


def equal(got, want, what):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def expect(holds, text):
    if not holds:
        sys.exit(text)


def wait(what, look, limit=LIMIT_S):
    end = time.monotonic() + limit
    while not look():
        expect(time.monotonic() < end, f"waited {limit} s for {what}")
        time.sleep(0.2)


def session(pool="pool", **more):
    return SandboxSession(pool_ref=pool, namespace=NS, timeout=LIMIT_S, **more)


def cmd(*argv, name="step", **more):
    return {"name": name, "type": "Command", "command": list(argv), **more}


def sh(script, **more):
    return cmd("sh", "-c", script, **more)


def patch(path, content, name="write"):
    return {"name": name, "type": "FilePatch", "path": path, "content": content}


def ok(result, stdout, what):
    s = result["status"]
    equal((s["state"], s["exitCode"], s["stdout"]), ("Succeeded", 0, stdout), what)


def sandbox_of(s):
    return s.custom_api.get_namespaced_custom_object("arl.infra.io", "v1alpha1", NS, "sandboxes", s.sandbox_name)


def make_pool(name, **more):
    manager = WarmPoolManager(namespace=NS, timeout=LIMIT_S)
    manager.create_warmpool(name=name, image=os.environ["E2E_IMAGE"], sidecar_image=PLACEHOLDER, **more)
    manager.wait_for_warmpool_ready(name)
    return manager


def basics():
    """Pool, session, commands, files and removal: the parts that all versions 0.1.x have."""
    manager = make_pool("basics", replicas=1)
    with session("basics") as s:
        ok(s.execute([cmd("echo", "Hello, World!", name="hello")]), "Hello, World!\n", "hello")
        result = s.execute([patch("/workspace/config.yaml", "key: value"), cmd("cat", "/workspace/config.yaml")])
        ok(result, "File created: /workspace/config.yaml\nkey: value", "a file")
        result = s.execute([sh("echo out; echo err >&2; exit 42")], trace_id=str(uuid.uuid4()))
        status = result["status"]
        equal((status["state"], status["exitCode"], status["stdout"], status["stderr"]), ("Failed", 42, "out\n", "err\n"), "exit 42")
        name = s.sandbox_name
    expect(s.sandbox_name is None and name.startswith("session-"), f"the session's names: {name}, {s.sandbox_name}")
    manager.delete_warmpool("basics")
    try:
        manager.get_warmpool("basics")
    except client.ApiException as e:
        equal(e.status, 404, "the pool after its removal")
    else:
        sys.exit("the pool is still there")


def quick_start():
    """Quick Start, Basic Usage and WarmPool Management of the seed text (tests/python/seed-text.md), written for 0.1.x."""
    manager = WarmPoolManager(namespace=NS)
    manager.create_warmpool(name="python-39-std", image=os.environ["E2E_IMAGE"], sidecar_image=PLACEHOLDER, replicas=2)
    manager.wait_for_warmpool_ready("python-39-std")
    with SandboxSession(pool_ref="python-39-std", namespace=NS) as s:
        result = s.execute([{"name": "hello", "type": "Command", "command": ["echo", "Hello, World!"]}])
        status = result["status"]
        equal((status.get("state"), status.get("stdout")), ("Succeeded", "Hello, World!\n"), "state and stdout")
        result = s.execute([
            {"name": "create_config", "type": "FilePatch", "path": "/workspace/config.yaml", "content": "key: value"},
            {"name": "script", "type": "FilePatch", "path": "/workspace/script.py", "content": "import os; print(os.environ['DEBUG'], open('config.yaml').read())"},
            {"name": "run_script", "type": "Command", "command": ["python3", "script.py"], "env": {"DEBUG": "1"}, "workDir": "/workspace"}])
        equal(result["status"]["steps"][2]["stdout"], "1 key: value\n", "the script's output")
    pools = s.custom_api.list_namespaced_custom_object("arl.infra.io", "v1alpha1", NS, "warmpools")["items"]
    wait("the pool's phase to be Ready", lambda: manager.get_warmpool("python-39-std")["status"]["phase"] == "Ready")
    equal([p["metadata"]["name"] for p in pools], ["python-39-std"], "the list of pools")
    expect(all(p["status"]["phase"] in ("Ready", "Scaling", "Pending") for p in pools), f"phases: {pools}")
    manager.delete_warmpool("python-39-std")


def manual_lifecycle():
    s = session(keep_alive=True)
    try:
        s.create_sandbox()
        equal(sandbox_of(s)["status"]["phase"], "Ready", "the phase")
        equal(sandbox_of(s)["spec"]["idleTimeoutSeconds"], 1800, "the idle timeout that the client chooses")
        ok(s.execute([cmd("mkdir", "-p", "/workspace", name="init")]), "", "init")
        ok(s.execute([cmd("ls", "/workspace", name="work")]), "", "an empty workspace")
        ok(s.execute([sh("echo 1 > /workspace/f")]), "", "write")
        ok(s.execute([cmd("ls", "/workspace")]), "f\n", "the same sandbox again")
        name = s.sandbox_name
    finally:
        s.delete_sandbox()
    s.delete_sandbox()      # may be called twice
    api = s.custom_api
    try:
        api.get_namespaced_custom_object("arl.infra.io", "v1alpha1", NS, "sandboxes", name)
    except client.ApiException as e:
        equal(e.status, 404, "the sandbox after delete_sandbox()")
    else:
        sys.exit("the sandbox is still there after delete_sandbox()")


def file_cat_count():
    with session() as s:
        content = "alpha\nbeta\ngamma\n"
        result = s.execute([patch("/workspace/data.txt", content), cmd("cat", "/workspace/data.txt"), cmd("wc", "-l", "/workspace/data.txt")])
        ok(result, f"File created: /workspace/data.txt\n{content}3 /workspace/data.txt\n", "stdout")
        equal([r["exitCode"] for r in result["status"]["steps"]], [0, 0, 0], "exit codes")


def python_script():
    with session() as s:
        script = "import json\nprint(json.dumps({'sum': sum(range(10)), 'text': 'ä'}, ensure_ascii=False))\n"
        result = s.execute([patch("/workspace/main.py", script), cmd("python3", "/workspace/main.py", name="run", env={"PYTHONIOENCODING": "utf-8"})])
        equal(result["status"]["steps"][1]["stdout"], '{"sum": 45, "text": "ä"}\n', "the script's output")


def env_and_work_dir():
    with session() as s:
        result = s.execute([sh("echo $A-$B", env={"A": "1", "B": "2"}), sh("echo ${A-unset}", env={"B": "3"}), sh("echo ${B-unset}")])
        ok(result, "1-2\nunset\nunset\n", "env per step")
        result = s.execute([cmd("mkdir", "-p", "/workspace/sub"), cmd("pwd", workDir="/workspace/sub"), cmd("pwd", workDir="/tmp"), cmd("pwd")])
        ok(result, "/workspace/sub\n/tmp\n/workspace\n", "workDir per step")


def exit_codes():
    with session() as s:
        status = s.execute([sh("exit 42")])["status"]
        equal((status["state"], status["exitCode"]), ("Failed", 42), "exit 42")
        status = s.execute([cmd("this-command-does-not-exist")])["status"]
        equal((status["state"], status["exitCode"]), ("Failed", 127), "no such command")
        expect("this-command-does-not-exist" in status["stderr"] and "not found" in status["stderr"], f"stderr {status['stderr']!r}")
        ok(s.execute([cmd("echo", "still fine")]), "still fine\n", "after both")


def third_step_not_run():
    with session() as s:
        result = s.execute([sh("echo one", name="first"), sh("exit 3", name="second"), sh("touch /workspace/third", name="third")])
        status = result["status"]
        equal((status["state"], status["exitCode"], status["stdout"]), ("Failed", 3, "one\n"), "state, exit code, stdout")
        equal([r["name"] for r in status["steps"]], ["first", "second"], "the steps that ran")
        ok(s.execute([cmd("ls", "/workspace")]), "", "what the third step would have left")


def three_executes():
    with session(keep_alive=False) as s:
        uid = sandbox_of(s)["status"]["podName"]
        ok(s.execute([cmd("echo", "first")]), "first\n", "the first")
        equal(s.execute([sh("exit 9")])["status"]["exitCode"], 9, "the second")
        ok(s.execute([cmd("echo", "third")]), "third\n", "the third")
        equal(sandbox_of(s)["status"]["podName"], uid, "the pod")


def five_lines():
    with session() as s:
        began = time.monotonic()
        result = s.execute([sh("for i in 1 2 3 4 5; do echo line $i; sleep 1; done")])
        ok(result, "".join(f"line {i}\n" for i in range(1, 6)), "five lines")
        expect(time.monotonic() - began >= 5, "it came back before its time")
        expect(result["status"]["startTime"] and result["status"]["completionTime"], "times")


def four_tasks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with session(keep_alive=True) as s:
            ok(s.execute([patch("/workspace/n", "1")]), "File created: /workspace/n\n", "task 1")
            for i in (2, 3):
                ok(s.execute([sh(f"echo $(( $(cat n) + 1 )) > n.new && mv n.new n && cat n", workDir="/workspace")]), f"{i}\n", f"task {i}")
            ok(s.execute([sh("cat /workspace/n; ls /workspace")]), "3\nn\n", "task 4")
    equal(sandbox_of(s)["status"]["phase"], "Ready", "the sandbox after the with block")
    s.delete_sandbox()


def callbacks():
    seen = []
    with session() as s:
        for event in ("on_task_complete", "on_task_success", "on_task_failure"):
            s.register_callback(event, lambda result, event=event: seen.append((event, result["status"]["state"], result["status"]["stdout"])))
        s.execute([cmd("echo", "good")])
        s.execute([sh("echo bad; exit 1")])
        equal(seen, [("on_task_complete", "Succeeded", "good\n"), ("on_task_success", "Succeeded", "good\n"),
                     ("on_task_complete", "Failed", "bad\n"), ("on_task_failure", "Failed", "bad\n")], "the callbacks")
        result = s.execute_with_callback([patch("/workspace/check.sh", "echo checked\nexit 4\n")], callback_script="/workspace/check.sh")
        status = result["callback_result"]["status"]
        equal((status["state"], status["exitCode"], status["stdout"]), ("Failed", 4, "checked\n"), "the callback script")


def shell():
    """pods/exec on the container executor."""
    with session() as s:
        ok(s.execute([patch("/workspace/seen", "by both\n")]), "File created: /workspace/seen\n", "a file")
        interactive = s.create_interactive_shell()
        expect(interactive.is_open(), "the shell is not open")
        text = []

        def says(wanted):
            text.append(interactive.read_output_sync(timeout=0.5))
            return wanted in "".join(text)
        interactive.send_input_sync("cat /workspace/seen; echo sum=$((40+2))\n")
        wait("the shell's answer", lambda: says("sum=42"), 30)
        expect("by both\n" in "".join(text), f"the shell said {text!r}")
        interactive.send_input_sync("echo from-shell > /workspace/from-shell; echo written=$?\n")
        wait("the shell's second answer", lambda: says("written=0"), 30)
        ok(s.execute([cmd("cat", "/workspace/from-shell")]), "from-shell\n", "what the shell wrote")
        interactive.close_sync()


def pool_status():
    s = session()
    before = s.get_pool_status()
    equal(before, {"total": 2, "ready_idle": 2, "allocated": 0, "available": 2}, "before")
    with s:
        wait("one allocated pod", lambda: s.get_pool_status()["allocated"] == 1, 30)
        wait("the pool to be full again", lambda: s.get_pool_status() == {"total": 2, "ready_idle": 2, "allocated": 1, "available": 2})
    wait("no allocated pod", lambda: s.get_pool_status() == before)
    try:
        session("nowhere").get_pool_status()
    except ValueError as e:
        equal(str(e), f"WarmPool 'nowhere' not found in namespace '{NS}'", "the status of a pool that is not there")
    else:
        sys.exit("a pool that is not there has a status")


def idle_timeouts():
    s = session(keep_alive=True, idle_timeout_seconds=12)
    s.create_sandbox()
    name = s.sandbox_name
    for i in range(4):
        ok(s.execute([sh(f"sleep 4; echo {i}")]), f"{i}\n", "a task")
    equal(sandbox_of(s)["metadata"]["name"], name, "the sandbox, 16 s later")

    def gone():
        try:
            sandbox_of(s)
        except client.ApiException as e:
            equal(e.status, 404, "HTTP status")
            return True
        return False
    wait("the idle sandbox to be deleted", gone, 30)
    s.delete_sandbox()      # 404 is no error


def two_sessions():
    """arl-env makes names from the time in whole seconds, so the second session begins in another second."""
    first, second = session(), session()
    results = {}
    with first:
        made = time.time()
        wait("the next second", lambda: int(time.time()) > int(made), 5)
        with second:
            expect(first.sandbox_name != second.sandbox_name, "two sessions of one name")

            def work(key, s):
                results[key] = s.execute([sh(f"sleep 2; echo {key} > /workspace/who; cat /workspace/who; ls /workspace")])
            threads = [threading.Thread(target=work, args=x) for x in (("first", first), ("second", second))]
            for t in threads:
                t.start()
            for t in threads:
                t.join(LIMIT_S)
            ok(results["first"], "first\nwho\n", "the first")
            ok(results["second"], "second\nwho\n", "the second")
            begun = [results[k]["status"]["startTime"] for k in ("first", "second")]
            ended = [results[k]["status"]["completionTime"] for k in ("first", "second")]
            expect(max(begun) < min(ended), f"they did not run side by side: {begun} {ended}")


def bad_input():
    with session() as s:
        for steps, field in (([{"name": "x", "type": "Teleport"}], "spec.steps[0].type"), ([], "spec.steps"), (None, "spec.steps")):
            try:
                s.execute(steps)
            except client.ApiException as e:
                expect(e.status in (400, 422) and field in e.body, f"{steps}: {e.status} {e.body}")
            else:
                sys.exit(f"{steps} was taken")
        status = s.execute([{"name": "x", "type": "FilePatch", "content": "no path"}])["status"]
        equal((status["state"], status["exitCode"], status["stderr"]), ("Failed", 1, "FilePatch step requires 'path' field\n"), "no path")
        ok(s.execute([cmd("echo", "fine")]), "fine\n", "after all")
    try:
        session("nowhere").create_sandbox()
    except ValueError as e:
        expect("'nowhere' not found" in str(e) and "Available pools: pool" in str(e), f"unknown pool: {e}")
    else:
        sys.exit("a session of an unknown pool was made")


def testbed():
    make_pool("swe", replicas=1, testbed_path="/testbed", workspace_path="/work", command=["/bin/sh", "-c", "touch /testbed/began; sleep infinity"])
    with session("swe") as s:
        equal(sandbox_of(s)["status"]["workDir"], "/work", "status.workDir")
        ok(s.execute([cmd("pwd"), patch("/testbed/f", "x"), cmd("ls", "/testbed")]), "/work\nFile created: /testbed/f\nbegan\nf\n", "both volumes")


def failed_sandbox():
    """The pod of a session is deleted. When the client waits for the sandbox again, its error says why the sandbox failed."""
    s = session()
    s.create_sandbox()
    pod = sandbox_of(s)["status"]["podName"]
    client.CoreV1Api().delete_namespaced_pod(pod, NS)
    wait("the sandbox to be Failed", lambda: sandbox_of(s)["status"]["phase"] == "Failed", 60)
    try:
        s._wait_for_sandbox_ready()
    except RuntimeError as e:
        expect(f"Sandbox failed to start: pod {pod}" in str(e), f"the error: {e}")
        print(e)
    else:
        sys.exit("a failed sandbox counts as ready")
    s.delete_sandbox()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
