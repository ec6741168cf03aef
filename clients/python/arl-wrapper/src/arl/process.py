"""Commands that were started: their output as it comes, and their end."""

from __future__ import annotations

import codecs
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from arl import _arguments, _exec, _ops, _scope, _tasks
from arl._exec import Exec
from arl.errors import ArlError, ExecFailed, NotAllowed, NotFound, Refused, StreamLost
from arl.results import MARKER, CommandResult

if TYPE_CHECKING:
    from arl.sandbox import Sandbox

Name = Literal["stdout", "stderr"]
OnOutput = Callable[[str], object]

_NAMES: tuple[Name, Name] = ("stdout", "stderr")
# Of a frame of `arl-sidecar tail --framed`; see docs/files.md.
_GAP, _END = 3, 4
_HEAD = 5
# How long the agent waits for a step to begin before it is asked again.
_WAIT_S = 60
# Exit codes of it.
_OVER, _NOT_BEGUN = 3, 4
# After so many lost connections in a row the output is taken from the status.
_LOST_MAX = 5
_PAUSE_S = 0.2


@dataclass(frozen=True)
class Output:
    """A piece of the output of a command.

    Attributes:
        stream: ``stdout`` or ``stderr``.
        data: The bytes.
        text: The same as text. A character that the end of a piece cuts comes with the next piece.
        missing: How many bytes of this stream are missing before these. Not 0 only if the command prints much more than
            can be kept.
    """

    stream: Name
    data: bytes
    text: str
    missing: int = 0

    def tell(self, on_stdout: OnOutput | None, on_stderr: OnOutput | None) -> None:
        """Calls back with its text."""
        call = on_stdout if self.stream == "stdout" else on_stderr
        if call is not None and self.text:
            call(self.text)


# Pieces as (number of the stream, how many bytes are missing before, data); the number is that of the step's stream.
_Piece = tuple[int, int, bytes]


class _Unavailable(Exception):
    """There is no live output of this agent, or not for this caller: the status has to do."""


