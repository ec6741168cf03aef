"""A sandbox: one pod of a pool, in which commands run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

from arl import _cleanup, _tasks
from arl._connection import Connection
from arl._hub import Wait, hub
from arl.errors import NotFound, SandboxTimeout, TaskTimeout
from arl.results import CommandResult, TaskResult, condition
from arl.steps import Step

USED_AT = "arl.infra.io/used-at"


class Sandbox:
    """A sandbox in the cluster.

    Made by ``create`` or ``attach``; deleted by ``delete``, by ``with``, or at the end of the process.

    Attributes:
        name: Its name.
        namespace: Its namespace.
    """

    def __init__(self, connection: Connection, namespace: str, obj: Mapping[str, Any]) -> None:
        self._connection = connection
        self._obj = dict(obj)
        self.namespace = namespace
        self.name = str(obj["metadata"]["name"])

    # ---- life ----------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        pool: str,
        *,
        namespace: str | None = None,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        resources: Mapping[str, Any] | None = None,
        network: Mapping[str, Any] | None = None,
        idle_timeout: int | None = None,
        max_lifetime: int | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: float = 300,
        wait: bool = True,
        connection: Connection | None = None,
    ) -> Sandbox:
        """Takes a sandbox out of a pool.

        Args:
            pool: The name of the WarmPool.
            namespace: That of the pool; by default the one of the kubeconfig's context.
            name: Its name; by default a random one.
            env: Environment variables of all its commands.
            resources: Not there yet.
            network: Not there yet.
            idle_timeout: Seconds without use after which it is deleted; 0: never. By default as the cluster has it.
            max_lifetime: Seconds after which it is deleted in any case.
            labels: Labels of its own.
            timeout: Seconds to wait for it.
            wait: False: return at once; the first command waits for it.
            connection: The cluster; by default that of the environment.

        Raises:
            PoolNotFound: There is no such pool.
            SandboxFailed: It cannot be had; the message says why.
            SandboxTimeout: It was not ready in time; it has been deleted again.
        """
        if resources is not None:
            raise NotImplementedError("resources= at claim is not there yet: set them in the pool's template")
        if network is not None:
            raise NotImplementedError("network= at claim is not there yet: use a NetworkPolicy for the pool's pods")
        connection = connection or Connection.load()
        namespace = namespace or connection.namespace
        body = _tasks.sandbox_body(
            pool, namespace, name=name, env=env, idle_timeout=idle_timeout, max_lifetime=max_lifetime, labels=labels
        )
        ready = hub(connection).wait_own(namespace, "sandboxes", body["metadata"]["name"], _tasks.look_ready)
        try:
            made = connection.create(namespace, "sandboxes", body)
        except BaseException as e:
            ready.future.cancel()
            raise e
        self = cls(connection, namespace, made)
        _cleanup.remember(self._uid, self.delete)
        ready.exists(made)
        if not wait:
            ready.future.cancel()
            return self
        try:
            self._wait_ready(ready, timeout)
        except BaseException:
            self.delete()
            raise
        return self

    def _wait_ready(self, wait: Wait, timeout: float) -> None:
        try:
            self._obj = wait.future.result(timeout)
        except FutureTimeout:
            wait.future.cancel()
            raise self._timed_out(timeout) from None

    def _timed_out(self, timeout: float) -> SandboxTimeout:
        try:
            self.refresh()
        except NotFound:
            pass
        ready = condition(self._obj, "Ready")
        return SandboxTimeout(
            f"sandbox {self.name} in namespace {self.namespace} was not ready after {timeout:g} s: "
            f"{ready.get('message') or 'nobody has looked at it yet; does arl-operator run?'}",
            reason=ready.get("reason") or None,
            object=self._obj,
        )

    @classmethod
    def attach(cls, name: str, *, namespace: str | None = None, connection: Connection | None = None) -> Sandbox:
        """A sandbox that is there, whoever has made it; it is not deleted at the end of this process.

        Raises:
            NotFound: There is none of this name.
        """
        connection = connection or Connection.load()
        namespace = namespace or connection.namespace
        return cls(connection, namespace, connection.get(namespace, "sandboxes", name))

    @classmethod
    def list(
        cls,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        connection: Connection | None = None,
    ) -> list[Sandbox]:
        """The sandboxes of a namespace, or those with these labels."""
        connection = connection or Connection.load()
        namespace = namespace or connection.namespace
        options = {"label_selector": ",".join(f"{k}={v}" for k, v in labels.items())} if labels else {}
        answer = connection.list(namespace, "sandboxes", **options)
        return [cls(connection, namespace, obj) for obj in answer["items"]]

    def wait_ready(self, timeout: float = 300) -> Sandbox:
        """Waits until it can run commands; see ``create``."""
        self._wait_ready(
            hub(self._connection).wait_for(self.namespace, "sandboxes", self.name, _tasks.look_ready), timeout
        )
        return self

    def refresh(self) -> Sandbox:
        """Reads it again."""
        self._obj = self._connection.get(self.namespace, "sandboxes", self.name)
        return self

    def renew(self) -> None:
        """Counts as use: its idle time begins anew. Once in 30 seconds is enough."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
        self._connection.patch(self.namespace, "sandboxes", self.name, {"metadata": {"annotations": {USED_AT: now}}})

    def delete(self) -> None:
        """Deletes it, and its pod with all that runs there. Harmless when it is gone."""
        _cleanup.forget(self._uid)
        self._connection.delete(self.namespace, "sandboxes", self.name, self._uid)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.delete()

    def __repr__(self) -> str:
        return f"<Sandbox {self.namespace}/{self.name} {self.phase}>"

    @property
    def _uid(self) -> str:
        return str(self._obj["metadata"]["uid"])

    @property
    def phase(self) -> str:
        """Pending, Bound, Ready or Failed, as it was seen last."""
        return str(self._obj.get("status", {}).get("phase") or "Pending")

    @property
    def pod(self) -> str | None:
        """The name of its pod, as it was seen last."""
        name: str | None = self._obj.get("status", {}).get("podName")
        return name

    @property
    def object(self) -> dict[str, Any]:
        """The Sandbox as it was seen last."""
        return self._obj

    # ---- commands ------------------------------------------------------------------------------------------------

    def run(
        self,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | int | None = None,
        stdin: str | bytes | None = None,
        timeout: float | None = None,
        retries: int = 0,
        check: bool = False,
    ) -> CommandResult:
        """Runs a command and waits for its end.

        Args:
            command: A text is run by ``sh -c``; a list is a program and its arguments.
            env: Environment variables.
            cwd: The directory it runs in; relative to the sandbox's work directory.
            user: Who runs it: a name, a number, or both with a group, such as ``1000:1000``.
            stdin: What it reads from standard input.
            timeout: Seconds after which it and all that it started are killed; by default as the cluster has it (300).
            retries: Further attempts if it fails, by the operator.
            check: Raise CommandFailed if it does not exit with 0.

        Raises:
            CommandFailed: With ``check``; CommandTimeout if its time was over.
            TaskLost: Its pod, agent or sandbox was lost. It may have run, and was not repeated.
            SandboxGone: The sandbox was deleted.
        """
        task = self._execute(
            [_tasks.command_step(command, env, cwd, user, stdin)],
            timeout=timeout,
            retries=retries,
            ttl=_tasks.RUN_TTL_S,
        )
        return _tasks.command_result(task, check)

    def execute(
        self,
        steps: Sequence[Step],
        *,
        timeout: float | None = None,
        retries: int = 0,
        ttl: int | None = None,
        trace_id: str | None = None,
    ) -> TaskResult:
        """Runs several steps, in order, up to the first that fails, and waits for the end.

        Args:
            steps: Dicts as in a Task, or ``Command`` and ``FilePatch``.
            timeout: Seconds for each Command step.
            retries: Further attempts if it fails.
            ttl: Seconds after which the finished Task is deleted; None: it is kept.
            trace_id: Stands in logs and Events.

        Returns:
            The Task, as a dict. A task that failed is no error: see ``state``.
        """
        return self._execute(steps, timeout=timeout, retries=retries, ttl=ttl, trace_id=trace_id)

    def _execute(
        self,
        steps: Sequence[Step],
        *,
        timeout: float | None,
        retries: int,
        ttl: int | None,
        trace_id: str | None = None,
    ) -> TaskResult:
        body = _tasks.task_body(
            self.name, self.namespace, steps, timeout=timeout, retries=retries, ttl=ttl, trace_id=trace_id
        )
        name = body["metadata"]["name"]
        wait = hub(self._connection).wait_own(self.namespace, "tasks", name, _tasks.look_finished)
        try:
            wait.exists(self._connection.create(self.namespace, "tasks", body))
            limit = _tasks.wait_limit(len(steps), timeout, retries)
            return self._finished(wait, name, limit)
        except BaseException:
            wait.future.cancel()
            raise

    def _finished(self, wait: Wait, name: str, limit: float) -> TaskResult:
        try:
            result: TaskResult = wait.future.result(limit)
            return result
        except FutureTimeout:
            raise TaskTimeout(
                f"task {name} in namespace {self.namespace} has no result after {limit:g} s",
                hint=f"It may still run. See: kubectl -n {self.namespace} describe tsk {name}",
            ) from None

    def start(
        self,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | int | None = None,
        stdin: str | bytes | None = None,
        timeout: float | None = None,
        retries: int = 0,
    ) -> Process:
        """Starts a command and does not wait for it; see ``run``."""
        step = _tasks.command_step(command, env, cwd, user, stdin)
        body = _tasks.task_body(
            self.name, self.namespace, [step], timeout=timeout, retries=retries, ttl=_tasks.RUN_TTL_S
        )
        made = self._connection.create(self.namespace, "tasks", body)
        return Process(self, made["metadata"]["name"], _tasks.wait_limit(1, timeout, retries))

    def process(self, task_name: str) -> Process:
        """A command that was started before, also by another process."""
        return Process(self, task_name, _tasks.wait_limit(1, None, 0))


