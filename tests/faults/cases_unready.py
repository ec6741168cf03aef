"""Pools whose pods cannot become ready."""
import time

import tools
from base import LONG
from harness import IMAGES, case, condition, contains, expect, pool_object, wait
from tools import figure

LASTING_S = 600 if LONG else 60
AT_MOST = 20
POOLS = {   # name: the container, and what the condition must name
    "missing": ({"image": "localhost/no/such:1"}, "localhost/no/such:1"),
    "ending": ({"image": IMAGES["busybox"], "command": ["sh", "-c", "exit 3"]}, "executor"),
}


class Made(tools.Watch):
    """Every pod that there ever was, by pool."""

    def __init__(self, t):
        self.uids = {name: set() for name in POOLS}
        super().__init__(t, "pods")

    def take(self, _, obj):
        self.uids[obj["metadata"]["labels"]["arl.infra.io/pool"]].add(obj["metadata"]["uid"])


@case(alone=True)
def pods_that_never_get_ready(t):
    """Few are made, and a condition says why."""
    made = Made(t)
    for name, (container, _) in POOLS.items():
        t.create(pool_object(name, replicas=3, spec={"containers": [{"name": "executor", **container}]}))
    time.sleep(LASTING_S)   # how long it lasts is what is tested

    def failing(name):
        c = condition(t.get("WarmPool", name), "PodsFailing")
        expect(c.get("status") == "True", f"PodsFailing of {name}: {c}")
        return c
    for name, (_, named) in POOLS.items():
        contains(wait("the condition PodsFailing", lambda: failing(name), 60)["message"], named, what="the condition's message")  # pylint: disable=cell-var-from-loop
    made.stop()
    figure(f"pools of 3 whose pods never get ready, for {LASTING_S} s: " + ", ".join(f"{len(u)} pods made of {n}" for n, u in made.uids.items()))
    expect(all(3 <= len(u) <= AT_MOST for u in made.uids.values()), f"pods made: {made.uids}")
