"""What a forked child must not have from its parent: threads, locks that one of them holds, open connections."""

from __future__ import annotations

import os
from collections.abc import Callable


def in_child(renew: Callable[[], None]) -> None:
    """Calls this in each forked child."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=renew)
