"""Use that is no task: shells, transfers and ports keep their sandbox by an annotation, at most once in 30 seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from arl.errors import ArlError

EVERY_S = 30.0

_log = logging.getLogger("arl")


class Use:
    """Of one sandbox; ``with`` it, it is in use.

    Args:
        renew: Writes the annotation.
    """

    def __init__(self, renew: Callable[[], None]) -> None:
        self._renew = renew
        self._lock = threading.Lock()
        self._users = 0
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._last = float("-inf")

    def __enter__(self) -> Use:
        with self._lock:
            self._users += 1
            if self._thread is None:
                self._wake.clear()
                self._thread = threading.Thread(target=self._run, name="arl-use", daemon=True)
                self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._wake.set()

    def _due(self) -> float:
        return self._last + EVERY_S - time.monotonic()

    def _run(self) -> None:
        while True:
            with self._lock:
                due = self._due()
                if due > 0 and not self._users:
                    self._thread = None
                    return
                self._wake.clear()
                if due <= 0:
                    self._last = time.monotonic()
            if due <= 0:
                self._write()
            else:
                self._wake.wait(due)

    def _write(self) -> None:
        try:
            self._renew()
        except ArlError as e:
            _log.warning("use of a sandbox could not be told: %s", e)
