"""What stops when a Task, a Sandbox or the operator goes, and what a sandbox gives to its steps."""
import contextlib
import os
import signal
import time

import tools
from harness import ApiError, case, command, condition, contains, equal, expect, is_ready, path_of, sh, wait
from tools import WORK, figure, lines, quick

STOP_S = 5.0        # arl promises one second; a busy machine needs more
DEAF = 'trap "" TERM HUP INT; '
BEAT = 'while :; do read up rest < /proc/uptime; echo $up >> $0; sleep 0.05; done'


def beating(t, folder, box, name, trap=DEAF):
    """Makes a task whose step, and a daemon of that step, write the time into a file each until they are killed. Returns the files."""
    step = sh(f"setsid sh -c '{trap}{BEAT}' {WORK}/{name}.daemon & exec sh -c '{trap}{BEAT}' {WORK}/{name}.step", name="beat")
    t.task(box, step, name=name, timeout="600s")
    files = [os.path.join(folder, f"{name}.{part}") for part in ("step", "daemon")]
    expect(quick(lambda: all(len(lines(f)) > 3 for f in files)), "the step did not begin")
    t.state(name, "Running")
    return files


def stopped(files, since):
    """Waits until nothing writes into the files any more. Returns how many seconds after `since` the last line was written."""
    sizes = []

    def still():
        sizes.append([os.path.getsize(f) for f in files])
        return len(sizes) > 10 and sizes[-1] == sizes[-11]      # no line for a second; a process that lives writes one each 50 ms
    wait("the step's processes to be gone", still, 30)
    return max(max(float(lines(f)[-1]) for f in files) - since, 0.0)


@case()
def deletion_of_a_task_or_its_sandbox_stops_it(t):
    """Within a second. A process that ignores SIGTERM gets SIGKILL two seconds later."""
    folder = t.env.host_pool(t, 2)
    for kind in ("Task", "Sandbox"):
        for how, trap in (("end with", ""), ("ignore", DEAF)):
            box = t.box()
            name = f"beat-{kind.lower()}-{how[:3]}"
            files = beating(t, folder, box, name, trap)
            since = tools.uptime()
            t.delete(kind, name if kind == "Task" else box)
            took = stopped(files, since)
            figure(f"deletion of a {kind}: its step and daemon, which {how} SIGTERM, lived {took:.2f} s longer")
            expect(took < STOP_S, f"after the deletion of the {kind} they lived {took:.2f} s")
            if kind == "Task":
                t.alive(box)
                t.delete("Sandbox", box)


@case(alone=True)
def a_task_deleted_while_no_operator_runs_is_cancelled_afterwards(t):
    folder = t.env.host_pool(t, 2)
    box, other = t.box(), t.box()
    files = beating(t, folder, box, "orphan")
    kept = beating(t, folder, other, "kept")
    t.env.operator.process.send_signal(signal.SIGKILL)
    t.env.operator.process.wait()
    t.delete("Task", "orphan")
    before = [len(lines(f)) for f in files]
    wait("the orphan to go on meanwhile", lambda: all(len(lines(f)) > n for f, n in zip(files, before)), 10)
    t.env.operator.start()
    since = tools.uptime()
    took = stopped(files, since)
    figure(f"an orphan was stopped {took:.2f} s after an operator had started")
    expect(took < 20, f"the orphan lived {took:.2f} s")
    t.env.operator_answers()
    t.alive(box)
    equal(t.get("Task", "kept")["status"]["state"], "Running", "the task that nobody deleted")
    count = len(lines(kept[0]))
    wait("it to go on", lambda: len(lines(kept[0])) > count, 10)
    t.delete("Task", "kept")


@case(alone=True)
def a_sandbox_deleted_while_no_operator_runs_stops_and_its_name_is_free(t):
    folder = t.env.host_pool(t, 2)
    box = t.box(name="again")
    files = beating(t, folder, box, "orphan")
    t.env.operator.process.send_signal(signal.SIGKILL)
    t.env.operator.process.wait()
    t.delete("Sandbox", box)
    t.sandbox(name="again")
    t.env.operator.start()
    stopped(files, tools.uptime())
    t.phase("again", "Ready")
    s = t.finished("orphan")
    equal((s["state"], condition({"status": s}, "Finished")["reason"]), ("Failed", "SandboxDeleted"), "how the task of the earlier one ended")
    t.alive("again")


