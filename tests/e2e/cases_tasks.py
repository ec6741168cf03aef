"""What a Task means: exit codes, order, limits of time, attempts, conditions."""
import os
import re

from harness import IMAGES, ROOT, case, command, condition, contains, equal, expect, patch, seconds, sh, wait


def finished(status):
    return condition({"status": status}, "Finished")


@case(shared=True)
def echo_and_printf_come_back_exactly(t):
    box = t.box()
    equal(t.out(box, command("echo", "Hello, World!")), "Hello, World!\n", "echo")
    equal(t.out(box, command("printf", "abc")), "abc", "printf without a newline")
    equal(t.out(box, command("true")), "", "no output")
    equal(t.out(box, command("echo", "$HOME *", "`id`", "a  b")), "$HOME * `id` a  b\n", "no shell looks at arguments")


@case(shared=True)
def outputs_of_steps_are_joined_by_a_newline_only_where_there_is_none(t):
    s = t.run(t.box(), command("printf", "abc", name="a"), command("printf", "def\n", name="b"), command("printf", "ghi", name="c"))
    equal(s["stdout"], "abc\ndef\nghi", "the joined stdout")
    equal([r["stdout"] for r in s["steps"]], ["abc", "def\n", "ghi"], "stdout of each step")
    s = t.run(t.box(), sh("printf one >&2"), command("true"), sh("printf two >&2"))
    equal((s.get("stdout", ""), s["stderr"]), ("", "one\ntwo"), "stdout and the joined stderr")


@case(shared=True)
def exit_code_stops_the_rest(t):
    box = t.box()
    s = t.run(box, sh("echo one", name="first"), sh("echo two; echo oops >&2; exit 42", name="second"),
              sh("touch /workspace/third", name="third"))
    equal((s["state"], s["exitCode"], s["stdout"], s["stderr"]), ("Failed", 42, "one\ntwo\n", "oops\n"), "state, exit code, outputs")
    equal([(r["name"], r["exitCode"]) for r in s["steps"]], [("first", 0), ("second", 42)], "the steps")
    equal((finished(s)["status"], finished(s)["reason"]), ("True", "StepFailed"), "the condition Finished")
    equal(condition({"status": s}, "Succeeded")["status"], "False", "the condition Succeeded")
    equal(t.out(box, sh("ls /workspace | wc -l")), "0\n", "files of the third step")
    for code in (1, 2, 123, 255):
        equal(t.run(box, sh(f"exit {code}"))["exitCode"], code, "exit code")


@case(shared=True)
def success_writes_every_field(t):
    box = t.box()
    name = t.task(box, sh("sleep 1; echo done"), name=t.unique("full"), traceID="trace-4711")
    t.kubectl("wait", "--for=condition=Finished", f"task/{name}", "--timeout=60s")
    t.kubectl("wait", "--for=condition=Succeeded", f"task/{name}", "--timeout=10s")
    s = t.get("Task", name)["status"]
    equal((s["state"], s["exitCode"], s["stdout"]), ("Succeeded", 0, "done\n"), "state, exit code, stdout")
    equal((finished(s)["status"], finished(s)["reason"]), ("True", "Completed"), "the condition Finished")
    equal(condition({"status": s}, "Succeeded")["status"], "True", "the condition Succeeded")
    expect(s["startTime"] <= s["completionTime"], f"{s['startTime']} .. {s['completionTime']}")
    step = s["steps"][0]
    expect(step["startTime"] and not step.get("truncated"), f"the step: {step}")
    for duration in (s["duration"], step["duration"]):
        expect(1.0 <= seconds(duration) < 30, f"a second took {duration}")
    columns = t.kubectl("get", "tsk", name).splitlines()
    equal(columns[0].split(), ["NAME", "SANDBOX", "STATE", "EXIT", "DURATION", "AGE"], "the columns")
    equal(columns[1].split()[2:4], ["Succeeded", "0"], "state and exit code there")
    log = t.kubectl("logs", t.pod_of(box)["metadata"]["name"], "-c", "sidecar")
    contains(log, "trace-4711", name, what="the sidecar's log, which carries the traceID,")


