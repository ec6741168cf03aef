"""The life of a sandbox: idle time that is set anew, and a deletion that is waited for."""

import asyncio
import inspect
import threading
import time

import arl
import pytest
from arl import AsyncSandbox, Pool, Sandbox, _connection, errors
from fake_cluster import Cluster
from fake_server import Server, unanswered


@pytest.fixture
def cluster():
    c = Cluster()
    yield c
    c.close()


def there(cluster, uid="u1"):
    obj = {"metadata": {"name": "s", "namespace": "n", "uid": uid}, "spec": {"poolRef": "p"}, "status": {"phase": "Ready", "podName": "p"}}
    cluster.objects["sandboxes", "s"] = obj
    cluster.note("ADDED", "sandboxes", obj)
    return Sandbox(cluster.connection, "n", obj)


def call(sandbox, kind, method, *args, **more):
    if kind == "sync":
        return getattr(sandbox, method)(*args, **more)
    return asyncio.run(getattr(AsyncSandbox(sandbox), method)(*args, **more))


both = pytest.mark.parametrize("kind", ["sync", "async"])


@both
def test_renew_sets_the_idle_time(cluster, monkeypatch, kind):
    patches = []
    monkeypatch.setattr(cluster, "patch", lambda path, body: (patches.append(body), cluster.get(path, body))[1])
    sandbox = there(cluster)
    call(sandbox, kind, "renew")
    call(sandbox, kind, "renew", 900)
    call(sandbox, kind, "renew", seconds=0)
    assert [list(p["metadata"]["annotations"]) for p in patches] == [["arl.infra.io/used-at"]] * 3
    assert [p.get("spec") for p in patches] == [None, {"idleTimeoutSeconds": 900}, {"idleTimeoutSeconds": 0}]
    for wrong, error in ((-1, ValueError), (2**31, ValueError), (1.5, TypeError), ("900", TypeError), (True, TypeError)):
        with pytest.raises(error, match="^seconds must be"):
            call(sandbox, kind, "renew", wrong)
    assert len(patches) == 3


class Slow:
    """A deletion that begins at once, and ends when the test calls end()."""

    def __init__(self, cluster, monkeypatch):
        self.cluster, self.asked, self.really = cluster, threading.Event(), cluster.delete
        monkeypatch.setattr(cluster, "delete", self.begin)

    def begin(self, path, body):
        self.asked.set()
        return 200, self.cluster.objects[tuple(path)]

    def end(self):
        self.really(["sandboxes", "s"], None)


@both
def test_delete_waits_until_it_is_gone(cluster, monkeypatch, kind):
    sandbox, slow = there(cluster), Slow(cluster, monkeypatch)
    ended = []

    def delete():
        call(sandbox, kind, "delete", wait=True, timeout=20)
        ended.append(("sandboxes", "s") in cluster.objects)
    thread = threading.Thread(target=delete)
    thread.start()
    assert slow.asked.wait(10)
    thread.join(0.3)
    assert ended == []
    slow.end()
    thread.join(10)
    assert ended == [False]


@both
def test_delete_does_not_wait_for_ever_nor_if_nobody_asks(cluster, monkeypatch, kind):
    sandbox, slow = there(cluster), Slow(cluster, monkeypatch)
    began = time.monotonic()
    call(sandbox, kind, "delete")
    assert slow.asked.is_set()
    with pytest.raises(errors.SandboxTimeout, match="still there after 0.3 s"):
        call(sandbox, kind, "delete", True, 0.3)
    assert time.monotonic() - began < 10


@both
def test_delete_waits_for_nobody_else(cluster, kind):
    sandbox = there(cluster)
    call(sandbox, kind, "delete", wait=True)
    call(sandbox, kind, "delete", wait=True)
    other = there(cluster, uid="u2")
    cluster.delete = lambda path, body: (409, {"reason": "Conflict"})
    call(sandbox, kind, "delete", wait=True)
    assert cluster.objects["sandboxes", "s"]["metadata"]["uid"] == other.uid


SILENT = {
    "delete": lambda s, k: call(s, k, "delete", timeout=0.3), "delete and wait": lambda s, k: call(s, k, "delete", True, 0.3),
    "renew": lambda s, k: call(s, k, "renew", timeout=0.3),
    "list": lambda s, k: Sandbox.list(timeout=0.3, connection=s._connection) if k == "sync" else asyncio.run(AsyncSandbox.list(timeout=0.3, connection=s._connection)),
}


@both
@pytest.mark.parametrize("ask", SILENT.values(), ids=SILENT)
def test_a_server_that_says_nothing_is_waited_for_as_long_as_was_said(ask, kind):
    """Also if the server has answered an earlier request."""
    def answer(request):
        if (request.method, request.name) == ("GET", "s"):
            return 200, {"metadata": {"name": "s", "uid": "u1"}}
        return server.closing.wait(20) and None
    server = Server(answer)
    began = time.monotonic()
    try:
        with pytest.raises(errors.ClusterUnreachable):
            ask(Sandbox(server.connection, "n", {"metadata": {"name": "s", "uid": "u1"}}), kind)
    finally:
        server.close()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("ask", [
    lambda c: Sandbox.attach("s", connection=c), lambda c: Sandbox(c, "n", {"metadata": {"name": "s", "uid": "u"}}).refresh(),
    lambda c: Pool(c, "n", "p").delete(), lambda c: Pool(c, "n", "p").scale(1), lambda c: Pool.list(connection=c), lambda c: Pool.create("p", "i", connection=c),
])
def test_a_request_without_a_limit_of_its_own_has_one(ask, monkeypatch):
    monkeypatch.setattr(_connection, "REQUEST_S", 0.3)
    assert unanswered(ask) < 5


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), "5", None, True])
def test_a_wrong_limit_is_told(cluster, wrong):
    sandbox = there(cluster)
    for ask in (lambda: sandbox.renew(timeout=wrong), lambda: Sandbox.list(timeout=wrong, connection=cluster.connection)):
        with pytest.raises((TypeError, ValueError), match="^timeout must be"):
            ask()


@pytest.mark.parametrize(("fn", "names"), [
    (arl.map, ["fn", "items", "pool", "concurrency", "retries"]), (arl.amap, ["fn", "items", "pool", "concurrency", "retries"]),
    (Sandbox.renew, ["self", "seconds"]), (AsyncSandbox.renew, ["self", "seconds"]),
    (Sandbox.pty, ["self", "cols", "rows"]), (AsyncSandbox.pty, ["self", "cols", "rows"]),
    (Sandbox.delete, ["self", "wait"]), (AsyncSandbox.delete, ["self", "wait"]), (Sandbox.attach, ["name"]), (Sandbox.process, ["self", "task_name"]),
    (Pool.create, ["name", "image", "replicas", "resources", "command", "workspace", "node_selector", "runtime_class", "template"]),
])
def test_what_may_be_given_by_its_place(fn, names):
    given = [p.name for p in inspect.signature(fn).parameters.values() if p.kind == p.POSITIONAL_OR_KEYWORD]
    assert given[: len(names)] == names
