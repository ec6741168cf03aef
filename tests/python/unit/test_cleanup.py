"""The end of a process: what it still has is deleted, by SIGTERM as well, whichever thread has made the first sandbox."""

import logging
import signal
import subprocess
import sys
import threading

import arl
import pytest
from arl import _cleanup


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """As in a process that has made no sandbox yet."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for name, value in (("_open", {}), ("_installed", True), ("_on_sigterm", False), ("_warned", False)):
        monkeypatch.setattr(_cleanup, name, value)
    yield
    signal.signal(signal.SIGTERM, before)


def in_thread(fn, *args):
    thread = threading.Thread(target=fn, args=args)
    thread.start()
    thread.join()


def test_the_first_sandbox_of_another_thread_is_told_and_the_next_of_the_main_one_sees_to_it(caplog):
    for key in "ab":
        in_thread(_cleanup.remember, key, print)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert [(r.levelno, "SIGTERM" in r.getMessage()) for r in caplog.records] == [(logging.WARNING, True)]
    _cleanup.remember("c", print)
    assert signal.getsignal(signal.SIGTERM) is _cleanup._on_term
    assert sorted(_cleanup._open) == ["a", "b", "c"]


def test_a_map_sees_to_it_whose_threads_make_the_sandboxes():
    arl.map(print, [], "p")
    assert signal.getsignal(signal.SIGTERM) is _cleanup._on_term


def test_what_others_do_at_sigterm_stays(caplog):
    def mine(*_):
        pass
    signal.signal(signal.SIGTERM, mine)
    in_thread(_cleanup.remember, "a", print)
    _cleanup.remember("b", print)
    assert (signal.getsignal(signal.SIGTERM), caplog.records) == (mine, [])


def test_sigterm_deletes_what_other_threads_have_made():
    code = """
import os, signal, threading
from arl import _cleanup
thread = threading.Thread(target=_cleanup.remember, args=("a", lambda: os.write(1, b"deleted a\\n")))
thread.start(); thread.join()
_cleanup.remember("b", lambda: os.write(1, b"deleted b\\n"))
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (sorted(done.stdout.split("\n")), done.returncode) == (["", "deleted a", "deleted b"], 143)
