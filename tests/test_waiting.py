"""Records that wait for a recorder, over forks and beyond the bound."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from forking import Child
from liteguard.telemetry.happening import OPEN, Happening
from liteguard.telemetry.waiting import Standby

if TYPE_CHECKING:
    from collections.abc import Iterable

    from liteguard.telemetry.waiting import Entry


def happening(guard: str) -> Happening:
    """Return a check of *guard*, made here."""
    return Happening(guard, OPEN, b"{}", sys._getframe().f_code, 0)


def guards(entries: Iterable[Entry]) -> list[str]:
    """Return the guards of *entries* in their order."""
    return [entry.happening.guard for entry in entries]


def test_entries_come_out_in_the_order_they_came_in() -> None:
    """What was recorded is taken once, the oldest first."""
    standby = Standby(10)
    for guard in ("a", "b", "c"):
        standby.record(happening(guard))
    assert guards(standby.take()) == ["a", "b", "c"]
    assert guards(standby.take()) == []
    assert standby.take_lost() == 0


def test_full_drops_the_oldest_and_counts_it_once() -> None:
    """Beyond the bound the newest stay, and the number of the others is told once."""
    standby = Standby(3)
    for number in range(10):
        standby.record(happening(f"g{number}"))
    assert guards(standby.take()) == ["g7", "g8", "g9"]
    assert standby.take_lost() == 7
    assert standby.take_lost() == 0


def test_what_a_parent_had_is_the_parent_s() -> None:
    """A child takes only what it recorded itself; the parent still has its own."""
    standby = Standby(10)
    standby.record(happening("parent"))

    def act() -> list[str]:
        standby.record(happening("child"))
        return guards(standby.take())

    assert Child(act).result() == ["child"]
    assert guards(standby.take()) == ["parent"]
