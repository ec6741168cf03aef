"""Pools, as the callers of arl-env know them: dicts. The errors are those of the official package as well."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from kubernetes import client

from arl import _arguments
from arl._connection import API_VERSION, Connection
from arl._names import CLIENT_LABEL, client_id
from arl.errors import NotFound
from arl.pool import pool_not_found, tree, wait_pool_ready
from arl.types import WarmPoolResource

_log = logging.getLogger("arl")

DEFAULT_COMMAND = ("/bin/sh", "-c", "sleep infinity")


class WarmPoolManager:
    """Makes, lists and deletes the pools of a namespace.

    Args:
        namespace: The namespace.
        timeout: Seconds that ``wait_for_warmpool_ready`` waits.
    """

    def __init__(self, namespace: str = "default", timeout: int = 300) -> None:
        self.namespace = namespace
        self.timeout = timeout
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The cluster of this process."""
        if self._connection is None:
            self._connection = Connection.load_as_default()
        return self._connection

    @property
    def custom_api(self) -> client.CustomObjectsApi:
        """The official client for custom resources."""
        return cast(client.CustomObjectsApi, self.connection.custom)

    def create_warmpool(
        self,
        name: str,
        image: str,
        sidecar_image: str | None = None,
        replicas: int = 2,
        command: list[str] | None = None,
        workspace_path: str = "/workspace",
        testbed_path: str | None = None,
        resources: Mapping[str, Any] | None = None,
    ) -> WarmPoolResource:
        """Makes a pool of one container, ``executor``.

        Args:
            name: Its name.
            image: What the container runs.
            sidecar_image: Not needed. Only operators with ``--sidecar-image-policy=Keep`` use it.
            replicas: Idle pods to keep ready.
            command: The main program; by default one that sleeps.
            workspace_path: Where the volume ``workspace`` is mounted.
            testbed_path: Where a second volume is mounted, if at all.
            resources: Requests and limits of the container.

        Returns:
            The WarmPool.

        Raises:
            Refused: The API server refuses it, or there is another one of this name. As all refusals a RuntimeError
                and a kubernetes.client.ApiException with ``status``.
        """
        _arguments.label("name", name, _arguments.POOL_MAX)
        mounts = [{"name": "workspace", "mountPath": _arguments.text("workspace_path", workspace_path)}]
        volumes: list[dict[str, Any]] = [{"name": "workspace", "emptyDir": {}}]
        if testbed_path:
            mounts.append({"name": "testbed", "mountPath": _arguments.text("testbed_path", testbed_path)})
            volumes.append({"name": "testbed", "emptyDir": {}})
        executor: dict[str, Any] = {
            "name": "executor",
            "image": _arguments.text("image", image),
            "command": list(DEFAULT_COMMAND) if command is None else _arguments.strings("command", command),
            "volumeMounts": mounts,
        }
        if resources is not None and (wanted := tree("resources", resources)):
            executor["resources"] = wanted
        containers = [executor]
        if sidecar_image:
            containers.append(
                {"name": "sidecar", "image": _arguments.text("sidecar_image", sidecar_image), "volumeMounts": mounts}
            )
        body = {
            "apiVersion": API_VERSION,
            "kind": "WarmPool",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {CLIENT_LABEL: client_id()}},
            "spec": {
                "replicas": _arguments.whole("replicas", replicas),
                "template": {"spec": {"containers": containers, "volumes": volumes}},
            },
        }
        return cast(WarmPoolResource, self.connection.create(self.namespace, "warmpools", body))

    def get_warmpool(self, name: str) -> WarmPoolResource:
        """Reads a pool.

        Raises:
            PoolNotFound: There is none; a kubernetes.client.ApiException with status 404.
        """
        try:
            return cast(WarmPoolResource, self.connection.get(self.namespace, "warmpools", name))
        except NotFound as e:
            raise pool_not_found(self.connection, self.namespace, name) from e

    def list_warmpools(self) -> list[WarmPoolResource]:
        """Lists the pools of the namespace. A pool that the operator has not seen yet has the phase Pending."""
        items = self.connection.list(self.namespace, "warmpools")["items"]
        for item in items:
            item.setdefault("status", {}).setdefault("phase", "Pending")
        return cast(list[WarmPoolResource], items)

    def delete_warmpool(self, name: str) -> None:
        """Deletes a pool with its idle pods.

        Raises:
            PoolNotFound: There is none; a kubernetes.client.ApiException with status 404.
        """
        if not self.connection.delete(self.namespace, "warmpools", name):
            raise pool_not_found(self.connection, self.namespace, name)

    def wait_for_warmpool_ready(
        self, name: str, poll_interval: float | None = None, *, timeout: float | None = None
    ) -> None:
        """Waits until as many idle pods are ready as are wanted.

        Args:
            name: The pool.
            poll_interval: Not used: changes are watched.
            timeout: Seconds; by default those of the manager.

        Raises:
            PoolNotFound: There is none of this name.
            PoolNotReady: It was not ready in time; the message says why.
        """
        limit = self.timeout if timeout is None else timeout
        _log.info("waiting for WarmPool %s", name)
        wait_pool_ready(self.connection, self.namespace, name, limit)
        _log.info("WarmPool %s is ready", name)
