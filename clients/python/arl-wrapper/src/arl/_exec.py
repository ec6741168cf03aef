"""pods/exec and pods/portforward, each over one WebSocket.

The WebSocket library of the official package shakes hands; from then on the frames are read and written here, without
blocking, so that one thread can send a file and see at once that its reader has ended.

A message begins with a byte that names its channel: 0 is standard input, 1 output, 2 errors, 3 the end as a Status, 4
the size of a terminal. ``v5.channel.k8s.io`` has one more, 255, which closes another one: the end of standard input.
With ``v4.channel.k8s.io``, the fall-back, the end of standard input cannot be told.
"""

from __future__ import annotations

import functools
import json
import os
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

import urllib3
from kubernetes import client

from arl._connection import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, RETRY_S, Connection
from arl._scope import check_scope, in_scope
from arl.errors import (
    ArlError,
    ClusterUnreachable,
    ExecFailed,
    ServerBusy,
    StreamLost,
    StreamTimeout,
    WriteTimeout,
    status_of,
)

STDIN, STDOUT, STDERR, STATUS, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"

# What is sent as one message. A message costs the servers on the way about as much as 64 KiB of its content.
SEND_SIZE = 1 << 20
# What is read from the socket before it is passed on, in pieces of one TLS record.
BATCH_SIZE = 512 << 10
READ_SIZE = 16 << 10
# No server sends a message of this size: whoever does is not one.
MESSAGE_MAX = 32 << 20
# Of standard error, where it is only wanted for its last line.
STDERR_MAX = 64 << 10
# After so much silence the server is asked for a sign of life; without any for so long it is lost.
PING_S = 15.0
LOST_S = 90.0

_TEXT, _BINARY, _CLOSED, _PING, _PONG = 1, 2, 8, 9, 10
_CONTROL = 8


class Frames:
    """Cuts a stream of bytes into WebSocket messages."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._parts: list[bytes] = []
        self._kind = 0

    def add(self, data: memoryview) -> None:
        """Takes what was read."""
        self._data += data

    def whole(self) -> Iterator[tuple[int, bytes]]:
        """Yields ``(opcode, payload)`` of each message that is whole now."""
        at = 0
        try:
            while (found := self._frame(at)) is not None:
                begin, at, final, kind = found
                payload = bytes(memoryview(self._data)[begin:at])
                if kind >= _CONTROL:
                    yield kind, payload
                    continue
                self._parts.append(payload)
                self._kind = kind or self._kind
                if sum(map(len, self._parts)) > MESSAGE_MAX:
                    raise ValueError("a message is too large")
                if final:
                    whole = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                    self._parts = []
                    yield self._kind, whole
        finally:
            del self._data[:at]

    def _frame(self, at: int) -> tuple[int, int, bool, int] | None:
        """Where the payload of the frame begins and ends, whether it is the message's last, and its opcode."""
        head = self._data[at : at + 10]
        if len(head) < 2:
            return None
        size, begin = head[1] & 0x7F, at + 2
        if head[1] & 0x80:
            raise ValueError("a server must not mask its frames")
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(head) < 2 + width:
                return None
            size, begin = int.from_bytes(head[2 : 2 + width], "big"), begin + width
        if size > MESSAGE_MAX:
            raise ValueError("a frame is too large")
        if len(self._data) < begin + size:
            return None
        return begin, begin + size, bool(head[0] & 0x80), head[0] & 0x0F


