"""What callers give, looked at before anything is sent: a sentence says what is wrong.

No sentence has the value of an environment variable, or all of a long value.
"""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from arl.errors import Refused

MODE_MAX = 0o7777
# About 31 years: what is more cannot be waited for.
WAIT_MAX_S = 1e9
# Lengths of names, in characters.
NAME_MAX, LABEL_MAX, POOL_MAX = 253, 63, 54
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"


def seconds(name: str, value: Any) -> float | None:
    """A time limit; None: there is none.

    Raises:
        TypeError: It is no number.
        ValueError: It is below 0, infinite or no number.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, or None for no limit, and not {value!r:.100}")
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
        raise TypeError(f"{name} must be a whole number, and not {value!r:.100}")
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
        raise TypeError(f"{name} must be a str, and not {value!r:.100}")
    if "\0" in value:
        raise ValueError(f"{name} must have no NUL, and not be {value!r:.100}")
    return value


def user(value: Any) -> list[str]:
    """The option for who does it, if it is said; TypeError, ValueError."""
    if value is None:
        return []
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError(f"user must be a name or a number, and not {value!r:.100}")
    return ["--user", path(str(value), "user")]


def wait(name: str, value: Any) -> float:
    """How long to wait, in seconds; TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number of seconds, and not {value!r:.100}")
    if not 0 <= value <= WAIT_MAX_S:
        raise ValueError(f"{name} must be from 0 to {WAIT_MAX_S:.0f} seconds, and not {value!r}")
    return float(value)


def text(name: str, value: Any) -> str:
    """A text that is not empty and has no NUL; TypeError, ValueError."""
    if not path(value, name):
        raise ValueError(f"{name} must not be empty")
    return str(value)


def label(name: str, value: Any, most: int = LABEL_MAX) -> str:
    """A name without dots, as a namespace and a pool have; TypeError, Refused, which is a ValueError."""
    return _named(name, value, _LABEL, most, "a DNS label: letters in lower case, digits and '-' between them")


def object_name(name: str, value: Any, most: int = NAME_MAX) -> str:
    """A name that may have dots, as other objects have; TypeError, Refused, which is a ValueError."""
    return _named(name, value, rf"{_LABEL}(\.{_LABEL})*", most, "DNS labels with dots between them")


def _named(name: str, value: Any, pattern: str, most: int, what: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, and not {value!r:.100}")
    if len(value) > most or not re.fullmatch(pattern, value):
        raise Refused(f"{name} must be {what}, of {most} characters at most, and not {value!r:.100}")
    return value


def strings(name: str, value: Any) -> list[str]:
    """Several texts; a text is not a list of its letters. TypeError."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes | bytearray):
        raise TypeError(f"{name} must be a list of str, and not {value!r:.100}")
    return [path(v, f"{name}[{i}]") for i, v in enumerate(value)]


def command(value: Any) -> list[str]:
    """A program and its arguments; a text is none, as no shell is involved. TypeError, ValueError."""
    found = strings("command", value)
    if not found or not found[0]:
        raise ValueError("command must name a program, and not be empty")
    return found


def callback(name: str, value: Any) -> None:
    """What is called back, or None; TypeError."""
    if value is not None and not callable(value):
        raise TypeError(f"{name} must be a function, and not {value!r:.100}")


def pairs(name: str, value: Any) -> dict[str, str]:
    """Names with values, all of them str; None: there are none. TypeError, ValueError."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} must be a dict of str, and not of type {type(value).__name__}")
    for key, one in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{name} must have str as names, and not {key!r:.100}")
        if not isinstance(one, str):
            raise TypeError(f"{name}[{key!r:.100}] must be a str, and not of type {type(one).__name__}")
    return dict(value)


def variables(name: str, value: Any) -> dict[str, str]:
    """Environment variables; TypeError, ValueError."""
    found = pairs(name, value)
    for key, one in found.items():
        if not key or "=" in key or "\0" in key:
            shown = key.partition("=")[0]  # what follows may be the value
            raise ValueError(f"{name} must have names without '=' and NUL, and not one that begins {shown!r:.100}")
        if "\0" in one:
            raise ValueError(f"{name}[{key!r:.100}] must have no NUL")
    return found
