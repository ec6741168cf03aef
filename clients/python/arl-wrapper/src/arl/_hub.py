"""Waiting for objects: one list and watch for all waits of a process, a kind and a namespace.

A wait is a Future, so that threads and asyncio wait for it alike. A wait costs no request. The objects that a process
makes carry its label; others are watched one by one, for as long as somebody waits.

States of a watcher's thread:

    list --ok--> watch --end of stream--> watch (from the last resourceVersion; after a pause if it came soon)
     ^             |
     |             +--cut, after a pause--> watch; list if nothing had come again and again
     |             +--410 or an ERROR event--> list (after a pause if it comes again)
     +--error, after a pause--+
"""

from __future__ import annotations

import atexit
import json
import os
import random
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from kubernetes import client

from arl._connection import BROKEN, CONNECT_TIMEOUT_S, RETRY_S, Connection, retry_after
from arl._event import Event
from arl._fork import in_child
from arl._names import CLIENT_LABEL, client_id
from arl._ops import settle
from arl.errors import ArlError, from_api

# The server ends a watch after so long; a connection that has died without a word is noticed a little later.
WATCH_S = (50, 70)
SILENCE_S = 80
PAUSE_FIRST_S = 0.2
PAUSE_MAX_S = 5.0
# Errors other than a busy or absent server end the waits, since nobody else would tell.
FATAL = (401, 403, 404)
FATAL_TRIES = 3
# The server does not end a watch so soon: whoever has done it may do so at once again.
SHORT_S = 5.0
# So many watches in a row broke off before a whole event had come: what stands in its way may let a list through.
BARREN_MAX = 3
# Objects of one name that are told of before it is known which of them is waited for.
UNKNOWN_MAX = 4
# How long what did not come in time is asked why.
LAST_LOOK_S = 5.0
# The end of the process waits so long for all threads together.
EXIT_S = 1.0

Object = dict[str, Any]
# Looks at an object; a result other than None ends the wait, an ArlError fails it. None for the object: it is gone.
Look = Callable[[Object | None], Any]


class Wait:
    """One wait for one object.

    Attributes:
        future: Its end.
    """

    def __init__(self, name: str, look: Look, uid: str | None) -> None:
        self.name = name
        self.uid = uid
        self.future: Future[Any] = Future()
        self._look = look
        # The last state of each UID, while that of the object is not known; None: it is gone.
        self._unknown: dict[str, Object | None] = {}
        self._lock = threading.RLock()
        self._exists_since = time.monotonic() if uid else None

    def exists(self, obj: Object) -> None:
        """The object has been made, or read: from now on a list without it means that it is gone."""
        uid = obj["metadata"]["uid"]
        with self._lock:
            self.uid = uid
            self._exists_since = time.monotonic()
            told, last = uid in self._unknown, self._unknown.pop(uid, None)
            self._unknown.clear()
            self._end(obj)
            if told:
                self._end(last)

    def take(self, obj: Object) -> None:
        """Looks at a state of the object, or of another one of its name."""
        self._told(obj["metadata"]["uid"], obj)

    def gone(self, uid: str) -> None:
        """The object, or another one of its name, was deleted."""
        self._told(uid, None)

    def _told(self, uid: str, obj: Object | None) -> None:
        with self._lock:
            if self.uid is None:  # an earlier one of this name may still be told of
                self._unknown.pop(uid, None)
                self._unknown[uid] = obj
                if len(self._unknown) > UNKNOWN_MAX:
                    del self._unknown[next(iter(self._unknown))]
            elif uid == self.uid:
                self._end(obj)

    def _end(self, obj: Object | None) -> None:
        if self.future.done():
            return
        try:
            result = self._look(obj)
        except Exception as e:
            self.fail(e)
            return
        if result is not None:
            settle(lambda: self.future.set_result(result))

    def missing(self, listed_at: float) -> None:
        """A list that was asked for at this time does not have it."""
        if self._exists_since is not None and self._exists_since < listed_at:
            self._end(None)

    def fail(self, error: BaseException) -> None:
        """Ends the wait with an error."""
        settle(lambda: self.future.set_exception(error))


