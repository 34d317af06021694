"""What the simulation comes to, as numbers for the report and the documentation."""

from __future__ import annotations

import itertools
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stress.fleet import published
from stress.fleet.disks import Clock, Real
from stress.fleet.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.fleet.scenarios import Scenario


class Load(NamedTuple):
    """Requests per second before, while and after something happens."""

    rest: float
    during: float
    during_peak: float
    after: float
    after_peak: float


def load(scenario: Scenario, requests: Sequence[float]) -> Load:
    """Return means, and the fullest seconds, of the requests in each second."""
    rest, during, after = (
        [requests[second] for second in seconds]
        for seconds in (scenario.rest, scenario.during, scenario.after)
    )
    return Load(
        statistics.fmean(rest),
        statistics.fmean(during),
        max(during),
        statistics.fmean(after),
        max(after),
    )


def of_fleet(scenario: Scenario, hosts: int) -> dict[str, Any]:
    """Simulate hosts with this package."""
    backend = Fleet(scenario, hosts).run()
    return {
        "package": "liteguard",
        "scenario": scenario.name,
        "hosts": hosts,
        **load(scenario, backend.polls)._asdict(),
        "bundles": backend.bundles,
        "requests": backend.polls,
    }


def of_published(scenario: Scenario, hosts: int, workers: int) -> dict[str, Any]:
    """Simulate hosts on which each worker asks for itself."""
    requests = published.requests(scenario, hosts, workers)
    return {
        "package": "published",
        "scenario": scenario.name,
        "hosts": hosts,
        "workers": workers,
        **load(scenario, requests)._asdict(),
        "requests": requests,
    }


def of_whole_hosts(scenario: Scenario, hosts: int, workers: int) -> dict[str, Any]:
    """Simulate hosts with all their workers and real folders, beside leaders alone."""
    with tempfile.TemporaryDirectory(prefix="liteguard-fleet-") as folder:
        numbers = itertools.count()

        def make_disk(clock: Clock) -> Real:
            path = Path(folder) / str(next(numbers))
            path.mkdir()
            return Real(path, clock)

        whole = Fleet(scenario, hosts, workers=workers, make_disk=make_disk)
        requests = whole.run().polls
    alone = Fleet(scenario, hosts).run().polls
    return {
        "scenario": scenario.name,
        "hosts": hosts,
        "workers": workers,
        "seconds": scenario.seconds,
        "whole": sum(requests),
        "leaders_alone": sum(alone),
    }
