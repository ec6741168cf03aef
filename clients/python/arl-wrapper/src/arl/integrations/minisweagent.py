"""An environment for mini-swe-agent: ``environment_class: arl.integrations.minisweagent.ArlEnvironment``.

See docs/recipes/minisweagent.md.
"""

from __future__ import annotations

import sys
from typing import Any

from minisweagent.exceptions import Submitted
from minisweagent.utils.serialize import recursive_merge
from pydantic import BaseModel, model_validator

from arl import Pool, Sandbox
from arl.integrations._common import script, timed_out

LABELS = {"app.kubernetes.io/managed-by": "mini-swe-agent"}
SUBMIT = "COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT"
# Both streams as one, in the order in which they are written.
MERGED = ["/bin/sh", "-c", 'exec "$@" 2>&1', "sh"]


class ArlEnvironmentConfig(BaseModel):
    """The section ``environment`` of a configuration.

    Attributes:
        pool: The name of a WarmPool that is there.
        image: An image, in place of a pool; its pool is made if it is not there, and stays.
        replicas: Pods that the pool of an image keeps ready.
        namespace: By default that of the kubeconfig's context.
        cwd: Where commands run; by default the sandbox's work directory.
        env: Environment variables of all commands.
        user: Who runs commands; by default the container's user.
        timeout: Seconds for each command.
        interpreter: What runs a command, which is its last argument.
        idle_timeout: Seconds without use after which the sandbox is deleted; by default as the cluster has it.
        max_lifetime: Seconds after which it is deleted in any case.
        start_timeout: Seconds to wait for the sandbox.
    """

    pool: str | None = None
    image: str | None = None
    replicas: int = 1
    namespace: str | None = None
    cwd: str = ""
    env: dict[str, str] = {}
    user: str | None = None
    timeout: int = 30
    interpreter: list[str] = ["bash", "-lc"]
    idle_timeout: int | None = None
    max_lifetime: int | None = None
    start_timeout: float = 600

    @model_validator(mode="after")
    def _one_of_both(self) -> ArlEnvironmentConfig:
        if (self.pool is None) == (self.image is None):
            raise ValueError("either pool or image is wanted")
        return self


class ArlEnvironment:
    """A sandbox that an agent works in; deleted by ``cleanup``, with this object, or at the end of the process.

    Args:
        config_class: The class of the configuration.
        kwargs: The configuration.
    """

    _sandbox: Sandbox | None = None
    _system: dict[str, str] | None = None

    def __init__(self, *, config_class: type[ArlEnvironmentConfig] = ArlEnvironmentConfig, **kwargs: Any) -> None:
        self.config = config_class(**kwargs)
        config = self.config
        pool = config.pool
        if pool is None:
            # Nothing of the image is hidden by the sandbox's volume.
            made = Pool.ensure(
                config.image or "", replicas=config.replicas, workspace="/mnt/arl", namespace=config.namespace
            )
            pool = made.name
        self._sandbox = Sandbox.create(
            pool,
            namespace=config.namespace,
            env=config.env,
            idle_timeout=config.idle_timeout,
            max_lifetime=config.max_lifetime,
            labels=LABELS,
            timeout=config.start_timeout,
        )

    def execute(self, action: dict[str, Any], cwd: str = "", *, timeout: int | None = None) -> dict[str, Any]:
        """Runs ``action["command"]``.

        Returns:
            ``output`` (both streams in order), ``returncode`` (-1 if its time was over) and ``exception_info``.

        Raises:
            Submitted: The command says that the agent is done.
            ArlError: The sandbox was lost. The command may have run; it was not repeated.
        """
        if self._sandbox is None:
            raise RuntimeError("the environment has been cleaned up")
        command, limit = str(action.get("command", "")), timeout or self.config.timeout
        with script(self._sandbox, self.config.interpreter, command, self.config.user) as argv:
            result = self._sandbox.run(
                [*MERGED, *argv], cwd=cwd or self.config.cwd or None, user=self.config.user, timeout=limit
            )
        text = result.stdout_bytes() if result.truncated else result.stdout.encode()
        output: dict[str, Any] = {
            "output": text.decode(errors="replace"),
            "returncode": result.exit_code,
            "exception_info": "",
        }
        if timed_out(result):
            said = f"Command '{command}' timed out after {limit} seconds"
            output["returncode"] = -1
            output["exception_info"] = f"An error occurred while executing the command: {said}"
            output["extra"] = {"exception_type": "TimeoutExpired", "exception": said}
        else:
            output["output"] += result.stderr  # only what arl itself has to say
        self._check_finished(output)
        return output

    def _check_finished(self, output: dict[str, Any]) -> None:
        lines = output["output"].lstrip().splitlines(keepends=True)
        if not lines or lines[0].strip() != SUBMIT or output["returncode"] != 0:
            return
        submission = "".join(lines[1:])
        extra = {"exit_status": "Submitted", "submission": submission}
        raise Submitted({"role": "exit", "content": submission, "extra": extra})

    def get_template_vars(self, **kwargs: Any) -> dict[str, Any]:
        """What templates of prompts may name."""
        merged: dict[str, Any] = recursive_merge(self.config.model_dump(), self._uname(), kwargs)
        return merged

    def _uname(self) -> dict[str, str]:
        """The system of the sandbox, not the one that this process runs on."""
        if self._system is None and self._sandbox is not None:
            lines = self._sandbox.run(
                [*MERGED, "sh", "-c", "uname -s; uname -r; uname -v; uname -m"]
            ).stdout.splitlines()
            self._system = dict(zip(("system", "release", "version", "machine"), lines, strict=False))
        return self._system or {}

    def serialize(self) -> dict[str, Any]:
        """What the record of a run has of it."""
        kind = f"{type(self).__module__}.{type(self).__name__}"
        return {"info": {"config": {"environment": self.config.model_dump(mode="json"), "environment_type": kind}}}

    def cleanup(self) -> None:
        """Deletes the sandbox. Harmless when it is gone."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is not None:
            sandbox.delete()

    def __del__(self) -> None:
        """Does not leave it to the idle time."""
        if not sys.is_finalizing():
            self.cleanup()
