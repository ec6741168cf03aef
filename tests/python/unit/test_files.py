"""Transfers of files that are cut or take too long, and wrong arguments."""

import asyncio
import contextlib
import hashlib
import inspect
import io
import json
import math
import os
import signal
import socket
import threading
import time

import pytest
from arl import AsyncSandbox, Sandbox, _exec, errors, files
from fake_cluster import Cluster
from fake_pod import FakePod as pod

DATA = bytes(range(256)) * 1000


class Place:
    pod, container, work_dir = "p", "executor", None


class Box:
    """The parts of a sandbox that Files uses."""

    def __init__(self, fake):
        self._fake, self._use = fake, contextlib.nullcontext()

    def _place(self, timeout=None):
        return Place

    def _exec(self, command, stdin, deadline, again):
        return _exec.open_exec(self._fake.connection, "n", "p", "executor", command, stdin=stdin, deadline=deadline, again=again)


def cut(times):
    """The first readers get a part of the data, no last line on standard error, and exit code 0. Later ones get all."""
    left = [times]

    def serve(peer):
        left[0] -= 1
        if left[0] >= 0:
            peer.send(1, DATA[:1000])
        else:
            peer.send(1, DATA)
            peer.send(2, json.dumps({"size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()}).encode() + b"\n")
        peer.end()
    return serve


def test_what_was_cut_is_read_again(tmp_path):
    with pod(cut(2)) as fake:
        assert files.Files(Box(fake)).read_bytes("/a") == DATA
    with pod(cut(2)) as fake:
        assert files.Files(Box(fake)).download("/a", tmp_path / "a") == len(DATA)
    assert (tmp_path / "a").read_bytes() == DATA


def test_what_is_always_cut_is_an_error(tmp_path):
    with pod(cut(99)) as fake:
        with pytest.raises(errors.StreamLost, match="dropped what came after 1000 bytes"):
            files.Files(Box(fake)).download("/a", tmp_path / "a")
        assert len(fake.seen) == files.READ_TRIES
    assert list(tmp_path.iterdir()) == []


def test_content_that_differs_is_not_read_again():
    def serve(peer):
        peer.send(1, DATA[:-1])
        peer.send(2, json.dumps({"size": len(DATA), "sha256": hashlib.sha256(DATA).hexdigest()}).encode() + b"\n")
        peer.end()

    with pod(serve) as fake:
        with pytest.raises(errors.ChecksumMismatch):
            files.Files(Box(fake)).read_bytes("/a")
        assert len(fake.seen) == 1


VERBS = {
    "read": lambda f, path, **more: f.read(path, **more),
    "read_bytes": lambda f, path, **more: f.read_bytes(path, **more),
    "download": lambda f, path, **more: f.download(path, "there", **more),
    "download_dir": lambda f, path, **more: f.download_dir(path, "there", **more),
    "stat": lambda f, path, **more: f.stat(path, **more),
    "exists": lambda f, path, **more: f.exists(path, **more),
    "list": lambda f, path, **more: f.list(path, **more),
    "write": lambda f, path, **more: f.write(path, "x", **more),
    "write a file": lambda f, path, **more: f.write(path, io.BytesIO(b"x"), **more),
    "write_many": lambda f, path, **more: f.write_many({path: "x"}, **more),
    "upload": lambda f, path, **more: f.upload("here/file", path, **more),
    "upload_dir": lambda f, path, **more: f.upload_dir("here", path, **more),
    "mkdir": lambda f, path, **more: f.mkdir(path, **more),
    "remove": lambda f, path, **more: f.remove(path, **more),
}
WRONG = [
    ({"path": None}, TypeError, "^path must be a str"), ({"path": b"/a"}, TypeError, "^path must be a str"),
    ({"path": "a\0b"}, ValueError, "^path must have no NUL"),
    ({"user": 1.5}, TypeError, "^user must be a name"), ({"user": True}, TypeError, "^user must be a name"), ({"user": "a\0"}, ValueError, "^user must have no NUL"),
    ({"timeout": math.inf}, ValueError, "^timeout must be a number of seconds"), ({"timeout": math.nan}, ValueError, "^timeout must be"),
    ({"timeout": -1}, ValueError, "^timeout must be"), ({"timeout": "5"}, TypeError, "^timeout must be"), ({"timeout": True}, TypeError, "^timeout must be"),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_bytes(b"x")


def box(fake, **status):
    sandbox = Sandbox(fake.connection, "n", {"metadata": {"name": "s", "uid": "u"}, "status": status or {"phase": "Ready", "podName": "p"}})
    sandbox._use = contextlib.nullcontext()
    return sandbox


def call(verb, sandbox, kind, **more):
    path = more.pop("path", "/a")
    if kind == "sync":
        return verb(sandbox.files, path, **more)
    return asyncio.run(verb(AsyncSandbox(sandbox).files, path, **more))


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("verb", VERBS)
def test_wrong_arguments_are_told_before_anything_is_sent(here, verb, kind):
    with pod(lambda peer: None) as fake:
        for wrong, error, words in WRONG:
            with pytest.raises(error, match=words):
                call(VERBS[verb], box(fake), kind, **wrong)
            with pytest.raises(error, match=words):
                call(VERBS[verb], box(fake, phase="Pending"), kind, **wrong)
        assert fake.seen == []


@pytest.mark.parametrize(("wrong", "error", "words"), [
    (lambda f: f.write("/a", None), TypeError, "^content must be"), (lambda f: f.write("/a", 5), TypeError, "^content must be"),
    (lambda f: f.write("/a", ["x"]), TypeError, "^content must be"), (lambda f: f.write("/a", io.StringIO("x")), TypeError, "^content must be"),
    (lambda f: f.write_many({"/a": "x", "/b": None}), TypeError, "^content must be"), (lambda f: f.write_many({"/a": "x", None: "x"}), TypeError, "^path must be"),
    (lambda f: f.write_many(["/a"]), TypeError, "^files must be a dict"),
    (lambda f: f.write("/a", "x", mode="0644"), TypeError, "^mode must be a whole number"), (lambda f: f.mkdir("/a", mode=-1), ValueError, "^mode must be from 0 to 4095"),
    (lambda f: f.write_many({"/a": "x"}, mode=0o10000), ValueError, "^mode must be"), (lambda f: f.upload("here/file", "/a", mode=1.5), TypeError, "^mode must be"),
    (lambda f: f.read_bytes("/a", offset=-1), ValueError, "^offset must be at least 0"), (lambda f: f.read_bytes("/a", length="1"), TypeError, "^length must be"),
    (lambda f: f.read("/a", max_size=-1), ValueError, "^max_size must be"), (lambda f: f.read("/a", encoding="none"), LookupError, "unknown encoding"),
    (lambda f: f.download("/a", None), TypeError, "NoneType"), (lambda f: f.upload(None, "/a"), TypeError, "NoneType"),
    (lambda f: f.upload_dir(None, "/a"), TypeError, "NoneType"), (lambda f: f.download_dir("/a", None), TypeError, "NoneType"),
])
def test_wrong_contents_and_numbers_are_told_before_anything_is_sent(here, wrong, error, words):
    with pod(lambda peer: None) as fake:
        with pytest.raises(error, match=words):
            wrong(box(fake).files)
        assert fake.seen == []


def silent(peer):
    """Answers pings, and nothing else."""
    while True:
        kind, payload = peer.receive()
        if kind == 9:
            peer.raw(peer.frame(10, payload))


def drips(peer):
    while True:
        peer.send(1, b"x")
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("serve", [silent, drips])
def test_every_verb_has_a_limit(here, serve, verb, kind):
    with pod(serve) as fake:
        began = time.monotonic()
        with pytest.raises(errors.StreamTimeout):
            call(VERBS[verb], box(fake), kind, timeout=0.05)
        assert time.monotonic() - began < 5
        assert not os.path.exists("there") or os.listdir("there") == []


@pytest.mark.parametrize("verb", VERBS)
def test_the_limit_is_for_opening_as_well(here, verb):
    """With a server that is busy, one that never answers, and none at all."""
    with pod(silent) as fake:
        fake.refuse = [(503, {"kind": "Status"}, [])] * 50
        with pytest.raises(errors.StreamTimeout):
            call(VERBS[verb], box(fake), "sync", timeout=0.05)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        fake.connection.api_client.configuration.host = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(errors.StreamTimeout):
            call(VERBS[verb], box(fake), "sync", timeout=0.05)
    with pytest.raises(errors.StreamTimeout):
        call(VERBS[verb], box(fake), "sync", timeout=0.05)


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("verb", VERBS)
def test_the_limit_is_for_the_sandbox_as_well(here, verb, kind):
    cluster = Cluster()
    obj = {"metadata": {"name": "s", "uid": "u"}, "spec": {}, "status": {"phase": "Pending"}}
    cluster.objects["sandboxes", "s"] = obj
    cluster.note("ADDED", "sandboxes", obj)
    try:
        with pytest.raises(errors.SandboxTimeout):
            call(VERBS[verb], box(cluster, phase="Pending"), kind, timeout=0.05)
    finally:
        cluster.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_each_verb_says_how_long_it_may_take(kind):
    for verb in {v.split()[0] for v in VERBS}:
        limit = inspect.signature(getattr(files.Files if kind == "sync" else files.AsyncFiles, verb)).parameters["timeout"]
        assert (limit.kind, limit.default) == (limit.KEYWORD_ONLY, 300 if verb in ("stat", "exists", "list", "mkdir", "remove") else 3600)


@pytest.mark.parametrize(("refusals", "after"), [
    ([], 0), ([(429, "Too many requests", [("Retry-After", "60")])] * 99, 0.2)], ids=["files", "the pauses for a server that is busy"])
def test_ctrl_c_ends_what_is_written(refusals, after):
    with pod(silent) as fake:
        fake.refuse = refusals

        def press():
            while len(fake.seen) < files.AT_ONCE:
                time.sleep(0.01)
            time.sleep(after)
            os.kill(os.getpid(), signal.SIGINT)
        thread = threading.Thread(target=press)
        thread.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            box(fake).files.write_many({f"/{i}": "x" for i in range(3 * files.AT_ONCE)})
        thread.join()
        assert (len(fake.seen), time.monotonic() - began < 10) == (files.AT_ONCE, True)


def test_a_cancelled_coroutine_ends_the_pauses_of_its_files():
    def threads():
        return [t for t in threading.enumerate() if t.name.startswith(("arl-async", "arl-files"))]

    async def main(fake):
        asked = asyncio.create_task(AsyncSandbox(box(fake)).files.write_many({f"/{i}": "x" for i in range(3 * files.AT_ONCE)}))
        while len(fake.seen) < files.AT_ONCE:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    with pod(silent) as fake:
        fake.refuse = [(429, "Too many requests", [("Retry-After", "60")])] * 99
        asyncio.run(main(fake))
        until = time.monotonic() + 10
        while threads() and time.monotonic() < until:
            time.sleep(0.01)
        assert (threads(), len(fake.seen)) == ([], files.AT_ONCE)
