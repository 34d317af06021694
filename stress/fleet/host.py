"""A simulated host: processes that run the package's own refresher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from liteguard.host.refresh import Refresher
from stress.fleet.disks import BOOT
from stress.fleet.lives import (
    RATE_SECONDS,
    SHORTEST_PAUSE_SECONDS,
    STAGGER_SECONDS,
    START_SECONDS,
    Draw,
)

if TYPE_CHECKING:
    from stress.fleet.backend import Backend
    from stress.fleet.disks import Disk
    from stress.fleet.loop import Loop


class Process:
    """One process, as far as it asks the backend for guards.

    Args:
        loop: The clock.
        backend: Whom it asks.
        disk: The host's folder.
        draw: Draws between two numbers: all chance there is in the refresher.
    """

    def __init__(self, loop: Loop, backend: Backend, disk: Disk, draw: Draw) -> None:
        bundle, polls, self._lock = disk.open()
        self._is_alive = True
        self.refresher = Refresher(
            fetch=backend.fetch,
            bundle=bundle,
            polls=polls,
            lock=self._lock,
            boot_id=BOOT,
            refresh_rate_seconds=RATE_SECONDS,
            reload_rate_seconds=disk.reload_rate_seconds,
            quiet=True,
            clock=loop,
            uniform=draw,
        )

    def round(self) -> Optional[float]:
        """Do one round; return the seconds until the next, or ``None`` once killed."""
        if not self._is_alive:
            return None
        return max(SHORTEST_PAUSE_SECONDS, self.refresher.refresh_once())

    def kill(self) -> None:
        """End at once; the kernel closes the lock's file."""
        self._is_alive = False
        if self._lock is not None:
            self._lock.abandon()


class Host:
    """Some processes that share a folder.

    Args:
        loop: The clock.
        backend: Whom they ask.
        disk: Their folder.
        workers: How many they are.
        draw: Draws between two numbers.
    """

    def __init__(
        self, loop: Loop, backend: Backend, disk: Disk, *, workers: int, draw: Draw
    ) -> None:
        self._loop = loop
        self._backend = backend
        self._disk = disk
        self._workers = workers
        self._draw = draw
        self.processes: list[Process] = []

    @property
    def leaders(self) -> list[Process]:
        """The processes that take themselves for the leader."""
        return [one for one in self.processes if one.refresher.is_leading]

    def start(self) -> None:
        """Start all processes, within a second."""
        for _ in range(self._workers):
            self._start_one(self._draw(0.0, STAGGER_SECONDS))

    def restart(self) -> None:
        """Kill all processes, and start others in their place."""
        self._kill_all()
        self._loop.at(self._loop() + START_SECONDS, self.start)

    def replace(self) -> None:
        """Do so in an empty folder, as with a new container."""
        self._kill_all()
        self._disk.wipe()
        self._loop.at(self._loop() + START_SECONDS, self.start)

    def kill_leader(self) -> None:
        """Kill the process that leads, and start another in its place."""
        for leader in self.leaders:
            leader.kill()
            self.processes.remove(leader)
            self._start_one(START_SECONDS)

    def _kill_all(self) -> None:
        for process in self.processes:
            process.kill()
        self.processes.clear()

    def _start_one(self, delay_seconds: float) -> None:
        process = Process(self._loop, self._backend, self._disk, self._draw)
        self.processes.append(process)
        self._loop.at(self._loop() + delay_seconds, process.round)
