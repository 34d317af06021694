"""What all processes of a scenario have told of themselves, the dead included."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.programs.tally import Told, read
from stress.suite.processes import state

if TYPE_CHECKING:
    from pathlib import Path


class Tallies:
    """The tallies of a folder. Used by one thread at a time.

    Args:
        folder: Where the processes keep them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._living: dict[Path, Told] = {}
        self._dead: dict[Path, Told] = {}

    def look(self) -> list[Told]:
        """Return the latest of those that lived until now or the look before."""
        for path in self._folder.glob("*.tally"):
            if path not in self._dead:
                self._living.setdefault(path, Told())
        ended = [path for path, told in self._living.items() if not state(told.pid)]
        for path in self._living:
            self._living[path] = read(path)
        latest = list(self._living.values())
        for path in ended:
            # Seen for the first time, it had no number by which to look for it.
            if not state(self._living[path].pid):
                del self._living[path]
                self._dead[path] = read(path)
        return latest

    def all(self) -> list[Told]:
        """Return what each process told last."""
        self.look()
        return [*self._living.values(), *self._dead.values()]
