"""Deletes the sandboxes that a process still has when it ends, by exit or SIGTERM.

After SIGKILL their idle time does it; so it does for those that are not deleted within EXIT_S, as of a cluster that is
away.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import FrameType

from arl._fork import in_child

# All deletions together have so many seconds.
EXIT_S = 30.0
# So many at once.
_AT_ONCE = 32
# What a request may take beyond its deadline: one is always made.
_LATE_S = 3.0
# Deletes a sandbox before this deadline, on the clock of time.monotonic.
Delete = Callable[[float], object]

_log = logging.getLogger("arl")
_lock = threading.Lock()
_open: dict[str, tuple[int, Delete]] = {}
_installed = False
_on_sigterm = False
_warned = False


def _forked() -> None:
    global _lock
    _lock = threading.Lock()


in_child(_forked)


def remember(key: str, delete: Delete) -> None:
    """Calls this at the end of the process, unless it is forgotten before."""
    with _lock:
        _open[key] = (os.getpid(), delete)
    install()


def install() -> None:
    """Sees to what is remembered at the end of the process, also by SIGTERM if nobody else does something then.

    Only the main thread may say what a signal does: from another one it is left to the next call there, with a warning.
    """
    global _installed, _on_sigterm, _warned
    with _lock:
        if not _installed:
            _installed = True
            atexit.register(_at_exit)
        if _on_sigterm or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return
        warn = not _warned
        try:
            signal.signal(signal.SIGTERM, _on_term)
            _on_sigterm = True
            return
        except ValueError:  # not in the main thread
            _warned = True
    if warn:
        _log.warning(
            "SIGTERM ends this process without deleting its sandboxes, which stay for their idle time, until the main "
            "thread makes a sandbox or calls arl.map; or set a handler of your own, as by signal.signal(SIGTERM, "
            "lambda *_: sys.exit(143)) there"
        )


def forget(key: str) -> None:
    """It is deleted already."""
    with _lock:
        _open.pop(key, None)


def _on_term(signum: int, frame: FrameType | None) -> None:
    sys.exit(128 + signum)


def _at_exit() -> None:
    with _lock:
        mine = [delete for pid, delete in _open.values() if pid == os.getpid()]
        _open.clear()
    delete_all(mine)


def delete_all(deletes: Sequence[Delete]) -> None:
    """Calls all of these, some at once, for EXIT_S at most; what cannot be deleted is told on standard error."""
    until = time.monotonic() + EXIT_S
    left = deque(deletes)
    threads = [
        threading.Thread(target=_delete_each, args=(left, until), name="arl-delete", daemon=True)
        for _ in range(min(_AT_ONCE, len(left)))
    ]
    started = [thread for thread in threads if _start(thread)]
    for thread in started:
        thread.join(max(0.0, until + _LATE_S - time.monotonic()))
    count = len(left) + sum(thread.is_alive() for thread in started)
    if count:
        _tell(f"{count} sandboxes are", f"they were not deleted within {EXIT_S:g} s")


def _start(thread: threading.Thread) -> bool:
    """Starts it; False: no thread may begin any more, as in Python 3.12.0 and 3.12.1, and its work is done."""
    try:
        thread.start()
    except RuntimeError:
        thread.run()
        return False
    return True


def _delete_each(left: deque[Delete], until: float) -> None:
    while time.monotonic() < until:
        try:
            delete = left.popleft()
        except IndexError:
            return
        try:
            delete(until)
        except Exception as e:  # the process ends: there is nobody to raise it to
            if time.monotonic() < until + _LATE_S:
                _tell("a sandbox is", str(e))


def _tell(what: str, why: str) -> None:
    # With its end in one write: other threads say something, too.
    print(f"arl: {what} left behind until the idle time is over: {why}\n", end="", file=sys.stderr)
