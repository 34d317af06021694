"""The folder that the processes of a host share: its place, its owner, its files.

Everything in it is readable and writable by one user alone, and no symbolic link is
followed on the way to it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.errors import StateFolderError
from liteguard.host.files import OWNER_READS, PASSES_BY_ITSELF, is_own_file

if TYPE_CHECKING:
    from collections.abc import Iterator

with contextlib.suppress(ImportError):  # Windows: nothing there is shared
    import fcntl

_OWNER_ONLY = 0o700
_OTHERS = 0o077
_READ_WRITE = os.R_OK | os.W_OK
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
_LOCK_NAME = "leader-1.lock"


@dataclass(frozen=True)
class StateFolder:
    """One folder per backend, token and environment. File names carry their format.

    Args:
        path: The folder; owned by the effective user, mode 0700.
        owner: The effective user when the folder was opened.
        refused: Why better candidates were not taken, as text; "" if the first was.
    """

    path: Path
    owner: int
    refused: str = ""

    @property
    def leader_lock_path(self) -> Path:
        """The file whose lock makes a process the leader; never deleted."""
        return self.path / _LOCK_NAME

    @property
    def snapshot_path(self) -> Path:
        """The bundle as the leader last wrote it."""
        return self.path / "bundle-1.json"

    @property
    def polls_path(self) -> Path:
        """When the backend was last asked, and when it will be next."""
        return self.path / "polls-1.json"

    @property
    def is_in_place(self) -> bool:
        """Whether nobody has put a folder of another user, or a link, in its place.

        Another user can where the folder lies in one that is writable for all.
        """
        try:
            status = self.path.lstat()
        except OSError:
            return True  # whoever works in it tells
        return stat.S_ISDIR(status.st_mode) and status.st_uid == self.owner

    def mark_flush(self) -> None:
        """Note that a leader delivers now what others left. Blocks for one file."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        # A folder that is gone or full is the refresh's to report.
        with contextlib.suppress(OSError):
            descriptor = os.open(self._flush_path, flags, OWNER_READS)
            try:
                if is_own_file(os.fstat(descriptor)):
                    os.fchmod(descriptor, OWNER_READS)
                    os.utime(descriptor)
            finally:
                os.close(descriptor)

    def last_flush_age(self) -> float:
        """Return the seconds since a leader last delivered what others left.

        Where none ever did, the time counts from this call on: a folder that is new
        holds nothing that is overdue.
        """
        try:
            return abs(time.time() - self._flush_path.lstat().st_mtime)
        except OSError:
            self.mark_flush()
            return 0.0

    @property
    def _flush_path(self) -> Path:
        return self.path / "flushed-1"

    @property
    def journals_path(self) -> Path:
        """The folder of the processes' journals."""
        return self.path / "journals-2"


def open_state_folder(
    setting: Optional[str], *, token: str, backend_url: str, environment: str
) -> StateFolder:
    """Find, make and verify the state folder; blocks for a few file operations.

    Candidates in order: *setting*, ``$XDG_RUNTIME_DIR/liteguard``, and
    ``liteguard-<uid>`` in the temporary folder.

    Args:
        setting: The ``state_dir`` option. If it belongs to someone else or others
            may enter it, a folder of this user's own is made in it.
        token: The project client token; it enters the folder's name as a keyed hash.
        backend_url: The backend, part of the name.
        environment: The environment, part of the name.

    Raises:
        StateFolderError: No candidate can be used; the message says why for each.
    """
    if not hasattr(os, "geteuid"):
        raise StateFolderError("this platform has no fork: one process, no sharing")
    name = _folder_name(token, backend_url, environment)
    refusals: list[str] = []
    for parent in _candidates(setting):
        try:
            path = _private(parent() / name)
            _private(path / "journals-2")
            _check_lock(path / _LOCK_NAME)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            refusals.append(f"{where}{error.strerror or error}")
        else:
            return StateFolder(path, os.geteuid(), "; ".join(refusals))
    raise StateFolderError("; ".join(refusals))


