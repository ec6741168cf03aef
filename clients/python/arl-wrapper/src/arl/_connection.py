"""The connection to a cluster: which one, and requests that are repeated where that can do no harm."""

from __future__ import annotations

import copy
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from kubernetes import client
from kubernetes import config as _config

from arl import _arguments
from arl._event import Event
from arl._fork import in_child
from arl._names import CLIENT_LABEL
from arl._scope import check_scope, gone
from arl.errors import ArlError, ClusterUnreachable, NotConfigured, ServerBusy, from_api

GROUP = "arl.infra.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
# Connections that are kept open; more callers at once open further ones for a moment.
POOL_SIZE = 64
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
# How long a request is repeated while the API server does not answer or is too busy.
RETRY_S = 30.0
# How long a request may take with all its repetitions where its caller has no limit of his own.
REQUEST_S = 60.0
# How long what a request may have made is looked for, if the caller has that much time.
LOST_S = 120.0
RETRY_FIRST_S = 0.2
RETRY_MAX_S = 5.0
NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

# Partly without types.
config: Any = _config

# What ends a request without an answer of the API server, also where a proxy has given one, or a file with a token is
# being written.
BROKEN = (urllib3.exceptions.HTTPError, OSError, ValueError, config.ConfigException)
# Of these: there was no connection, and so no request.
NOT_SENT = (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)

T = TypeVar("T")

_lock = threading.Lock()
_shared: dict[tuple[str | None, str | None], Connection] = {}
_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _forked() -> None:
    """Two processes that talk over one connection get each other's answers."""
    global _lock
    _lock = threading.Lock()
    for connection in list(_connections):
        connection._renewing = threading.Lock()
        manager = connection.api_client.rest_client.pool_manager
        manager.pools.lock = threading.RLock()
        manager.clear()


in_child(_forked)


@dataclass(frozen=True)
class Source:
    """Where a cluster's address and the caller's credentials are from.

    Attributes:
        settings: What was found there.
        namespace: The namespace of the kubeconfig's context, or of the pod that this runs in.
        origin: The place, for people.
        again: Finds what is there now; raises NotConfigured.
    """

    settings: Any
    namespace: str
    origin: str
    again: Callable[[], Source]


def _from_pod() -> Source | None:
    """The service account of the pod that this runs in; None: it runs in none."""
    settings = client.Configuration()
    try:
        config.load_incluster_config(client_configuration=settings)
    except (config.ConfigException, OSError):
        return None
    namespace = NAMESPACE_FILE.read_text().strip() if NAMESPACE_FILE.exists() else ""
    return Source(settings, namespace or "default", "the service account of this pod", lambda: _find(None))


def _from_kubeconfig(file: str, context: str | None) -> Source:
    settings = client.Configuration()
    try:
        config.load_kube_config(file, context=context, client_configuration=settings)
        contexts, active = config.list_kube_config_contexts(file)
        chosen = active if context is None else next(c for c in contexts if c["name"] == context)
        name, namespace = chosen["name"], chosen["context"].get("namespace")
    except Exception as e:  # whatever a text that is no kubeconfig may lead to
        raise NotConfigured(
            f"no cluster is configured: {file}: {e}",
            hint="Set KUBECONFIG to a kubeconfig file (kubectl config view shows the one in use).",
        ) from e
    # The same context, also where another one has become the current one.
    again = lambda: _from_kubeconfig(file, name)  # noqa: E731
    return Source(settings, namespace or "default", f"the context {name} of {file}", again)


def _find(context: str | None) -> Source:
    # By default the official package goes by what was set when it was imported.
    file = os.environ.get("KUBECONFIG") or "~/.kube/config"
    return (_from_pod() if context is None else None) or _from_kubeconfig(file, context)


def _own(api_client: client.ApiClient) -> client.ApiClient:
    """The same client, whose connections repeat nothing: what may be done twice is decided here."""
    own = copy.copy(api_client)
    own.configuration = copy.copy(api_client.configuration)
    own.configuration.retries = False
    own.configuration.client_go_retries = False
    own.configuration.connection_pool_maxsize = POOL_SIZE
    own.rest_client = client.rest.RESTClientObject(own.configuration)
    return own


def _credentials(settings: Any) -> list[Any]:
    names = ("api_key", "username", "password", "cert_file", "key_file", "ssl_ca_cert")
    return [getattr(settings, name, None) for name in names]