def frame(kind: int, payload: bytes, key: bytes) -> bytes:
    """A frame as a client sends it: one message, masked with this key. The key 0 leaves it as it is."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | kind, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x80 | kind, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, 0x80 | 127)) + size.to_bytes(8, "big")
    if key != bytes(4):
        mask = (key * (size // 4 + 1))[:size]
        payload = (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(size, "little")
    return head + key + payload


def _wait_for(sock: socket.socket, read: bool, write: bool, timeout: float | None) -> None:
    """Waits until the socket can be read, or written to; select() would stop at descriptor 1024."""
    if not hasattr(select, "poll"):
        select.select([sock] if read else [], [sock] if write else [], [], timeout)
        return
    poll = select.poll()
    poll.register(sock, (select.POLLIN if read else 0) | (select.POLLOUT if write else 0))
    poll.poll(None if timeout is None else max(0.0, timeout) * 1000)


class Stream:
    """An open WebSocket. One thread may read it while another one writes.

    Args:
        sock: Connected, the handshake done.
        protocol: That which the server has chosen.
        what: Begins the message of an error.

    Attributes:
        ended: The server has said that it is over.
    """

    def __init__(self, sock: socket.socket, protocol: str, what: str) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._what = what
        self._lock = threading.Lock()
        self._frames = Frames()
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._out: deque[memoryview] = deque()
        # Masks keep what lies between from taking data for requests. Nobody lies within TLS.
        self._masked = not isinstance(sock, ssl.SSLSocket)
        self._heard = time.monotonic()
        self._pinged = False
        self._asked = self._heard
        self._pid = os.getpid()
        self._unsent: OSError | None = None
        self.protocol = protocol
        self.ended = False

    # ---- without waiting ------------------------------------------------------------------------------------------

    def queue(self, channel: int, data: bytes) -> None:
        """Appends a message to what is to be sent."""
        self._queue(_BINARY, bytes((channel,)) + data)

    def _queue(self, kind: int, payload: bytes) -> None:
        data = memoryview(frame(kind, payload, os.urandom(4) if self._masked else bytes(4)))
        with self._lock:
            self._out.append(data)

    def queue_end(self, channel: int = STDIN) -> bool:
        """Closes a channel; False: this protocol cannot say that."""
        if self.protocol != V5:
            return False
        self.queue(CLOSE, bytes((channel,)))
        return True

    def flush(self) -> bool:
        """Sends what the connection takes now; True: nothing is left.

        One that breaks takes nothing more. That is for ``receive`` to raise: the end may have come before.
        """
        if not self._out:
            return self._unsent is None
        with self._lock:
            try:
                while self._out:
                    sent = self._sock.send(self._out[0])
                    if sent == len(self._out[0]):
                        self._out.popleft()
                    else:
                        self._out[0] = self._out[0][sent:]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                pass
            except OSError as e:
                self._unsent = e
                self._out.clear()
            return not self._out and self._unsent is None

    def receive(self) -> list[tuple[int, bytes]]:
        """The messages that are there now, as ``(channel, data)``.

        Raises:
            StreamLost: The connection broke.
        """
        found: list[tuple[int, bytes]] = []
        if self.ended or not self._read():
            return found
        self._heard, self._pinged = time.monotonic(), False
        try:
            for kind, payload in self._frames.whole():
                if kind == _CLOSED:
                    self.ended = True
                    break
                if kind == _PING:
                    self._queue(_PONG, payload)
                elif kind in (_TEXT, _BINARY) and payload:
                    found.append((payload[0], payload[1:]))
        except ValueError as e:
            raise self._lost(str(e)) from e
        return found

    def _read(self) -> int:
        """Reads what is there, up to BATCH_SIZE, and returns how much that was."""
        done = 0
        try:
            while done < BATCH_SIZE:
                with self._lock:
                    size = self._sock.recv_into(self._buffer)
                if not size:
                    if not done:
                        raise self._lost("it was closed without a word")
                    break
                self._frames.add(self._buffer[:size])
                done += size
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            pass
        except OSError as e:
            if not done:
                raise e if isinstance(e, StreamLost) else self._lost(str(e)) from e
        return done

    def _lost(self, why: str) -> StreamLost:
        return StreamLost(f"{self._what}: the connection broke: {why}")

    # ---- with waiting ---------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> None:
        """Waits for data, or for room to send what is queued; also asks for signs of life.

        Raises:
            StreamLost: There was none.
        """
        if self.ended:
            return
        now = time.monotonic()
        if not self._pinged and now - self._heard > PING_S:
            # Nobody may have read for long: silence counts from here.
            self._pinged, self._asked = True, now
            self._queue(_PING, b"")
            self.flush()
        if self._pinged and now - self._asked > LOST_S - PING_S:
            raise self._lost(f"nothing was heard for {LOST_S:g} s")
        limit = (self._asked + LOST_S - PING_S if self._pinged else self._heard + PING_S) - now + 0.01
        try:
            _wait_for(self._sock, True, bool(self._out), limit if timeout is None else min(timeout, limit))
        except ValueError as e:  # closed by another thread
            raise self._lost("it was closed") from e

    def send(self, channel: int, data: bytes, timeout: float | None = None) -> None:
        """Sends a message, and waits until the connection has taken it. It leaves to others what there is to read.

        Raises:
            WriteTimeout: It was not taken in time. What was begun goes with what is sent next.
            StreamLost: The connection broke, or its other side has ended it.
        """
        until = None if timeout is None else time.monotonic() + timeout
        taken = 0
        try:
            for at in range(0, max(len(data), 1), SEND_SIZE):
                self._drain(until)
                if self.ended:
                    raise self._lost("it has ended")
                piece = data[at : at + SEND_SIZE]
                self.queue(channel, piece)
                taken += len(piece)
            self._drain(until)
        except TimeoutError as e:
            raise WriteTimeout(
                f"{self._what}: {taken} of {len(data)} bytes were taken in time",
                taken=taken,
                hint="Nobody reads on the other side: the program does not read, or what it prints is not read here.",
            ) from e

    def send_end(self, channel: int = STDIN, timeout: float | None = None) -> bool:
        """Closes a channel, as ``send`` sends; False: this protocol cannot say that."""
        until = None if timeout is None else time.monotonic() + timeout
        try:
            self._drain(until)
            if not self.queue_end(channel):
                return False
            self._drain(until)
            return True
        except TimeoutError as e:
            raise WriteTimeout(f"{self._what}: the end of the input was not taken in time") from e

    def _drain(self, until: float | None) -> None:
        """Waits until all that is queued was sent; TimeoutError."""
        while self._out or self._unsent is not None:
            check_scope()
            if self.ended:
                raise self._lost("it has ended")
            if self.flush():
                return
            if self._unsent is not None:
                raise self._lost(str(self._unsent)) from self._unsent
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError
            try:
                _wait_for(self._sock, False, True, left)
            except ValueError as e:  # closed by another thread
                raise self._lost("it was closed") from e

    def messages(self, timeout: float | None = None) -> list[tuple[int, bytes]]:
        """What is there, or comes within this time; empty: nothing did, or it has ended."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self.ended:
            self.flush()
            found = self.receive()
            if found:
                return found
            left = None if until is None else until - time.monotonic()
            if self.ended or (left is not None and left <= 0):
                break
            self.wait(left)
        return []

    def abort(self) -> None:
        """Breaks it, from another thread: whoever waits for it gets StreamLost. Not that of a parent process."""
        if os.getpid() != self._pid:
            return
        try:
            # That of an SSLSocket would have who reads take what is encrypted for messages.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        """Ends it from this side. Harmless when it is over, and for the parent of a forked process."""
        if not self.ended and os.getpid() == self._pid:
            self.ended = True
            self._queue(_CLOSED, (1000).to_bytes(2, "big"))
            try:
                self.flush()
            except ArlError:
                pass
        self.abort()
        self._sock.close()


