"""The verbs of ``/.arl/runner`` in a sandbox's container, over pods/exec: docs/files.md is their description."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat as stat_
import tarfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from arl import errors
from arl._exec import SEND_SIZE, Exec
from arl.errors import ArlError, ExecFailed, FileError, StreamLost

RUNNER = "/.arl/runner"
# The longest frame that the runner takes.
FRAME_MAX = 1 << 20
# No verb prints a line of this size.
LINE_MAX = 1 << 20
BLOCK = 512
# They change nothing, and may be started twice.
READS = frozenset({"get", "ls", "stat", "tar"})
# The reason of a stream whose end is missing.
CUT = "CUT"

_KINDS: dict[str, type[FileError]] = {
    "ENOENT": errors.FileMissing,
    "EEXIST": errors.FileThere,
    "EISDIR": errors.FileIsDirectory,
    "ENOTDIR": errors.FileNotDirectory,
    "EACCES": errors.FileDenied,
    "EPERM": errors.FileDenied,
    "EROFS": errors.FileDenied,
    "PATH": errors.FileDenied,
    "LINK": errors.FileDenied,
    "USER": errors.FileDenied,
    "HERE": errors.FileDenied,
    "CHECKSUM": errors.ChecksumMismatch,
}


def last_line(text: bytes) -> Any:
    """The JSON of the last line; None if it is none."""
    return _parsed(text.rstrip().rsplit(b"\n", 1)[-1])


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def no_answer(verb: str, path: str, said: object) -> ExecFailed:
    """The error for what no verb says, as a program of the sandbox may in its place."""
    return ExecFailed(f"{verb} {path}: this is no answer of a verb: {said!r:.200}")


def failed(verb: str, path: str, code: int, said: bytes) -> ArlError:
    """The error of a verb that did not exit with 0."""
    answer = last_line(said)
    if not isinstance(answer, dict) or "error" not in answer:
        return ExecFailed(
            f"{verb} {path}: exit code {code}: {said.decode(errors='replace').strip()[-500:] or 'it said nothing'}",
            hint="The pod may have been made by an earlier release of arl, which had no files: delete the sandbox.",
        )
    name, message = str(answer["error"]), str(answer.get("message", ""))
    if name == CUT:
        return StreamLost(f"{verb} {path}: {message}", reason=name)
    error = _KINDS.get(name, FileError)(f"{verb} {path}: {message}", path=path, reason=name)
    if name in errno.errorcode.values():
        error.errno = getattr(errno, name)
    error.filename = path
    error.strerror = message
    return error


class Verb:
    """A verb that runs.

    Args:
        run: Connects to the program with these arguments; whether it has standard input.
        verb: The verb and its options, without the path.
        path: The path.
        source: Its standard input.
        deadline: On the clock of ``time.monotonic``.

    Attributes:
        size: How many bytes of output came.
    """

    def __init__(
        self,
        run: Callable[[Sequence[str], bool], AbstractContextManager[Exec]],
        verb: Sequence[str],
        path: str,
        source: Iterable[bytes] | None = None,
        deadline: float | None = None,
    ) -> None:
        self._run = run
        self._verb = verb
        self._path = path
        self._source = source
        self._deadline = deadline
        self._hash = hashlib.sha256()
        self.size = 0
        self.answer: dict[str, Any] = {}

    def output(self) -> Iterator[bytes]:
        """Its output up to the end; then ``answer`` has the last line of standard error, if there is one."""
        with self._run([RUNNER, *self._verb, "--", self._path], self._source is not None) as process:
            for data in process.output(self._source, deadline=self._deadline):
                self.size += len(data)
                self._hash.update(data)
                yield data
            code = process.code()
            if code:
                raise failed(self._verb[0], self._path, code, bytes(process.errors))
            answer = last_line(bytes(process.errors))
            self.answer = answer if isinstance(answer, dict) else {}

    def content(self, most: int | None = None) -> Iterator[bytes]:
        """The same, where the output is content: it is compared with what was sent.

        Args:
            most: So many bytes were asked for.

        Raises:
            ExecFailed: There are more.
            StreamLost: Its reason is ``CUT``: Kubernetes has dropped the end of the stream and says that all went well,
                as it does when the reader is slow.
        """
        for data in self.output():
            if most is not None and self.size > most:
                raise no_answer(self._verb[0], self._path, f"{self.size} bytes where {most} were asked for")
            yield data
        if "sha256" not in self.answer:
            raise StreamLost(
                f"{self._verb[0]} {self._path}: the connection dropped what came after {self.size} bytes", reason=CUT
            )
        self.compare(self.answer, self.size, self._hash.hexdigest())

    def lines(self) -> Iterator[dict[str, Any]]:
        """The same, where the output is lines of JSON."""
        rest = b""
        for data in self.output():
            *lines, rest = (rest + data).split(b"\n")
            yield from map(self._line, lines)
            if len(rest) > LINE_MAX:
                raise no_answer(self._verb[0], self._path, rest)
        if rest:
            yield self._line(rest)

    def _line(self, line: bytes) -> dict[str, Any]:
        said = _parsed(line)
        if not isinstance(said, dict):
            raise no_answer(self._verb[0], self._path, line)
        return said

    def said(self) -> dict[str, Any]:
        """The one line of JSON that it prints."""
        last = deque(self.lines(), 1)
        return last[0] if last else {}

    def compare(self, answer: dict[str, Any], size: int, digest: str) -> None:
        """Compares what one side has sent with what the other one has got."""
        if answer.get("size") != size or answer.get("sha256") != digest:
            raise errors.ChecksumMismatch(
                f"{self._verb[0]} {self._path}: {size} bytes with SHA-256 {digest} here, and "
                f"{answer.get('size')} with {answer.get('sha256')} in the sandbox",
                path=self._path,
            )


class Reader:
    """The pieces of a source as a file, for what wants to read one."""

    def __init__(self, source: Iterator[bytes]) -> None:
        self._source = source
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        """As any file's."""
        parts, have = [self._rest], len(self._rest)
        while size < 0 or have < size:
            piece = next(self._source, None)
            if piece is None:
                break
            parts.append(piece)
            have += len(piece)
        data = b"".join(parts)
        if size < 0:
            size = len(data)
        self._rest = data[size:]
        return data[:size]

    def finish(self) -> None:
        """Reads on to the end, which tells whether all was well."""
        for _ in self._source:
            pass


