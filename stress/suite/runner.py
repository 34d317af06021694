"""Plays scenarios one after another, each bounded in time, and judges what was seen."""

from __future__ import annotations

import signal
import tempfile
import traceback
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional

from stress.counting import counting
from stress.suite.places import OURS, PUBLISHED
from stress.suite.promises import Verdict, judged
from stress.suite.stage import CannotRun, Plan, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.suite.figures import Figures
    from stress.suite.scenario import Scenario

LONGEST_BESIDES_SECONDS = 180
"""How long a scenario may take beyond its own time: to start, to end, to deliver."""


class Overtime(Exception):
    """A scenario did not end in its time."""


@dataclass
class Part:
    """One package in one scenario.

    Args:
        figures: What was seen; ``None`` if it did not take part or failed.
        verdicts: On each promise.
        why_not: Why there are no figures.
    """

    figures: Optional[Figures] = None
    verdicts: list[Verdict] = field(default_factory=list)
    why_not: str = ""

    @property
    def broken(self) -> list[Verdict]:
        """The promises that were not kept."""
        return [verdict for verdict in self.verdicts if not verdict.is_kept]

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "figures": self.figures.document() if self.figures else None,
            "verdicts": [verdict._asdict() for verdict in self.verdicts],
            "why_not": self.why_not,
        }


@dataclass
class Outcome:
    """What became of a scenario.

    Args:
        scenario: The scenario.
        parts: By package.
        has_failed: Whether it could not be played to its end.
    """

    scenario: Scenario
    parts: dict[str, Part]
    has_failed: bool = False

    @property
    def is_well(self) -> bool:
        """Whether this tree's package kept every promise."""
        return not self.has_failed and not self.parts[OURS].broken

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "name": self.scenario.name,
            "title": self.scenario.title,
            "text": self.scenario.text,
            "is_well": self.is_well,
            "has_failed": self.has_failed,
            **{package: part.document() for package, part in self.parts.items()},
        }


def play(
    scenario: Scenario, workers: int, *, is_alone: bool, tell: Callable[[], None]
) -> Outcome:
    """Play a scenario with this tree's package, and then with the published one.

    Args:
        scenario: The scenario.
        workers: How many processes it has, unless it needs another number.
        is_alone: Whether to leave the published package out.
        tell: Called now and then.
    """
    outcome = Outcome(scenario, {OURS: Part(), PUBLISHED: Part()})
    ours, published = outcome.parts.values()
    try:
        _play_part(scenario, workers, OURS, ours, tell)
    except Exception:  # noqa: BLE001  the other scenarios go on
        outcome.has_failed, ours.why_not = True, traceback.format_exc()
    published.why_not = "left out" if is_alone else scenario.beside
    if not published.why_not and not ours.why_not:
        try:
            _play_part(scenario, workers, PUBLISHED, published, tell)
        except Exception as error:  # noqa: BLE001  it is not what is judged
            published.why_not = f"failed: {error}"
    return outcome


def _play_part(
    scenario: Scenario, workers: int, package: str, part: Part, tell: Callable[[], None]
) -> None:
    plan = Plan(scenario.seconds, workers)
    longest = plan.seconds + LONGEST_BESIDES_SECONDS
    with tempfile.TemporaryDirectory(prefix="stress-") as folder, _within(longest):
        with counting(**scenario.options) as backend:
            stage = Stage(package, plan, backend, Path(folder), tell)
            try:
                scenario.play(stage)
            except CannotRun as reason:
                part.why_not = str(reason)
            else:
                part.figures = stage.figures
        if part.figures:
            part.verdicts = judged(scenario.promises, part.figures)


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def end(*_: object) -> None:
        raise Overtime(f"it did not end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
