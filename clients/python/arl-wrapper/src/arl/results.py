"""Results of tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
    _stored: Callable[[str], bytes] | None = field(default=None, repr=False, compare=False)

    def __bool__(self) -> bool:
        """Whether it exited with 0."""
        return self.exit_code == 0

    def stdout_bytes(self) -> bytes:
        """All that it wrote to standard output, also what is left out of ``stdout``; asks the sandbox for that.

        Bytes that are not UTF-8 are U+FFFD as long as nothing was left out.

        Raises:
            FileMissing: The agent has dropped it: it keeps 32 MiB of a stream, and 64 MiB in all.
            SandboxGone: The sandbox is gone.
        """
        return self._bytes("stdout", "1")

    def stderr_bytes(self) -> bytes:
        """The same of standard error."""
        return self._bytes("stderr", "2")

    def _bytes(self, stream: str, number: str) -> bytes:
        whole = bytearray()
        for step in self.task.get("status", {}).get("steps") or []:
            # Names end in the number of the stream; only a stream that was cut has one.
            files = [f for f in (step.get("outputFile") or "").split() if f.endswith(f".{number}")]
            data = (step.get(stream) or "").encode()
            if files and self._stored is not None:
                data = self._stored(files[0])
            if whole and data and not whole.endswith(b"\n"):
                whole += b"\n"
            whole += data
        return bytes(whole)

    @classmethod
    def of(cls, task: Mapping[str, Any], stored: Callable[[str], bytes] | None = None) -> CommandResult:
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


class TaskResult(dict[str, Any]):
    """A Task that has ended, as the dict that the API server has, with what is wanted most as attributes."""

    @property
    def result(self) -> CommandResult:
        """All its steps together."""
        return CommandResult.of(self)

    @property
    def state(self) -> str:
        """``Succeeded`` or ``Failed``."""
        return str(self["status"]["state"])

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The results of the steps that ran, in order."""
        return list(self["status"].get("steps") or [])
