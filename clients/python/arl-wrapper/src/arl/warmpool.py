"""Pools, as the callers of arl-env know them: dicts, and the errors of the official package."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

from kubernetes import client

from arl._connection import API_VERSION, GROUP, VERSION, Connection
from arl.pool import wait_pool_ready
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

    def _where(self) -> tuple[str, str, str, str]:
        return GROUP, VERSION, self.namespace, "warmpools"

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
            sidecar_image: Not needed: the cluster has one of its own. Kept for pools of operators that ask for it.
            replicas: Idle pods to keep ready.
            command: The main program; by default one that sleeps.
            workspace_path: Where the volume ``workspace`` is mounted.
            testbed_path: Where a second volume is mounted, if at all.
            resources: Requests and limits of the container.

        Returns:
            The WarmPool.

        Raises:
            kubernetes.client.ApiException: The API server refuses it.
        """
        mounts = [{"name": "workspace", "mountPath": workspace_path}]
        volumes: list[dict[str, Any]] = [{"name": "workspace", "emptyDir": {}}]
        if testbed_path:
            mounts.append({"name": "testbed", "mountPath": testbed_path})
            volumes.append({"name": "testbed", "emptyDir": {}})
        executor: dict[str, Any] = {
            "name": "executor",
            "image": image,
            "command": list(DEFAULT_COMMAND) if command is None else command,
            "volumeMounts": mounts,
        }
        if resources:
            executor["resources"] = dict(resources)
        containers = [executor]
        if sidecar_image:
            containers.append({"name": "sidecar", "image": sidecar_image, "volumeMounts": mounts})
        body = {
            "apiVersion": API_VERSION,
            "kind": "WarmPool",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": containers, "volumes": volumes}}},
        }
        return cast(WarmPoolResource, self.connection.custom.create_namespaced_custom_object(*self._where(), body=body))

    def get_warmpool(self, name: str) -> WarmPoolResource:
        """Reads a pool.

        Raises:
            kubernetes.client.ApiException: With status 404 if there is none.
        """
        return cast(WarmPoolResource, self.connection.custom.get_namespaced_custom_object(*self._where(), name))

    def list_warmpools(self) -> list[WarmPoolResource]:
        """The pools of the namespace; one that nobody has looked at yet has the phase Pending."""
        items = self.connection.custom.list_namespaced_custom_object(*self._where())["items"]
        for item in items:
            item.setdefault("status", {}).setdefault("phase", "Pending")
        return cast(list[WarmPoolResource], items)

    def delete_warmpool(self, name: str) -> None:
        """Deletes a pool with its idle pods.

        Raises:
            kubernetes.client.ApiException: With status 404 if there is none.
        """
        self.connection.custom.delete_namespaced_custom_object(*self._where(), name)

    def wait_for_warmpool_ready(
        self, name: str, poll_interval: float | None = None, *, timeout: float | None = None
    ) -> None:
        """Waits until as many idle pods are ready as are wanted.

        Args:
            name: The pool.
            poll_interval: Not needed: changes are watched.
            timeout: Seconds; by default those of the manager.

        Raises:
            PoolNotFound: There is none of this name.
            PoolNotReady: It was not ready in time; the message says why.
        """
        limit = self.timeout if timeout is None else timeout
        _log.info("waiting for WarmPool %s", name)
        wait_pool_ready(self.connection, self.namespace, name, limit)
        _log.info("WarmPool %s is ready", name)
