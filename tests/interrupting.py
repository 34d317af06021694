"""Raises something in the middle of a call, wherever a signal handler could.

The interpreter runs signal handlers when a function begins and when a call of one in C
has returned. A profile function is called at the same moments, and what it raises is
raised there: so each of them can be tried, one after another.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import liteguard

if TYPE_CHECKING:
    from types import FrameType

PACKAGE = str(Path(liteguard.__file__).parent)


class Interrupted(BaseException):
    """What a signal handler raises, as `KeyboardInterrupt` is."""


def interrupt() -> None:
    """Raise, as a signal handler may."""
    raise Interrupted


class Interruption:
    """Raises `Interrupted` at one moment of what it runs.

    Args:
        moment: At which one, counted from 0.
        within: Of the code in which files; their paths begin so.
        handle: What the signal handler does.
    """

    def __init__(
        self,
        moment: int,
        within: tuple[str, ...] = (PACKAGE,),
        handle: Callable[[], object] = interrupt,
    ) -> None:
        self._left = moment
        self._within = within
        self._handle = handle
        self.place = ""
        """Where it was raised; "" if it ended before."""

    def run(self, action: Callable[[], object]) -> None:
        """Run *action*, and end it at that moment."""
        before = sys.getprofile()
        # The interpreter does not keep it alive while it calls it.
        look = self._look
        sys.setprofile(look)
        try:
            action()
        except Interrupted:
            pass
        finally:
            sys.setprofile(before)

    def _look(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        is_there = code.co_filename.startswith(self._within)
        if not is_there or event not in {"call", "c_return"}:
            return
        name = getattr(argument, "__name__", "")
        if self._left == 0:
            self.place = f"{code.co_filename}:{frame.f_lineno} {event} {name}"
            self._left -= 1
            self._handle()
            return
        self._left -= 1
