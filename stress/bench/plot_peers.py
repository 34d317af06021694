"""Draws what `peers.py` measured; runs in an environment with matplotlib."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib import pyplot as plt

FLOOR, OURS = "floor", "liteguard"


def main(results: Path, picture: Path) -> None:
    """Draw one bar for each SDK, the fastest at the top."""
    plt.rcParams["svg.hashsalt"] = "benchmark"  # the same picture for the same figures
    told = json.loads(results.read_text())
    checks = {name: cases["one rule"] / 1000 for name, cases in told["medians"].items()}
    names = sorted(checks, key=checks.__getitem__, reverse=True)
    records = told["records"]
    labels = [f"{n} ({records[n]})" if n in records else n for n in names]
    colors = ["#1b7f5c" if n == OURS else "#9aa5b1" for n in names]
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    bars = axes.barh(labels, [checks[name] for name in names], color=colors)
    axes.bar_label(bars, [f"{checks[name]:.1f}" for name in names], padding=3)
    axes.set_xscale("log")
    axes.set_xlabel("microseconds for one check with one EQUALS rule (what it records)")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
