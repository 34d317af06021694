"""What happens in the demo, phase by phase."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from liteguard.demo.answers import Answer, Change, Ledger, count_wrong
from liteguard.demo.promises import Evidence, Promise, judge
from liteguard.demo.settings import (
    FLUSH_SECONDS,
    GUARD,
    REFRESH_SECONDS,
    RELOAD_SECONDS,
    WORK_SECONDS,
)
from liteguard.demo.traffic import Traffic, usual_period

if TYPE_CHECKING:
    from liteguard.demo.display import Display
    from liteguard.demo.patience import Patience
    from liteguard.demo.roster import Roster
    from liteguard.demo.stage import Stage

START_SECONDS = 30.0
FOLLOW_SECONDS = 15.0
TAKEOVER_SECONDS = 15.0
DELIVERY_SECONDS = 15.0


class Takeover(NamedTuple):
    """The end of a leader.

    Args:
        killed: The old leader's pid.
        seconds: Until another answered as leader.
    """

    killed: int
    seconds: float


class Story:
    """Tells the demo once.

    Args:
        stage: What runs.
        workers: How many workers the server has.
        watch_seconds: How long nothing happens before the first change.
        display: Where to tell it.
        roster: Who is there.
        patience: Waits.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        workers: int,
        watch_seconds: float,
        display: Display,
        roster: Roster,
        patience: Patience,
    ) -> None:
        self._stage = stage
        self._workers = workers
        self._watch_seconds = watch_seconds
        self._display = display
        self._roster = roster
        self._patience = patience
        self._ledger = Ledger()
        self._changes = [Change(is_open=False)]

    def tell(self) -> list[Promise]:
        """Play every phase and return what was promised, with the verdicts.

        Raises:
            DemoError: Something did not happen in time, or a process has ended.
            Interrupted: A signal came.
        """
        with self._traffic() as traffic:
            self._meet_workers()
            self._watch()
            self._change_guard(is_open=True)
            takeover = self._kill_leader(traffic)
            self._meet_new_worker()
            self._change_guard(is_open=False)
        return judge(self._collect(takeover))

    def _traffic(self) -> Traffic:
        return Traffic(
            self._stage.address,
            burst=self._workers,
            period_seconds=usual_period(self._workers),
            on_answer=self._take_note,
            on_cut_off=self._ledger.record_cut_off,
        )

    def _take_note(self, answer: Answer) -> None:
        self._ledger.record(answer)
        self._roster.see(answer)

    def _meet_workers(self) -> None:
        self._patience.until(
            f"{self._workers} workers with one leader do not answer",
            lambda: self._is_complete() and self._roster.leader(),
            START_SECONDS,
        )
        self._display.tell(
            f"all {self._workers} workers answer; {self._roster.leader()} leads, "
            "the others read its snapshot"
        )
        self._display.show_workers()

    def _is_complete(self) -> bool:
        return len(self._roster.living()) == self._workers

    def _watch(self) -> None:
        before = self._stage.backend.polls()
        self._patience.pause(self._watch_seconds)
        polls = self._stage.backend.polls() - before
        self._display.tell(
            f"polls at the backend in {self._watch_seconds:g} s: {polls}"
        )

    def _change_guard(self, *, is_open: bool) -> None:
        state = "on" if is_open else "off"
        asked_at = time.monotonic()
        self._changes.append(Change(is_open, asked_at))
        self._stage.backend.set_guard(is_open=is_open)
        self._display.tell(f"{GUARD} is turned {state} at the backend")
        self._patience.until(
            f"not every worker followed when {GUARD} was turned {state}",
            lambda: all(a.is_open == is_open for a in self._roster.living()),
            FOLLOW_SECONDS,
        )
        self._changes[-1] = Change(is_open, asked_at, time.monotonic())
        seconds = self._changes[-1].followed_at - asked_at
        self._display.tell(f"every worker followed, {seconds:.2f} s after the change")
        self._display.show_workers()

    def _kill_leader(self, traffic: Traffic) -> Takeover:
        # Half a request's time after a burst began, a worker that is not late is busy.
        self._patience.pause(traffic.seconds_to_burst() + WORK_SECONDS / 2)
        killed = self._roster.leader()
        os.kill(killed, signal.SIGKILL)
        killed_at = time.monotonic()
        self._roster.bury(killed)
        self._display.tell(f"kill -9 {killed}: the leader is gone, amid requests")
        leader = self._patience.until(
            "no other worker leads", self._roster.leader, TAKEOVER_SECONDS
        )
        seconds = time.monotonic() - killed_at
        self._display.tell(f"{leader} leads, {seconds:.2f} s after the kill")
        return Takeover(killed, seconds)

    def _meet_new_worker(self) -> None:
        self._patience.until(
            "gunicorn's new worker does not answer", self._is_complete, START_SECONDS
        )
        joined = self._roster.living()[-1].pid
        self._display.tell(f"gunicorn has forked {joined} in place of the killed one")
        self._display.show_workers()

    def _collect(self, takeover: Takeover) -> Evidence:
        self._display.tell("no more requests; waiting for the last signals")
        self._roster.rest(time.monotonic())
        answers, cut_off = self._ledger.answers, self._ledger.cut_off
        signals = self._settled_signals(len(answers))
        repeated = self._stage.backend.redelivered()
        return Evidence(
            workers=self._workers,
            refresh_seconds=REFRESH_SECONDS,
            reload_seconds=RELOAD_SECONDS,
            measured_seconds=time.monotonic() - self._stage.started_at,
            polls=self._stage.backend.polls(),
            followed_seconds=tuple(
                c.followed_at - c.asked_at for c in self._changes[1:]
            ),
            takeover_seconds=takeover.seconds,
            answered=len(answers),
            cut_off=cut_off,
            delivered=signals["distinct"],
            repeated=sum(repeated.values()),
            repeated_of_killed=repeated.get(str(takeover.killed), 0),
            dropped=signals["droppedSignals"],
            left_behind=_left_behind(takeover.killed, answers, signals),
            wrong=count_wrong(answers, self._changes),
        )

    def _settled_signals(self, wanted: int) -> dict[str, Any]:
        """Return the backend's counts once they are complete and stand still."""
        deadline = time.monotonic() + DELIVERY_SECONDS
        before: dict[str, Any] = {}
        while time.monotonic() < deadline:
            now = self._stage.backend.signals()
            if now == before and now["distinct"] >= wanted:
                break
            before = now
            self._patience.pause(2 * FLUSH_SECONDS)
        return before


def _left_behind(killed: int, answers: list[Answer], signals: dict[str, Any]) -> int:
    sent = signals["byPid"].get(str(killed), {"open": 0, "closed": 0})
    made = sum(answer.pid == killed for answer in answers)
    return max(0, made - int(sent["open"]) - int(sent["closed"]))
