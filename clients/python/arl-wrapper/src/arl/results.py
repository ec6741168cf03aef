"""Results of tasks."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from arl.errors import FileMissing, StreamLost

# What the agent keeps of a stream.
KEPT_MAX = 32 << 20
# Seconds until what the agent keeps must be here.
STORED_TIMEOUT_S = 300.0
# How often it is read when the connection drops its end.
_TRIES = 5
# Stands in a text in place of what was left out.
MARKER = re.compile(r"\n\[\.\.\. (\d+) bytes dropped \.\.\.\]\n")
# Gets a file of the agent's, by its name, within so many seconds.
Stored = Callable[[str, float | None], bytes]

# Reasons of a task that has no result of its own (docs/api.md): it may have run, and it is not repeated.
LOST = frozenset(
    {
        "AgentRefused",
        "AgentRestarted",
        "AgentUnavailable",
        "PodLost",
        "ResultLost",
        "SandboxDeleted",
        "SandboxFailed",
        "SandboxNotFound",
    }
)


def condition(obj: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The condition of this type of an object; empty if there is none."""
    for c in obj.get("status", {}).get("conditions") or []:
        if c.get("type") == kind:
            return c  # type: ignore[no-any-return]
    return {}


@dataclass(frozen=True)
class CommandResult:
    """How a command ended.

    Attributes:
        exit_code: As in a shell: 124 when its time was over, 126 and 127 when it could not be started, 128+n when
            signal n killed it.
        stdout: What it wrote to standard output; bytes that are not UTF-8 are U+FFFD.
        stderr: What it wrote to standard error, and a sentence of arl's when it could not be run.
        reason: Why the task ended, a row of docs/api.md, such as ``Completed`` or ``StepFailed``.
        message: The same as a sentence.
        duration: How long it ran, as a Go duration such as ``1.5s``.
        truncated: Whether a part of the output is not here; ``stdout_bytes`` gets all of it.
        attempt: Which attempt this is the result of; 1 without retries.
        task: The whole Task.
    """

    exit_code: int
    stdout: str
    stderr: str
    reason: str
    message: str
    duration: str
    truncated: bool
    attempt: int
    task: Mapping[str, Any] = field(repr=False)
    _stored: Stored | None = field(default=None, repr=False, compare=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_stored": None}

    def __bool__(self) -> bool:
        """Whether it exited with 0."""
        return self.exit_code == 0

    def stdout_bytes(self, timeout: float | None = STORED_TIMEOUT_S) -> bytes:
        """All that it wrote to standard output, also what is left out of ``stdout``; asks the sandbox for that.

        Bytes that are not UTF-8 are U+FFFD as long as nothing was left out.

        Args:
            timeout: Seconds for each step whose output was cut; None: for as long as it takes.

        Raises:
            FileMissing: The agent does not have all of it: it keeps 32 MiB of a stream, and 64 MiB in all, the oldest
                go first. Or this result was copied, as by pickle, and does not know its sandbox any more.
            SandboxGone: The sandbox is gone.
            StreamTimeout: It was not here in time.
            StreamLost: The connection broke, or drops the end again and again.
        """
        return self._bytes("stdout", "1", timeout)

    def stderr_bytes(self, timeout: float | None = STORED_TIMEOUT_S) -> bytes:
        """The same of standard error."""
        return self._bytes("stderr", "2", timeout)

    def _bytes(self, stream: str, number: str, timeout: float | None) -> bytes:
        whole = bytearray()
        for step in self.task.get("status", {}).get("steps") or []:
            data = _whole(step, stream, number, self._stored, timeout)
            if whole and data and not whole.endswith(b"\n"):
                whole += b"\n"
            whole += data
        return bytes(whole)

    @classmethod
    def of(cls, task: Mapping[str, Any], stored: Stored | None = None) -> CommandResult:
        """Reads the status of a Task that has ended."""
        status = task.get("status", {})
        finished = condition(task, "Finished")
        return cls(
            exit_code=int(status.get("exitCode", 0 if status.get("state") == "Succeeded" else 1)),
            stdout=status.get("stdout") or "",
            stderr=status.get("stderr") or "",
            reason=finished.get("reason", ""),
            message=finished.get("message", ""),
            duration=status.get("duration") or "0s",
            truncated=any(step.get("truncated") for step in status.get("steps") or []),
            attempt=int(status.get("attempt") or 1),
            task=task,
            _stored=stored,
        )


def _whole(step: Mapping[str, Any], stream: str, number: str, stored: Stored | None, timeout: float | None) -> bytes:
    """All of a stream of a step."""
    text: str = step.get(stream) or ""
    # Names end in the number of the stream; only a stream that was cut has one.
    files = [f for f in (step.get("outputFile") or "").split() if f.endswith(f".{number}")]
    cut = bool(files) or (bool(step.get("truncated")) and MARKER.search(text) is not None)
    if not cut:
        return text.encode()
    what = f"{stream} of step {step.get('name') or '?'} was cut, and the rest cannot be had"
    if not files:
        raise FileMissing(f"{what}: the agent has not kept it")
    if stored is None:
        raise FileMissing(
            f"{what}: this result does not know its sandbox",
            path=files[0],
            hint="Those of a Sandbox do, as long as they are not copied by pickle or copy.",
        )
    for _ in range(_TRIES):
        data = stored(files[0], timeout)
        if _is_all(data, text):
            return data
        if len(data) >= KEPT_MAX:
            raise FileMissing(
                f"{what}: the agent keeps {KEPT_MAX} bytes of a stream",
                path=files[0],
                hint="Let the command write into a file, and get that by files.download().",
            )
    raise StreamLost(f"{what}: the connection dropped what came after {len(data)} bytes", reason="CUT")


def _is_all(data: bytes, text: str) -> bool:
    """Whether this is all of what the text shows both ends of; Kubernetes drops the end when a reader is slow.

    If its last character is broken, nobody can tell whether more of it was there.
    """
    for marker in MARKER.finditer(text):  # what the program printed may look like one
        head, tail = text[: marker.start()], text[marker.end() :]
        for size in _sizes(data, head):
            rest = data[size + int(marker[1]) :]
            if len(rest) <= len(tail.encode()) and rest.decode(errors="replace") == tail:
                return True
    return False


def _sizes(data: bytes, head: str) -> Iterator[int]:
    """How many bytes at its beginning are what this text shows; several where its end may be within what is broken."""
    found = data[: len(head.encode()) + 4].decode("utf-8", _WIDTH)[: len(head)]
    if found.translate(_REPLACED) != head:
        return
    size = len(found.encode("utf-8", "surrogatepass")) - 2 * found.count("\udc01") - found.count("\udc02")
    last = ord(found[-1]) if found else 0
    for less in range(last - 0xDC00 if last in _REPLACED else 1):
        yield size - less


def _width(error: UnicodeError) -> tuple[str, int]:
    """A character that tells how many bytes one U+FFFD stands for."""
    assert isinstance(error, UnicodeDecodeError)
    return chr(0xDC00 + error.end - error.start), error.end


_WIDTH = "arl-width"
_REPLACED = dict.fromkeys(range(0xDC01, 0xDC04), "\ufffd")
codecs.register_error(_WIDTH, _width)


class TaskResult(dict[str, Any]):
    """A Task that has ended, as the dict that the API server has, with what is wanted most as attributes."""

    _stored: Stored | None = None

    def knows(self, stored: Stored) -> TaskResult:
        """From now on its result can get what was cut out of its output."""
        self._stored = stored
        return self

    def __reduce__(self) -> tuple[type[TaskResult], tuple[dict[str, Any]]]:
        return TaskResult, (dict(self),)

    @property
    def result(self) -> CommandResult:
        """All its steps together."""
        return CommandResult.of(self, self._stored)

    @property
    def state(self) -> str:
        """``Succeeded`` or ``Failed``."""
        return str(self["status"]["state"])

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The results of the steps that ran, in order."""
        return list(self["status"].get("steps") or [])