def exit_code(status: bytes, what: str) -> int:
    """The exit code that channel 3 tells.

    Raises:
        ExecFailed: The command did not begin.
    """
    try:
        said = json.loads(status)
        if said.get("status") == "Success":
            return 0
        if said.get("reason") == "NonZeroExitCode":
            for cause in said["details"]["causes"]:
                if cause.get("reason") == "ExitCode":
                    return int(cause["message"])
        message = str(said.get("message") or said)
    except (ValueError, KeyError, TypeError, AttributeError):
        message = status.decode(errors="replace")
    raise ExecFailed(f"{what}: {message.strip()}")


class Exec:
    """A program that runs in a container.

    Attributes:
        stream: Its connection.
        errors: The end of its standard error, as far as ``output`` has seen it.
        explain: Makes of the error of a program that did not begin the one that its caller gets.
    """

    def __init__(self, stream: Stream, what: str) -> None:
        self.stream = stream
        self.errors = bytearray()
        self.explain: Callable[[ExecFailed], ArlError] | None = None
        self._what = what
        self._status: bytes | None = None

    def feed(self, found: Iterable[tuple[int, bytes]], sink: Callable[[int, bytes], object]) -> None:
        """Passes on output; keeps the end."""
        for channel, data in found:
            if channel == STATUS:
                self._status = data
            elif data:
                sink(channel, data)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self._status is not None or self.stream.ended

    def code(self) -> int:
        """Its exit code, once it is over."""
        if self._status is None:
            raise StreamLost(f"{self._what}: the connection was closed before the end was told")
        try:
            return exit_code(self._status, self._what)
        except ExecFailed as e:
            error = e if self.explain is None else self.explain(e)
            if error is e:
                raise
            raise error from e

    def output(self, source: Iterable[bytes] | None = None, *, deadline: float | None = None) -> Iterator[bytes]:
        """Sends all of the input while it yields the output, up to the end of the program.

        Args:
            source: The input, in pieces. What is left of it when the program ends is not read.
            deadline: On the clock of ``time.monotonic``.
        """
        stream = self.stream
        chunks: list[bytes] = []

        def take(channel: int, data: bytes) -> None:
            if channel == STDOUT:
                chunks.append(data)
            elif channel == STDERR:
                self.errors.extend(data)
                del self.errors[:-STDERR_MAX]

        pieces = None if source is None else iter(source)
        while not self.over:
            sent = stream.flush()
            if sent and pieces is not None:
                piece = next(pieces, None)
                if piece is None:
                    pieces = None
                    stream.queue_end()
                else:
                    stream.queue(STDIN, piece)
                sent = stream.flush()
            found = stream.receive()
            self.feed(found, take)
            if chunks:
                yield chunks[0] if len(chunks) == 1 else b"".join(chunks)
                chunks.clear()
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0 and not self.over:
                raise StreamTimeout(f"{self._what}: it was not done in time")
            if not (found or self.over or (sent and pieces is not None)):
                stream.wait(left)

    def __enter__(self) -> Exec:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()


