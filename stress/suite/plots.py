"""Draws what a run came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("svg")  # no window
from matplotlib import pyplot as plt

from stress.suite.places import OURS, PUBLISHED

if TYPE_CHECKING:
    from pathlib import Path

Document = dict[str, Any]
COLORS = {OURS: "#1b7f5c", PUBLISHED: "#9aa5b1"}
NAMES = {OURS: "here", PUBLISHED: "published 0.7"}
FATES = {"delivered": "#1b7f5c", "dropped": "#e0b252", "lost": "#c0392b"}


def staleness(document: Document, path: Path) -> None:
    """Draw how old the bundle of the slowest process was, over time."""
    figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
    for package, color in COLORS.items():
        figures = document[package]["figures"]
        if figures:
            axes.plot(*zip(*figures["samples"]), color=color, label=NAMES[package])
    ours = document[OURS]["figures"]
    for begin, end in ours["troubles"] if ours else ():
        axes.axvspan(begin, end, color="#f3d9d4", zorder=0, label="trouble")
    axes.set_xlabel("seconds")
    axes.set_ylabel("staleness, s")
    axes.set_ylim(bottom=0)
    if ours:
        axes.legend(loc="upper right")
    _save(figure, path)


def fates(documents: list[Document], path: Path) -> None:
    """Draw which share of the checks was delivered, reported dropped, and lost."""
    figure, axes = plt.subplots(
        figsize=(8, 1 + 0.45 * len(documents)), layout="constrained"
    )
    for place, document in enumerate(documents):
        for package, offset in ((OURS, -0.2), (PUBLISHED, 0.2)):
            figures = document[package]["figures"]
            if figures and figures["made"]:
                _bar(axes, place + offset, figures)
    axes.set_yticks(
        range(len(documents)),
        [f"{document['title']}" for document in documents],
    )
    axes.invert_yaxis()
    axes.set_xlabel("% of the checks; above here, below published 0.7")
    axes.set_xlim(0, 100)
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in FATES.values()]
    figure.legend(handles, FATES, loc="outside upper right", ncols=len(FATES))
    _save(figure, path)


def _bar(axes: Any, place: float, figures: Document) -> None:
    left = 0.0
    for fate, color in FATES.items():
        share = min(100.0 - left, 100.0 * figures[fate] / figures["made"])
        axes.barh(place, share, height=0.35, left=left, color=color)
        left += share


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
