"""Python may free an object, and so run its clean-up, at any line of a thread. That must never wait for a lock of this thread."""

import sys
import threading
import time
from concurrent.futures import Future

import pytest
from arl import _connection, _hub, _ops, _use
from arl._event import Event
from kubernetes import client

LIMIT_S = 10


def everywhere(free, fn):
    """Runs fn in a thread, and calls ``free`` at each of its lines, where Python may free an object. Returns whether fn ends."""
    def line(frame, event, arg):
        free()
        return line
    ended = []

    def body():
        sys.settrace(line)
        try:
            fn()
        finally:
            sys.settrace(None)
        ended.append(1)
    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    thread.join(LIMIT_S)
    return bool(ended)


def test_an_event_may_be_set_by_its_own_thread():
    event = Event()

    def use():
        for _ in range(3):
            event.clear()
            assert event.wait(LIMIT_S)
            event.set()
            assert event.wait() and event.is_set()
    assert everywhere(event.set, use)


def test_all_who_wait_are_woken_and_it_can_be_used_again():
    event, woken = Event(), []
    for count in (4, 8):
        event.clear()
        threads = [threading.Thread(target=lambda: woken.append(event.wait(LIMIT_S))) for _ in range(4)]
        for thread in threads:
            thread.start()
        event.set()
        for thread in threads:
            thread.join()
        assert woken == [True] * count
    event.clear()
    began = time.monotonic()
    assert not event.wait(0.2) and time.monotonic() - began >= 0.2


def test_a_shell_that_is_freed_leaves_its_sandbox(monkeypatch):
    monkeypatch.setattr(_use, "EVERY_S", 0.05)
    use = _use.Use(lambda: None)

    def enter():
        for _ in range(3):
            use.__enter__()
            use._run()
    use._over = True    # starts no thread: the test itself calls _run()
    assert everywhere(lambda: use.__exit__(None, None, None), enter)


def test_a_wait_may_be_broken_off_by_its_own_thread():
    end = _ops._End(Future())

    def wait():
        with pytest.raises(_ops.Late):
            end.wait(LIMIT_S)
    assert everywhere(end.abort, wait)


@pytest.mark.parametrize("lasting", [True, False])
def test_a_wait_that_is_freed_leaves_its_watcher(lasting, monkeypatch):
    monkeypatch.setattr(_hub.Watcher, "_run", lambda self: None)
    watcher = _hub.Watcher(_connection.Connection(client.ApiClient(client.Configuration())), "n", "tasks", {}, lasting)
    waits = [_hub.Wait("a", lambda obj: None, "u") for _ in range(500)]
    for wait in waits:
        watcher.add(wait)

    def free():
        if waits:
            waits.pop().future.cancel()

    def add():
        for _ in range(5):
            watcher.add(_hub.Wait("b", lambda obj: None, "u"))
            watcher._of("a"), watcher._all(), watcher._idle(), watcher.stop()
    assert everywhere(free, add)