@case(shared=True)
def killed_by_a_signal_is_128_plus_n(t):
    box = t.box()
    for number, name in ((9, "KILL"), (15, "TERM"), (11, "SEGV")):
        s = t.run(box, sh(f"echo before; kill -{name} $$; sleep 30"))
        equal((s["state"], s["exitCode"], s["stdout"]), ("Failed", 128 + number, "before\n"), f"state, exit code, stdout for SIG{name}")
        contains(s["stderr"], "killed", str(number), what="stderr")
    t.alive(box)


@case(shared=True)
def time_limit_kills_the_whole_tree(t):
    box = t.box()
    s = t.run(box, sh("setsid sleep 7001 & sleep 7002 & (sleep 7003 &) ; echo started; sleep 7004", name="slow"),
              sh("touch /workspace/after"), timeout="4500ms")
    equal((s["state"], s["exitCode"], s["stdout"]), ("Failed", 124, "started\n"), "state, exit code, stdout")
    contains(s["stderr"], "timed out", "4.5s", what="stderr")
    expect(4.5 <= seconds(s["steps"][0]["duration"]) < 30, f"duration {s['steps'][0]['duration']}")
    equal([r["name"] for r in s["steps"]], ["slow"], "the steps that ran")
    equal(t.out(box, sh("ps | grep -c '[s]leep 700' || true")), "0\n", "processes that are left of it")
    equal(t.out(box, sh("ls /workspace")), "", "files of the step after it")


@case(shared=True)
def time_limit_is_exact_and_for_each_step(t):
    box = t.box()
    s = t.run(box, command("sleep", "20"), timeout="250ms")
    equal(s["exitCode"], 124, "exit code")
    expect(0.25 <= seconds(s["duration"]) < 10, f"duration {s['duration']}")
    s = t.run(box, command("sleep", "3"), command("sleep", "3"), command("sleep", "3"), timeout="8500ms")
    equal((s["state"], s["exitCode"], len(s["steps"])), ("Succeeded", 0, 3), "three steps below the limit each")
    expect(seconds(s["duration"]) >= 9, f"duration {s['duration']}")
    s = t.run(box, sh("trap '' TERM INT HUP; echo deaf; while :; do sleep 1; done"), timeout="4s")
    equal((s["exitCode"], s["stdout"]), (124, "deaf\n"), "one that ignores signals")


@case(shared=True, slow=True)
def a_long_task_is_limited_by_spec_timeout_only(t):
    """An old defect: a limit of 30 s for requests ended tasks before spec.timeout."""
    s = t.run(t.box(), sh("sleep 33; echo late"), timeout="90s", limit=90)
    equal((s["state"], s["exitCode"], s["stdout"], s.get("stderr", "")), ("Succeeded", 0, "late\n", ""), "a task of 33 s")
    expect(seconds(s["duration"]) >= 33, f"duration {s['duration']}")


@case(shared=True)
def env_is_on_top_of_the_container_and_for_one_step_only(t):
    box = t.box()
    s = t.run(box, sh('echo "$A $IMAGE_ENV $HOME $PATH"', env={"A": "one two=3 'q'"}), sh('echo "${A-unset}"'),
              sh('echo "$IMAGE_ENV|$HOME"', env={"IMAGE_ENV": "mine", "HOME": ""}))
    equal([r["stdout"] for r in s["steps"]], ["one two=3 'q' busybox /root /bin:/usr/bin\n", "unset\n", "mine|\n"], "the outputs")
    equal(t.out(box, command("env", env={"X": "ä\nb"})).count("X=ä\nb\n"), 1, "a value with a newline")
    leaked = t.out(box, sh("env | grep -i '^ARL_' || true"))
    equal(leaked, "", "variables of the sidecar's own")


@case()
def env_of_the_pod_template_is_seen(t):
    t.pool(spec={"containers": [{"name": "executor", "image": "localhost/arl-test/busybox:1", "workingDir": "/tmp",
                                 "env": [{"name": "FROM_TEMPLATE", "value": "yes"}, {"name": "IMAGE_ENV", "value": "template"}]}]})
    box = t.box()
    equal(t.out(box, sh('echo "$FROM_TEMPLATE $IMAGE_ENV"', env={"IMAGE_ENV": "step"})), "yes step\n", "the step's variables win")
    equal(t.out(box, sh('echo "$FROM_TEMPLATE $IMAGE_ENV"')), "yes template\n", "the template's win over the image's")


