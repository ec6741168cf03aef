"""Pools of warm pods."""

from __future__ import annotations

import difflib
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arl import _arguments, _ops
from arl._connection import API_VERSION, Connection
from arl._hub import LAST_LOOK_S, Wait, hub
from arl._names import CLIENT_LABEL, client_id
from arl.errors import ArlError, NotAllowed, NotFound, NotInstalled, PoolNotFound, PoolNotReady, Refused
from arl.results import condition

# A pool's name is the beginning of its pods' names; the API server allows 54 characters.
_HASH_CHARACTERS = 12
# Of the pools that are there instead, so many are asked for, and so many named in a message.
_AVAILABLE_MAX = 500
_NAMED_MAX = 10


@dataclass(frozen=True)
class PoolStatus:
    """How a pool does.

    Attributes:
        phase: Pending, Scaling, Ready or Degraded.
        wanted: Idle pods that are wanted.
        idle: Idle pods that are ready.
        in_use: Pods that sandboxes have.
        message: Why pods do not get ready; empty if nothing is wrong.
    """

    phase: str
    wanted: int
    idle: int
    in_use: int
    message: str


def pool_body(
    name: str,
    namespace: str,
    image: str,
    *,
    replicas: int = 2,
    command: Sequence[str] | None = None,
    resources: Mapping[str, Any] | None = None,
    workspace: str = "/workspace",
    node_selector: Mapping[str, str] | None = None,
    runtime_class: str | None = None,
) -> dict[str, Any]:
    """A WarmPool of one container, ``executor``."""
    container: dict[str, Any] = {
        "name": "executor",
        "image": _arguments.text("image", image),
        "volumeMounts": [{"name": "workspace", "mountPath": _arguments.text("workspace", workspace)}],
    }
    if command is not None:
        container["command"] = _arguments.strings("command", command)
    if resources is not None and (wanted := tree("resources", resources)):
        container["resources"] = wanted
    spec: dict[str, Any] = {"containers": [container], "volumes": [{"name": "workspace", "emptyDir": {}}]}
    if node_selector:
        spec["nodeSelector"] = _arguments.pairs("node_selector", node_selector)
    if runtime_class:
        spec["runtimeClassName"] = _arguments.text("runtime_class", runtime_class)
    return _body(name, namespace, replicas, {"spec": spec})