class _Frames:
    """Cuts what ``tail --framed`` prints into frames."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        self._data += data
        while len(self._data) >= _HEAD:
            end = _HEAD + int.from_bytes(self._data[1:_HEAD], "big")
            if end > _exec.MESSAGE_MAX:
                raise StreamLost("the agent sent a frame that is too long")
            if len(self._data) < end:
                return
            frame = self._data[0], bytes(self._data[_HEAD:end])
            del self._data[:end]
            yield frame


class _Follower:
    """Follows one step: by the agent, and where that is not to be had by the status."""

    def __init__(
        self, sandbox: Sandbox, task: _tasks.Watched, step: int, attempt: int, deadline: float | None = None
    ) -> None:
        self._sandbox = sandbox
        self._task = task
        self._step = step
        self._attempt = attempt
        self._deadline = deadline
        self._seen = [0, 0]
        self._lost = 0

    def pieces(self) -> Generator[_Piece, None, None]:
        try:
            while not self._task.wait.future.done():
                self._task.check(self._deadline)
                if (yield from self._by_agent()):
                    return
        except _Unavailable:
            pass
        yield from self._by_status()

    def _by_agent(self) -> Generator[_Piece, None, bool]:
        """True: the step has ended and all was told. False: ask again."""
        uid = self._task.state["metadata"]["uid"]
        # What an attempt that has passed did not begin, it never will.
        wait_s = 0 if self._task.attempt > self._attempt else _WAIT_S
        command = ["arl-sidecar", "tail", "-f", "--framed", "--wait", str(wait_s)]
        command += ["--attempt", str(self._attempt), f"{uid}/{self._step}"]
        seen = self._task.changes()
        try:
            opened = self._sandbox._exec(command, container="sidecar", deadline=self._deadline, again=True)
            with opened as process:
                ended = yield from self._frames(process)
                code = process.code()
            if code == 0 and not ended:
                raise StreamLost(f"the connection dropped the end of step {self._step}")
        except (NotAllowed, NotFound, ExecFailed, Refused) as e:
            raise _Unavailable from e
        except (StreamLost, ArlError) as e:
            self._lost += 1
            if self._lost >= _LOST_MAX or not isinstance(e, StreamLost):
                raise _Unavailable from e
            _scope.pause(_PAUSE_S * self._lost)
            return False
        if ended or code == _OVER:
            if not ended:
                raise _Unavailable
            return True
        if code == _NOT_BEGUN:
            # Its attempt may have ended before it, which the status tells a moment later.
            self._task.wait_change(seen, _PAUSE_S)
            return self._task.attempt > self._attempt
        raise _Unavailable

    def _frames(self, process: Exec) -> Generator[_Piece, None, bool]:
        at = [0, 0]
        frames, ended = _Frames(), False
        for data in process.output(deadline=self._deadline):
            self._lost = 0
            self._task.check(self._deadline)
            for kind, payload in frames.feed(data):
                if kind in (1, 2):
                    yield from self._new(kind - 1, at[kind - 1], payload)
                    at[kind - 1] += len(payload)
                elif kind == _GAP:
                    gap = json.loads(payload)
                    at[gap["stream"] - 1] += gap["bytes"]
                elif kind == _END:
                    ended = "exitCode" in json.loads(payload)
        return ended

    def _new(self, stream: int, at: int, data: bytes) -> Iterator[_Piece]:
        """What of this data, which begins at a place of its stream, was not told yet."""
        seen = self._seen[stream]
        if at + len(data) <= seen:
            return
        self._seen[stream] = at + len(data)
        yield stream, max(0, at - seen), data[max(0, seen - at) :]

    def _by_status(self) -> Iterator[_Piece]:
        while True:
            self._task.check(self._deadline)
            seen, done = self._task.changes(), self._task.wait.future.done()
            steps = self._task.status.get("steps") or []
            if self._task.attempt > self._attempt:
                return
            if self._step < len(steps):
                yield from self._state(steps[self._step])
            if done or (self._step < len(steps) and "exitCode" in steps[self._step]):
                return
            self._task.wait_change(seen, _tasks.LOOK_S, self._deadline)

    def _state(self, step: dict[str, Any]) -> Iterator[_Piece]:
        for number, name in enumerate(_NAMES):
            text = step.get(name) or ""
            marker = MARKER.search(text) if step.get("truncated") or "exitCode" not in step else None
            if marker is None:
                yield from self._new(number, 0, text.encode())
                continue
            head = text[: marker.start()].encode()
            yield from self._new(number, 0, head)
            yield from self._new(number, len(head) + int(marker[1]), text[marker.end() :].encode())


class _Decoders:
    """Text of both streams, whose pieces end anywhere."""

    def __init__(self) -> None:
        self._of = [codecs.getincrementaldecoder("utf-8")("replace") for _ in _NAMES]

    def output(self, piece: _Piece) -> Output:
        number, missing, data = piece
        return Output(_NAMES[number], data, self._of[number].decode(data), missing)

    def rest(self) -> Iterator[Output]:
        for number, name in enumerate(_NAMES):
            if text := self._of[number].decode(b"", True):
                yield Output(name, b"", text)


class Process:
    """A command that was started. Iterating over it gives its output from the beginning, as it comes.

    Attributes:
        task_name: The name of its Task, by which another process finds it again.
    """

    def __init__(self, sandbox: Sandbox, task: _tasks.Watched, limit: float) -> None:
        self._sandbox = sandbox
        self._task = task
        self._limit = limit
        self._began = time.monotonic()
        self._pid = os.getpid()
        self.task_name = task.name

    def __iter__(self) -> Iterator[Output]:
        """Its output as it comes, of all its attempts, up to its end. Several may iterate, at once or later."""
        return self._outputs(None)

    def _outputs(self, deadline: float | None) -> Iterator[Output]:
        _ops.run(self._here())
        _scope.in_scope(self._task.abort)
        decoders = _Decoders()
        spec = self._task.state.get("spec", {})
        for attempt in range(1, int(spec.get("retries") or 0) + 2):
            for step in range(len(spec.get("steps") or [])):
                for piece in _Follower(self._sandbox, self._task, step, attempt, deadline).pieces():
                    yield decoders.output(piece)
            if not self._task.goes_on_after(attempt, deadline):
                break
        yield from decoders.rest()

    def followed(self) -> Iterator[Output]:
        """The same, for as long as ``wait`` waits; TaskTimeout."""
        return self._outputs(self._began + self._limit)

    def follow(self, on_stdout: OnOutput | None, on_stderr: OnOutput | None) -> None:
        """Calls back with the text of its output, up to its end; TaskTimeout."""
        for output in self.followed():
            output.tell(on_stdout, on_stderr)

    def _here(self) -> _ops.Op[None]:
        """Watches it in this process, too, where it was started before a fork: threads do not come along."""
        if self._pid != os.getpid():
            yield _ops.Call(self._task.find)
            self._pid = os.getpid()

    def _end(self, timeout: float | None) -> _ops.Op[CommandResult]:
        timeout = _arguments.seconds("timeout", timeout)
        yield from self._here()
        limit = timeout if timeout is not None else max(0.0, self._began + self._limit - time.monotonic())
        task = yield from self._task.end(limit)
        return self._sandbox._result(task)

    def wait(self, timeout: float | None = None, *, check: bool = False) -> CommandResult:
        """Waits for its end.

        Args:
            timeout: Seconds. By default the longest time that the command can take, counted from when it was started or
                found here: the time limits of its steps in all its attempts, and seven minutes for all else.
            check: Raise CommandFailed if it does not exit with 0.

        Raises:
            TaskTimeout: It has not ended within this time; it runs on.
            TaskGone: Its Task was deleted.
            TaskLost: Its pod, agent or sandbox was lost. It may have run, and was not repeated.
            CommandFailed: With ``check``; see ``Sandbox.run``.
        """
        return _tasks.checked(_ops.run(self._end(timeout)), check)

    def kill(self) -> None:
        """Kills the command and all its processes; ``wait`` then returns its result, with exit code 137.

        Does nothing if the command has ended.
        """
        self._task.cancel()

    def __repr__(self) -> str:
        return f"<Process {self._task.namespace}/{self.task_name}>"


class AsyncProcess:
    """A command that was started in an ``AsyncSandbox``; see ``Process``.

    Attributes:
        task_name: The name of its Task, by which another process finds it again.
    """

    def __init__(self, process: Process) -> None:
        self._sync = process
        self.task_name = process.task_name

    def __aiter__(self) -> AsyncIterator[Output]:
        """Its output as it comes; see ``Process.__iter__``."""
        return _ops.iterate(lambda: iter(self._sync))

    async def wait(self, timeout: float | None = None, *, check: bool = False) -> CommandResult:
        """Waits for its end; see ``Process.wait``."""
        return _tasks.checked(await _ops.arun(self._sync._end(timeout)), check)

    async def kill(self) -> None:
        """Ends it; see ``Process.kill``."""
        await _ops.request(self._sync.kill)

    def __repr__(self) -> str:
        return f"<AsyncProcess {self._sync._task.namespace}/{self.task_name}>"
