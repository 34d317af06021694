"""Other people on the host: what they may prepare, swap and forge, and its effect.

The tests run as root, in which case the other user is `nobody`; as anybody else the
other user is root, who owns the folders that everybody can see.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from clients import ROOT, TOKEN
from forking import NOBODY, as_ordinary_user
from liteguard import LiteguardClient, NotReadyError
from liteguard.host.snapshots import SnapshotStore
from liteguard.host.statedir import open_state_folder
from recording import RecordingServer
from waiting import until as wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD = {"name": "some.guard", "adopted": True, "defaultValue": True}
FAST: dict[str, Any] = {
    "refresh_rate_seconds": 0.1,
    "reload_rate_seconds": 0.02,
    "flush_rate_seconds": 0.1,
}
IS_ROOT = os.geteuid() == 0


def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds, for no longer than some rounds take."""
    wait_until(condition, seconds=10.0)


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with one open guard."""
    with RecordingServer(dict(GUARD)) as running:
        yield running


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test have a temporary folder of its own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


def new_client(
    server: RecordingServer, state_dir: Path, **more: Any
) -> LiteguardClient:
    """Return a client of *server*; it is not started."""
    options = {"backend_url": server.url, "state_dir": str(state_dir), **FAST}
    return LiteguardClient(TOKEN, **{**options, **more})


def become_foreign(path: Path) -> Path:
    """Let *path* belong to another user, if this one may; return what does."""
    if not IS_ROOT:
        return Path("/")
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    return path


# -- what others prepare


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_link_is_followed_at_no_level(
    level: int, server: RecordingServer, tmp_path: Path
) -> None:
    """From the setting down to the journals: nobody leads a client elsewhere."""
    state = tmp_path / "shared"
    state.mkdir()
    state.chmod(0o1777)
    place = open_state_folder(
        str(state), token=TOKEN, backend_url=server.url, environment=""
    )
    levels = [state, place.path.parent, place.path, place.journals_path]
    trap = tmp_path / "trap"
    levels[level].rename(trap)
    levels[level].symlink_to(trap)
    content = {path: path.lstat().st_mtime_ns for path in [trap, *trap.rglob("*")]}
    with new_client(server, state) as client:
        assert client.is_open("some.guard")
        used = client.status().state_dir or ""
    assert used.startswith(str(tmp_path / "tmp"))
    assert content == {
        path: path.lstat().st_mtime_ns for path in [trap, *trap.rglob("*")]
    }


def test_folder_that_another_user_made_first_is_not_used(
    server: RecordingServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever guesses the name and makes it first gets nothing, and is named."""
    state = tmp_path / "shared"
    state.mkdir()
    state.chmod(0o1777)
    own = state / f"liteguard-{os.geteuid()}"
    own.mkdir(0o777)
    taken = become_foreign(own)
    with new_client(server, state if IS_ROOT else taken) as client:
        assert client.is_open("some.guard")
        assert (client.status().state_dir or "").startswith(str(tmp_path / "tmp"))
    assert list(own.iterdir()) == []
    assert "set LITEGUARD_STATE_DIR to a folder that this user can write" in caplog.text


def test_folder_that_another_user_puts_in_its_place_is_left(
    server: RecordingServer, tmp_path: Path
) -> None:
    """Swapped between check and use, as a parent without sticky bit allows: noticed.

    Only root can give a folder away; anybody else swaps in a link.
    """
    state = tmp_path / "shared"
    state.mkdir()
    state.chmod(0o777)
    with new_client(server, state) as client:
        until(lambda: client.is_open("some.guard"))
        used = Path(client.status().state_dir or "")
        own = used.parent
        own.rename(state / "mine")
        if IS_ROOT:
            shutil.copytree(state / "mine", own)
            for path in [own, *own.rglob("*")]:
                become_foreign(path)
        else:
            used.mkdir(parents=True)
            used.rmdir()
            used.symlink_to(state / "mine" / used.name)
        until(
            lambda: (client.status().state_dir or "").startswith(str(tmp_path / "tmp"))
        )
        server.guards[0]["defaultValue"] = False
        until(lambda: not client.is_open("some.guard"))
        left = {path: path.lstat().st_mtime_ns for path in own.rglob("*")}
        client.flush_signals()
        assert left == {path: path.lstat().st_mtime_ns for path in own.rglob("*")}


# -- what others read


