"""An event that may be set at any moment, by whatever is freed then."""

from __future__ import annotations

import time
from queue import Empty, SimpleQueue


class Event:
    """As that of ``threading``, but its own thread may set it while it is in here.

    Python frees objects wherever its thread is: what they set then, by a finalizer, would wait for the lock that the
    event of ``threading`` holds. ``SimpleQueue`` is made for that.
    """

    def __init__(self) -> None:
        self._set = False
        self._bell: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """Whether it is."""
        return self._set

    def set(self) -> None:
        """Wakes who waits, and whoever will."""
        if not self._set:
            self._set = True
            self._bell.put(None)

    def clear(self) -> None:
        """From now on it is waited for again. Not while another thread may set it and its word must count."""
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until it is set, for so many seconds at most; whether it is."""
        until = None if timeout is None else time.monotonic() + timeout
        while not self._set:
            try:
                self._bell.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except Empty:
                break
            if self._set:
                self._bell.put(None)  # others may wait, too
        return self._set
