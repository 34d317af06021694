"""How processes with the published package 0.7.20260603 ask: its rule, not its code.

Its `LiteguardClient.start` fetches once and starts a thread. That thread, in
`_refresh_loop`, waits `_current_refresh_rate_seconds` and fetches, again and again,
and `_fetch_guards_for_bundle` returns the same whether the backend has answered,
refused or not answered. So each process asks when it starts and once in each interval
from then on: no jitter, no backoff, nothing that processes or restarts share.
Kind to it: a thread that was lost in a fork, as under ``--preload``, asks as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.fleet.lives import RATE_SECONDS, STAGGER_SECONDS, START_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.fleet.scenarios import Scenario

_MOST_PROCESSES = 400_000


def requests(
    scenario: Scenario,
    hosts: int,
    workers: int,
    *,
    most_processes: int = _MOST_PROCESSES,
) -> list[float]:
    """Return the requests for guards in each second, of all processes.

    Args:
        scenario: What the fleet goes through.
        hosts: How many hosts it has.
        workers: Processes of each host.
        most_processes: How many are simulated; they know nothing of each other, so
            these can stand for all: some workers of each host rather than all
            workers of some, since chance moves hosts.
    """
    chance = scenario.chance(hosts, workers)
    few_hosts = min(hosts, most_processes)
    few_workers = min(workers, most_processes // few_hosts)
    weight = hosts * workers / (few_hosts * few_workers)
    counts = [0] * scenario.seconds
    for _ in range(few_hosts):
        started = chance.uniform(0.0, RATE_SECONDS)
        restarted = scenario.restart_at(chance)
        for _ in range(few_workers):
            stagger = chance.uniform(0.0, STAGGER_SECONDS)
            until = scenario.seconds if restarted is None else restarted
            for moment in asks(started + stagger, until):
                counts[int(moment)] += 1
            if restarted is not None:
                again = restarted + START_SECONDS + stagger
                for moment in asks(again, scenario.seconds):
                    counts[int(moment)] += 1
    return [count * weight for count in counts]


def asks(first: float, until: float) -> Iterator[float]:
    """Return when a process asks that asks first at *first*, in seconds."""
    moment = first
    while moment < until:
        yield moment
        moment += RATE_SECONDS
