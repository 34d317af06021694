"""The bundle on disk: written whole by the leader, read guard by guard by everyone.

Layout: one line of JSON (the header), the index of guards, the guards. The header holds
a code over itself and the index, keyed by the token; the index holds a digest of each
guard, checked when that guard is read. So a follower's cost does not grow with the
guards it never asks for, and nobody without the token can forge an answer.
"""

from __future__ import annotations

import hmac
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import orjson

from liteguard.errors import SnapshotError
from liteguard.host.descriptors import OwnDescriptor
from liteguard.host.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT = 1
_LONGEST_HEADER_BYTES = 4096
_LARGEST_INDEX_BYTES = 64 * 1024 * 1024


class Origin(NamedTuple):
    """A snapshot file at one moment. Any difference means that it was replaced.

    Two writes may share one mtime: the inode and the size tell them apart.
    """

    path: Path
    mtime_ns: int
    inode: int
    size: int


@dataclass(frozen=True)
class Snapshot:
    """A bundle as it lies on disk.

    Args:
        generation: Grows with every bundle of this host.
        etag: The backend's tag; "" if it gave none.
        refresh_rate_seconds: What the backend asked for; ``None`` if nothing.
        documents: Each guard's JSON by name.
        origin: The file it was read from, as it was then; ``None`` if it was not.
    """

    generation: int
    etag: str
    refresh_rate_seconds: Optional[float]
    documents: Mapping[str, bytes]
    origin: Optional[Origin] = None


class SnapshotStore:
    """Writes and reads the snapshot file of one state folder.

    Used by one thread at a time. Holds no descriptor itself; a `Snapshot` does, for
    as long as something refers to its documents.

    Args:
        path: The snapshot file. Its folder, named after backend, token and
            environment, enters the key: a copy from another folder is refused.
        token: The project client token; only a key derived from it is kept.
        last: The snapshot in force, if this process inherited one.
    """

    def __init__(self, path: Path, token: str, last: Optional[Snapshot] = None) -> None:
        self._path = path
        secret = f"{token}\n{path.parent.name}".encode()
        self._key = blake2b(secret, digest_size=32, person=b"liteguard-snap").digest()
        self._seen = last.origin if last else _unknown(path)

    def write(self, snapshot: Snapshot) -> None:
        """Replace the file, unless it was replaced since it was read last.

        A leader that was stopped in the middle of this has a successor by the time
        that it goes on. Blocks for the writing, not for the disk.

        Raises:
            OSError: The folder is gone, full or read-only; the old snapshot stays.
        """
        index, guards = _encode(snapshot.documents)
        header = {
            "format": _FORMAT,
            "generation": snapshot.generation,
            "etag": snapshot.etag,
            "refresh_rate_seconds": snapshot.refresh_rate_seconds,
            "index_bytes": len(index),
        }
        header["code"] = self._code(header, index)
        head = orjson.dumps(header) + b"\n"
        data = b"".join((head, index, *guards))
        write_atomically(self._path, data, is_wanted=self._is_as_it_was)

    def read_if_changed(self) -> Optional[Snapshot]:
        """Return the snapshot unless it is the one that was read last.

        Blocks for one look at the file, and for its header and index if it changed.

        Raises:
            SnapshotError: It is torn, forged, foreign or of an unknown format; it is
                not looked at again until it changes.
        """
        seen = self._look()
        if seen is None:
            self._seen = None
            return None
        if seen == self._seen:
            return None
        self._seen = seen
        return self._read()

    def forget(self) -> None:
        """Read the snapshot at the next look, also if it has not changed."""
        self._seen = _unknown(self._path)

    def _look(self) -> Optional[Origin]:
        try:
            status = self._path.lstat()
        except OSError:
            return None
        return Origin(self._path, status.st_mtime_ns, status.st_ino, status.st_size)

    def _is_as_it_was(self) -> bool:
        """Whether the file is gone, was never read, or is the one that was."""
        return self._seen == _unknown(self._path) or self._look() in (None, self._seen)

    @property
    def is_missing(self) -> bool:
        """Whether there was no file at the last look."""
        return self._seen is None

    def _read(self) -> Optional[Snapshot]:
        try:
            return self._read_from(_OpenSnapshot(self._path))
        except FileNotFoundError:
            return None
        except OSError as error:
            # Too few descriptors, perhaps: that passes, so look again.
            self._seen = _unknown(self._path)
            raise self._refusal(str(error.strerror)) from error

    def _read_from(self, file: _OpenSnapshot) -> Snapshot:
        head, newline, _ = file.read(0, _LONGEST_HEADER_BYTES).partition(b"\n")
        header = self._decode(head if newline else b"")
        index_bytes = header.get("index_bytes")
        if type(index_bytes) is not int or not 0 < index_bytes < _LARGEST_INDEX_BYTES:
            raise self._refusal("its header is damaged")
        index = file.read(len(head) + 1, index_bytes)
        code = str(header.pop("code", ""))
        if not hmac.compare_digest(code.encode(), self._code(header, index).encode()):
            raise self._refusal("it was not written with this token, or is damaged")
        start = len(head) + 1 + index_bytes
        return Snapshot(
            generation=header["generation"],
            etag=header["etag"],
            refresh_rate_seconds=header["refresh_rate_seconds"],
            documents=_Documents(file, self._decode(index), start),
            origin=self._seen,
        )

    def _decode(self, data: bytes) -> dict[str, Any]:
        try:
            decoded = orjson.loads(data)
        except orjson.JSONDecodeError as error:
            raise self._refusal("it is torn or no snapshot") from error
        if not isinstance(decoded, dict):
            raise self._refusal("it is no snapshot")
        return decoded

    def _code(self, header: Mapping[str, Any], index: bytes) -> str:
        if header.get("format") != _FORMAT:
            raise self._refusal("its format is unknown")
        mac = blake2b(key=self._key, digest_size=32)
        mac.update(orjson.dumps(header, option=orjson.OPT_SORT_KEYS))
        mac.update(index)
        return mac.hexdigest()

    def _refusal(self, why: str) -> SnapshotError:
        return SnapshotError(
            f"refused the snapshot {self._path}: {why}", path=str(self._path)
        )


