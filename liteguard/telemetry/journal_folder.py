"""Making and opening journals: files in one folder, or memory where that fails."""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import stat
import sys
from typing import TYPE_CHECKING, Optional

from liteguard.telemetry.journal_file import (
    RECORDS_AT,
    JournalFile,
    Owner,
    journal_size,
    write_header,
)
from liteguard.telemetry.reserving import reserves_space

if TYPE_CHECKING:
    from pathlib import Path

_SMALLEST_FILE_BYTES = journal_size(1, 0)
_LARGEST_FILE_BYTES = 256 * 1024 * 1024
_PIECE_BYTES = 256 * 1024


def create_journal_file(
    folder: Optional[Path], owner: Owner, *, capacity: int, text_bytes: int
) -> JournalFile:
    """Make an empty journal in *folder*, or in memory if that is ``None``.

    Blocks for making the file. Its blocks are allocated here, so that a full disk is
    an error now and not a fatal signal while a record is written.

    Raises:
        OSError: The file cannot be made or the disk is full.
    """
    size = journal_size(capacity, text_bytes)
    if folder is None:
        memory = mmap.mmap(-1, size)
        write_header(memory, owner, capacity, text_bytes)
        return JournalFile(memory, None)
    if not reserves_space(folder):
        reason = "its file system cannot reserve space"
        raise OSError(errno.EOPNOTSUPP, reason, str(folder))
    path = folder / f"{owner.nonce}.journal"
    unfinished = folder / f".{owner.nonce}.tmp"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(unfinished, flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)  # which a umask may have taken from the owner
        _allocate(descriptor, size)
        memory = mapped(descriptor, size)
        write_header(memory, owner, capacity, text_bytes)
        unfinished.rename(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)
    return JournalFile(memory, path)


def open_journal_file(path: Path, *, is_for_records: bool = True) -> JournalFile:
    """Map the journal at *path*, having read it.

    A page that cannot be read is an error here and a fatal signal in the mapping.

    Args:
        path: The file.
        is_for_records: Whether more than its header is to be looked at.

    Raises:
        OSError: It is gone, cannot be read or is no file of this user.
        ValueError: It is no journal of this format.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if status.st_uid != os.geteuid():
            raise PermissionError(0, "belongs to another user", str(path))
        is_plausible = _SMALLEST_FILE_BYTES <= status.st_size <= _LARGEST_FILE_BYTES
        if not stat.S_ISREG(status.st_mode) or not is_plausible:
            raise ValueError("no journal of this format")
        _read(descriptor, status.st_size if is_for_records else RECORDS_AT)
        memory = mapped(descriptor, status.st_size)
    finally:
        os.close(descriptor)
    try:
        return JournalFile(memory, path)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError("no journal of this format") from error


def discard_journal_file(path: Path) -> bool:
    """Delete a sealed journal of this process.

    Returns:
        ``False`` if another process has claimed it, so that it is not lost.
    """
    doomed = path.with_name(f".{path.stem}.tmp")
    try:
        path.rename(doomed)
    except OSError:
        return is_deleted(path)
    with contextlib.suppress(OSError):
        doomed.unlink()
    return True


def is_deleted(path: Path) -> bool:
    """Whether the journal that was made at *path* is neither there nor claimed."""
    # Twice: one that is being renamed at this moment may be seen at neither name.
    return not (_has_file_of(path) or _has_file_of(path))


def _has_file_of(path: Path) -> bool:
    try:
        with os.scandir(path.parent) as entries:
            return any(entry.name.startswith(path.stem) for entry in entries)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # for want of descriptors, perhaps: nobody can tell now


def mapped(descriptor: int, size: int) -> mmap.mmap:
    """Map the first *size* bytes of a file, readable and writable."""
    if sys.version_info >= (3, 13):
        # A mapping needs no descriptor. Older versions keep a copy, and close its
        # number in the end, also if the application has closed and reused it.
        return mmap.mmap(descriptor, size, trackfd=False)
    return mmap.mmap(descriptor, size)


def _read(descriptor: int, size: int) -> None:
    for offset in range(0, size, _PIECE_BYTES):
        os.pread(descriptor, min(_PIECE_BYTES, size - offset), offset)


def _allocate(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    block = bytes(64 * 1024)
    for offset in range(0, size, len(block)):
        os.pwrite(descriptor, block[: size - offset], offset)