def run_here(action: Callable[[], Any]) -> Any:
    """Run *action* in this process."""
    return action()


@pytest.mark.parametrize("umask", [0, 0o077, 0o777])
@pytest.mark.parametrize("run_as", [run_here, as_ordinary_user])
def test_everything_is_the_owners_alone(
    umask: int,
    run_as: Callable[..., Any],
    server: RecordingServer,
    common: Path,
) -> None:
    """Whatever the umask, for root and for a user without privileges."""

    def live() -> list[str]:
        state = common / f"state-{os.geteuid()}"
        before = os.umask(umask)
        try:
            with new_client(server, state) as client:
                for number in range(5):
                    client.is_open("some.guard", properties={"n": number})
                until(lambda: client.status().role == "leader")
                until(lambda: client.status().sent >= 5)
                paths = [state, *state.rglob("*")]
                found = [f"{p.name}: {p.lstat().st_mode:o}" for p in paths if is_lax(p)]
                kinds = {p.name for p in paths}
        finally:
            os.umask(before)
        shutil.rmtree(state)
        assert {"leader-1.lock", "bundle-1.json", "polls-1.json"} <= kinds
        return found

    assert run_as(live) == []


def is_lax(path: Path) -> bool:
    """Whether others may do anything with *path*, or it is not ours."""
    status = path.lstat()
    return bool(stat.S_IMODE(status.st_mode) & 0o077) or status.st_uid != os.geteuid()


PROGRAM = """
import logging, os, sys, traceback
from pathlib import Path
from liteguard import LiteguardClient, NotReadyError

logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
for url in (os.environ["GOOD_URL"], "http://127.0.0.1:1"):
    client = LiteguardClient(backend_url=url, refresh_rate_seconds=0.05)
    try:
        client.start(strict=True)
    except NotReadyError as error:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True)
        print(*lines.format())
    client.is_open("some.guard", properties={"odd": object()})
    client.flush_signals()
    print(client, repr(client), client.status(), client.create_scope(a=1), vars(client))
    print(Path("/proc/self/cmdline").read_bytes(), Path("/proc/self/comm").read_text())
    for thread in Path("/proc/self/task").iterdir():
        print((thread / "comm").read_text())
    client.shutdown()
    print(repr(client))
"""


def test_token_is_in_nothing_that_is_printed_or_written(
    server: RecordingServer, state_dir: Path
) -> None:
    """No line of any level, traceback with locals, title, representation or file."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={
            **os.environ,
            "LITEGUARD_TOKEN": TOKEN,
            "LITEGUARD_STATE_DIR": str(state_dir),
            "GOOD_URL": server.url,
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    printed = ran.stdout + ran.stderr
    assert "NotReadyError" in printed
    assert "cannot refresh the guards" in printed
    assert TOKEN not in printed
    files = [path for path in state_dir.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        assert TOKEN.encode() not in path.read_bytes(), path
        assert TOKEN not in str(path)


def test_passwords_of_urls_are_shown_nowhere(
    state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the backend's nor a proxy's, in lines, errors and representations."""
    caplog.set_level(logging.DEBUG)
    shown: list[object] = []
    for more in (
        {"backend_url": "http://me:pass-word@127.0.0.1:1", "proxies": {}},
        {
            "backend_url": "http://backend.invalid",
            "proxies": {"http": "http://me:pass-word@127.0.0.1:1"},
        },
        {
            "backend_url": "https://backend.invalid",
            "proxies": {"https": "http://me:pass-word@127.0.0.1:1"},
        },
    ):
        client = LiteguardClient(TOKEN, state_dir=str(state_dir), **FAST, **more)  # type: ignore[arg-type]  # of several kinds
        with pytest.raises(NotReadyError) as caught:
            client.start(strict=True)
        shown += [client, client.status(), caught.value]
        shown += traceback.format_exception(
            type(caught.value), caught.value, caught.value.__traceback__
        )
        client.shutdown()
    assert "pass-word" not in "\n".join([*map(str, shown), *map(repr, shown)])
    assert "pass-word" not in caplog.text
    assert len([line for line in caplog.messages if "cannot refresh" in line]) == 3


# -- what others forge: another process of this user can copy files, others cannot


def snapshot_of(server: RecordingServer, state_dir: Path, **more: Any) -> Path:
    """Let a client write its snapshot, and return the file."""
    with new_client(server, state_dir, **more) as client:
        until(lambda: client.status().guards)
        return Path(client.status().state_dir or "") / "bundle-1.json"