@case(shared=True)
def work_dir_absolute_relative_and_default(t):
    box = t.box()
    equal(t.get("Sandbox", box)["status"]["workDir"], "/workspace", "status.workDir")
    equal(t.out(box, command("pwd")), "/workspace\n", "the default")
    equal(t.out(box, command("pwd", workDir="/tmp"), command("pwd")), "/tmp\n/workspace\n", "an absolute one, for its step only")
    equal(t.out(box, command("mkdir", "-p", "a/b"), command("pwd", workDir="a/b"), patch("rel.txt", "r", workDir="a/b"),
                command("cat", "/workspace/a/b/rel.txt")), "/workspace/a/b\nFile created: rel.txt\nr", "a relative one")


@case()
def tasks_of_one_sandbox_run_one_at_a_time_in_order(t):
    t.pool()
    box = t.box()
    n = 12
    names = [t.task(box, sh(f"echo begin {i} >> log; sleep 0.2; echo end {i} >> log"), name=f"t{n - i:02d}") for i in range(n)]
    for name in names:
        equal(t.finished(name)["state"], "Succeeded", name)
    want = "".join(f"begin {i}\nend {i}\n" for i in range(n))
    equal(t.out(box, sh("cat log")), want, "the log of all")
    times = [t.get("Task", name)["status"]["startTime"] for name in names]
    equal(times, sorted(times), "the start times")


@case(shared=True)
def a_queued_task_says_what_it_waits_for(t):
    box = t.box()
    first = t.task(box, sh("while [ ! -e go ]; do sleep 0.1; done"))
    t.state(first, "Running")
    equal(finished(t.get("Task", first)["status"])["status"], "False", "the condition Finished while it runs")
    second = t.task(box, sh("echo second"))
    s = wait("the second task to say that it waits", lambda: t.get("Task", second).get("status"), 20)
    equal((s["state"], finished(s)["reason"]), ("Pending", "Queued"), "state and reason")
    pod = t.pod_of(box)["metadata"]["name"]
    t.kubectl("exec", pod, "-c", "executor", "--", "touch", "/workspace/go")
    equal(t.finished(first)["state"], "Succeeded", "the first")
    equal(t.finished(second)["stdout"], "second\n", "the second")


@case(shared=True)
def one_slow_command_blocks_nobody_else(t):
    slow, quick = t.box(), t.box()
    running = [t.task(slow, sh("sleep 600"), timeout="700s")]
    t.state(running[0], "Running")
    for i in range(5):
        equal(t.out(quick, command("echo", str(i))), f"{i}\n", "a quick task of another sandbox")
    equal(t.get("Task", running[0])["status"]["state"], "Running", "the slow one meanwhile")


@case(shared=True)
def deleting_a_running_task_kills_what_it_runs(t):
    box = t.box()
    name = t.task(box, sh("setsid sleep 8001 & sleep 8002 & sleep 8003"), timeout="600s")
    t.state(name, "Running")
    pod = t.pod_of(box)["metadata"]["name"]

    def running():
        return t.kubectl("exec", pod, "-c", "executor", "--", "ps").count("sleep 800")
    wait("its processes to be there", lambda: running() == 3, 20)
    t.kubectl("delete", "task", name, "--timeout=20s")
    wait("its processes to be gone", lambda: running() == 0, 20)
    t.alive(box)


@case(shared=True)
def a_waiting_task_that_is_deleted_never_runs(t):
    box = t.box()
    first = t.task(box, sh("while [ ! -e go ]; do sleep 0.1; done"))
    t.state(first, "Running")
    second = t.task(box, sh("touch ran"))
    wait("the second task to wait", lambda: t.get("Task", second).get("status"), 20)
    t.delete("Task", second)
    t.gone("Task", second, 10)
    t.kubectl("exec", t.pod_of(box)["metadata"]["name"], "-c", "executor", "--", "touch", "/workspace/go")
    t.finished(first)
    equal(t.out(box, sh("ls")), "go\n", "files in the workspace")


