"""Models and clients of the custom resources of arl: WarmPool, Sandbox and Task."""

from importlib.metadata import version

from arl_client.clients import Sandboxes, Tasks, WarmPools
from arl_client.models import Sandbox, Task, WarmPool

__version__ = version("arl-client")
__all__ = ["Sandbox", "Sandboxes", "Task", "Tasks", "WarmPool", "WarmPools"]
