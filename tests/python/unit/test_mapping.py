"""An arl.map that is broken off begins no further item, and leaves nothing behind."""

import asyncio
import contextlib
import os
import signal
import threading
import time

import arl
import pytest
from arl import _connection, mapping
from fake_cluster import Cluster

LIMIT_S = 20


@pytest.fixture
def cluster():
    c = Cluster(endless=True)
    yield c
    c.close()


def wait_for(condition):
    until = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def threads():
    return [t.name for t in threading.enumerate() if t.name == "arl-map"]


@contextlib.contextmanager
def ctrl_c_when(condition):
    def press():
        wait_for(condition)
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=press)
    thread.start()
    yield
    thread.join()


KINDS = {
    "run": lambda s, i: s.run(f"{i}", timeout=600),
    "execute": lambda s, i: s.execute([{"name": "x", "type": "Command", "command": [f"{i}"]}], timeout=600),
    "wait": lambda s, i: s.start(f"{i}", timeout=600).wait(),
}


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_ends_what_runs_and_begins_nothing(cluster, kind):
    began = time.monotonic()
    with ctrl_c_when(lambda: len(cluster.ran) == 3), pytest.raises(KeyboardInterrupt):
        list(arl.map(KINDS[kind], range(9), "p", 3, connection=cluster.connection))
    assert time.monotonic() - began < mapping.GRACE_S
    assert (sorted(cluster.ran), threads()) == (["0", "1", "2"], [])
    assert [key for key in cluster.objects if key[0] == "sandboxes"] == []
    assert len(cluster.canceled) == (0 if kind == "wait" else 3)


def test_no_code_of_an_item_goes_on(cluster):
    """As with Ctrl-C, an item's code does not go on even if it catches each Exception."""
    def work(sandbox, item):
        for _ in range(5):
            with contextlib.suppress(Exception):
                sandbox.run("x", timeout=600)
    with ctrl_c_when(lambda: cluster.ran), pytest.raises(KeyboardInterrupt):
        list(arl.map(work, [1, 2], "p", 1, connection=cluster.connection))
    assert (cluster.ran, threads()) == (["x"], [])


def test_a_pause_before_a_request_is_made_again_is_broken_off(monkeypatch):
    """The item's code does not go on after the pause, either."""
    monkeypatch.setattr(_connection, "RETRY_FIRST_S", 15.0)
    posts, caught = [], []

    def fault(moment, method, watch):
        if (moment, method) == ("before", "POST"):
            posts.append(1)
            return 503 if len(posts) > 1 else None
        return None

    def work(sandbox, item):
        try:
            sandbox.run("x", timeout=600)
        except Exception as e:
            caught.append(e)
    cluster = Cluster(fault)
    try:
        with ctrl_c_when(lambda: len(posts) == 2), pytest.raises(KeyboardInterrupt):
            list(arl.map(work, [1, 2], "p", 1, connection=cluster.connection))
        assert (threads(), len(posts), caught, cluster.objects) == ([], 2, [], {})
    finally:
        cluster.close()


def test_an_item_that_cannot_be_broken_off_keeps_nobody(cluster, monkeypatch):
    monkeypatch.setattr(mapping, "GRACE_S", 0.2)
    begun, end = threading.Event(), threading.Event()

    def work(sandbox, item):
        begun.set()
        end.wait(LIMIT_S)
    with ctrl_c_when(begun.is_set), pytest.raises(KeyboardInterrupt):
        list(arl.map(work, [1, 2], "p", 1, connection=cluster.connection))
    assert (cluster.objects, end.is_set()) == ({}, False)
    end.set()
    wait_for(lambda: not threads())
    assert cluster.objects == {}


def test_who_asks_for_no_further_result_leaves_nothing_running():
    cluster, go = Cluster(), threading.Event()

    def work(sandbox, item):
        if item:
            go.wait(LIMIT_S)
            cluster.endless = True
        return sandbox.run(f"{item}", timeout=600).stdout
    try:
        for item, result in arl.map(work, range(9), "p", 2, connection=cluster.connection):
            assert (item, result) == (0, "0")
            go.set()
            wait_for(lambda: len(cluster.ran) > 1)
            break
        assert (threads(), [k for k in cluster.objects if k[0] == "sandboxes"]) == ([], [])
    finally:
        cluster.close()


def test_an_error_of_an_item_waits_for_the_others(cluster):
    ended, failed = [], threading.Event()

    def work(sandbox, item):
        if item == 0:
            failed.set()
            raise KeyError(item)
        failed.wait(LIMIT_S)
        time.sleep(0.2)
        ended.append(item)
    with pytest.raises(KeyError):
        list(arl.map(work, range(9), "p", 2, connection=cluster.connection))
    assert (ended, cluster.objects) == ([1], {})


def test_the_number_at_once_may_be_the_fourth_argument(cluster):
    async def amap():
        async def work(sandbox, item):
            return item
        return [x async for x in arl.amap(work, [1], "p", 1, connection=cluster.connection)]
    assert list(arl.map(lambda s, i: i, [1], "p", 1, connection=cluster.connection)) == asyncio.run(amap()) == [(1, 1)]
