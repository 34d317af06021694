"""Each thing that can be wrong with the state folder, put there while a client runs."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import itertools
import logging
import os
import shutil
import socket
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from clients import TOKEN
from disks import SmallDisk
from forking import as_ordinary_user, in_child
from liteguard import LiteguardClient, folder_watch
from liteguard.host.statedir import StateFolder, open_state_folder
from liteguard.telemetry import journals
from recording import RecordingServer
from waiting import until as wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARD = {"name": "some.guard", "adopted": True, "defaultValue": True}
FAST: dict[str, Any] = {
    "refresh_rate_seconds": 0.05,
    "reload_rate_seconds": 0.02,
    "flush_rate_seconds": 0.05,
}


def until(condition: Callable[[], object]) -> None:
    """Wait until *condition* holds, for no longer than some rounds take."""
    wait_until(condition, seconds=15.0)


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test have a temporary folder of its own, and look for folders often."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(folder_watch, "_FIND_AGAIN_SECONDS", 0.1)


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with one open guard."""
    with RecordingServer(dict(GUARD)) as running:
        yield running


def options(server: RecordingServer, state_dir: Path) -> dict[str, Any]:
    """Return the options of a client of *server*."""
    return {
        "project_client_token": TOKEN,
        "backend_url": server.url,
        "state_dir": str(state_dir),
        **FAST,
    }


def folder_of(server: RecordingServer, state_dir: Path) -> StateFolder:
    """Return the folder in which a client of *server* works."""
    return open_state_folder(
        str(state_dir), token=TOKEN, backend_url=server.url, environment=""
    )


def directory(path: Path) -> None:
    """Put a folder with something in it in the place of a file."""
    while not path.is_dir():
        path.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):  # written at this very moment
            path.mkdir()
    (path / "something").touch()


def pipe(path: Path) -> None:
    """Put a named pipe there."""
    os.mkfifo(path.with_name("made"), 0o600)
    path.with_name("made").rename(path)


def socket_file(path: Path) -> None:
    """Put a socket there."""
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as bound:
        # The path itself may be longer than one that can be bound to.
        bound.bind(f"/proc/self/fd/{folder}/made")
    os.close(folder)
    path.with_name("made").rename(path)


def device(path: Path) -> None:
    """Put a device there that can be read for ever."""
    os.mknod(path.with_name("made"), stat.S_IFCHR | 0o600, os.makedev(1, 5))
    path.with_name("made").rename(path)


def link(path: Path) -> None:
    """Put a symbolic link to another file of this user there."""
    path.with_name("made").symlink_to(path.parent.parent / "precious")
    path.with_name("made").rename(path)


def second_name(path: Path) -> None:
    """Put another file of this user there, by a second name."""
    os.link(path.parent.parent / "precious", path.with_name("made"))
    path.with_name("made").rename(path)


def garbage(path: Path) -> None:
    """Overwrite a file with what nobody wrote."""
    path.with_name("made").write_bytes(os.urandom(5000))
    path.with_name("made").rename(path)


def nothing(path: Path) -> None:
    """Delete what is there."""
    if path.is_dir():
        # Away at once: somebody works in it.
        shutil.rmtree(path.rename(path.with_name("doomed")))
    else:
        path.unlink()


def plain_file(path: Path) -> None:
    """Put a file in the place of a folder."""
    nothing(path)
    path.touch()


def link_to_folder(path: Path) -> None:
    """Put a link to another folder in the place of a folder."""
    elsewhere = path.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


Place = Callable[[StateFolder], Path]
PLACES: dict[str, Place] = {
    "lock": lambda folder: folder.leader_lock_path,
    "snapshot": lambda folder: folder.snapshot_path,
    "polls": lambda folder: folder.polls_path,
    "flush mark": lambda folder: folder._flush_path,
    "folder": lambda folder: folder.path,
    "journals": lambda folder: folder.journals_path,
    "parent": lambda folder: folder.path.parent,
}
FILES = ["lock", "snapshot", "polls", "flush mark"]
FOLDERS = ["folder", "journals", "parent"]
OBSTACLES: list[tuple[str, Callable[[Path], None]]] = [
    *itertools.product(FILES, [directory, pipe, link, second_name, garbage, nothing]),
    # Whoever is not root can make no devices.
    *itertools.product(FILES, [socket_file, *([device] if os.geteuid() == 0 else [])]),
    *itertools.product(FOLDERS, [nothing, plain_file, link_to_folder]),
]


