"""What sync and async share: bodies of objects, what a wait looks for, what its result means."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from arl import steps as steps_
from arl._connection import API_VERSION
from arl._names import CLIENT_LABEL, client_id, random_name
from arl.errors import (
    CommandFailed,
    CommandTimeout,
    PoolNotFound,
    SandboxFailed,
    SandboxGone,
    TaskGone,
    TaskLost,
)
from arl.results import LOST, CommandResult, TaskResult, condition

# Of the tasks that run() makes; those of execute() are kept, as they are a record that somebody asked for.
RUN_TTL_S = 600
# How long a task may take beyond its own steps: to wait for its sandbox and for the agent to be given up.
TASK_GRACE_S = 420.0
DEFAULT_STEP_TIMEOUT_S = 300.0
EXIT_TIMEOUT = 124


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
    """A Sandbox of this process."""
    spec: dict[str, Any] = {"poolRef": pool, "keepAlive": keep_alive}
    if env:
        spec["env"] = [{"name": k, "value": v} for k, v in env.items()]
    if idle_timeout is not None:
        spec["idleTimeoutSeconds"] = idle_timeout
    if max_lifetime is not None:
        spec["maxLifetimeSeconds"] = max_lifetime
    return {
        "apiVersion": API_VERSION,
        "kind": "Sandbox",
        "metadata": {
            "name": name or random_name("session"),
            "namespace": namespace,
            "labels": {**(labels or {}), CLIENT_LABEL: client_id()},
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
    """A Task of this process."""
    spec: dict[str, Any] = {"sandboxRef": sandbox, "steps": steps_.plain(steps)}
    if timeout is not None:
        spec["timeout"] = f"{round(timeout * 1000)}ms"
    if retries:
        spec["retries"] = retries
    if ttl is not None:
        spec["ttlSecondsAfterFinished"] = ttl
    if trace_id is not None:
        spec["traceID"] = trace_id
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
    """A step that runs a command; a text is run by ``sh -c``."""
    return steps_.Command(
        name="run",
        command=["sh", "-c", command] if isinstance(command, str) else list(command),
        env=dict(env) if env else None,
        work_dir=cwd,
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


def sandbox_failed(obj: Mapping[str, Any]) -> SandboxFailed | PoolNotFound:
    """The error that a failed sandbox stands for."""
    ready = condition(obj, "Ready")
    reason, message = ready.get("reason") or None, ready.get("message") or "it does not say why"
    kind = PoolNotFound if reason == "PoolNotFound" else SandboxFailed
    meta = obj["metadata"]
    return kind(
        f"sandbox {meta['name']} in namespace {meta['namespace']} failed: {message}",
        reason=reason,
        hint="Make the pool first: Pool.create() or WarmPoolManager.create_warmpool()."
        if kind is PoolNotFound
        else f"See: kubectl -n {meta['namespace']} describe sbx {meta['name']}",
        object=obj,
    )


def look_finished(obj: dict[str, Any] | None) -> TaskResult | None:
    """Ends the wait for a task."""
    if obj is None:
        raise TaskGone("the task was deleted before its result was seen", hint="Its sandbox may be gone, too.")
    return TaskResult(obj) if obj.get("status", {}).get("state") in ("Succeeded", "Failed") else None


def wait_limit(steps: int, timeout: float | None, retries: int) -> float:
    """How long to wait for a task: its steps, its retries, and what may come in between."""
    return (timeout or DEFAULT_STEP_TIMEOUT_S) * steps * (retries + 1) + TASK_GRACE_S


def command_result(task: TaskResult, check: bool) -> CommandResult:
    """The result of run(), or the error that it stands for."""
    result = task.result
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
