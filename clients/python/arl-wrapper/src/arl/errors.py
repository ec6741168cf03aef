"""What can go wrong, as one tree.

Each error says why (``reason``, for programs: one of those in docs/api.md where the cluster gave one), what happened
(``message``) and what to do (``hint``). Each is also the built-in error that fits, so that code which catches
``TimeoutError`` or ``ValueError`` goes on working. A request that the API server has refused or not answered raises
a ``kubernetes.client.ApiException`` as well. All of them survive pickle and copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kubernetes.client import ApiException
from kubernetes.config import ConfigException

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

    def __reduce__(self) -> tuple[Callable[..., ArlError], tuple[type[ArlError], tuple[Any, ...], dict[str, Any]]]:
        # Not by calling the class again: some of them want more arguments than the text.
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[ArlError], args: tuple[Any, ...], state: dict[str, Any]) -> ArlError:
    # The class itself would say the __new__ of RuntimeError, which does not make an OSError.
    error = (OSError if issubclass(kind, OSError) else RuntimeError).__new__(kind)
    error.args = args
    for name, value in state.items():
        setattr(error, name, value)
    return error


class NotConfigured(ArlError, ConfigException):
    """No cluster is known: there is no kubeconfig and no service account of a pod, or the kubeconfig is broken."""

    default_reason = "NotConfigured"


class ApiError(ArlError, ApiException):
    """A request that the API server has refused, or has not answered.

    Attributes:
        status: HTTP's status; 0 if there was no answer.
        body: The answer, as text.
        headers: Those of the answer.
    """

    default_status = 0

    def __init__(self, message: str, *, source: ApiException | None = None, **more: Any) -> None:
        ArlError.__init__(self, message, **more)
        self.status = source.status if source else self.default_status
        self.body = source.body if source else None
        self.headers = source.headers if source else None
        self.data = None

    def __str__(self) -> str:
        return RuntimeError.__str__(self)


class ClusterUnreachable(ApiError, ConnectionError):
    """The API server does not answer."""

    default_reason = "ClusterUnreachable"


class ServerBusy(ClusterUnreachable):
    """The API server is too busy, or has a fault of its own (429 and 5xx), also after the request was repeated."""

    default_reason = "ServerBusy"
    default_status = 503


class NotInstalled(ApiError, LookupError):
    """The cluster has none of arl's kinds: its CustomResourceDefinitions were not applied."""

    default_reason = "NotInstalled"
    default_status = 404


class NotAllowed(ApiError, PermissionError):
    """The API server does not allow the caller to do this, or does not know the caller.

    Attributes:
        verb: The verb that is not allowed, such as ``create``; empty if the API server does not say.
        resource: The resource, such as ``sandboxes`` or ``pods/exec``; or empty.
        namespace: The namespace; also empty for all namespaces.
    """

    default_reason = "Forbidden"
    default_status = 403

    def __init__(self, message: str, *, verb: str = "", resource: str = "", namespace: str = "", **more: Any) -> None:
        super().__init__(message, **more)
        self.verb = verb
        self.resource = resource
        self.namespace = namespace


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
        available: The names of the existing pools.
        listed: Whether ``available`` has all pools. If not, there are too many, or the caller may not list them.
    """

    default_reason = "PoolNotFound"
    available: tuple[str, ...] = ()
    listed: bool = False


class PoolNotReady(ArlError, TimeoutError):
    """The pods of a pool were not ready in time; the message says why if the cluster knows it."""

    default_reason = "PoolNotReady"


class SandboxFailed(ArlError):
    """A sandbox has failed; the message is that of its condition Ready."""

    default_reason = "SandboxFailed"


class SandboxGone(ArlError):
    """A sandbox was deleted: by somebody, or because it was idle or old enough."""

    default_reason = "SandboxDeleted"


class SandboxTimeout(ArlError, TimeoutError):
    """A sandbox was not ready, or not gone, in time."""

    default_reason = "SandboxTimeout"


class TaskTimeout(ArlError, TimeoutError):
    """A task had not ended when the caller's time was over. It may still run."""

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
        result: The result of the command.
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
    """A connection into a pod broke: a transfer, a shell, a port. The program there may still run, or have ended."""

    default_reason = "StreamLost"


class StreamTimeout(ArlError, TimeoutError):
    """A transfer was not done when the caller's time was over."""

    default_reason = "StreamTimeout"


