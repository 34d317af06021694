"""What the simulation comes to, as numbers for the report and the documentation."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from stress.fleet import published, scenarios
from stress.fleet.disks import Clock, Real
from stress.fleet.fleet import Fleet, flushes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stress.fleet.scenarios import Scenario

BRIEFLY = bool(os.environ.get("STRESS_BRIEFLY"))
WORKERS = [4, 16, 64]
WHOLE_WORKERS = WORKERS[:1] if BRIEFLY else WORKERS
USUAL_WORKERS = 16
WHOLE_HOSTS = 1 if BRIEFLY else 2
SENDERS = 50 if BRIEFLY else 5_000

Figures = dict[str, Any]


def simulate(sizes: Sequence[int], tell: Callable[[str], None]) -> Figures:
    """Run every scenario with every number of hosts.

    Args:
        sizes: Numbers of hosts.
        tell: Told what is begun.
    """
    ours, theirs, signals, whole = [], [], [], []
    for story, hosts in itertools.product(scenarios.ALL, sizes):
        tell(f"{story.name}: {hosts:,} hosts")
        ours.append(of_fleet(story, hosts))
        theirs += [of_published(story, hosts, workers) for workers in WORKERS]
    for story in scenarios.ALL:
        tell(f"{story.name}: signals of {SENDERS:,} processes")
        signals.append(of_signals(story, SENDERS))
    for story, workers in itertools.product(scenarios.WHOLE, WHOLE_WORKERS):
        tell(f"{story.name}: {WHOLE_HOSTS} hosts with all {workers} workers")
        whole.append(of_whole_hosts(story, WHOLE_HOSTS, workers))
    return {"ours": ours, "published": theirs, "signals": signals, "whole": whole}


def of_fleet(story: Scenario, hosts: int) -> Figures:
    """Simulate hosts with this package."""
    backend = Fleet(story, hosts).run()
    return {
        "scenario": story.name,
        "hosts": hosts,
        **load(story, backend.polls),
        "bundles": backend.bundles,
    }


def of_published(story: Scenario, hosts: int, workers: int) -> Figures:
    """Simulate hosts on which each worker asks for itself."""
    requests = published.requests(story, hosts, workers)
    fleet = {"scenario": story.name, "hosts": hosts, "workers": workers}
    return {**fleet, **load(story, requests)}


def of_signals(story: Scenario, processes: int) -> Figures:
    """Simulate processes that send signals."""
    requests = flushes(story, processes)
    return {"scenario": story.name, "processes": processes, **load(story, requests)}


def of_whole_hosts(story: Scenario, hosts: int, workers: int) -> Figures:
    """Simulate hosts with all their workers and real folders, beside leaders alone."""
    with tempfile.TemporaryDirectory(prefix="liteguard-fleet-") as folder:
        numbers = itertools.count()

        def make_disk(clock: Clock) -> Real:
            path = Path(folder) / str(next(numbers))
            path.mkdir()
            return Real(path, clock)

        whole = Fleet(story, hosts, workers=workers, make_disk=make_disk).run()
    return {
        "scenario": story.name,
        "hosts": hosts,
        "workers": workers,
        "polls": sum(whole.polls),
        "polls_of_leaders_alone": sum(Fleet(story, hosts).run().polls),
    }


def load(story: Scenario, requests: Sequence[float]) -> Figures:
    """Return requests per second: means, and the fullest second of each phase."""
    phases = {"rest": story.rest, "during": story.during, "after": story.after}
    told: Figures = {}
    for name, seconds in phases.items():
        counts = [requests[second] for second in seconds]
        told[name] = round(statistics.fmean(counts), 2)
        told[f"{name}_peak"] = round(max(counts), 2)
    return {**told, "each_second": [round(count) for count in requests]}


def select(rows: Iterable[Figures], **wanted: Any) -> list[Figures]:
    """Return the rows that hold what is *wanted*."""
    return [row for row in rows if wanted.items() <= row.items()]
