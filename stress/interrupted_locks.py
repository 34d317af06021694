"""How often a signal handler that raises leaves a lock held, on this interpreter.

``python stress/interrupted_locks.py`` enters and leaves ``with threading.Lock()`` again
and again, has a handler raise something at random moments, and counts. No code of this
package takes part.
"""

from __future__ import annotations

import platform
import random
import signal
import threading
import time

SECONDS = 6.0
LATEST_SECONDS = 0.00035


class Interrupted(BaseException):
    """What the handler raises."""


def interrupt(*_: object) -> None:
    """Raise, as a handler for Ctrl-C does."""
    raise Interrupted


def is_left_held() -> bool:
    """Interrupt one loop, and tell whether its lock is held afterwards."""
    lock = threading.Lock()
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00005, LATEST_SECONDS))  # noqa: S311
        while True:
            with lock:
                pass
    except Interrupted:
        return lock.locked()


def main() -> None:
    """Measure and print."""
    signal.signal(signal.SIGALRM, interrupt)
    ends_at = time.monotonic() + SECONDS
    interrupted = held = 0
    while time.monotonic() < ends_at:
        held += is_left_held()
        interrupted += 1
    print(
        f"CPython {platform.python_version()}: interrupted {interrupted:,} times, "
        f"{held:,} times the lock was left held"
    )


if __name__ == "__main__":
    main()
