"""Shells whose other side does not read, ends, or breaks off: nothing is left of them."""

import asyncio
import gc
import socket
import threading
import time

import pytest
from arl import AsyncSandbox, Sandbox, _exec, errors
from arl.shells import AsyncShell, Forward, Pty, Shell
from fake_pod import FakePod, cut
from test_fork import forked

LIMIT_S = 20
MUCH = bytes(64 << 20)


class Use:
    """Counts the users of a sandbox, as a shell needs it."""

    def __init__(self):
        self.users = 0

    def __enter__(self):
        self.users += 1

    def __exit__(self, *_):
        self.users -= 1


def shell(fake, kind=Shell):
    process = _exec.open_exec(fake.connection, "n", "p", "executor", ["sh"], stdin=True)
    process.stream._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
    return kind(process, Use())


@pytest.fixture
def deaf():
    """A pod whose program prints and reads nothing, until the test is over."""
    over = threading.Event()

    def serve(peer):
        peer.send(1, b"nobody reads this")
        over.wait(LIMIT_S)
    with FakePod(serve) as fake:
        yield fake
        over.set()


def test_a_write_that_nobody_takes_ends_in_time_and_takes_no_processor(deaf):
    with shell(deaf) as s:
        cpu = time.thread_time()
        with pytest.raises(errors.StreamTimeout, match=r"of 67108864 bytes were taken in time") as caught:
            s.write(MUCH, timeout=1)
        assert time.thread_time() - cpu < 0.5
        assert 0 < caught.value.taken < len(MUCH)
        with pytest.raises(errors.WriteTimeout) as caught:
            s.write("x", timeout=0.1)
        assert caught.value.taken == 0
        with pytest.raises(errors.WriteTimeout):
            s.end_input(timeout=0.1)


def test_what_was_taken_arrives_and_the_rest_can_follow():
    got, go = [], threading.Event()

    def serve(peer):
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        go.wait(LIMIT_S)
        got.append(peer.stdin())
        peer.end()
    sent = bytes(range(256)) * (12 << 10)
    with FakePod(serve) as fake, shell(fake) as s:
        with pytest.raises(errors.WriteTimeout) as caught:
            s.write(sent, timeout=0.3)
        go.set()
        s.write(sent[caught.value.taken:], timeout=LIMIT_S)
        s.end_input()
        assert s.wait(LIMIT_S) == 0
    assert got == [sent]


@pytest.mark.parametrize("how", ["close", "end", "cut"])
def test_a_write_that_waits_ends_with_its_connection(how):
    go = threading.Event()

    def serve(peer):
        go.wait(LIMIT_S)
        if how == "end":
            peer.end()
        raise EOFError      # closes the connection without reading what is still sent
    with FakePod(serve) as fake:
        s, caught = shell(fake), []
        writer = threading.Thread(target=lambda: caught.append(pytest.raises(errors.StreamLost, s.write, MUCH, timeout=None)), daemon=True)
        writer.start()
        writer.join(0.3)
        if how == "close":
            s.close()
        go.set()
        writer.join(LIMIT_S)
        assert len(caught) == 1
        s.close()


@pytest.mark.parametrize("how", ["ends", "breaks", "is dropped", "is closed twice"])
def test_a_shell_that_is_over_is_no_use_of_its_sandbox(how):
    def serve(peer):
        if how == "ends":
            peer.end(3)
        elif how == "breaks":
            cut(peer)
        else:
            peer.receive()
    with FakePod(serve) as fake:
        use = Use()
        s = Shell(_exec.open_exec(fake.connection, "n", "p", "executor", ["sh"], stdin=True), use)
        assert use.users == 1
        if how == "ends":
            assert s.wait(LIMIT_S) == 3
        elif how == "breaks":
            with pytest.raises(errors.StreamLost):
                s.read(LIMIT_S)
        elif how == "is closed twice":
            s.close()
            s.close()
        else:
            del s
            gc.collect()
        assert use.users == 0