@case(shared=True)
def retries_run_again_and_record_every_attempt(t):
    box = t.box()
    s = t.run(box, sh("echo x >> tries; n=$(wc -l < tries); echo try $n; [ $n -ge 3 ] || exit 7"), retries=4)
    equal((s["state"], s["exitCode"], s["stdout"]), ("Succeeded", 0, "try 3\n"), "state, exit code, stdout")
    equal(s["attempt"], 3, "the number of the attempt")
    ended = [(a["attempt"], a.get("exitCode"), a.get("reason")) for a in s["attempts"]]
    equal(ended[:2], [(1, 7, "StepFailed"), (2, 7, "StepFailed")], "the attempts that failed")
    s = t.run(box, sh("echo y >> again; exit 3"), retries=1)
    equal((s["state"], s["exitCode"], finished(s)["reason"]), ("Failed", 3, "StepFailed"), "when no attempt succeeds")
    equal(t.out(box, sh("wc -l < again")), "2\n", "how often it ran")
    s = t.run(box, sh("echo z >> once; exit 3"))
    equal((t.out(box, sh("wc -l < once")), s.get("attempts", [])), ("1\n", []), "without retries it runs once")


@case(shared=True)
def finished_tasks_go_away_after_their_ttl(t):
    box = t.box()
    kept = t.task(box, sh("echo kept"))
    t.finished(kept)
    soon = t.task(box, sh("echo soon"), ttlSecondsAfterFinished=12)
    equal(t.finished(soon)["stdout"], "soon\n", "it can be read before")
    at_once = t.task(box, sh("echo now"), ttlSecondsAfterFinished=0)
    t.gone("Task", at_once, 60)
    t.gone("Task", soon, 60)
    equal(t.get("Task", kept)["status"]["stdout"], "kept\n", "one without a ttl")


@case(shared=True)
def a_task_may_come_before_its_sandbox(t):
    box = t.unique("later")
    name = t.task(box, sh("echo hello"))
    wait("the task to say that it waits", lambda: t.get("Task", name).get("status", {}).get("state") == "Pending", 20)
    contains(finished(t.get("Task", name)["status"])["message"], box, what="what it waits for")
    t.sandbox(name=box)
    equal(t.finished(name)["stdout"], "hello\n", "stdout")


@case(shared=True)
def what_a_step_leaves_behind_does_not_hold_it_up(t):
    """A process that keeps the pipes open must not keep the step open."""
    box = t.box()
    s = t.run(box, sh("sleep 500 & echo hi"), sh("echo next"), limit=30)
    equal((s["state"], s["stdout"]), ("Succeeded", "hi\nnext\n"), "state and stdout")
    s = t.run(box, sh("(sleep 1; echo late) & echo early"), limit=30)
    equal(s["state"], "Succeeded", "state")
    contains(s["stdout"], "early\n", what="stdout")


@case(shared=True)
def steps_have_no_terminal_and_an_empty_stdin(t):
    equal(t.out(t.box(), sh("cat; test -t 0 || echo no terminal"), timeout="20s"), "no terminal\n", "stdout")


@case(shared=True)
def many_steps_and_strange_names(t):
    box = t.box()
    steps = [command("echo", str(i), name=f"step {i} ü") for i in range(60)] + [{"type": "Command", "command": ["echo", "nameless"]}]
    s = t.run(box, *steps)
    equal(s["stdout"], "".join(f"{i}\n" for i in range(60)) + "nameless\n", "stdout")
    equal([r.get("name", "") for r in s["steps"]], [f"step {i} ü" for i in range(60)] + [""], "the steps' names")


@case(shared=True)
def a_finished_task_is_never_written_again(t):
    name = t.task(t.box(), sh("echo once"))
    t.finished(name)
    before = t.get("Task", name)["metadata"]["resourceVersion"]
    t.kubectl("annotate", "task", name, "note=touched")
    t.alive(t.box())
    after = t.get("Task", name)
    equal(after["status"]["stdout"], "once\n", "stdout after an edit")
    writes = [m for m in after["metadata"]["managedFields"] if m.get("subresource") == "status"]
    equal(len(writes), 1, "writers of the status")
    expect(before != after["metadata"]["resourceVersion"], "the edit did not count")
    said = t.kubectl("patch", "task", name, "--type=merge", "-p", '{"spec":{"timeout":"5s"}}', fails=True)
    contains(said, "spec is immutable", what="the refusal of a change of spec")


def cancel(t, name):
    t.merge("Task", name, {"spec": {"cancel": True}})


