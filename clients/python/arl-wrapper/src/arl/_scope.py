"""What one caller waits for, and how another thread breaks it off."""

from __future__ import annotations

import contextvars
import threading
import time
import weakref
from collections.abc import Callable

from arl._event import Event


class BrokenOff(BaseException):
    """In a thread whose scope was cancelled. As with Ctrl-C, no ``except Exception`` goes on from there."""


class Scope:
    """What one caller waits for, so that another thread can break it off.

    Attributes:
        gone: Set when it was broken off.
    """

    def __init__(self) -> None:
        # What is freed while its thread is in here may cancel it.
        self._lock = threading.RLock()
        self._aborts: list[weakref.WeakMethod[Callable[[], object]]] = []
        self._tokens: tuple[contextvars.Token[Scope | None], contextvars.Token[Event | None]] | None = None
        self.gone = Event()

    @property
    def canceled(self) -> bool:
        """Whether it was broken off."""
        return self.gone.is_set()

    def add(self, abort: Callable[[], object]) -> None:
        """This method ends a wait; its object may go before."""
        with self._lock:
            self._aborts = [a for a in self._aborts if a() is not None]
            self._aborts.append(weakref.WeakMethod(abort))
            canceled = self.canceled
        if canceled:
            abort()

    def cancel(self) -> None:
        """Breaks off what is waited for, and what will be."""
        with self._lock:
            self.gone.set()
            aborts = [a() for a in self._aborts]
        for abort in aborts:
            if abort is not None:
                abort()

    def context(self) -> contextvars.Context:
        """That of who asks, with this scope, for another thread."""
        context = contextvars.copy_context()
        context.run(_scope.set, self)
        context.run(gone.set, self.gone)
        return context

    def __enter__(self) -> Scope:
        self._tokens = _scope.set(self), gone.set(self.gone)
        return self

    def __exit__(self, *_: object) -> None:
        if self._tokens is not None:
            _scope.reset(self._tokens[0])
            gone.reset(self._tokens[1])


_scope: contextvars.ContextVar[Scope | None] = contextvars.ContextVar("arl_scope", default=None)
# Set when a caller has gone. What he had begun is not asked again then, but for what cleans up.
gone: contextvars.ContextVar[Event | None] = contextvars.ContextVar("arl_gone", default=None)


def in_scope(abort: Callable[[], object]) -> None:
    """Lets the caller's scope, if there is one, break off a wait by this method."""
    scope = _scope.get()
    if scope is not None:
        scope.add(abort)


def check_scope() -> None:
    """Raises BrokenOff if this caller's waits were broken off."""
    scope = _scope.get()
    if scope is not None and scope.canceled:
        raise BrokenOff


def pause(seconds: float) -> None:
    """Waits so long, unless this caller's waits are broken off; BrokenOff."""
    scope = _scope.get()
    if scope is None:
        time.sleep(seconds)
    else:
        scope.gone.wait(seconds)
        check_scope()
