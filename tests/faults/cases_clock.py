"""The operator's wall clock jumps under load (libfaketime). Limits of time must not be affected."""
import http.client
import os
import re
import subprocess

from base import Work
from cases_server import Load
from harness import case, condition, equal, expect, seconds, wait
from tools import figure

JUMPS_S = (45, -45)             # agents accept signatures that are up to 300 s off
OFF_S = (3600, -3600)           # agents refuse what is signed at these times
LASTING_S = 0.3                 # of each step
BUSY_S = 40                     # less than a jump, but more than a busy machine adds to a task's time
IDLE_S = 900                    # more than the jumps themselves, and the time that a busy machine needs for them


class Clock:
    """Within the block, the suite's operator runs with libfaketime: its wall clock is off by what set() says."""

    def __init__(self, t):
        self.t = t
        self.path = os.path.join(t.env.folder, "clock")
        self.set(0)
        library = subprocess.run(["dpkg", "-L", "libfaketime"], check=True, capture_output=True, text=True).stdout
        self.env = {"LD_PRELOAD": next(line for line in library.splitlines() if line.endswith("libfaketime.so.1")),
                    "FAKETIME_TIMESTAMP_FILE": self.path, "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, offset):
        with open(self.path + ".new", "w", encoding="ascii") as f:
            f.write(f"{offset:+d}s\n")
        os.rename(self.path + ".new", self.path)

    def restart(self, argv):
        self.t.env.operator.stop()
        self.t.env.operator.argv = argv
        self.t.env.operator.start()
        self.t.env.operator_answers()

    def refusals(self):
        """How often the operator has attached to a stream again: it does so after each refusal."""
        c = http.client.HTTPConnection("127.0.0.1", self.t.env.port, timeout=5)
        c.request("GET", "/metrics")
        return int(re.search(r"^arl_task_attaches_total (\d+)", c.getresponse().read().decode(), re.M).group(1))

    def __enter__(self):
        self.argv = self.t.env.operator.argv
        self.restart(["env", *(f"{k}={v}" for k, v in self.env.items()), *self.argv])
        return self

    def __exit__(self, *_):
        self.restart(self.argv)


def left_alone(t):
    """Checks that the jumps have not ended two sandboxes, of which one waits for a pod and one is idle."""
    s = t.get("Sandbox", "waits")["status"]
    equal((s["phase"], condition({"status": s}, "Ready").get("reason")), ("Pending", "WaitingForPod"), "the sandbox that waits")
    equal(t.get("Sandbox", "idle")["status"]["phase"], "Ready", "the phase of the sandbox that is idle")


@case(alone=True)
def clock_moved_under_load(t):
    with Work(t) as w, Clock(t) as clock:
        t.pool("few", replicas=1)
        t.box("few", "idle", idleTimeoutSeconds=IDLE_S)
        t.merge("WarmPool", "few", {"spec": {"replicas": 0}})
        wait("the other pod of its pool to go", lambda: not t.pods(pool="few", status="idle"), 60)
        t.sandbox("few", "waits", idleTimeoutSeconds=0)
        t.phase("waits", "Pending")
        load = Load(w, lasting=LASTING_S)
        for offset in (*JUMPS_S, 0):
            clock.set(offset)
            load.ends(9)
            for name in ("waits", "idle"):  # a change makes the operator plan them now
                t.merge("Sandbox", name, {"metadata": {"annotations": {"offset": str(offset)}}})
            load.ends(3)
            left_alone(t)
        t.merge("WarmPool", "few", {"spec": {"replicas": 1}})
        t.phase("waits", "Ready")
        for name in ("waits", "idle"):
            w.drop(name)
        t.delete("WarmPool", "few")
        for offset in OFF_S:
            again = clock.refusals()
            clock.set(offset)
            wait("agents to refuse", lambda: clock.refusals() > again + 3, 30)  # pylint: disable=cell-var-from-loop
            clock.set(0)
            load.ends(6)
        load.stop()
        for name, steps in w.made:
            lasted = seconds(t.get("Task", name)["status"]["duration"])
            expect(steps * LASTING_S <= lasted < BUSY_S, f"{name}, of {steps} steps of {LASTING_S} s, lasted {lasted} s")
        figure(f"the operator's clock moved by {', '.join(map(str, JUMPS_S + OFF_S))} s: {len(w.made)} tasks, all right and once")
        w.settle(load.boxes)
