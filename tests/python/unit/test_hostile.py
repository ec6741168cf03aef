"""Programs in a sandbox may answer in place of its verbs. A wrong answer must be an error, and must not take much memory."""

import asyncio
import io
import json
import tarfile

import pytest
from arl import AsyncSandbox, _runner, errors
from fake_pod import FakePod
from test_archives import entry
from test_files import box

INFO = {"name": "a", "type": "file", "size": 1, "mode": "0644", "mtimeNs": 1, "uid": 0, "gid": 0}
LINES = [
    b"", b"{", b"[]", b"1", b"null", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b"{}", json.dumps({**INFO, "size": "x"}).encode(), json.dumps({**INFO, "mode": 5}).encode(),
    json.dumps({**INFO, "mode": "9"}).encode(), json.dumps({**INFO, "mtimeNs": 10**400}).encode(), json.dumps({**INFO, "mtimeNs": None}).encode(), json.dumps({**INFO, "uid": []}).encode(),
]


def says(data, last=b""):
    def serve(peer):
        peer.send(1, data)
        if last:
            peer.send(2, last)
        peer.end()
    return serve


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_line_that_is_none(line, kind):
    with FakePod(says(line + b"\n")) as fake:
        sandbox = box(fake)
        for sync, later in ((sandbox.files.stat, AsyncSandbox(sandbox).files.stat), (sandbox.files.list, AsyncSandbox(sandbox).files.list)):
            with pytest.raises(errors.ExecFailed, match="no answer of a verb"):
                sync("/a") if kind == "sync" else asyncio.run(later("/a"))


@pytest.mark.parametrize("call", [
    lambda f: f.stat("/a"), lambda f: f.list("/a"), lambda f: f.mkdir("/a"), lambda f: f.remove("/a"), lambda f: f.write("/a", "x"), lambda f: f.write("/a", io.BytesIO(b"x"))])
def test_a_line_without_an_end(call):
    def serve(peer):
        while True:
            peer.send(1, bytes(1 << 20))
    with FakePod(serve) as fake, pytest.raises(errors.ExecFailed, match="no answer of a verb"):
        call(box(fake).files)


def test_more_than_was_asked_for():
    def serve(peer):
        while True:
            peer.send(1, bytes(1 << 16))
    with FakePod(serve) as fake:
        for call in (lambda f: f.read_bytes("/a", length=10), lambda f: f.read_bytes("/a", max_size=1000), lambda f: f.read("/a", max_size=1000)):
            with pytest.raises(errors.ExecFailed, match="were asked for"):
                call(box(fake).files)


@pytest.mark.parametrize("said", [b"{", b"[" * 60_000, b'{"error": []}', b'{"error": {"a": 1}, "message": null}', b'{"error": "E2BIG"}', b"\xff" * 100])
@pytest.mark.parametrize("call", [lambda f: f.read("/a"), lambda f: f.stat("/a"), lambda f: f.remove("/a")])
def test_an_error_that_is_none(said, call):
    def serve(peer):
        peer.send(2, said)
        peer.end(1)
    with FakePod(serve) as fake, pytest.raises(errors.ArlError):
        call(box(fake).files)


def archive(*infos):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info in infos:
            tar.addfile(info)
    return data.getvalue()


def with_pax(**headers):
    info = entry("a")
    info.pax_headers = headers
    return archive(info)


@pytest.mark.parametrize("data", [
    b"", b"x", b"garbage " * 1000, bytes(100), b"\xff" * 5120, with_pax(mtime="nan"), with_pax(mtime="1e300"), with_pax(mtime="inf"), with_pax(size="-1"),
    with_pax(uid="x"), archive(entry("a\nb")), archive(entry("l", type=tarfile.LNKTYPE, linkname="missing")),
])
def test_an_archive_that_is_none(tmp_path, data):
    """Data that is no archive, or an odd one: it is refused, or unpacked completely."""
    try:
        _runner.unpack(iter([data]), tmp_path / "in")
    except errors.ArlError as e:
        assert e.reason == "ARCHIVE"
    assert sorted(p.name for p in tmp_path.iterdir()) in ([], ["in"])


def test_an_error_of_the_connection_is_not_one_of_the_archive(tmp_path):
    def source():
        raise errors.Refused("no such container")
        yield
    with pytest.raises(errors.Refused):
        _runner.unpack(source(), tmp_path)
