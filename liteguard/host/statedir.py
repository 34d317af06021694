"""The folder that the processes of a host share: its place, its owner, its files.

Everything in it is readable and writable by one user alone, and no symbolic link is
followed on the way to it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from liteguard.errors import StateFolderError

if TYPE_CHECKING:
    from collections.abc import Iterator

_OWNER_ONLY = 0o700
_OTHERS = 0o077
_LONGEST_WRITE_SECONDS = 3600.0


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
        return self.path / "leader-1.lock"

    @property
    def snapshot_path(self) -> Path:
        """The bundle as the leader last wrote it."""
        return self.path / "bundle-1.json"

    @property
    def polls_path(self) -> Path:
        """When the backend was last asked, and when it will be next."""
        return self.path / "polls-1.json"

    def mark_flush(self) -> None:
        """Note that a leader delivers now what others left. Blocks for one file."""
        # A folder that is gone or full is the refresh's to report.
        with contextlib.suppress(OSError):
            self._flush_path.touch(0o600)

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
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            refusals.append(f"{where}{error.strerror or error}")
        else:
            return StateFolder(path, os.geteuid(), "; ".join(refusals))
    raise StateFolderError("; ".join(refusals))


def write_atomically(
    path: Path, data: bytes, *, is_wanted: Callable[[], bool] = lambda: True
) -> None:
    """Replace *path* by a file that holds *data*: readers see the old or the new one.

    Not synchronised to the disk: after a crash of the machine the data is made anew.

    Args:
        path: The file.
        data: What it is to hold.
        is_wanted: Asked at the last moment before *path* is replaced.

    Raises:
        OSError: As the file system says; *path* is then unchanged.
    """
    # Not named by the pid: containers that share a folder have equal ones.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600)
    try:
        with open(descriptor, "wb", closefd=True) as file:  # noqa: PTH123  a descriptor
            file.write(data)
        if is_wanted():
            temporary.replace(path)
        else:
            temporary.unlink()
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _remove_leftovers(path)


def _remove_leftovers(path: Path) -> None:
    """Remove what writers of *path* that were killed have left, once it is old."""
    oldest = time.time() - _LONGEST_WRITE_SECONDS
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError):
            if left.lstat().st_mtime < oldest:
                left.unlink()


def _folder_name(token: str, backend_url: str, environment: str) -> str:
    identity = f"{backend_url}\n{environment}".encode()
    key = blake2b(token.encode(), digest_size=32).digest()
    return blake2b(
        identity, key=key, digest_size=12, person=b"liteguard-dir"
    ).hexdigest()


def _candidates(setting: Optional[str]) -> Iterator[Callable[[], Path]]:
    if setting is not None:
        yield partial(_in_setting, Path(setting).absolute())
    runtime_dir = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if runtime_dir.is_absolute():
        yield partial(_in_runtime_dir, runtime_dir)
    yield _in_temporary_folder


def _in_setting(path: Path) -> Path:
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


def _make(path: Path) -> None:
    try:
        path.mkdir(_OWNER_ONLY)
    except FileExistsError:
        return
    except FileNotFoundError:
        # One by one: mkdir(parents=True) would leave the parents to the umask.
        _make(path.parent)
        with contextlib.suppress(FileExistsError):
            path.mkdir(_OWNER_ONLY)


_CAN_ASK_EFFECTIVE = os.access in os.supports_effective_ids
