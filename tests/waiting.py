"""Wait for what another process or thread does."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.02


def until(
    condition: Callable[[], object],
    tell: Callable[[], str] = str,
    *,
    seconds: float = PATIENCE_SECONDS,
) -> None:
    """Return as soon as *condition* is true.

    Args:
        condition: Asked again and again.
        tell: Says what was there instead, if it never becomes true.
        seconds: How long to wait at most.

    Raises:
        AssertionError: It did not become true in time.
    """
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() >= deadline:
            raise AssertionError(f"not true after {seconds} seconds; {tell()}")
        pause.wait(PAUSE_SECONDS)