class Process:
    """A command that was started.

    Attributes:
        task_name: The name of its Task, by which another process finds it again.
    """

    def __init__(self, sandbox: Sandbox, task_name: str, limit: float) -> None:
        self._sandbox = sandbox
        self._limit = limit
        self._began = time.monotonic()
        self.task_name = task_name

    def wait(self, timeout: float | None = None, *, check: bool = False) -> CommandResult:
        """Waits for its end.

        Raises:
            TaskTimeout: It had none within this time; it runs on.
            TaskGone: Its Task was deleted.
        """
        s = self._sandbox
        wait = hub(s._connection).wait_for(s.namespace, "tasks", self.task_name, _tasks.look_finished)
        try:
            limit = timeout if timeout is not None else max(0.0, self._began + self._limit - time.monotonic())
            return _tasks.command_result(s._finished(wait, self.task_name, limit), check)
        finally:
            wait.future.cancel()

    def kill(self) -> None:
        """Ends it and all that it started; ``wait`` returns its result then, with exit code 137.

        Harmless when it has ended.
        """
        s = self._sandbox
        s._connection.patch(s.namespace, "tasks", self.task_name, {"spec": {"cancel": True}})

    def __repr__(self) -> str:
        return f"<Process {self._sandbox.namespace}/{self.task_name}>"
