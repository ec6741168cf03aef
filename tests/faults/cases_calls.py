"""The operator is killed by SIGKILL at each of its calls, at three moments. And: calls that fail."""
import itertools
import threading
import time

from base import END_S, LONG, Work, summary
from harness import case, expect, wait
from proxy import RESET, Answer
from tools import figure

MOMENTS = ("before", "applied", "after")
SAMPLES = 12
DISPATCH_S = 2
# Two runs of the same work differ by a few calls, since Events and statuses are put together or not. An operator whose work is done
# still renews its lease every 2 s, so it reaches the wanted call a little later: wait for so long.
MORE_S = 20
TRIES = 3


class Round:
    """A sandbox and two tasks that are made while no operator runs. The next operators do this work."""

    def __init__(self, w):
        self.w, self.operator, self.proxy = w, w.t.env.operator, w.t.env.proxy
        self.stop()
        self.box = w.sandbox()
        self.tasks = [w.task(self.box) for _ in range(2)]

    def stop(self):
        self.proxy.hook = None
        if self.operator.process.poll() is None:
            self.operator.process.kill()
            self.operator.process.wait()
        self.proxy.reset()

    def start(self):
        self.proxy.reset()
        self.operator.start()
        return time.monotonic()

    def kill_at(self, number, moment):
        """Starts the operator and kills it at this call. False if the operator never made that call."""
        killed = threading.Event()

        def hook(when, request):
            if request.number == number and when == moment:
                self.operator.process.kill()
                killed.set()
            return RESET if killed.is_set() else None
        self.proxy.hook = hook
        self.start()
        end = time.monotonic() + END_S
        while not killed.wait(0.02) and time.monotonic() < end:
            if all(self.w.states.finals.get(t) for t in self.tasks):
                killed.wait(MORE_S)
                break
        self.operator.process.kill()
        self.operator.process.wait()
        self.proxy.hook = None
        return killed.is_set()

    def claimed(self):
        return bool(self.w.t.get("Sandbox", self.box).get("status", {}).get("podName")) or any(
            p["metadata"]["labels"].get("arl.infra.io/sandbox") == self.box for p in self.w.t.pods())

    def finish(self):
        self.w.settle([self.box])
        self.w.made.clear()


def first_claim(proxy, began):
    return next((r.began - began for r in list(proxy.requests) if r.writes("pods") and r.method == "PATCH"), None)


@case(alone=True)
def operator_killed_at_each_call(t):
    """Whatever the killed operator had sent or heard, the next one finishes the same work, and each step runs once."""
    with Work(t) as w:
        proxy = t.env.proxy
        r = Round(w)
        r.start()
        for name in r.tasks:
            w.ended(name)
        calls = len(proxy.requests)     # without the calls of finish(), whose number depends on how long that takes
        r.finish()
        expect(calls > 10, f"only {calls} calls: {proxy.requests}")
        places = list(itertools.product(range(1, calls + 1), MOMENTS))
        if not LONG:
            places = places[::max(1, len(places) // SAMPLES)]
        missed, waits = [], []

        def killed_at(number, moment):
            r = Round(w)
            killed = r.kill_at(number, moment)
            waiting, sent = not r.claimed(), first_claim(proxy, 0) is not None
            began = r.start()
            r.finish()
            if waiting:
                claim = first_claim(proxy, began)
                # A claim that the killed operator had sent may have been applied a moment after r.claimed() looked.
                expect(sent or claim is not None, f"killed {moment} call {number}: no claim was seen")
                if claim is not None:
                    waits.append(claim)
            return killed
        for number, moment in places:
            if not any(killed_at(number, moment) for _ in range(TRIES)):
                missed.append((number, moment))
        figure(f"operator killed at {len(places) - len(missed)} of {len(places)} places: {calls} calls, before, in and after each; "
               f"from its start to the claim that waited: {summary(waits)}")
        expect(not missed, f"not one kill came at (call, moment) {missed}")
        expect(not waits or max(waits) <= DISPATCH_S, f"the first claim came {max(waits):.1f} s after the start")


def every(n, result, moment="before", of=lambda r: True):
    """A hook for the proxy that lets every n-th call fail, of those for which of(request) is true."""
    count = itertools.count(1)

    def hook(when, request):
        if when == moment and not request.is_watch and "/leases/" not in request.path and of(request) and next(count) % n == 0:
            return result
        return None
    return hook


def is_write(request):
    return request.method != "GET"


@case(alone=True)
def calls_that_fail(t):
    """While work goes on, every third call fails; each kind of failure in turn."""
    with Work(t) as w:
        proxy = t.env.proxy
        kinds = {
            "reset before": every(3, RESET, "before"),
            "reset after it was applied": every(3, RESET, "applied", is_write),
            "409": every(3, Answer(409, "Conflict"), "before", is_write),
            "429": every(3, Answer(429, "TooManyRequests", headers={"Retry-After": "1"})),
            "500": every(3, Answer(500, "InternalError")),
            "503": every(3, Answer(503, "ServiceUnavailable")),
            "504 though applied": every(3, Answer(504, "Timeout"), "applied", is_write),
        }
        for what, hook in kinds.items():
            proxy.hook = hook
            boxes = [w.sandbox() for _ in range(2)]
            for _ in range(3):
                for box in boxes:
                    w.task(box)
            for name, _ in w.made:
                w.ended(name)
            proxy.hook = None
            w.settle(boxes)
            w.made.clear()
            figure(f"{what}, every third call: 2 sandboxes, 6 tasks, all right and once")


@case(alone=True)
def answers_that_say_gone(t):
    """410 as the answer to a watch, and as an ERROR event in one: the operator lists again and goes on."""
    with Work(t) as w:
        proxy = t.env.proxy
        box = w.sandbox()
        w.ended(w.task(box))
        refused = []

        def hook(when, request):
            if when == "before" and request.is_watch and len(refused) < 4:
                refused.append(request)
                return Answer(410, "Expired", "too old resource version")
            return None

        def lists():
            return sum(1 for r in list(proxy.requests) if r.method == "GET" and "limit=" in r.path)
        error = b'{"type":"ERROR","object":{"kind":"Status","status":"Failure","message":"too old resource version","reason":"Expired","code":410}}\n'
        proxy.reset()
        proxy.hook = hook
        proxy.end_watches()
        w.ended(w.task(box))
        wait("four watches to be refused, and lists after them", lambda: len(refused) >= 4 and lists() >= 4, 60)
        proxy.hook = None
        once = threading.Lock()

        def chop(data):
            yield error if once.acquire(blocking=False) else data
        proxy.reset()
        proxy.chop = chop
        w.ended(w.task(box))
        w.ended(w.task(box))
        proxy.chop = None
        wait("a list after the ERROR event", lists, 60)
        w.settle([box])
