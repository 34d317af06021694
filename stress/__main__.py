"""The stress suite: real processes, hard times, and a verdict on each promise.

``python -m stress`` runs all of it. See ``docs/stress.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from stress.suite.places import ROOT, SCENARIOS
from stress.suite.report import summary, write
from stress.suite.running import run_all
from stress.suite.scenario import Scenario, load_all
from stress.suite.stage import Plan

REPORT = ROOT / "stress" / "report"
FIGURES = ROOT / "docs" / "stress-figures.md"


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help="Run this one; repeatable.")
@click.option(
    "--seconds",
    default=8.0,
    show_default=True,
    type=click.FloatRange(min=1),
    help="How long each scenario is looked at, once it runs.",
)
@click.option(
    "--soak",
    default=20.0,
    show_default=True,
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="How long the soak is looked at.",
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
    seconds: float,
    soak: float,
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
    chosen = _chosen(load_all(scenarios), only)
    if lists:
        for scenario in chosen:
            click.echo(f"{scenario.name:20} {scenario.title}")
        return
    console = Console(stderr=True)
    outcomes = run_all(chosen, Plan(seconds, workers, soak), console, is_alone=alone)
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


if __name__ == "__main__":
    main(prog_name="python -m stress")
