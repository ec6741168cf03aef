"""Shells, terminals and ports of a sandbox. Each keeps it in use while it is open."""

from __future__ import annotations

import asyncio
import json
import math
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager
from types import TracebackType

from arl import _arguments, _exec, _ops
from arl._exec import Exec, Stream
from arl.errors import ArlError, StreamLost, StreamTimeout
from arl.process import Name, Output, _Decoders

# How long input waits until it is taken.
WRITE_TIMEOUT_S = 60.0
# A connection whose local end has finished sending goes on for so long without a byte from the sandbox.
_LINGER_S = 30.0
# A terminal has at most so many lines and columns.
_SIZE_MAX = 65535
# A port that can take no connection tries again after so long.
_PAUSE_S = 0.1
# What is read from a local connection at once; nothing more is read until it was sent.
_PIECE = 64 << 10


class Shell:
    """A program with standard input and output, by default a shell; a terminal if it was made by ``pty``.

    One thread may read while another one writes. ``with`` it, or ``close`` it.
    """

    def __init__(self, process: Exec, use: AbstractContextManager[object]) -> None:
        self._process = process
        use.__enter__()
        # When it has ended, is closed, or nobody has it any more: whichever comes first.
        self._leave = weakref.finalize(self, use.__exit__, None, None, None)
        self._leave.atexit = False
        self._decoders = _Decoders()
        self._waiting: deque[Output] = deque()

    def write(self, data: str | bytes, timeout: float | None = WRITE_TIMEOUT_S) -> None:
        """Sends input; text as UTF-8. Waits while the program does not read, as when nobody reads its output.

        Args:
            data: The input.
            timeout: Seconds for all of it; None: for as long as it takes.

        Raises:
            WriteTimeout: A StreamTimeout: the program did not read all of it in time; ``taken`` says how much it took.
            StreamLost: The connection broke, or the program has ended.
        """
        timeout = _arguments.seconds("timeout", timeout)
        if not isinstance(data, str | bytes | bytearray | memoryview):
            raise TypeError(f"data must be str or bytes, and not {data!r:.100}")
        self._process.stream.send(_exec.STDIN, data.encode() if isinstance(data, str) else bytes(data), timeout)

    def end_input(self, timeout: float | None = WRITE_TIMEOUT_S) -> None:
        """Closes its standard input; see ``write``.

        Raises:
            NotImplementedError: The API server is older than Kubernetes 1.30, which cannot do that.
        """
        if not self._process.stream.send_end(timeout=_arguments.seconds("timeout", timeout)):
            raise NotImplementedError("this API server cannot close standard input: Kubernetes 1.30 or later can")

    def read(self, timeout: float | None = None) -> Output | None:
        """Returns the next piece of output. None: the program has ended, or nothing came within ``timeout`` seconds.

        With 0 it returns only a piece that has come already.
        """
        until = _arguments.deadline(timeout)
        try:
            while not self._waiting and not self._process.over:
                left = None if until is None else max(0.0, until - time.monotonic())
                self._process.feed(self._process.stream.messages(left), self._take)
                if left == 0:
                    break
        except StreamLost:
            self._leave()
            raise
        if self._process.over:
            self._leave()
        return self._waiting.popleft() if self._waiting else None

    def _take(self, channel: int, data: bytes) -> None:
        if channel in (_exec.STDOUT, _exec.STDERR):
            self._waiting.append(self._decoders.output((channel - 1, 0, data)))

    def read_until(self, text: str, timeout: float | None = 60.0, stream: Name = "stdout") -> str:
        """Reads up to a piece with this text, and returns all of the stream's text so far.

        Output of the other stream is kept to be read later. If the text does not come, all output is kept.

        Raises:
            StreamTimeout: The text did not come in time.
            StreamLost: The program ended before.
        """
        until = _Until(text, timeout, stream)
        try:
            while not until.came:
                until.take(self.read(until.left()), self.over)
        finally:
            self._waiting.extendleft(reversed(until.unread()))
        return until.got

    def __iter__(self) -> Iterator[Output]:
        """Its output up to its end."""
        while (output := self.read()) is not None:
            yield output

    @property
    def over(self) -> bool:
        """Whether it has ended, as far as was read."""
        return self._process.over

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end of the program, and returns its exit code. Drops output that was not read.

        Raises:
            StreamTimeout: It did not end in time.
        """
        until = _arguments.deadline(timeout)
        while not self._process.over:
            left = _arguments.left_of(until)
            if left == 0:
                raise StreamTimeout(f"the shell did not end within {timeout:g} s")
            self.read(left)
        return self._process.code()

    def close(self) -> None:
        """Ends the program: a terminal hangs up, and a shell without a terminal sees the end of its input."""
        self._process.stream.close()
        self._leave()

    def __enter__(self) -> Shell:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Until:
    """What ``read_until`` has read of its stream, and of the other one.

    Attributes:
        got: Its stream's text.
    """

    def __init__(self, text: str, timeout: float | None, stream: Name) -> None:
        self.got = ""
        self._pieces: list[Output] = []
        self._text, self._stream = text, stream
        if stream not in ("stdout", "stderr"):
            raise ValueError(f"stream must be stdout or stderr, and not {stream!r}")
        if not isinstance(text, str):
            raise TypeError(f"text must be str, and not {text!r:.100}")
        until = _arguments.deadline(timeout)
        self._until = math.inf if until is None else until
        self._late = False

    @property
    def came(self) -> bool:
        return self._text in self.got

    def left(self) -> float | None:
        """How long the next piece is waited for; after that it is too late if none has come."""
        left = self._until - time.monotonic()
        self._late = left <= 0
        return max(0.0, left) if left < math.inf else None

    def take(self, output: Output | None, over: bool) -> None:
        if output is None:
            if over or self._late:
                raise self._not_read(over)
            return
        self._pieces.append(output)
        if output.stream == self._stream:
            self.got += output.text

    def unread(self) -> list[Output]:
        """The pieces that are to be read later."""
        return [piece for piece in self._pieces if not self.came or piece.stream != self._stream]

    def _not_read(self, over: bool) -> StreamLost | StreamTimeout:
        seen = f"; it wrote {self.got[-500:]!r}"
        if over:
            return StreamLost(f"the shell ended before it wrote {self._text!r}{seen}")
        return StreamTimeout(f"the shell did not write {self._text!r} in time{seen}")


def terminal_size(cols: int, rows: int) -> bytes:
    """The message that tells it."""
    width, height = (_arguments.whole(name, value, 1, _SIZE_MAX) for name, value in (("cols", cols), ("rows", rows)))
    return json.dumps({"Width": width, "Height": height}).encode()


class Pty(Shell):
    """A program in a terminal: all that it shows is ``stdout``."""

    def resize(self, cols: int, rows: int) -> None:
        """Sets the size of its terminal. The size does not wait for input, so later input may arrive before it.

        Raises:
            TypeError: One of them is not a number.
            ValueError: One of them is below 1 or above 65535.
        """
        self._tell(terminal_size(cols, rows))

    def _tell(self, size: bytes) -> None:
        self._process.stream.send(_exec.RESIZE, size, WRITE_TIMEOUT_S)

    def __enter__(self) -> Pty:
        return self


class Forward:
    """A local port that leads to one of the sandbox, until it is closed: by ``with``, ``async with`` or ``close``.

    A connection cannot be half closed: the sandbox does not learn that the local side has sent its last byte.

    Attributes:
        host: The local address.
        port: The local port.
        address: Both, as ``host:port``.
    """

    def __init__(self, connect: Callable[[], Stream], use: AbstractContextManager[object], port: int) -> None:
        self._connect = connect
        self._use = use
        self._lock = threading.Lock()
        self._streams: set[Stream] = set()
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", port))
        self.host, self.port = self._listener.getsockname()[:2]
        self.address = f"{self.host}:{self.port}"
        # The first one tells whether it may be done at all.
        try:
            self._connect().close()
        except BaseException:
            self._listener.close()
            raise
        self._use.__enter__()
        threading.Thread(target=self._accept, name="arl-forward", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                local, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                time.sleep(_PAUSE_S)  # as where there are too many files
                continue
            threading.Thread(target=self._serve, args=(local,), name="arl-forward", daemon=True).start()

    def _serve(self, local: socket.socket) -> None:
        with local:
            try:
                stream = self._connect()
            except ArlError:
                return
            try:
                with self._lock:
                    self._streams.add(stream)
                    if self._closed:
                        return
                _Relay(stream, local).run()
            except (ArlError, OSError):
                pass  # either side is gone: so is the other one
            finally:
                with self._lock:
                    self._streams.discard(stream)
                stream.close()

    def close(self) -> None:
        """Closes the port and its connections. Harmless when it is closed."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            streams = list(self._streams)
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # macOS does that by close() alone
        self._listener.close()
        for stream in streams:
            stream.abort()
        self._use.__exit__(None, None, None)

    def __enter__(self) -> Forward:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Forward:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Relay:
    """One connection: a thread for each direction."""

    def __init__(self, stream: Stream, local: socket.socket) -> None:
        self._stream = stream
        self._local = local
        # The first message of each channel is the number of the port.
        self._headers = {0, 1}
        self._sent_all: float | None = None

    def run(self) -> None:
        sender = threading.Thread(target=self._send, name="arl-forward", daemon=True)
        sender.start()
        try:
            while not self._stream.ended:
                found = self._stream.messages(1.0)
                if not self._pass_on(found):
                    return
                idle = self._sent_all is not None and time.monotonic() - self._sent_all > _LINGER_S
                if not found and idle:
                    return
                if found and self._sent_all is not None:
                    self._sent_all = time.monotonic()
        finally:
            try:
                self._local.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._stream.abort()  # the sender may wait for room
            sender.join()

    def _pass_on(self, found: list[tuple[int, bytes]]) -> bool:
        for channel, data in found:
            if channel in self._headers:
                self._headers.discard(channel)
                data = data[2:]
            if channel == 1 and data:
                return False  # there is nobody at that port
            if channel == 0 and data:
                self._local.sendall(data)
        return True

    def _send(self) -> None:
        try:
            while data := self._local.recv(_PIECE):
                self._stream.send(0, data)
        except (ArlError, OSError):
            self._stream.abort()
        self._sent_all = time.monotonic()