def box(fake):
    b = Sandbox(fake.connection, "n", {"metadata": {"name": "s", "uid": "u"}, "status": {"phase": "Ready", "podName": "p"}})
    b._use = Use()
    return b


@pytest.mark.parametrize(("wrong", "kind"), [({"cols": 0}, ValueError), ({"rows": 65536}, ValueError), ({"cols": "80"}, TypeError), ({"rows": True}, TypeError), ({"cols": 8.5}, TypeError)])
def test_a_terminal_without_a_size_is_not_opened(deaf, wrong, kind):
    (name,) = wrong
    with pytest.raises(kind, match=f"^{name} must be "):
        box(deaf).pty(**wrong)
    with pytest.raises(kind, match=f"^{name} must be "):
        asyncio.run(AsyncSandbox(box(deaf)).pty(**wrong))
    assert deaf.seen == []


def test_a_terminal_that_cannot_be_told_its_size_is_closed(deaf, monkeypatch):
    opened = []

    def fail(pty, size):
        opened.append(pty._process.stream)
        raise errors.StreamLost("it broke")
    monkeypatch.setattr(Pty, "_tell", fail)
    b = box(deaf)
    with pytest.raises(errors.StreamLost, match="it broke"):
        b.pty()
    assert (b._use.users, opened[0].ended, opened[0]._sock.fileno()) == (0, True, -1)


def wait_for(condition):
    until = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def threads(name):
    return [t for t in threading.enumerate() if t.name == name]


@pytest.mark.parametrize("pieces", [1, 10**9])
def test_an_asynchronous_shell_that_is_dropped_leaves_no_thread(pieces):
    def serve(peer):
        for _ in range(pieces):
            peer.send(1, b"x" * 1000)
        peer.receive()
    with FakePod(serve) as fake:
        async def main():
            s = AsyncShell(shell(fake))
            assert await s.read()
            await asyncio.sleep(0.2)    # the queue is full by now
            del s
            gc.collect()
            await asyncio.to_thread(wait_for, lambda: not threads("arl-async"))
        asyncio.run(main())


@pytest.mark.parametrize("how", ["close", "read_until"])
def test_who_reads_a_shell_that_is_closed_is_told(deaf, how):
    async def main():
        s = AsyncShell(shell(deaf))
        assert await s.read()
        reader = asyncio.ensure_future(s.read() if how == "close" else s.read_until("x"))
        await asyncio.sleep(0.05)
        await s.close()
        if how == "close":
            assert await asyncio.wait_for(reader, LIMIT_S) is None
        else:
            with pytest.raises(errors.StreamLost):
                await asyncio.wait_for(reader, LIMIT_S)
        assert s.over
    asyncio.run(main())


def test_a_forwarded_connection_that_is_lost_leaves_no_thread(monkeypatch):
    """The sandbox reads nothing and answers no ping."""
    over = threading.Event()
    monkeypatch.setattr(_exec, "PING_S", 0.1)
    monkeypatch.setattr(_exec, "LOST_S", 0.4)
    with FakePod(lambda peer: over.wait(3 * LIMIT_S)) as fake:
        with Forward(lambda: _exec.open_port(fake.connection, "n", "p", 80), Use(), 0) as forward:
            local = socket.create_connection((forward.host, forward.port))
            local.settimeout(0.2)
            with pytest.raises(OSError):
                local.sendall(MUCH)
            wait_for(lambda: len(threads("arl-forward")) == 1)
            local.close()
        over.set()
        wait_for(lambda: not threads("arl-forward"))


def test_a_forwarded_port_is_closed_by_async_with_too():
    async def main():
        with FakePod(lambda peer: None) as fake:
            async with Forward(lambda: _exec.open_port(fake.connection, "n", "p", 80), Use(), 0) as forward:
                socket.create_connection((forward.host, forward.port), LIMIT_S).close()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((forward.host, forward.port), LIMIT_S)
    asyncio.run(main())


def test_an_asynchronous_write_has_a_limit_too(deaf):
    async def main():
        async with AsyncShell(shell(deaf)) as s:
            with pytest.raises(errors.WriteTimeout):
                await s.write(MUCH, timeout=0.2)
    asyncio.run(main())


