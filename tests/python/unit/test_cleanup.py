"""A process deletes its sandboxes when it ends, also by SIGTERM, whichever thread has made the first one."""

import logging
import signal
import socket
import subprocess
import sys
import threading
import time

import arl
import pytest
from arl import _cleanup, errors
from arl._connection import Connection
from kubernetes import client


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """Sets the state of a process that has made no sandbox yet."""
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
thread = threading.Thread(target=_cleanup.remember, args=("a", lambda until: os.write(1, b"deleted a\\n")))
thread.start(); thread.join()
_cleanup.remember("b", lambda until: os.write(1, b"deleted b\\n"))
os.kill(os.getpid(), signal.SIGTERM)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (sorted(done.stdout.split("\n")), done.returncode) == (["", "deleted a", "deleted b"], 143)


def test_the_end_of_the_process_does_not_wait_for_each_sandbox_of_a_cluster_that_is_away(monkeypatch, capsys):
    monkeypatch.setattr(_cleanup, "EXIT_S", 0.5)
    tried = []

    def delete(until):
        tried.append(until)
        time.sleep(max(0.0, until - time.monotonic()))
        raise errors.ClusterUnreachable("away")
    began = time.monotonic()
    _cleanup.delete_all([delete] * 200)
    assert (len(tried), len(set(tried)), time.monotonic() - began < 5) == (32, 1, True)
    said = capsys.readouterr().err.splitlines()
    assert sorted({line: said.count(line) for line in said}.values()) == [1, 32] and any("168 sandboxes are left behind" in line for line in said)


def test_a_deletion_that_does_not_keep_its_time_keeps_nobody(monkeypatch, capsys):
    """A look-up of a host name, for example, cannot be broken off."""
    monkeypatch.setattr(_cleanup, "EXIT_S", 0.2)
    monkeypatch.setattr(_cleanup, "_LATE_S", 0.2)
    go, deleted = threading.Event(), []
    _cleanup.delete_all([lambda until: go.wait(20), deleted.append])
    go.set()
    assert (len(deleted), "1 sandboxes are left behind" in capsys.readouterr().err) == (1, True)


def test_the_end_of_the_process_deletes_by_a_deadline():
    """The deadline holds also with a server that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        settings = client.Configuration()
        settings.host = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        sandbox = arl.Sandbox(Connection(client.ApiClient(settings)), "n", {"metadata": {"name": "x", "uid": "u"}})
        began = time.monotonic()
        with pytest.raises(errors.ClusterUnreachable):
            sandbox._delete_by(began + 0.3)
        assert time.monotonic() - began < 5
