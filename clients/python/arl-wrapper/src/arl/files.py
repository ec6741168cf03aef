"""Files of a sandbox, of any size, in any image, byte for byte."""

from __future__ import annotations

import builtins
import codecs
import hashlib
import io
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from arl import _arguments, _ops, _runner
from arl._exec import Exec
from arl._scope import Scope, in_scope
from arl.errors import FileMissing, FileNotDirectory, OutputTooLarge, StreamLost

if TYPE_CHECKING:
    from arl.sandbox import Sandbox

# What read() and read_bytes() take into memory; download() has no limit.
READ_MAX = 256 << 20
# Seconds for a verb that moves no content, and for one that does.
TIMEOUT_S = 300.0
TRANSFER_TIMEOUT_S = 3600.0
# Files that write_many() sends at once.
AT_ONCE = 8
# How often a file is read whose end the connection drops.
READ_TRIES = 5

User = str | int | None
Content = str | bytes | IO[bytes]
Local = str | os.PathLike[str]
T = TypeVar("T")


@dataclass(frozen=True)
class FileInfo:
    """A file, folder or other entry at a path of a sandbox.

    Attributes:
        name: Its name in its folder.
        path: Its path, as it was asked for.
        type: ``file``, ``dir``, ``symlink``, ``fifo``, ``socket``, ``char`` or ``block``.
        size: In bytes.
        mode: Its permissions, as a number.
        modified: Seconds since 1970.
        uid: Its owner.
        gid: Its group.
        target: Where a symbolic link leads to.
    """

    name: str
    path: str
    type: str
    size: int
    mode: int
    modified: float
    uid: int
    gid: int
    target: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return self.type == "file"

    @property
    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self.type == "dir"

    @classmethod
    def of(cls, said: Mapping[str, Any], path: str) -> FileInfo:
        """Reads a line of ``stat`` or ``ls``."""
        return cls(
            name=str(said["name"]),
            path=path,
            type=str(said["type"]),
            size=int(said["size"]),
            mode=int(said["mode"], 8),
            modified=said["mtimeNs"] / 1e9,
            uid=int(said["uid"]),
            gid=int(said["gid"]),
            target=said.get("target"),
        )


