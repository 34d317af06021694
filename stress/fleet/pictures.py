"""The figures as curves of the documentation."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib import pyplot as plt

from stress.fleet import scenarios
from stress.fleet.figures import USUAL_WORKERS, Figures, select

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PAPER, _INK, _SHADE = "#ffffff", "#1c2430", "#e8ecf1"
_OURS, _NEW = "#1b7f5c", "#2f6fb5"
_THEIRS = {4: "#d9a066", 16: "#c4702b", 64: "#8f4310"}
# As drawn, and on a dark page.
_DARK = {
    _PAPER: "#14181f",
    _INK: "#e6ebf2",
    _SHADE: "#2a3342",
    _OURS: "#4cc79a",
    _NEW: "#7ea6e0",
    _THEIRS[4]: "#f3cfa5",
    _THEIRS[16]: "#f0a06a",
    _THEIRS[64]: "#d4703a",
}


def draw(figures: Figures, folder: Path) -> None:
    """Draw all pictures into *folder*, the same ones for the same figures."""
    plt.rcParams.update(
        {
            "svg.hashsalt": "fleet",
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.sans-serif": ["system-ui", "DejaVu Sans"],
            "figure.facecolor": _PAPER,
            "axes.facecolor": _PAPER,
            **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), _INK),
            **dict.fromkeys(("xtick.color", "ytick.color"), _INK),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
            "legend.fontsize": "small",
        }
    )
    _save(_by_hosts(figures), folder / "scale-hosts.svg")
    _save(_outage(figures), folder / "scale-outage.svg")
    _save(_deploy(figures), folder / "scale-deploy.svg")


def _by_hosts(figures: Figures) -> Figure:
    figure, panels = plt.subplots(
        1, 3, figsize=(11, 4.5), sharey=True, layout="constrained"
    )
    outage, deploy, new = (
        story.name
        for story in (scenarios.OUTAGE, scenarios.DEPLOY, scenarios.DEPLOY_NEW)
    )
    _lines(panels[0], figures, outage, "rest")
    _lines(panels[1], figures, deploy, "during_peak")
    ours = select(figures["ours"], scenario=new)
    _line(panels[1], ours, "during_peak", _NEW, "this package, new containers")
    _lines(panels[2], figures, outage, "after_peak")
    titles = ["at rest", "fullest second of a deploy", "fullest second after an outage"]
    for axes, title in zip(panels, titles):
        axes.set(xscale="log", yscale="log", title=title, xlabel="hosts")
    panels[0].set_ylabel("polls per second")
    figure.legend(
        *panels[1].get_legend_handles_labels(), loc="outside upper center", ncols=3
    )
    return figure


def _lines(axes: Axes, figures: Figures, story: str, phase: str) -> None:
    _line(axes, select(figures["ours"], scenario=story), phase, _OURS, "this package")
    for workers, color in _THEIRS.items():
        rows = select(figures["published"], scenario=story, workers=workers)
        _line(axes, rows, phase, color, f"each of {workers} workers for itself")


def _line(axes: Axes, rows: list[Figures], phase: str, color: str, label: str) -> None:
    hosts = [row["hosts"] for row in rows]
    axes.plot(hosts, [row[phase] for row in rows], "o-", color=color, label=label)


def _outage(figures: Figures) -> Figure:
    figure, axes = plt.subplots(figsize=(11, 4), layout="constrained")
    story = scenarios.OUTAGE
    axes.axvspan(*_minutes((story.during[0], story.during[-1])), color=_SHADE)
    axes.text(0.1, 0.98, "down", transform=axes.get_xaxis_transform(), va="top")
    _curve(axes, _largest(figures["published"], story.name), _THEIRS[16], _theirs())
    _curve(axes, _largest(figures["ours"], story.name), _OURS, "this package")
    asking = _largest(figures["ours"], scenarios.OUTAGE_ASKING.name)
    label = "this package, told to come again in 60 s"
    _curve(axes, asking, _NEW, label)
    _label(axes, figures)
    return figure


def _deploy(figures: Figures) -> Figure:
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(11, 6), sharex=True, layout="constrained"
    )
    story, new = scenarios.DEPLOY.name, scenarios.DEPLOY_NEW.name
    label = "this package, in new containers"
    _curve(above, _largest(figures["ours"], new), _NEW, label)
    label = "this package, the state folder outlives the deploy"
    _curve(above, _largest(figures["ours"], story), _OURS, label)
    _curve(below, _largest(figures["published"], story), _THEIRS[16], _theirs())
    for axes in (above, below):
        _label(axes, figures)
    above.set_xlabel("")
    return figure


def _curve(axes: Axes, row: Figures, color: str, label: str) -> None:
    counts = row["each_second"]
    axes.plot(_minutes(range(len(counts))), counts, color=color, label=label, lw=1)


def _label(axes: Axes, figures: Figures) -> None:
    hosts = max(row["hosts"] for row in figures["ours"])
    axes.set(xlabel="minutes", ylabel=f"polls per second of {hosts:,} hosts")
    axes.set_xlim(left=-3)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)


def _theirs() -> str:
    return f"each of {USUAL_WORKERS} workers for itself"


def _minutes(seconds: Iterable[float]) -> list[float]:
    return [(second - scenarios.BEGIN_SECONDS) / 60.0 for second in seconds]


def _largest(rows: Iterable[Figures], story: str) -> Figures:
    of_story = [
        row
        for row in select(rows, scenario=story)
        if row.get("workers", USUAL_WORKERS) == USUAL_WORKERS
    ]
    return max(of_story, key=lambda row: row["hosts"])


def _save(figure: Figure, path: Path) -> None:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    plt.close(figure)
    path.write_text(_for_dark_pages(drawn.getvalue()))


def _for_dark_pages(picture: str) -> str:
    """Let *picture* follow the page: its colours are in style attributes."""
    rules = "".join(
        f'[style*="fill: {light}"]{{fill:{dark}!important}}'
        f'[style*="stroke: {light}"]{{stroke:{dark}!important}}'
        for light, dark in _DARK.items()
    )
    style = f"<style>@media (prefers-color-scheme: dark){{{rules}}}</style>"
    return picture.replace("<defs>", f"{style}\n <defs>", 1)