def tree(name: str, value: Any) -> dict[str, Any]:
    """A part of an object that a caller gives as a dict; TypeError."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict, and not {value!r}")
    return dict(value)


def _body(name: str, namespace: str, replicas: int, template: Mapping[str, Any]) -> dict[str, Any]:
    _arguments.label("name", name, _arguments.POOL_MAX)
    _arguments.label("namespace", namespace)
    _arguments.whole("replicas", replicas)
    return {
        "apiVersion": API_VERSION,
        "kind": "WarmPool",
        "metadata": {"name": name, "namespace": namespace, "labels": {CLIENT_LABEL: client_id()}},
        "spec": {"replicas": replicas, "template": tree("template", template)},
    }


def look_pool_ready(obj: dict[str, Any] | None) -> dict[str, Any] | None:
    """Ends the wait for a pool: as many idle pods are ready as are wanted, and at least one is."""
    if obj is None:
        raise NotFound("the pool was deleted")
    wanted = obj["spec"].get("replicas", 0)
    return obj if 0 < wanted <= obj.get("status", {}).get("readyReplicas", 0) else None


def wait_pool_ready(connection: Connection, namespace: str, name: str, timeout: float) -> dict[str, Any]:
    """Waits until a pool is ready.

    Raises:
        PoolNotFound: There is none of this name.
        PoolNotReady: It was not ready in time; the message says why as far as the cluster knows.
    """
    deadline = time.monotonic() + _arguments.wait("timeout", timeout)
    try:
        wait = hub(connection).wait_for(namespace, "warmpools", name, look_pool_ready, deadline=deadline)
        return _ops.run(_end(wait, _arguments.left_of(deadline)))
    except NotFound as e:
        raise pool_not_found(connection, namespace, name) from e
    except _ops.Late:
        raise _not_ready(connection, namespace, name, timeout) from None


def _not_ready(connection: Connection, namespace: str, name: str, timeout: float) -> PoolNotReady:
    obj: dict[str, Any] = {}
    why = "nobody has looked at it yet; does arl-operator run?"
    try:
        obj = connection.get(namespace, "warmpools", name, deadline=time.monotonic() + LAST_LOOK_S)
    except ArlError as e:
        why = e.message
    failing, ready = condition(obj, "PodsFailing"), condition(obj, "Ready")
    said = failing.get("message") if failing.get("status") == "True" else ready.get("message")
    return PoolNotReady(
        f"WarmPool '{name}' in namespace '{namespace}' is not ready after {timeout:g} s: {said or why}",
        reason=failing.get("reason") if failing.get("status") == "True" else None,
        hint=f"See: kubectl -n {namespace} describe wp {name}",
        object=obj or None,
    )


def _end(wait: Wait, timeout: float | None) -> _ops.Op[dict[str, Any]]:
    try:
        obj: dict[str, Any] = yield _ops.Until(wait.future, timeout)
        return obj
    finally:
        wait.future.cancel()


def pool_not_found(
    connection: Connection, namespace: str, name: str, *, object: Mapping[str, Any] | None = None
) -> PoolNotFound:
    """The error for a pool that is not there; it names those that are, as far as the caller may know."""
    there: tuple[str, ...] = ()
    names, missing, listed = "(none)", "", False
    try:
        found = connection.list(namespace, "warmpools", limit=_AVAILABLE_MAX)
        there = tuple(o["metadata"]["name"] for o in found["items"])
        listed = not (found.get("metadata") or {}).get("continue")
        names = _some(name, there) or names
    except NotInstalled:
        raise
    except ArlError as e:
        names = f"(not known: {e.message})"
        missing = f" {e.hint}" if isinstance(e, NotAllowed) else ""
    like = difflib.get_close_matches(name, there, 1)
    error = PoolNotFound(
        f"WarmPool '{name}' not found in namespace '{namespace}'.\nAvailable pools: {names}",
        hint=(f"Did you mean '{like[0]}'? Else make it" if like else "Make it")
        + f" first: Pool.create() or WarmPoolManager.create_warmpool().{missing}",
        object=object,
    )
    error.available, error.listed = there, listed
    return error


def _some(name: str, there: Sequence[str]) -> str:
    """Those pools that are most like this one, in one line."""
    first = difflib.get_close_matches(name, there, _NAMED_MAX, 0.0)
    rest = len(there) - len(first)
    return ", ".join(first) + (f" and {rest} more" if rest else "")


class Pool:
    """A WarmPool.

    Attributes:
        name: Its name.
        namespace: Its namespace.
    """

    def __init__(self, connection: Connection, namespace: str, name: str) -> None:
        self._connection = connection
        self.namespace = namespace
        self.name = name

    @classmethod
    def create(
        cls,
        name: str,
        image: str | None = None,
        replicas: int = 2,
        resources: Mapping[str, Any] | None = None,
        command: Sequence[str] | None = None,
        workspace: str = "/workspace",
        node_selector: Mapping[str, str] | None = None,
        runtime_class: str | None = None,
        template: Mapping[str, Any] | None = None,
        *,
        namespace: str | None = None,
        connection: Connection | None = None,
    ) -> Pool:
        """Makes a pool.

        Args:
            name: Its name.
            image: What its container ``executor`` runs.
            replicas: Idle pods to keep ready.
            resources: Requests and limits of the container.
            command: The main program; by default one that does nothing.
            workspace: Where the volume for files is mounted; also the work directory.
            node_selector: Labels of the nodes.
            runtime_class: For gVisor, Kata and the like.
            template: A whole pod template in place of all these.
            namespace: By default that of the kubeconfig's context.
            connection: The cluster; by default that of the environment.

        Raises:
            Refused: The API server refuses it, or there is another one of this name.
        """
        connection = connection or Connection.load()
        namespace = namespace or connection.namespace
        if (image is None) == (template is None):
            raise ValueError("either image= or template= is wanted")
        if template is not None:
            body = _body(name, namespace, replicas, template)
        else:
            body = pool_body(
                name,
                namespace,
                image or "",
                replicas=replicas,
                command=command,
                resources=resources,
                workspace=workspace,
                node_selector=node_selector,
                runtime_class=runtime_class,
            )
        connection.create(namespace, "warmpools", body)
        return cls(connection, namespace, name)

    @classmethod
    def ensure(
        cls,
        image: str,
        *,
        replicas: int = 2,
        namespace: str | None = None,
        connection: Connection | None = None,
        **options: Any,
    ) -> Pool:
        """The pool for this image and these options, which is made if it is not there. All who ask share it."""
        connection = connection or Connection.load()
        namespace = namespace or connection.namespace
        template = pool_body("x", namespace, image, **options)["spec"]["template"]
        text = json.dumps(template, sort_keys=True)
        name = f"image-{hashlib.sha256(text.encode()).hexdigest()[:_HASH_CHARACTERS]}"
        try:
            return cls.create(name, template=template, replicas=replicas, namespace=namespace, connection=connection)
        except Refused as e:
            if e.reason != "AlreadyExists":
                raise
            return cls(connection, namespace, name)

    @classmethod
    def get(cls, name: str, *, namespace: str | None = None, connection: Connection | None = None) -> Pool:
        """A pool that is there; PoolNotFound."""
        connection = connection or Connection.load()
        namespace = namespace or connection.namespace
        try:
            connection.get(namespace, "warmpools", name)
        except NotFound as e:
            raise pool_not_found(connection, namespace, name) from e
        return cls(connection, namespace, name)

    @classmethod
    def list(cls, *, namespace: str | None = None, connection: Connection | None = None) -> list[Pool]:
        """The pools of a namespace."""
        connection = connection or Connection.load()
        namespace = namespace or connection.namespace
        items = connection.list(namespace, "warmpools")["items"]
        return [cls(connection, namespace, o["metadata"]["name"]) for o in items]

    def status(self) -> PoolStatus:
        """How it does now."""
        obj = self._connection.get(self.namespace, "warmpools", self.name)
        status, failing = obj.get("status", {}), condition(obj, "PodsFailing")
        return PoolStatus(
            phase=status.get("phase") or "Pending",
            wanted=obj["spec"].get("replicas", 0),
            idle=status.get("readyReplicas", 0),
            in_use=status.get("allocatedReplicas", 0),
            message=failing.get("message", "") if failing.get("status") == "True" else "",
        )

    def scale(self, replicas: int) -> None:
        """Sets how many idle pods are kept."""
        spec = {"replicas": _arguments.whole("replicas", replicas)}
        self._connection.patch(self.namespace, "warmpools", self.name, {"spec": spec})

    def wait_ready(self, timeout: float = 300) -> Pool:
        """Waits until as many pods are ready as wanted; PoolNotReady."""
        wait_pool_ready(self._connection, self.namespace, self.name, timeout)
        return self

    def delete(self) -> None:
        """Deletes it with its idle pods; sandboxes keep theirs. Harmless when it is gone."""
        self._connection.delete(self.namespace, "warmpools", self.name)

    def __repr__(self) -> str:
        return f"<Pool {self.namespace}/{self.name}>"
