"""What can go wrong, as one tree.

Each error says why (``reason``, for programs: one of those in docs/api.md where the cluster gave one), what happened
(``message``) and what to do (``hint``). Each is also the built-in error that fits, so that code which catches
``TimeoutError`` or ``ValueError`` goes on working.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kubernetes.client import ApiException

if TYPE_CHECKING:
    from arl.results import CommandResult


class ArlError(RuntimeError):
    """The root of all errors of this package.

    Attributes:
        reason: One word in CamelCase, for programs.
        message: What happened, as a sentence.
        hint: What to do about it; may be empty.
        object: The Kubernetes object that it is about, as far as there is one.
    """

    default_reason = "Error"

    def __init__(
        self, message: str, *, reason: str | None = None, hint: str = "", object: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{message}\n{hint}" if hint else message)
        self.reason = reason or self.default_reason
        self.message = message
        self.hint = hint
        self.object = object


class NotConfigured(ArlError):
    """No cluster is known: neither a kubeconfig nor the service account of a pod."""

    default_reason = "NotConfigured"


class ClusterUnreachable(ArlError, ConnectionError):
    """The API server does not answer."""

    default_reason = "ClusterUnreachable"


class ApiError(ArlError, ApiException):
    """The API server has refused a request.

    Attributes:
        status: HTTP's status.
        body: The answer, as text.
        headers: Those of the answer.
    """

    default_status = 0

    def __init__(self, message: str, *, source: ApiException | None = None, **more: Any) -> None:
        ArlError.__init__(self, message, **more)
        self.status = source.status if source else self.default_status
        self.body = source.body if source else None
        self.headers = source.headers if source else None

    def __str__(self) -> str:
        return RuntimeError.__str__(self)


class NotAllowed(ApiError, PermissionError):
    """The API server knows the caller and does not let him do this, or does not know him."""

    default_reason = "Forbidden"
    default_status = 403


class Refused(ApiError, ValueError):
    """The API server refuses an object; the message names the field."""

    default_reason = "Invalid"
    default_status = 422


class NotFound(ApiError, LookupError):
    """There is no object of this name."""

    default_reason = "NotFound"
    default_status = 404


class PoolNotFound(NotFound, ValueError):
    """There is no pool of this name.

    Attributes:
        available: The names of the pools that are there.
    """

    default_reason = "PoolNotFound"
    available: tuple[str, ...] = ()


class PoolNotReady(ArlError, TimeoutError):
    """A pool did not get its pods ready in time; the message says why as far as the cluster knows."""

    default_reason = "PoolNotReady"


class SandboxFailed(ArlError):
    """A sandbox has failed; the message is that of its condition Ready."""

    default_reason = "SandboxFailed"


class SandboxGone(ArlError):
    """A sandbox was deleted: by somebody, or because it was idle or old enough."""

    default_reason = "SandboxDeleted"


class SandboxTimeout(ArlError, TimeoutError):
    """A sandbox did not get ready in time."""

    default_reason = "SandboxTimeout"


class TaskTimeout(ArlError, TimeoutError):
    """A task had no end when the caller's time was over. It may still run."""

    default_reason = "TaskTimeout"


class TaskGone(ArlError):
    """A task was deleted before its result was seen."""

    default_reason = "TaskDeleted"


class TaskLost(ArlError):
    """A task ended without a result of its own: its pod, agent or sandbox was lost.

    It may have run; it was not repeated.
    """

    default_reason = "TaskLost"


class CommandFailed(ArlError):
    """A command that was run with ``check=True`` did not exit with 0.

    Attributes:
        result: All that is known of it.
    """

    default_reason = "StepFailed"

    def __init__(self, message: str, result: CommandResult, **more: Any) -> None:
        super().__init__(message, **more)
        self.result = result


class CommandTimeout(CommandFailed, TimeoutError):
    """A command that was run with ``check=True`` was killed because its time was over."""

    default_reason = "StepTimeout"


class ExecFailed(ArlError):
    """A program could not be started in a container."""

    default_reason = "ExecFailed"


class StreamLost(ArlError, ConnectionError):
    """A connection into a pod broke: a transfer, a shell, a port. What had begun there may have ended or not."""

    default_reason = "StreamLost"


class StreamTimeout(ArlError, TimeoutError):
    """A transfer was not done when the caller's time was over."""

    default_reason = "StreamTimeout"


class WriteTimeout(StreamTimeout):
    """Input of a shell or a terminal was not taken in time: nobody reads on the other side.

    Attributes:
        taken: So many bytes of it were taken, and will be read when that side reads on. Do not send them again.
    """

    default_reason = "WriteTimeout"

    def __init__(self, message: str, *, taken: int = 0, **more: Any) -> None:
        super().__init__(message, **more)
        self.taken = taken


class FileError(ArlError, OSError):
    """A file of a sandbox could not be read, written or removed.

    Attributes:
        path: The file.
    """

    default_reason = "FileError"

    def __init__(self, message: str, *, path: str = "", **more: Any) -> None:
        ArlError.__init__(self, message, **more)
        self.path = path

    def __str__(self) -> str:
        return RuntimeError.__str__(self)


class FileMissing(FileError, FileNotFoundError):
    """There is no such file or directory in the sandbox."""

    default_reason = "FileMissing"


class FileThere(FileError, FileExistsError):
    """There is something already where something was to be made."""

    default_reason = "FileThere"


class FileIsDirectory(FileError, IsADirectoryError):
    """A directory is where a file is wanted."""

    default_reason = "FileIsDirectory"


class FileNotDirectory(FileError, NotADirectoryError):
    """Something else is where a directory is wanted."""

    default_reason = "FileNotDirectory"


class FileDenied(FileError, PermissionError):
    """The user may not do that with this file, or its path is refused."""

    default_reason = "FileDenied"


class ChecksumMismatch(FileError):
    """What arrived is not what was sent. A file that was to be replaced is as it was."""

    default_reason = "ChecksumMismatch"


class OutputTooLarge(FileError, ValueError):
    """A file, or an output, is larger than the caller wants to have in memory."""

    default_reason = "OutputTooLarge"


def from_api(error: ApiException, what: str) -> ArlError:
    """Makes an error of this tree out of a ``kubernetes.client.ApiException``."""
    status = getattr(error, "status", None) or 0
    body: Mapping[str, Any] = {}
    try:
        body = json.loads(error.body or "{}")
    except (ValueError, TypeError):
        pass
    if not isinstance(body, Mapping):
        body = {}
    said = str(body.get("message") or error.reason or f"HTTP status {status}")
    reason = str(body.get("reason") or "") or None
    message = f"{what}: {said}"
    if status == 401:
        return NotAllowed(
            message,
            source=error,
            reason=reason or "Unauthorized",
            hint="The credentials are not valid: sign in again (kubectl auth whoami).",
        )
    if status == 403:
        return NotAllowed(
            message,
            source=error,
            reason=reason,
            hint="Ask for a Role that allows it: the ClusterRole arl-edit is made for clients.",
        )
    if status == 404:
        return NotFound(message, source=error, reason=reason)
    if status in (400, 409, 413, 422):
        return Refused(message, source=error, reason=reason)
    return ClusterUnreachable(message, reason=reason)
