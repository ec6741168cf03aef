"""pods/exec and port-forward against a server that does what each test wants."""

import asyncio
import contextlib
import os
import select
import socket
import struct
import threading
import time

import pytest
from arl import _exec, _scope, errors, shells
from fake_pod import V4, FakePod, cut

ALL_BYTES = bytes(range(256)) * 1024


@contextlib.contextmanager
def pod(serve, **more):
    fake = FakePod(serve, **more)
    try:
        yield fake
    finally:
        fake.close()


def start(fake, **more):
    return _exec.open_exec(fake.connection, "n", "p", "executor", ["cat", "a b", "-"], **more)


def pieces(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


def reset(peer):
    """Resets the connection: what the other side has not read yet is lost. Servers do so when their program has ended."""
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raise EOFError


def hung_up(stream):
    """Waits until the other side has gone."""
    poll = select.poll()
    poll.register(stream._sock, 0)
    assert poll.poll(20_000)


def test_bytes_go_both_ways_as_they_are_and_the_input_has_an_end():
    def serve(peer):
        data = peer.stdin()
        for piece in pieces(data, 30_000):
            peer.send(1, piece)
        peer.send(2, b"words")
        peer.end(3)

    with pod(serve) as fake, start(fake, stdin=True) as process:
        assert b"".join(process.output(pieces(ALL_BYTES, 10_000))) == ALL_BYTES
        assert (process.code(), bytes(process.errors)) == (3, b"words")
    assert "command=cat&command=a+b&command=-" in fake.seen[0]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_messages_are_found_however_the_stream_is_cut(size):
    def serve(peer):
        whole = peer.frame(2, b"\x01one") + peer.frame(2, b"\x01two", final=False) + peer.frame(9, b"") + peer.frame(0, b"three")
        whole += peer.frame(2, b"\x01" + ALL_BYTES[:300]) + peer.frame(2, b'\x03{"status":"Success"}')
        for piece in pieces(whole, size):
            peer.raw(piece)

    with pod(serve) as fake, start(fake) as process:
        assert b"".join(process.output()) == b"onetwothree" + ALL_BYTES[:300]
        assert process.code() == 0


def test_a_large_message_is_one():
    def serve(peer):
        peer.send(1, ALL_BYTES)
        peer.end()

    with pod(serve) as fake, start(fake) as process:
        assert b"".join(process.output()) == ALL_BYTES


def test_version_4_has_no_end_of_input():
    def serve(peer):
        assert peer.receive() == (2, b"\x00input")
        peer.end()

    with pod(serve, protocols=(V4,)) as fake, start(fake, stdin=True) as process:
        assert process.stream.protocol == V4
        assert not process.stream.queue_end()
        assert list(process.output([b"input"])) == []
        assert process.code() == 0


def test_a_program_that_ends_early_ends_the_sending():
    """The input has no end, and at some point the connection takes no more of it."""
    def serve(peer):
        peer.receive()
        peer.end(1)

    def endless():
        while True:
            yield bytes(65536)

    with pod(serve) as fake, start(fake, stdin=True) as process:
        assert list(process.output(endless())) == []
        assert process.code() == 1


@pytest.mark.parametrize("close", [b"\x03\xe8", b""])
def test_the_end_that_came_is_told_although_the_connection_takes_no_more_input(close):
    """With and without a CLOSE frame of the server."""
    status = b'{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"1"}]}}'

    def serve(peer):
        peer.receive()
        # In one piece, so that all of it is sent before the reset.
        peer.raw(peer.frame(2, b"\x02no space") + peer.frame(2, b"\x03" + status) + (peer.frame(8, close) if close else b""))
        reset(peer)

    def two():
        yield b"one"
        hung_up(process.stream)
        yield b"two"

    with pod(serve) as fake, start(fake, stdin=True) as process:
        assert list(process.output(two())) == []
        assert (process.code(), bytes(process.errors)) == (1, b"no space")


def test_input_that_the_connection_does_not_take_is_not_taken_for_sent():
    def serve(peer):
        peer.receive()
        reset(peer)

    with pod(serve) as fake, start(fake, stdin=True) as process:
        process.stream.send(0, b"one")
        hung_up(process.stream)
        with pytest.raises(errors.StreamLost):
            process.stream.send(0, b"two")
        with pytest.raises(errors.StreamLost):
            process.stream.messages(1)


@pytest.mark.parametrize("before", [0, 5])
def test_a_connection_that_breaks_is_an_error_and_no_end(before):
    def serve(peer):
        for _ in range(before):
            peer.send(1, b"data")
        cut(peer)

    with pod(serve) as fake, start(fake) as process, pytest.raises(errors.StreamLost) as e:
        list(process.output())
    assert isinstance(e.value, ConnectionError)


def test_a_close_without_a_status_is_no_end_either():
    def serve(peer):
        peer.send(1, b"data")
        peer.raw(peer.frame(8, b"\x03\xe8"))

    with pod(serve) as fake, start(fake) as process:
        assert list(process.output()) == [b"data"]
        with pytest.raises(errors.StreamLost):
            process.code()


def test_what_could_not_be_started_is_told():
    def serve(peer):
        peer.status({"status": "Failure", "reason": "InternalError", "message": "no such file"})

    with pod(serve) as fake, start(fake) as process:
        assert list(process.output()) == []
        with pytest.raises(errors.ExecFailed, match="no such file"):
            process.code()
        process.explain = lambda e: errors.SandboxGone("its pod is ending")
        with pytest.raises(errors.SandboxGone) as gone:
            process.code()
        assert isinstance(gone.value.__cause__, errors.ExecFailed)


@pytest.mark.parametrize(("status", "kind", "hint"), [
    (401, errors.NotAllowed, "sign in again"), (403, errors.NotAllowed, "arl-edit"), (404, errors.NotFound, "no pod"), (400, errors.Refused, "no pod"),
])
def test_a_refusal_is_of_the_tree(status, kind, hint):
    with pod(None) as fake:
        fake.refuse.append((status, {"message": "no pod", "reason": "X"}, ()))
        with pytest.raises(kind, match=hint) as e:
            start(fake)
        assert (e.value.status, len(fake.seen)) == (status, 1)


def test_a_busy_server_is_asked_again():
    with pod(lambda peer: peer.end()) as fake:
        fake.refuse += [(429, "Too many requests", (("Retry-After", "1"),)), (503, {"kind": "Status"}, ())]
        began = time.monotonic()
        with start(fake) as process:
            assert list(process.output()) == []
        assert (len(fake.seen), time.monotonic() - began >= 1) == (3, True)


def test_silence_is_asked_about_and_then_an_error(monkeypatch):
    monkeypatch.setattr(_exec, "PING_S", 0.1)
    monkeypatch.setattr(_exec, "LOST_S", 1.0)
    asked = threading.Event()

    def serve(peer):
        while True:
            if peer.receive()[0] == 9:
                asked.set()

    with pod(serve) as fake, start(fake) as process, pytest.raises(errors.StreamLost, match="nothing was heard"):
        list(process.output())
    assert asked.is_set()


def test_an_answer_to_a_ping_keeps_it(monkeypatch):
    monkeypatch.setattr(_exec, "PING_S", 0.05)
    monkeypatch.setattr(_exec, "LOST_S", 5.0)

    def serve(peer):
        for _ in range(5):
            while peer.receive()[0] != 9:
                pass
            peer.raw(peer.frame(10, b""))
        peer.end()

    with pod(serve) as fake, start(fake) as process:
        assert list(process.output()) == []


def test_a_pause_of_the_reader_is_no_silence(monkeypatch):
    """During the pause no ping is sent, so a missing answer means nothing."""
    monkeypatch.setattr(_exec, "PING_S", 0.1)
    monkeypatch.setattr(_exec, "LOST_S", 1.0)

    def serve(peer):
        assert peer.receive() == (2, b"\x00input")
        time.sleep(0.1)
        peer.send(1, b"output")
        peer.end()

    with pod(serve) as fake, start(fake, stdin=True) as process:
        time.sleep(1.2)
        assert b"".join(process.output([b"input"])) == b"output"


def test_a_deadline_holds():
    with pod(lambda peer: peer.receive()) as fake, start(fake) as process, pytest.raises(errors.StreamTimeout) as e:
        list(process.output(deadline=time.monotonic() + 0.1))
    assert isinstance(e.value, TimeoutError)


def test_another_thread_can_break_it_off():
    scope = _scope.Scope()

    def serve(peer):
        scope.cancel()
        peer.receive()

    with pod(serve) as fake, scope, pytest.raises(errors.StreamLost), start(fake) as process:
        list(process.output())


def test_a_shell_is_read_while_it_is_written_to():
    def serve(peer):
        peer.send(1, b"$ ")
        assert peer.receive() == (2, b"\x00h\xc3\xa9\n")
        peer.send(1, b"h\xc3")
        peer.send(2, b"err")
        peer.send(1, b"\xa9\n")
        assert peer.receive() == (2, b"\xff\x00")
        peer.end(7)

    with pod(serve) as fake, shells.Shell(start(fake, stdin=True), contextlib.nullcontext()) as shell:
        assert shell.read_until("$ ", 10) == "$ "
        shell.write("hé\n")
        shell.end_input()
        found = list(shell)
        assert "".join(o.text for o in found if o.stream == "stdout") == "hé\n"
        assert "".join(o.text for o in found if o.stream == "stderr") == "err"
        assert shell.wait(10) == 7
        assert shell.read(10) is None


def both_streams(peer):
    peer.send(2, b"first ")
    peer.send(1, b"one\n")
    peer.send(2, b"second\n")
    peer.send(1, b"two\n")
    peer.end(0)


def test_what_the_other_stream_says_meanwhile_is_kept():
    with pod(both_streams) as fake, shells.Shell(start(fake, stdin=True), contextlib.nullcontext()) as shell:
        assert shell.read_until("two\n", 10) == "one\ntwo\n"
        assert shell.read_until("second\n", 10, "stderr") == "first second\n"
        assert (shell.wait(10), shell.read(0)) == (0, None)


def test_what_the_other_stream_says_meanwhile_is_kept_with_asyncio():
    async def main(fake):
        async with shells.AsyncShell(shells.Shell(start(fake, stdin=True), contextlib.nullcontext())) as shell:
            assert await shell.read_until("two\n", 10) == "one\ntwo\n"
            assert await shell.read_until("second\n", 10, "stderr") == "first second\n"
            assert [o async for o in shell] == []
            assert await shell.wait(10) == 0

    with pod(both_streams) as fake:
        asyncio.run(main(fake))


def says_one(peer):
    peer.send(1, b"one")
    peer.receive()


def test_what_is_there_is_read_without_waiting():
    with pod(says_one) as fake, shells.Shell(start(fake, stdin=True), contextlib.nullcontext()) as shell:
        shell._process.stream.wait(10)
        assert shell.read(0).text == "one"
        assert shell.read(0) is None


def test_what_is_there_is_read_without_waiting_with_asyncio():
    async def main(fake):
        async with shells.AsyncShell(shells.Shell(start(fake, stdin=True), contextlib.nullcontext())) as shell:
            until, found = time.monotonic() + 10, None
            while found is None and time.monotonic() < until:
                found = await shell.read(0)
            assert found.text == "one"
            assert await shell.read(0) is None

    with pod(says_one) as fake:
        asyncio.run(main(fake))


def test_a_port_is_forwarded():
    def serve(peer):
        peer.send(0, b"\x50\x00")
        peer.send(1, b"\x50\x00")
        kind, payload = peer.receive()
        if kind == 8:
            return      # the first connection only tests whether forwarding is allowed
        assert (kind, payload[0], peer.query["ports"]) == (2, 0, ["80"])
        peer.send(0, payload[1:].upper())
        peer.raw(peer.frame(8, b"\x03\xe8"))

    with pod(serve, protocols=(V4,)) as fake:
        with shells.Forward(lambda: _exec.open_port(fake.connection, "n", "p", 80), contextlib.nullcontext(), 0) as forward:
            for _ in range(3):
                with socket.create_connection((forward.host, forward.port), 10) as local:
                    local.sendall(b"hello")
                    assert local.makefile("rb").read() == b"HELLO"
        with pytest.raises(OSError):
            socket.create_connection((forward.host, forward.port), 10)


def test_masks_are_those_of_the_standard():
    data = os.urandom(1001)
    for size in (0, 1, 125, 126, 1001):
        key = b"\x12\x34\x00\xff"
        framed = _exec.frame(2, data[:size], key)
        payload = framed[-size:] if size else b""
        assert bytes(b ^ key[i % 4] for i, b in enumerate(payload)) == data[:size]
        assert _exec.frame(2, data[:size], bytes(4))[-size or len(framed):] == data[:size]
