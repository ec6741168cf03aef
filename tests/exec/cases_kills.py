"""Kills during a step. A task has three steps. Each appends a line to a file of its own when it begins, and to another one at its end.

A step begins at most once in an attempt. Each task ends, in one state. A task that succeeded has all lines. The files lie on the
node, so that their lines can be counted after the pod is gone.
"""
import concurrent.futures
import itertools
import os
import random
import threading
import time

import tools
from harness import case, condition, equal, expect, path_of, sh
from tools import FINAL, NUMBERS, WORK, figure, lines, quick

STEPS = 3
AT_ONCE = 3
LIMIT_S = 120
BEGIN_S = 20
SCRIPT = 'f=$0.$1; echo x >> $f.begin; sleep $2; echo x >> $f.end'


class Kills:
    def __init__(self, t, what):
        self.t, self.what, self.goal = t, what, NUMBERS[what]
        self.folder = t.env.host_pool(t, AT_ONCE + 1)
        self.states = tools.States(t)
        self.numbers = itertools.count()
        self.lock = threading.Lock()
        self.tasks = {}         # name: number of retries
        self.ends = {}          # state and reason of an end: how often
        self.hits = [0] * STEPS     # kills that came during a step, by step
        self.slowest_s = 0.0

    def file(self, name, step, part):
        return os.path.join(self.folder, f"{name}.{step}.{part}")

    def count(self, name, part):
        return [len(lines(self.file(name, i, part))) for i in range(STEPS)]

    def begin(self, box, retries):
        name = f"{self.what}-{next(self.numbers)}"
        steps = [{"name": f"step{i}", "type": "Command",
                  "command": ["sh", "-c", SCRIPT, f"{WORK}/{name}", str(i), f"0.{random.randint(100, 300)}"]} for i in range(STEPS)]
        self.t.task(box, *steps, name=name, retries=retries)
        with self.lock:
            self.tasks[name] = retries
        return name

    def inside(self, name):
        """The number of the step that runs now, by its files; None between two steps."""
        for i in range(STEPS):
            began, ended = len(lines(self.file(name, i, "begin"))), len(lines(self.file(name, i, "end")))
            if began > ended:
                return i
        return None

    def mid_step(self, name):
        """Waits until a randomly chosen step has begun, and a random while longer. Returns the step that runs then, or None."""
        wanted = random.randrange(STEPS)
        if not quick(lambda: os.path.exists(self.file(name, wanted, "begin")), BEGIN_S):
            return None
        time.sleep(random.uniform(0, 0.2))
        return self.inside(name)

    def hit(self, step):
        with self.lock:
            self.hits[step] += 1

    def missing(self):
        return self.goal - sum(self.hits)

    def check(self, name, s, reasons):
        """Checks what must hold for each task, whatever was killed. s: the task's final status. reasons: those that a failure may have."""
        attempts = s.get("attempt", 1)
        begun, ended = self.count(name, "begin"), self.count(name, "end")
        seen = f"{name}: {s['state']}, {attempts} attempts, begun {begun}, ended {ended}, status {s}"
        expect(attempts <= 1 + self.tasks[name], f"too many attempts: {seen}")
        expect(max(begun) <= attempts, f"a step ran more than once in an attempt: {seen}")
        for i in range(1, STEPS):
            expect(begun[i] <= ended[i - 1], f"a step began before the one before it had ended: {seen}")
        reason = condition({"status": s}, "Finished").get("reason")
        if s["state"] == "Succeeded":
            expect(min(ended) >= 1, f"a false success: {seen}")
            equal((s["exitCode"], [r["exitCode"] for r in s["steps"]]), (0, [0] * STEPS), f"exit codes of {name}")
        else:
            expect(s["exitCode"] != 0 and reason in reasons, f"reason {reason}: {seen}")
        with self.lock:
            key = f"{s['state']}/{reason}" + (f" at attempt {attempts}" if attempts > 1 else "")
            self.ends[key] = self.ends.get(key, 0) + 1

    def done(self):
        """Checks that each task that was made is there, has ended, and has never changed its end."""
        items = {o["metadata"]["name"]: o for o in self.t.api.get(path_of(self.t.ns, "Task"))["items"]}
        equal(sorted(items), sorted(self.tasks), "the tasks that are there")
        open_ones = [n for n, o in items.items() if o.get("status", {}).get("state") not in FINAL]
        expect(not open_ones, f"tasks without an end: {open_ones}")
        self.states.check(self.tasks)
        figure(f"{self.what} kills in mid-step: {sum(self.hits)} (step 1, 2, 3: {', '.join(map(str, self.hits))}); {len(self.tasks)} tasks: "
               + ", ".join(f"{n} {k}" for k, n in sorted(self.ends.items())) + (f"; slowest end {self.slowest_s:.1f} s after the kill" if self.slowest_s else ""))
        expect(self.missing() <= 0, f"{sum(self.hits)} of {self.goal} kills hit a step")

    def rounds(self, one):
        """Calls one(i), AT_ONCE at a time, until enough kills came during a step. A kill between two steps does not count."""
        budget = itertools.count()

        def work():
            while self.missing() > 0:
                i = next(budget)
                expect(i < 3 * self.goal + 10, f"only {sum(self.hits)} of {i} kills hit a step")
                one(i)
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for f in [pool.submit(work) for _ in range(min(AT_ONCE, self.goal))]:
                f.result()

    def end_of(self, name, killed_at, reasons):
        s = self.t.finished(name, LIMIT_S)
        with self.lock:
            self.slowest_s = max(self.slowest_s, time.monotonic() - killed_at)
        self.check(name, s, reasons)
        return s


