"""A disk of one megabyte, for tests of what happens when it is full."""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = bytes(64 * 1024)


class SmallDisk:
    """A file system of its own where it may be mounted, else a limit on every file.

    Args:
        path: An empty folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(path)]
        mounting = subprocess.run(mount, check=False, capture_output=True)
        self._is_mounted = mounting.returncode == 0
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self, spare_bytes: int = 0) -> None:
        """Leave no room on it, or only so much."""
        if not self._is_mounted:
            limits = (spare_bytes or len(BLOCK), self._limits[1])
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            return
        with self._filler.open("wb", buffering=0) as raw:
            with contextlib.suppress(OSError):
                while raw.write(BLOCK):
                    pass
            raw.truncate(raw.tell() - spare_bytes)

    def empty(self) -> None:
        """Make room again."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Put everything back as it was."""
        self.empty()
        if self._is_mounted:
            # Lazily: journals on it may still be mapped.
            subprocess.run(["umount", "-l", str(self.path)], check=True)


class DyingDisk:
    """An ext4 of its own, whose device can be made to fail with EIO. For root alone.

    Args:
        path: An empty folder.
        inodes: How many files there is room for, about.
    """

    def __init__(self, path: Path, *, inodes: int = 4096) -> None:
        self.path = path
        self._image = path.with_name(f"{path.name}.image")
        with self._image.open("wb") as image:
            image.truncate(32 * 1024 * 1024)
        make = ["mkfs.ext4", "-q", "-O", "^has_journal", "-N", str(inodes)]
        subprocess.run([*make, str(self._image)], check=True)
        mount = ["mount", "-o", "loop", str(self._image), str(path)]
        subprocess.run(mount, check=True)

    def forget(self, file: Path) -> None:
        """Write *file* to the device, and keep nothing of it in memory."""
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)

    def fail(self) -> None:
        """Let nothing be read from the device any more."""
        with self._image.open("r+b") as image:
            image.truncate(0)

    def close(self) -> None:
        """Let go of it."""
        subprocess.run(["umount", "-l", str(self.path)], check=True)
