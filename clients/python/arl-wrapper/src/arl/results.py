"""Results of tasks."""

from __future__ import annotations

import codecs
import os
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from arl.errors import FileMissing, StreamLost

# What the agent keeps of a stream.
KEPT_MAX = 32 << 20
# Seconds until what the agent keeps must be here.
STORED_TIMEOUT_S = 300.0
# How often it is read when the connection drops its end.
_TRIES = 5
# Stands in a text in place of what was left out.
MARKER = re.compile(r"\n\[\.\.\. ([0-9]{1,18}) bytes dropped \.\.\.\]\n")
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
        reason: Why the task ended, one of the reasons in docs/api.md, such as ``Completed`` or ``StepFailed``.
        message: The same as a sentence.
        duration: How long it ran, as a Go duration such as ``1.5s``.
        truncated: Whether stdout or stderr leaves out a part of the output; ``stdout_bytes`` gets all of it.
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
        """Returns all of standard output. Reads from the sandbox what ``stdout`` leaves out.

        If ``stdout`` leaves nothing out, bytes that are not UTF-8 are U+FFFD.

        Args:
            timeout: Seconds for each step whose output was cut; None: for as long as it takes.

        Raises:
            FileMissing: The agent does not have all of it. It keeps 32 MiB of a stream and 64 MiB in all, and removes
                the oldest first. Or this result was copied, as by pickle, and does not know its sandbox any more.
            SandboxGone: The sandbox is gone.
            StreamTimeout: The transfer was not done in time.
            StreamLost: The connection broke, or lost the end of the output again and again.
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

    If its last character is broken, nobody can tell whether more of it was there. What the program has printed may look
    like the marker, and often: both ends are read once, for all of them.
    """
    most = len(text.encode())
    begin = max(0, len(data) - most)  # what is behind a marker is not longer
    front, back = _Shown(data[: most + _CHARACTER_MAX]), _Shown(data[begin:])
    same_front, same_back = _alike(front.text, text), _alike(back.text[::-1], text[::-1])
    for marker in MARKER.finditer(text):
        if marker.start() > same_front:
            break
        for size in front.sizes(marker.start()):
            shown = back.shown_from(size + int(marker[1]) - begin)
            if shown is None:
                continue
            broken, whole = shown
            rest = text[marker.end() : marker.end() + broken]
            if whole <= same_back and broken + whole == len(text) - marker.end() and rest == "\ufffd" * broken:
                return True
    return False


class _Shown:
    """Bytes as a text shows them: what is broken is U+FFFD.

    Attributes:
        text: The text.
    """

    def __init__(self, data: bytes) -> None:
        found = data.decode("utf-8", _WIDTH)
        self.text = found.translate(_REPLACED)
        self._found = found
        # Where each character begins, and the last one ends.
        self._at = [0, *accumulate(ord(c) - 0xDC00 if ord(c) in _REPLACED else len(c.encode()) for c in found)]

    def sizes(self, count: int) -> Iterator[int]:
        """How many bytes so many characters are; several where the end of them may be within what is broken."""
        last = ord(self._found[count - 1]) if count else 0
        for less in range(last - 0xDC00 if last in _REPLACED else 1):
            yield self._at[count] - less

    def shown_from(self, place: int) -> tuple[int, int] | None:
        """What is shown of what begins at this byte: so many U+FFFD, as it is within a character, and so many others.

        None: there is no such byte.
        """
        if not 0 <= place <= self._at[-1]:
            return None
        character = bisect_left(self._at, place)
        return self._at[character] - place, len(self._found) - character


def _alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    return len(os.path.commonprefix([one, other]))


def _width(error: UnicodeError) -> tuple[str, int]:
    """A character that tells how many bytes one U+FFFD stands for."""
    assert isinstance(error, UnicodeDecodeError)
    return chr(0xDC00 + error.end - error.start), error.end


_WIDTH = "arl-width"
_REPLACED = dict.fromkeys(range(0xDC01, 0xDC04), "\ufffd")
_CHARACTER_MAX = 4
codecs.register_error(_WIDTH, _width)


class TaskResult(dict[str, Any]):
    """A Task that has ended: the dict of the API server, with the most useful values as attributes."""

    _stored: Stored | None = None

    def knows(self, stored: Stored) -> TaskResult:
        """From now on its result can get what was cut out of its output."""
        self._stored = stored
        return self

    def __reduce__(self) -> tuple[type[TaskResult], tuple[dict[str, Any]]]:
        return TaskResult, (dict(self),)

    @property
    def result(self) -> CommandResult:
        """The result of all steps together."""
        return CommandResult.of(self, self._stored)

    @property
    def state(self) -> str:
        """``Succeeded`` or ``Failed``."""
        return str(self["status"]["state"])

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The results of the steps that ran, in order."""
        return list(self["status"].get("steps") or [])
