"""Asks guards whose right answers are known, and keeps count."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Optional

from subject import connected
from tally import UNKNOWN, Tally

if TYPE_CHECKING:
    from settings import Settings
    from subject import Subject

GUARD, CLOSED, GENERATION = (
    "payments.checkout",
    "payments.refund",
    "payments.generation",
)
PRO = {"plan": "pro"}


class Looker:
    """Looks for one thread of each process that it is inherited by.

    Args:
        settings: Of the program.
        subject: The client, if another looker of this program has it already.
    """

    def __init__(self, settings: Settings, subject: Optional[Subject] = None) -> None:
        self._settings = settings
        self.subject = subject or connected(settings)
        self._tally: Optional[Tally] = None

    def look(self) -> bool:
        """Look which generation answers, and whether answers are right.

        Returns:
            Whether this process leads.
        """
        tally = self._of_this_process()
        self._judge(tally, self._ask(tally, GUARD, PRO) is True)
        self._judge(tally, self._ask(tally, CLOSED, PRO) is False)
        known = tally.get("known")
        if known == UNKNOWN:
            known = self._newest(tally)
        else:
            # What was known once stays known: no answer goes back in time.
            self._judge(tally, self._is_known(tally, known))
        while self._is_known(tally, known + 1):
            known += 1
        tally.set("known", known)
        leads = self.subject.leads()
        tally.set("leads", leads)
        tally.set("looked_at", time.monotonic_ns())
        return leads

    def hurry(self, number: int) -> None:
        """Make checks as fast as they go."""
        tally, is_open = self._of_this_process(), self.subject.is_open
        tally.add("begun", number)
        for _ in range(number):
            is_open(GUARD, PRO)
        tally.add("made", number)

    def _of_this_process(self) -> Tally:
        if self._tally is None or self._tally.pid != os.getpid():
            self._tally = Tally(self._settings.folder)
            self.subject.start()
        return self._tally

    def _newest(self, tally: Tally) -> int:
        age = time.monotonic() - self._settings.begun_at
        known = int(age / self._settings.change_seconds)
        while known > UNKNOWN and not self._is_known(tally, known):
            known -= 1
        return known

    def _is_known(self, tally: Tally, generation: int) -> bool:
        return self._ask(tally, GENERATION, {"asked": generation})

    def _ask(self, tally: Tally, guard: str, properties: dict[str, Any]) -> bool:
        begun = time.monotonic_ns()
        tally.add("begun", 1)
        is_open = self.subject.is_open(guard, properties)
        tally.add("made", 1)
        taken = time.monotonic_ns() - begun
        if taken > tally.get("longest_ns"):
            tally.set("longest_ns", taken)
        return is_open

    def _judge(self, tally: Tally, is_right: bool) -> None:  # noqa: FBT001  one fact
        tally.add("wrong", not is_right)
