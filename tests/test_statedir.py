from __future__ import annotations

import os
import re
import resource
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from forking import NOBODY, Child, as_ordinary_user, in_child, wait_until
from liteguard.errors import StateFolderError
from liteguard.host.files import write_atomically
from liteguard.host.statedir import (
    StateFolder,
    open_state_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKEN = "pct-0123456789abcdef"  # noqa: S105  no token of anybody
ME = os.geteuid()


def opened(setting: Path | str | None, **different: str) -> StateFolder:
    """Open the folder for *setting*."""
    names = {"token": TOKEN, "backend_url": "https://b", "environment": "e"}
    text = None if setting is None else str(setting)
    return open_state_folder(text, **{**names, **different})


def mode(path: Path) -> int:
    """Return the permission bits of *path*."""
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the test have a temporary folder of its own, shared as /tmp is."""
    path = tmp_path / "tmp"
    path.mkdir()
    path.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    return path


@pytest.fixture
def reachable() -> Iterator[Path]:
    """Return a folder like /tmp that every user of the host can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o1777)
        yield Path(name)


@pytest.fixture
def foreign(reachable: Path) -> Path:
    """Return a folder that belongs to another user."""
    if ME != 0:
        return Path("/")
    path = reachable / "foreign"
    path.mkdir()
    os.chown(path, NOBODY, NOBODY)
    return path


# -- the candidates


def test_the_setting_is_the_first_choice(tmp_path: Path) -> None:
    """A folder that is asked for and usable is used, and nothing is refused."""
    folder = opened(tmp_path / "state")
    assert folder.path.parent == tmp_path / "state"
    assert folder.refused == ""
    assert folder.owner == ME


def test_the_runtime_folder_is_the_second_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a setting the folder lies in $XDG_RUNTIME_DIR."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = opened(None)
    assert folder.path.parent == tmp_path / "liteguard"
    assert folder.refused == ""


def test_the_temporary_folder_is_the_last_choice(temporary: Path) -> None:
    """Without anything the folder lies in the temporary folder, named by the user."""
    folder = opened(None)
    assert folder.path.parent == temporary / f"liteguard-{ME}"
    assert folder.refused == ""


def test_a_missing_setting_is_made_with_its_parents(tmp_path: Path) -> None:
    """A setting may name a folder that is not there yet."""
    folder = opened(tmp_path / "a" / "b" / "c")
    assert folder.path.parent == tmp_path / "a" / "b" / "c"


def test_a_relative_setting_does_not_move_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later chdir does not lead a process to another folder."""
    monkeypatch.chdir(tmp_path)
    folder = opened("state")
    assert folder.path.parent == tmp_path / "state"


def test_a_relative_setting_of_a_process_that_is_nowhere_is_passed_over(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its working folder may have been deleted, as releases are."""
    (tmp_path / "release").mkdir()
    monkeypatch.chdir(tmp_path / "release")
    (tmp_path / "release").rmdir()
    folder = opened(Path("state"))
    assert folder.path.parent.parent == temporary
    assert folder.refused == "No such file or directory"


def test_a_missing_runtime_folder_is_not_made(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """$XDG_RUNTIME_DIR is the login's to make; a stale name of it is passed over."""
    stale = tmp_path / "run" / "user" / "1000"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(stale))
    folder = opened(None)
    assert folder.path.is_relative_to(temporary)
    assert str(stale) in folder.refused
    assert not stale.exists()


