"""The connection to a cluster: which one, and requests that are repeated where that can do no harm."""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from kubernetes import client
from kubernetes import config as _config

from arl._fork import in_child
from arl._names import CLIENT_LABEL
from arl.errors import ArlError, ClusterUnreachable, NotConfigured, from_api

GROUP = "arl.infra.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
# Connections that are kept open; more callers at once open further ones for a moment.
POOL_SIZE = 64
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
# How long a request is repeated while the API server does not answer or is too busy.
RETRY_S = 30.0
RETRY_FIRST_S = 0.2
RETRY_MAX_S = 5.0
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

# Partly without types.
config: Any = _config

T = TypeVar("T")

_lock = threading.Lock()
_shared: dict[tuple[str | None, str | None], Connection] = {}
_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _forked() -> None:
    """Two processes that talk over one connection get each other's answers."""
    global _lock
    _lock = threading.Lock()
    for connection in list(_connections):
        manager = connection.api_client.rest_client.pool_manager
        manager.pools.lock = threading.RLock()
        manager.clear()


in_child(_forked)


class Connection:
    """A cluster, and the namespace that is meant when none is named.

    Args:
        api_client: The configured client of the official package.
        namespace: The namespace of the kubeconfig's context, or of the pod that this runs in.
    """

    def __init__(self, api_client: client.ApiClient, namespace: str = "default") -> None:
        self.api_client = api_client
        self.namespace = namespace
        # Some versions of the official package have types, and not the same ones.
        self.custom: Any = client.CustomObjectsApi(api_client)
        _connections.add(self)

    @classmethod
    def load(cls, context: str | None = None) -> Connection:
        """The cluster of this process: that of its pod, else of its kubeconfig. Shared by all who ask.

        Raises:
            NotConfigured: There is neither.
        """
        key = (os.environ.get("KUBECONFIG"), context)
        with _lock:
            if key not in _shared:
                _shared[key] = cls._load(context)
            return _shared[key]

    @classmethod
    def _load(cls, context: str | None) -> Connection:
        settings = client.Configuration()
        namespace = None
        try:
            if context is not None:
                raise config.ConfigException
            config.load_incluster_config(client_configuration=settings)
            if NAMESPACE_FILE.exists():
                namespace = NAMESPACE_FILE.read_text().strip()
        except config.ConfigException:
            # By default the official package goes by what was set when it was imported.
            file = os.environ.get("KUBECONFIG") or "~/.kube/config"
            try:
                config.load_kube_config(file, context=context, client_configuration=settings)
                contexts, active = config.list_kube_config_contexts(file)
                chosen = active if context is None else next(c for c in contexts if c["name"] == context)
                namespace = chosen["context"].get("namespace")
            except config.ConfigException as e:
                raise NotConfigured(
                    f"no cluster is configured: {e}",
                    hint="Set KUBECONFIG to a kubeconfig file (kubectl config view shows the one in use).",
                ) from e
        settings.connection_pool_maxsize = POOL_SIZE
        return cls(client.ApiClient(settings), namespace or "default")

    @classmethod
    def load_as_default(cls) -> Connection:
        """The same, and what the official package uses by default, as callers of arl-env are used to."""
        connection = cls.load()
        client.Configuration.set_default(connection.api_client.configuration)
        return connection

    def call(self, what: str, fn: Callable[[], T], *, deadline: float | None = None) -> T:
        """Makes a request, again while the API server does not answer or is too busy.

        Only for what does no harm when it is done twice. ``what`` begins the message of an error.
        """
        until = min(time.monotonic() + RETRY_S, deadline if deadline is not None else float("inf"))
        pause = RETRY_FIRST_S
        while True:
            error: ArlError
            after = None
            try:
                return fn()
            except client.ApiException as e:
                error = from_api(e, what)
                error.__cause__ = e
                if e.status != 429 and (e.status or 0) < 500:
                    raise error from e
                after = _retry_after(e)
            except urllib3.exceptions.HTTPError as e:
                error = ClusterUnreachable(f"{what}: {e}", hint="Is the cluster up, and is KUBECONFIG the right one?")
                error.__cause__ = e
            wait = after if after is not None else pause * random.uniform(0.5, 1.5)
            if time.monotonic() + wait >= until:
                raise error
            time.sleep(wait)
            pause = min(2 * pause, RETRY_MAX_S)

    def _where(self, namespace: str, plural: str) -> tuple[str, str, str, str]:
        return GROUP, VERSION, namespace, plural

    def create(self, namespace: str, plural: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Creates an object; one that an earlier try has made, by its label CLIENT_LABEL, is what it returns."""
        name = body["metadata"]["name"]
        label = body["metadata"].get("labels", {}).get(CLIENT_LABEL)
        lost = False  # the answer to a try that may have made it

        def post() -> dict[str, Any]:
            nonlocal lost
            try:
                made: dict[str, Any] = self.custom.create_namespaced_custom_object(
                    *self._where(namespace, plural), body=body, _request_timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
                )
                return made
            except client.ApiException as e:
                if e.status != 409 or not lost or label is None:
                    lost = lost or e.status != 429
                    raise
                there = self.get(namespace, plural, name)
                if there["metadata"].get("labels", {}).get(CLIENT_LABEL) != label:
                    raise
                return there
            except urllib3.exceptions.HTTPError:
                lost = True
                raise

        return self.call(f"creating {plural}/{name} in namespace {namespace}", post)

    def get(self, namespace: str, plural: str, name: str) -> dict[str, Any]:
        """Reads an object; NotFound."""
        return self.call(
            f"reading {plural}/{name} in namespace {namespace}",
            lambda: self.custom.get_namespaced_custom_object(
                *self._where(namespace, plural), name, _request_timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
            ),
        )

    def list(self, namespace: str, plural: str, **options: Any) -> dict[str, Any]:
        """Lists objects."""
        return self.call(
            f"listing {plural} in namespace {namespace}",
            lambda: self.custom.list_namespaced_custom_object(
                *self._where(namespace, plural), _request_timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S), **options
            ),
        )

    def patch(self, namespace: str, plural: str, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Applies a merge patch that may be applied twice; NotFound."""
        return self.call(
            f"changing {plural}/{name} in namespace {namespace}",
            lambda: self.custom.patch_namespaced_custom_object(
                *self._where(namespace, plural), name, body, _request_timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S)
            ),
        )

    def delete(self, namespace: str, plural: str, name: str, uid: str | None = None) -> bool:
        """Deletes an object, if it is still the one with this UID; False if there is none."""
        options = {"body": client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid))} if uid else {}

        def remove() -> bool:
            try:
                self.custom.delete_namespaced_custom_object(
                    *self._where(namespace, plural),
                    name,
                    _request_timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
                    **options,
                )
                return True
            except client.ApiException as e:
                if e.status == 404 or (e.status == 409 and uid):
                    return False
                raise

        return self.call(f"deleting {plural}/{name} in namespace {namespace}", remove)


def _retry_after(error: client.ApiException) -> float | None:
    headers = getattr(error, "headers", None)
    try:
        after = float(headers["Retry-After"]) if headers else -1.0
    except (KeyError, TypeError, ValueError):
        return None
    return min(after, RETRY_MAX_S) if after >= 0 else None  # nan is not
