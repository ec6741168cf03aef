"""A forked child: it has no threads of its parent, and shares neither its locks nor its connections."""

import asyncio
import os
import select
import signal

import pytest
from arl import _cleanup, _connection, _hub, _ops
from arl._connection import Connection
from kubernetes import client

LIMIT_S = 10


def forked(fn):
    """Runs fn in a forked child. Returns its result as text; None if it does not return within the limit."""
    there, here = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(here, str(fn()).encode())
        finally:
            os._exit(0)
    os.close(here)
    try:
        ready, _, _ = select.select([there], [], [], LIMIT_S)
        return os.read(there, 1000).decode() if ready else None
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(there)


def test_asynchronous_requests_go_on():
    def ask():
        return asyncio.run(asyncio.wait_for(_ops.request(lambda: "answer"), LIMIT_S))
    assert ask() == forked(ask) == "answer"


@pytest.mark.parametrize(("module", "name"), [(_ops, "_executor_lock"), (_hub, "_hubs_lock"), (_cleanup, "_lock"), (_connection, "_lock")])
def test_locks_are_free(module, name):
    with getattr(module, name):
        assert forked(lambda: getattr(module, name).acquire(timeout=1)) == "True"


def test_connections_are_not_shared():
    settings = client.Configuration()
    settings.host = "http://127.0.0.1:9"
    connection = Connection(client.ApiClient(settings))
    manager = connection.api_client.rest_client.pool_manager
    manager.connection_from_url(settings.host)
    assert (forked(lambda: len(manager.pools)), len(manager.pools)) == ("0", 1)
