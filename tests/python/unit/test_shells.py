"""Shells whose other side does not read, ends, or breaks off."""

import asyncio
import socket
import threading
import time

import pytest
from arl import _exec, errors
from arl.shells import AsyncShell, Pty, Shell
from fake_pod import FakePod

LIMIT_S = 20
MUCH = bytes(64 << 20)


class Use:
    """What a shell needs of a sandbox: who is in it."""

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
