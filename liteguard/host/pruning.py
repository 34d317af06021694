"""Removes the state folders of tokens, environments and backends that are gone.

Each has a folder of its own beside ours, which nobody opens again once a token was
rotated. What lies there cannot be delivered by anybody who does not have that token.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import re
import secrets
import shutil
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.process.identity import ProcessIdentity, current_identity
from liteguard.process.logs import logger
from liteguard.telemetry.journal_folder import open_journal_file

if TYPE_CHECKING:
    from collections.abc import Iterator

with contextlib.suppress(ImportError):  # Windows: nothing there is shared
    import fcntl

_UNUSED_SECONDS = 7 * 86400.0
_LOOK_SECONDS = 3600.0
_MOST_LOOKED_AT = 1000
_MOST_REMOVED = 50
_FOLDER = re.compile(r"[0-9a-f]{24}", re.ASCII)
_DOOMED = re.compile(r"\.[0-9a-f]{24}\.[0-9a-f]{12}\.tmp", re.ASCII)
# What any version of this package makes there. A folder that holds anything else may
# have its name by chance: some databases give such ones.
_OURS = re.compile(
    r"leader-\d+\.lock|bundle-\d+\.json|polls-\d+\.json|flushed-\d+|journals-\d+"
    r"|limits-\d+-[\w-]+|\..+\.tmp",
    re.ASCII,
)


class Pruner:
    """Removes folders beside one's own that nobody has used for a week.

    Used by one thread at a time.

    Args:
        folder: The state folder in use; ``None`` for a process without one.
        clock: Monotonic seconds.
    """

    def __init__(
        self, folder: Optional[Path], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._look_at = -math.inf

    def prune(self) -> None:
        """Look once an hour, at 1,000 folders at most, and remove 50 at most.

        Blocks for the file operations.
        """
        if self._folder is None or self._clock() < self._look_at:
            return
        self._look_at = self._clock() + _LOOK_SECONDS
        unused = (path for path in _others(self._folder) if _is_unused(path))
        lost = [_remove(path) for path in itertools.islice(unused, _MOST_REMOVED)]
        removed = [count for count in lost if count is not None]
        if removed:
            logger.warning(
                "liteguard: removed %d state folders of tokens, environments or "
                "backends that nobody has used for a week, and %d signals in them",
                len(removed),
                sum(removed),
            )


def _others(folder: Path) -> Iterator[Path]:
    """Yield what may be state folders beside *folder*."""
    with contextlib.suppress(OSError), os.scandir(folder.parent) as entries:
        for entry in itertools.islice(entries, _MOST_LOOKED_AT):
            path = Path(entry.path)
            if _DOOMED.fullmatch(entry.name):
                # Left by a process that was killed while it removed it.
                shutil.rmtree(path, ignore_errors=True)
            elif _FOLDER.fullmatch(entry.name) and path != folder:
                yield path


def _is_unused(path: Path) -> bool:
    """Whether it is a state folder in which nothing has happened for a week."""
    try:
        content = [Path(entry.path) for entry in os.scandir(path)]
        is_state = all(_OURS.fullmatch(inner.name) for inner in content)
        journals = [inner for inner in content if inner.name.startswith("journals-")]
        if not (is_state and journals and _is_own_folder(path)):
            return False
        within = [Path(entry.path) for inner in journals for entry in os.scandir(inner)]
        newest = max(at.lstat().st_mtime for at in (path, *content, *within))
    except OSError:
        return False  # it changes at this moment, perhaps
    return time.time() - newest > _UNUSED_SECONDS and not _has_living_owner(within)


def _is_own_folder(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()


def _has_living_owner(journals: list[Path]) -> bool:
    """Whether a process that can be seen writes there, stopped for a week perhaps."""
    here = current_identity().pid_namespace
    owners = [_owner_of(path) for path in journals]
    return any(
        owner.pid_namespace == here and owner.is_alive() for owner in owners if owner
    )


def _owner_of(path: Path) -> Optional[ProcessIdentity]:
    try:
        return open_journal_file(path, is_for_records=False).owner.identity
    except (OSError, ValueError):
        return None


def _remove(path: Path) -> Optional[int]:
    """Remove a state folder; return how many signals it held, ``None`` if it is used.

    Whoever opens it at this very moment finds it gone, as if it had been deleted.
    """
    with contextlib.ExitStack() as held:
        try:
            for lock in path.glob("leader-*.lock"):
                held.callback(os.close, _lock(lock))
            doomed = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
            path.rename(doomed)
        except OSError:
            return None
        count = sum(map(_unsent, doomed.glob("journals-*/*")))
        shutil.rmtree(doomed, ignore_errors=True)
        return count


def _lock(path: Path) -> int:
    """Take a leader's lock, of whichever version, and return its descriptor.

    Raises:
        OSError: A process holds it.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unsent(path: Path) -> int:
    try:
        file = open_journal_file(path)
    except (OSError, ValueError):
        return 0
    return file.unsettled() + file.unreported
