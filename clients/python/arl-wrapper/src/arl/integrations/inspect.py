"""Sandboxes for Inspect (``inspect-ai``): the sandbox type ``arl``.

Found by the entry point group ``inspect_ai``: ``inspect eval task.py --sandbox arl:POOL``. See docs/recipes/inspect.md.
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, overload

import yaml
from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxConnection,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUnavailableError,
    SandboxUserUnsupportedError,
    sandboxenv,
)
from pydantic import BaseModel, ConfigDict, model_validator

from arl import AsyncSandbox, CommandResult, Pool, Sandbox, _cleanup
from arl.errors import (
    ClusterUnreachable,
    ExecFailed,
    FileError,
    FileMissing,
    FileNotDirectory,
    OutputTooLarge,
    SandboxFailed,
    SandboxGone,
    StreamLost,
    TaskGone,
    TaskLost,
)
from arl.integrations._common import Runner, absolute, own_error, timed_out, work_dir

LABELS = {"app.kubernetes.io/managed-by": "inspect-ai"}
CONFIG_FILE = "arl.yaml"

# Not the command's fault, but that of the sandbox or of what lies on the way to it.
_UNAVAILABLE = (TaskLost, TaskGone, SandboxGone, SandboxFailed, StreamLost, ExecFailed, ClusterUnreachable)


class ArlSandboxConfig(BaseModel):
    """What sandboxes a task wants: those of a pool that is there, or of an image, for which a pool is made.

    Attributes:
        pool: The name of a WarmPool.
        image: An image; its pool is made when the task begins, and stays.
        replicas: Pods that the pool of an image keeps ready.
        command: The main program of the image's container; by default one that does nothing.
        resources: Requests and limits of the image's container.
        namespace: By default that of the kubeconfig's context.
        user: Who runs commands and reads and writes files if the caller names nobody; by default the container's user.
        env: Environment variables of all commands.
        idle_timeout: Seconds without use after which a sandbox is deleted; by default as the cluster has it (an hour).
        max_lifetime: Seconds after which it is deleted in any case.
        timeout: Seconds to wait for a sandbox.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    pool: str | None = None
    image: str | None = None
    replicas: int = 2
    command: tuple[str, ...] | None = None
    resources: dict[str, Any] | None = None
    namespace: str | None = None
    user: str | None = None
    env: dict[str, str] = {}
    idle_timeout: int | None = None
    max_lifetime: int | None = None
    timeout: float = 600

    @model_validator(mode="after")
    def _one_of_both(self) -> ArlSandboxConfig:
        if (self.pool is None) == (self.image is None):
            raise ValueError("either pool or image is wanted")
        return self

    @classmethod
    def of(cls, config: SandboxEnvironmentConfigType | None) -> ArlSandboxConfig:
        """Reads what Inspect has: a model, the path of a file such as ``arl.yaml``, or the name of a pool."""
        if isinstance(config, cls):
            return config
        if isinstance(config, str):
            # Inspect makes a path of everything.
            path = Path(config)
            if path.suffix not in (".yaml", ".yml"):
                return cls(pool=path.name)
            return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        raise ValueError(
            "the sandbox type arl wants a pool: sandbox=('arl', 'POOL'), --sandbox arl:POOL, "
            f"a file {CONFIG_FILE} beside the task, or an ArlSandboxConfig"
        )


