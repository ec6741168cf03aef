"""The same with asyncio. Waits are Futures of the shared watch; requests run in threads of the loop's executor."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from arl import _cleanup, _tasks
from arl._connection import Connection
from arl._hub import hub
from arl.errors import TaskTimeout
from arl.results import CommandResult, TaskResult
from arl.sandbox import Sandbox
from arl.steps import Step


async def _result(future: Future[Any], timeout: float) -> Any:
    return await asyncio.wait_for(asyncio.wrap_future(future), timeout)


class _Creation:
    """What ``AsyncSandbox.create`` returns: ``await`` it, or use it in ``async with``."""

    def __init__(self, pool: str, options: dict[str, Any]) -> None:
        self._pool = pool
        self._options = options
        self._made: AsyncSandbox | None = None

    def __await__(self) -> Generator[Any, None, AsyncSandbox]:
        return AsyncSandbox._create(self._pool, **self._options).__await__()

    async def __aenter__(self) -> AsyncSandbox:
        self._made = await self
        return self._made

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made:
            await self._made.delete()


class AsyncSandbox:
    """A sandbox; see ``arl.Sandbox``, which has the same methods.

    Attributes:
        name: Its name.
        namespace: Its namespace.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sync = sandbox
        self.name = sandbox.name
        self.namespace = sandbox.namespace

    @classmethod
    def create(cls, pool: str, **options: Any) -> _Creation:
        """Takes a sandbox out of a pool: ``await AsyncSandbox.create(...)`` or ``async with AsyncSandbox.create(...)``.

        The arguments and errors are those of ``Sandbox.create``.
        """
        return _Creation(pool, options)

    @classmethod
    async def _create(cls, pool: str, *, timeout: float = 300, wait: bool = True, **options: Any) -> AsyncSandbox:
        connection = options.pop("connection", None) or await asyncio.to_thread(Connection.load)
        namespace = options.pop("namespace", None) or connection.namespace
        for missing in ("resources", "network"):
            if options.pop(missing, None) is not None:
                raise NotImplementedError(f"{missing}= at claim is not there yet: set it for the pool")
        body = _tasks.sandbox_body(pool, namespace, **options)
        ready = hub(connection).wait_own(namespace, "sandboxes", body["metadata"]["name"], _tasks.look_ready)
        try:
            made = await asyncio.to_thread(connection.create, namespace, "sandboxes", body)
        except BaseException:
            ready.future.cancel()
            raise
        sandbox = Sandbox(connection, namespace, made)
        _cleanup.remember(sandbox._uid, sandbox.delete)
        ready.exists(made)
        self = cls(sandbox)
        if not wait:
            ready.future.cancel()
            return self
        try:
            sandbox._obj = await _result(ready.future, timeout)
        except asyncio.TimeoutError:
            error = await asyncio.to_thread(sandbox._timed_out, timeout)
            await self.delete()
            raise error from None
        except BaseException:
            await asyncio.shield(self.delete())
            raise
        return self

    @classmethod
    async def attach(cls, name: str, **options: Any) -> AsyncSandbox:
        """A sandbox that is there; see ``Sandbox.attach``."""
        return cls(await asyncio.to_thread(lambda: Sandbox.attach(name, **options)))

    async def run(
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
        """Runs a command and waits for its end; see ``Sandbox.run``."""
        step = _tasks.command_step(command, env, cwd, user, stdin)
        task = await self.execute([step], timeout=timeout, retries=retries, ttl=_tasks.RUN_TTL_S)
        return _tasks.command_result(task, check)

    async def execute(
        self,
        steps: Sequence[Step],
        *,
        timeout: float | None = None,
        retries: int = 0,
        ttl: int | None = None,
        trace_id: str | None = None,
    ) -> TaskResult:
        """Runs several steps and waits for the end; see ``Sandbox.execute``."""
        connection = self._sync._connection
        body = _tasks.task_body(
            self.name, self.namespace, steps, timeout=timeout, retries=retries, ttl=ttl, trace_id=trace_id
        )
        name = body["metadata"]["name"]
        wait = hub(connection).wait_own(self.namespace, "tasks", name, _tasks.look_finished)
        limit = _tasks.wait_limit(len(steps), timeout, retries)
        try:
            wait.exists(await asyncio.to_thread(connection.create, self.namespace, "tasks", body))
            result: TaskResult = await _result(wait.future, limit)
            return result
        except asyncio.TimeoutError:
            raise TaskTimeout(
                f"task {name} in namespace {self.namespace} has no result after {limit:g} s",
                hint=f"It may still run. See: kubectl -n {self.namespace} describe tsk {name}",
            ) from None
        finally:
            wait.future.cancel()

    async def renew(self) -> None:
        """Counts as use; see ``Sandbox.renew``."""
        await asyncio.to_thread(self._sync.renew)

    async def delete(self) -> None:
        """Deletes it; see ``Sandbox.delete``."""
        await asyncio.to_thread(self._sync.delete)

    async def __aenter__(self) -> AsyncSandbox:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.delete()

    def __repr__(self) -> str:
        return f"<AsyncSandbox {self.namespace}/{self.name}>"