@case(shared=True)
def a_task_that_runs_is_canceled(t):
    """The task ends within five seconds, with what it has printed. None of its processes runs on, and the next task starts."""
    box = t.box()
    name = t.task(box, sh("echo begun; (setsid sh -c 'while :; do touch /workspace/alive; sleep 0.1; done' &); trap '' TERM; while :; do sleep 1; done",
                          name="long"), sh("touch /workspace/second"), timeout="600s", retries=3)
    t.state(name, "Running")
    wait("its output", lambda: "begun" in t.get("Task", name)["status"].get("stdout", ""), 10)
    cancel(t, name)
    s = t.finished(name, 5)
    equal((s["state"], s["exitCode"], finished(s)["reason"]), ("Failed", 137, "Canceled"), "state, exit code and reason")
    contains(s["stdout"], "begun", what="stdout")
    out = t.out(box, sh("rm -f alive; sleep 0.5; ls; ps | grep -c '[w]hile :' || true", workDir="/workspace"))
    equal(out, "0\n", "what is left of it")
    expect(t.find("Task", name), "the record is gone")


@case(shared=True)
def a_task_that_waits_is_canceled(t):
    box = t.box()
    first = t.task(box, sh("sleep 3"))
    second = t.task(box, sh("touch /workspace/never"))
    cancel(t, second)
    s = t.finished(second, 5)
    equal((s["state"], s["exitCode"], finished(s)["reason"]), ("Failed", 137, "Canceled"), "state, exit code and reason")
    equal(t.finished(first)["state"], "Succeeded", "the task before it")
    equal(t.out(box, sh("ls /workspace | wc -l")), "0\n", "files of the canceled task")


@case(shared=True)
def a_task_that_has_ended_keeps_its_end(t):
    name = t.task(t.box(), sh("echo done"))
    t.finished(name)
    cancel(t, name)
    t.alive(t.box())
    s = t.get("Task", name)["status"]
    equal((s["state"], s["stdout"]), ("Succeeded", "done\n"), "state and stdout")


@case(shared=True)
def a_task_name_can_be_used_again_at_once(t):
    box, name = t.box(), t.unique("again")
    t.task(box, sh("echo first >> count; sleep 500"), name=name, timeout="600s")
    t.state(name, "Running")
    t.delete("Task", name)
    s = t.finished(t.task(box, sh("echo second >> count; cat count; ps | grep -c '[s]leep 500' || true"), name=name), limit=30)
    equal((s["state"], s["stdout"]), ("Succeeded", "first\nsecond\n0\n"), "the second one's state and stdout")
    uids = set()
    for i in range(5):
        equal(t.finished(t.task(box, sh(f"echo {i}"), name=f"{name}-x"))["stdout"], f"{i}\n", "stdout")
        uids.add(t.get("Task", f"{name}-x")["metadata"]["uid"])
        t.delete("Task", f"{name}-x")
    equal(len(uids), 5, "different tasks")


@case()
def first_example_of_the_readme(t):
    """One file with a pool, a sandbox and a task, in one kubectl apply."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        blocks = re.findall(r"```yaml\n(.*?)```", f.read(), re.S)
    local = re.search(r"reaches no registry: (\S+)", blocks[0]).group(1)
    example = blocks[0].replace('"busybox:1.36"', local)
    contains(example, "kind: WarmPool", "kind: Sandbox", "kind: Task", f"image: {local}", what="the example")
    t.kubectl("apply", "-f", "-", body=example)
    t.kubectl("wait", "--for=condition=Finished", "tsk/greeting", "--timeout=100s")
    pod = t.kubectl("get", "sandbox", "mine", "-o", "jsonpath={.status.podName}")
    equal(t.kubectl("get", "task", "greeting", "-o", "jsonpath={.status.stdout}"),
          f"File created: /workspace/hello.sh\nhello from {pod}\n", "stdout")
    t.kubectl("apply", "-f", "-", body=example)
    contains(t.kubectl("get", "wp,sbx,tsk"), "warmpool.arl.infra.io/first", "sandbox.arl.infra.io/mine", "task.arl.infra.io/greeting", what="the list")
    contains(t.kubectl("describe", "task", "greeting"), "Completed", "File created", what="kubectl describe")
    t.kubectl("delete", "-f", "-", "--timeout=60s", body=example)
    wait("every pod to be gone", lambda: not t.pods(), 90)
