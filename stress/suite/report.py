"""Writes what a run came to: JSON for each scenario and all, and a page with plots."""

from __future__ import annotations

import json
import os
import platform
from typing import TYPE_CHECKING, Any

from stress.suite import plots
from stress.suite.places import OURS, PUBLISHED

if TYPE_CHECKING:
    from pathlib import Path

    from stress.suite.runner import Outcome

Document = dict[str, Any]
NOTHING = "-"
PACKAGES = {OURS: "here", PUBLISHED: "published 0.7"}
_ROWS = {
    "processes": "{processes:,}",
    "polls in a refresh interval": "{polls_per_interval:.2f}",
    "staleness of the slowest, p50 / p99 / max, s": (
        "{staleness[p50]:.2f} / {staleness[p99]:.2f} / {staleness[max]:.2f}"
    ),
    "checks made": "{made:,}",
    "signals delivered": "{delivered:,}",
    "signals reported dropped": "{dropped:,}",
    "checks lost": "{lost:,}",
    "signals that came again": "{again:,}",
    "wrong answers": "{wrong:,}",
    "hung / died / reports": "{hangs} / {deaths} / {reports}",
    "longest check, ms": "{longest_check_ms:.0f}",
    "processors in use": "{processors:.2f}",
    "largest process, MiB": "{peaks[memory_mib]:.0f}",
    "most descriptors / threads": "{peaks[descriptors]:.0f} / {peaks[threads]:.0f}",
}


def write(outcomes: list[Outcome], folder: Path) -> list[Document]:
    """Write the report, replacing those files of an earlier one that it writes again.

    Args:
        outcomes: Of the scenarios that were run.
        folder: Made if it is missing.

    Returns:
        What the JSON files hold.
    """
    folder.mkdir(parents=True, exist_ok=True)
    documents = [outcome.document() for outcome in outcomes]
    for document in documents:
        _write_json(folder / f"{document['name']}.json", document)
        plots.staleness(document, folder / f"{document['name']}.svg")
    _write_json(folder / "all.json", {"machine": machine(), "scenarios": documents})
    plots.fates(documents, folder / "signals.svg")
    (folder / "report.md").write_text(page(documents))
    return documents


def machine() -> Document:
    """Return what a reader must know of this machine."""
    return {
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
    }


def page(documents: list[Document]) -> str:
    """Return the page."""
    told = machine()
    machine_line = f"{told['cores']} cores, {told['system']}, {told['python']}"
    parts = [
        "# Stress report",
        f"{machine_line}, load {told['load']} at the end.",
        summary(documents),
        "![Fate of the signals](signals.svg)",
        *map(_section, documents),
    ]
    return "\n\n".join(parts) + "\n"


def summary(documents: list[Document]) -> str:
    """Return a table with a line for each scenario, both packages in each cell."""
    columns = {
        "Polls in an interval": "{polls_per_interval:.1f}",
        "Staleness p99, s": "{staleness[p99]:.1f}",
        "Checks": "{made:,}",
        "Lost": "{lost:,}",
        "Twice": "{again:,}",
        "Hung or died": "{hung_or_died:,}",
    }
    lines = [("Scenario", "Promises kept", *columns)]
    for document in documents:
        cells = [_both(document, form) for form in columns.values()]
        lines.append((document["title"], _kept(document), *cells))
    return _table(lines) + "\n"


def _kept(document: Document) -> str:
    verdicts = document[OURS]["verdicts"]
    if not verdicts:
        return "failed" if document["has_failed"] else "not run"
    return f"{sum(one['is_kept'] for one in verdicts)} of {len(verdicts)}"


def _both(document: Document, form: str) -> str:
    return " / ".join(
        _shown(document[package]["figures"], form) for package in PACKAGES
    )


def _shown(figures: Document, form: str) -> str:
    if not figures:
        return NOTHING
    return form.format(**figures, hung_or_died=figures["hangs"] + figures["deaths"])


def _section(document: Document) -> str:
    parts = [f"## {document['title']}", document["text"], _promises(document)]
    for package, name in PACKAGES.items():
        if document[package]["why_not"]:
            parts.append(f"{name}: {document[package]['why_not']}")
    if document[OURS]["figures"]:
        parts += [_figures(document), f"![Staleness]({document['name']}.svg)"]
    return "\n\n".join(parts)


def _promises(document: Document) -> str:
    lines = [("Promise", *PACKAGES.values())]
    theirs = document[PUBLISHED]["verdicts"]
    for number, verdict in enumerate(document[OURS]["verdicts"]):
        other = _told(theirs[number]) if theirs else NOTHING
        lines.append((verdict["text"], _told(verdict), other))
    return _table(lines)


def _told(verdict: Document) -> str:
    return f"{'kept' if verdict['is_kept'] else '**broken**'}: {verdict['evidence']}"


def _figures(document: Document) -> str:
    lines = [("Figure", *PACKAGES.values())]
    found = [document[package]["figures"] for package in PACKAGES]
    for name, form in _ROWS.items():
        lines.append((name, *(_shown(figures, form) for figures in found)))
    for name in found[0]["more"]:
        cells = [f"{f['more'].get(name, 0):g}" if f else NOTHING for f in found]
        lines.append((name, *cells))
    return _table(lines)


def _table(lines: list[tuple[str, ...]]) -> str:
    head, *rows = lines
    every = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in every)


def _write_json(path: Path, content: Document) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")
