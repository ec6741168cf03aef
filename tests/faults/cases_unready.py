"""Pools whose pods cannot become ready: a large one, which gets only a few of its pods, and a small one."""
import time

import tools
from base import LONG
from harness import IMAGES, case, condition, contains, expect, pool_object, wait
from tools import figure

LASTING_S = 600 if LONG else 60
AT_MOST = 20
POOLS = {   # name: replicas, the container, and what the condition must name
    "missing": (50, {"image": "localhost/no/such:1"}, "localhost/no/such:1"),
    "ending": (3, {"image": IMAGES["busybox"], "command": ["sh", "-c", "exit 3"]}, "executor"),
}


class Made(tools.Watch):
    """The uids of all pods that ever existed, by pool."""

    def __init__(self, t):
        self.uids = {name: set() for name in POOLS}
        super().__init__(t, "pods")

    def take(self, _, obj):
        self.uids[obj["metadata"]["labels"]["arl.infra.io/pool"]].add(obj["metadata"]["uid"])


@case(alone=True)
def pods_that_never_get_ready(t):
    """Few are made, and a condition says why."""
    made = Made(t)
    for name, (replicas, container, _) in POOLS.items():
        t.create(pool_object(name, replicas=replicas, spec={"containers": [{"name": "executor", **container}]}))
    time.sleep(LASTING_S)   # tested: the number of pods made in this time

    def failing(name):
        c = condition(t.get("WarmPool", name), "PodsFailing")
        expect(c.get("status") == "True", f"PodsFailing of {name}: {c}")
        return c
    for name, (*_, named) in POOLS.items():
        contains(wait("the condition PodsFailing", lambda: failing(name), 60)["message"], named, what="the condition's message")  # pylint: disable=cell-var-from-loop
    made.stop()
    figure(f"pools whose pods never get ready, for {LASTING_S} s: "
           + ", ".join(f"{len(u)} pods made of {n}, {POOLS[n][0]} wanted" for n, u in made.uids.items()))
    expect(all(3 <= len(u) <= AT_MOST for u in made.uids.values()), f"pods made: {made.uids}")
