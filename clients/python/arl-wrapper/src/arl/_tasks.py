"""What sync and async share: bodies of objects, what a wait looks for, what its result means."""

from __future__ import annotations

import base64
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from arl import _arguments, _cleanup
from arl import steps as steps_
from arl._connection import API_VERSION, Connection
from arl._hub import LAST_LOOK_S, Look, Wait, hub
from arl._names import CLIENT_LABEL, client_id, random_name
from arl._ops import Call, Late, Op, Until
from arl._scope import check_scope
from arl.errors import (
    ArlError,
    CommandFailed,
    CommandTimeout,
    PoolNotFound,
    SandboxFailed,
    SandboxGone,
    SandboxTimeout,
    TaskGone,
    TaskLost,
    TaskTimeout,
)
from arl.pool import pool_not_found
from arl.results import LOST, CommandResult, TaskResult, condition

if TYPE_CHECKING:
    from arl.sandbox import Sandbox

Box = TypeVar("Box", bound="Sandbox")

# Of the tasks that run() makes; those of execute() are kept, as they are a record that somebody asked for.
RUN_TTL_S = 600
# How long a task may take beyond its own steps: to wait for its sandbox and for the agent to be given up.
TASK_GRACE_S = 420.0
DEFAULT_STEP_TIMEOUT_S = 300.0
EXIT_TIMEOUT = 124
# Durations as Go writes them.
_UNITS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(f"([0-9.]+)({'|'.join(sorted(_UNITS, key=len, reverse=True))})")
# How often a wait for a change is looked after, if nothing changes.
LOOK_S = 60.0


def sandbox_body(
    pool: str,
    namespace: str,
    *,
    name: str | None = None,
    env: Mapping[str, str] | None = None,
    idle_timeout: int | None = None,
    max_lifetime: int | None = None,
    labels: Mapping[str, str] | None = None,
    keep_alive: bool = True,
) -> dict[str, Any]:
    """A Sandbox of this process; TypeError and ValueError say which argument is wrong."""
    spec: dict[str, Any] = {"poolRef": _arguments.label("pool", pool, _arguments.POOL_MAX), "keepAlive": keep_alive}
    if env:
        spec["env"] = [{"name": k, "value": v} for k, v in _arguments.variables("env", env).items()]
    if idle_timeout is not None:
        spec["idleTimeoutSeconds"] = _arguments.whole("idle_timeout", idle_timeout)
    if max_lifetime is not None:
        spec["maxLifetimeSeconds"] = _arguments.whole("max_lifetime", max_lifetime)
    if name is not None:
        _arguments.object_name("name", name, _arguments.LABEL_MAX)
    _arguments.label("namespace", namespace)
    return {
        "apiVersion": API_VERSION,
        "kind": "Sandbox",
        "metadata": {
            "name": name or random_name("session"),
            "namespace": namespace,
            "labels": {**_arguments.pairs("labels", labels), CLIENT_LABEL: client_id()},
        },
        "spec": spec,
    }


