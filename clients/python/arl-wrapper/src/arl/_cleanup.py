"""Deletes the sandboxes that a process still has when it ends, by exit or SIGTERM.

After SIGKILL their idle time does it.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from arl._fork import in_child

_lock = threading.Lock()
_open: dict[str, tuple[int, Callable[[], object]]] = {}
_installed = False


def _forked() -> None:
    global _lock
    _lock = threading.Lock()


in_child(_forked)


def remember(key: str, delete: Callable[[], object]) -> None:
    """Calls this at the end of the process, unless it is forgotten before."""
    global _installed
    with _lock:
        _open[key] = (os.getpid(), delete)
        if _installed:
            return
        _installed = True
    atexit.register(_at_exit)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_term)


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
    threads = [threading.Thread(target=_quietly, args=(delete,)) for delete in mine]
    for start in range(0, len(threads), 32):
        batch = threads[start : start + 32]
        started = [thread for thread in batch if _start(thread)]
        for thread in started:
            thread.join()


def _start(thread: threading.Thread) -> bool:
    """Starts it; False: no thread may begin any more, as in Python 3.12.0 and 3.12.1, and its work is done."""
    try:
        thread.start()
    except RuntimeError:
        thread.run()
        return False
    return True


def _quietly(delete: Callable[[], object]) -> None:
    try:
        delete()
    except Exception as e:  # the process ends: there is nobody to raise it to
        print(f"arl: a sandbox is left behind until its idle time is over: {e}", file=sys.stderr)