def _drop(pump: _ops.Pump[Output], stream: Stream) -> None:
    pump.abandon()
    stream.abort()


class AsyncShell:
    """A program with standard input and output; see ``Shell``. ``async with`` it, or ``close`` it."""

    def __init__(self, shell: Shell) -> None:
        self._sync = shell
        self._pump = _ops.Pump(lambda: iter(shell))
        weakref.finalize(self, _drop, self._pump, shell._process.stream).atexit = False
        self._kept: deque[Output] = deque()

    async def write(self, data: str | bytes, timeout: float | None = WRITE_TIMEOUT_S) -> None:
        """See ``Shell.write``. What was begun is sent to its end when this is cancelled."""
        await _ops.in_thread(lambda: self._sync.write(data, timeout))

    async def end_input(self, timeout: float | None = WRITE_TIMEOUT_S) -> None:
        """See ``Shell.end_input``."""
        await _ops.in_thread(lambda: self._sync.end_input(timeout))

    async def read(self, timeout: float | None = None) -> Output | None:
        """See ``Shell.read``."""
        if self._kept:
            return self._kept.popleft()
        if _arguments.seconds("timeout", timeout) == 0:
            return await self._pump.get_now()
        try:
            return await asyncio.wait_for(self._pump.get(), timeout)
        except asyncio.TimeoutError:
            return None

    async def read_until(self, text: str, timeout: float | None = 60.0, stream: Name = "stdout") -> str:
        """See ``Shell.read_until``."""
        until = _Until(text, timeout, stream)
        try:
            while not until.came:
                until.take(await self.read(until.left()), self.over)
        finally:
            self._kept.extendleft(reversed(until.unread()))
        return until.got

    async def __aiter__(self) -> AsyncIterator[Output]:
        """Its output up to its end."""
        while (output := await self.read()) is not None:
            yield output

    @property
    def over(self) -> bool:
        """Whether it has ended, as far as was read."""
        return self._pump.over

    async def wait(self, timeout: float | None = None) -> int:
        """See ``Shell.wait``."""
        until = _arguments.deadline(timeout)
        while not self.over:
            left = _arguments.left_of(until)
            if left == 0:
                raise StreamTimeout(f"the shell did not end within {timeout:g} s")
            await self.read(left)
        return self._sync._process.code()

    async def close(self) -> None:
        """See ``Shell.close``."""
        self._pump.stop()
        self._sync._process.stream.abort()
        await _ops.in_thread(self._sync.close)

    async def __aenter__(self) -> AsyncShell:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncPty(AsyncShell):
    """A program in a terminal; see ``Pty``."""

    def __init__(self, pty: Pty) -> None:
        super().__init__(pty)
        self._pty = pty

    async def resize(self, cols: int, rows: int) -> None:
        """See ``Pty.resize``."""
        await _ops.in_thread(lambda: self._pty.resize(cols, rows))

    async def __aenter__(self) -> AsyncPty:
        return self