def task_body(
    sandbox: str,
    namespace: str,
    steps: Sequence[steps_.Step],
    *,
    timeout: float | None = None,
    retries: int = 0,
    ttl: int | None = None,
    trace_id: str | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """A Task of this process; TypeError and ValueError say which argument is wrong."""
    spec: dict[str, Any] = {"sandboxRef": sandbox, "steps": steps_.plain(steps)}
    if timeout is not None:
        limit_ms = round(_arguments.wait("timeout", timeout) * 1000)
        if not limit_ms:
            raise ValueError(f"timeout must be at least 0.001 seconds, and not {timeout!r}")
        spec["timeout"] = f"{limit_ms}ms"
    if _arguments.whole("retries", retries):
        spec["retries"] = retries
    if ttl is not None:
        spec["ttlSecondsAfterFinished"] = _arguments.whole("ttl", ttl)
    if trace_id is not None:
        spec["traceID"] = _arguments.path(trace_id, "trace_id")
    return {
        "apiVersion": API_VERSION,
        "kind": "Task",
        "metadata": {
            "name": name or random_name(f"{sandbox[:200]}-task"),
            "namespace": namespace,
            "labels": {CLIENT_LABEL: client_id()},
        },
        "spec": spec,
    }


def command_step(
    command: str | Sequence[str],
    env: Mapping[str, str] | None,
    cwd: str | None,
    user: str | int | None,
    stdin: str | bytes | None,
) -> dict[str, Any]:
    """A step that runs a command; a text is run by ``sh -c``. TypeError and ValueError say which argument is wrong."""
    argv = (
        ["sh", "-c", _arguments.path(command, "command")]
        if isinstance(command, str)
        else _arguments.strings("command", command)
    )
    if not argv:
        raise ValueError("command must name a program, and not be empty")
    if isinstance(stdin, bytearray | memoryview):
        stdin = bytes(stdin)
    if not isinstance(stdin, str | bytes | None):
        raise TypeError(f"stdin must be a str or bytes, and not {type(stdin).__name__}")
    _arguments.user(user)
    return steps_.Command(
        name="run",
        command=argv,
        env=_arguments.variables("env", env) or None,
        work_dir=None if cwd is None else _arguments.path(cwd, "cwd"),
        user=None if user is None else str(user),
        stdin=base64.b64encode(stdin).decode() if isinstance(stdin, bytes) else stdin,
        stdin_encoding="base64" if isinstance(stdin, bytes) else None,
    ).as_dict()


def look_ready(obj: dict[str, Any] | None) -> dict[str, Any] | None:
    """Ends the wait for a sandbox."""
    if obj is None:
        raise SandboxGone("the sandbox was deleted before it was ready")
    phase = obj.get("status", {}).get("phase")
    if phase == "Failed":
        raise sandbox_failed(obj)
    return obj if phase == "Ready" else None


def look_ready_in_pool(obj: dict[str, Any] | None) -> dict[str, Any] | None:
    """The same for a caller whose pool must be there before: the operator waits for it a while."""
    if obj is not None and condition(obj, "Ready").get("reason") == "WaitingForPool":
        raise sandbox_failed(obj)
    return look_ready(obj)


def sandbox_failed(obj: Mapping[str, Any]) -> SandboxFailed | PoolNotFound:
    """The error that a failed sandbox stands for."""
    ready = condition(obj, "Ready")
    reason, message = ready.get("reason") or None, ready.get("message") or "it does not say why"
    meta = obj["metadata"]
    text = f"sandbox {meta['name']} in namespace {meta['namespace']} failed: {message}"
    if reason in ("PoolNotFound", "WaitingForPool"):
        return PoolNotFound(text, object=obj)
    hint = f"See: kubectl -n {meta['namespace']} describe sbx {meta['name']}"
    return SandboxFailed(text, reason=reason, hint=hint, object=obj)


def look_finished(obj: dict[str, Any] | None) -> TaskResult | None:
    """Ends the wait for a task."""
    if obj is None:
        raise TaskGone("the task was deleted before its result was seen", hint="Its sandbox may be gone, too.")
    return TaskResult(obj) if obj.get("status", {}).get("state") in ("Succeeded", "Failed") else None


def wait_limit(steps: int, timeout: float | None, retries: int) -> float:
    """How long to wait for a task: its steps, its retries, and what may come in between."""
    return (timeout or DEFAULT_STEP_TIMEOUT_S) * steps * (retries + 1) + TASK_GRACE_S


def limit_of(spec: Mapping[str, Any]) -> float:
    """The same for a Task that is there."""
    timeout = sum(float(number) * _UNITS[unit] for number, unit in _DURATION.findall(spec.get("timeout") or ""))
    return wait_limit(len(spec.get("steps") or []), timeout, int(spec.get("retries") or 0))


def checked(result: CommandResult, check: bool) -> CommandResult:
    """A result as it is, or the error that it stands for."""
    task = result.task
    if result.reason in LOST:
        raise TaskLost(
            f"task {task['metadata']['name']}: {result.message or result.reason}",
            reason=result.reason,
            hint="It may have run in part. It was not repeated: only you know whether that does harm.",
            object=task,
        )
    if check and not result:
        _raise_failed(result)
    return result


def _raise_failed(result: CommandResult) -> NoReturn:
    kind = CommandTimeout if result.exit_code == EXIT_TIMEOUT else CommandFailed
    raise kind(
        f"the command failed with exit code {result.exit_code}: {result.stderr.strip()[-500:] or result.message}",
        result,
        reason=result.reason,
        object=result.task,
    )


# ---- what sync and async do alike --------------------------------------------------------------------------------


def create_sandbox(
    make: Callable[[dict[str, Any]], Box],
    connection: Connection,
    body: dict[str, Any],
    *,
    timeout: float,
    wait: bool,
    named: bool = False,
    keep: bool = False,
    look: Look = look_ready,
) -> Op[Box]:
    """Makes a sandbox and waits until it is ready; if that fails it is deleted.

    Args:
        make: Makes the Python object of the Kubernetes object.
        connection: The cluster.
        body: The Sandbox.
        timeout: Seconds to wait.
        wait: False: do not.
        named: The caller has named it, so that one of this name may be somebody else's.
        keep: Do not delete it at the end of the process.
        look: Ends the wait.
    """
    meta = body["metadata"]
    where = (meta["namespace"], "sandboxes", meta["name"])
    deadline = time.monotonic() + _arguments.wait("timeout", timeout)
    ready = hub(connection).wait_own(*where, look)
    made: list[dict[str, Any]] = []
    try:
        yield Call(lambda: made.append(connection.create(where[0], where[1], body, deadline=deadline)))
        box = make(made[0])
        if not keep:
            _cleanup.remember(box.uid, box._delete_by)
        ready.exists(made[0])
        if wait:
            yield from wait_ready(connection, box, ready, timeout, deadline)
        return box
    except BaseException as e:
        uid = made[0]["metadata"]["uid"] if made else None
        # Whether it was made is not known when a signal or a cancellation came between.
        if uid or not (named or isinstance(e, Exception)):
            try:
                yield Call(lambda: connection.delete(*where, uid))
                _cleanup.forget(uid or "")
            except ArlError:
                pass  # it is tried again at the end of the process; e is what the caller wants to know
        raise
    finally:
        ready.future.cancel()


def wait_ready(connection: Connection, box: Box, ready: Wait, timeout: float, deadline: float) -> Op[None]:
    """Waits until a sandbox is ready, up to this deadline, which is the end of the timeout."""
    try:
        box.object = yield Until(ready.future, max(0.0, deadline - time.monotonic()))
        return
    except PoolNotFound as e:
        failed = e.object or {}
        pool = str(failed.get("spec", {}).get("poolRef", ""))
        raise (yield Call(lambda: pool_not_found(connection, box.namespace, pool, object=failed))) from e
    except Late:
        pass
    finally:
        ready.future.cancel()
    until = time.monotonic() + LAST_LOOK_S
    try:
        box.object = yield Call(lambda: connection.get(box.namespace, "sandboxes", box.name, deadline=until))
    except ArlError:
        pass  # then the last that is known will do
    condition_ = condition(box.object, "Ready")
    raise SandboxTimeout(
        f"sandbox {box.name} in namespace {box.namespace} was not ready after {timeout:g} s: "
        f"{condition_.get('message') or 'nobody has looked at it yet; does arl-operator run?'}",
        reason=condition_.get("reason") or None,
        object=box.object,
    )


class Watched:
    """A Task that is watched: its states as they come, and its end.

    Attributes:
        name: Its name.
        namespace: Its namespace.
        wait: Its end.
    """

    def __init__(self, connection: Connection, namespace: str, name: str) -> None:
        self.name = name
        self.namespace = namespace
        self._connection = connection
        self._changed = threading.Condition()
        self._state: dict[str, Any] = {}
        self._changes = 0
        self.wait: Wait

    def begin(self, body: dict[str, Any], deadline: float) -> Op[None]:
        """Makes it, before this deadline; what has been made is broken off again if the caller goes."""
        self.wait = hub(self._connection).wait_own(self.namespace, "tasks", self.name, self._look)
        made: list[dict[str, Any]] = []
        try:
            yield Call(lambda: made.append(self._connection.create(self.namespace, "tasks", body, deadline=deadline)))
            self.wait.exists(made[0])
        except BaseException as e:
            self.wait.future.cancel()
            if not isinstance(e, Exception):
                yield Call(self.cancel_quietly)
            raise

    def find(self) -> None:
        """Finds one that is there; NotFound."""
        self.wait = hub(self._connection).wait_for(self.namespace, "tasks", self.name, self._look)

    def _look(self, obj: dict[str, Any] | None) -> TaskResult | None:
        try:
            if obj is not None:
                self._state = obj
            return look_finished(obj)
        finally:
            with self._changed:
                self._changes += 1
                self._changed.notify_all()

    @property
    def state(self) -> dict[str, Any]:
        """The Task as it was seen last."""
        return self._state

    @property
    def status(self) -> dict[str, Any]:
        """Its status as it was seen last."""
        status: dict[str, Any] = self._state.get("status") or {}
        return status

    @property
    def attempt(self) -> int:
        """The attempt that runs, as far as is known."""
        return int(self.status.get("attempt") or 1)

    def check(self, deadline: float | None) -> None:
        """Raises TaskTimeout after this time, and BrokenOff if this caller's waits were."""
        check_scope()
        if deadline is not None and time.monotonic() > deadline and not self.wait.future.done():
            raise self._late("in time")

    def _late(self, when: str) -> TaskTimeout:
        return TaskTimeout(
            f"task {self.name} in namespace {self.namespace} has no result {when}",
            hint=f"It may still run. See: kubectl -n {self.namespace} describe tsk {self.name}",
        )

    def goes_on_after(self, attempt: int, deadline: float | None = None) -> bool:
        """Waits for its end or a further attempt; True: there is one."""
        while True:
            self.check(deadline)
            seen = self.changes()
            if self.attempt > attempt:
                return True
            if self.wait.future.done() or int(self._state["spec"].get("retries") or 0) < attempt:
                return False
            self.wait_change(seen, LOOK_S, deadline)

    def abort(self) -> None:
        """Wakes who waits for a change."""
        with self._changed:
            self._changes += 1
            self._changed.notify_all()

    def changes(self) -> int:
        """Counts them, for ``wait_change``."""
        with self._changed:
            return self._changes

    def wait_change(self, seen: int, timeout: float, deadline: float | None = None) -> None:
        """Waits until there was another change."""
        if deadline is not None:
            timeout = max(0.0, min(timeout, deadline - time.monotonic()))
        with self._changed:
            self._changed.wait_for(lambda: self._changes != seen, timeout)

    def cancel(self) -> None:
        """Ends it; its record stays. Harmless when it has ended."""
        self._connection.patch(self.namespace, "tasks", self.name, {"spec": {"cancel": True}})

    def cancel_quietly(self) -> None:
        """The same for a caller who has another error already."""
        try:
            self.cancel()
        except ArlError:
            pass

    def end(self, limit: float, deadline: float | None = None) -> Op[TaskResult]:
        """Waits for its end, for so long or up to the deadline. When the caller is cancelled, it is, too."""
        left = limit if deadline is None else max(0.0, deadline - time.monotonic())
        try:
            result: TaskResult = yield Until(self.wait.future, left)
            return result
        except Late:
            raise self._late(f"after {limit:g} s") from None


def execute(
    connection: Connection,
    sandbox: str,
    namespace: str,
    steps: Sequence[steps_.Step],
    *,
    timeout: float | None = None,
    retries: int = 0,
    ttl: int | None = None,
    trace_id: str | None = None,
    limit: float | None = None,
) -> Op[TaskResult]:
    """Makes a Task and waits for its end; it is cancelled if the caller goes."""
    body = task_body(sandbox, namespace, steps, timeout=timeout, retries=retries, ttl=ttl, trace_id=trace_id)
    task = Watched(connection, namespace, body["metadata"]["name"])
    if limit is None:
        limit = min(wait_limit(len(steps), timeout, retries), _arguments.WAIT_MAX_S)
    deadline = time.monotonic() + _arguments.wait("timeout", limit)
    yield from task.begin(body, deadline)
    try:
        return (yield from task.end(limit, deadline))
    except BaseException as e:
        if not isinstance(e, Exception):
            yield Call(task.cancel_quietly)
        raise
    finally:
        task.wait.future.cancel()
