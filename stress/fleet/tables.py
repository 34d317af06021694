"""The figures as tables of the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.fleet import scenarios
from stress.fleet.figures import USUAL_WORKERS, Figures, select

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TITLES = {story.name: story.title for story in [*scenarios.ALL, *scenarios.WHOLE]}


def tables(figures: Figures) -> str:
    """Return Markdown with all tables, each below a heading."""
    return "\n".join(
        (
            "### Polls at rest, by the number of hosts\n",
            _at_rest(figures),
            "### Polls of the largest fleet\n",
            _largest(figures),
            "### Signals\n",
            _signals(figures["signals"]),
            "### Whole hosts\n",
            _whole(figures["whole"]),
        )
    )


def _at_rest(figures: Figures) -> str:
    theirs = figures["published"]
    workers = sorted({row["workers"] for row in theirs})
    heads = [f"published, {count} workers" for count in workers]
    rows = []
    for row in select(figures["ours"], scenario=scenarios.OUTAGE.name):
        others = select(theirs, scenario=row["scenario"], hosts=row["hosts"])
        beside = [_number(other["rest"]) for other in others]
        rows.append([_number(row["hosts"]), _number(row["rest"]), *beside])
    return _table(["hosts", "this package", *heads], rows)


def _largest(figures: Figures) -> str:
    hosts = max(row["hosts"] for row in figures["ours"])
    rows = []
    for row in select(figures["ours"], hosts=hosts):
        (other,) = select(
            figures["published"],
            hosts=hosts,
            scenario=row["scenario"],
            workers=USUAL_WORKERS,
        )
        cells = [row["rest"], row["during_peak"], row["after_peak"]]
        beside = [other["rest"], other["during_peak"], other["after_peak"]]
        title = _TITLES[row["scenario"]]
        rows.append([title, *map(_number, cells), *map(_number, beside)])
    phases = ["at rest", "fullest second", "fullest second afterwards"]
    heads = [*phases, *(f"published: {phase}" for phase in phases)]
    return _table([f"{_number(hosts)} hosts", *heads], rows)


def _signals(signals: Iterable[Figures]) -> str:
    rows = []
    for row in signals:
        share = 1000.0 / row["processes"]
        names = ("rest", "during", "during_peak", "after", "after_peak")
        cells = [_number(row[name] * share) for name in names]
        rows.append([_TITLES[row["scenario"]], *cells])
    heads = ["at rest", "meanwhile", "fullest second", "afterwards", "fullest second"]
    return _table(["of 1,000 processes", *heads], rows)


def _whole(whole: Iterable[Figures]) -> str:
    rows = [
        [
            _TITLES[row["scenario"]],
            _number(row["hosts"]),
            _number(row["workers"]),
            _number(row["polls"]),
            _number(row["polls_of_leaders_alone"]),
        ]
        for row in whole
    ]
    heads = ["hosts", "workers of each", "polls", "polls of the leaders alone"]
    return _table(["", *heads], rows)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"  # noqa: PLR2004


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    line = "| --- |" + " ---: |" * (len(heads) - 1)
    lines = ["| " + " | ".join(cells) + " |" for cells in (heads, *rows)]
    return "\n".join([lines[0], line, *lines[1:], ""])