class Framed:
    """Pieces in frames, with the checksum of all behind them: a body that is cut is not taken for a whole one.

    Attributes:
        size: Of what was sent.
    """

    def __init__(self, source: Iterable[bytes]) -> None:
        self._source = source
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """Of what was sent."""
        return self._hash.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._source:
            for at in range(0, len(piece), FRAME_MAX):
                part = piece[at : at + FRAME_MAX]
                self._hash.update(part)
                self.size += len(part)
                yield len(part).to_bytes(4, "big") + part
        yield bytes(4) + self._hash.digest()


def pieces_of(data: bytes) -> Iterator[bytes]:
    """Content in memory, in pieces of one message."""
    view = memoryview(data)
    for at in range(0, len(data), SEND_SIZE):
        yield bytes(view[at : at + SEND_SIZE])


def pieces_of_file(file: IO[bytes]) -> Iterator[bytes]:
    """A file from where it stands, in pieces of one message."""
    while data := file.read(SEND_SIZE):
        yield data


def pack(folder: Path) -> Iterator[bytes]:
    """The content of a local folder as a tar archive.

    Files, folders and symbolic links; what else is there is left out.
    """
    buffer = bytearray()
    for name, path in _walk(folder, ""):
        info, size = _entry(name, path)
        if info is None:
            continue
        buffer += info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if size:
            with open(path, "rb") as file:
                for data in _exactly(file, size, path):
                    buffer += data
                    if len(buffer) >= SEND_SIZE:
                        yield bytes(buffer)
                        buffer.clear()
            buffer += bytes(-size % BLOCK)
        if len(buffer) >= SEND_SIZE:
            yield bytes(buffer)
            buffer.clear()
    buffer += bytes(2 * BLOCK)
    yield bytes(buffer)


def _walk(folder: Path, below: str) -> Iterator[tuple[str, Path]]:
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda e: e.name)
    for entry in found:
        name = f"{below}{entry.name}"
        yield name, Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{name}/")


def _entry(name: str, path: Path) -> tuple[tarfile.TarInfo | None, int]:
    state = path.lstat()
    info = tarfile.TarInfo(name)
    info.mode, info.mtime = stat_.S_IMODE(state.st_mode), state.st_mtime
    if stat_.S_ISREG(state.st_mode):
        info.size = state.st_size
    elif stat_.S_ISDIR(state.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat_.S_ISLNK(state.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
    else:
        return None, 0
    return info, info.size


def _exactly(file: IO[bytes], size: int, path: Path) -> Iterator[bytes]:
    left = size
    while left:
        data = file.read(min(left, SEND_SIZE))
        if not data:
            raise FileError(f"{path} became shorter while it was read", path=str(path), reason="CHANGED")
        left -= len(data)
        yield data


def unpack(source: Iterator[bytes], folder: Path) -> None:
    """Unpacks a tar archive into a local folder: nothing of it gets out of there, and no devices are made."""
    if not hasattr(tarfile, "data_filter"):
        raise NotImplementedError("this Python cannot unpack archives safely: use 3.12, or 3.11.4, 3.10.12 or later")
    reader = Reader(source)
    try:
        with tarfile.open(fileobj=reader, mode="r|", bufsize=SEND_SIZE) as archive:  # type: ignore[call-overload]
            archive.extractall(folder, filter="data")
    except ArlError:
        raise
    except (tarfile.TarError, ArithmeticError, LookupError, TypeError, ValueError) as e:
        # The last ones, too, are what tarfile makes of a header that is no header.
        raise FileError(f"the archive was refused: {e}", path=str(folder), reason="ARCHIVE") from e
    reader.finish()
