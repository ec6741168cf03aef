"""Steps that leave processes behind, run twice, hang, or reach files and processes of others."""
import time

from base import IGNORED, NO_ATTACK, OWN, WORK, attack, quick
from harness import Failed, expect, patch, sh, wait

ENDED = ["condition Task (StepFailed|AgentRestarted)"]
LOG = "whoever reads the log sees it there, marked as what it is"


def lives(t, box, name):
    """Whether a process still writes into its file."""
    first = t.inside(box, f"cat {WORK}/{name}", fails=True)
    time.sleep(1.3)     # the `date` of some images prints whole seconds only
    return first != t.inside(box, f"cat {WORK}/{name}", fails=True)


@attack("R5", "a FIFO in place of /dev/null: the next step hangs, is given up, and begins when the FIFO is opened (root)", untold=IGNORED)
def a_fifo_as_dev_null(t):
    box = t.armed("root")
    expect(t.program(box, "fifo_as_null", 16)["state"] == "Succeeded", "no FIFO")
    name = t.task(box, sh(f"echo ran >>{WORK}/count"), timeout="2s" if t.env.old else "60s")
    ended = t.ends(name, 15)
    if t.env.old:
        quick(lambda: t.on_the_node(box, "count"), 15)
    count = t.on_the_node(box, "count").count("ran")
    s = t.get("Task", name)["status"]
    if not ended or count != (1 if s["state"] == "Succeeded" else 0):
        return f"the task is {s['state']} ({s.get('exitCode')}), and its step ran {count} times"
    return None if s["state"] == "Succeeded" else f"the next step did not run: {s['conditions'][0]['message']}"


