"""Which file systems keep the space that is reserved for a journal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from disks import SmallDisk
from journals import happening, new_recorder
from liteguard.telemetry import reserving
from liteguard.telemetry.reserving import file_system_of, reserves_space

if TYPE_CHECKING:
    from pathlib import Path

MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:26 / /run rw,nosuid shared:5 - tmpfs tmpfs rw,size=1g
31 30 0:50 / /run/user/1000 rw shared:6 - tmpfs tmpfs rw
40 22 0:44 /home /srv rw - btrfs /dev/sdb rw,space_cache
41 22 0:45 / /srv/my\040share rw - nfs4 server:/x rw
42 22 0:46 / /mnt rw - tmpfs tmpfs rw
43 42 0:47 / /mnt rw - fuse.sshfs host: rw
a line that is none
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "ext4"),
        ("/var/lib/x", "ext4"),
        ("/run/liteguard", "tmpfs"),
        ("/runner", "ext4"),
        ("/run/user/1000/liteguard", "tmpfs"),
        ("/srv/x", "btrfs"),
        ("/srv/my share/x", "nfs4"),
        ("/mnt/x", "fuse.sshfs"),
    ],
)
def test_innermost_mount_tells(path: str, kind: str) -> None:
    """Names are compared whole, spaces are octal there, the latest mount counts."""
    assert file_system_of(path, MOUNTS) == kind


def test_nothing_is_told_of_no_mounts() -> None:
    """As where the kernel hides them."""
    assert file_system_of("/x", "") == ""


def test_real_file_systems_of_the_tests_reserve(tmp_path: Path) -> None:
    """The kernel's own account of this machine is understood."""
    assert reserves_space(tmp_path)
    small = tmp_path / "small"
    small.mkdir()
    disk = SmallDisk(small)
    try:
        assert reserves_space(small)
    finally:
        disk.close()


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file that is read in place of the kernel's account of its mounts."""
    path = tmp_path / "mountinfo"
    monkeypatch.setattr(reserving, "_MOUNTS", path)
    reserving._file_system_here.cache_clear()
    return path


@pytest.mark.parametrize(
    "kind", ["btrfs", "zfs", "bcachefs", "nfs", "nfs4", "cifs", "smb3", "9p", "fuse.x"]
)
def test_journals_stay_in_memory_where_nothing_is_reserved(
    tmp_path: Path, mounts: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    """A full disk would kill the process there; one line says what that costs."""
    caplog.set_level(logging.INFO, logger="liteguard")
    mounts.write_text(f"22 1 8:1 / / rw - {kind} x rw\n")
    folder = tmp_path / "journals"
    folder.mkdir()
    recorder = new_recorder(folder)
    for _ in range(3):
        assert recorder.record(happening()) is not None
        recorder.journals.seal()
    assert list(folder.iterdir()) == []
    assert recorder.buffered == 3
    (line,) = caplog.messages
    assert "cannot reserve space" in line
    reserving._file_system_here.cache_clear()


@pytest.mark.parametrize("kind", ["ext4", "xfs", "tmpfs", "overlay", "f2fs", "fuseblk"])
def test_journals_lie_on_other_file_systems(
    tmp_path: Path, mounts: Path, kind: str
) -> None:
    """The usual ones keep what they have allocated."""
    mounts.write_text(f"22 1 8:1 / / rw - {kind} x rw\n")
    assert reserves_space(tmp_path)
    reserving._file_system_here.cache_clear()


def test_unknown_mounts_are_trusted(tmp_path: Path, mounts: Path) -> None:
    """Where there is no such account, as on macOS."""
    assert not mounts.exists()
    assert reserves_space(tmp_path)
