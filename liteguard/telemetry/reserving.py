"""Which file systems keep the space that is reserved for a file.

A journal is written through a mapping, where a full disk is no error but a fatal
signal. So its blocks are allocated first, which helps only where a block stays the
file's own: not on file systems that write each change elsewhere (Btrfs, ZFS, bcachefs)
nor on those of another machine or program.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_UNRESERVING = re.compile(
    r"btrfs|zfs|bcachefs|nfs\d?|cifs|smb\w*|9p|afs|ceph|glusterfs|fuse(?!blk)\b.*"
)
_PLACE = 4
_FIELDS = 5
_ESCAPED = re.compile(r"\\(\d{3})")


def reserves_space(folder: Path) -> bool:
    """Whether space that is allocated in *folder* cannot run out later.

    Blocks for reading what the kernel knows of its mounts. Where that cannot be read,
    as on macOS, the answer is yes.
    """
    try:
        kind = _file_system_here(str(folder), folder.stat().st_dev)
    except OSError:
        return True
    return _UNRESERVING.fullmatch(kind) is None


@lru_cache(maxsize=16)
def _file_system_here(folder: str, device: int) -> str:
    # The device is an argument only so that another mount is looked up anew.
    del device
    mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    return file_system_of(os.path.realpath(folder), mounts)


def file_system_of(path: str, mounts: str) -> str:
    """Return the type of the file system that *path* is on, "" if it is not told.

    Args:
        path: Absolute, without links.
        mounts: As ``/proc/self/mountinfo`` tells them (proc(5)).
    """
    longest, kind = -1, ""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < _FIELDS or not after:
            continue
        place = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[_PLACE])
        is_above = path == place or path.startswith(place.rstrip("/") + "/")
        # Of two at one place the later hides the earlier.
        if is_above and len(place) >= longest:
            longest, kind = len(place), after.split(" ", 1)[0]
    return kind
