"""Run commands in warm sandboxes on Kubernetes.

from arl import Sandbox

with Sandbox.create("my-pool") as sandbox:
    print(sandbox.run("echo hello from $(hostname)").stdout)
"""

from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

from arl import errors
from arl.aio import AsyncSandbox
from arl.files import FileInfo
from arl.mapping import amap, map
from arl.pool import Pool, PoolStatus
from arl.process import AsyncProcess, Output, Process
from arl.results import CommandResult, TaskResult
from arl.sandbox import Sandbox
from arl.session import SandboxSession
from arl.shells import Forward, Pty, Shell
from arl.steps import Command, FilePatch
from arl.types import SandboxResource, TaskResource, TaskStatus, TaskStep, TaskStepResult
from arl.warmpool import WarmPoolManager

if TYPE_CHECKING:
    from arl.interactive_shell_client import InteractiveShellClient, create_websocket_proxy

__version__ = _version("arl-wrapper")
__all__ = [
    "AsyncProcess",
    "AsyncSandbox",
    "Command",
    "CommandResult",
    "FileInfo",
    "FilePatch",
    "Forward",
    "InteractiveShellClient",
    "Output",
    "Pool",
    "PoolStatus",
    "Process",
    "Pty",
    "Sandbox",
    "SandboxResource",
    "SandboxSession",
    "Shell",
    "TaskResource",
    "TaskResult",
    "TaskStatus",
    "TaskStep",
    "TaskStepResult",
    "WarmPoolManager",
    "amap",
    "create_websocket_proxy",
    "errors",
    "map",
]


def __getattr__(name: str) -> Any:
    # Loaded when it is asked for: it needs a WebSocket library, which takes time to load.
    if name in ("InteractiveShellClient", "create_websocket_proxy"):
        from arl import interactive_shell_client

        return getattr(interactive_shell_client, name)
    raise AttributeError(f"module 'arl' has no attribute {name!r}")
