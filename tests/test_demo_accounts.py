from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from liteguard.demo.answers import Answer, Change, Ledger, count_wrong
from liteguard.demo.display import PlainDisplay, cells, verdict
from liteguard.demo.patience import Patience
from liteguard.demo.promises import (
    MEASURING_SECONDS,
    Evidence,
    Promise,
    conclusion,
    judge,
    separate_polls,
)
from liteguard.demo.roster import (
    FORGET_SECONDS,
    GONE,
    KILLED,
    SILENCE_SECONDS,
    Roster,
    Row,
)
from liteguard.demo.story import Story, Takeover

KEPT = Evidence(
    workers=4,
    refresh_seconds=1.0,
    reload_seconds=0.2,
    measured_seconds=9.0,
    polls=12,
    followed_seconds=(0.9, 1.1),
    takeover_seconds=0.1,
    answered=100,
    cut_off=1,
    delivered=101,
    repeated=0,
    repeated_of_killed=0,
    dropped=0,
    left_behind=3,
    wrong=0,
)
CHANGES = [
    Change(is_open=False),
    Change(is_open=True, asked_at=10.0, followed_at=11.0),
    Change(is_open=False, asked_at=20.0, followed_at=21.0),
]


def broken(evidence: Evidence) -> list[str]:
    """Return which promises *evidence* shows as broken."""
    return [promise.text for promise in judge(evidence) if not promise.is_kept]


def answer(
    sent_at: float, *, is_open: bool, number: int = 1, pid: int = 7, role: str = "x"
) -> Answer:
    """Return an answer that took a tenth of a second."""
    return Answer(pid, is_open, number, role, 5, 0.5, sent_at, sent_at + 0.1)


def test_promises_are_kept_up_to_their_bounds() -> None:
    """What is just within each bound keeps every promise."""
    assert broken(KEPT) == []
    slow = KEPT.reload_seconds + MEASURING_SECONDS
    assert broken(replace(KEPT, takeover_seconds=slow)) == []


@pytest.mark.parametrize(
    ("evidence", "text"),
    [
        (replace(KEPT, followed_seconds=(0.9, 3.3)), "every worker followed"),
        (replace(KEPT, polls=13), "one process polled for all"),
        (replace(KEPT, takeover_seconds=2.3), "a new leader took over"),
        (replace(KEPT, delivered=99), "no check was lost"),
        (replace(KEPT, dropped=1), "no check was lost"),
        (replace(KEPT, delivered=102), "no check was counted twice"),
        (replace(KEPT, repeated=1), "no check was counted twice"),
        (replace(KEPT, wrong=1), "every answer was right"),
    ],
)
def test_each_promise_can_be_broken(evidence: Evidence, text: str) -> None:
    """What is just beyond a bound breaks that promise and no other."""
    (found,) = broken(evidence)
    assert found.startswith(text)


def test_cut_off_requests_may_have_checked_or_not() -> None:
    """Delivered signals may be as many as answers, or more by the requests cut off."""
    assert broken(replace(KEPT, delivered=100)) == []
    assert broken(replace(KEPT, delivered=101)) == []


def test_a_batch_unacknowledged_at_the_kill_may_come_again() -> None:
    """Repeated deliveries are excused if the killed leader made the first."""
    excused = replace(KEPT, repeated=4, repeated_of_killed=4)
    assert broken(excused) == []
    (promise,) = (p for p in judge(excused) if "twice" in p.text)
    assert "4 came again, 4 sent by the leader as it was killed" in promise.evidence
    assert broken(replace(excused, repeated_of_killed=3)) == [promise.text]


def test_separate_pollers_would_ask_at_start_and_once_an_interval() -> None:
    """The number of comparison grows with workers and time."""
    assert separate_polls(KEPT) == 4 * (9 + 1)
    assert separate_polls(replace(KEPT, workers=2, refresh_seconds=3.0)) == 2 * 4


def test_conclusion_counts_what_was_broken() -> None:
    """The last line says how many promises hold."""
    assert conclusion(judge(KEPT)) == "All 6 promises kept."
    assert conclusion(judge(replace(KEPT, wrong=1))) == "1 of 6 promises broken."


def test_promises_are_marked_as_the_stream_allows() -> None:
    """Ticks and crosses become words where they cannot be encoded."""
    kept = Promise("a", is_kept=True, evidence="b")
    bad = Promise("a", is_kept=False, evidence="b")
    assert verdict(kept, "utf-8") == "  \N{CHECK MARK} a\n    b"
    assert verdict(bad, "utf-8") == "  \N{BALLOT X} a\n    b"
    assert verdict(kept, "ascii") == "  ok a\n    b"
    assert verdict(bad, "ascii") == "  FAILED a\n    b"


def test_answers_in_step_with_the_backend_are_right() -> None:
    """A worker that follows each change is never wrong."""
    sequence = [
        answer(9.0, is_open=False, number=1),
        answer(10.5, is_open=True, number=2),
        answer(20.5, is_open=True, number=3),
        answer(20.8, is_open=False, number=4),
    ]
    assert count_wrong(sequence, CHANGES) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        answer(9.0, is_open=True),  # before the change was asked for
        answer(11.1, is_open=False),  # after all had followed it
        answer(21.1, is_open=True),  # and the same for the second change
    ],
)
def test_answers_out_of_step_are_wrong(wrong: Answer) -> None:
    """An answer is wrong before its change, and after the next one was followed."""
    assert count_wrong([wrong], CHANGES) == 1