class WriteTimeout(StreamTimeout):
    """A shell or a terminal did not take its input in time: nobody reads on the other side.

    Attributes:
        taken: How many bytes were taken. They will be read when that side reads on. Do not send them again.
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

    def __reduce__(self) -> tuple[Callable[..., ArlError], tuple[type[ArlError], tuple[Any, ...], dict[str, Any]]]:
        again, (kind, args, state) = super().__reduce__()
        # OSError has these beside the dict.
        return again, (kind, args, {**state, "errno": self.errno, "filename": self.filename, "strerror": self.strerror})

    def __str__(self) -> str:
        return RuntimeError.__str__(self)


class FileMissing(FileError, FileNotFoundError):
    """There is no such file or directory in the sandbox."""

    default_reason = "FileMissing"


class FileThere(FileError, FileExistsError):
    """The file or directory that was to be made exists already."""

    default_reason = "FileThere"


class FileIsDirectory(FileError, IsADirectoryError):
    """The path is a directory, and a file was expected."""

    default_reason = "FileIsDirectory"


class FileNotDirectory(FileError, NotADirectoryError):
    """The path is not a directory, and a directory was expected."""

    default_reason = "FileNotDirectory"


class FileDenied(FileError, PermissionError):
    """The user may not do this with the file, or the path is refused."""

    default_reason = "FileDenied"


class ChecksumMismatch(FileError):
    """The bytes that arrived are not those that were sent. A file that was to be replaced is unchanged."""

    default_reason = "ChecksumMismatch"


class OutputTooLarge(FileError, ValueError):
    """A file or an output is larger than the caller's limit."""

    default_reason = "OutputTooLarge"


_RIGHT = re.compile(r'cannot (\w+) resource "([^"]+)"(?: in API group "[^"]*")?(?: in the namespace "([^"]+)")?')
_NO_KIND = "the server could not find the requested resource"


def from_api(error: ApiException, what: str, *, custom: bool = False) -> ApiError:
    """Makes an error of this tree out of a ``kubernetes.client.ApiException``.

    Args:
        error: What the official package has raised.
        what: Begins the message.
        custom: The request was for one of arl's own kinds.
    """
    status = getattr(error, "status", None) or 0
    body = status_of(error)
    said = str(body.get("message") or error.reason or f"HTTP status {status}")
    reason = str(body.get("reason") or "") or None
    message = f"{what}: {said}"
    if status in (401, 403):
        return _not_allowed(error, message, said, reason)
    if status == 404 and custom and (reason is None or said == _NO_KIND):
        return NotInstalled(
            f"{message}: the cluster has no kinds of arl.infra.io/v1alpha1",
            source=error,
            hint="Install arl first: apply its CustomResourceDefinitions (kubectl apply -f crds/) and its operator.",
        )
    if status == 404:
        return NotFound(message, source=error, reason=reason)
    if status == 429 or status >= 500:
        return ServerBusy(
            message, source=error, reason=reason, hint="Try again later: nothing is wrong with the request."
        )
    if status >= 400:
        return Refused(message, source=error, reason=reason)
    return ClusterUnreachable(message, source=error, reason=reason)


def status_of(error: ApiException) -> Mapping[str, Any]:
    """The Status that the API server has sent; empty where somebody else has answered."""
    try:
        body = json.loads(error.body or "{}")
    except (ValueError, TypeError):
        return {}
    return body if isinstance(body, Mapping) else {}


def _not_allowed(error: ApiException, message: str, said: str, reason: str | None) -> NotAllowed:
    if error.status == 401:
        hint = "The credentials are not valid: sign in again (kubectl auth whoami)."
        return NotAllowed(message, source=error, reason=reason or "Unauthorized", hint=hint)
    right = _RIGHT.search(said)
    role = "the ClusterRole arl-edit is made for clients."
    if right is None:  # a quota, a policy, or in other words
        return NotAllowed(message, source=error, reason=reason, hint=f"If it is a Role that is missing: {role}")
    verb, resource, namespace = right[1], right[2], right[3] or ""
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    return NotAllowed(
        message,
        source=error,
        reason=reason,
        verb=verb,
        resource=resource,
        namespace=namespace,
        hint=f"Ask for a Role that allows {verb} of {resource} {where}: {role}",
    )