def open_exec(
    connection: Connection,
    namespace: str,
    pod: str,
    container: str,
    command: Sequence[str],
    *,
    stdin: bool = False,
    tty: bool = False,
    deadline: float | None = None,
    again: bool = False,
) -> Exec:
    """Starts a program in a container of a pod.

    Args:
        connection: The cluster.
        namespace: The pod's.
        pod: The pod.
        container: Its container.
        command: The program and its arguments.
        stdin: It has standard input.
        tty: It has a terminal.
        deadline: On the clock of ``time.monotonic``.
        again: It may be started twice, as what only reads; see ``open_stream``.

    Raises:
        NotAllowed: The right to pods/exec is missing.
        NotFound: There is no such pod.
        Refused: There is no such container, or it does not run.
        StreamLost: It may have been started, and is not started again.
        StreamTimeout: It could not be started before the deadline.
    """
    what = f"running {command[0]} in pod {pod} of namespace {namespace}"
    query = [("container", container), ("stdin", stdin), ("stdout", True), ("stderr", not tty), ("tty", tty)]
    text = urlencode([(k, str(v).lower() if isinstance(v, bool) else v) for k, v in query])
    text += "&" + urlencode([("command", c) for c in command])
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec?{text}"
    return Exec(open_stream(connection, path, (V5, V4), what, deadline, again=again), what)


def open_port(connection: Connection, namespace: str, pod: str, port: int) -> Stream:
    """A connection to a port of a pod: channel 0 is the data, 1 an error as text.

    It is asked for again also where an earlier one may have been opened: no byte has gone over that.
    """
    what = f"connecting to port {port} of pod {pod} in namespace {namespace}"
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/portforward?ports={port}"
    return open_stream(connection, path, (V4,), what, again=True)


def open_stream(
    connection: Connection,
    path: str,
    protocols: Sequence[str],
    what: str,
    deadline: float | None = None,
    *,
    again: bool = False,
) -> Stream:
    """Opens a WebSocket; asks again while the server is away or busy, as long as nothing can have begun.

    Nothing has where there was no connection (an address, a refusal, TLS), and where the server says so: by a 429, or
    by a 503 as a Status of its own. After any other end of a request that was sent something may run: an answer that
    did not come, or another failure of the server or of a proxy.

    Args:
        connection: The cluster.
        path: What is opened.
        protocols: The best one first.
        what: Begins the message of an error.
        deadline: On the clock of ``time.monotonic``.
        again: It may begin twice: it is asked for again then, too.

    Raises:
        StreamLost: Something may have begun, and must not begin twice.
        StreamTimeout: It was not open before the deadline.
    """
    began = time.monotonic()

    def attempt() -> Stream:
        check_scope()
        left = READ_TIMEOUT_S if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise StreamTimeout(f"{what}: it was not begun in time")
        limit = min(CONNECT_TIMEOUT_S, left)
        # Who cannot ask again waits longer for the answer.
        answer_limit = limit if again else min(READ_TIMEOUT_S, left)
        try:
            found = _handshake(connection.api_client, path, protocols, limit, answer_limit)
        except (_Unanswered, client.ApiException) as e:
            check_scope()
            if again or not may_have_begun(e):
                raise
            raise _not_known(what, e, deadline) from e
        sock, protocol = found
        return Stream(sock, protocol or protocols[-1], what)

    try:
        stream = connection.call(what, attempt, deadline=deadline)
    except (ClusterUnreachable, ServerBusy) as e:
        if deadline is None or deadline - began > RETRY_S:
            raise
        raise StreamTimeout(e.message, hint=e.hint) from e
    in_scope(stream.abort)
    return stream


class _Unanswered(urllib3.exceptions.HTTPError):
    """A request was sent, and the connection broke before its answer had come."""


