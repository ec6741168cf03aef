"""A client against a server that keeps objects and runs tasks, with random faults from a seed.

Whatever breaks, each call returns the right result or raises its error, and nothing runs twice.
"""

import itertools
import random
import threading

import pytest
from arl import Sandbox, _connection, _hub, errors
from fake_cluster import LIMIT_S, Cluster

COMMANDS = 8


def seeded(seed, kinds):
    """A fault function that returns one of these faults now and then. A lock guards the random numbers, since threads call it."""
    rng, lock = random.Random(seed), threading.Lock()

    def fault(moment, method, watch):
        with lock:
            what = rng.choice(kinds.get((moment, watch), [None]))
            return what if rng.random() < 0.4 else None
    return fault


KINDS = {
    "cut": {("event", True): ["reset"], ("before", True): ["reset"]},
    "expired": {("event", True): ["expired"], ("before", True): [410]},
    "busy": {("before", False): [429, 503, "reset"], ("before", True): [429, 503, "reset"]},
    "lost": {("after", False): ["reset"]},
    "all": {("event", True): ["reset", "expired"], ("before", True): [429, 500, 410, "reset"], ("before", False): [429, 503, "reset"], ("after", False): ["reset"]},
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(_hub, "PAUSE_MAX_S", 0.1)
    monkeypatch.setattr(_connection, "RETRY_MAX_S", 0.1)


def work(cluster):
    with Sandbox.create("pool", connection=cluster.connection, timeout=LIMIT_S) as sandbox:
        for i in range(COMMANDS):
            assert sandbox.run([f"{i}"], timeout=1).stdout == f"{i}"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_every_call_returns_the_right_result_and_nothing_runs_twice(kind, seed):
    cluster = Cluster(seeded(seed, KINDS[kind]))
    try:
        work(cluster)
    finally:
        cluster.close()
    assert cluster.ran == [f"{i}" for i in range(COMMANDS)]
    assert [key for key in cluster.objects if key[0] == "sandboxes"] == []


def test_who_is_not_known_any_more_is_told():
    """Every third POST is refused with 401: that call fails, and the others succeed."""
    posts = itertools.count(1)

    def fault(moment, method, watch):
        return 401 if (moment, method) == ("before", "POST") and next(posts) % 3 == 0 else None
    cluster = Cluster(fault)
    try:
        with Sandbox.create("pool", connection=cluster.connection, timeout=LIMIT_S) as sandbox:
            right, refused = [], []
            for i in range(COMMANDS):
                try:
                    right.append(sandbox.run([f"{i}"], timeout=1).stdout)
                except errors.NotAllowed:
                    refused.append(f"{i}")
    finally:
        cluster.close()
    assert (cluster.ran, sorted(right + refused)) == (right, [f"{i}" for i in range(COMMANDS)])
    assert refused


def test_a_server_that_is_gone_is_an_error_and_no_hang(monkeypatch):
    monkeypatch.setattr(_connection, "RETRY_S", 0.2)
    monkeypatch.setattr(_connection, "LOST_S", 0.2)
    away = []
    cluster = Cluster(lambda moment, method, watch: away[0] if away else None)
    try:
        sandbox = Sandbox.create("pool", connection=cluster.connection, timeout=LIMIT_S)
        away.append("reset")
        with pytest.raises(errors.ClusterUnreachable):
            sandbox.run(["x"], timeout=1)
        away.clear()
        sandbox.delete()
    finally:
        cluster.close()
    assert (cluster.ran, cluster.objects) == ([], {})
