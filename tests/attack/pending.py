"""Attacks that are known to succeed, or that nothing reports: names with reasons. The default run leaves them out and names them;
tests/attack/run --all runs them as well. Today there are none."""

PENDING: dict[str, str] = {}