class Connection:
    """A cluster, and the namespace that is meant when none is named.

    Args:
        api_client: The configured client of the official package.
        namespace: The namespace of the kubeconfig's context, or of the pod that this runs in.
        source: Where both are from, if the credentials can be read again.
    """

    def __init__(
        self, api_client: client.ApiClient, namespace: str = "default", *, source: Source | None = None
    ) -> None:
        self.namespace = namespace
        self._source = source
        self._renewing = threading.Lock()
        self.api_client: client.ApiClient
        # Some versions of the official package have types, and not the same ones.
        self.custom: Any
        self._talk_by(api_client)
        _connections.add(self)

    def _talk_by(self, api_client: client.ApiClient) -> None:
        self.api_client = _own(api_client)
        self.custom = client.CustomObjectsApi(self.api_client)

    @classmethod
    def load(cls, context: str | None = None) -> Connection:
        """The cluster of this process: that of its pod, else of its kubeconfig. Shared by all who ask.

        Raises:
            NotConfigured: There is neither.
        """
        key = (os.environ.get("KUBECONFIG"), context)
        with _lock:
            if key not in _shared:
                source = _find(context)
                _shared[key] = cls(client.ApiClient(source.settings), source.namespace, source=source)
            return _shared[key]

    @classmethod
    def load_as_default(cls) -> Connection:
        """The same, and what the official package uses by default, as callers of arl-env are used to."""
        connection = cls.load()
        source = connection._source
        client.Configuration.set_default(source.settings if source else connection.api_client.configuration)
        return connection

    def renew(self, refused: client.ApiClient) -> bool:
        """Reads the credentials again, since those of this client are not valid any more.

        Returns:
            Whether there are others now.
        """
        with self._renewing:
            if self.api_client is not refused:  # another thread has done it
                return True
            if self._source is None:
                return False
            try:
                found = self._source.again()
            except NotConfigured:  # it is being written
                return False
            # Objects of one cluster must not be looked for in another.
            if found.settings.host != self._source.settings.host:
                return False
            if _credentials(found.settings) == _credentials(refused.configuration):
                return False
            self._source = found
            self._talk_by(client.ApiClient(found.settings))
            return True

    def call(
        self,
        what: str,
        fn: Callable[[], T],
        *,
        deadline: float | None = None,
        patience: float | None = None,
        custom: bool = False,
        cleans_up: bool = False,
    ) -> T:
        """Makes a request, again while the API server does not answer or is too busy.

        Only for what does no harm when it is done twice. Credentials that are not valid any more are read again once.

        Args:
            what: Begins the message of an error.
            fn: The request.
            deadline: On the clock of ``time.monotonic``.
            patience: Seconds after which it is given up in any case; by default RETRY_S.
            custom: It is for one of arl's own kinds.
            cleans_up: It is made and repeated also for a caller who has gone.
        """
        until = time.monotonic() + (RETRY_S if patience is None else patience)
        if deadline is not None:
            until = min(until, deadline)
        pause, renewed = RETRY_FIRST_S, False
        if not cleans_up:
            check_scope()
        going = gone.get()
        if going is None or going.is_set() or cleans_up:
            going = Event()
        while True:
            error: ArlError
            after, used = None, self.api_client
            try:
                return fn()
            except ArlError:
                raise
            except client.ApiException as e:
                if e.status == 401 and not renewed and self.renew(used):
                    renewed = True
                    continue
                error = from_api(e, what, custom=custom) if e.status else self.unreachable(what, e.reason)
                error.__cause__ = e
                if not isinstance(error, ServerBusy):
                    raise error from e
                after = retry_after(e)
            except BROKEN as e:
                error = self.unreachable(what, e)
                error.__cause__ = e
            wait = max(after or 0.0, pause * random.uniform(0.5, 1.5))
            # A server that says when to come is waited for as long as the caller has time.
            if time.monotonic() + wait >= (until if after is None or deadline is None else deadline):
                raise error
            if going.wait(wait):
                check_scope()
                raise error
            pause = min(2 * pause, RETRY_MAX_S)

    def unreachable(self, what: str, why: object) -> ClusterUnreachable:
        """The error for a server that does not answer; it says which one that is, and who says so."""
        host = self.api_client.configuration.host
        origin = f"Its address is from {self._source.origin}. " if self._source else ""
        return ClusterUnreachable(
            f"{what}: no answer from the API server {host}: {why}",
            hint=f"{origin}Is the cluster up, and is KUBECONFIG the right one?",
        )

    def _where(self, namespace: str, plural: str) -> tuple[str, str, str, str]:
        return GROUP, VERSION, _arguments.label("namespace", namespace), plural

    def create(
        self, namespace: str, plural: str, body: Mapping[str, Any], *, deadline: float | None = None
    ) -> dict[str, Any]:
        """Creates an object; one that an earlier try has made, by its label CLIENT_LABEL, is what it returns.

        So is one whose answers were all lost, if it can be found before the deadline.
        """
        deadline = _or_soon(deadline)
        name = body["metadata"]["name"]
        label = body["metadata"].get("labels", {}).get(CLIENT_LABEL)
        lost = False  # the answer to a try that may have made it

        def post() -> dict[str, Any]:
            nonlocal lost
            try:
                return _object(
                    self.custom.create_namespaced_custom_object(
                        *self._where(namespace, plural), body=body, _request_timeout=_limits(deadline)
                    )
                )
            except client.ApiException as e:
                if e.status != 409 or not lost or label is None:
                    lost = lost or _may_have_been_done(e)
                    raise
                there = self.get(namespace, plural, name, deadline=deadline)
                if not _is_of(there, label):
                    raise
                return there
            except BROKEN as e:
                lost = lost or not isinstance(e, NOT_SENT)
                raise

        try:
            return self.call(f"creating {plural}/{name} in namespace {namespace}", post, deadline=deadline, custom=True)
        except ClusterUnreachable:
            going = gone.get()
            if not lost or label is None or (going is not None and going.is_set()):
                raise
            try:
                there = self.get(namespace, plural, name, deadline=deadline, patience=LOST_S)
            except ArlError:
                there = {}
            if not _is_of(there, label):
                raise
            return there

    def get(
        self,
        namespace: str,
        plural: str,
        name: str,
        *,
        deadline: float | None = None,
        patience: float | None = None,
    ) -> dict[str, Any]:
        """Reads an object; NotFound."""
        deadline = _or_soon(deadline)
        return self.call(
            f"reading {plural}/{name} in namespace {namespace}",
            lambda: _object(
                self.custom.get_namespaced_custom_object(
                    *self._where(namespace, plural),
                    _arguments.object_name("name", name),
                    _request_timeout=_limits(deadline),
                )
            ),
            deadline=deadline,
            patience=patience,
            custom=True,
        )

    def list(self, namespace: str, plural: str, *, deadline: float | None = None, **options: Any) -> dict[str, Any]:
        """Lists objects."""
        deadline = _or_soon(deadline)

        def ask() -> dict[str, Any]:
            answer: dict[str, Any] = self.custom.list_namespaced_custom_object(
                *self._where(namespace, plural), _request_timeout=_limits(deadline), **options
            )
            if not isinstance(answer, dict) or not isinstance(answer.get("items"), Sequence):
                raise ValueError("the answer is no list")
            return answer

        return self.call(f"listing {plural} in namespace {namespace}", ask, deadline=deadline, custom=True)

    def patch(
        self, namespace: str, plural: str, name: str, body: Mapping[str, Any], *, deadline: float | None = None
    ) -> dict[str, Any]:
        """Applies a merge patch that may be applied twice; NotFound."""
        deadline = _or_soon(deadline)
        return self.call(
            f"changing {plural}/{name} in namespace {namespace}",
            lambda: _object(
                self.custom.patch_namespaced_custom_object(
                    *self._where(namespace, plural),
                    _arguments.object_name("name", name),
                    body,
                    _request_timeout=_limits(deadline),
                )
            ),
            deadline=deadline,
            custom=True,
            cleans_up=True,  # as it ends tasks
        )

    def delete(
        self, namespace: str, plural: str, name: str, uid: str | None = None, *, deadline: float | None = None
    ) -> bool:
        """Deletes an object, if it is still the one with this UID; False if there is none."""
        deadline = _or_soon(deadline)
        options = {"body": client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=uid))} if uid else {}
        lost = False  # the answer to a try that may have deleted it

        def remove() -> bool:
            nonlocal lost
            try:
                self.custom.delete_namespaced_custom_object(
                    *self._where(namespace, plural),
                    _arguments.object_name("name", name),
                    _request_timeout=_limits(deadline),
                    **options,
                )
                return True
            except client.ApiException as e:
                if e.status == 404 or (e.status == 409 and uid):
                    return lost
                lost = lost or _may_have_been_done(e)
                raise
            except BROKEN as e:
                lost = lost or not isinstance(e, NOT_SENT)
                raise

        what = f"deleting {plural}/{name} in namespace {namespace}"
        return self.call(what, remove, deadline=deadline, custom=True, cleans_up=True)


