"""Archives of folders, and the bodies that carry them."""

import hashlib
import io
import os
import stat
import tarfile

import pytest
from arl import _runner, errors, files

MANY = 300


def archive(*infos):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info in infos:
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return data.getvalue()


def entry(name, **more):
    info = tarfile.TarInfo(name)
    for key, value in more.items():
        setattr(info, key, value)
    return info


def pieces(data, size=700):
    return (data[i : i + size] for i in range(0, len(data), size))


def test_a_folder_comes_out_as_it_went_in(tmp_path):
    top = tmp_path / "in"
    deep = top / ("d" * 120) / ("e" * 120)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(os.urandom(200_001))
    (top / "empty").touch(mode=0o640)
    (top / "program").write_text("x")
    os.chmod(top / "program", 0o755)
    (top / "link").symlink_to("program")
    (top / "dangling").symlink_to("nothing")
    (top / "nothing at all").mkdir()
    os.mkfifo(top / "fifo")     # left out
    for i in range(MANY):
        (top / f"{i}").write_text("x" * i)
    _runner.unpack(pieces(b"".join(_runner.pack(top))), tmp_path / "out")

    def tree(folder):
        found = {}
        for path in folder.rglob("*"):
            state = path.lstat()
            kind = stat.S_IFMT(state.st_mode)
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            if kind != stat.S_IFIFO:
                found[str(path.relative_to(folder))] = (kind, content, None if path.is_symlink() else stat.S_IMODE(state.st_mode))
        return found
    assert tree(tmp_path / "out") == tree(top)
    assert len(tree(top)) == MANY + 8


@pytest.mark.parametrize("bad", [
    entry("../out"), entry("a/../../out"), entry("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), entry("link", type=tarfile.SYMTYPE, linkname="../out"),
    entry("hard", type=tarfile.LNKTYPE, linkname="../out"), entry("device", type=tarfile.CHRTYPE), entry("pipe", type=tarfile.FIFOTYPE),
])
def test_nothing_gets_out_of_the_folder(tmp_path, bad):
    (tmp_path / "in").mkdir()
    with pytest.raises(errors.FileError) as e:
        _runner.unpack(pieces(archive(entry("good", size=3), bad)), tmp_path / "in")
    assert e.value.reason == "ARCHIVE"
    assert sorted(os.listdir(tmp_path)) == ["in"]
    assert os.listdir(tmp_path / "in") == ["good"]


def test_an_absolute_name_stays_below(tmp_path):
    _runner.unpack(pieces(archive(entry("/good", size=3))), tmp_path)
    assert os.listdir(tmp_path) == ["good"]


def test_an_archive_that_is_cut_is_an_error(tmp_path):
    whole = archive(entry("good", size=3000))
    with pytest.raises(errors.FileError):
        _runner.unpack(pieces(whole[:2000]), tmp_path)


def test_a_file_that_shrinks_under_it_is_an_error(tmp_path):
    (tmp_path / "a").write_bytes(bytes(3 << 20))
    source = _runner.pack(tmp_path)
    next(source)
    os.truncate(tmp_path / "a", 10)
    with pytest.raises(errors.FileError, match="shorter") as e:
        list(source)
    assert e.value.reason == "CHANGED"


def test_frames_end_in_the_checksum():
    data = os.urandom(3_000_001)
    body = _runner.Framed([b"", data[:10], data[10:]])
    sent = b"".join(body)
    got, at = b"", 0
    while size := int.from_bytes(sent[at : at + 4], "big"):
        assert size <= 1 << 20
        got += sent[at + 4 : at + 4 + size]
        at += 4 + size
    assert got == data
    assert sent[at + 4 :] == hashlib.sha256(data).digest()
    assert (body.size, body.digest) == (len(data), hashlib.sha256(data).hexdigest())


def test_a_reader_is_a_file():
    reader = _runner.Reader(pieces(bytes(range(256)), 7))
    assert [reader.read(3), reader.read(0), reader.read(20)] == [b"\0\1\2", b"", bytes(range(3, 23))]
    assert reader.read() == bytes(range(23, 256))
    assert reader.read(1) == b""


def test_a_download_that_fails_leaves_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyError), files._replaced(tmp_path / "a") as f:
        f.write(b"new")
        raise KeyError
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


@pytest.mark.parametrize(("said", "code", "kind", "builtin"), [
    (b'noise\n{"error":"ENOENT","message":"m"}\n', 1, errors.FileMissing, FileNotFoundError),
    (b'{"error":"EISDIR","message":"m"}', 1, errors.FileIsDirectory, IsADirectoryError),
    (b'{"error":"ENOTDIR","message":"m"}', 1, errors.FileNotDirectory, NotADirectoryError),
    (b'{"error":"EEXIST","message":"m"}', 1, errors.FileThere, FileExistsError),
    (b'{"error":"EACCES","message":"m"}', 1, errors.FileDenied, PermissionError),
    (b'{"error":"LINK","message":"m"}', 1, errors.FileDenied, PermissionError),
    (b'{"error":"USER","message":"m"}', 126, errors.FileDenied, PermissionError),
    (b'{"error":"CHECKSUM","message":"m"}', 1, errors.ChecksumMismatch, OSError),
    (b'{"error":"ENOSPC","message":"m"}', 1, errors.FileError, OSError),
    (b'{"error":"CUT","message":"m"}', 1, errors.StreamLost, ConnectionError),
    (b"Usage: arl-runner", 2, errors.ExecFailed, RuntimeError),
    (b"", 137, errors.ExecFailed, RuntimeError),
])
def test_what_a_verb_says_is_an_error_of_the_tree(said, code, kind, builtin):
    error = _runner.failed("get", "/a", code, said)
    assert (type(error), isinstance(error, builtin), isinstance(error, errors.ArlError)) == (kind, True, True)