@sandboxenv(name="arl")
class ArlSandboxEnvironment(SandboxEnvironment):
    """A sandbox of a sample.

    Args:
        sandbox: The sandbox.
        user: Who does what nobody is named for.
    """

    # Those of all samples that are not deleted yet, by UID.
    _open: dict[str, AsyncSandbox] = {}

    def __init__(self, sandbox: AsyncSandbox, user: str | None = None) -> None:
        super().__init__()
        self._sandbox = sandbox
        self._runner = Runner(sandbox)
        self._user = user

    # ---- life ------------------------------------------------------------------------------------------------------

    @classmethod
    def config_files(cls) -> list[str]:
        """A file of this name beside the task is its configuration."""
        return [CONFIG_FILE]

    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> BaseModel:
        """Reads the configuration in a log."""
        return ArlSandboxConfig.model_validate(config)

    @classmethod
    async def task_init(cls, task_name: str, config: SandboxEnvironmentConfigType | None) -> None:
        """Makes the pool of an image; says at once if a pool that is named is not there."""
        await asyncio.to_thread(lambda: _pool(ArlSandboxConfig.of(config)))

    @classmethod
    async def sample_init(
        cls, task_name: str, config: SandboxEnvironmentConfigType | None, metadata: dict[str, str]
    ) -> dict[str, SandboxEnvironment]:
        """Takes a sandbox out of the pool."""
        wanted = ArlSandboxConfig.of(config)
        # Sandboxes of a sample may be of another pool than those of the task.
        pool = wanted.pool or (await asyncio.to_thread(lambda: _pool(wanted))).name
        sandbox = await AsyncSandbox.create(
            pool,
            namespace=wanted.namespace,
            env=wanted.env,
            idle_timeout=wanted.idle_timeout,
            max_lifetime=wanted.max_lifetime,
            labels=LABELS,
            timeout=wanted.timeout,
        )
        cls._open[sandbox.uid] = sandbox
        return {"default": cls(sandbox, wanted.user)}

    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        """Deletes the sandbox of a sample, and its pod with all that runs there."""
        for environment in environments.values():
            sandbox = environment.as_type(cls)._sandbox
            await sandbox.delete()
            cls._open.pop(sandbox.uid, None)

    @classmethod
    async def task_cleanup(cls, task_name: str, config: SandboxEnvironmentConfigType | None, cleanup: bool) -> None:
        """Names the sandboxes that are to be kept (``--no-sandbox-cleanup``)."""
        if cleanup:
            return
        for uid, sandbox in cls._open.items():
            _cleanup.forget(uid)
            print(f"sandbox {sandbox.name} is left in namespace {sandbox.namespace}; to delete it:")
            print(f"inspect sandbox cleanup arl {sandbox.name}")
        cls._open.clear()

    @classmethod
    async def cli_cleanup(cls, id: str | None) -> None:
        """Deletes the sandboxes of Inspect in the namespace of the kubeconfig's context, or the one of this name."""
        found = await asyncio.to_thread(lambda: [s for s in Sandbox.list(labels=LABELS) if id in (None, s.name)])
        for sandbox in found:
            await asyncio.to_thread(sandbox.delete)
            print(f"sandbox {sandbox.name} in namespace {sandbox.namespace} is deleted")

    async def connection(self, *, user: str | None = None) -> SandboxConnection:
        """A command that opens a shell in the sandbox, for people."""
        user, pod = user or self._user, self._sandbox.pod or ""
        shell = "exec sh" if user is None else f"exec su {shlex.quote(user)}"
        command = ["kubectl", "exec", "-it", "-n", self._sandbox.namespace, pod, "--"]
        return SandboxConnection(
            type="arl",
            command=shlex.join([*command, "sh", "-c", f"cd {shlex.quote(self._dir)}; {shell}"]),
            container=pod,
        )

    @property
    def _dir(self) -> str:
        return work_dir(self._sandbox)

    # ---- commands --------------------------------------------------------------------------------------------------

    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        """Runs a command; see ``SandboxEnvironment.exec``.

        A command whose time was over is never run again, whatever ``timeout_retry`` says: it may have done its work.
        """
        limit, limit_text = (
            SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE,
            SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE_STR,
        )
        with _unavailable():
            result = await self._runner.run(
                cmd, stdin=input, cwd=cwd, env=env, user=user or self._user, timeout=timeout
            )
            _raise_refused(result)
            if timed_out(result):
                raise TimeoutError(f"{cmd[0]} was killed after {timeout} s")
            try:
                stdout, stderr = await self._runner.output(result)
            except FileMissing:  # too much even for the agent
                raise OutputLimitExceededError(limit_text, result.stdout or result.stderr) from None
        if max(len(stdout), len(stderr)) > limit:
            raise OutputLimitExceededError(limit_text, (stdout or stderr)[:limit].decode(errors="replace"))
        return ExecResult(
            bool(result), result.exit_code, stdout.decode(errors="replace"), stderr.decode(errors="replace")
        )

    # ---- files -----------------------------------------------------------------------------------------------------

    async def write_file(self, file: str, contents: str | bytes) -> None:
        """Writes a file; see ``SandboxEnvironment.write_file``."""
        path = absolute(file, self._dir)
        with _unavailable():
            await self._refuse_read_only(path)
            await self._sandbox.files.write(path, contents, user=self._user)

    async def _refuse_read_only(self, path: str) -> None:
        """A file of one's own without the right to write is replaced by arl, and refused by ``cat >`` and Inspect."""
        try:
            info = await self._sandbox.files.stat(path, user=self._user)
        except FileError:
            return  # then writing has an error of its own, or none
        if not info.is_file or info.mode & 0o200:
            return
        if not await self._runner.run(["sh", "-c", 'test -w "$0"', path], user=self._user):
            raise PermissionError(f"{path}: Permission denied")

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        """Reads a file; see ``SandboxEnvironment.read_file``."""
        limit, limit_text = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE, SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR
        with _unavailable():
            try:
                data = await self._sandbox.files.read_bytes(absolute(file, self._dir), max_size=limit, user=self._user)
            except OutputTooLarge:
                raise OutputLimitExceededError(limit_text, None) from None
            except FileNotDirectory as e:
                raise FileNotFoundError(str(e)) from e
        return data.decode() if text else data


def _pool(config: ArlSandboxConfig) -> Pool:
    if config.pool is not None:
        return Pool.get(config.pool, namespace=config.namespace)
    return Pool.ensure(
        config.image or "",
        replicas=config.replicas,
        command=config.command,
        resources=config.resources,
        namespace=config.namespace,
    )


@contextmanager
def _unavailable() -> Iterator[None]:
    """Says in Inspect's words that it was not the command's fault."""
    try:
        yield
    except _UNAVAILABLE as e:
        raise SandboxUnavailableError(str(e)) from e


def _raise_refused(result: CommandResult) -> None:
    error = own_error(result)
    if result.exit_code != 126 or not error:
        return
    if "may not become another user" in error:
        raise SandboxUserUnsupportedError(error)
    if "cannot execute" in error:
        raise PermissionError(error)
