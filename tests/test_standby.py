"""When what was recorded on standby is written, and by whom."""

from __future__ import annotations

import os
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest

from forking import in_child
from journals import happening, in_threads, new_recorder, signals_of
from liteguard.calls import call_of
from liteguard.checker import Checker
from liteguard.contexts import ProtectedBundles
from liteguard.evaluation.table import GuardTable
from liteguard.host.rate_limits import RateLimits
from liteguard.recording import Recording
from liteguard.telemetry.execution import Execution
from liteguard.telemetry.unadopted import UnadoptedCounts
from liteguard.telemetry.waiting import Standby

if TYPE_CHECKING:
    from pathlib import Path

    from liteguard.telemetry.happening import Happening
    from liteguard.telemetry.recorder import Recorder


def names(standby: Standby) -> list[str]:
    """Take out what waits, and return the guards."""
    return [entry.happening.guard for entry in standby.take()]


def recorder_of(standby: Standby) -> Recorder:
    """Return a recorder that takes over from *standby*."""
    recorder = new_recorder(None, capacity=100)
    recorder._standby = standby
    return recorder


def test_entries_of_threads_are_all_there() -> None:
    """Neither lost between threads nor taken twice."""
    standby = Standby(10_000)
    taken: list[str] = []

    def work(thread: int) -> None:
        for number in range(500):
            standby.record(happening(f"guard-{thread}-{number}"))
            if number % 50 == 0:
                taken.extend(names(standby))

    in_threads(4, work)
    taken += names(standby)
    assert len(taken) == len(set(taken)) == 2000


def test_recorder_writes_what_was_on_standby() -> None:
    """With the moment and the execution of the check, before what comes later."""
    standby = Standby(10)
    with Execution() as execution:
        standby.record(happening("early"))
    recorder = recorder_of(standby)
    recorder.record(happening("late"))
    early, late = sorted(signals_of(recorder), key=lambda s: str(s["guardName"]))
    assert early["executionId"] == execution.execution_id
    assert early["timestampMs"] <= late["timestampMs"]


@pytest.mark.usefixtures("_threads_take_turns_all_the_time")
def test_threads_that_record_and_drain_lose_nothing() -> None:
    """As the first checks of a child do; nothing is dropped, so nothing is counted."""
    for _ in range(40):
        standby = Standby(2000)
        recorder = recorder_of(standby)

        def check(_thread: int, standby: Standby = standby) -> None:
            for _ in range(20):
                standby.record(happening())
                recorder.drain()  # noqa: B023  called within its round

        in_threads(4, check)
        recorder.drain()
        (file,) = recorder.journals.files()
        assert file.unreported == recorder.journals.take_lost() == 0
        assert recorder.recorded == 80


def test_handler_that_drains_in_the_middle_takes_nothing_twice() -> None:
    """A check in a signal handler drains, perhaps while the thread below it does."""
    standby = Standby(10)
    by_handler: list[str] = []

    class Interrupted(deque[Any]):
        """Entries at whose taking a handler makes a check."""

        def popleft(self) -> Any:
            entry = super().popleft()
            if not by_handler:
                by_handler.append("")
                by_handler.extend(names(standby))
            return entry

    standby._entries = Interrupted()
    for number in range(4):
        standby.record(happening(f"guard-{number}"))
    taken = names(standby)
    assert sorted(taken + by_handler[1:]) == [f"guard-{n}" for n in range(4)]


def test_losses_of_a_parent_are_not_those_of_its_child() -> None:
    """The parent reports them; and a lock that was held at the fork holds up nobody."""
    standby = Standby(2)
    for _ in range(5):
        standby.record(happening())
    standby._locks[os.getpid()].acquire()

    def child() -> int:
        standby.record(happening())
        return standby.take_lost() * 10 + len(standby.take())

    assert in_child(child) == 1
    standby._locks[os.getpid()].release()
    assert standby.take_lost() == 3


def test_what_standby_dropped_is_reported() -> None:
    """It is bounded, and its oldest entries go first."""
    standby = Standby(2)
    for number in range(5):
        standby.record(happening(f"guard-{number}"))
    recorder = recorder_of(standby)
    recorder.drain()
    (file,) = recorder.journals.files()
    assert [s["guardName"] for s in signals_of(recorder)] == ["guard-3", "guard-4"]
    assert file.unreported == 3


def test_check_that_meets_the_end_of_standby_is_written_at_once(
    tmp_path: Path,
) -> None:
    """A recorder may come between the look for one and the record."""
    recorder = new_recorder(tmp_path)
    checkers: list[Checker] = []

    class Late(Standby):
        def record(self, happening: Happening) -> None:
            super().record(happening)
            own = Recording(recorder, UnadoptedCounts(), os.getpid())
            checkers[0].recording = own

    standby = Late(10)
    recorder._standby = standby
    checkers.append(checker_with(standby))
    subject = _Nobody()
    frame = sys._getframe()
    checkers[0].check(subject, "a.guard", call_of(None, None, None, None), frame)
    (path,) = tmp_path.iterdir()
    assert path.suffix == ".journal"
    assert recorder.buffered == 1


def checker_with(standby: Standby) -> Checker:
    """Return a checker of one guard, whose process is not ready."""
    checker = Checker(
        flag=bytearray(1),  # type: ignore[arg-type]  # reads 0, as a wiped page
        revive=lambda: True,
        contexts=ProtectedBundles(60.0),
        limits=RateLimits("secret"),
        standby=standby,
        fallback=False,
        unadopted_open=False,
        disable_measurement=True,
    )
    guard = b'{"name": "a.guard", "adopted": true}'
    checker.table = GuardTable({"a.guard": guard})
    return checker


class _Nobody:
    """A subject without properties."""

    values: dict[str, Any] = {}  # noqa: RUF012  never edited
    protected_context = None
    recalled: dict[Any, Any] = {}  # noqa: RUF012  one check adds nothing
    recalled_calls: dict[Any, Any] = {}  # noqa: RUF012  nor here

    def encoded_properties(self) -> bytes:
        return b"{}"
