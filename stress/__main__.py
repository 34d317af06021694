"""The stress suite: real processes, hard times, and a verdict on each promise.

``python -m stress`` runs all of it. See ``docs/stress.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Optional

import click
from rich.console import Console

from stress.suite.places import ROOT, SCENARIOS
from stress.suite.report import summary, write
from stress.suite.running import run_all
from stress.suite.scenario import Scenario, load_all

REPORT = ROOT / "stress" / "report"
FIGURES = ROOT / "docs" / "stress-figures.md"


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help="Run this one; repeatable.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    help="How long each scenario is looked at, once it runs.  [default: its own time]",
)
@click.option(
    "--soak",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="The same for the soak alone.",
)
@click.option(
    "--workers",
    default=8,
    show_default=True,
    type=click.IntRange(min=2),
    help="Processes of a scenario, unless it needs another number.",
)
@click.option(
    "--alone", is_flag=True, help="Leave out the published package beside this one."
)
@click.option(
    "--report",
    default=REPORT,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where figures and report are written.  [default: stress/report]",
)
@click.option(
    "--scenarios",
    default=SCENARIOS,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where the scenarios lie.  [default: stress/scenarios]",
)
@click.option(
    "--write-docs", is_flag=True, help="Write the table of the documentation anew."
)
@click.option("--list", "lists", is_flag=True, help="Tell the scenarios, and end.")
def main(
    *,
    only: tuple[str, ...],
    seconds: Optional[float],
    soak: Optional[float],
    workers: int,
    alone: bool,
    report: Path,
    scenarios: Path,
    write_docs: bool,
    lists: bool,
) -> None:
    """Put the package under stress, and tell which promises it kept.

    Ends with status 1 if one was broken, or if a scenario could not be played to its
    end. The report is FOLDER/report.md, with a JSON file for each scenario beside it.
    """
    if write_docs and only:
        raise click.UsageError("--write-docs shows all scenarios: leave --only out")
    known = load_all(scenarios)
    chosen = [_lasting(one, seconds, soak) for one in _chosen(known, only)]
    if lists:
        for scenario in chosen:
            time = f"{scenario.seconds:g} s"
            click.echo(f"{scenario.name:20} {time:>7}  {scenario.title}")
        return
    console = Console(stderr=True)
    outcomes = run_all(chosen, workers, console, is_alone=alone)
    documents = write(outcomes, report)
    if write_docs:
        FIGURES.write_text(summary(documents))
    console.print(f"Report: {report / 'report.md'}", soft_wrap=True)
    sys.exit(not all(outcome.is_well for outcome in outcomes))


def _chosen(known: dict[str, Scenario], names: tuple[str, ...]) -> list[Scenario]:
    for name in names:
        if name not in known:
            raise click.BadParameter(
                f"no scenario is named {name!r}: choose of {', '.join(known)}",
                param_hint="--only",
            )
    return [known[name] for name in names or known]


def _lasting(
    scenario: Scenario, seconds: Optional[float], soak: Optional[float]
) -> Scenario:
    asked = (scenario.name == "soak" and soak) or seconds
    return scenario._replace(seconds=asked or scenario.seconds)


if __name__ == "__main__":
    main(prog_name="python -m stress", auto_envvar_prefix="STRESS")
