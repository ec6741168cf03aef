"""What callers give, looked at before anything is sent: a sentence says what is wrong."""

from __future__ import annotations

import math
import os
import time
from typing import Any

MODE_MAX = 0o7777


def seconds(name: str, value: Any) -> float | None:
    """A time limit; None: there is none.

    Raises:
        TypeError: It is no number.
        ValueError: It is below 0, infinite or no number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, or None for no limit, and not {value!r}")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be a number of seconds from 0 on, or None for no limit, and not {value!r}")
    return float(value)


def deadline(timeout: Any) -> float | None:
    """When a time limit that begins now is over, on the clock of ``time.monotonic``; see ``seconds``."""
    left = seconds("timeout", timeout)
    return None if left is None else time.monotonic() + left


def left_of(until: float | None) -> float | None:
    """How many seconds are left, at least 0; None: there is no limit."""
    return None if until is None else max(0.0, until - time.monotonic())


def whole(name: str, value: Any, least: int = 0, most: int | None = None) -> int:
    """A whole number within these limits; TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, and not {value!r}")
    if value < least or (most is not None and value > most):
        limits = f"at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be {limits}, and not {value}")
    return value


def mode(value: Any) -> list[str]:
    """The option for permissions, if there are some; TypeError, ValueError."""
    return [] if value is None else ["--mode", f"{whole('mode', value, most=MODE_MAX):04o}"]


def path(value: Any, name: str = "path") -> str:
    """A path of the sandbox; TypeError, ValueError."""
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, and not {value!r}")
    if "\0" in value:
        raise ValueError(f"{name} must have no NUL, and not be {value!r}")
    return value


def user(value: Any) -> list[str]:
    """The option for who does it, if it is said; TypeError, ValueError."""
    if value is None:
        return []
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"user must be a name or a number, and not {value!r}")
    return ["--user", path(str(value), "user")]