@attack("", "a FIFO in place of the file that a patch reads (root)", then=None, seen=["condition Task StepFailed"])
def a_fifo_in_place_of_a_patched_file(t):
    box = t.sandbox_of("root")
    t.run(box, sh("mkfifo x y"))
    s = t.run(box, {"name": "p", "type": "FilePatch", "path": "x", "patch": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"}, patch("y", "z"), timeout="3s", limit=60)
    if s["state"] == "Succeeded":
        return "it was written into"
    s = t.run(box, sh("echo next"))
    return t.true_result(s, 0, "next\n")


def timed_out(t, box, step, runs, limits=(4, 20, 60)):
    """Runs a step that ends by its time limit. On a busy machine the limit may come before the attacker's process runs: then the step
    runs again with a longer limit. Returns the task's status."""
    for seconds in limits:
        s = t.run(box, step, timeout=f"{seconds}s", limit=100)
        # The step may have ended its container: wait until the container runs again.
        wait("the container to run", lambda: t.inside(box, "echo it runs", fails=True), 60)
        if runs():
            return s
    raise Failed(f"the process did not run: {s}")


def survivor(t, how, kind="user"):
    box = t.armed(kind)
    s = timed_out(t, box, sh(f"exec python3 {WORK}/inside.py survive {how} beat"), lambda: t.inside(box, f"cat {WORK}/beat", fails=True))
    if s["state"] == "Succeeded":
        return "the step counts as a success"
    t.run(box, sh("true"), limit=60)    # when the next task begins, no process of an earlier one may be left
    return "a process lives on beside the next task" if lives(t, box, "beat") else None


@attack("R6", "kill of the keeper, the step's parent: its daemon becomes the runner's child and outlives the time limit (uid 1000)", seen=ENDED)
def the_keeper_killed(t):
    return survivor(t, "keeper")


@attack("R6", "CLONE_PARENT: a sibling of the step outlives the time limit (uid 1000)", then=None, seen=ENDED)
def a_sibling_of_the_step(t):
    return survivor(t, "clone")


@attack("", "the keeper stopped by SIGSTOP: the time limit passes (uid 1000)", then=False, seen=ENDED)
def the_keeper_stopped(t):
    return survivor(t, "stop")


@attack("", "the keeper killed by root", then=None, seen=ENDED)
def the_keeper_killed_by_root(t):
    return survivor(t, "keeper", "root")


@attack("", "double forks, sessions and deaf children by the hundred at the time limit (uid 1000)", then=False, seen=ENDED)
def a_crowd_of_daemons(t):
    box = t.sandbox_of("user")
    script = "i=0; while [ $i -lt 100 ]; do (setsid sh -c 'trap : TERM HUP INT; while :; do echo x >beat.'$i'; sleep 1; done' &); i=$((i+1)); done; sleep 60"
    timed_out(t, box, sh(script), lambda: int(t.inside(box, f"ls {WORK} | grep -c beat", fails=True) or 0) > 50)
    t.run(box, sh("true"), limit=60)
    left = t.inside(box, "n=0; for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null | grep -q 'beat[.]' && n=$((n+1)); done; echo $n").strip()
    return None if left == "0" else f"{left} processes live on"


@attack("R6", "a setuid-root program in a container with uid 1000: its processes cannot be killed, and the next task begins beside them",
        seen=["event ContainerRestarted"])
def a_setuid_program(t):
    box = t.sandbox_of("suid")
    step = sh(f"asroot sh -c 'trap : TERM HUP INT; while :; do date +%s >{WORK}/beat; sleep 0.1; done'")
    timed_out(t, box, step, lambda: t.on_the_node(box, "beat"), (2, 20, 60))
    t.run(box, sh("true"), limit=100)
    first = t.on_the_node(box, "beat")
    time.sleep(1.3)
    return "a process of root lives on beside the next task" if first != t.on_the_node(box, "beat") else None


def pried(t, kind):
    box = t.armed(kind)
    won = []
    for who, pid in (("the runner", "1"), ("the keeper", "$PPID")):
        s = t.run(box, {"name": "s", "type": "Command", "command": ["sh", "-c", f"exec 9</dev/null; python3 {WORK}/inside.py pry {pid}"]})
        expect("won:" in s.get("stdout", ""), f"the program: {s}")
        if "won: nothing" not in s["stdout"]:
            won.append(f"of {who}: {s['stdout'].strip()}")
    return "; ".join(won) or None


@attack("", "prlimit: no more files and processes for the runner (uid 1000)", then=None, untold=OWN)
def the_runner_starved(t):
    box = t.armed("user")
    for step in (sh(f"python3 {WORK}/inside.py starve 1; sleep 1"), sh("echo next")):
        name = t.task(box, step, timeout="5s")
        if not t.ends(name, 40):
            return "after 40 s a task with a limit of 5 s runs"
    s = t.get("Task", name)["status"]
    t.tell(f"the next task ended as {s['state']}, {s['conditions'][0]['message'][:60]}")
    return None if s["state"] == "Failed" or s["stdout"] == "next\n" else "the next task is a false success"


@attack("", "ptrace, /proc/PID/mem, /proc/PID/fd, pidfd_getfd on the runner and the keeper (uid 1000)", then=False, untold=IGNORED)
def prying_open_the_runner(t):
    return pried(t, "user")


@attack("", "the same by root", then=None, untold=IGNORED)
def prying_open_the_runner_as_root(t):
    return pried(t, "root")


def signalled(t, script, kind="root"):
    box = t.sandbox_of(kind)
    before = t.restarts_of(box, "executor")
    t.run(box, sh(f"echo kept >{WORK}/../root/kept 2>/dev/null; {script}; sleep 1"), limit=100)
    if not quick(lambda: t.restarts_of(box, "executor") > before, 6):
        return None
    wait("the container to run again", lambda: t.restarts_of(box, "executor") > before, 30)
    if t.env.old:
        told = [e for e in t.api.get(f"/api/v1/namespaces/{t.ns}/events")["items"] if e["involvedObject"]["name"] == box and e["type"] == "Warning"]
        return "the container began again, and nothing tells" if not told else None
    return "the container began again"


@attack("R9", "kill 1 from a step (root): the container begins again with a fresh root file system, and nothing tells", untold=IGNORED)
def kill_1(t):
    return signalled(t, "kill 1")


@attack("R9", "kill 1 from a step (uid 1000)", untold=IGNORED)
def kill_1_by_a_user(t):
    return signalled(t, "kill 1", "user")


@attack("", "every signal there is to process 1 (root)", then=None, untold=IGNORED)
def every_signal_to_1(t):
    return signalled(t, "for n in $(seq 1 64); do kill -$n 1 2>/dev/null; done")


@attack("R9", "restartPolicy Never, and the executor is ended: the sandbox stays Ready for ever", seen=["condition Sandbox PodBroken"])
def an_executor_that_does_not_come_back(t):
    box = t.sandbox_of("never")
    t.env.kill_container(t.pod_of(box), "executor")

    def told():
        s = t.get("Sandbox", box)["status"]
        return s["phase"] != "Ready" or any(c["type"] == "Ready" and c["status"] != "True" for c in s["conditions"])
    return None if t.comes(told, 20) else "after 20 s the sandbox is Ready"


@attack("R9", "restartPolicy Never, and the executor of an idle pod is ended: it is never replaced", then=True, seen=["event PodReplaced: pod .* container executor has ended"])
def an_idle_pod_that_is_dead(t):
    pool = t.env.pool("never")
    t.pool_ready(pool)
    pod = next(p for p in t.pods(pool=pool, status="idle") if "deletionTimestamp" not in p["metadata"])
    t.env.kill_container(pod, "executor")
    gone = t.comes(lambda: (t.find("pods", pod["metadata"]["name"]) or {"metadata": {"uid": ""}})["metadata"]["uid"] != pod["metadata"]["uid"], 20)
    if not gone and t.env.old:
        t.delete("pods", pod["metadata"]["name"])
    return None if gone else "after 20 s the dead pod is there"


# ---- files

def through_a_link(t, make, path, patch_step=None, secret="/etc/passwd"):
    """uid 1000 makes a link in one container. A FilePatch as root in the other container has the link in its path. Returns what was won."""
    box = t.sandbox_of("two")
    before = t.inside(box, f"cat {secret}", "grader")
    t.run(box, sh(make))
    s = t.run(box, {**(patch_step or patch(path, "root::0:0::/:/bin/sh\n")), "container": "grader"}, limit=60)
    after = t.inside(box, f"cat {secret} 2>/dev/null", "grader", fails=True)
    return f"{secret} of the other container was overwritten ({s['state']})" if before != after else None


@attack("R7", "a link to a folder of the other container's, laid by uid 1000; FilePatch by root follows it", seen=["condition Task StepFailed"])
def a_link_to_a_folder(t):
    return through_a_link(t, f"ln -s /etc {WORK}/out", "out/passwd")


@attack("R7", "the same with an absolute path", seen=["condition Task StepFailed"])
def a_link_in_an_absolute_path(t):
    return through_a_link(t, f"ln -s /etc {WORK}/out", f"{WORK}/out/passwd")


@attack("R7", "a link in place of the file itself", then=None, seen=["condition Task StepFailed"])
def a_link_in_place_of_the_file(t):
    return through_a_link(t, f"ln -s /etc/passwd {WORK}/result.txt", "result.txt")


@attack("R7", "a chain of links, through /proc/self/root", then=True, seen=["condition Task StepFailed"])
def a_link_through_proc(t):
    return through_a_link(t, f"ln -s /proc/self/root/etc {WORK}/a; ln -s a {WORK}/out", "out/passwd")


@attack("R7", "a link that a unified diff goes through", then=True, seen=["condition Task StepFailed"])
def a_link_below_a_diff(t):
    diff = "--- a/out/passwd\n+++ b/out/passwd\n@@ -1,1 +1,1 @@\n-root:x:0:0:root:/root:/bin/bash\n+root::0:0:root:/root:/bin/bash\n"
    return through_a_link(t, f"ln -s /etc {WORK}/out", "", {"name": "p", "type": "FilePatch", "path": "out/passwd", "patch": diff})


@attack("R7", "folders made behind a link", then=True, seen=["condition Task StepFailed"])
def folders_behind_a_link(t):
    box = t.sandbox_of("two")
    t.run(box, sh(f"ln -s /etc {WORK}/out"))
    t.run(box, {**patch("out/new/deep/file", "x"), "container": "grader"})
    return "folders were made in /etc of the other container" if t.inside(box, "ls -d /etc/new 2>/dev/null", "grader", fails=True) else None


@attack("R7", "a folder and a link exchanged while files are written below it", then=None, untold=OWN)
def a_folder_exchanged_for_a_link(t):
    box = t.sandbox_of("two")
    loop = (f"mkdir {WORK}/d; ln -s /etc {WORK}/l; setsid nice -n 10 python3 -c 'import ctypes\nc=ctypes.CDLL(None)\n"
            f"while True: c.syscall(316,-100,b\"{WORK}/d\",-100,b\"{WORK}/l\",2)' >/dev/null 2>&1 & sleep 0.3")
    t.run(box, sh(loop))
    for _ in range(6):
        t.run(box, *[{**patch(f"d/won-{i}", "x", name=f"w{i}"), "container": "grader"} for i in range(8)])
    won = t.inside(box, "ls /etc | grep won-", "grader", fails=True).split()
    return f"{len(won)} files were written into /etc of the other container" if won else None


# ---- what is told

def log_with(t, box, text):
    """The log of the container executor, once it has the text."""
    def look():
        log = t.env.run_kubectl("-n", t.ns, "logs", t.pod_of(box)["metadata"]["name"], "-c", "executor").stdout
        expect(text in log, log[-300:])
        return log
    return wait(f"the log to have {text!r}", look, 20)


@attack("R23", 'a line of another step\'s form, "[grade/tests] 100 passed", written past the runner into the container\'s log', then=True, untold=LOG)
def a_false_line_in_the_log(t):
    box = t.armed("root")
    t.run(box, sh("for p in /proc/[0-9]*; do echo '[grade/tests] 100 passed' >$p/fd/1; echo '[grade/tests] 100 passed' >$p/fd/2; done; echo '[grade/tests] 100 passed'; true"))
    t.run(box, sh("echo the marker"))
    log = log_with(t, box, "the marker")
    false = [x for x in log.splitlines() if x.startswith("[grade/tests] 100 passed")]
    return f"kubectl logs has {false}" if false else None


@attack("R23", "the same in a container with a terminal, to which everybody in it can write: no line there may be a step's", then=None, untold=LOG)
def a_false_line_in_a_terminals_log(t):
    box = t.armed("tty")
    s = t.run(box, sh("echo '[grade/tests] 100 passed' >/proc/1/fd/1; echo '[grade/tests] 100 passed' >/dev/console; echo honest; tty </proc/1/fd/0"))
    expect("honest" in s["stdout"], f"the task: {s}")
    for step in (sh("echo the line of a step"), sh("echo the end >/dev/console")):
        t.run(box, step)
    log = log_with(t, box, "the end")
    return f"beside what anybody may write there stand lines of steps: {log[-300:]!r}" if "the line of a step" in log else None


@attack("R23", "carriage returns and escapes in the output, which a terminal obeys", then=True, untold=LOG)
def escapes_in_the_log(t):
    box = t.sandbox_of("user")
    t.run(box, sh("printf 'bad\\r[grade/tests] 100 passed\\033[2K\\033]0;x\\007\\n\\302\\233\\n'"))
    log = log_with(t, box, "bad")
    return "kubectl logs has control characters as they are" if "\r" in log.replace("\r\n", "") or "\033" in log or "\x9b" in log else None


@attack("", "100 MB of output in one step", then=False, untold=OWN)
def an_endless_output(t):
    box = t.sandbox_of("root")
    before = t.restarts_of(box, "sidecar")
    s = t.run(box, sh("head -c 100000000 /dev/zero | tr '\\0' 'a'"), limit=100)
    if t.restarts_of(box, "sidecar") > before:
        return "the agent was killed"
    return None if s["state"] == "Succeeded" and len(s["stdout"]) < 2000000 else f"it ended as {s['state']}, with {len(s.get('stdout', ''))} bytes"


@attack("", "32 daemons that print into the output of later steps (root)", then=False, untold=NO_ATTACK)
def output_of_a_step_that_is_over(t):
    box = t.sandbox_of("root")
    t.run(box, sh("for i in $(seq 32); do (while :; do echo false; sleep 0.02; done) & done; sleep 0.2"), limit=60)
    s = t.run(box, sh("echo mine"), limit=60)
    return t.true_result(s, 0, "mine\n")
