"""A small disk of its own for the state folder, which a scenario can fill."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from stress.suite.stage import CannotRun

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK = bytes(64 * 1024)


class SmallDisk:
    """A mounted disk.

    Args:
        path: Where.
    """

    def __init__(self, path: Path) -> None:
        self._filler = path / "filler"

    @contextmanager
    def full(self) -> Iterator[None]:
        """Leave no room on it while the block runs."""
        with self._filler.open("wb", buffering=0) as raw, suppress(OSError):
            while raw.write(_BLOCK):
                pass
        try:
            yield
        finally:
            self._filler.unlink()


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a small disk over an empty folder while the block runs.

    Raises:
        CannotRun: It may not be mounted.
    """
    options = ["-o", f"size={megabytes}m,mode=0700"]
    mount = ["mount", "-t", "tmpfs", *options, "none", str(path)]
    mounting = subprocess.run(mount, check=False, capture_output=True)  # noqa: S603  fixed
    if mounting.returncode:
        raise CannotRun("needs root, to mount a small disk")
    try:
        yield SmallDisk(path)
    finally:
        # Lazily: journals on it may still be mapped.
        unmount = ["umount", "-l", str(path)]
        subprocess.run(unmount, check=True)  # noqa: S603  fixed
