"""The package's one logger, and troubles that speak twice: at their start and end."""

from __future__ import annotations

import logging

logger = logging.getLogger("liteguard")


class Trouble:
    """Something that may go on for hours and deserves two log lines.

    Used by one thread at a time. A quiet trouble logs nothing.

    Args:
        ended: Logged at INFO when the trouble is over.
        quiet: Log nothing at all.
    """

    def __init__(self, ended: str, *, quiet: bool = False) -> None:
        self._ended = ended
        self._quiet = quiet
        self._kind: str | None = None

    def begin(
        self, kind: str, message: str, *args: object, level: int = logging.WARNING
    ) -> None:
        """Log *message* unless a trouble of the same *kind* is already under way."""
        if self._kind == kind:
            return
        self._kind = kind
        if not self._quiet:
            logger.log(level, message, *args)

    def end(self) -> None:
        """Log that it is over, if there was one."""
        if self._kind is None:
            return
        self._kind = None
        if not self._quiet:
            logger.info(self._ended)