class Files:
    """The files of a sandbox, as ``sandbox.files``.

    Paths are absolute, or relative to the sandbox's work directory; a ``..`` is refused. ``user`` is the user that
    reads or writes, as in ``run``; by default the container's user. ``timeout`` is in seconds, for the whole call:
    until the sandbox is ready, until the connection is open, and for the transfer. By default it is 3600 for calls
    that move content, and 300 for others; None is no limit.

    All methods raise FileMissing, FileIsDirectory, FileNotDirectory, FileThere or FileDenied (each is the built-in
    error of that meaning, too) or another FileError. They raise StreamLost if the connection breaks, and StreamTimeout
    if the time is over (SandboxTimeout if the sandbox was not ready). Nothing is half-written after an error, except
    by ``upload_dir`` and ``download_dir``. If the connection breaks, a change may have been made, and is not tried
    again. A call that reads is repeated if its connection breaks before it is open. Wrong arguments raise TypeError or
    ValueError before anything is sent.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    # ---- reading ---------------------------------------------------------------------------------------------------

    def read(
        self,
        path: str,
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        max_size: int = READ_MAX,
        user: User = None,
        timeout: float | None = TRANSFER_TIMEOUT_S,
    ) -> str:
        """The text of a file.

        Raises:
            UnicodeDecodeError: It is not text of this encoding.
            OutputTooLarge: It has more than ``max_size`` bytes.
        """
        codecs.lookup(encoding)
        codecs.lookup_error(errors)
        return self.read_bytes(path, max_size=max_size, user=user, timeout=timeout).decode(encoding, errors)

    def read_bytes(
        self,
        path: str,
        *,
        offset: int = 0,
        length: int | None = None,
        max_size: int = READ_MAX,
        user: User = None,
        timeout: float | None = TRANSFER_TIMEOUT_S,
    ) -> bytes:
        """The content of a file, or ``length`` bytes of it from ``offset`` on.

        Raises:
            OutputTooLarge: It is more than ``max_size`` bytes.
        """
        want = _arguments.whole("max_size", max_size) + 1
        if length is not None:
            want = min(want, _arguments.whole("length", length))
        options = ["--length", str(want)] + (["--offset", str(offset)] if _arguments.whole("offset", offset) else [])

        def take(verb: _runner.Verb) -> bytes:
            return b"".join(verb.content(want))

        data = self._read(["get", *options], path, user, timeout, take)
        if len(data) > max_size:
            raise OutputTooLarge(
                f"{path} has more than {max_size} bytes", path=path, hint="Use files.download(), or a larger max_size."
            )
        return data

    def download(
        self, path: str, local: Local, *, user: User = None, timeout: float | None = TRANSFER_TIMEOUT_S
    ) -> int:
        """Writes a file of the sandbox into a local file, which is replaced when the transfer is complete.

        Returns:
            Its size.
        """
        target = Path(local)
        _arguments.seconds("timeout", timeout)
        if target.is_dir():
            target = target / _arguments.path(path).rstrip("/").rsplit("/", 1)[-1]
        with _replaced(target) as file:

            def take(verb: _runner.Verb) -> int:
                file.seek(0)
                file.truncate()
                for data in verb.content():
                    file.write(data)
                return verb.size

            return self._read(["get"], path, user, timeout, take)

    def _read(
        self, verb: Sequence[str], path: str, user: User, timeout: float | None, take: Callable[[_runner.Verb], T]
    ) -> T:
        """Reads again, a few times, what the connection has cut: reading changes nothing."""
        until = _arguments.deadline(timeout)
        for tries_left in reversed(range(READ_TRIES)):
            try:
                return take(self._verb(verb, path, user, until))
            except StreamLost as e:
                if e.reason != _runner.CUT or not tries_left:
                    raise
        raise AssertionError("unreachable")

    def download_dir(
        self, path: str, local: Local, *, user: User = None, timeout: float | None = TRANSFER_TIMEOUT_S
    ) -> None:
        """Writes the content of a folder of the sandbox into a local folder, which is made if it does not exist.

        Links that lead out of it, and devices, are refused. After an error the files that came before it stay.
        """
        folder = Path(local)
        verb = self._verb(["tar"], path, user, _arguments.deadline(timeout))
        folder.mkdir(parents=True, exist_ok=True)
        _runner.unpack(verb.content(), folder)

    def stat(self, path: str, *, follow: bool = True, user: User = None, timeout: float | None = TIMEOUT_S) -> FileInfo:
        """What is at this path; ``follow``: what a symbolic link leads to."""
        verb = self._verb(["stat", *(["--follow"] if follow else [])], path, user, _arguments.deadline(timeout))
        return _info(verb.said(), _arguments.path(path))

    def exists(self, path: str, *, user: User = None, timeout: float | None = TIMEOUT_S) -> bool:
        """Whether there is something at this path, or at the end of a symbolic link there."""
        try:
            self.stat(path, user=user, timeout=timeout)
        except (FileMissing, FileNotDirectory):
            return False
        return True

    def list(self, path: str = ".", *, user: User = None, timeout: float | None = TIMEOUT_S) -> builtins.list[FileInfo]:
        """What is in a folder, by name."""
        verb = self._verb(["ls"], path, user, _arguments.deadline(timeout))
        above = _arguments.path(path).rstrip("/")
        found = [_info(line, f"{above}/{line.get('name')}") for line in verb.lines()]
        return sorted(found, key=lambda info: info.name)

    # ---- writing ---------------------------------------------------------------------------------------------------

    def write(
        self,
        path: str,
        content: Content,
        *,
        mode: int | None = None,
        user: User = None,
        timeout: float | None = TRANSFER_TIMEOUT_S,
    ) -> None:
        """Writes a file: text as UTF-8, bytes, or the rest of an open binary file.

        Args:
            path: The file. Missing folders are made.
            content: The whole new content. Readers see the old content or the new one.
            mode: Permissions, such as ``0o755``. By default a new file gets ``0o644``, and an old one keeps its mode.
            user: Who writes it.
            timeout: Seconds for all of it.
        """
        self._write(path, _checked(content), _arguments.mode(mode), user, _arguments.deadline(timeout))

    def _write(
        self, path: str, content: bytes | IO[bytes], options: Sequence[str], user: User, until: float | None
    ) -> None:
        if not isinstance(content, bytes):
            self._framed(["put", *options], path, user, _runner.pieces_of_file(content), until)
            return
        digest = hashlib.sha256(content).hexdigest()
        options = [*options, "--size", str(len(content)), "--sha256", digest]
        verb = self._verb(["put", *options], path, user, until, _runner.pieces_of(content))
        verb.compare(verb.said(), len(content), digest)

    def write_many(
        self,
        files: Mapping[str, str | bytes],
        *,
        mode: int | None = None,
        user: User = None,
        timeout: float | None = TRANSFER_TIMEOUT_S,
    ) -> None:
        """Writes several files, some at the same time; each like ``write``.

        Raises:
            FileError: The first error. The other files are written nevertheless.
        """
        until, options = _arguments.deadline(timeout), _arguments.mode(mode)
        _arguments.user(user)
        if not isinstance(files, Mapping):
            raise TypeError(f"files must be a dict of contents by path, and not {files!r:.100}")
        contents = {_arguments.path(path): _checked(content) for path, content in files.items()}
        scope = Scope()
        in_scope(scope.cancel)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="arl-files") as executor:
            try:
                written = [
                    executor.submit(scope.context().run, self._write, path, content, options, user, until)
                    for path, content in contents.items()
                ]
                wait(written)
            except BaseException:  # as by Ctrl-C
                executor.shutdown(wait=False, cancel_futures=True)
                scope.cancel()
                raise
        for one in written:
            one.result()

    def upload(
        self,
        local: Local,
        path: str,
        *,
        mode: int | None = None,
        user: User = None,
        timeout: float | None = TRANSFER_TIMEOUT_S,
    ) -> None:
        """Writes a local file into a file of the sandbox, with its permissions unless ``mode`` is given."""
        with open(Path(local), "rb") as file:
            if mode is None:
                mode = os.fstat(file.fileno()).st_mode & 0o777
            self.write(path, file, mode=mode, user=user, timeout=timeout)

    def upload_dir(
        self, local: Local, path: str, *, user: User = None, timeout: float | None = TRANSFER_TIMEOUT_S
    ) -> None:
        """Writes the content of a local folder into a folder of the sandbox, which is made if it does not exist.

        Symbolic links stay links; those that lead out of the folder are refused. After an error the files that came
        before it stay.
        """
        folder = Path(local)
        if not folder.is_dir():
            raise NotADirectoryError(f"{local} is no local folder")
        self._framed(["untar"], path, user, _runner.pack(folder), _arguments.deadline(timeout))

    def _framed(self, verb: Sequence[str], path: str, user: User, source: Iterable[bytes], until: float | None) -> None:
        body = _runner.Framed(source)
        running = self._verb([*verb, "--framed"], path, user, until, body)
        running.compare(running.said(), body.size, body.digest)

    def mkdir(
        self,
        path: str,
        *,
        parents: bool = True,
        mode: int | None = None,
        user: User = None,
        timeout: float | None = TIMEOUT_S,
    ) -> None:
        """Makes a folder. With ``parents`` it makes missing folders above it, too, and accepts a folder that exists."""
        options = (["-p"] if parents else []) + _arguments.mode(mode)
        self._verb(["mkdir", *options], path, user, _arguments.deadline(timeout)).said()

    def remove(
        self,
        path: str,
        *,
        recursive: bool = False,
        missing_ok: bool = False,
        user: User = None,
        timeout: float | None = TIMEOUT_S,
    ) -> None:
        """Removes a file, a link or an empty folder; with ``recursive`` a folder with its whole content."""
        options = (["-r"] if recursive else []) + (["-f"] if missing_ok else [])
        self._verb(["rm", *options], path, user, _arguments.deadline(timeout)).said()

    # ---- how -------------------------------------------------------------------------------------------------------

    def _verb(
        self,
        verb: Sequence[str],
        path: str,
        user: User,
        until: float | None,
        source: Iterable[bytes] | None = None,
    ) -> _runner.Verb:
        path, options = _arguments.path(path), _arguments.user(user)
        place = self._sandbox._place(_arguments.left_of(until))
        if place.work_dir:
            options = ["--dir", place.work_dir, *options]
        start = partial(self._start, until, verb[0] in _runner.READS)
        return _runner.Verb(start, [verb[0], *options, *verb[1:]], path, source, until)

    @contextmanager
    def _start(self, until: float | None, again: bool, command: Sequence[str], stdin: bool) -> Iterator[Exec]:
        with self._sandbox._use, self._sandbox._exec(command, stdin=stdin, deadline=until, again=again) as process:
            yield process


def _info(said: Mapping[str, Any], path: str) -> FileInfo:
    """What the sandbox says, of which not all need be true."""
    try:
        return FileInfo.of(said, path)
    except (KeyError, TypeError, ValueError, OverflowError) as e:
        raise _runner.no_answer("stat", path, said) from e


def _checked(content: Any) -> bytes | IO[bytes]:
    """Content as bytes, or as a binary file; TypeError."""
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, bytes | bytearray | memoryview):
        return bytes(content)
    if isinstance(content, io.TextIOBase) or not callable(getattr(content, "read", None)):
        raise TypeError(f"content must be str, bytes or a file that is opened as binary, and not {content!r:.100}")
    file: IO[bytes] = content
    return file


@contextmanager
def _replaced(target: Path) -> Iterator[IO[bytes]]:
    """A new file that takes the place of the target if all goes well."""
    beside = target.with_name(f".arl-{secrets.token_hex(8)}")
    try:
        with open(beside, "xb") as file:
            yield file
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


class AsyncFiles:
    """The files of an ``AsyncSandbox``; see ``Files``, which has the same methods."""

    def __init__(self, files: Files) -> None:
        self._sync = files

    async def read(
        self,
        path: str,
        *,
        encoding: str = "utf-8",
        errors: str = "strict",
        max_size: int = READ_MAX,
        user: User = None,
        timeout: float | None = TRANSFER_TIMEOUT_S,
    ) -> str:
        """See ``Files.read``."""
        return await _ops.in_thread(
            lambda: self._sync.read(
                path, encoding=encoding, errors=errors, max_size=max_size, user=user, timeout=timeout
            )
        )

    async def read_bytes(
        self,
        path: str,
        *,
        offset: int = 0,
        length: int | None = None,
        max_size: int = READ_MAX,
        user: User = None,
        timeout: float | None = TRANSFER_TIMEOUT_S,
    ) -> bytes:
        """See ``Files.read_bytes``."""
        return await _ops.in_thread(
            lambda: self._sync.read_bytes(
                path, offset=offset, length=length, max_size=max_size, user=user, timeout=timeout
            )
        )

    async def download(
        self, path: str, local: Local, *, user: User = None, timeout: float | None = TRANSFER_TIMEOUT_S
    ) -> int:
        """See ``Files.download``."""
        return await _ops.in_thread(lambda: self._sync.download(path, local, user=user, timeout=timeout))

    async def download_dir(
        self, path: str, local: Local, *, user: User = None, timeout: float | None = TRANSFER_TIMEOUT_S
    ) -> None:
        """See ``Files.download_dir``."""
        await _ops.in_thread(lambda: self._sync.download_dir(path, local, user=user, timeout=timeout))

    async def stat(
        self, path: str, *, follow: bool = True, user: User = None, timeout: float | None = TIMEOUT_S
    ) -> FileInfo:
        """See ``Files.stat``."""
        return await _ops.in_thread(lambda: self._sync.stat(path, follow=follow, user=user, timeout=timeout))

    async def exists(self, path: str, *, user: User = None, timeout: float | None = TIMEOUT_S) -> bool:
        """See ``Files.exists``."""
        return await _ops.in_thread(lambda: self._sync.exists(path, user=user, timeout=timeout))

    async def list(
        self, path: str = ".", *, user: User = None, timeout: float | None = TIMEOUT_S
    ) -> builtins.list[FileInfo]:
        """See ``Files.list``."""
        return await _ops.in_thread(lambda: self._sync.list(path, user=user, timeout=timeout))

    async def write(
        self,
        path: str,
        content: Content,
        *,
        mode: int | None = None,
        user: User = None,
        timeout: float | None = TRANSFER_TIMEOUT_S,
    ) -> None:
        """See ``Files.write``."""
        await _ops.in_thread(lambda: self._sync.write(path, content, mode=mode, user=user, timeout=timeout))

    async def write_many(
        self,
        files: Mapping[str, str | bytes],
        *,
        mode: int | None = None,
        user: User = None,
        timeout: float | None = TRANSFER_TIMEOUT_S,
    ) -> None:
        """See ``Files.write_many``."""
        await _ops.in_thread(lambda: self._sync.write_many(files, mode=mode, user=user, timeout=timeout))

    async def upload(
        self,
        local: Local,
        path: str,
        *,
        mode: int | None = None,
        user: User = None,
        timeout: float | None = TRANSFER_TIMEOUT_S,
    ) -> None:
        """See ``Files.upload``."""
        await _ops.in_thread(lambda: self._sync.upload(local, path, mode=mode, user=user, timeout=timeout))

    async def upload_dir(
        self, local: Local, path: str, *, user: User = None, timeout: float | None = TRANSFER_TIMEOUT_S
    ) -> None:
        """See ``Files.upload_dir``."""
        await _ops.in_thread(lambda: self._sync.upload_dir(local, path, user=user, timeout=timeout))

    async def mkdir(
        self,
        path: str,
        *,
        parents: bool = True,
        mode: int | None = None,
        user: User = None,
        timeout: float | None = TIMEOUT_S,
    ) -> None:
        """See ``Files.mkdir``."""
        await _ops.in_thread(lambda: self._sync.mkdir(path, parents=parents, mode=mode, user=user, timeout=timeout))

    async def remove(
        self,
        path: str,
        *,
        recursive: bool = False,
        missing_ok: bool = False,
        user: User = None,
        timeout: float | None = TIMEOUT_S,
    ) -> None:
        """See ``Files.remove``."""
        await _ops.in_thread(
            lambda: self._sync.remove(path, recursive=recursive, missing_ok=missing_ok, user=user, timeout=timeout)
        )
