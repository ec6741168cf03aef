"""What the adapters share: commands whose input or arguments do not fit into a Task, and paths."""

from __future__ import annotations

import asyncio
import json
import posixpath
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Literal

from arl import AsyncProcess, AsyncSandbox, CommandResult, Process, Sandbox, _ops, _tasks
from arl._names import random_name
from arl.errors import ArlError, FileDenied

# The frameworks have time limits of their own. A command without one gets one that nobody waits for.
NO_LIMIT_S = 24 * 3600.0
# What is larger goes into a file of the sandbox and not into the Task.
STDIN_MAX = 256 << 10
ARGUMENTS_MAX = 512 << 10
# Linux takes no argument of more than 128 KiB.
SCRIPT_MAX = 100 << 10
# A step takes 1536.
ARGUMENTS_COUNT_MAX = 1024

EXIT_TIMEOUT = 124
# Runs a script in the shell itself, as -c does.
SOURCE = '. "$0"'

_FILE_ERRORS: dict[type[BaseException], str] = {
    FileNotFoundError: "file_not_found",
    IsADirectoryError: "is_directory",
    PermissionError: "permission_denied",
    NotADirectoryError: "invalid_path",
}

OnOutput = Callable[[str, Literal["stdout", "stderr"]], Awaitable[object]]


def work_dir(sandbox: Sandbox | AsyncSandbox) -> str:
    """Where the relative paths of a sandbox begin."""
    return str(sandbox.object.get("status", {}).get("workDir") or "/")


def absolute(path: str, directory: str) -> str:
    """The absolute path, without the ``..`` that the verbs for files refuse."""
    return posixpath.normpath(posixpath.join(directory, path))


def own_error(result: CommandResult) -> str:
    """What arl says about a command that could not be run; empty if it ran, whatever it said itself."""
    steps = result.task.get("status", {}).get("steps") or [{}]
    return str(steps[-1].get("error") or "")


def timed_out(result: CommandResult) -> bool:
    """Whether a command was killed because its time was over; a command may exit with 124 by itself."""
    return result.exit_code == EXIT_TIMEOUT and " timed out after " in own_error(result)


def failure(error: BaseException, path: str) -> str:
    """An error as a word that programs and models know, else as a sentence."""
    for kind, word in _FILE_ERRORS.items():
        if isinstance(error, kind):
            return word
    return f"{path}: {error}"


@contextmanager
def script(sandbox: Sandbox, shell: Sequence[str], text: str, user: str | None = None) -> Iterator[list[str]]:
    """The arguments by which a shell runs this text, which may be longer than an argument may be."""
    if len(text.encode()) <= SCRIPT_MAX:
        yield [*shell, text]
        return
    path = f"/tmp/{_spool_name()}"
    sandbox.files.write(path, text, mode=0o600, user=user)
    try:
        yield [*shell, SOURCE, path]
    finally:
        with suppress(ArlError):
            sandbox.files.remove(path, missing_ok=True, user=user)


def _spool_name() -> str:
    return f".{random_name('arl-spool')}"


class Runner:
    """Runs commands in a sandbox, one after the other.

    The tasks of a sandbox run one at a time. So that the time of a command does not begin while another one runs,
    callers wait here for their turn.

    Args:
        sandbox: The sandbox.
        shell: What runs a text.
    """

    def __init__(self, sandbox: AsyncSandbox, shell: str = "/bin/sh") -> None:
        self._sandbox = sandbox
        self._turn = asyncio.Lock()
        self.shell = shell

    async def run(
        self,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        stdin: str | bytes | None = None,
        timeout: float | None = None,
        on_output: OnOutput | None = None,
    ) -> CommandResult:
        """Runs a command; see ``Sandbox.run``. When the caller is cancelled, the command is, too."""
        sync = self._sandbox._sync
        data = stdin.encode() if isinstance(stdin, str) else stdin
        spool = data is not None and len(data) > STDIN_MAX
        async with self._turn, self._argv(command, user) as argv, self._file(data if spool else None, user) as path:
            step = _tasks.command_step(argv, env, cwd, user, None if spool else stdin)
            if path:
                step["stdinFile"] = path
            limit = timeout or NO_LIMIT_S
            if on_output is None:
                task = await _ops.arun(sync._execute([step], timeout=limit, ttl=_tasks.RUN_TTL_S))
                return _tasks.checked(sync._result(task), False)
            return _tasks.checked(await self._follow(await _ops.arun(sync._start(step, limit, 0)), on_output), False)

    async def _follow(self, process: Process, on_output: OnOutput) -> CommandResult:
        following = AsyncProcess(process)
        try:
            async for output in following:
                if output.text:
                    await on_output(output.text, output.stream)
            return await following.wait()
        except BaseException:
            await asyncio.shield(asyncio.to_thread(process._task.cancel_quietly))
            raise

    async def output(self, result: CommandResult) -> tuple[bytes, bytes]:
        """All that a command has written, also what its Task does not have."""
        if not result.truncated:
            return result.stdout.encode(), result.stderr.encode()
        return await self._sandbox.stdout_bytes(result), await self._sandbox.stderr_bytes(result)

    @asynccontextmanager
    async def _argv(self, command: str | Sequence[str], user: str | None) -> AsyncIterator[list[str]]:
        """What fits into a Task and into the arguments of a program."""
        if isinstance(command, str):
            text, argv = command, [self.shell, "-c", command]
            sourced, large = [self.shell, "-c", SOURCE], len(command.encode()) > SCRIPT_MAX
        else:
            text, argv = f"exec {shlex.join(command)}\n", list(command)
            sourced = ["/bin/sh"]
            large = len(json.dumps(argv)) > ARGUMENTS_MAX or len(argv) > ARGUMENTS_COUNT_MAX
        async with self._file(text.encode() if large else None, user) as path:
            yield [*sourced, path] if path else argv

    @asynccontextmanager
    async def _file(self, data: bytes | None, user: str | None) -> AsyncIterator[str | None]:
        """A file with this content, as long as the command runs; None: none is needed."""
        if data is None:
            yield None
            return
        path = await self._write(data, user)
        try:
            yield path
        finally:
            with suppress(ArlError):
                await asyncio.shield(self._sandbox.files.remove(path, missing_ok=True, user=user))

    async def _write(self, data: bytes, user: str | None) -> str:
        name = _spool_name()
        try:
            path = f"/tmp/{name}"
            await self._sandbox.files.write(path, data, mode=0o600, user=user)
        except FileDenied:  # there is no /tmp, or it is not for everybody
            path = f"{work_dir(self._sandbox)}/{name}"
            await self._sandbox.files.write(path, data, mode=0o600, user=user)
        return path