def test_another_users_runtime_folder_is_not_used(
    foreign: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who became root by ``sudo -E`` leaves nothing in the other user's folder."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(foreign))
    folder = opened(None)
    assert folder.path.is_relative_to(temporary)
    assert f"{foreign}: belongs to another user" in folder.refused
    assert not (foreign / "liteguard").exists()


def test_a_relative_runtime_folder_is_ignored(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standard wants an absolute path and calls any other invalid."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "run")
    assert opened(None).path.is_relative_to(temporary)


# -- shared parents


@pytest.mark.parametrize("bits", [0o1777, 0o775, 0o755, 0o750])
def test_a_shared_folder_is_the_parent_of_a_private_one(
    tmp_path: Path, bits: int
) -> None:
    """A folder that others use keeps its mode and gets a folder of this user's own."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(bits)
    folder = opened(shared)
    assert folder.path.parent == shared / f"liteguard-{ME}"
    assert mode(shared) == bits
    assert mode(folder.path.parent) == 0o700


def test_a_folder_that_is_private_already_is_used_itself(state_dir: Path) -> None:
    """A setting of this user's own gets no further level."""
    assert opened(state_dir).path.parent == state_dir


def test_users_who_share_a_folder_do_not_share_their_own(reachable: Path) -> None:
    """Two users with the same setting get folders that the other cannot enter."""
    mine = opened(reachable)
    theirs = Path(as_ordinary_user(lambda: str(opened(reachable).path)))
    uid = NOBODY if ME == 0 else ME
    assert theirs.parent == reachable / f"liteguard-{uid}"
    assert theirs.name == mine.path.name
    assert theirs.lstat().st_uid == uid
    assert mode(theirs) == 0o700


def test_an_ordinary_user_falls_through_what_only_root_may_use(
    reachable: Path,
) -> None:
    """A folder that another user alone may write is passed over, with the reason."""

    def open_as_they_do() -> list[str]:
        tempfile.tempdir = str(reachable)
        folder = opened("/usr")
        return [str(folder.path.parent), folder.refused]

    parent, refused = as_ordinary_user(open_as_they_do)
    uid = NOBODY if ME == 0 else ME
    assert parent == str(reachable / f"liteguard-{uid}")
    assert refused.startswith(f"/usr/liteguard-{uid}: ")
    assert "denied" in refused.lower() or "read-only" in refused.lower()


def test_the_owner_follows_the_effective_user(reachable: Path) -> None:
    """A process that gave up its privileges for a time works as who it is then."""
    if ME != 0:
        assert opened(reachable).owner == ME
        return

    def open_as_nobody() -> list[Any]:
        os.seteuid(NOBODY)
        folder = opened(reachable)
        return [folder.owner, folder.path.lstat().st_uid]

    assert in_child(open_as_nobody) == [NOBODY, NOBODY]


# -- what is refused


def refuse(make: Callable[[Path], object], tmp_path: Path) -> str:
    """Let *make* spoil a setting, and return why the setting was passed over."""
    setting = tmp_path / "setting"
    make(setting)
    folder = opened(setting)
    assert not folder.path.is_relative_to(setting)
    return folder.refused


def test_a_symbolic_link_is_refused(tmp_path: Path, state_dir: Path) -> None:
    """Nobody leads a process elsewhere by a link."""
    refused = refuse(lambda path: path.symlink_to(state_dir), tmp_path)
    assert refused == f"{tmp_path / 'setting'}: is not a folder"
    assert list(state_dir.iterdir()) == []


def test_a_link_in_place_of_the_private_folder_is_refused(
    temporary: Path, state_dir: Path
) -> None:
    """A link that waits under the name to be used is not followed."""
    (temporary / f"liteguard-{ME}").symlink_to(state_dir)
    with pytest.raises(StateFolderError, match="is not a folder"):
        opened(None)
    assert list(state_dir.iterdir()) == []


def test_a_file_in_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    """What is no folder is passed over, and left as it is."""
    refused = refuse(lambda path: path.write_text("precious"), tmp_path)
    assert "is not a folder" in refused
    assert (tmp_path / "setting").read_text() == "precious"


def test_a_file_in_place_of_a_parent_is_refused(tmp_path: Path) -> None:
    """A setting below a file is passed over with the system's reason."""
    (tmp_path / "file").write_text("")
    folder = opened(tmp_path / "file" / "state")
    assert "Not a directory" in folder.refused


def test_a_link_that_leads_nowhere_is_refused_above_the_folder_too(
    tmp_path: Path, temporary: Path
) -> None:
    """It can neither be entered nor made."""
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    within = tmp_path / "link" / "within"
    folder = opened(within)
    assert folder.path.parent.parent == temporary
    assert folder.refused == f"{within}: No such file or directory"


def test_a_link_in_place_of_the_folder_within_is_refused(state_dir: Path) -> None:
    """The folder of one token is looked at as its parent is."""
    path = opened(state_dir).path
    (path / "journals-2").rmdir()
    path.rmdir()
    path.symlink_to(state_dir.parent)
    assert not opened(state_dir).path.is_relative_to(state_dir)


def test_a_foreign_folder_under_the_private_name_is_refused(
    reachable: Path, temporary: Path
) -> None:
    """What another user put where this user's folder should be is not touched."""
    taken = reachable / f"liteguard-{ME}"
    taken.mkdir()
    if ME == 0:
        os.chown(taken, NOBODY, NOBODY)
        folder = opened(reachable)
        assert folder.path.is_relative_to(temporary)
        assert folder.refused == f"{taken}: belongs to another user"
        assert list(taken.iterdir()) == []


def test_a_mode_that_lets_others_in_is_mended(temporary: Path) -> None:
    """A folder of ours that others could read is closed to them."""
    path = opened(None).path
    for folder in (temporary / f"liteguard-{ME}", path, path / "journals-2"):
        folder.chmod(0o777)
    again = opened(None)
    assert again.path == path
    assert {mode(f) for f in (path.parent, path, path / "journals-2")} == {0o700}


@pytest.mark.parametrize("umask", [0, 0o002, 0o027, 0o077])
def test_the_mode_does_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    """Whatever the process's umask, others neither read nor write."""
    before = os.umask(umask)
    try:
        folder = opened(tmp_path / "state")
        write_atomically(folder.snapshot_path, b"secret")
    finally:
        os.umask(before)
    private = [folder.path.parent, folder.path, folder.journals_path]
    assert [mode(path) for path in private] == [0o700, 0o700, 0o700]
    assert mode(folder.snapshot_path) == 0o600


def test_the_folders_on_the_way_are_private_too(tmp_path: Path) -> None:
    """Under any umask nobody can replace a folder that lies above ours."""
    before = os.umask(0)
    try:
        opened(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    assert {mode(tmp_path / "a"), mode(tmp_path / "a" / "b")} == {0o700}


def test_a_folder_that_cannot_be_written_falls_through(reachable: Path) -> None:
    """An own folder without permission to write is passed over, and left so."""

    def open_read_only() -> list[str]:
        tempfile.tempdir = str(reachable)
        setting = reachable / "read-only"
        setting.mkdir(mode=0o500)
        folder = opened(setting)
        return [str(folder.path.parent.parent), folder.refused]

    parent, refused = as_ordinary_user(open_read_only)
    assert parent == str(reachable)
    assert refused == f"{reachable / 'read-only'}: cannot be written"


def test_where_nothing_is_left_every_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names each candidate and why it could not be used."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "missing"))
    with pytest.raises(StateFolderError) as caught:
        opened(tmp_path / "file")
    reasons = str(caught.value).split("; ")
    assert [reason.partition(": ")[0] for reason in reasons] == [
        str(tmp_path / "file"),
        str(tmp_path / "missing"),
        str(tmp_path / "file" / f"liteguard-{ME}"),
    ]


def test_a_host_without_a_temporary_folder_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Python finds no temporary folder the search ends with its reasons."""

    def find_nothing() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", find_nothing)
    (tmp_path / "file").write_text("")
    with pytest.raises(StateFolderError, match="No usable temporary directory"):
        opened(tmp_path / "file")


# -- the folder's name


def test_the_name_does_not_tell_the_token(state_dir: Path) -> None:
    """Who lists the folder learns neither token nor environment nor backend."""
    folder = opened(state_dir, environment="production-eu")
    text = str(folder.path.relative_to(state_dir))
    assert TOKEN not in text
    assert "production" not in text
    assert not any(part in text for part in ("pct", "0123456789abcdef"))


def test_the_same_settings_meet_in_the_same_folder(state_dir: Path) -> None:
    """Processes that are told the same share one folder."""
    theirs = in_child(lambda: str(opened(state_dir).path))
    assert theirs == str(opened(state_dir).path)


def test_different_settings_never_meet(state_dir: Path) -> None:
    """Another token, backend or environment is another folder."""
    folders = {
        opened(state_dir).path,
        opened(state_dir, token="pct-other").path,  # noqa: S106  no token of anybody
        opened(state_dir, backend_url="https://c").path,
        opened(state_dir, environment="f").path,
        opened(state_dir, environment="").path,
        opened(state_dir, backend_url="https://b\ne", environment="").path,
    }
    assert len(folders) == 6


def test_every_file_carries_its_format(state_dir: Path) -> None:
    """A later version finds its own files, and leaves these alone."""
    folder = opened(state_dir)
    names = {
        folder.leader_lock_path.name,
        folder.snapshot_path.name,
        folder.polls_path.name,
        folder.journals_path.name,
    }
    assert len(names) == 4
    assert all(re.search(r"-[0-9]+(\.|$)", name) for name in names)


def test_opening_at_the_same_moment_succeeds_in_every_process(tmp_path: Path) -> None:
    """Processes that start together do not stumble over each other's folders."""
    start = tmp_path / "start"

    def open_together() -> str:
        wait_until(start.exists)
        return str(opened(tmp_path / "state" / "deep").path)

    children = [Child(open_together) for _ in range(8)]
    start.touch()
    assert len({child.result() for child in children}) == 1


# -- writing a file


def test_a_write_replaces_the_whole_file(tmp_path: Path) -> None:
    """A shorter text leaves nothing of the longer one, and nothing else behind."""
    path = tmp_path / "file"
    write_atomically(path, b"a long text")
    write_atomically(path, b"short")
    assert path.read_bytes() == b"short"
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["file"]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """On a full disk the old content stays, and no half a file is left."""
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fill_the_disk() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        try:
            write_atomically(path, b"new" * 100)
        except OSError as error:
            return str(error.strerror)
        return "written"

    assert in_child(fill_the_disk) == "File too large"
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["file"]


def test_a_write_does_not_follow_a_link(tmp_path: Path) -> None:
    """A link in the file's place is replaced; what it led to is left alone."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path = tmp_path / "file"
    path.symlink_to(victim)
    write_atomically(path, b"new")
    assert victim.read_text() == "precious"
    assert not path.is_symlink()


def test_writers_with_the_same_pid_do_not_mix(tmp_path: Path) -> None:
    """Containers that share a folder have equal pids, and still write whole files."""
    path = tmp_path / "file"
    half_done = tmp_path / f".file.{os.getpid()}.tmp"
    half_done.write_bytes(b"by another process 1")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert half_done.read_bytes() == b"by another process 1"


def test_what_a_killed_writer_left_is_removed_once_it_is_old(tmp_path: Path) -> None:
    """Killed writers do not fill the disk, and a living one is not disturbed."""
    path = tmp_path / "file"
    old, young = tmp_path / ".file.a.tmp", tmp_path / ".file.b.tmp"
    others = tmp_path / ".other.c.tmp"
    for left in (old, young, others):
        left.write_bytes(b"half")
    for left in (old, others):
        os.utime(left, (1_000_000_000, 1_000_000_000))
    write_atomically(path, b"new")
    assert not old.exists()
    assert young.exists()
    assert others.exists()


def test_a_flush_is_not_overdue_in_a_new_folder(tmp_path: Path) -> None:
    """The time since the last flush counts from the first look, then from the flush."""
    folder = open_state_folder(
        str(tmp_path / "new"), token=TOKEN, backend_url="http://b", environment=""
    )
    assert folder.last_flush_age() == 0.0
    (mark,) = folder.path.glob("flushed*")
    os.utime(mark, (1, 1))
    assert folder.last_flush_age() > 1e6
    folder.mark_flush()
    assert folder.last_flush_age() < 1e6
