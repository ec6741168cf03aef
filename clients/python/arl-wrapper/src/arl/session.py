"""Sessions, as the callers of arl-env know them: steps are dicts, results are Tasks as dicts."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, cast

from kubernetes import client

from arl import _cleanup, _ops, _tasks
from arl._connection import Connection
from arl._hub import Look
from arl.errors import NotFound, PoolNotFound
from arl.sandbox import Sandbox
from arl.types import SandboxResource, TaskResource, TaskStep

if TYPE_CHECKING:
    from arl.interactive_shell_client import InteractiveShellClient

_log = logging.getLogger("arl")

TaskCallback = Callable[[TaskResource], None]

KEEP_ALIVE_IDLE_S = 1800


class SandboxSession:
    """A sandbox and what is run in it.

    As a context manager it takes a sandbox and gives it back. With ``keep_alive`` it is kept until ``delete_sandbox``.

    Args:
        pool_ref: The name of the WarmPool.
        namespace: Its namespace.
        keep_alive: Keep the sandbox when the ``with`` block ends.
        timeout: Seconds to wait for the sandbox and for each task.
        idle_timeout_seconds: Seconds without a task after which the sandbox is deleted. By default 1800 with
            ``keep_alive``, else as the cluster has it.
    """

    def __init__(
        self,
        pool_ref: str,
        namespace: str = "default",
        keep_alive: bool = False,
        timeout: int = 300,
        idle_timeout_seconds: int | None = None,
    ) -> None:
        self.pool_ref = pool_ref
        self.namespace = namespace
        self.keep_alive = keep_alive
        self.timeout = timeout
        self.idle_timeout_seconds = idle_timeout_seconds
        self.sandbox_name: str | None = None
        self._sandbox_uid: str | None = None
        self._connection: Connection | None = None
        self._callbacks: dict[str, list[TaskCallback]] = {}

    @property
    def connection(self) -> Connection:
        """The cluster of this process."""
        if self._connection is None:
            self._connection = Connection.load_as_default()
        return self._connection

    @property
    def custom_api(self) -> client.CustomObjectsApi:
        """The official client for custom resources."""
        return cast(client.CustomObjectsApi, self.connection.custom)

    # ---- callbacks -----------------------------------------------------------------------------------------------

    def register_callback(self, event: str, callback: TaskCallback) -> None:
        """Calls this with the Task after each ``on_task_complete``, ``on_task_success`` or ``on_task_failure``."""
        self._callbacks.setdefault(event, []).append(callback)

    def unregister_callback(self, event: str, callback: TaskCallback | None = None) -> None:
        """Forgets a callback, or all of an event."""
        if callback is None:
            self._callbacks.pop(event, None)
        elif event in self._callbacks:
            self._callbacks[event] = [c for c in self._callbacks[event] if c != callback]

    def _call_back(self, event: str, task: TaskResource) -> None:
        for callback in self._callbacks.get(event, []):
            try:
                callback(task)
            except Exception:
                _log.exception("a callback for %s failed", event)

    # ---- the sandbox ---------------------------------------------------------------------------------------------

    def get_pool_status(self) -> dict[str, int]:
        """How many pods the pool has: ``total`` wanted, ``ready_idle``, ``allocated`` and ``available``.

        Raises:
            PoolNotFound: A ValueError: there is no such pool.
        """
        try:
            pool = self.connection.get(self.namespace, "warmpools", self.pool_ref)
        except NotFound as e:
            raise PoolNotFound(f"WarmPool '{self.pool_ref}' not found in namespace '{self.namespace}'") from e
        status = pool.get("status", {})
        idle = int(status.get("readyReplicas", 0))
        return {
            "total": int(pool["spec"].get("replicas", 0)),
            "ready_idle": idle,
            "allocated": int(status.get("allocatedReplicas", 0)),
            "available": idle,
        }

    def create_sandbox(self) -> SandboxResource:
        """Takes a sandbox and waits until it is ready.

        Raises:
            PoolNotFound: A ValueError: there is no such pool.
            SandboxFailed: A RuntimeError; the message says why.
            SandboxTimeout: A RuntimeError and TimeoutError.
        """
        idle = self.idle_timeout_seconds
        if self.keep_alive and idle is None:
            idle = KEEP_ALIVE_IDLE_S
        try:
            sandbox = self._create(idle, _tasks.look_ready_in_pool)
        except PoolNotFound as e:
            if e.listed and self.pool_ref not in e.available:
                raise
            # The operator had not seen yet that it was made; or nobody here knows, and the operator says so in a while.
            sandbox = self._create(idle, _tasks.look_ready)
        self.sandbox_name = sandbox.name
        self._sandbox_uid = sandbox.uid
        _log.info("sandbox %s is ready", sandbox.name)
        return cast(SandboxResource, sandbox.object)

    def _create(self, idle: int | None, look: Look) -> Sandbox:
        body = _tasks.sandbox_body(self.pool_ref, self.namespace, idle_timeout=idle, keep_alive=self.keep_alive)
        return _ops.run(
            _tasks.create_sandbox(
                lambda made: Sandbox(self.connection, self.namespace, made),
                self.connection,
                body,
                timeout=self.timeout,
                wait=True,
                keep=self.keep_alive,
                look=look,
            )
        )

    def delete_sandbox(self) -> None:
        """Deletes the sandbox. Does nothing if there is none."""
        if self.sandbox_name is None:
            return
        self.connection.delete(self.namespace, "sandboxes", self.sandbox_name)
        if self._sandbox_uid:
            _cleanup.forget(self._sandbox_uid)
        self.sandbox_name = self._sandbox_uid = None

    def create_interactive_shell(self, container: str = "executor") -> InteractiveShellClient:
        """A shell in the sandbox's pod.

        Raises:
            RuntimeError: There is no sandbox, or it has no pod yet.
        """
        from arl.interactive_shell_client import InteractiveShellClient

        sandbox = self.connection.get(self.namespace, "sandboxes", self._name())
        pod = sandbox.get("status", {}).get("podName")
        if not pod:
            raise RuntimeError(f"sandbox {self.sandbox_name} has no pod yet: wait until it is Ready")
        shell = InteractiveShellClient()
        shell.connect_sync(self.namespace, pod, container)
        return shell

    def _name(self) -> str:
        if self.sandbox_name is None:
            raise RuntimeError("there is no sandbox: call create_sandbox() first, or use the session in a with block")
        return self.sandbox_name

    # ---- tasks ---------------------------------------------------------------------------------------------------

    def execute(self, steps: Sequence[TaskStep], trace_id: str | None = None) -> TaskResource:
        """Runs steps in the sandbox and waits for their end.

        Args:
            steps: Each is a dict; see ``TaskStep``.
            trace_id: An identifier that appears in logs and Events.

        Returns:
            The Task. One that failed is no error: see its ``status``. It is a ``TaskResult``, too, whose
            ``result.stdout_bytes()`` gets what was left out of a long output.

        Raises:
            RuntimeError: There is no sandbox, or no result within ``timeout`` seconds.
        """
        task = _tasks.execute(
            self.connection,
            self._name(),
            self.namespace,
            steps,
            trace_id=None if trace_id is None else str(trace_id),
            limit=self.timeout,
        )
        result = cast(TaskResource, _ops.run(task).knows(partial(self._stored, self._name())))
        self._call_back("on_task_complete", result)
        succeeded = result["status"]["state"] == "Succeeded"
        self._call_back("on_task_success" if succeeded else "on_task_failure", result)
        return result

    def _stored(self, name: str, file: str, timeout: float | None) -> bytes:
        """What the agent of the sandbox that has run a task has kept of its output."""
        return Sandbox.attach(name, namespace=self.namespace, connection=self.connection)._stored(file, timeout)

    def execute_with_callback(
        self, steps: Sequence[TaskStep], callback_script: str | None = None, trace_id: str | None = None
    ) -> TaskResource:
        """Runs steps, and if they succeed a script of the sandbox, whose Task is put in as ``callback_result``."""
        result = self.execute(steps, trace_id)
        if callback_script and result["status"]["state"] == "Succeeded":
            step: TaskStep = {"name": "callback_script", "type": "Command", "command": ["/bin/bash", callback_script]}
            result["callback_result"] = self.execute([step], trace_id)
        return result

    # ---- with ----------------------------------------------------------------------------------------------------

    def __enter__(self) -> SandboxSession:
        if self.keep_alive:
            warnings.warn(
                "keep_alive=True: the sandbox stays when the with block ends; call delete_sandbox()",
                UserWarning,
                stacklevel=2,
            )
        self.create_sandbox()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.keep_alive:
            with _ops.unless_gone(error):
                self.delete_sandbox()
