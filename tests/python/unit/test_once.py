"""A program is started at most once by pods/exec, also if the connection breaks while it is opened. A verb that only reads is repeated."""

import contextlib
import io
import socket
import threading
import time

import pytest
from arl import _exec, _scope, errors
from fake_pod import FakePod
from test_files import box
from test_process import END, follow, out, text  # noqa: F401
from test_results import TEXT, Pod, shown, task

LIMIT_S = 20
CHANGES = {
    "shell": lambda s: s.shell().close(), "pty": lambda s: s.pty().close(), "write": lambda s: s.files.write("/a", "x"),
    "write a file": lambda s: s.files.write("/a", io.BytesIO(b"x")), "write_many": lambda s: s.files.write_many({"/a": "x"}),
    "upload_dir": lambda s: s.files.upload_dir(".", "/a"), "mkdir": lambda s: s.files.mkdir("/a"), "remove": lambda s: s.files.remove("/a"),
}
READS = {
    "read": lambda s: s.files.read("/a"), "download": lambda s: s.files.download("/a", "there"), "download_dir": lambda s: s.files.download_dir("/a", "there"),
    "stat": lambda s: s.files.stat("/a"), "exists": lambda s: s.files.exists("/a"), "list": lambda s: s.files.list("/a"),
    "forward": lambda s: s.forward(80).close(),
}
STATUS = {"kind": "Status", "message": "words"}
NOT_KNOWN = [None, (500, STATUS, ()), (502, "Bad Gateway", ()), (503, "upstream reset", ()), (504, STATUS, ()), (302, "", [("Location", "/elsewhere")])]
NOT_BEGUN = [(429, "Too many requests", ()), (503, STATUS, ())]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def serve(peer):
    if "/.arl/runner" in peer.query.get("command", ()):
        peer.end(1)
    else:
        while peer.receive()[0] != 8:
            pass


@pytest.mark.parametrize("answer", NOT_KNOWN)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_may_have_begun_is_not_begun_again(change, answer):
    with FakePod(serve) as fake:
        fake.refuse.append(answer)
        with pytest.raises(errors.StreamLost, match="It may have been started"):
            change(box(fake))
        assert len(fake.seen) == 1


@pytest.mark.parametrize("answer", NOT_BEGUN)
@pytest.mark.parametrize("call", {**CHANGES, **READS}.values(), ids={**CHANGES, **READS})
def test_what_the_server_has_not_begun_is_asked_for_again(call, answer):
    with FakePod(serve) as fake:
        fake.refuse.append(answer)
        with contextlib.suppress(errors.ExecFailed):    # what a verb is here
            call(box(fake))
        assert len(fake.seen) == 2


@pytest.mark.parametrize("answer", NOT_KNOWN[:-1])
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_what_only_reads_is_asked_for_again(read, answer):
    with FakePod(serve) as fake:
        fake.refuse.append(answer)
        with contextlib.suppress(errors.ExecFailed):
            read(box(fake))
        assert len(fake.seen) == 2


def test_live_output_and_what_the_agent_keeps_are_asked_for_again(follow):  # noqa: F811
    p, _ = follow((out(b"one") + END, 0))
    p._sandbox.fake.refuse.append(None)
    assert (text(p), len(p._sandbox.fake.seen)) == ("one", 2)
    with Pod(TEXT) as pod:
        pod.refuse.append(None)
        assert pod.sandbox._result(task(shown(TEXT), "1")).stdout_bytes() == TEXT


@pytest.mark.parametrize("host", ["http://127.0.0.1:9", "https://127.0.0.1:{port}"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_where_there_was_no_connection_it_is_tried_again(change, host, monkeypatch):
    """No server listens, or TLS fails: the program cannot have been started."""
    tried, really = [], _exec._handshake

    def handshake(*args):
        tried.append(1)
        if len(tried) > 1:
            raise errors.NotConfigured("it was tried again")
        return really(*args)
    monkeypatch.setattr(_exec, "_handshake", handshake)
    with FakePod(serve) as fake:
        fake.connection.api_client.configuration.host = host.format(port=fake.server.server_port)
        with pytest.raises(errors.NotConfigured, match="it was tried again"):
            change(box(fake))
        assert fake.seen == []


def test_who_is_broken_off_does_not_wait_for_an_answer():
    scope, ended = _scope.Scope(), []

    def body():
        with pytest.raises(_scope.BrokenOff):
            box(fake).shell()
        ended.append(1)
    with FakePod(serve) as fake, socket.create_server(("127.0.0.1", 0)) as deaf:
        fake.connection.api_client.configuration.host = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        thread = threading.Thread(target=scope.context().run, args=(body,), daemon=True)
        thread.start()
        accepted, _ = deaf.accept()
        began = time.monotonic()
        with accepted:
            scope.cancel()
            thread.join(LIMIT_S)
        assert (ended, time.monotonic() - began < 5) == ([1], True)
