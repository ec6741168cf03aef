"""Use that is no task: shells, transfers and ports keep their sandbox by an annotation, at most once in 30 seconds."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections.abc import Callable

from arl._event import Event
from arl._fork import in_child
from arl.errors import NotFound

EVERY_S = 30.0

_log = logging.getLogger("arl")
_uses: weakref.WeakSet[Use] = weakref.WeakSet()


def _forked() -> None:
    """A child uses nothing yet, and its parent's thread has not come along."""
    for use in list(_uses):
        use._reset()


in_child(_forked)


@atexit.register
def _at_exit() -> None:
    """A thread that writes a log while Python ends may abort the process."""
    for use in list(_uses):
        use._over = True


class Use:
    """Of one sandbox; ``with`` it, it is in use.

    Args:
        renew: Writes the annotation.
    """

    def __init__(self, renew: Callable[[], None]) -> None:
        self._renew = renew
        self._last = float("-inf")
        self._over = False  # it is gone, or the process ends
        self._reset()
        _uses.add(self)

    def _reset(self) -> None:
        # A shell may be freed, and so leave, while its thread is in here.
        self._lock = threading.RLock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._wake = Event()

    def __enter__(self) -> Use:
        with self._lock:
            if self._thread is None and not self._over:
                self._wake.clear()
                thread = threading.Thread(target=self._run, name="arl-use", daemon=True)
                thread.start()
                self._thread = thread
            self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users = max(0, self._users - 1)
            if not self._users:
                self._wake.set()

    def _due(self) -> float:
        return self._last + EVERY_S - time.monotonic()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._wake.clear()  # before it is looked who is left: who leaves later is heard
                due = self._due()
                if self._over or (due > 0 and not self._users):
                    self._thread = None
                    return
                if due <= 0:
                    self._last = time.monotonic()
            if due <= 0:
                self._write()
            else:
                self._wake.wait(due)

    def _write(self) -> None:
        try:
            self._renew()
        except NotFound:
            self._over = True
        except Exception as e:  # the next time may do
            if self._over:
                return
            _log.warning("use of a sandbox could not be told: %s", e)
