"""Simulates fleets and writes what the documentation shows of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from liteguard.version import __version__
from stress.fleet import pictures
from stress.fleet.figures import simulate
from stress.fleet.tables import tables

_ROOT = Path(__file__).resolve().parents[2]
_FILE = click.Path(path_type=Path, dir_okay=False)
_FOLDER = click.Path(path_type=Path, file_okay=False)
_REPORT = _ROOT / "stress" / "report"


@click.command()
@click.option(
    "--hosts",
    type=click.IntRange(min=1),
    multiple=True,
    default=[10, 100, 1_000, 10_000, 100_000],
    show_default=True,
    help="Size of a fleet; give it several times for a curve.",
)
@click.option(
    "--results",
    type=_FILE,
    default=_REPORT / "fleet.json",
    help="Where all figures go, as JSON.",
)
@click.option(
    "--docs",
    type=_FOLDER,
    default=_REPORT,
    help="Where the tables (scale-figures.md) and curves (scale-*.svg) go.",
)
@click.option("--redraw", is_flag=True, help="Only draw what --results holds.")
def main(hosts: list[int], results: Path, docs: Path, *, redraw: bool) -> None:
    """Simulate fleets of hosts, and write figures, tables and curves."""
    if not redraw:
        figures = {"version": __version__, **simulate(hosts, _tell)}
        results.parent.mkdir(parents=True, exist_ok=True)
        results.write_text(json.dumps(figures))
    figures = json.loads(results.read_text())
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "scale-figures.md").write_text(tables(figures))
    pictures.draw(figures, docs)


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(prog_name="python -m stress.fleet", auto_envvar_prefix="STRESS_FLEET")