def clear(path: Path) -> None:
    """Remove an obstacle, whatever it is."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def answers(client: LiteguardClient, *, is_open: bool) -> bool:
    """Whether a check answers *is_open*."""
    return client.is_open("some.guard") is is_open


def check_is_followed(client: LiteguardClient, server: RecordingServer) -> None:
    """Check that a change arrives, and that checks are recorded and delivered."""
    for value in (False, True):
        server.guards[0]["defaultValue"] = value
        until(functools.partial(answers, client, is_open=value))
    seen = len(server.ids())
    until(lambda: client.is_open("some.guard") and len(server.ids()) > seen)


@pytest.mark.parametrize(
    ("place", "put"), OBSTACLES, ids=lambda value: getattr(value, "__name__", value)
)
def test_obstacle_changes_no_answer_and_ends(
    place: str,
    put: Callable[[Path], None],
    server: RecordingServer,
    state_dir: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Guards change and signals arrive, few lines tell of it, and it heals by itself.

    Runs as root or any user: permissions play no part.
    """
    caplog.set_level(logging.INFO)
    folder = folder_of(server, state_dir)
    (folder.path.parent / "precious").write_text("of the user")
    path = PLACES[place](folder)
    with LiteguardClient(**options(server, state_dir)) as client:
        until(lambda: client.is_open("some.guard"))
        until(path.exists)
        precious = folder.path.parent / "precious"
        before = precious.stat() if place != "parent" else None
        put(path)
        check_is_followed(client, server)
        if before is not None and precious.exists():
            assert precious.read_text() == "of the user"
            assert precious.stat().st_mtime_ns == before.st_mtime_ns
        clear(path)
        until(lambda: client.status().state_dir == str(folder.path))
        until(lambda: client.status().role == "leader")
        check_is_followed(client, server)
    assert "please report" not in caplog.text
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warnings) <= 4, caplog.text
    assert len(caplog.records) <= 14, caplog.text


