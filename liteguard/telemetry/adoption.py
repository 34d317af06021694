"""Journals whose process is gone or has moved on: found, claimed and delivered once.

A claim renames the file, which can succeed for one process only; the new name says who
claimed it, so that the journals of a claimer that died can be claimed again.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from typing import TYPE_CHECKING, Optional

from liteguard.process.identity import ProcessIdentity
from liteguard.process.logs import logger
from liteguard.telemetry.journal_folder import open_journal_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from liteguard.telemetry.journal_file import JournalFile

_JOURNAL = ".journal"
_CLAIM = ".claim"
_MARKS = re.compile(r"-(\d+)-(\d+)-(\d+)-(\d+)", re.ASCII)
_numbers = itertools.count(1)


class Adopter:
    """Claims the journals in one folder that nobody else will deliver.

    Used by one thread at a time, except `release`. Keeps names and opens one journal
    at a time: each that is open costs a file descriptor of the application.

    Args:
        folder: The journals' folder.
        identity: This process.
    """

    def __init__(self, folder: Path, identity: ProcessIdentity) -> None:
        self._folder = folder
        self._identity = identity
        # Clients of one process may share a folder: what one has claimed is its own.
        namespace = _namespace_number(identity)
        claimer = f"-{identity.pid}-{identity.start_ticks}-{namespace}"
        self._marks = f"{claimer}-{next(_numbers)}"
        self._claimed: list[Path] = []
        self._in_use: Optional[Path] = None

    def claim_all(self) -> None:
        """Claim what nobody else will deliver.

        Sealed journals are claimed from the living, all journals from the dead; one
        with a batch in flight is left to its owner while that lives.
        """
        for path in self._paths():
            if self._is_free(path):
                self.claim(path)

    def claim(self, path: Path) -> None:
        """Make the journal at *path* this process's to deliver, if it is there."""
        stem = path.name.split(".")[0]
        target = path.with_name(f"{stem}{_CLAIM}{self._marks}")
        # Gone if another process was quicker.
        with contextlib.suppress(OSError):
            path.rename(target)
            self._claimed.append(target)

    def claimed(self) -> Iterator[JournalFile]:
        """Open what was claimed and is not finished, one after another."""
        for path in list(self._claimed):
            file = self._open(path)
            if file is None:
                continue
            # Left by a claimer that died in the middle of a batch, perhaps.
            file.set_in_flight(is_in_flight=False)
            self._in_use = path
            try:
                yield file
            finally:
                self._in_use = None
                if path not in self._claimed:
                    _give_up(path)

    def finish(self, file: JournalFile) -> None:
        """Delete a journal whose records are all delivered."""
        # What cannot be deleted has nothing left to deliver, whoever finds it.
        with contextlib.suppress(OSError):
            file.delete()
        self._forget(file.path)

    def release(self) -> None:
        """Leave what is claimed and not delivered to the next leader.

        What another thread has in its hands stays claimed until it lets go.
        """
        claimed, self._claimed = self._claimed, []
        for path in claimed:
            if path != self._in_use:
                _give_up(path)

    def _open(self, path: Path) -> Optional[JournalFile]:
        try:
            return open_journal_file(path)
        except FileNotFoundError:
            self._forget(path)
        except ValueError as error:
            logger.warning("liteguard: removing %s: %s", path, error)
            self._forget(path)
            with contextlib.suppress(OSError):
                path.unlink()
        except OSError as error:
            # For want of descriptors, perhaps: the next flush tries again.
            logger.debug("liteguard: cannot open %s now: %s", path, error)
        return None

    def _forget(self, path: Optional[Path]) -> None:
        if path in self._claimed:
            self._claimed.remove(path)

    def _paths(self) -> list[Path]:
        try:
            return sorted(
                path
                for path in self._folder.iterdir()
                if path.suffix == _JOURNAL or path.suffix.startswith(_CLAIM)
            )
        except OSError:
            return []

    def _is_free(self, path: Path) -> bool:
        if path.suffix.startswith(_CLAIM):
            return self._is_claimer_dead(path)
        try:
            file = open_journal_file(path)
        except ValueError:
            # Its claimer says what is wrong with it, once, and removes it.
            return True
        except OSError:
            return False
        if not file.owner.identity.is_alive():
            return True
        # The order matters: an owner marks its flight before it looks for a seal.
        return file.is_finished and not file.is_in_flight

    def _is_claimer_dead(self, path: Path) -> bool:
        me = self._identity
        marks = path.suffix[len(_CLAIM) :]
        if marks == self._marks:
            return path not in self._claimed and path != self._in_use
        found = _MARKS.fullmatch(marks)
        if found is None or int(found[3]) != _namespace_number(me):
            return False
        claimer = ProcessIdentity(
            int(found[1]), int(found[2]), me.pid_namespace, me.boot_id
        )
        return not claimer.is_alive()


def _namespace_number(identity: ProcessIdentity) -> int:
    """Return the kernel's number of a pid namespace, or 0 if it is unknown."""
    return int("".join(filter(str.isdigit, identity.pid_namespace)) or 0)


def _give_up(path: Path) -> None:
    # Gone if it was delivered or the whole folder was deleted.
    with contextlib.suppress(OSError):
        path.rename(path.with_name(path.name.split(".")[0] + _JOURNAL))
