"""The files of window tables: made whole, found by whoever comes later.

A file belongs to one boot, which its name tells: the times in it mean nothing in
another. Its blocks are allocated when it is made, so that a full disk is an error then
and not a fatal signal in a check.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
import secrets
import struct
import time
from hashlib import blake2b
from typing import TYPE_CHECKING, Callable, NamedTuple, Optional

from liteguard.errors import StateFolderError
from liteguard.host.descriptors import OwnDescriptor
from liteguard.host.stripes import HEADER_BYTES, lock_count
from liteguard.host.window_table import Shape, WindowTable
from liteguard.process.clock import are_offsets_told, host_boot_ns
from liteguard.process.identity import boot_id
from liteguard.process.shared_locks import SharedLocks, require_locks
from liteguard.telemetry.journal_folder import mapped
from liteguard.telemetry.reserving import reserves_space

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"LGWINDOW"
_HEADER = struct.Struct("@8s16sQQQQ")
_OLD_SECONDS = 24 * 3600.0
_FRESH_SECONDS = 3600.0


class SharedTable(NamedTuple):
    """A table, and the file that it lies in.

    Args:
        windows: The table.
        path: Where the file was when it was opened.
        status: What it was then.
        memory: Its content.
    """

    windows: WindowTable
    path: Path
    status: os.stat_result
    memory: mmap.mmap

    def is_in_place(self) -> bool:
        """Whether others find the same file. Blocks for a look; keeps it from ageing.

        Whatever removes old files looks at their times, which a mapping may not change.
        """
        try:
            found = self.path.lstat()
            if not os.path.samestat(found, self.status):
                return False
            if abs(time.time() - found.st_mtime) > _FRESH_SECONDS:
                os.utime(self.path)
        except OSError:
            return False
        return True


def open_table(
    folder: Path,
    kind: str,
    shape: Shape,
    *,
    earlier: Optional[SharedTable] = None,
    clock: Callable[[], int] = host_boot_ns,
) -> SharedTable:
    """Open the table *kind* of a state folder, making it if it is not there.

    Blocks for a few file operations.

    Args:
        folder: The state folder.
        kind: What tells the folder's tables apart.
        shape: How the table is laid out.
        earlier: What this process used before it found the file gone: a file that is
            made anew begins with its counts.
        clock: See `WindowTable`.

    Raises:
        OSError: The file cannot be made or opened, or the disk is full.
        StateFolderError: Processes cannot share it on this platform or file system, or
            it was made by another one, in another container perhaps.
    """
    require_locks()
    boot = boot_id()
    if not boot:
        raise StateFolderError("the kernel does not tell one boot from the next")
    if not reserves_space(folder):
        raise StateFolderError(
            f"a full disk would end processes that map files of {folder}: set "
            "LITEGUARD_STATE_DIR to a folder on tmpfs, ext4 or XFS"
        )
    path = folder / f"limits-2-{kind}-{boot[:8]}"
    with contextlib.suppress(FileNotFoundError):
        return _open(path, shape, clock)
    _make(path, shape, earlier)
    return _open(path, shape, clock)


def _open(path: Path, shape: Shape, clock: Callable[[], int]) -> SharedTable:
    file = OwnDescriptor(path, os.O_RDWR)
    try:
        if file.status.st_uid != os.geteuid() or file.status.st_size != shape.size:
            raise StateFolderError(f"{path} is another program's")
        memory = mapped(file.number, shape.size)
    finally:
        file.close()
    if memory[: _HEADER.size] != _header(shape):
        raise StateFolderError(
            f"{path} was made with another C library, in another container, or where "
            "/proc does not tell the host's clock"
        )
    windows = WindowTable(memory, shape, _locks(memory, shape), clock)
    return SharedTable(windows, path, file.status, memory)


def _make(path: Path, shape: Shape, earlier: Optional[SharedTable]) -> None:
    """Put a new file at *path*, unless another process is quicker."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    file = OwnDescriptor(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        os.posix_fallocate(file.number, 0, shape.size)
        memory = mapped(file.number, shape.size)
        if earlier is not None:
            memory[:] = earlier.memory[:]
        memory[: _HEADER.size] = _header(shape)
        _locks(memory, shape).make()
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        file.close()
        temporary.unlink(missing_ok=True)
    _remove_old(path)


def _locks(memory: mmap.mmap, shape: Shape) -> SharedLocks:
    return SharedLocks(
        memory,
        first_at=HEADER_BYTES,
        stride=8 * shape.region_words,
        count=lock_count(shape.stripes),
    )


def _remove_old(path: Path) -> None:
    """Remove what earlier boots, and writers that were killed, have left."""
    oldest = time.time() - _OLD_SECONDS
    for left in (*path.parent.glob("limits-*"), *path.parent.glob(".limits-*.tmp")):
        with contextlib.suppress(OSError):
            if left != path and left.lstat().st_mtime < oldest:
                left.unlink()


def _header(shape: Shape) -> bytes:
    """Return what a file that this process can share begins with."""
    clock = "" if are_offsets_told() else "untold"
    what = "\n".join((boot_id(), clock, platform.machine(), *platform.libc_ver()[:1]))
    tag = blake2b(what.encode(), digest_size=16).digest()
    return _HEADER.pack(_MAGIC, tag, *shape)


def own_memory(size: int) -> mmap.mmap:
    """Return zeros that a forked child gets a copy of."""
    if hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, size)
