"""A caller is cancelled, or gives up: nothing that he has begun is left behind, and he sees his own error."""

import asyncio
import os
import signal
import threading
import time

import pytest
from arl import AsyncSandbox, Pool, Sandbox, _cleanup, _connection, _hub, _ops, _tasks, errors
from fake_cluster import Cluster
from fake_server import refusal, serving


def test_a_request_is_finished_however_often_its_caller_is_cancelled():
    """Else a request that follows it, such as a delete, could overtake it."""
    ended = []

    def post():
        time.sleep(0.5)
        ended.append("POST")

    def op():
        try:
            yield _ops.Call(post)
        except BaseException:
            yield _ops.Call(lambda: ended.append("PATCH"))
            raise

    async def main():
        task = asyncio.create_task(_ops.arun(op()))
        for _ in range(4):
            await asyncio.sleep(0.05)
            task.cancel()
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled()

    asyncio.run(main())
    assert ended == ["POST", "PATCH"]


@pytest.mark.parametrize("allowed", [True, False])
def test_the_end_of_the_process_deletes_what_it_has(monkeypatch, allowed):
    """At that time Python 3.12.0 and 3.12.1 start no threads (allowed is False)."""
    def start(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")
    if not allowed:
        monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(_cleanup, "_open", {})
    monkeypatch.setattr(_cleanup, "_installed", True)
    deleted = []
    for key in "ab":
        _cleanup.remember(key, lambda until, key=key: deleted.append(key))
    _cleanup._at_exit()
    assert sorted(deleted) == ["a", "b"]


class Away:
    """A cluster that cannot be reached for deletions until the test sets away to False."""

    def __init__(self):
        self.away, self.deleted = True, []

    def create(self, namespace, plural, body, *, deadline):
        body["metadata"]["uid"] = "u1"
        return body

    def delete(self, namespace, plural, name, uid, deadline=None):
        if self.away:
            raise errors.ClusterUnreachable("away")
        self.deleted.append(uid)

    def wait_own(self, namespace, plural, name, look):
        return _hub.Wait(name, look, None)


@pytest.fixture
def away(monkeypatch):
    cluster = Away()
    monkeypatch.setattr(_tasks, "hub", lambda _: cluster)
    monkeypatch.setattr(_cleanup, "_open", {})
    monkeypatch.setattr(_cleanup, "_installed", True)
    yield cluster
    assert list(_cleanup._open) == ["u1"]    # it is still to be deleted
    cluster.away = False
    _cleanup._at_exit()
    assert cluster.deleted == ["u1"]


def made(cluster):
    sandbox = Sandbox(cluster, "n", {"metadata": {"name": "x", "uid": "u1"}})
    _cleanup.remember("u1", sandbox._delete_by)
    return sandbox


def test_ctrl_c_while_a_sandbox_is_made_is_seen_also_when_the_cluster_is_away(away):
    def do(step):
        if isinstance(step, _ops.Until):
            raise KeyboardInterrupt
        return step.fn()

    with pytest.raises(KeyboardInterrupt):
        _ops._drive(Sandbox._create("p", namespace="n", connection=away), do)


def test_ctrl_c_in_a_with_block_is_seen_also_when_the_cluster_is_away(away):
    with pytest.raises(KeyboardInterrupt), made(away):
        raise KeyboardInterrupt


def test_an_error_of_the_deletion_itself_is_seen(away):
    with pytest.raises(errors.ClusterUnreachable), made(away):
        pass


@pytest.mark.parametrize("kind", ["create", "with"])
def test_a_cancellation_is_seen_also_when_the_cluster_is_away(away, kind):
    async def use():
        if kind == "create":
            await AsyncSandbox.create("p", namespace="n", connection=away)
        async with AsyncSandbox(made(away)):
            await asyncio.sleep(10)

    async def main():
        task = asyncio.create_task(use())
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled()

    asyncio.run(main())


@pytest.mark.parametrize("answer", [(*refusal(429, "TooManyRequests", "busy"), (("Retry-After", "60"),)), refusal(500, "InternalError", "fault")])
def test_a_request_of_a_cancelled_caller_is_not_repeated_but_what_cleans_up_is(monkeypatch, answer):
    """The POST may have made the sandbox, so a DELETE follows, and is repeated until the server accepts it."""
    monkeypatch.setattr(_connection, "RETRY_FIRST_S", 5.0)
    asked, deletes = threading.Event(), [refusal(429, "TooManyRequests", "busy"), (200, {})]

    def answers(request):
        if request.method == "DELETE":
            return deletes.pop(0)
        if request.method == "POST":
            asked.set()
            return answer
        return 200, {"metadata": {"resourceVersion": "1"}, "items": []}

    async def main(connection):
        task = asyncio.create_task(_ops.arun(Sandbox._create("p", namespace="n", connection=connection, timeout=100)))
        await asyncio.to_thread(asked.wait, 20)
        await asyncio.sleep(0.2)    # the request is in its pause now
        monkeypatch.setattr(_connection, "RETRY_FIRST_S", 0.01)
        began = time.monotonic()
        while not task.done():    # as anyio does it
            task.cancel()
            await asyncio.sleep(0.005)
        assert task.cancelled()
        return time.monotonic() - began

    with serving(answers) as server:
        assert asyncio.run(main(server.connection)) < 2.5
        assert [text.split()[0] for text in server.seen if text.split()[0] in ("POST", "DELETE")] == ["POST", "DELETE", "DELETE"]


def test_a_deletion_is_repeated_however_often_its_caller_is_cancelled():
    asked, deletes = threading.Event(), [refusal(429, "TooManyRequests", "busy")] * 3 + [(200, {})]

    def answers(_):
        asked.set()
        return deletes.pop(0)

    async def main(connection):
        task = asyncio.create_task(AsyncSandbox(Sandbox(connection, "n", {"metadata": {"name": "x", "uid": "u1"}})).delete())
        await asyncio.to_thread(asked.wait, 20)
        while not task.done():
            task.cancel()
            await asyncio.sleep(0.005)

    with serving(answers) as server:
        asyncio.run(main(server.connection))
        assert server.seen == ["DELETE x"] * 4


@pytest.mark.parametrize("how", ["timeout", "Ctrl-C", "deleted"])
def test_who_waits_for_a_pool_no_longer_has_no_thread_any_more(how):
    cluster = Cluster()
    pool = {"metadata": {"name": "p", "uid": "u"}, "spec": {"replicas": 1}}
    cluster.objects["warmpools", "p"] = pool
    cluster.note("ADDED", "warmpools", pool)

    def watches():
        return [t for t in threading.enumerate() if t.name == "arl-watch-warmpools"]

    def do():
        while not watches():
            time.sleep(0.01)
        time.sleep(0.2)
        if how == "Ctrl-C":
            os.kill(os.getpid(), signal.SIGINT)
        elif how == "deleted":
            cluster.delete(["warmpools", "p"], None)
    other = threading.Thread(target=do)
    other.start()
    try:
        with pytest.raises({"timeout": errors.PoolNotReady, "Ctrl-C": KeyboardInterrupt, "deleted": errors.PoolNotFound}[how]):
            Pool(cluster.connection, "n", "p").wait_ready(1 if how == "timeout" else 20)
        other.join()
        for thread in watches():
            thread.join(5)
            assert not thread.is_alive()
    finally:
        cluster.close()
