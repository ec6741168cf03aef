"""The same with asyncio. Waits are Futures of the shared watch; requests and transfers run in threads."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from types import TracebackType
from typing import Any

from arl import _arguments, _ops, _tasks
from arl._connection import REQUEST_S
from arl.files import AsyncFiles
from arl.pool import Pool
from arl.process import AsyncProcess, OnOutput
from arl.results import STORED_TIMEOUT_S, CommandResult, TaskResult
from arl.sandbox import Sandbox
from arl.shells import AsyncPty, AsyncShell, Forward
from arl.steps import Step


class _Creation:
    """What ``AsyncSandbox.create`` returns: ``await`` it, or use it in ``async with``."""

    def __init__(self, pool: Pool | str, options: dict[str, Any]) -> None:
        self._pool = pool
        self._options = options
        self._made: AsyncSandbox | None = None

    async def _create(self) -> AsyncSandbox:
        return AsyncSandbox(await _ops.arun(Sandbox._create(self._pool, **self._options)))

    def __await__(self) -> Generator[Any, None, AsyncSandbox]:
        return self._create().__await__()

    async def __aenter__(self) -> AsyncSandbox:
        self._made = await self
        return self._made

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._made:
            with _ops.unless_gone(error):
                await self._made.delete()


class AsyncSandbox:
    """A sandbox; see ``arl.Sandbox``, which has the same methods.

    Attributes:
        name: Its name.
        namespace: Its namespace.
        files: Its files.
    """

    def __init__(self, sandbox: Sandbox) -> None:
        self._sync = sandbox
        self.name = sandbox.name
        self.namespace = sandbox.namespace
        self.files = AsyncFiles(sandbox.files)

    # ---- life ----------------------------------------------------------------------------------------------------

    @classmethod
    def create(cls, pool: Pool | str, **options: Any) -> _Creation:
        """Takes a sandbox out of a pool: ``await AsyncSandbox.create(...)`` or ``async with AsyncSandbox.create(...)``.

        The arguments and errors are those of ``Sandbox.create``.
        """
        return _Creation(pool, options)

    @classmethod
    async def attach(cls, name: str, **options: Any) -> AsyncSandbox:
        """A sandbox that is there; see ``Sandbox.attach``."""
        return cls(await _ops.request(lambda: Sandbox.attach(name, **options)))

    @classmethod
    async def list(cls, **options: Any) -> list[AsyncSandbox]:
        """The sandboxes of a namespace; see ``Sandbox.list``."""
        return [cls(sandbox) for sandbox in await _ops.request(lambda: Sandbox.list(**options))]

    async def wait_ready(self, timeout: float = 300) -> AsyncSandbox:
        """Waits until it can run commands; see ``Sandbox.wait_ready``."""
        await _ops.arun(self._sync._wait_ready(timeout))
        return self

    async def refresh(self) -> AsyncSandbox:
        """Reads it again."""
        await _ops.request(self._sync.refresh)
        return self

    async def renew(self, seconds: int | None = None, *, timeout: float = REQUEST_S) -> None:
        """Counts as use; see ``Sandbox.renew``."""
        await _ops.request(lambda: self._sync.renew(seconds, timeout=timeout))

    async def delete(self, wait: bool = False, timeout: float | None = 300) -> None:
        """Deletes it; see ``Sandbox.delete``."""
        await _ops.arun(self._sync._delete(wait, timeout))

    async def __aenter__(self) -> AsyncSandbox:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _ops.unless_gone(error):
            await self.delete()

    def __repr__(self) -> str:
        return f"<AsyncSandbox {self.namespace}/{self.name} {self.phase}>"

    @property
    def uid(self) -> str:
        """The UID of the Kubernetes object."""
        return self._sync.uid

    @property
    def phase(self) -> str:
        """Pending, Bound, Ready or Failed, as it was seen last."""
        return self._sync.phase

    @property
    def pod(self) -> str | None:
        """The name of its pod, as it was seen last."""
        return self._sync.pod

    @property
    def object(self) -> dict[str, Any]:
        """The Kubernetes object as it was seen last."""
        return self._sync.object

    # ---- programs that are no tasks ------------------------------------------------------------------------------

    async def shell(self, command: Sequence[str] = ("/bin/sh",)) -> AsyncShell:
        """Starts a program, by default a shell; see ``Sandbox.shell``."""
        return AsyncShell(await _ops.in_thread(lambda: self._sync.shell(command), lambda made: made.close()))

    async def pty(self, cols: int = 80, rows: int = 24, command: Sequence[str] = ("/bin/sh",)) -> AsyncPty:
        """The same in a terminal; see ``Sandbox.pty``."""
        return AsyncPty(await _ops.in_thread(lambda: self._sync.pty(cols, rows, command), lambda made: made.close()))

    async def forward(self, port: int, local_port: int = 0) -> Forward:
        """Opens a local port that leads to one of the sandbox; see ``Sandbox.forward``."""
        return await _ops.in_thread(lambda: self._sync.forward(port, local_port), lambda made: made.close())

    # ---- commands ------------------------------------------------------------------------------------------------

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
        on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None,
    ) -> CommandResult:
        """Runs a command and waits for its end. It is ended if this is cancelled. See ``Sandbox.run``."""
        step = _tasks.command_step(command, env, cwd, user, stdin)
        _arguments.callback("on_stdout", on_stdout)
        _arguments.callback("on_stderr", on_stderr)
        if on_stdout is None and on_stderr is None:
            task = await _ops.arun(self._sync._execute([step], timeout=timeout, retries=retries, ttl=_tasks.RUN_TTL_S))
            return _tasks.checked(self._sync._result(task), check)
        process = await _ops.arun(self._sync._start(step, timeout, retries))
        try:
            async for output in _ops.iterate(process.followed):
                output.tell(on_stdout, on_stderr)
            result = await AsyncProcess(process).wait()
        except BaseException:
            await _ops.request(process._task.cancel_quietly)
            raise
        return _tasks.checked(result, check)

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
        return await _ops.arun(self._sync._execute(steps, timeout=timeout, retries=retries, ttl=ttl, trace_id=trace_id))

    async def start(
        self,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | int | None = None,
        stdin: str | bytes | None = None,
        timeout: float | None = None,
        retries: int = 0,
    ) -> AsyncProcess:
        """Starts a command and does not wait for it; see ``Sandbox.start``."""
        step = _tasks.command_step(command, env, cwd, user, stdin)
        return AsyncProcess(await _ops.arun(self._sync._start(step, timeout, retries)))

    async def process(self, task_name: str) -> AsyncProcess:
        """A command that was started before; see ``Sandbox.process``."""
        return AsyncProcess(await _ops.request(lambda: self._sync.process(task_name)))

    async def stdout_bytes(self, result: CommandResult, timeout: float | None = STORED_TIMEOUT_S) -> bytes:
        """See ``CommandResult.stdout_bytes``, which waits."""
        return await _ops.in_thread(lambda: result.stdout_bytes(timeout))

    async def stderr_bytes(self, result: CommandResult, timeout: float | None = STORED_TIMEOUT_S) -> bytes:
        """See ``CommandResult.stderr_bytes``, which waits."""
        return await _ops.in_thread(lambda: result.stderr_bytes(timeout))
