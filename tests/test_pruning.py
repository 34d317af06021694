"""State folders of tokens that were rotated: removed when nobody uses them any more."""

from __future__ import annotations

import fcntl
import logging
import os
import time
from pathlib import Path
from typing import Any, Callable

import pytest

from clients import TOKEN
from forking import in_child, living, sleep_for_ever
from journals import ended_process, new_file, store
from liteguard import LiteguardClient
from liteguard.host.pruning import Pruner
from liteguard.host.statedir import StateFolder, open_state_folder
from recording import RecordingServer
from waiting import until

WEEK = 7 * 86400.0
LINE = (
    "liteguard: removed %d state folders of tokens, environments or backends that "
    "nobody has used for a week, and %d signals in them"
)


GUARD = {"name": "open.guard", "adopted": True, "defaultValue": True}


def options(server: RecordingServer, state_dir: Path) -> dict[str, Any]:
    """Return where a client of *server* works."""
    place = {"backend_url": server.url, "state_dir": str(state_dir)}
    return {**place, "proxies": {}}


def folder_of(state_dir: Path, token: str) -> StateFolder:
    """Return the state folder of *token*, made if it is not there."""
    return open_state_folder(
        str(state_dir), token=token, backend_url="http://b.test", environment=""
    )


def used_once(state_dir: Path, number: int = 0) -> Path:
    """Leave the folder of a token that was in use, with three signals of the dead."""
    folder = folder_of(state_dir, f"token-{number}")
    for path in (folder.leader_lock_path, folder.snapshot_path, folder.polls_path):
        path.touch()
    file = new_file(folder.journals_path, owner=ended_process())
    for record in (1, 2, 3):
        store(file, record)
    return folder.path


def age(folder: Path, seconds: float = WEEK + 60.0) -> Path:
    """Make everything in *folder* as old as that."""
    then = time.time() - seconds
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (then, then), follow_symlinks=False)
    return folder


@pytest.fixture
def ours(state_dir: Path) -> Path:
    """Return the folder of the token in use."""
    return folder_of(state_dir, TOKEN).path


def test_folder_of_a_rotated_token_goes_with_one_line_of_its_leader(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A real client with the new token leads, and removes what the old one left."""
    with RecordingServer(GUARD) as server:
        place = options(server, state_dir)

        def use_and_end_at_once() -> Any:
            client = LiteguardClient("rotated", flush_rate_seconds=3600.0, **place)
            client.start()
            assert all(client.is_open("open.guard") for _ in range(5))
            return client.status().state_dir

        left = Path(in_child(use_and_end_at_once))
        age(left)
        with LiteguardClient(TOKEN, flush_rate_seconds=0.05, **place) as client:
            until(lambda: not left.exists())
            until(lambda: "removed" in caplog.text)
            assert list(state_dir.iterdir()) == [Path(client.status().state_dir or "")]
    assert LINE % (1, 5) in caplog.messages
    assert caplog.text.count("removed") == 1


def test_old_folders_go_and_what_they_held_is_told(
    state_dir: Path, ours: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """All at once, with the number of signals that are lost."""
    for number in range(3):
        age(used_once(state_dir, number))
    age(ours)
    Pruner(ours).prune()
    assert list(state_dir.iterdir()) == [ours]
    assert caplog.messages == [LINE % (3, 9)]


def test_folders_are_looked_for_once_an_hour(state_dir: Path, ours: Path) -> None:
    """And a bounded number is removed at each look."""
    now = 0.0
    pruner = Pruner(ours, clock=lambda: now)
    pruner.prune()
    for number in range(60):
        age(folder_of(state_dir, f"token-{number}").path)
    pruner.prune()
    assert len(list(state_dir.iterdir())) == 61
    for _ in range(2):
        now += 3601.0
        pruner.prune()
    assert list(state_dir.iterdir()) == [ours]


def locked(folder: Path) -> None:
    """Hold the lock of some version for as long as the test runs."""
    descriptor = os.open(folder / "leader-7.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    age(folder)


def with_something_else(folder: Path) -> None:
    """Put a file there that no version of this package writes."""
    (folder / "thesis.txt").touch()
    age(folder)


def without_journals(folder: Path) -> None:
    """Leave a folder that has such a name by chance."""
    for path in (folder / "journals-2").iterdir():
        path.unlink()
    (folder / "journals-2").rmdir()
    age(folder)


def used_yesterday(folder: Path) -> None:
    """Touch one journal."""
    age(folder)
    (path,) = (folder / "journals-2").iterdir()
    os.utime(path, (0.0, time.time() - 86400.0))


def behind_a_link(folder: Path) -> None:
    """Let the name be a link's."""
    elsewhere = folder.parent / "elsewhere"
    age(folder).rename(elsewhere)
    folder.symlink_to(elsewhere)


@pytest.mark.parametrize(
    "leave",
    [locked, with_something_else, without_journals, used_yesterday, behind_a_link],
)
def test_what_may_be_used_or_is_not_ours_stays(
    leave: Callable[[Path], None],
    state_dir: Path,
    ours: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing of it is touched, and nothing is said."""
    folder = used_once(state_dir)
    leave(folder)
    before = sorted(state_dir.rglob("*"))
    Pruner(ours).prune()
    assert sorted(state_dir.rglob("*")) == before
    assert caplog.messages == []


def test_folder_of_a_process_that_was_stopped_for_a_week_stays(
    state_dir: Path, ours: Path
) -> None:
    """It leads no more, and touches nothing, and will go on some day."""
    folder = folder_of(state_dir, "of the stopped")

    def record() -> None:
        file = new_file(folder.journals_path)
        store(file, 1)
        sleep_for_ever()

    with living(record):
        until(lambda: list(folder.journals_path.glob("*.journal")))
        age(folder.path)
        Pruner(ours).prune()
        assert folder.path.exists()
    Pruner(ours).prune()
    assert not folder.path.exists()


def test_removal_that_was_cut_short_is_finished(state_dir: Path, ours: Path) -> None:
    """What a killed process has renamed and not deleted, the next one deletes."""
    doomed = used_once(state_dir).rename(
        state_dir / f".{'a' * 24}.{'b' * 12}.tmp",
    )
    Pruner(ours).prune()
    assert not doomed.exists()


def test_follower_removes_nothing(state_dir: Path) -> None:
    """One process of the host does it."""
    with RecordingServer(GUARD) as server:
        place = options(server, state_dir)

        def lead() -> None:
            LiteguardClient(TOKEN, flush_rate_seconds=3600.0, **place).start()
            sleep_for_ever()

        with living(lead):
            until(lambda: list(state_dir.glob("*/bundle-1.json")))
            folder = age(used_once(state_dir))
            with LiteguardClient(TOKEN, flush_rate_seconds=0.05, **place) as client:
                assert client.is_open("open.guard")
                until(lambda: client.status().sent == 1)
                assert client.status().role == "follower"
                assert folder.exists()


def test_file_system_that_fails_is_no_matter(
    state_dir: Path,
    ours: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What cannot be looked at or renamed is left."""
    folder = age(used_once(state_dir))

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    for owner, name in ((Path, "rename"), (os, "scandir")):
        with monkeypatch.context() as patched:
            patched.setattr(owner, name, fail)
            Pruner(ours).prune()
    assert folder.exists()
    assert caplog.messages == []


@pytest.fixture(autouse=True)
def _lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
