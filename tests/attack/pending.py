"""Attacks that are known to succeed, or of which nothing tells, by name with the reason. The default run leaves them out and names
them; tests/attack/run --all makes them, too. There are none."""

PENDING: dict[str, str] = {}
