"""What the demo promises, and whether what was counted keeps it. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

MEASURING_SECONDS = 2.0
"""Allowed beyond a promised time: answers are looked at now and then, and the machine
may have other work."""

_JITTER = 0.1
# The first poll of all, and one more because a new leader may not know of the last.
_EXTRA_POLLS = 2


class Promise(NamedTuple):
    """One promise.

    Args:
        text: What is promised.
        is_kept: Whether it was kept.
        evidence: The numbers that tell.
    """

    text: str
    is_kept: bool
    evidence: str


@dataclass(frozen=True)
class Evidence:
    """What was counted; times in seconds.

    Args:
        workers: How many workers there were.
        refresh_seconds: The clients' refresh rate.
        reload_seconds: The clients' reload rate.
        measured_seconds: From the start of the server to the count of polls.
        polls: Polls at the backend in that time.
        followed_seconds: For each change, how long until every worker followed it.
        takeover_seconds: From the kill of the leader to the first answer of another.
        answered: Checks that were answered.
        cut_off: Requests whose check was made or was not.
        delivered: Different signals at the backend.
        repeated: Deliveries of a signal that the backend had already.
        repeated_of_killed: Those of them that the killed leader had delivered.
        dropped: Signals that clients say they dropped.
        left_behind: Answered checks of the killed leader that it had not sent itself.
        wrong: Answers that no value of the guard explains.
    """

    workers: int
    refresh_seconds: float
    reload_seconds: float
    measured_seconds: float
    polls: int
    followed_seconds: tuple[float, ...]
    takeover_seconds: float
    answered: int
    cut_off: int
    delivered: int
    repeated: int
    repeated_of_killed: int
    dropped: int
    left_behind: int
    wrong: int


def judge(evidence: Evidence) -> list[Promise]:
    """Return every promise with its verdict."""
    return [
        _followed(evidence),
        _one_poller(evidence),
        _taken_over(evidence),
        _none_lost(evidence),
        _none_twice(evidence),
        _answered_right(evidence),
    ]


def conclusion(promises: list[Promise]) -> str:
    """Return how many of *promises* were kept, as a sentence."""
    broken = sum(not promise.is_kept for promise in promises)
    if broken:
        return f"{broken} of {len(promises)} promises broken."
    return f"All {len(promises)} promises kept."


def separate_polls(evidence: Evidence) -> int:
    """Return how many polls as many separate pollers would have made."""
    rounds = int(evidence.measured_seconds / evidence.refresh_seconds) + 1
    return evidence.workers * rounds


def _followed(seen: Evidence) -> Promise:
    promised = seen.refresh_seconds + seen.reload_seconds
    times = " and ".join(f"{seconds:.2f} s" for seconds in seen.followed_seconds)
    return Promise(
        "every worker followed every change",
        max(seen.followed_seconds) <= promised + MEASURING_SECONDS,
        f"after {times}; refresh plus reload interval is {promised:g} s",
    )


def _one_poller(seen: Evidence) -> Promise:
    shortest = seen.refresh_seconds * (1 - _JITTER)
    most = int(seen.measured_seconds / shortest) + _EXTRA_POLLS
    return Promise(
        "one process polled for all",
        seen.polls <= most,
        f"{seen.polls} polls in {seen.measured_seconds:.1f} s; "
        f"{seen.workers} separate pollers would have made {separate_polls(seen)}",
    )


def _taken_over(seen: Evidence) -> Promise:
    return Promise(
        "a new leader took over",
        seen.takeover_seconds <= seen.reload_seconds + MEASURING_SECONDS,
        f"{seen.takeover_seconds:.2f} s after kill -9 of the old one, amid requests",
    )


def _none_lost(seen: Evidence) -> Promise:
    return Promise(
        "no check was lost",
        seen.delivered >= seen.answered and not seen.dropped,
        f"{seen.answered} answered, {seen.cut_off} cut off; "
        f"{seen.delivered} delivered, {seen.left_behind} left by the killed leader; "
        f"{seen.dropped} dropped",
    )


def _none_twice(seen: Evidence) -> Promise:
    # A batch that was sent and not acknowledged at the kill must come again.
    unexplained = seen.repeated - seen.repeated_of_killed
    most = seen.answered + seen.cut_off
    excused = f", {seen.repeated_of_killed} sent by the leader as it was killed"
    return Promise(
        "no check was counted twice",
        seen.delivered <= most and not unexplained,
        f"{seen.delivered} signals of at most {most} checks; {seen.repeated} came again"
        + (excused if seen.repeated_of_killed else ""),
    )


def _answered_right(seen: Evidence) -> Promise:
    return Promise(
        "every answer was right",
        not seen.wrong,
        f"{seen.wrong} of {seen.answered} wrong, the respawned worker's included",
    )