@case(shared=True)
def spec_env_of_a_sandbox_is_below_that_of_a_step(t):
    env = [{"name": "ONE", "value": "sandbox"}, {"name": "TWO", "value": "sandbox"}, {"name": "PATH", "value": "/workspace/bin:/usr/bin:/bin"},
           {"name": "EMPTY", "value": ""}, {"name": "TEXT", "value": "ä\nb $ONE"}]
    box, plain = t.box(env=env), t.box()
    show = 'echo "$ONE|$TWO|$EMPTY|$TEXT|$PATH"'
    own = "sandbox|sandbox||ä\nb $ONE|/workspace/bin:/usr/bin:/bin\n"
    s = t.run(box, sh(show, env={"ONE": "step"}), sh(show))
    equal((s["state"], [r["stdout"] for r in s["steps"]]), ("Succeeded", ["step" + own[len("sandbox"):], own]), "state, and the variables of two steps")
    s = t.run(box, {"name": "w", "type": "FilePatch", "path": "bin/mine", "content": "#!/bin/sh\necho found\n", "mode": "0755"}, command("mine"))
    contains(s.get("stdout"), "found\n", what="a program in the sandbox's own PATH")
    equal(t.out(plain, sh('echo "$ONE|$TWO"')), "|\n", "the variables of another sandbox of the pool")
    with contextlib.suppress(ApiError):
        t.merge("Sandbox", box, {"spec": {"env": [{"name": "ONE", "value": "later"}]}})
        raise AssertionError("spec.env of a sandbox could be changed")


@case(alone=True)
def an_operator_stopped_in_mid_step_finds_the_end(t):
    """The operator is stopped by SIGTERM, and starts again after the task's end."""
    folder = t.env.host_pool(t, 1)
    box = t.box()
    t.task(box, sh(f"echo x >> {WORK}/runs; sleep 2; echo done; touch {WORK}/end"), name="long")
    expect(quick(lambda: lines(os.path.join(folder, "runs"))), "the step did not begin")
    t.env.operator.stop()
    equal(t.env.operator.process.returncode, 0, "how the operator ended")
    wait("the step to end", lambda: os.path.exists(os.path.join(folder, "end")), 20)
    time.sleep(1)       # the operator stays away for a while after the end
    t.env.operator.start()
    s = t.finished("long")
    equal((s["state"], s["stdout"], len(lines(os.path.join(folder, "runs")))), ("Succeeded", "done\n", 1), "state, stdout, how often it ran")
    t.env.operator_answers()


@case()
def a_pod_whose_containers_all_begin_anew(t):
    """As after a restart of the node. An idle pod becomes ready again. A bound pod serves its sandbox again, but what ran is lost."""
    folder = t.env.host_pool(t, 1)
    box = t.box()
    idle = wait("a pod in reserve", lambda: [p for p in t.pods(status="idle") if is_ready(p)], 60)[0]
    t.task(box, sh(f"echo x >> {WORK}/runs; sleep 600"), name="lost", timeout="700s")
    expect(quick(lambda: lines(os.path.join(folder, "runs"))), "the step did not begin")
    for pod in (idle, t.pod_of(box)):
        os.kill(tools.processes(pod["metadata"]["uid"], "pause")[0], signal.SIGKILL)
    s = t.finished("lost", 150)
    equal((s["state"], len(lines(os.path.join(folder, "runs")))), ("Failed", 1), "state of the task that ran, and how often it began")
    # If the kubelet ends the step with SIGTERM before the agent ends, the step fails. Else the operator asks the agent again, at the
    # pod's new address.
    expect((condition({"status": s}, "Finished")["reason"], s["exitCode"]) in (("StepFailed", 143), ("AgentRestarted", 255)), f"its end: {s}")

    def again():
        p = t.api.get(path_of(t.ns, "pods", idle["metadata"]["name"]))
        return all(c["ready"] and c["restartCount"] > 0 for c in p["status"]["containerStatuses"])
    wait("the idle pod to be ready again", again, 150)
    equal(t.out(box, sh("echo on"), limit=150), "on\n", "the sandbox afterwards")
    wait("its new address in its status", lambda: t.get("Sandbox", box)["status"]["podIP"] == t.pod_of(box)["status"]["podIP"], 30)
    other = t.box()
    equal(t.get("Sandbox", other)["status"]["podName"], idle["metadata"]["name"], "the pod of the next sandbox")
    t.alive(other)
