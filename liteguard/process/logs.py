"""The package's one logger, and troubles that speak twice: at their start and end."""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Callable

logger = logging.getLogger("liteguard")

# Something that comes and goes is told so often in so long; then only if it stays.
_MOST_STREAKS = 3
_WINDOW_SECONDS = 12 * 3600.0
_STAYS_SECONDS = 300.0
# What fails in ever new ways says little by the next.
_MOST_KINDS = 5


class Trouble:
    """Something that may go on for hours and deserves two log lines.

    Used by one thread at a time. A quiet trouble logs nothing.

    Args:
        ended: Logged at INFO when the trouble is over.
        quiet: Log nothing at all.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        ended: str,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ended = ended
        self._quiet = quiet
        self._clock = clock
        self._since: float | None = None
        self._kinds: set[str] = set()
        self._told_at: deque[float] = deque(maxlen=_MOST_STREAKS)

    def begin(
        self,
        kind: str,
        message: str,
        *args: object,
        level: int = logging.WARNING,
        error: BaseException | None = None,
    ) -> None:
        """Log *message*, once for each *kind* while the trouble goes on.

        Args:
            kind: What tells this failure from others of the same trouble.
            message: What happened and what to do.
            *args: For the message.
            level: The line's level.
            error: Logged with its traceback.
        """
        now = self._clock()
        if self._since is None:
            self._since = now
        if (
            kind in self._kinds
            or len(self._kinds) >= _MOST_KINDS
            or self._is_old_news(now)
        ):
            return
        if not self._kinds:
            self._told_at.append(now)
        self._kinds.add(kind)
        if not self._quiet:
            logger.log(level, message, *args, exc_info=error)

    def end(self) -> None:
        """Log that it is over, if its start was."""
        if self._since is None:
            return
        self._since = None
        is_told = bool(self._kinds)
        self._kinds.clear()
        if is_told and not self._quiet:
            logger.info(self._ended)

    def _is_old_news(self, now: float) -> bool:
        """Whether it has come and gone often, and is not known to stay this time."""
        is_often = len(self._told_at) == _MOST_STREAKS
        is_short = now - (self._since or 0.0) < _STAYS_SECONDS
        is_recent = is_often and now - self._told_at[0] < _WINDOW_SECONDS
        return not self._kinds and is_recent and is_short
