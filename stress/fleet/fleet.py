"""Lets a fleet of hosts go through a scenario."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Callable, Optional

from stress.fleet.backend import Backend
from stress.fleet.disks import Clock, Disk, Remembered
from stress.fleet.host import RATE_SECONDS, Draw, Host
from stress.fleet.loop import Loop
from stress.fleet.scenarios import BEGIN_SECONDS, Restart, Scenario

MakeDisk = Callable[[Clock], Disk]


class Fleet:
    """Hosts that were started at moments by chance within an interval.

    Args:
        scenario: What they go through.
        hosts: How many they are.
        workers: Processes of each host. One, its leader, does where *make_disk*
            remembers only: followers ask nothing.
        make_disk: Makes a host's folder.
        draw: Draws between two numbers for the package; ``None`` for by chance.
    """

    def __init__(
        self,
        scenario: Scenario,
        hosts: int,
        *,
        workers: int = 1,
        make_disk: MakeDisk = Remembered,
        draw: Optional[Draw] = None,
    ) -> None:
        self._scenario = scenario
        self._chance = random.Random(f"{scenario.name} {hosts}")  # noqa: S311
        self.loop = Loop()
        self.backend = Backend(self.loop, scenario.seconds, scenario.down)
        self.hosts = [
            Host(
                self.loop,
                self.backend,
                make_disk(self.loop),
                workers=workers,
                draw=draw or self._chance.uniform,
            )
            for _ in range(hosts)
        ]

    def run(self) -> Backend:
        """Go through all of it; return the backend, with what it has counted."""
        for host in self.hosts:
            self.loop.at(self._chance.uniform(0.0, RATE_SECONDS), host.start)
            if self._scenario.restart is not None:
                self._plan(host, self._scenario.restart)
        self.loop.run(self._scenario.seconds)
        return self.backend

    def _plan(self, host: Host, restart: Restart) -> None:
        first = BEGIN_SECONDS + restart.after_seconds
        moment = first + self._chance.uniform(0.0, restart.within_seconds)
        self.loop.at(moment, host.restart if restart.keeps_folder else host.replace)