def test_a_worker_turns_once_for_each_change() -> None:
    """Flapping is wrong even while both values are allowed."""
    values = [False, True, False, True, False]
    flapping = [
        answer(10.0 + i / 10, is_open=value, number=i) for i, value in enumerate(values)
    ]
    assert count_wrong(flapping, CHANGES) == len(values) - 1 - 2


def test_answers_count_in_the_order_of_their_checks() -> None:
    """Answers that overtake each other on their way are not flapping."""
    sequence = [
        answer(10.0, is_open=False, number=1),
        answer(10.2, is_open=True, number=3),
        answer(10.1, is_open=False, number=2),
        answer(10.3, is_open=True, number=4),
        answer(10.4, is_open=True, number=5),
    ]
    assert count_wrong(reversed(sequence), CHANGES[:2]) == 0


def test_ledger_keeps_answers_and_counts_the_rest() -> None:
    """What was answered is kept as it came; what was cut off is counted."""
    ledger = Ledger()
    ledger.record(answer(1.0, is_open=True))
    ledger.record_cut_off()
    assert (len(ledger.answers), ledger.cut_off) == (1, 1)


def test_roster_keeps_the_newest_answer_of_each_worker() -> None:
    """An answer that comes late does not replace a newer one."""
    roster = Roster()
    for number in (1, 3, 2):
        roster.see(answer(float(number), is_open=number == 3, number=number))
    (row,) = roster.rows(now=3.1)
    assert (row.checks, row.is_open) == (3, True)


def test_roster_tells_who_leads_and_who_was_killed() -> None:
    """A killed worker stays in the table, and is no leader and not living any more."""
    roster = Roster()
    roster.see(answer(1.0, is_open=True, pid=7, role="leader"))
    roster.see(answer(1.0, is_open=True, pid=8, role="follower"))
    assert roster.leader() == 7
    roster.bury(7)
    assert roster.leader() == 0
    assert [a.pid for a in roster.living()] == [8]
    assert [row.role for row in roster.rows(now=1.2)] == [KILLED, "follower"]
    assert [row.role for row in roster.rows(now=100.0)] == [KILLED]


def test_roster_shows_silent_workers_as_gone_and_then_not_at_all() -> None:
    """Who does not answer any more leaves the table in two steps."""
    roster = Roster()
    seen = answer(1.0, is_open=True)
    roster.see(seen)
    (row,) = roster.rows(now=seen.received_at + SILENCE_SECONDS + 0.1)
    assert row.role == GONE
    assert roster.rows(now=seen.received_at + FORGET_SECONDS) == []


def test_roster_calls_nobody_gone_who_is_not_asked() -> None:
    """While the last signals are awaited, the table is that of the last requests."""
    roster = Roster()
    for pid, role in ((7, "leader"), (8, "follower"), (9, "follower")):
        roster.see(answer(1.0, is_open=True, pid=pid, role=role))
    roster.bury(8)
    roster.rest(2.0)
    rows = roster.rows(now=2.0)
    assert [row.role for row in rows] == ["leader", KILLED, "follower"]
    assert roster.rows(now=2.0 + SILENCE_SECONDS) == rows
    assert roster.rows(now=2.0 + FORGET_SECONDS) == rows
    roster.go_on(100.0)
    assert [row.role for row in roster.rows(now=101.0)] == [row.role for row in rows]
    silent = roster.rows(now=100.1 + SILENCE_SECONDS)
    assert [row.role for row in silent] == [GONE, KILLED, GONE]


def test_story_asks_nobody_while_it_waits_for_the_last_signals() -> None:
    """However long that takes, nobody is called gone."""
    settled = {"distinct": 0, "droppedSignals": 0, "byPid": {}}
    backend = SimpleNamespace(
        signals=lambda: settled, redelivered=dict, polls=lambda: 1
    )
    roster = Roster()
    roster.see(answer(time.monotonic(), is_open=True, role="leader"))
    story: Any = Story(
        cast("Any", SimpleNamespace(backend=backend, started_at=0.0)),
        workers=1,
        watch_seconds=0.0,
        display=PlainDisplay(roster),
        roster=roster,
        patience=Patience(),
    )
    story._collect(Takeover(killed=8, seconds=0.1))
    (row,) = roster.rows(time.monotonic() + SILENCE_SECONDS + 1.0)
    assert row.role == "leader"


def test_table_shows_the_age_of_the_bundle_as_it_is_now() -> None:
    """The age grows while a worker is silent, and is a dash if nobody knows it."""
    roster = Roster()
    seen = answer(1.0, is_open=True)
    roster.see(seen)
    (row,) = roster.rows(now=seen.received_at + 2.0)
    assert cells(row) == ("7", "x", "5", "open", "1", "2.5 s ago")
    unknown = Row(7, "x", 5, is_open=False, checks=1, age_seconds=None)
    assert cells(unknown)[-3:] == ("closed", "1", "-")


def test_answer_of_a_worker_that_is_being_revived_does_not_count() -> None:
    """What it inherited may be older than the last change, and it cannot wait."""
    changes = [Change(is_open=False), Change(is_open=True, asked_at=1, followed_at=2)]
    stale = answer(5.0, is_open=False, pid=7, role="follower")
    assert count_wrong([stale], changes) == 1
    assert count_wrong([stale._replace(role="parked")], changes) == 0
