"""A call of the sidecar or of the runner fails. The scenario runs two tasks, restarts the sidecar, and checks the results.

The steps append to files: each file must have at most one line, whatever failed."""
import http.client
import os
import signal
import subprocess
import time

import harness
from harness import Pod, command, patch
from tools import Fault, Finding, address, check_log, outcome

TASK_S = 60     # for a task to end: other suites may use most of the processors meanwhile
STEP_MS = 5000
FILE = "hello\n"
LONG = 5000
FINAL = (400, 403, 413)     # statuses that the operator takes for the end of an attempt (sidecar_client.c)


class Tortured(Pod):
    """A pod in which the first process of the target has the fault. Processes that follow it have none."""

    def __init__(self, build, target, cls, k):
        super().__init__(build, limit=2048)
        self.ends, self.target = set(), target
        self.host, self.port = address(), 8080
        self.fault = Fault(build, self.dir, cls, k, short_sockets=target == "runner")
        if target == "sidecar":
            self.sidecar_env = self.fault.env

    def sidecar_log(self):
        return self.log_from(os.path.join(self.dir, "sidecar.log"), 0)

    def sidecar_up(self):
        """Starts the sidecar again if it has ended, as the kubelet does."""
        for _ in range(3):
            if self.sidecar and self.sidecar.poll() is None:
                return
            try:
                self.start_sidecar()
            except RuntimeError:
                pass
            if self.sidecar.poll() is not None:
                self.sidecar_ended()
        raise Finding("the sidecar does not stay: %r" % self.sidecar_log()[-2000:])

    def sidecar_ended(self):
        if not self.sidecar_env:
            raise Finding("a sidecar without a fault has ended with %s: %r" % (self.sidecar.returncode, self.sidecar_log()[-3000:]))
        self.ends.add(self.fault.end("sidecar", self.sidecar.returncode, self.sidecar_log()))
        self.sidecar_env = {}

    def runner_up(self):
        if self.runner and self.runner.poll() is None:
            return
        if self.runner:
            with open(os.path.join(self.dir, "log"), "rb") as f:
                self.ends.add(self.fault.end("runner", self.runner.returncode, f.read()))
        faulty = self.target == "runner" and not self.runner
        assigned = ["env"] + ["%s=%s" % e for e in self.fault.env.items()] if faulty else []
        self.start_runner(prefix=self.namespace + assigned, env={"ASAN_OPTIONS": "detect_leaks=0"})

    def up(self):
        if self.sidecar and self.sidecar.poll() is not None:
            self.sidecar_ended()
        self.sidecar_up()
        self.runner_up()

    def task(self, uid, steps):
        """Repeats the same request until the task has an end, as the operator does."""
        deadline, said = time.monotonic() + TASK_S, None
        body = self.body(steps, timeout_ms=STEP_MS, limit=2048)
        while time.monotonic() < deadline:
            try:
                self.up()
                status, connection, response = self.request("PUT", "/v1/tasks/%s/1?after=0" % uid, body)
                if status != 200:
                    said = (status, response.read())
                    connection.close()
                    if status in FINAL or self.pod_is_lost():
                        return Refused(*said)
                else:
                    result = harness.Stream(connection, response).read()
                    if result.end:
                        return result
                    said = result.types
            except (OSError, http.client.HTTPException, ValueError, harness.channel.CutShort) as e:
                said = repr(e)
            time.sleep(0.02)    # in place of the operator's back-off
        raise Finding("HANG: task %s has no end within %d s, last: %r\n%r" % (uid, TASK_S, said, self.sidecar_log()[-2000:]))

    def pod_is_lost(self):
        """Whether the sidecar refuses the runner for its token, since it could be anybody. That may happen to a true runner, too: if its
        container was restarted while the sidecar was away."""
        lost = bool(self.ends) and b"it does not have the runner's token" in self.sidecar_log()
        if lost:
            self.ends.add("podlost")
        return lost

    def lines(self, name):
        try:
            with open(os.path.join(self.work, name), encoding="utf-8") as f:
                return len(f.readlines())
        except FileNotFoundError:
            return 0

    def sidecar_restart(self):
        if self.sidecar.poll() is None:
            self.sidecar.send_signal(signal.SIGTERM)
        try:
            self.sidecar.wait(TASK_S)
        except subprocess.TimeoutExpired as e:
            raise Finding("HANG: the sidecar does not end on SIGTERM") from e
        if self.sidecar.returncode != 0:
            self.sidecar_ended()
        self.sidecar, self.sidecar_env = None, {}


