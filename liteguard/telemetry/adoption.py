"""Journals whose process is gone or has moved on: found, claimed and delivered once.

A claim renames the file, which can succeed for one process only; the new name says who
claimed it, so that the journals of a claimer that died can be claimed again. Processes
of another pid namespace cannot be seen: they touch what is theirs from time to time.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.process.identity import ProcessIdentity
from liteguard.process.logs import logger
from liteguard.telemetry.journal_folder import open_journal_file
from liteguard.telemetry.silence import LIFE_SIGN_SECONDS, Silence

if TYPE_CHECKING:
    from pathlib import Path

    from liteguard.telemetry.journal_file import JournalFile

_JOURNAL = ".journal"
_CLAIM = ".claim"
_UNFINISHED = ".tmp"
_MAX_LEFT = 200
_FEW = 8
_MAX_LEFT_BYTES = 128 * 1024 * 1024
_MAX_AGE_SECONDS = 7 * 86400.0
_MARKS = re.compile(r"-(\d+)-(\d+)-(\d+)-(\d+)", re.ASCII)
_numbers = itertools.count(1)


class Adopter:
    """Claims the journals in one folder that nobody else will deliver.

    Used by one thread at a time, except `release`. Keeps names and leaves it to the
    caller how many are open: each costs a file descriptor of the application.

    Args:
        folder: The journals' folder.
        identity: This process.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        folder: Path,
        identity: ProcessIdentity,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._identity = identity
        # Clients of one process may share a folder: what one has claimed is its own.
        namespace = _namespace_number(identity)
        claimer = f"-{identity.pid}-{identity.start_ticks}-{namespace}"
        self._marks = f"{claimer}-{next(_numbers)}"
        self._claimed: list[Path] = []
        self._in_use: set[Path] = set()
        self._silence = Silence(clock=clock)

    def claim_all(self, *, life_sign_seconds: float = 0.0) -> None:
        """Claim what nobody else will deliver.

        Sealed journals are claimed from the living, all journals from the dead; one
        with a batch in flight is left to its owner while that lives.

        Args:
            life_sign_seconds: How often the living touch their journals. One of
                another pid namespace that was not touched for three times as long,
                and ten minutes, counts as left by the dead: by the wall clock, which
                may have leapt, and seen for three times as long by this process.
        """
        paths = self._paths()
        self._silence.begin_round(paths, life_sign_seconds=life_sign_seconds)
        for path in paths:
            if self._is_free(path):
                self.claim(path)

    def drop_excess(self) -> int:
        """Delete the oldest journals beyond 200 or 128 MiB; return what they held.

        A host whose processes are short-lived, and whose backend is not there, must
        not fill its disk, which may be its memory.
        """
        sizes = [_size(path) for path in self._claimed]
        excess = max(0, len(sizes) - _MAX_LEFT)
        # Larger buffers were asked for; a few of them may wait all the same.
        most = max(_MAX_LEFT_BYTES, _FEW * max(sizes, default=0))
        while sum(sizes[excess:]) > most:
            excess += 1
        dropped = sum(map(self._drop, self._claimed[:excess]))
        if dropped:
            logger.warning(
                "liteguard: dropping %d signals: the journals of %d processes wait to "
                "be delivered",
                dropped,
                len(self._claimed),
            )
        return dropped

    def drop_if_old(self, file: JournalFile) -> int:
        """Delete a journal whose last record is a week old; return what it held."""
        made_at = file.newest_seconds()
        if not (made_at and time.time() - made_at > _MAX_AGE_SECONDS):
            return 0
        count = file.unsettled()
        if count:  # its process may have been killed when all was delivered
            logger.warning(
                "liteguard: dropping %d signals that are more than a week old", count
            )
        return self._discard(file)

    def _drop(self, path: Path) -> int:
        file = self.open(path)
        return 0 if file is None else self._discard(file)

    def _discard(self, file: JournalFile) -> int:
        dropped = file.unsettled() + file.take_unreported()
        # Its owner may hold it still, and must not wait for its delivery.
        file.acknowledge(file.newest())
        self.finish(file)
        return dropped

    def claim(self, path: Path) -> None:
        """Make the journal at *path* this process's to deliver, if it is there."""
        stem = path.name.split(".")[0]
        target = path.with_name(f"{stem}{_CLAIM}{self._marks}")
        # Gone if another process was quicker. Touched first, so that the claim is new
        # from the moment that it is there.
        try:
            os.utime(path)
            # Noted first: what a signal handler raises here leaves no claim unknown.
            self._claimed.append(target)
            path.rename(target)
        except OSError:
            self._forget(target)

    def claimed(self) -> list[Path]:
        """Return what was claimed and is not finished, the oldest first."""
        return list(self._claimed)

    def open(self, path: Path) -> Optional[JournalFile]:
        """Open what was claimed, until `finish` or `let_go`; ``None`` if it cannot be.

        What is no journal is removed.
        """
        # First, so that a release that comes now leaves it to `let_go`.
        self._in_use.add(path)
        file = self._opened(path) if path in self._claimed else None
        if file is None:
            self.let_go(path)
            return None
        # Left by a claimer that died in the middle of a batch, perhaps.
        file.set_in_flight(is_in_flight=False)
        show_life(file)
        return file

    def _opened(self, path: Path) -> Optional[JournalFile]:
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

    def let_go(self, path: Path) -> None:
        """Say that what was opened is used no longer, and is not finished."""
        self._in_use.discard(path)
        if path not in self._claimed:
            _give_up(path)

    def let_go_of_all(self) -> None:
        """Say so of everything that was opened."""
        for path in list(self._in_use):
            self.let_go(path)

    def finish(self, file: JournalFile) -> None:
        """Delete a journal whose records are all delivered."""
        # What cannot be deleted has nothing left to deliver, whoever finds it.
        with contextlib.suppress(OSError):
            file.delete()
        if file.path is not None:
            self._in_use.discard(file.path)
            self._forget(file.path)

    def release(self) -> None:
        """Leave what is claimed and not delivered to the next leader.

        What another thread has in its hands stays claimed until it lets go.
        """
        claimed, self._claimed = self._claimed, []
        for path in claimed:
            if path not in self._in_use:
                _give_up(path)

    def _forget(self, path: Path) -> None:
        if path in self._claimed:
            self._claimed.remove(path)

    def _paths(self) -> list[Path]:
        """Return the journals, the oldest first, and remove what never became one."""
        ages: list[tuple[float, Path]] = []
        with contextlib.suppress(OSError):
            for path in self._folder.iterdir():
                age = _age_seconds(path)
                if path.suffix == _JOURNAL or path.suffix.startswith(_CLAIM):
                    ages.append((-age, path))
                elif path.suffix == _UNFINISHED and age > LIFE_SIGN_SECONDS:
                    path.unlink(missing_ok=True)
        return [path for _, path in sorted(ages)]

    def _is_free(self, path: Path) -> bool:
        if path.suffix.startswith(_CLAIM):
            return self._is_claimer_dead(path)
        try:
            file = open_journal_file(path, is_for_records=False)
        except ValueError:
            # Its claimer says what is wrong with it, once, and removes it.
            return True
        except OSError:
            return False
        owner = file.owner.identity
        if not owner.is_alive():
            return True
        is_seen = owner.pid_namespace == self._identity.pid_namespace
        if not is_seen and self._silence.is_at(path):
            return True
        # The order matters: an owner marks its flight before it looks for a seal.
        return file.is_finished and not file.is_in_flight

    def _is_claimer_dead(self, path: Path) -> bool:
        me = self._identity
        marks = path.suffix[len(_CLAIM) :]
        if marks == self._marks:
            return path not in self._claimed and path not in self._in_use
        found = _MARKS.fullmatch(marks)
        if found is None:
            return False
        if int(found[3]) != _namespace_number(me):
            return self._silence.is_at(path)
        claimer = ProcessIdentity(
            int(found[1]), int(found[2]), me.pid_namespace, me.boot_id
        )
        return not claimer.is_alive()


def show_life(file: JournalFile) -> None:
    """Touch a journal, for processes that cannot see whether its user is alive."""
    if file.path is not None:
        with contextlib.suppress(OSError):
            os.utime(file.path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _age_seconds(path: Path) -> float:
    """Return the seconds since *path* was touched; 0 if it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


def _namespace_number(identity: ProcessIdentity) -> int:
    """Return the kernel's number of a pid namespace, or 0 if it is unknown."""
    return int("".join(filter(str.isdigit, identity.pid_namespace)) or 0)


def _give_up(path: Path) -> None:
    # Gone if it was delivered or the whole folder was deleted.
    with contextlib.suppress(OSError):
        path.rename(path.with_name(path.name.split(".")[0] + _JOURNAL))
