"""Deletes the sandboxes that a process still has when it ends, by exit or SIGTERM.

After SIGKILL their idle time does it.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from types import FrameType

from arl._fork import in_child

_log = logging.getLogger("arl")
_lock = threading.Lock()
_open: dict[str, tuple[int, Callable[[], object]]] = {}
_installed = False
_on_sigterm = False
_warned = False


def _forked() -> None:
    global _lock
    _lock = threading.Lock()


in_child(_forked)


def remember(key: str, delete: Callable[[], object]) -> None:
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


def delete_all(deletes: Sequence[Callable[[], object]]) -> None:
    """Calls all of these, some at once; what cannot be deleted is told on standard error."""
    threads = [threading.Thread(target=_quietly, args=(delete,)) for delete in deletes]
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
