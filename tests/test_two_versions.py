"""Two versions of the package on one state folder: each has its own files there."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from clients import TOKEN, guard
from conftest import ROOT
from liteguard import LiteguardClient
from recording import RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

FAST: dict[str, Any] = {
    "refresh_rate_seconds": 0.05,
    "reload_rate_seconds": 0.02,
    "flush_rate_seconds": 0.05,
}
PROGRAM = """
import sys
from liteguard import LiteguardClient

client = LiteguardClient(
    refresh_rate_seconds=0.05, reload_rate_seconds=0.02, flush_rate_seconds=3600.0
)
client.start(strict=True)
for line in sys.stdin:
    is_open = client.is_open("open.guard")
    print(is_open, client.status().role.value, client.status().state_dir, flush=True)
client.shutdown()
"""
FORMAT = re.compile(r"\b(leader|bundle|polls|flushed|journals|limits)-([0-9])")


def later_version(folder: Path) -> Path:
    """Return where a copy of the package is whose files all have another format."""
    shutil.copytree(ROOT / "liteguard", folder / "liteguard")
    for path in (folder / "liteguard").rglob("*.py"):
        path.write_text(FORMAT.sub(r"\1-9", path.read_text()))
    return folder


@contextlib.contextmanager
def later_process(
    url: str, state_dir: Path, version: Path
) -> Iterator[Callable[[], list[str]]]:
    """Run a client of the later version; yield what asks it for answer and status."""
    place = {
        "LITEGUARD_TOKEN": TOKEN,
        "LITEGUARD_BACKEND_URL": url,
        "LITEGUARD_STATE_DIR": str(state_dir),
        "PYTHONPATH": str(version),
    }
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=version,
        env={**os.environ, **place},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def ask() -> list[str]:
            stdin.write("\n")
            stdin.flush()
            return stdout.readline().split()

        try:
            yield ask
        finally:
            process.kill()


def test_two_versions_share_a_folder_and_no_file(
    tmp_path: Path, state_dir: Path
) -> None:
    """As during a deploy: each leads its own, follows changes and leaves the other's.

    The later one is killed, and its journal waits for a process of its version.
    """
    version = later_version(tmp_path / "later")
    with RecordingServer(guard("open.guard", defaultValue=True)) as server:
        options = {"backend_url": server.url, "state_dir": str(state_dir), **FAST}
        with LiteguardClient(TOKEN, **options) as client:
            folder = Path(client.status().state_dir or "")
            with later_process(server.url, state_dir, version) as ask:
                server.guards[0]["defaultValue"] = False
                until(lambda: not client.is_open("open.guard"))
                until(lambda: ask() == ["False", "leader", str(folder)])
                assert client.status().role == "leader"
                until((folder / "flushed-9").exists)
            (left,) = (folder / "journals-9").iterdir()
            before = left.read_bytes()
            assert client.flush_signals()
            assert left.read_bytes() == before
    names = {path.name for path in folder.iterdir()}
    for name in ("leader-{}.lock", "bundle-{}.json", "polls-{}.json", "flushed-{}"):
        assert {name.format(1), name.format(9)} <= names