@pytest.mark.parametrize("put", [directory, pipe, link, second_name])
def test_folder_whose_lock_cannot_be_used_is_passed_over(
    put: Callable[[Path], None],
    server: RecordingServer,
    state_dir: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """At the start as well: another folder serves, and the first when it can again."""
    caplog.set_level(logging.INFO)
    folder = folder_of(server, state_dir)
    (folder.path.parent / "precious").write_text("of the user")
    put(folder.leader_lock_path)
    with LiteguardClient(**options(server, state_dir)) as client:
        assert client.is_open("some.guard")
        assert (client.status().state_dir or "").startswith(str(tmp_path / "tmp"))
        clear(folder.leader_lock_path)
        until(lambda: client.status().state_dir == str(folder.path))
        check_is_followed(client, server)
    texts = [r.getMessage() for r in caplog.records if "leads" not in r.getMessage()]
    assert "is no file of this user alone" in texts[0]
    assert "set LITEGUARD_STATE_DIR" in texts[0]
    assert texts[1:] == ["liteguard: the state folder is used again"]
    assert (folder.path.parent / "precious").read_text() == "of the user"


@pytest.mark.parametrize(
    ("name", "characters"),
    [("x" * 300, 300), ("x" * 200, 5000), ("x" * 100, 4080)],
    ids=["a name", "a path", "a file in it"],
)
def test_name_that_does_not_fit_is_passed_over(
    name: str,
    characters: int,
    server: RecordingServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line says why, and the temporary folder serves."""
    setting = tmp_path / name
    while len(str(setting)) < characters:
        setting /= name
    with LiteguardClient(**options(server, setting)) as client:
        check_is_followed(client, server)
        used = client.status().state_dir or ""
    assert used.startswith(str(tmp_path / "tmp"))
    (record,) = caplog.records
    assert "File name too long" in record.getMessage()
    assert "set LITEGUARD_STATE_DIR" in record.getMessage()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
@pytest.mark.parametrize("when", ["from the start", "under way"])
def test_file_system_without_locks_leaves_each_process_alone(
    number: int,
    when: str,
    server: RecordingServer,
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As over some network file systems: nobody can lead, and everybody is served."""
    caplog.set_level(logging.INFO)
    real = fcntl.flock

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    if when == "from the start":
        monkeypatch.setattr(fcntl, "flock", fail)
    with LiteguardClient(**options(server, state_dir)) as client:
        assert client.is_open("some.guard")
        monkeypatch.setattr(fcntl, "flock", fail)
        if when == "under way":
            # A lock that is held is not asked for again, until the file is gone.
            folder_of_lock = Path(client.status().state_dir or "") / "leader-1.lock"
            folder_of_lock.unlink()
        until(lambda: client.status().role == "standalone")
        check_is_followed(client, server)
        monkeypatch.setattr(fcntl, "flock", real)
        until(lambda: client.status().role == "leader")
        check_is_followed(client, server)
    assert "each process asks the backend for itself" in caplog.text
    assert "the state folder is used again" in caplog.text
    assert len(caplog.records) <= 8, caplog.text


ERRORS = [
    errno.ENOSPC,
    errno.EIO,
    errno.EDQUOT,
    errno.EACCES,
    errno.EROFS,
    errno.EMFILE,
]


class FailingDisk:
    """Lets the interpreter's own file operations below a folder fail.

    Args:
        below: The folder.
    """

    def __init__(self, below: Path) -> None:
        self._below = str(below)
        self._left = -1
        self._number = 0
        self._is_lasting = False
        self.failed = 0
        sys.addaudithook(self._look)

    def fail(self, after: int, number: int, *, is_lasting: bool) -> None:
        """Fail with error *number* after so many operations; once, or from then on."""
        self.failed, self._number, self._is_lasting = 0, number, is_lasting
        self._left = after

    def stop(self) -> None:
        """Let everything succeed."""
        self._left = -1

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._left < 0 or not event.startswith(("open", "os.", "fcntl.", "mmap")):
            return
        subject = arguments[0] if arguments else None
        is_descriptor = event.startswith(("fcntl.", "mmap")) and subject != -1
        if not is_descriptor and not str(subject).startswith(self._below):
            return
        if self._left > 0:
            self._left -= 1
            return
        self._left = 0 if self._is_lasting else -1
        self.failed += 1
        raise OSError(self._number, os.strerror(self._number))


def live_once(server: RecordingServer, state_dir: Path) -> None:
    """Start, check, deliver and shut down, and look whether that was seen."""
    client = LiteguardClient(
        **{**options(server, state_dir), "flush_rate_seconds": 3600.0}
    )
    client.start()
    assert client.is_open("some.guard")
    client.flush_signals()
    client.shutdown()


@pytest.mark.parametrize("is_lasting", [False, True])
def test_any_operation_may_fail(
    server: RecordingServer, state_dir: Path, *, is_lasting: bool
) -> None:
    """Whichever file operation of a life fails, and how: it answers and ends well."""

    def try_each() -> list[Any]:
        disk = FailingDisk(state_dir)
        logged = Lines()
        logging.getLogger("liteguard").addHandler(logged)
        told: list[Any] = []
        for after in itertools.count():
            disk.fail(after, ERRORS[after % len(ERRORS)], is_lasting=is_lasting)
            began = time.monotonic()
            live_once(server, state_dir)
            if time.monotonic() - began > 4.0:
                told.append((after, "was slow"))
            disk.stop()
            if not disk.failed:
                break
        live_once(server, state_dir)
        return [after, *told, *(line for line in logged.lines if "report" in line)]

    operations, *wrong = in_child(try_each)
    assert wrong == []
    assert operations > 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Return a disk that a test may fill."""
    (tmp_path / "disk").mkdir()
    small = SmallDisk(tmp_path / "disk")
    yield small
    small.close()


ENOUGH_BYTES = 900_000


def test_any_write_may_find_the_disk_full(
    server: RecordingServer, disk: SmallDisk
) -> None:
    """With room for no page, for one, and so on: each trouble is one line."""
    state = disk.path / "state"

    def live_in(spare_bytes: int) -> list[str]:
        disk.fill(spare_bytes)
        logged = Lines()
        logging.getLogger("liteguard").addHandler(logged)
        live_once(server, state)
        logging.getLogger("liteguard").removeHandler(logged)
        disk.empty()
        shutil.rmtree(state)
        return [line.partition(" (")[0].partition(" in ")[0] for line in logged.lines]

    rooms = [*range(0, 32768, 4096), ENOUGH_BYTES]
    *scarce, ample = in_child(lambda: [live_in(room) for room in rooms])
    no_snapshot = "liteguard: cannot write the snapshot"
    no_journal = "liteguard: cannot journal signals"
    assert len(server.ids()) == len(rooms)
    assert ample == []
    assert all(lines in ([no_journal], [no_snapshot, no_journal]) for lines in scarce)
    # Whoever is not root has a limit for each file, in which a snapshot has its room.
    assert os.geteuid() != 0 or scarce[0] == [no_snapshot, no_journal]


def test_disk_may_be_full_for_a_while(
    server: RecordingServer,
    disk: SmallDisk,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Bundles and signals go on; a line begins each trouble, and one ends it."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(journals, "_TRY_DISK_AGAIN_SECONDS", 0.5)
    server.guards.append({**GUARD, "name": "large.guard", "x": "x" * 100_000})
    with LiteguardClient(**options(server, disk.path / "state")) as client:
        until(lambda: client.status().role == "leader")
        folder = folder_of(server, disk.path / "state").journals_path
        disk.fill()
        check_is_followed(client, server)
        disk.empty()
        check_is_followed(client, server)
        until(lambda: "the snapshot can be used again" in caplog.text)
        until(lambda: client.is_open("some.guard") and list(folder.iterdir()))
    lines = [m.partition(" (")[0].partition(" in ")[0] for m in caplog.messages]
    assert sorted(lines) == [
        "liteguard: cannot journal signals",
        "liteguard: cannot write the snapshot",
        "liteguard: signals are journalled on disk again",
        "liteguard: the snapshot can be used again",
        "liteguard: this process leads its host",
    ]


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line."""
        self.lines.append(record.getMessage())


def test_folder_that_the_user_may_not_write_is_passed_over(
    server: RecordingServer, common: Path
) -> None:
    """An ordinary user with a read-only folder works in the temporary one, as told.

    As root the user is one that has no privileges; as anybody else it is oneself.
    """
    url = server.url

    def run() -> list[Any]:
        logged = Lines()
        logging.getLogger("liteguard").addHandler(logged)
        logging.getLogger("liteguard").setLevel(logging.INFO)
        tempfile.tempdir = str(common)
        state = common / "state"
        state.mkdir(0o700)
        state.chmod(0o500)
        client = LiteguardClient(TOKEN, backend_url=url, state_dir=str(state), **FAST)
        with client:
            is_open = client.is_open("some.guard")
            used = client.status().state_dir
            state.chmod(0o700)
            until(lambda: (client.status().state_dir or "").startswith(str(state)))
        shutil.rmtree(state)
        shutil.rmtree(common / f"liteguard-{os.geteuid()}")
        return [is_open, used, logged.lines]

    is_open, used, lines = as_ordinary_user(run)
    assert is_open
    assert used.startswith(str(common / "liteguard-"))
    assert "cannot be written" in lines[0]
    assert "liteguard: the state folder is used again" in lines
