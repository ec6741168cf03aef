"""Clients of the custom resources of arl.infra.io/v1alpha1. Generated from crds/ by clients/python/generate."""

from arl_client.models import Sandbox, Task, WarmPool
from arl_client.resource import Resource


class WarmPools(Resource[WarmPool]):
    """A WarmPool keeps idle pods ready, of which each Sandbox takes one."""

    kind = "WarmPool"
    plural = "warmpools"
    model = WarmPool


class Sandboxes(Resource[Sandbox]):
    """A Sandbox is one pod of a WarmPool for one user. Its Tasks run in that pod, which is deleted with it."""

    kind = "Sandbox"
    plural = "sandboxes"
    model = Sandbox


class Tasks(Resource[Task]):
    """A Task is a list of steps to run in a Sandbox, in order, up to the first that fails, and its result."""

    kind = "Task"
    plural = "tasks"
    model = Task
