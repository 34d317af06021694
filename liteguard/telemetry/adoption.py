"""Journals whose process is gone or has moved on: found, claimed and delivered once.

A claim renames the file, which can succeed for one process only; the new name says who
claimed it, so that the journals of a claimer that died can be claimed again.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from liteguard.process.identity import ProcessIdentity
from liteguard.process.logs import logger
from liteguard.telemetry.journal_folder import open_journal_file

if TYPE_CHECKING:
    from pathlib import Path

    from liteguard.telemetry.journal_file import JournalFile

_JOURNAL = ".journal"
_CLAIM = ".claim"


class Adopter:
    """Claims the journals in one folder that nobody else will deliver.

    Used by one thread at a time, in one process of the host: the leader.

    Args:
        folder: The journals' folder.
        identity: This process.
    """

    def __init__(self, folder: Path, identity: ProcessIdentity) -> None:
        self._folder = folder
        self._identity = identity
        self._claimed: list[JournalFile] = []

    def claim_all(self) -> None:
        """Claim what nobody else will deliver.

        Sealed journals are claimed from the living, all journals from the dead; one
        with a batch in flight is left to its owner while that lives.
        """
        for path in self._paths():
            if self._is_free(path):
                self.claim(path)

    def claimed(self) -> list[JournalFile]:
        """Return what was claimed and is not finished."""
        return list(self._claimed)

    def claim(self, path: Path) -> None:
        """Make the journal at *path* this process's to deliver, if it is there."""
        me = self._identity
        name = f"{path.name.split('.')[0]}{_CLAIM}-{me.pid}-{me.start_ticks}"
        target = path.with_name(name)
        try:
            path.rename(target)
            self._claimed.append(open_journal_file(target))
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            logger.warning("liteguard: leaving out the journal %s: %s", path, error)
            target.unlink(missing_ok=True)

    def finish(self, file: JournalFile) -> None:
        """Delete a journal whose records are all delivered."""
        file.delete()
        self._claimed.remove(file)

    def release(self) -> None:
        """Leave what is claimed and not delivered to the next leader."""
        for file in self._claimed:
            if file.path is not None:
                # Gone if the whole folder was deleted: then there is nothing to leave.
                with contextlib.suppress(OSError):
                    file.path.rename(file.path.with_name(file.owner.nonce + _JOURNAL))
        self._claimed = []

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
            return not self._is_claimer_alive(path)
        try:
            file = open_journal_file(path)
        except FileNotFoundError:
            return False
        except (OSError, ValueError):
            # Claiming it says what is wrong with it, once, and removes it.
            return True
        if not file.owner.identity.is_alive():
            return True
        return file.is_finished and not file.is_in_flight

    def _is_claimer_alive(self, path: Path) -> bool:
        pid, _, ticks = path.suffix[len(_CLAIM) + 1 :].partition("-")
        if not (pid.isdigit() and ticks.isdigit()):
            return False
        me = self._identity
        claimer = ProcessIdentity(int(pid), int(ticks), me.pid_namespace, me.boot_id)
        return claimer.is_alive()
