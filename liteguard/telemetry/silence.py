"""Whether a journal's user gives no sign of life, where it cannot be seen itself.

Processes of another pid namespace touch what is theirs from time to time. The wall
clock tells how long ago that was, and may have leapt; the machine may have been
suspended. So a silence counts only if it was watched for some time as well.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LIFE_SIGN_SECONDS = 600.0
_SIGNS_MISSED = 3.0


class Silence:
    """Watches journals. Used by one thread at a time.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._patience_seconds = LIFE_SIGN_SECONDS
        self._watch_seconds = 0.0
        # By path: when it was touched last, and since when that is known here.
        self._watched: dict[Path, tuple[float, float]] = {}

    def begin_round(
        self, paths: Iterable[Path], *, life_sign_seconds: float = 0.0
    ) -> None:
        """Forget all but *paths*.

        Args:
            paths: The journals that are there.
            life_sign_seconds: How often the living touch theirs.
        """
        self._watch_seconds = _SIGNS_MISSED * life_sign_seconds
        self._patience_seconds = max(LIFE_SIGN_SECONDS, self._watch_seconds)
        kept = self._watched.keys() & set(paths)
        self._watched = {path: self._watched[path] for path in kept}

    def is_at(self, path: Path) -> bool:
        """Whether the journal counts as left by the dead. Blocks for a look."""
        try:
            touched_at = path.stat().st_mtime
        except OSError:
            return False
        # Set back, the wall clock shows the future: that tells as little as the past.
        if abs(time.time() - touched_at) <= self._patience_seconds:
            self._watched.pop(path, None)
            return False
        now = self._clock()
        if self._watched.get(path, (None, 0.0))[0] != touched_at:
            self._watched[path] = (touched_at, now)
        return now - self._watched[path][1] >= self._watch_seconds
