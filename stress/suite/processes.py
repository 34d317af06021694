"""What the kernel tells of a process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
_TICKS = os.sysconf("SC_CLK_TCK")
# Of the fields of /proc/PID/stat that follow the name: by itself, and by children that
# it has waited for, in user and in system mode.
_SESSION, _USED = 3, slice(11, 15)


class Usage(NamedTuple):
    """What one process holds.

    Args:
        memory_mib: Resident memory, shared pages included.
        descriptors: Open files and connections.
        threads: Threads.
    """

    memory_mib: float = 0.0
    descriptors: int = 0
    threads: int = 0


def usage(pid: int) -> Optional[Usage]:
    """Return what a process holds; ``None`` if it has ended."""
    folder = Path(f"/proc/{pid}")
    try:
        pages = int((folder / "statm").read_text().split()[1])
        files = len(os.listdir(folder / "fd"))  # noqa: PTH208  quicker
        threads = len(os.listdir(folder / "task"))  # noqa: PTH208  quicker
    except OSError:
        return None
    return Usage(pages * _PAGE_MIB, files, threads) if pages else None


def processor_seconds(session: int) -> float:
    """Return what the processes of a session have used, those that ended included."""
    return sum(sum(map(int, one[_USED])) for one in _members(session)) / _TICKS


def living(session: int) -> int:
    """Return how many processes of a session have not ended."""
    return sum(one[0] not in "ZX" for one in _members(session))


def _members(session: int) -> Iterator[list[str]]:
    """Yield the fields of each process of a session that follow its name."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[_SESSION]) == session:
            yield fields


def state(pid: int) -> str:
    """Return the letter of its state: "T" is stopped, "" has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    letter = text.rpartition(")")[2].split()[0]
    return "" if letter in "ZX" else letter
