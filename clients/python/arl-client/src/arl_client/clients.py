"""Clients of the custom resources of arl.infra.io/v1alpha1. Generated from crds/ by clients/python/generate."""

from arl_client.models import Sandbox, Task, WarmPool
from arl_client.resource import Resource


class WarmPools(Resource[WarmPool]):
    """A WarmPool keeps idle pods ready. Each Sandbox takes one of them."""

    kind = "WarmPool"
    plural = "warmpools"
    model = WarmPool


class Sandboxes(Resource[Sandbox]):
    """A Sandbox takes one pod out of a WarmPool. Its Tasks run in that pod. The pod is deleted with the Sandbox."""

    kind = "Sandbox"
    plural = "sandboxes"
    model = Sandbox


class Tasks(Resource[Task]):
    """A Task is a list of steps and their results. The steps run in a Sandbox, one after the other, until one fails."""

    kind = "Task"
    plural = "tasks"
    model = Task