@pytest.mark.parametrize(
    "foreign",
    [
        {"environment": "staging"},
        {"project_client_token": "pct-of-somebody-else"},
        {"backend_url": "http://127.0.0.1:1"},
    ],
    ids=lambda foreign: next(iter(foreign)),
)
def test_snapshot_of_another_environment_token_or_backend_is_refused(
    foreign: dict[str, str],
    server: RecordingServer,
    state_dir: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A file that was copied between folders decides nothing, and is replaced."""
    theirs = snapshot_of(server, state_dir)
    place = open_state_folder(
        str(state_dir),
        token=foreign.get("project_client_token", TOKEN),
        backend_url=foreign.get("backend_url", server.url),
        environment=foreign.get("environment", ""),
    )
    shutil.copy(theirs, place.snapshot_path)
    options: dict[str, Any] = {
        "project_client_token": TOKEN,
        "backend_url": server.url,
        "proxies": {},
        **FAST,
        **foreign,
    }
    server.guards[0]["defaultValue"] = False
    client = LiteguardClient(state_dir=str(state_dir), **options)
    with client:
        assert not client.is_open("some.guard")
    assert "it was not written with this token" in caplog.text


def test_snapshot_that_is_rolled_back_rolls_no_running_process_back(
    server: RecordingServer, state_dir: Path
) -> None:
    """Who has seen a later one keeps it, and the leader writes it again.

    A process that starts then cannot tell, and is right again with its first poll.
    """
    path = snapshot_of(server, state_dir)
    old = path.read_bytes()
    server.guards[0]["defaultValue"] = False
    with new_client(server, state_dir) as client:
        until(lambda: not client.is_open("some.guard"))
        path.with_name("copy").write_bytes(old)
        path.with_name("copy").rename(path)
        until(lambda: path.read_bytes() != old)
        assert not client.is_open("some.guard")
    path.with_name("copy").write_bytes(old)
    path.with_name("copy").rename(path)
    with new_client(server, state_dir, refresh_rate_seconds=0.05) as client:
        until(lambda: not client.is_open("some.guard"))


def test_journal_that_is_forged_is_removed_and_nothing_follows(
    server: RecordingServer, state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Garbage under a journal's name costs one line; real ones are still delivered."""
    place = open_state_folder(
        str(state_dir), token=TOKEN, backend_url=server.url, environment=""
    )
    for number, data in enumerate([b"", b"x" * 5000, os.urandom(1_000_000)]):
        (place.journals_path / f"{number:032x}.journal").write_bytes(data)
    (place.journals_path / f"{9:032x}.journal").symlink_to("/etc/passwd")
    os.mkfifo(place.journals_path / f"{8:032x}.journal")
    (place.journals_path / f"{7:032x}.journal").mkdir()
    with new_client(server, state_dir) as client:
        client.is_open("some.guard")
        until(lambda: len(server.ids()) == 1)
        until(lambda: client.status().role == "leader")
        until(lambda: caplog.text.count("no journal of this format") >= 3)
        client.flush_signals()
    assert "please report" not in caplog.text
    assert len(caplog.records) < 10
    assert Path("/etc/passwd").exists()


@pytest.mark.parametrize(
    "change", [{"environment": "e\r\nX-Evil: 1"}, {"project_client_token": "p\r\nX: 1"}]
)
def test_header_cannot_be_smuggled_in(
    change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line breaks in token or environment are refused at once, however set."""
    options: dict[str, Any] = {"project_client_token": TOKEN, **change}
    with pytest.raises(ValueError, match=r"printable ASCII|holds what no header can"):
        LiteguardClient(**options)
    for name, value in change.items():
        variable = "LITEGUARD_TOKEN" if "token" in name else "LITEGUARD_ENV"
        monkeypatch.setenv("LITEGUARD_TOKEN", TOKEN)
        monkeypatch.setenv(variable, value)
    with pytest.raises(ValueError, match=r"printable ASCII|holds what no header can"):
        LiteguardClient()


def test_key_of_a_snapshot_is_bound_to_its_folder(tmp_path: Path) -> None:
    """The folder's name stands for backend, token and environment."""
    one, other = tmp_path / "a", tmp_path / "b"
    assert (
        SnapshotStore(one / "s", TOKEN)._key != SnapshotStore(other / "s", TOKEN)._key
    )