def may_have_begun(error: _Unanswered | client.ApiException) -> bool:
    """Whether what was asked for may run all the same."""
    if isinstance(error, _Unanswered):
        return True
    return (error.status or 0) >= 500 and not (error.status == 503 and status_of(error).get("kind") == "Status")


def _not_known(what: str, error: _Unanswered | client.ApiException, deadline: float | None) -> ArlError:
    hint = "It may have been started. It was not asked for again: only you know whether that does harm."
    if isinstance(error, client.ApiException):
        said = status_of(error).get("message") or error.reason
        return StreamLost(f"{what}: the server failed while it was opened: {error.status}: {said}", hint=hint)
    if deadline is not None and time.monotonic() >= deadline:
        return StreamTimeout(f"{what}: no answer came in time", hint=hint)
    return StreamLost(f"{what}: the connection broke before it was open: {error}", hint=hint)


@functools.cache
def _opening() -> Any:
    import websocket

    class Opening(websocket.WebSocket):
        """A WebSocket that knows whether it had a connection, over which a request is sent at once.

        Attributes:
            asked: That connection.
        """

        def __init__(self, limit: float, **options: Any) -> None:
            self.asked: socket.socket | None = None
            self._limit = limit
            self._broken = False
            super().__init__(**options)

        @property
        def sock(self) -> socket.socket | None:
            return self._sock

        @sock.setter
        def sock(self, sock: socket.socket | None) -> None:
            self._sock = sock
            if sock is not None:
                sock.settimeout(self._limit)
                self.asked = sock
                if self._broken:
                    self.break_off()

        def break_off(self) -> None:
            self._broken = True
            if self.asked is not None:
                try:
                    socket.socket.shutdown(self.asked, socket.SHUT_RDWR)
                except OSError:
                    pass

    return Opening


def _handshake(
    api: Any, path: str, protocols: Sequence[str], limit: float, answer_limit: float
) -> tuple[socket.socket, str | None]:
    """Connects within the first limit, and gets the answer within the other one."""
    import websocket

    headers: dict[str, str] = {"User-Agent": api.user_agent}
    settings = api.configuration
    for auth in settings.auth_settings().values():
        if auth["in"] == "header" and auth["value"]:
            headers[auth["key"]] = auth["value"]
    address = urlsplit(settings.host)
    url = f"{'wss' if address.scheme == 'https' else 'ws'}://{address.netloc}{address.path.rstrip('/')}{path}"
    opening = _opening()(answer_limit, sslopt=_tls(settings), sockopt=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),))
    in_scope(opening.break_off)
    try:
        opening.connect(
            url,
            timeout=limit,
            header=[f"{k}: {v}" for k, v in headers.items()],
            subprotocols=list(protocols),
            suppress_origin=True,
            redirect_limit=0,  # the credentials are for this server
            **_proxy(settings),
        )
    except websocket.WebSocketBadStatusException as e:
        raise _refused(e) from e
    except (websocket.WebSocketException, OSError, ValueError) as e:
        kind = urllib3.exceptions.HTTPError if opening.asked is None else _Unanswered
        raise kind(f"{type(e).__name__}: {e}") from e
    sock: socket.socket = opening.asked
    opening.sock = None
    return sock, opening.subprotocol


def _refused(error: Any) -> client.ApiException:
    refused = client.ApiException(status=error.status_code, reason=str(error).split("\n", 1)[0])
    body = getattr(error, "resp_body", None)
    refused.body = body.decode(errors="replace") if isinstance(body, bytes) else body
    refused.headers = urllib3.HTTPHeaderDict(getattr(error, "resp_headers", None) or {})
    return refused


def _tls(settings: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED if settings.verify_ssl else ssl.CERT_NONE}
    options["check_hostname"] = bool(settings.verify_ssl) and settings.assert_hostname is not False
    if settings.ssl_ca_cert:
        options["ca_certs"] = settings.ssl_ca_cert
    if settings.cert_file:
        options["certfile"], options["keyfile"] = settings.cert_file, settings.key_file
    name = getattr(settings, "tls_server_name", None)
    if name:
        options["server_hostname"] = name
    return options


def _proxy(settings: Any) -> dict[str, Any]:
    if not settings.proxy:
        return {}
    proxy = urlsplit(settings.proxy)
    auth = (proxy.username, proxy.password) if proxy.username else None
    return {
        "http_proxy_host": proxy.hostname,
        "http_proxy_port": proxy.port,
        "http_proxy_auth": auth,
        "http_no_proxy": (settings.no_proxy or "").split(","),
        "proxy_type": "http",
    }