def _unknown(path: Path) -> Origin:
    return Origin(path, 0, 0, 0)


def _encode(documents: Mapping[str, bytes]) -> tuple[bytes, list[bytes]]:
    # Texts instead of lists, so that the garbage collector need not visit them: that
    # would give each forked process memory of its own for an index that nobody changes.
    index: dict[str, str] = {}
    guards: list[bytes] = []
    offset = 0
    for name, document in documents.items():
        if _is_encodable(name):
            index[name] = f"{_digest(document)} {offset} {len(document)}"
            guards.append(document)
            offset += len(document)
    return orjson.dumps(index), guards


def _is_encodable(name: str) -> bool:
    """Whether a name is text: JSON can spell half a surrogate pair, UTF-8 cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _digest(document: bytes) -> str:
    return blake2b(document, digest_size=16).hexdigest()


class _OpenSnapshot:
    """A snapshot file held open: what was replaced at its path stays readable here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Without waiting: a pipe in the file's place would keep the thread for ever.
        self._descriptor = OwnDescriptor(path, os.O_RDONLY | os.O_NONBLOCK)
        status = self._descriptor.status
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise PermissionError(0, "it is no file of this user")

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self._descriptor.close()

    def read(self, offset: int, size: int) -> bytes:
        """Read at a position of its own, so that threads and forks do not interfere."""
        if not self._descriptor.is_ours:
            self._reopen()
        return os.pread(self._descriptor.number, size, offset)

    def _reopen(self) -> None:
        again = OwnDescriptor(self.path, os.O_RDONLY | os.O_NONBLOCK)
        if not os.path.samestat(again.status, self._descriptor.status):
            again.close()
            raise SnapshotError(
                "the snapshot was closed by the application, and then replaced",
                path=str(self.path),
            )
        self._descriptor = again


class _Documents(Mapping[str, bytes]):
    """Each guard's JSON, read and verified when it is asked for. Thread-safe."""

    def __init__(self, file: _OpenSnapshot, index: dict[str, str], start: int) -> None:
        self._file = file
        self._index = index
        self._start = start

    def __getitem__(self, name: str) -> bytes:
        digest, offset, size = self._index[name].split()
        document = self._file.read(self._start + int(offset), int(size))
        if _digest(document) != digest:
            raise SnapshotError(
                f"guard {name!r} of the snapshot is damaged", path=str(self._file.path)
            )
        return document

    def __iter__(self) -> Iterator[str]:
        return iter(self._index)

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def digest(self, name: str) -> str:
        """Return what changes when the guard changes, without reading it."""
        return self._index[name].partition(" ")[0]