class Watcher:
    """A thread that lists and watches objects of one kind in one namespace."""

    def __init__(
        self,
        connection: Connection,
        namespace: str,
        plural: str,
        selector: Mapping[str, str],
        lasting: bool = True,
    ) -> None:
        self._connection = connection
        self._lasting = lasting
        self._response: Any = None  # that its thread reads
        self._nobody = Event()  # waits any more, if it does not last, or the process ends
        self._over = False  # the process ends
        self._namespace = namespace
        self._plural = plural
        self._selector = dict(selector)
        # A wait may be freed, and so end, while its thread is in here.
        self._lock = threading.RLock()
        self._waits: dict[str, list[Wait]] = {}
        self._thread: threading.Thread | None = None
        self._refusals = 0  # one after the other
        self._barren = 0  # watches that brought nothing, one after the other
        self._renewed = False  # the credentials, since the last request that was allowed
        self.requests = 0

    def add(self, wait: Wait) -> None:
        """Begins a wait; the thread is started if it does not run."""
        with self._lock:
            self._waits.setdefault(wait.name, []).append(wait)
            self._over = False
            self._nobody.clear()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=f"arl-watch-{self._plural}", daemon=True)
                self._thread.start()
                _watchers.add(self)
        wait.future.add_done_callback(lambda _: self._remove(wait))

    def _remove(self, wait: Wait) -> None:
        with self._lock:
            waits = self._waits.get(wait.name, [])
            if wait in waits:
                waits.remove(wait)
            if not waits:
                self._waits.pop(wait.name, None)
            if not self._waits and not self._lasting:
                self._wake()

    def _wake(self) -> None:
        """From what its thread waits for; with the lock."""
        self._nobody.set()
        _sever(self._response)

    def stop(self) -> threading.Thread | None:
        """Ends its thread, as soon as it is between two answers, until the next wait begins."""
        with self._lock:
            self._over = True
            self._wake()
            return self._thread

    def _all(self) -> list[Wait]:
        with self._lock:
            return [w for waits in self._waits.values() for w in waits]

    def _of(self, name: str) -> list[Wait]:
        with self._lock:
            return list(self._waits.get(name, ()))

    def _idle(self) -> bool:
        """Whether the thread may end: nobody waits, or the process ends."""
        with self._lock:
            if self._waits and not self._over:
                return False
            self._thread = None
            return True

    def _run(self) -> None:
        version: str | None = None
        pause = PAUSE_FIRST_S
        expired = 0  # versions that were too old, one after the other
        what = f"watching {self._plural} in namespace {self._namespace}"
        while not self._idle():
            used = self._connection.api_client
            try:
                if version is None or self._barren >= BARREN_MAX:
                    version = self._list()
                    if self._nobody.is_set():
                        continue
                began = time.monotonic()
                for event in self._watch(version):
                    version = self._take(event, version)
                    pause, self._barren, expired = PAUSE_FIRST_S, 0, 0
                if time.monotonic() - began > SHORT_S:
                    pause, self._barren, expired = PAUSE_FIRST_S, 0, 0
                    continue
            except client.ApiException as e:
                error = from_api(e, what, custom=True)
                if e.status == 401 and not self._renewed and self._connection.renew(used):
                    self._renewed = True
                    continue
                pause = max(pause, min(retry_after(e) or 0.0, RETRY_S))
                if e.status == 410:
                    version = None
                    expired += 1
                    if expired == 1:
                        continue
                self._refusals = self._refusals + 1 if e.status in FATAL else 0
                if self._refusals >= FATAL_TRIES:
                    self._refusals = 0
                    self._fail(error)
            except BROKEN:
                pass
            except Exception as e:  # so that no wait hangs
                self._fail(self._connection.unreachable(what, e))
            self._nobody.wait(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, PAUSE_MAX_S)

    def _fail(self, error: ArlError) -> None:
        for wait in self._all():
            wait.fail(error)

    def _request(self, read_timeout: float, **options: Any) -> Any:
        self.requests += 1
        response = self._connection.custom.list_namespaced_custom_object(
            *self._connection._where(self._namespace, self._plural),
            _preload_content=False,
            _request_timeout=(CONNECT_TIMEOUT_S, read_timeout),
            **self._selector,
            **options,
        )
        self._refusals, self._renewed = 0, False
        with self._lock:
            self._response = response
            if self._nobody.is_set():
                _sever(response)
        return response

    def _list(self) -> str:
        began = time.monotonic()
        response = self._request(SILENCE_S)
        try:
            answer = json.loads(response.data)
        finally:
            self._response = None
            response.release_conn()
        self._barren = 0
        objects = {obj["metadata"]["name"]: obj for obj in answer["items"]}
        for wait in self._all():
            obj = objects.get(wait.name)
            if obj is None or wait.uid not in (None, obj["metadata"]["uid"]):
                wait.missing(began)
            else:
                wait.take(obj)
        return str(answer["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> Iterator[Any]:
        response = self._request(
            SILENCE_S,
            watch=True,
            allow_watch_bookmarks=True,
            resource_version=version,
            timeout_seconds=random.randint(*WATCH_S),
        )
        self._barren += 1
        rest = b""
        try:
            for data in response.stream(amt=None, decode_content=False):
                *lines, rest = (rest + data).split(b"\n") if b"\n" in data else [rest + data]
                for line in lines:
                    if line.strip():
                        yield json.loads(line)
            if rest.strip():
                raise ValueError("the watch ended within an event")
        finally:
            self._response = None
            response.close()
            response.release_conn()

    def _take(self, event: Any, version: str) -> str:
        """The resourceVersion to go on from."""
        try:
            kind, obj = event["type"], event["object"]
            if kind == "ERROR":  # whatever it is, a list is what helps
                raise client.ApiException(status=410)
            meta = obj["metadata"]
            if kind in ("ADDED", "MODIFIED"):
                for wait in self._of(meta["name"]):
                    wait.take(obj)
            elif kind == "DELETED":
                for wait in self._of(meta["name"]):
                    wait.gone(meta["uid"])
            return str(meta.get("resourceVersion") or version)
        except (AttributeError, KeyError, TypeError) as e:
            raise ValueError("no event") from e


def _sever(response: Any) -> None:
    """Wakes the thread that reads this answer."""
    # The socket of http.client: later versions of urllib3 alone can do it themselves.
    sock = getattr(getattr(getattr(getattr(response, "_fp", None), "fp", None), "raw", None), "_sock", None)
    if isinstance(sock, socket.socket):
        try:
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            pass  # it is closed


class Hub:
    """All waits of a process in one cluster."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._watchers: dict[tuple[str, ...], Watcher] = {}

    def wait_own(self, namespace: str, plural: str, name: str, look: Look) -> Wait:
        """Waits for an object that this process is about to make, with its label. See ``Wait.exists``."""
        key = (namespace, plural, client_id())
        with self._lock:
            watcher = self._watchers.get(key)
            if watcher is None:
                selector = {"label_selector": f"{CLIENT_LABEL}={client_id()}"}
                watcher = self._watchers[key] = Watcher(self._connection, namespace, plural, selector)
        wait = Wait(name, look, None)
        watcher.add(wait)
        return wait

    def wait_for(self, namespace: str, plural: str, name: str, look: Look, *, deadline: float | None = None) -> Wait:
        """Waits for an object that is there, whoever has made it; NotFound. It is found before this deadline."""
        wait = Wait(name, look, None)
        obj = self._connection.get(namespace, plural, name, deadline=deadline)
        wait.exists(obj)
        if not wait.future.done():
            Watcher(self._connection, namespace, plural, {"field_selector": f"metadata.name={name}"}, False).add(wait)
        return wait


_watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()
_hubs: dict[int, tuple[int, Hub]] = {}
_hubs_lock = threading.Lock()


def _forked() -> None:
    global _hubs_lock
    _hubs_lock = threading.Lock()
    _hubs.clear()
    _watchers.clear()


in_child(_forked)


@atexit.register
def _at_exit() -> None:
    """A thread that is in a request while Python ends may abort the process."""
    until = time.monotonic() + EXIT_S
    for thread in [watcher.stop() for watcher in list(_watchers)]:
        if thread is not None:
            thread.join(max(0.0, until - time.monotonic()))


def hub(connection: Connection) -> Hub:
    """The hub of this connection; a forked child has one of its own, since threads do not come along."""
    with _hubs_lock:
        pid, known = _hubs.get(id(connection), (0, None))
        if known is None or pid != os.getpid():
            known = Hub(connection)
            _hubs[id(connection)] = (os.getpid(), known)
        return known
