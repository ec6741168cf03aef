"""Use other than tasks, such as a shell, is reported while it lasts, and not longer."""

import json
import threading
import time

from arl import _use, errors
from test_fork import forked

LIMIT_S = 10


def wait_for(condition):
    until = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_use_is_told_at_most_once_in_a_while(monkeypatch):
    monkeypatch.setattr(_use, "EVERY_S", 0.5)
    told = []
    # When it was decided: the thread may lose its processor before the call.
    use = _use.Use(lambda: told.append(use._last))
    began = time.monotonic()
    while time.monotonic() < began + 1.2:
        with use:
            pass
    with use:
        while len(told) < 5:
            time.sleep(0.01)
    assert all(b - a >= 0.5 - 1e-6 for a, b in zip(told, told[1:], strict=False))


def test_use_that_cannot_be_told_harms_nobody(caplog):
    def renew():
        raise errors.NotAllowed("no patch")

    with _use.Use(renew) as use:
        while not caplog.records:
            time.sleep(0.01)
    assert use._users == 0
    assert "no patch" in json.dumps(caplog.records[0].getMessage())


def test_an_error_of_any_kind_is_not_the_end(monkeypatch, caplog):
    monkeypatch.setattr(_use, "EVERY_S", 0.05)
    told = []

    def renew():
        told.append(1)
        raise KeyError("no metadata")
    with _use.Use(renew):
        wait_for(lambda: len(told) >= 3)


def test_a_sandbox_that_is_gone_is_told_nothing_any_more(monkeypatch, caplog):
    monkeypatch.setattr(_use, "EVERY_S", 0.05)
    told = []

    def renew():
        told.append(1)
        raise errors.NotFound("gone")
    use = _use.Use(renew)
    with use, use:
        wait_for(lambda: use._thread is None)
    with use:
        assert (told, use._thread, caplog.records) == ([1], None, [])


def test_a_child_tells_its_own_use_and_not_that_of_its_parent(monkeypatch):
    monkeypatch.setattr(_use, "EVERY_S", 0.05)
    told = []
    use = _use.Use(lambda: told.append(threading.current_thread()))

    def child():
        told.clear()
        time.sleep(0.3)
        before = len(told)
        with use:
            wait_for(lambda: len(told) > 1)
        return before
    with use:
        wait_for(lambda: told)
        assert forked(child) == "0"
        with use._lock:
            assert forked(child) == "0"


def test_nothing_is_logged_while_the_process_ends(monkeypatch, caplog):
    """At that time the lock of standard error may be held, and a log line would make Python abort."""
    go, began = threading.Event(), threading.Event()

    def renew():
        began.set()
        go.wait(LIMIT_S)
        raise errors.NotAllowed("no patch")
    use = _use.Use(renew)
    with use:
        assert began.wait(LIMIT_S)
        _use._at_exit()
        go.set()
        wait_for(lambda: use._thread is None)
    assert caplog.records == []