def _or_soon(deadline: float | None) -> float:
    """The caller's deadline, or that of a caller who has none."""
    return time.monotonic() + REQUEST_S if deadline is None else deadline


def _limits(deadline: float) -> tuple[float, float]:
    """How long a request may take to connect and to be answered; one is always made."""
    left = max(deadline - time.monotonic(), 1.0)
    return min(CONNECT_TIMEOUT_S, left), min(READ_TIMEOUT_S, left)


def _object(answer: Any) -> dict[str, Any]:
    """What a proxy says in the API server's place is no object."""
    if not isinstance(answer, dict) or not isinstance(answer.get("metadata"), dict):
        raise ValueError("the answer is no object")
    return answer


def _is_of(obj: Mapping[str, Any], label: str) -> bool:
    """Whether the process with this label has made it."""
    labels = obj.get("metadata", {}).get("labels") or {}
    return bool(labels.get(CLIENT_LABEL) == label)


def _may_have_been_done(error: client.ApiException) -> bool:
    """A server that fails may have done it before."""
    return not error.status or error.status >= 500


def retry_after(error: client.ApiException) -> float | None:
    """The seconds after which the server wants to be asked again; None: it does not say."""
    headers = getattr(error, "headers", None)
    try:
        after = float(headers["Retry-After"]) if headers else -1.0
    except (KeyError, TypeError, ValueError):
        return None
    return after if after >= 0 else None  # nan is not