def _folder_name(token: str, backend_url: str, environment: str) -> str:
    identity = f"{backend_url}\n{environment}".encode()
    key = blake2b(token.encode(), digest_size=32).digest()
    return blake2b(
        identity, key=key, digest_size=12, person=b"liteguard-dir"
    ).hexdigest()


def _candidates(setting: Optional[str]) -> Iterator[Callable[[], Path]]:
    if setting is not None:
        yield partial(_in_setting, Path(setting))
    runtime_dir = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime_dir.is_absolute():
        yield partial(_in_runtime_dir, runtime_dir)
    yield _in_temporary_folder


def _in_setting(setting: Path) -> Path:
    path = setting.absolute()
    return _private(path / _own_name() if _is_shared(path) else path)


def _in_runtime_dir(path: Path) -> Path:
    # Made by the login, and inherited by "sudo -E" along with other variables.
    if path.lstat().st_uid != os.geteuid():
        raise PermissionError(0, "belongs to another user", str(path))
    return _private(path / "liteguard")


def _in_temporary_folder() -> Path:
    return _private(Path(tempfile.gettempdir()) / _own_name())


def _own_name() -> str:
    return f"liteguard-{os.geteuid()}"


def _is_shared(path: Path) -> bool:
    """Whether it is not ours alone; its mode, which others rely on, then stays."""
    try:
        status = path.lstat()
    except OSError:
        return False
    is_others = status.st_uid != os.geteuid()
    return stat.S_ISDIR(status.st_mode) and (
        is_others or bool(status.st_mode & _OTHERS)
    )


def _private(path: Path) -> Path:
    """Make *path* if it is missing, and refuse it unless it is ours alone."""
    _make(path)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(0, "is not a folder", str(path))
    if status.st_uid != os.geteuid():
        raise PermissionError(0, "belongs to another user", str(path))
    if status.st_mode & _OTHERS:
        path.chmod(_OWNER_ONLY)
    if not os.access(path, os.W_OK | os.X_OK, effective_ids=_CAN_ASK_EFFECTIVE):
        raise PermissionError(0, "cannot be written", str(path))
    return path


def _check_lock(path: Path) -> None:
    """Refuse what would be no lock file, before anybody writes into it."""
    is_there = False
    with contextlib.suppress(FileNotFoundError):
        is_there = is_own_file(path.lstat())
        if not is_there:
            raise PermissionError(0, "is no file of this user alone", str(path))
    if is_there and not os.access(path, _READ_WRITE, effective_ids=_CAN_ASK_EFFECTIVE):
        raise PermissionError(0, "cannot be written", str(path))
    try:
        _try_to_lock(path.parent)
    except OSError as error:
        # A full disk does not matter to a lock that is there.
        passes = _FULL | PASSES_BY_ITSELF if is_there else frozenset()
        if error.errno not in passes:
            why = f"cannot be locked ({error.strerror})"
            raise OSError(error.errno, why, str(path.parent)) from error


def _try_to_lock(folder: Path) -> None:
    """Lock a file of no use; some network file systems have no locks."""
    path = folder / f".{secrets.token_hex(6)}.lock.tmp"
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, OWNER_READS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)
        path.unlink()


def _make(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        _make_one(path)
        return
    # One by one: mkdir(parents=True) would leave the parents to the umask.
    levels = (path, *path.parents)
    missing = list(takewhile(lambda level: not os.path.lexists(level), levels))
    for level in reversed(missing):
        _make_one(level)


def _make_one(path: Path) -> None:
    with contextlib.suppress(FileExistsError):
        path.mkdir(_OWNER_ONLY)
        # Which the umask may have taken from the owner as well.
        path.chmod(_OWNER_ONLY)


_CAN_ASK_EFFECTIVE = os.access in os.supports_effective_ids
