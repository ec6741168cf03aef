"""The API server is killed, is unavailable for a long time, and its streams break."""
import itertools
import os
import random
import threading
import time

from base import END_S, LONG, summary, Work
from harness import case, equal, expect, wait
from proxy import SILENCE, Answer, Cut, HalfCut
from tools import figure

KILLS = int(os.environ.get("ARL_API_KILLS", "200" if LONG else "3"))
OUTAGE_S = 300 if LONG else 20
RETURN_S = 5
BOXES = 3


class Load:
    """Tasks, one after the other in each of some sandboxes."""

    def __init__(self, w, boxes=BOXES, lasting=0.3, patience=END_S):
        self.w, self.stopping, self.errors, self.patience = w, False, [], patience
        self.boxes = [w.sandbox() for _ in range(boxes)]
        self.lasting = lasting
        self.threads = [threading.Thread(target=self.run, args=(b,)) for b in self.boxes]
        for thread in self.threads:
            thread.start()

    def run(self, box):
        try:
            while not self.stopping:
                self.w.ended(self.w.task(box, lasting=self.lasting), self.patience)
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(e)

    def check(self):
        if self.errors:
            raise RuntimeError(f"the load: {self.errors}")

    def ends(self, count, limit=60):
        """Waits until so many more tasks have ended."""
        before = len(self.w.states.finals)

        def look():
            self.check()
            return len(self.w.states.finals) >= before + count
        wait("tasks to end", look, limit)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()
        self.check()


def done_since(proxy, since):
    """When the first write of a task, sandbox or pod after that moment was sent that the server accepted; None: there is none yet."""
    return next((r.began for r in list(proxy.requests) if r.began >= since and r.writes("tasks", "sandboxes", "pods")
                 and r.status and r.status < 300), None)


@case(alone=True)
def api_server_killed_under_load(t):
    with Work(t) as w:
        load = Load(w)
        waits, slow = [], []
        for _ in range(KILLS):
            load.ends(2)
            t.env.proxy.reset()
            r = t.env.cluster_command("kill", "kube-apiserver")
            equal(r.returncode, 0, f"cluster kill: {r.stderr}")
            killed = time.monotonic()
            wait("the API server to answer again", t.env.api_server_answers, 60)
            ready = time.monotonic()
            first = wait("the first write after that", lambda: done_since(t.env.proxy, killed), 60)
            waits.append(max(0.0, first - ready))
            if waits[-1] > RETURN_S:
                slow.append([(f"{q.began - ready:.1f} s", q) for q in list(t.env.proxy.requests) if q.began > killed and not q.began > first])
        load.stop()
        figure(f"API server killed {KILLS} times, {len(w.made)} tasks; from its return to the operator's first write: {summary(waits)}")
        w.settle(load.boxes)
        expect(max(waits) <= RETURN_S, f"the first write came {max(waits):.1f} s after the API server was back, and before: {slow[:3]}")


@case(alone=True)
def not_available_for_long(t):
    """503 for each request: the operator makes about one request a second in all, and works again soon after the outage."""
    with Work(t) as w:
        load = Load(w, boxes=2, patience=OUTAGE_S + END_S)
        proxy = t.env.proxy
        load.ends(4)
        proxy.reset()
        proxy.hook = lambda when, request: Answer(503, "ServiceUnavailable") if when == "before" else None
        proxy.end_watches()
        began = time.monotonic()
        time.sleep(OUTAGE_S)  # tested: a long outage
        requests = [r for r in list(proxy.requests) if r.began - began > 5]
        proxy.hook = None
        over = time.monotonic()
        first = wait("the first write after that", lambda: done_since(proxy, over), 60)
        figure(f"503 for {OUTAGE_S} s: {len(requests)} requests after the first 5 s, {len(requests) / (OUTAGE_S - 5):.2f} a second; first write {first - over:.2f} s after the end")
        load.stop()
        w.settle(load.boxes)
        expect(len(requests) <= OUTAGE_S - 5 + 2, f"{len(requests)} requests in {OUTAGE_S - 5} s: {requests[:20]}")
        expect(first - over <= RETURN_S, f"the first write came {first - over:.1f} s after the outage")


def cut_somewhere(data, how=Cut):
    """Ends the watch within every fifth part, at a random byte."""
    if random.random() < 0.8:
        yield data
        return
    at = random.randrange(len(data))
    if at:
        yield data[:at]
    raise how


