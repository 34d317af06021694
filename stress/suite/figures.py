"""What a scenario came to, in numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import TYPE_CHECKING, Any, Optional

from stress.programs.subject import RELOAD_SHARE

if TYPE_CHECKING:
    from stress.suite.processes import Usage
    from stress.suite.sampling import Sample

GRACE_SECONDS = 2.0
"""Allowed beyond a promised time on a machine that has nothing else to do."""
MOST_POINTS = 600
_THIRDS = 3


@dataclass
class Figures:
    """What was seen of one package in one scenario; times in seconds.

    Args:
        seconds: For how long it was looked at.
        refresh_seconds: The refresh interval.
        processes: Most processes that there were at a time.
        polls: Requests for guards in that time.
        samples: The staleness of the slowest process at each moment.
        troubles: When the trouble was that the scenario makes.
        begun: Checks that were begun.
        made: Checks that have returned.
        delivered: Different signals that arrived.
        dropped: Signals that were reported as dropped.
        again: Signals that arrived again.
        wrong: Answers that were wrong.
        hangs: Processes that did not look, did not answer or did not end in time.
        deaths: Processes that ended in another way than the scenario meant.
        reports: Lines of the log that are to be reported as defects.
        longest_check_ms: The longest that one check took.
        processors: Processors in use on average.
        usages: What the largest process held at each moment.
        busy: How many processes wanted each core just before.
        log: The end of what the processes have written.
        more: What only this scenario counts.
    """

    seconds: float
    refresh_seconds: float
    processes: int
    polls: int
    samples: list[Sample]
    troubles: list[tuple[float, float]]
    begun: int
    made: int
    delivered: int
    dropped: int
    again: int
    wrong: int
    hangs: int
    deaths: int
    reports: int
    longest_check_ms: float
    processors: float
    usages: list[Usage]
    busy: float
    log: str
    more: dict[str, float] = field(default_factory=dict)

    @property
    def polls_per_interval(self) -> float:
        """Polls of the host in one refresh interval."""
        return self.polls * self.refresh_seconds / self.seconds

    @property
    def lost(self) -> int:
        """Checks that are neither delivered nor reported as dropped."""
        return max(0, self.made - self.delivered - self.dropped)

    @property
    def surplus(self) -> int:
        """Signals for which there was no check, or which were counted twice."""
        return max(0, self.delivered + self.dropped - self.begun)

    @property
    def grace_seconds(self) -> float:
        """What is allowed beyond a promised time: others may want the machine too."""
        return GRACE_SECONDS * max(1.0, self.busy)

    @property
    def promised_seconds(self) -> float:
        """What staleness may be: refresh interval and reload interval."""
        return self.refresh_seconds * (1 + RELOAD_SHARE)

    def staleness(self) -> dict[str, float]:
        """Return percentiles of the staleness of the slowest process."""
        values = [sample.staleness for sample in self.samples] or [0.0]
        cuts = quantiles(values, n=100) if len(values) > 1 else values * 99
        return {"p50": cuts[49], "p99": min(cuts[98], max(values)), "max": max(values)}

    def caught_up_seconds(self) -> Optional[float]:
        """Return how long after the last trouble all were as fresh as promised.

        ``None`` if they were not before the end, or if there was no trouble.
        """
        if not self.troubles:
            return None
        end = max(end for _, end in self.troubles)
        after = [sample for sample in self.samples if sample.at >= end]
        late = [s for s in after if s.staleness > self.promised_seconds]
        if not after or (late and late[-1] is after[-1]):
            return None
        return late[-1].at - end if late else 0.0

    def growth(self) -> dict[str, float]:
        """Return what the largest process held more in the last third than first."""
        third = max(1, len(self.usages) // _THIRDS)
        first, last = self.usages[:third], self.usages[-third:]
        return {
            name: median(later) - median(earlier)
            for name, earlier, later in zip(_names(first), zip(*first), zip(*last))
        }

    def peaks(self) -> dict[str, float]:
        """Return the most that a process held."""
        return {name: max(v) for name, v in zip(_names(self.usages), zip(*self.usages))}

    def document(self) -> dict[str, Any]:
        """Return all of it as JSON has it, moments counted from the first sample."""
        told = asdict(self)
        begin = self.samples[0].at if self.samples else 0.0
        told["samples"] = [[s.at - begin, s.staleness] for s in _thinned(self.samples)]
        told["troubles"] = [[a - begin, b - begin] for a, b in self.troubles]
        del told["usages"]
        return {
            **told,
            "polls_per_interval": self.polls_per_interval,
            "lost": self.lost,
            "surplus": self.surplus,
            "staleness": self.staleness(),
            "caught_up_seconds": self.caught_up_seconds(),
            "peaks": self.peaks(),
            "growth": self.growth(),
        }


def _names(usages: list[Usage]) -> tuple[str, ...]:
    return usages[0]._fields if usages else ()


def _thinned(samples: list[Sample]) -> list[Sample]:
    """Return few enough to draw: the worst of each stretch."""
    stretch = len(samples) // MOST_POINTS + 1
    return [
        max(samples[start : start + stretch], key=lambda sample: sample.staleness)
        for start in range(0, len(samples), stretch)
    ]
