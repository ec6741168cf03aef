"""Names and labels that this process gives to what it makes."""

from __future__ import annotations

import os
import secrets

# RFC 4648 base32, in lower case: any of it may stand in a Kubernetes name.
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_LENGTH = 10

# The objects that a process has made carry this label, so that it can watch those alone.
CLIENT_LABEL = "arl.infra.io/client"


def random_text() -> str:
    """Ten random characters: 50 bits, so that a name is never taken by chance."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def random_name(prefix: str) -> str:
    """A name that nobody else has."""
    return f"{prefix}-{random_text()}"


_client_id: tuple[int, str] | None = None


def client_id() -> str:
    """The value of CLIENT_LABEL; another one in a forked child."""
    global _client_id
    if _client_id is None or _client_id[0] != os.getpid():
        _client_id = (os.getpid(), random_text())
    return _client_id[1]
