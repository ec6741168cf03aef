"""Two operators: hand-overs, a leader that stands still, and two operators that act at once."""
import os
import random
import signal
import statistics
import subprocess
import time

import tools
from base import LONG, Work, summary
from cases_server import Load
from harness import case, equal, expect, wait
from tools import figure

HANDOVERS = int(os.environ.get("ARL_HANDOVERS", "50" if LONG else "4"))
STILL_S = 60 if LONG else 20
CROWD, CROWD_PODS = (300, 100) if LONG else (24, 8)
HANDOVER_S = 1      # limit of the median of hand-overs
LEASE_FREE_S = 5    # limit of each: much less than the 15 s after which the lease runs out
# How many pods too many two operators may make that do not know of each other's creates: 16 each (CREATES_AT_ONCE of refill_step.h), and
# some more, since watches may be late.
AT_ONCE = 50
LEASE = "/apis/coordination.k8s.io/v1/namespaces/arl-system/leases/arl-operator"


class Pair:
    """Two operators beside the cluster. With elect they elect a leader, else both act. The suite's own operator is stopped."""

    def __init__(self, t, elect=True):
        self.t, self.elect, self.lives = t, elect, 0
        t.env.operator.stop()
        self.processes = {}     # identity: process
        for _ in range(2):
            self.add()

    def add(self):
        self.lives += 1
        name = f"pair-{os.getpid()}-{self.lives}"
        argv = [a for a in self.t.env.operator.argv if not a.startswith(("--identity", "--listen"))]
        argv += [f"--identity={name}", f"--listen=127.0.0.1:{tools.free_port()}"] + ([] if self.elect else ["--leader-elect=false"])
        with open(self.t.env.operator.log, "ab") as log:
            self.processes[name] = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def holder(self):
        return self.t.api.get(LEASE)["spec"].get("holderIdentity", "")

    def leader(self, other_than="", limit=30):
        """Waits for a leader, and returns its identity. Looks every few milliseconds, to measure hand-overs."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            name = self.holder()
            if name != other_than and name in self.processes:
                return name
            time.sleep(0.005)
        raise TimeoutError(f"the lease is held by {self.holder()!r}, of {list(self.processes)}")

    def end(self, name, number):
        process = self.processes.pop(name)
        process.send_signal(number)
        return process

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.processes.values():
            process.wait(20)
        self.t.env.operator.start()


@case(alone=True)
def hand_overs_under_load(t):
    """The leader is ended by SIGTERM, and every fifth time by SIGKILL, after which the lease has to run out."""
    with Work(t) as w, Pair(t) as pair:
        leader = pair.leader()
        load = Load(w)
        told, killed = [], []
        for i in range(HANDOVERS):
            load.ends(3)
            gently = i % 5 != 4
            began = time.monotonic()
            process = pair.end(leader, signal.SIGTERM if gently else signal.SIGKILL)
            leader = pair.leader(other_than=leader)
            (told if gently else killed).append(time.monotonic() - began)
            expect(process.wait(20) in (0, -signal.SIGKILL), f"exit status {process.returncode}")
            pair.add()
        load.stop()
        figure(f"{HANDOVERS} hand-overs, {len(w.made)} tasks; until the other one leads: after SIGTERM {summary(told)}, after SIGKILL {summary(killed)}")
        w.settle(load.boxes)
        expect(statistics.median(told) < HANDOVER_S and max(told) < LEASE_FREE_S, f"hand-overs took {summary(told)}")


@case(alone=True)
def a_leader_stands_still(t):
    """The leader is stopped for longer than its lease lasts. When it goes on, the other one leads."""
    with Work(t) as w, Pair(t) as pair:
        load = Load(w)
        for _ in range(2):
            leader = pair.leader()
            wait("tasks to end", lambda: len(w.states.finals) >= 4, 60)
            stopped = pair.processes[leader]
            stopped.send_signal(signal.SIGSTOP)
            began = time.monotonic()
            other = pair.leader(other_than=leader)
            taken = time.monotonic() - began
            time.sleep(max(0, STILL_S - taken))  # tested: the leader stands still for STILL_S in all
            stopped.send_signal(signal.SIGCONT)
            load.ends(6)
            expect(pair.holder() == other, f"{pair.holder()} leads, not {other}")
            expect(stopped.poll() is None, f"the one that stood still ended: {stopped.returncode}")
            figure(f"a leader stood still for {STILL_S} s; the other led after {taken:.1f} s")
        load.stop()
        w.settle(load.boxes)


def has_pod(t, box, may_be_taken):
    """Waits until the sandbox has its pod. Of two operators that act at once each may give the same pod to another sandbox; one of the two
    sandboxes is PodTaken then. Returns False for that one, where it may happen."""
    def look():
        s = t.get("Sandbox", box).get("status", {})
        if s.get("phase") == "Failed":
            expect(may_be_taken and s["conditions"][0]["reason"] == "PodTaken", f"the sandbox: {s}")
            return "taken"
        expect(s.get("phase") == "Ready", f"{s.get('phase')}: {s.get('conditions')}")
        return t.pod_of(box)["metadata"]["labels"].get("arl.infra.io/sandbox") == box and "has it"
    return wait(f"Sandbox {box} to have its pod", look, 900) == "has it"


def crowd(t, elect):
    """Two operators serve more sandboxes than there are pods. Returns the largest number of pods that were idle or starting at once."""
    with Work(t, replicas=CROWD_PODS) as w, Pair(t, elect=elect):
        boxes = [w.sandbox() for _ in range(CROWD)]
        served, taken = set(), 0
        for box in boxes:
            if not has_pod(t, box, may_be_taken=not elect):
                taken += 1
                w.drop(box)
                boxes.append(w.sandbox())
                continue
            served.add(box)
            name = w.task(box, steps=1)
            if random.random() < 0.5:
                w.ended(name)
            # The node has room for 250 pods: served sandboxes are deleted, so that the others get pods.
            if len(served) > CROWD_PODS // 2:
                gone = served.pop()
                for n, _ in w.made:
                    w.ended(n)
                w.drop(gone)

        def one_each():
            names = sorted(p["metadata"]["labels"]["arl.infra.io/sandbox"] for p in t.pods(status="allocated") if "deletionTimestamp" not in p["metadata"])
            equal(names, sorted(served), "the sandboxes that the pods belong to")
            return True
        wait("one pod for each sandbox", one_each, 60)
        doubles = sum(1 for pods in w.owners.pods.values() if len(pods) > 1)
        figure(f"{CROWD} sandboxes on {CROWD_PODS} pods, two operators, {'one of them leads' if elect else 'both act'}: at most {w.owners.most_idle} pods idle or coming at once, "
               f"{doubles} sandboxes had two pods for a moment, {taken} lost theirs to another one before anything was sent to it")
        w.settle(served, leader=elect)
        return w.owners.most_idle


@case(alone=True)
def a_crowd_and_two_of_which_one_leads(t):
    """A replacement may be made while the claim of the idle pod is still under way. So a quarter more idle pods than replicas are
    allowed, as a Deployment allows by default."""
    most = crowd(t, elect=True)
    expect(most <= CROWD_PODS + CROWD_PODS // 4, f"{most} idle pods for {CROWD_PODS} replicas")


@case(alone=True)
def a_crowd_and_two_that_act(t):
    """The operators do not know of each other: both may make pods for the same lack at the same moment. All else must be right."""
    most = crowd(t, elect=False)
    expect(most <= CROWD_PODS + min(CROWD_PODS, AT_ONCE), f"{most} idle pods for {CROWD_PODS} replicas")
