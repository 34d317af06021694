"""Real devices that fail: out of inodes, and unreadable. Mounts need root."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from clients import TOKEN
from disks import DyingDisk
from forking import in_child
from journals import ended_process, new_file, store
from liteguard import LiteguardClient
from liteguard.process.identity import current_identity
from liteguard.telemetry.adoption import Adopter
from liteguard.telemetry.journal_folder import open_journal_file
from recording import RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GUARD = {"name": "open.guard", "adopted": True, "defaultValue": True}
# Whoever is not root has no devices to break; the same errors are injected in
# test_faults_disk.py.
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with one open guard."""
    with RecordingServer(dict(GUARD)) as running:
        yield running


def new_client(server: RecordingServer, state_dir: Path) -> LiteguardClient:
    """Return a client with short rates."""
    options: dict[str, Any] = {"refresh_rate_seconds": 0.05}
    options |= {"reload_rate_seconds": 0.02, "flush_rate_seconds": 0.05}
    return LiteguardClient(
        TOKEN,
        backend_url=server.url,
        state_dir=str(state_dir),
        proxies={},
        **options,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder to mount something on."""
    path = tmp_path / "disk"
    path.mkdir()
    return path


def follows(client: LiteguardClient, server: RecordingServer) -> None:
    """Wait until a change arrives, and a signal is delivered."""
    for value in (False, True):
        server.guards[0]["defaultValue"] = value
        until(lambda expected=value: client.is_open("open.guard") is expected)  # type: ignore[misc]  # it is one
    seen = len(server.ids())
    until(lambda: client.is_open("open.guard") and len(server.ids()) > seen)


def exhaust(folder: Path) -> None:
    """Make files until no more can be made."""
    for number in range(100_000):
        try:
            (folder / str(number)).touch()
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return
    raise AssertionError("there are always more")


if IS_ROOT:

    @pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
    def test_disk_without_inodes_stops_nothing(
        kind: str,
        server: RecordingServer,
        folder: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        """There is room, and no file can be made: it goes on, and recovers."""
        if kind == "tmpfs":
            how = ["-t", "tmpfs", "-o", "size=32m,nr_inodes=64,mode=700", "none"]
            subprocess.run(["mount", *how, str(folder)], check=True)
        else:
            DyingDisk(folder, inodes=64)
        folder.chmod(0o700)
        try:
            with new_client(server, folder) as client:
                until(lambda: client.status().role == "leader")
                fill = folder / "fill"
                fill.mkdir()
                exhaust(fill)
                follows(client, server)
                for path in fill.iterdir():
                    path.unlink()
                follows(client, server)
                until(lambda: client.status().state_dir.startswith(str(folder)))  # type: ignore[union-attr]  # there is one
            assert "please report" not in caplog.text
            assert 0 < len(caplog.records) <= 6, caplog.text
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=True)

    def test_client_outlives_its_disk(
        server: RecordingServer, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Each read and write fails from now on: answers and deliveries go on."""
        disk = DyingDisk(folder)
        folder.chmod(0o700)
        try:
            with new_client(server, folder) as client:
                until(lambda: client.status().role == "leader")
                disk.fail()
                follows(client, server)
            assert "please report" not in caplog.text
            assert len(caplog.records) <= 6, caplog.text
        finally:
            disk.close()

    def test_snapshot_that_cannot_be_read_is_told_and_replaced(
        server: RecordingServer, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Whoever starts on it asks the backend; a line begins it, and one ends it."""
        caplog.set_level(logging.INFO)
        disk = DyingDisk(folder)
        folder.chmod(0o700)
        try:
            with new_client(server, folder) as client:
                until(lambda: client.status().role == "leader")
                state = client.status().state_dir
            caplog.clear()
            (path,) = folder.glob("*/bundle-1.json")
            disk.forget(path)
            disk.fail()
            with new_client(server, folder) as client:
                assert client.status().state_dir == state
                follows(client, server)
            lines = [m for m in caplog.messages if "leads its host" not in m]
            assert "Input/output error; keeping the last one" in lines[0]
            assert lines[1:] == ["liteguard: the snapshot can be used again"]
        finally:
            disk.close()

    def test_journal_that_cannot_be_read_is_an_error_and_no_signal(
        folder: Path,
    ) -> None:
        """A leader that maps what the dead left would be killed by the first page."""
        disk = DyingDisk(folder)
        try:
            file = new_file(folder, owner=ended_process())
            store(file, 1)
            path = file.path
            assert path is not None
            file.memory.flush()
            file.memory.close()
            disk.forget(path)
            disk.fail()

            def adopt() -> list[Any]:
                with pytest.raises(OSError, match=os.strerror(errno.EIO)):
                    open_journal_file(path)
                adopter = Adopter(folder, current_identity())
                adopter.claim_all()
                return [adopter.open(claimed) for claimed in adopter.claimed()]

            assert set(in_child(adopt)) <= {None}
        finally:
            disk.close()
