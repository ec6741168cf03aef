"""Environments for harbor: ``harbor run --env arl.integrations.harbor:ArlEnvironment``. See docs/recipes/harbor.md."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, cast

from harbor.environments.base import BaseEnvironment, ExecResult
from harbor.environments.capabilities import EnvironmentCapabilities, EnvironmentResourceCapabilities
from harbor.environments.options import EnvironmentOptions
from harbor.models.trial.config import ResourceMode
from pydantic import Field

from arl import AsyncSandbox, Pool, _cleanup
from arl._connection import Connection
from arl.errors import FileDenied, FileMissing, FileNotDirectory, NotConfigured
from arl.files import FileInfo
from arl.integrations._common import Runner, absolute

LABELS = {"app.kubernetes.io/managed-by": "harbor"}
# The volume that every sandbox has: where no image keeps something, so that nothing of the image is hidden.
WORKSPACE = "/mnt/arl"
LOOK_AROUND = "pwd; command -v bash || command -v sh"


class ArlOptions(EnvironmentOptions):
    """What ``--environment-kwarg`` (``--ek``) and ``environment.kwargs`` of a job may say."""

    pool: str | None = Field(default=None, description="A WarmPool that is there, for all tasks, whatever their image.")
    replicas: int = Field(default=1, description="Pods that the pool of a task's image keeps ready.")
    namespace: str | None = Field(default=None, description="By default that of the kubeconfig's context.")
    idle_timeout: int | None = Field(default=None, description="Seconds without use after which a sandbox is deleted.")
    max_lifetime: int | None = Field(default=None, description="Seconds after which it is deleted in any case.")
    timeout: float = Field(default=600, description="Seconds to wait for a sandbox.")


class ArlEnvironment(BaseEnvironment):
    """A sandbox out of the pool for the task's image, which is made if it is not there and stays."""

    options_model = ArlOptions
    _sandbox: AsyncSandbox | None = None
    _runner: Runner | None = None
    # The image's own working directory.
    _image_dir = "/"

    # ---- what it can -----------------------------------------------------------------------------------------------

    @staticmethod
    def type() -> str:
        """Its name."""
        return "arl"

    @property
    def capabilities(self) -> EnvironmentCapabilities:
        """None of the special ones yet: a task that wants one is refused before it starts."""
        return EnvironmentCapabilities()

    @classmethod
    def resource_capabilities(cls) -> EnvironmentResourceCapabilities:
        """Requests and limits of CPU and memory, as Kubernetes has them."""
        return EnvironmentResourceCapabilities(
            cpu_limit=True, cpu_request=True, memory_limit=True, memory_request=True, fractional_cpus=True
        )

    @classmethod
    def preflight(cls, kwargs: dict[str, Any] | None = None) -> None:
        """Says before the first trial that no cluster is configured."""
        super().preflight(kwargs)
        try:
            Connection.load()
        except NotConfigured as e:
            raise SystemExit(str(e)) from e

    def _validate_definition(self) -> None:
        if not self._options.pool and not self.task_env_config.docker_image:
            raise FileNotFoundError(
                f"task {self.environment_name} names no image, and arl builds none: set docker_image in [environment] "
                "of its task.toml, or give a pool with --ek pool=NAME"
            )

    @property
    def _options(self) -> ArlOptions:
        return cast(ArlOptions, self.options)

    # ---- life ------------------------------------------------------------------------------------------------------

    async def start(self, force_build: bool) -> None:
        """Takes a sandbox. There is nothing to build."""
        options = self._options
        self._sandbox = await AsyncSandbox.create(
            options.pool or (await asyncio.to_thread(self._pool)).name,
            namespace=options.namespace,
            idle_timeout=options.idle_timeout,
            max_lifetime=options.max_lifetime,
            labels=LABELS,
            timeout=options.timeout,
        )
        self._image_dir, shell = await asyncio.to_thread(self._look_around)
        self._runner = Runner(self._sandbox, shell)
        if self.task_env_config.workdir:
            # As Docker does it, which makes the folder that it is told to work in.
            folder = absolute(self.task_env_config.workdir, self._image_dir)
            if not await self._sandbox.files.exists(folder):
                await self._sandbox.files.mkdir(folder)
        made = await self.ensure_dirs(self._mount_targets(writable_only=True))
        if made is not None and made.return_code:
            raise RuntimeError(f"the folders for logs could not be made: {made.stderr or made.stdout}")
        await self._upload_environment_dir_after_start()

    def _pool(self) -> Pool:
        return Pool.ensure(
            self.task_env_config.docker_image,
            replicas=self._options.replicas,
            resources=self._resources(),
            workspace=WORKSPACE,
            namespace=self._options.namespace,
        )

    def _resources(self) -> dict[str, dict[str, str]]:
        auto = ResourceMode.REQUEST
        wanted = {
            "requests": {
                "cpu": self._resource_request_value("cpu", auto_mode=auto),
                "memory": self._resource_request_value("memory", auto_mode=auto),
            },
            "limits": {
                "cpu": self._resource_limit_value("cpu", auto_mode=auto),
                "memory": self._resource_limit_value("memory", auto_mode=auto),
            },
        }
        unit = {"cpu": "", "memory": "Mi"}
        return {
            kind: {name: f"{value}{unit[name]}" for name, value in values.items() if value is not None}
            for kind, values in wanted.items()
        }

    def _look_around(self) -> tuple[str, str]:
        """The working directory of the image, which Kubernetes does not tell, and the best shell that it has."""
        with self._started._sync._exec(["/bin/sh", "-c", LOOK_AROUND], again=True) as process:
            lines = b"".join(process.output()).decode().splitlines()
            if process.code() or len(lines) != 2:
                raise RuntimeError(f"the image has no shell that works: {process.errors.decode(errors='replace')}")
        return lines[0], lines[1]

    @property
    def _started(self) -> AsyncSandbox:
        if self._sandbox is None:
            raise RuntimeError("the environment has not been started")
        return self._sandbox

    async def stop(self, delete: bool) -> None:
        """Deletes the sandbox, and its pod with all that runs there; or leaves it until its idle time is over."""
        sandbox, self._sandbox, self._runner = self._sandbox, None, None
        if sandbox is None:
            return
        if delete:
            await sandbox.delete()
        else:
            _cleanup.forget(sandbox.uid)
            self.logger.info(f"sandbox {sandbox.name} in namespace {sandbox.namespace} is left")

    async def attach(self) -> None:
        """Becomes a shell in the sandbox."""
        sandbox = self._started
        command = ["kubectl", "exec", "-it", "-n", sandbox.namespace, sandbox.pod or "", "--", self._commands.shell]
        os.execvp(command[0], command)

    # ---- commands --------------------------------------------------------------------------------------------------

    @property
    def _commands(self) -> Runner:
        if self._runner is None:
            raise RuntimeError("the environment has not been started")
        return self._runner

    async def exec(
        self,
        command: str,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        timeout_sec: int | None = None,
        user: str | int | None = None,
    ) -> ExecResult:
        """Runs a command by the image's bash, or its sh; exit code 124 if its time was over."""
        user = self._resolve_user(user)
        result = await self._commands.run(
            command,
            env=self._merge_env(env),
            cwd=absolute(cwd or self.task_env_config.workdir or "", self._image_dir),
            user=None if user is None else str(user),
            timeout=timeout_sec,
            on_output=self._output_callback(),
        )
        stdout, stderr = await self._commands.output(result)
        return ExecResult(
            stdout=stdout.decode(errors="replace"), stderr=stderr.decode(errors="replace"), return_code=result.exit_code
        )

    # ---- files -----------------------------------------------------------------------------------------------------

    def _path(self, path: str) -> str:
        return absolute(path, absolute(self.task_env_config.workdir or "", self._image_dir))

    async def upload_file(self, source_path: Path | str, target_path: str) -> None:
        """Writes a local file into the sandbox."""
        await self._started.files.upload(source_path, self._path(target_path))

    async def upload_dir(self, source_dir: Path | str, target_dir: str) -> None:
        """Writes the content of a local folder into one of the sandbox."""
        await self._started.files.upload_dir(source_dir, self._path(target_dir))

    async def download_file(self, source_path: str, target_path: Path | str) -> None:
        """Writes a file of the sandbox into a local one."""
        Path(target_path).parent.mkdir(parents=True, exist_ok=True)
        await self._started.files.download(self._path(source_path), target_path)

    async def download_dir(self, source_dir: str, target_dir: Path | str) -> None:
        """Writes the content of a folder of the sandbox into a local one."""
        await self._started.files.download_dir(self._path(source_dir), target_dir)

    async def is_dir(self, path: str, user: str | int | None = None) -> bool:
        """Whether there is a folder at this path."""
        info = await self._stat(path, user)
        return info is not None and info.is_dir

    async def is_file(self, path: str, user: str | int | None = None) -> bool:
        """Whether there is a regular file at this path."""
        info = await self._stat(path, user)
        return info is not None and info.is_file

    async def _stat(self, path: str, user: str | int | None) -> FileInfo | None:
        try:
            return await self._started.files.stat(self._path(path), user=self._resolve_user(user))
        except (FileMissing, FileNotDirectory, FileDenied):
            return None
