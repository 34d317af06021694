"""When the host last asked the backend: a new leader keeps the old one's rhythm."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Callable, Optional

import orjson

from liteguard.host.descriptors import OwnDescriptor
from liteguard.host.files import is_own_file, write_atomically
from liteguard.process.clock import host_seconds

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_RECORD_BYTES = 64 * 1024


@dataclass(frozen=True)
class PollRecord:
    """One request for guards, and what follows from it. Times are monotonic seconds.

    Args:
        boot_id: The boot whose clock the times are of; another boot's mean nothing.
        asked_at: When the backend was asked.
        confirmed_at: When it last confirmed or replaced the bundle; ``None`` if never.
        due_at: When it is to be asked next.
        failures: How many requests in a row have failed.
        error: The last failure as text; ``None`` if the request succeeded.
    """

    boot_id: str
    asked_at: float
    confirmed_at: Optional[float]
    due_at: float
    failures: int = 0
    error: Optional[str] = None


class PollLog:
    """The host's last `PollRecord`, in the state folder or, without one, in memory.

    Args:
        path: The file; ``None`` keeps the record in this process.
        boot_id: This boot; records of another are ignored.
        clock: Monotonic seconds; records of the future are ignored.
    """

    def __init__(
        self,
        path: Optional[Path],
        boot_id: str,
        *,
        clock: Callable[[], float] = host_seconds,
    ) -> None:
        self._path = path
        self._boot_id = boot_id
        self._clock = clock
        self._written: Optional[PollRecord] = None

    def write(self, record: PollRecord) -> None:
        """Keep *record*; if it cannot be written, others lose the rhythm only."""
        self._written = record
        if self._path is None:
            return
        # The snapshot goes to the same folder and reports the same trouble.
        with contextlib.suppress(OSError):
            write_atomically(self._path, orjson.dumps(asdict(record)))

    def read(self) -> Optional[PollRecord]:
        """Return the host's last record, or ``None``. Blocks for one small file."""
        # What could not be written is still later than what lies there.
        both = (self._written, self._read_file())
        now = self._clock()
        known = [record for record in both if record and record.asked_at <= now]
        return max(known, key=lambda record: record.asked_at, default=None)

    def _read_file(self) -> Optional[PollRecord]:
        if self._path is None:
            return None
        try:
            record = PollRecord(**orjson.loads(_read(self._path)))
            _check(record)
        except (OSError, ValueError, TypeError):
            return None
        return record if record.boot_id == self._boot_id else None


def _read(path: Path) -> bytes:
    # Without waiting: a pipe in the file's place would keep the thread for ever.
    file = OwnDescriptor(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not is_own_file(file.status):
            raise PermissionError(0, "is no file of this user alone", str(path))
        return os.pread(file.number, _LONGEST_RECORD_BYTES, 0)
    finally:
        file.close()


def _check(record: PollRecord) -> None:
    for moment in (record.asked_at, record.due_at, record.confirmed_at or 0.0):
        if not isinstance(moment, (int, float)):
            raise TypeError("not a time")
    if not isinstance(record.failures, int):
        raise TypeError("not a number")
