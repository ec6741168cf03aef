"""Pauses before a repeated request are short in all tests. Tests about a pause set their own."""

import pytest
from arl import _connection, _hub, process


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    for module, name in ((_connection, "RETRY_FIRST_S"), (_hub, "PAUSE_FIRST_S"), (process, "_PAUSE_S")):
        monkeypatch.setattr(module, name, 0.01)