def half_closed(data):
    return cut_somewhere(data, HalfCut)


def single_bytes(data):
    return (data[i:i + 1] for i in range(len(data)))


def late(data):
    time.sleep(random.uniform(0, 0.5))  # tested: a delay
    yield data


@case(alone=True)
def streams_cut_split_and_late(t):
    with Work(t) as w:
        for what, chop in (("cut at any byte", cut_somewhere), ("half closed at any byte", half_closed),
                           ("split into bytes", single_bytes), ("up to 0.5 s late", late)):
            t.env.proxy.reset()
            t.env.proxy.chop = chop
            t.env.proxy.end_watches()
            load = Load(w, boxes=2, lasting=0.05)
            wait("tasks to end", lambda: sum(1 for n, _ in w.made if n in w.states.finals) >= (60 if LONG else 10), 300)
            load.stop()
            t.env.proxy.chop = None
            watches = sum(1 for r in t.env.proxy.requests if r.is_watch)
            figure(f"watches {what}: {len(w.made)} tasks, {watches} watches begun")
            w.settle(load.boxes)
            w.made.clear()


@case(alone=True)
def calls_that_are_late_or_never_answered(t):
    """First each call is late, on the way there and on the way back. Then some writes are never answered: not sent on, or applied."""
    def late_call(when, request):
        if when != "after" and not request.is_watch and "/leases/" not in request.path:
            time.sleep(random.uniform(0, 1))  # tested: a delay

    def unheard(when, request):
        if when != moment or not request.writes("tasks", "sandboxes", "pods"):
            return None
        n = next(silences)
        return SILENCE if n % 4 == 0 and (LONG or n == 0) else None     # the operator waits half a minute for each
    with Work(t) as w:
        for moment, hook in (("", late_call), ("before", unheard), ("applied", unheard)):
            silences = itertools.count()
            t.env.proxy.hook = hook
            load = Load(w, boxes=2, lasting=0.05)
            wait("tasks to end", lambda: sum(1 for n, _ in w.made if n in w.states.finals) >= (40 if LONG else 8), 600)  # pylint: disable=cell-var-from-loop
            load.stop()
            t.env.proxy.hook = None
            w.settle(load.boxes)
            figure(f"{moment + ': writes never answered' if moment else 'calls and answers up to 1 s late'}: {len(w.made)} tasks, all right and once")
            w.made.clear()


class Muted:
    """Makes the present watches silent: they stay open but bring nothing, as if the server behind a proxy had vanished.

    When the operator has given one of them up and begins another, that one works, and so do all later ones. In the proxy each watch has
    a thread of its own, by which the silent ones are known."""

    def __init__(self, proxy):
        self.proxy, self.more, self.threads = proxy, True, set()
        proxy.chop, proxy.hook = self.chop, self.hook

    def chop(self, data):
        if self.more:
            self.threads.add(threading.get_ident())
        return () if threading.get_ident() in self.threads else (data,)

    def hook(self, when, request):
        if when == "before" and request.is_watch:
            self.more = False


if LONG:    # the operator gives a silent watch up after three minutes (operator/kube/reflector.c, WATCH_SILENCE_MS)
    @case(alone=True)
    def watches_that_fall_silent(t):
        with Work(t) as w:
            box = w.sandbox()
            w.ended(w.task(box))
            Muted(t.env.proxy)
            began = time.monotonic()
            w.ended(w.task(box), 300)
            figure(f"watches that are open and silent: a task is heard of {time.monotonic() - began:.0f} s later")
            w.settle([box])


@case(alone=True)
def watches_ended_again_and_again(t):
    """After a clean end the operator begins the watch again where it ended, without a list."""
    with Work(t) as w:
        load = Load(w, boxes=2, lasting=0.05)
        load.ends(4)
        t.env.proxy.reset()
        for _ in range(5):
            # A watch that ended soon and without an event is begun again after a pause.
            wait("four watches", lambda: len(t.env.proxy.watches) >= 4, 30)
            t.env.proxy.end_watches()
            load.ends(4)
        load.stop()
        lists = [r for r in t.env.proxy.requests if r.method == "GET" and "limit=" in r.path]
        expect(len(lists) <= 2, f"lists after clean ends: {lists}")
        w.settle(load.boxes)

