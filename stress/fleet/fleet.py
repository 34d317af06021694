"""Lets a fleet of hosts go through a scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING, Callable, Optional

from stress.fleet.backend import Backend, Refuse
from stress.fleet.disks import Clock, Disk, Remembered
from stress.fleet.host import Host
from stress.fleet.lives import RATE_SECONDS, Draw
from stress.fleet.loop import Loop
from stress.fleet.sender import Sender

if TYPE_CHECKING:
    from stress.fleet.scenarios import Scenario

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
        refuse: What the backend raises when it is down, if not the scenario's.
    """

    def __init__(
        self,
        scenario: Scenario,
        hosts: int,
        *,
        workers: int = 1,
        make_disk: MakeDisk = Remembered,
        draw: Optional[Draw] = None,
        refuse: Optional[Refuse] = None,
    ) -> None:
        self._scenario = scenario
        self._chance = scenario.chance(hosts)
        self._loop = Loop()
        self.backend = Backend(self._loop, scenario, refuse)
        self.hosts = [
            Host(
                self._loop,
                self.backend,
                make_disk(self._loop),
                workers=workers,
                draw=draw or self._chance.uniform,
            )
            for _ in range(hosts)
        ]

    def run(self) -> Backend:
        """Go through all of it; return the backend, with what it has counted."""
        for host in self.hosts:
            self._plan(host)
        self._loop.run(self._scenario.seconds)
        return self.backend

    def _plan(self, host: Host) -> None:
        story, loop = self._scenario, self._loop
        loop.at(self._chance.uniform(0.0, RATE_SECONDS), host.start)
        moment = story.restart_at(self._chance)
        if moment is not None and story.restart is not None:
            keeps_folder = story.restart.keeps_folder
            loop.at(moment, host.restart if keeps_folder else host.replace)
        for second in story.leader_killed_at:
            loop.at(second, host.kill_leader)


def flushes(scenario: Scenario, processes: int) -> list[int]:
    """Return the requests with signals in each second, of processes of any hosts.

    Args:
        scenario: What they go through.
        processes: How many they are, each with something to report at each flush.
    """
    chance, loop = scenario.chance(processes), Loop()
    backend = Backend(loop, scenario)
    for _ in range(processes):
        sender = Sender(backend.take, loop, chance.uniform)
        loop.at(chance.uniform(0.0, RATE_SECONDS), sender.start)
        moment = scenario.restart_at(chance)
        if moment is not None:
            loop.at(moment, sender.restart)
    loop.run(scenario.seconds)
    return backend.flushes