@case(alone=True)
def sidecars_killed_in_mid_step(t):
    """Each kill gets a new sandbox, since the kubelet delays each further restart of a container longer."""
    k = Kills(t, "sidecar")

    def one(i):
        box = t.box(name=f"box-{i}")
        pid = tools.sidecar_pid(t.get("Sandbox", box)["status"]["podUID"])
        name = k.begin(box, retries=2 * (i % 2))
        step = k.mid_step(name)
        if step is not None:
            os.kill(pid, 9)
            k.hit(step)
            s = k.end_of(name, time.monotonic(), ("AgentRestarted",))
            if i % 2:
                equal(s["state"], "Succeeded", f"state of {name}, whose pod lives and which may be tried again")
        else:
            k.end_of(name, time.monotonic(), ())
        t.delete("Sandbox", box)
    k.rounds(one)
    k.done()


@case(alone=True)
def operators_killed_in_mid_step(t):
    """The pods are not touched: so each task succeeds at its first attempt, and each of its steps runs exactly once."""
    k = Kills(t, "operator")
    boxes = [t.box(name=f"box-{i}") for i in range(AT_ONCE)]
    now = {b: k.begin(b, retries=0) for b in boxes}     # sandbox: its task
    stop = threading.Event()

    def work(box):
        while True:
            name = now[box]
            k.check(name, t.finished(name, LIMIT_S), ())
            equal((k.count(name, "begin"), k.count(name, "end")), ([1] * STEPS, [1] * STEPS), f"how often the steps of {name} ran")
            if stop.is_set():
                return
            now[box] = k.begin(box, retries=random.randint(0, 1))

    def kill():
        try:
            # A kill between two tasks hits no step. How many kills that are depends on how busy the machine is.
            end = time.monotonic() + 300 + 3 * k.goal
            while k.missing() > 0 and time.monotonic() < end:
                step = k.mid_step(now[random.choice(boxes)])
                if step is not None and not stop.is_set():
                    t.env.operator.kill()
                    k.hit(step)
        finally:
            stop.set()

    def watched(f, *args):
        try:
            f(*args)
        finally:
            stop.set()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE + 1) as pool:
        running = [pool.submit(watched, work, b) for b in boxes] + [pool.submit(kill)]
        for f in running:
            f.result()
    t.env.operator_answers()
    equal(len(t.pods(status="allocated")), AT_ONCE, "allocated pods")
    k.done()


@case(alone=True)
def pods_deleted_in_mid_step(t):
    """Half of the pods get their grace period, the others none. The workspace goes with the pod, so there is no further attempt."""
    k = Kills(t, "pod")

    def one(i):
        box = t.box(name=f"box-{i}")
        pod = t.get("Sandbox", box)["status"]["podName"]
        name = k.begin(box, retries=i % 2)
        step = k.mid_step(name)
        if step is not None:
            options = {} if i % 4 < 2 else {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
            t.api.call("DELETE", path_of(t.ns, "pods", pod), options or None)
            k.hit(step)
            k.end_of(name, time.monotonic(), ("PodLost",))
            t.phase(box, "Failed", 30)
        else:
            k.end_of(name, time.monotonic(), ())
        t.delete("Sandbox", box)
    k.rounds(one)
    k.done()
    expect(k.slowest_s < 10, f"a lost pod was seen after {k.slowest_s:.1f} s")


@case()
def a_step_that_fails_twice_then_succeeds(t):
    """The workspace outlives attempts in one pod: the first attempt loses its agent, the second one exits with 9, the third succeeds."""
    folder = t.env.host_pool(t, 1)
    box = t.box()
    uid = t.get("Sandbox", box)["status"]["podUID"]
    name = t.task(box, sh(f"echo x >> {WORK}/tries; n=$(wc -l < {WORK}/tries); [ $n -ge 3 ] && exit 0; [ $n -eq 2 ] && exit 9; sleep 600"),
                  retries=3, timeout="700s")
    expect(quick(lambda: lines(os.path.join(folder, "tries"))), "the step did not begin")
    os.kill(tools.sidecar_pid(uid), 9)
    s = t.finished(name, LIMIT_S)
    equal((s["state"], s["attempt"], len(lines(os.path.join(folder, "tries")))), ("Succeeded", 3, 3), "state, attempt, lines")
    equal([(a["attempt"], a["reason"]) for a in s["attempts"]][:2], [(1, "AgentRestarted"), (2, "StepFailed")], "the attempts before")
