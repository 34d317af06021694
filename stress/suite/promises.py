"""What scenarios promise, and whether what was seen keeps it. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, NamedTuple

if TYPE_CHECKING:
    from stress.suite.figures import Figures

_JITTER = 0.1
# The first poll of all, and one more because a new leader may not know of the last.
_EXTRA_POLLS = 2
_SPARE = {"memory_mib": 8.0, "descriptors": 3.0, "threads": 1.0}
"""What an allocator may keep, a connection and a journal that are there or not."""


class Promise(NamedTuple):
    """One promise.

    Args:
        text: What is promised.
        is_kept: Whether it was kept.
        evidence: The numbers that tell.
    """

    text: str
    is_kept: Callable[[Figures], bool]
    evidence: Callable[[Figures], str]


class Verdict(NamedTuple):
    """Whether a promise was kept.

    Args:
        text: What was promised.
        is_kept: Whether it was kept.
        evidence: The numbers that tell.
    """

    text: str
    is_kept: bool
    evidence: str


def judged(promises: tuple[Promise, ...], figures: Figures) -> list[Verdict]:
    """Return the verdict on each promise."""
    return [
        Verdict(one.text, one.is_kept(figures), one.evidence(figures))
        for one in promises
    ]


def one_poller(times: float = 1.0) -> Promise:
    """All processes together poll as often as one, or *times* as often."""

    def is_kept(seen: Figures) -> bool:
        shortest = seen.refresh_seconds * (1 - _JITTER)
        return seen.polls <= times * seen.seconds / shortest + _EXTRA_POLLS

    often = "once" if times == 1.0 else f"at most {times:g} times"
    return Promise(
        f"the host polls {often} in a refresh interval",
        is_kept,
        lambda seen: f"{seen.polls_per_interval:.2f} with {seen.processes} processes",
    )


def follows(more_seconds: float = 0.0) -> Promise:
    """Each process has a change within refresh and reload interval, or a bit more."""
    more = f" and {more_seconds:g} s" if more_seconds else ""
    return Promise(
        f"every process has a change within refresh and reload interval{more}",
        lambda seen: (
            bool(seen.samples)
            and seen.staleness()["max"]
            <= seen.promised_seconds + more_seconds + seen.grace_seconds
        ),
        lambda seen: (
            f"at most {seen.staleness()['max']:.2f} s, half of the time "
            f"{seen.staleness()['p50']:.2f} s; promised {seen.promised_seconds:g} s"
        ),
    )


def recovers(within_seconds: float) -> Promise:
    """Each process is up to date again soon after the trouble."""

    def evidence(seen: Figures) -> str:
        taken = seen.caught_up_seconds()
        return "not before the end" if taken is None else f"{taken:.2f} s"

    def is_kept(seen: Figures) -> bool:
        taken = seen.caught_up_seconds()
        return taken is not None and taken <= within_seconds + seen.grace_seconds

    return Promise(
        f"every process is up to date within {within_seconds:g} s after the trouble",
        is_kept,
        evidence,
    )


def none_lost() -> Promise:
    """Each check is delivered or reported as dropped."""
    return Promise(
        "every check is delivered or reported dropped",
        lambda seen: not seen.lost and seen.made > 0,
        lambda seen: (
            f"{seen.made:,} made, {seen.delivered:,} delivered, "
            f"{seen.dropped:,} dropped, {seen.lost:,} lost"
        ),
    )


def none_twice() -> Promise:
    """No signal comes twice where no process and no connection dies."""
    return Promise(
        "no signal comes twice",
        lambda seen: not seen.again and not seen.surplus,
        lambda seen: f"{seen.again:,} came again, {seen.surplus:,} without a check",
    )


def answers_right() -> Promise:
    """Each answer is right by some generation, and none goes back in time."""
    return Promise(
        "every answer is right, and none goes back in time",
        lambda seen: not seen.wrong,
        lambda seen: f"{seen.wrong:,} of {seen.made:,} wrong",
    )


def harmless() -> Promise:
    """No process hangs, dies or reports a defect."""
    return Promise(
        "no process hangs, dies or reports a defect",
        lambda seen: not (seen.hangs or seen.deaths or seen.reports),
        lambda seen: f"{seen.hangs} hung, {seen.deaths} died, {seen.reports} reports",
    )


def steady() -> Promise:
    """Memory, descriptors and threads do not grow."""
    return Promise(
        "memory, descriptors and threads do not grow",
        lambda seen: all(
            grown <= _SPARE[name] for name, grown in seen.growth().items()
        ),
        lambda seen: ", ".join(
            f"{name.replace('_mib', ', MiB')} {grown:+.1f}"
            for name, grown in seen.growth().items()
        ),
    )


USUAL = (one_poller(), follows(), none_lost(), answers_right(), harmless())
"""What is promised where nothing else is said."""