class Refused:
    """A refused request, which ends the attempt without a stream."""

    def __init__(self, status, text):
        self.code, self.reason, self.out, self.err = 1, "Refused", b"", text
        self.status = status
        self.exits, self.types = {}, []


def check_first(p, r):
    """Checks the first task: a success has the right result, a failure has a reason, and no step ran after one that failed."""
    if r.code == 0:
        got = (p.lines("1"), p.lines("3"), r.out, r.err, r.reason)
        if got != (1, 1, b"one\nFile created: f\n" + FILE.encode(), b"err\n", "Completed"):
            raise Finding("a false success: %r" % (got,))
    elif r.reason not in ("StepFailed", "AgentLost", "Refused"):
        raise Finding("it ended for reason %r with %r" % (r.reason, r.code))
    elif r.reason == "StepFailed" and not r.err and not any(e.get("error") for e in r.exits.values()):
        raise Finding("a step failed and does not say why: %r" % r.exits)
    path = os.path.join(p.work, "f")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as f:
            if f.read() != FILE:
                raise Finding("the file is there and damaged")
    if p.lines("3") and not os.path.exists(path):
        raise Finding("step 3 ran though step 2 had failed")
    left = [n for n in os.listdir(p.work) if n not in ("1", "f", "3", "4")]
    if left and r.code == 0:
        raise Finding("left behind: %r" % left)


def check_counts(p):
    for name in ("1", "3", "4"):
        if p.lines(name) > 1:
            raise Finding("step %s ran %d times" % (name, p.lines(name)))


def same_end(p, uid, steps, before):
    """Asks for the task's end after a restart of the sidecar. It must be the same as before, or a loss."""
    after = p.task(uid, steps)
    if (after.code, after.reason) != (before.code, before.reason) and after.reason not in ("AgentLost", "Refused"):
        raise Finding("%s ended as %s, and later as %s" % (uid, before.reason, after.reason))
    if before.code != 0 and after.code == 0:
        raise Finding("%s had failed, and has succeeded later" % uid)
    return after


def scenario(p):
    first = [command("sh", "-c", "echo x >> 1; echo one"), patch("f", FILE), command("sh", "-c", "cat f; echo x >> 3; echo err >&2")]
    second = [command("sh", "-c", "echo x >> 4; head -c %d /dev/zero | tr '\\0' a" % LONG)]
    a = p.task("a", first)
    check_first(p, a)
    b = p.task("b", second)
    if b.code == 0 and (p.lines("4") != 1 or len(b.out) + b.gap(1) != LONG):
        raise Finding("a false success of the second task: %d bytes, gap %d" % (len(b.out), b.gap(1)))
    same_end(p, "a", first, a)
    p.sidecar_restart()
    again = same_end(p, "a", first, a)
    same_end(p, "b", second, b)
    check_first(p, again if again.code == 0 else a)
    check_counts(p)
    # The fault may hit this task. Then the next one must succeed.
    ends = [p.task("c", [command("sh", "-c", "echo well")])]
    if ends[0].code != 0 and not p.pod_is_lost():
        ends.append(p.task("d", [command("sh", "-c", "echo well")]))
        if (ends[1].code, ends[1].out) != (0, b"well\n"):
            raise Finding("afterwards a task ends as %s %r %r" % (ends[1].reason, ends[1].out, ends[1].err))
    return all(r.code == 0 for r in (a, b, again, *ends))


def run(build, target, cls, k, keep_count=None):
    p = Tortured(build, target, cls, k)
    try:
        well = scenario(p)
        check_log("sidecar", p.sidecar_log())
        with open(os.path.join(p.dir, "log"), "rb") as f:
            check_log("runner", f.read())
        count, hit, _ = p.fault.read()
        if keep_count is not None:
            keep_count.append(count)
        return outcome(p.ends, well, hit or k == 0)
    except (AssertionError, KeyError, IndexError) as e:
        raise Finding("%s: %s" % (type(e).__name__, e)) from e
    except Finding as e:
        raise Finding("(%s) %s" % (p.fault.read()[2], e)) from e
    finally:
        try:
            p.stop()
        finally:
            p.remove()

