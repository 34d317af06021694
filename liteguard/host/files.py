"""Files in the state folder: how one is replaced, and which are ours to read."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import time
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_WRITE_SECONDS = 3600.0
OWNER_READS = 0o600
"""The mode of every file; set again once it is there, since a umask may take all."""
PASSES_BY_ITSELF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})
"""Errors that say nothing about a folder: the same one is to be tried again."""


def is_own_file(status: os.stat_result) -> bool:
    """Whether it is a plain file of this user that has no second name elsewhere."""
    is_plain = stat.S_ISREG(status.st_mode) and status.st_nlink <= 1
    return is_plain and status.st_uid == os.geteuid()


def write_atomically(
    path: Path, data: bytes, *, is_wanted: Callable[[], bool] = lambda: True
) -> None:
    """Replace *path* by a file that holds *data*: readers see the old or the new one.

    Not synchronised to the disk: after a crash of the machine the data is made anew.

    Args:
        path: The file.
        data: What it is to hold.
        is_wanted: Asked at the last moment before *path* is replaced.

    Raises:
        OSError: As the file system says; *path* is then unchanged.
    """
    # Not named by the pid: containers that share a folder have equal ones.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, OWNER_READS)
    try:
        os.chmod(temporary, OWNER_READS)  # noqa: PTH101  Windows has no fchmod
        with open(descriptor, "wb", closefd=True) as file:  # noqa: PTH123  a descriptor
            file.write(data)
        if is_wanted():
            temporary.replace(path)
        else:
            temporary.unlink()
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _remove_leftovers(path)


def _remove_leftovers(path: Path) -> None:
    """Remove what writers of *path* that were killed have left, once it is old."""
    oldest = time.time() - _LONGEST_WRITE_SECONDS
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if left.lstat().st_mtime < oldest:
                left.unlink()