def test_a_terminal_has_a_limit_too(deaf):
    with shell(deaf, Pty) as s:
        with pytest.raises(errors.WriteTimeout):
            s.write(MUCH, timeout=0.2)


WRONG = [
    (lambda s: s.write("x", -1), ValueError, "^timeout must"), (lambda s: s.write("x", timeout="1"), TypeError, "^timeout must"),
    (lambda s: s.write(None), TypeError, "^data must be"), (lambda s: s.write(5), TypeError, "^data must be"),
    (lambda s: s.read(float("nan")), ValueError, "^timeout must"), (lambda s: s.read("1"), TypeError, "^timeout must"),
    (lambda s: s.wait(float("inf")), ValueError, "^timeout must"), (lambda s: s.end_input(True), TypeError, "^timeout must"),
    (lambda s: s.read_until("x", -5), ValueError, "^timeout must"), (lambda s: s.read_until(None), TypeError, "^text must"),
    (lambda s: s.read_until("x", stream="both"), ValueError, "^stream must"),
]


@pytest.mark.parametrize(("wrong", "error", "words"), WRONG)
def test_wrong_arguments_are_told(deaf, wrong, error, words):
    async def main():
        async with AsyncShell(shell(deaf)) as s:
            await wrong(s)
    with shell(deaf) as s:
        with pytest.raises(error, match=words):
            wrong(s)
    with pytest.raises(error, match=words):
        asyncio.run(main())


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_was_read_up_to_a_text_that_does_not_come_can_still_be_read(kind):
    def serve(peer):
        peer.send(1, b"one")
        peer.send(2, b"two")
        peer.receive()

    async def main(s):
        a = AsyncShell(s)
        with pytest.raises(errors.StreamTimeout):
            await a.read_until("three", timeout=0.3)
        got = [(await a.read()).text, (await a.read()).text]
        await a.close()
        return got
    with FakePod(serve) as fake, shell(fake) as s:
        if kind == "sync":
            with pytest.raises(errors.StreamTimeout):
                s.read_until("three", timeout=0.3)
            assert [s.read().text, s.read().text] == ["one", "two"]
        else:
            assert asyncio.run(main(s)) == ["one", "two"]


def test_a_child_that_closes_the_shell_of_its_parent_leaves_it_alone():
    def serve(peer):
        while True:
            kind, payload = peer.receive()
            if kind == 8:
                return
            peer.send(1, payload[1:])
    with FakePod(serve) as fake, shell(fake) as s:
        def child():
            s._process.stream.abort()
            s.close()
            return "closed"
        assert forked(child) == "closed"
        s.write("x")
        assert s.read(LIMIT_S).text == "x"


@pytest.mark.parametrize("moment", ["before it is there", "when it is there"])
@pytest.mark.parametrize("kind", ["shell", "pty", "forward"])
def test_what_comes_too_late_for_who_is_cancelled_is_closed(monkeypatch, kind, moment):
    opened, go, there = [], threading.Event(), threading.Event()

    class Made(dict(shell=Shell, pty=Pty, forward=Forward)[kind]):
        def __init__(self):
            opened.append("opened")

        def close(self):
            opened.append("closed")

    def make(*_):
        go.wait(LIMIT_S)
        there.set()
        return Made()

    async def main():
        b = Sandbox(None, "n", {"metadata": {"name": "s", "uid": "u"}})
        monkeypatch.setattr(b, kind, make)
        task = asyncio.ensure_future(getattr(AsyncSandbox(b), kind)(*([80] if kind == "forward" else [])))
        await asyncio.sleep(0.05)
        if moment == "when it is there":
            go.set()
            there.wait(LIMIT_S)
            time.sleep(0.1)    # the event loop sees both at once
        task.cancel()
        await asyncio.wait({task}, timeout=LIMIT_S)
        assert task.cancelled()
        go.set()
    asyncio.run(main())
    wait_for(lambda: opened == ["opened", "closed"])
