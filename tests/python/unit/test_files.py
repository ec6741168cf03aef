"""Files whose transfer the connection cuts."""

import contextlib
import hashlib
import json

import pytest
from arl import _exec, errors, files
from fake_pod import FakePod as pod

DATA = bytes(range(256)) * 1000


class Place:
    pod, container, work_dir = "p", "executor", None


class Box:
    """What Files wants of a sandbox."""

    def __init__(self, fake):
        self._fake, self._use = fake, contextlib.nullcontext()

    def _place(self):
        return Place

    def _exec(self, command, stdin):
        return _exec.open_exec(self._fake.connection, "n", "p", "executor", command, stdin=stdin)


def cut(times):
    """The first so many readers get a part, no last line on standard error, and the word that all went well."""
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
