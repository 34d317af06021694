"""Runs the chosen scenarios, and tells on the terminal how far it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stress.suite.places import OURS
from stress.suite.runner import Outcome, play

if TYPE_CHECKING:
    from rich.console import Console

    from stress.suite.scenario import Scenario


def run_all(
    scenarios: list[Scenario], workers: int, console: Console, *, is_alone: bool
) -> list[Outcome]:
    """Play one after another, under a progress bar, and tell each verdict.

    Args:
        scenarios: Which.
        workers: How many processes each has, unless it needs another number.
        console: Where to tell.
        is_alone: Whether to leave the published package out.
    """
    outcomes = []
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        whole = progress.add_task("", total=len(scenarios))
        for scenario in scenarios:
            progress.update(whole, description=scenario.title)
            outcome = play(scenario, workers, is_alone=is_alone, tell=progress.refresh)
            outcomes.append(outcome)
            _tell(outcome, console)
            progress.advance(whole)
    return outcomes


def _tell(outcome: Outcome, console: Console) -> None:
    ours = outcome.parts[OURS]
    if outcome.has_failed:
        console.print(f"[red]failed[/]  {outcome.scenario.title}")
        console.print(ours.why_not, markup=False)
    elif ours.why_not:
        console.print(f"[yellow]not run[/] {outcome.scenario.title}: {ours.why_not}")
    else:
        word = "[red]broken[/] " if ours.broken else "[green]kept[/]   "
        number = f"{len(ours.verdicts)} promises"
        console.print(f"{word} {outcome.scenario.title}: {number}")
        for verdict in ours.broken:
            console.print(f"        {verdict.text}: {verdict.evidence}", markup=False)
