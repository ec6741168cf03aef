"""The objects of arl as dicts, for type checkers. All fields may be absent."""

from __future__ import annotations

from typing import TypedDict


class TaskStep(TypedDict, total=False):
    """A step of a Task: ``type`` is Command (with command, env) or FilePatch (with path and content or patch)."""

    name: str
    type: str
    command: list[str]
    env: dict[str, str]
    workDir: str
    path: str
    content: str
    encoding: str
    patch: str
    mode: str
    fuzz: int
    stdin: str
    stdinEncoding: str
    stdinFile: str
    user: str
    onError: str
    container: str
    traceID: str


class KubernetesMetadata(TypedDict, total=False):
    """metadata of any object."""

    name: str
    namespace: str
    labels: dict[str, str]
    annotations: dict[str, str]
    uid: str
    resourceVersion: str
    creationTimestamp: str


class Condition(TypedDict, total=False):
    """A condition of any kind."""

    type: str
    status: str
    reason: str
    message: str
    lastTransitionTime: str
    observedGeneration: int


SandboxCondition = Condition


class SandboxEnv(TypedDict):
    """One environment variable of a sandbox."""

    name: str
    value: str


class SandboxSpec(TypedDict, total=False):
    """spec of a Sandbox."""

    poolRef: str
    keepAlive: bool
    env: list[SandboxEnv]
    idleTimeoutSeconds: int | None
    maxLifetimeSeconds: int


class SandboxStatus(TypedDict, total=False):
    """status of a Sandbox."""

    phase: str
    podName: str
    podUID: str
    podIP: str
    workDir: str
    lastTaskTime: str
    conditions: list[Condition]
    message: str


class SandboxResource(TypedDict, total=False):
    """A Sandbox."""

    apiVersion: str
    kind: str
    metadata: KubernetesMetadata
    spec: SandboxSpec
    status: SandboxStatus


class TaskSpec(TypedDict, total=False):
    """spec of a Task."""

    sandboxRef: str
    steps: list[TaskStep]
    timeout: str
    retries: int
    ttlSecondsAfterFinished: int
    traceID: str


class TaskStepResult(TypedDict, total=False):
    """The result of one step."""

    name: str
    exitCode: int
    stdout: str
    stderr: str
    startTime: str
    duration: str
    error: str
    truncated: bool
    outputFile: str


class TaskStatus(TypedDict, total=False):
    """status of a Task: ``state`` is Pending, Running, Succeeded or Failed."""

    state: str
    exitCode: int
    stdout: str
    stderr: str
    startTime: str
    completionTime: str
    duration: str
    attempt: int
    steps: list[TaskStepResult]
    conditions: list[Condition]
    message: str


class TaskResource(TypedDict, total=False):
    """A Task. ``callback_result`` is put in by ``execute_with_callback``."""

    apiVersion: str
    kind: str
    metadata: KubernetesMetadata
    spec: TaskSpec
    status: TaskStatus
    callback_result: TaskResource


class WarmPoolStatus(TypedDict, total=False):
    """status of a WarmPool."""

    phase: str
    replicas: int
    readyReplicas: int
    allocatedReplicas: int
    conditions: list[Condition]


class WarmPoolSpec(TypedDict, total=False):
    """spec of a WarmPool; the template is a PodTemplateSpec."""

    replicas: int
    template: dict[str, object]


class WarmPoolResource(TypedDict, total=False):
    """A WarmPool."""

    apiVersion: str
    kind: str
    metadata: KubernetesMetadata
    spec: WarmPoolSpec
    status: WarmPoolStatus
