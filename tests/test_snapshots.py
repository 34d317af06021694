from __future__ import annotations

import gc
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from forking import as_ordinary_user, in_child, living
from liteguard.errors import SnapshotError
from liteguard.host.snapshots import Snapshot, SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN = "pct-0123456789abcdef"  # noqa: S105  no token of anybody
GUARDS = {"a": b'{"name":"a"}', "b": b'{"name":"b","rules":[]}', "gr\xfcn": b"{}"}


def snapshot(
    documents: Mapping[str, bytes] = GUARDS, generation: int = 1, **different: Any
) -> Snapshot:
    """Return a snapshot to write."""
    fields = {"etag": '"v1"', "refresh_rate_seconds": 30.0, **different}
    return Snapshot(generation=generation, documents=documents, **fields)


@pytest.fixture
def path(state_dir: Path) -> Path:
    """Return where the snapshot lies."""
    return state_dir / "bundle-1.json"


@pytest.fixture
def writer(path: Path) -> SnapshotStore:
    """Return the leader's store."""
    return SnapshotStore(path, TOKEN)


@pytest.fixture
def reader(path: Path) -> SnapshotStore:
    """Return a follower's store."""
    return SnapshotStore(path, TOKEN)


def read(store: SnapshotStore) -> Snapshot:
    """Return the snapshot, which must have changed."""
    found = store.read_if_changed()
    assert found is not None
    return found


def descriptors() -> int:
    """Return how many files this process has open."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208  its entries are links


# -- writing and reading


def test_what_is_written_is_read(writer: SnapshotStore, reader: SnapshotStore) -> None:
    """All fields and all guards come back as they were."""
    writer.write(snapshot())
    found = read(reader)
    assert found.generation == 1
    assert found.etag == '"v1"'
    assert found.refresh_rate_seconds == 30.0
    assert dict(found.documents) == GUARDS
    assert len(found.documents) == 3
    assert "a" in found.documents
    assert "z" not in found.documents


def test_another_process_reads_it(writer: SnapshotStore, reader: SnapshotStore) -> None:
    """The key comes from the token alone, so every process with it can read."""
    writer.write(snapshot())
    assert in_child(lambda: sorted(read(reader).documents)) == sorted(GUARDS)


@pytest.mark.parametrize("rate", [None, 0.5, 3600.0, 1e300])
@pytest.mark.parametrize("etag", ["", 'W/"x"', "\u00fc\u4e2d", "x" * 2000])
def test_any_header_survives(
    writer: SnapshotStore, reader: SnapshotStore, rate: float | None, etag: str
) -> None:
    """What the backend says of a bundle is kept, whatever it is."""
    writer.write(snapshot(etag=etag, refresh_rate_seconds=rate, generation=2**53))
    found = read(reader)
    assert (found.etag, found.refresh_rate_seconds) == (etag, rate)
    assert found.generation == 2**53


def test_a_bundle_without_guards_is_a_bundle(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """An empty project is no damage."""
    writer.write(snapshot({}))
    assert dict(read(reader).documents) == {}


def test_guards_that_are_no_json_are_kept_as_they_are(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """A guard that cannot be read is judged by who asks for it, not here."""
    odd = {"a": b"", "b": b"\xff\x00\n", "c": b"{" * 5000}
    writer.write(snapshot(odd))
    assert dict(read(reader).documents) == odd


def test_a_guard_whose_name_is_no_text_is_left_out(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """Half a surrogate pair, which JSON can spell, costs its own guard alone."""
    writer.write(snapshot({"half \ud800": b"{}", "whole": b"{}"}))
    assert list(read(reader).documents) == ["whole"]


def test_ten_thousand_guards_are_found(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """A large bundle is read as a small one is."""
    many = {f"guard-{n}": b'{"n":%d}' % n for n in range(10_000)}
    writer.write(snapshot(many))
    documents = read(reader).documents
    assert len(documents) == 10_000
    assert documents["guard-9999"] == b'{"n":9999}'


def test_a_snapshot_that_was_read_can_be_written_again(
    writer: SnapshotStore, reader: SnapshotStore, path: Path
) -> None:
    """Whoever holds a snapshot can put it back when the file is gone."""
    writer.write(snapshot())
    held = read(reader)
    path.unlink()
    reader.write(held)
    assert dict(read(SnapshotStore(path, TOKEN)).documents) == GUARDS


def test_digests_tell_what_changed_without_reading_it(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """A guard that stays the same keeps its digest over bundles."""
    writer.write(snapshot())
    first: Any = read(reader).documents
    writer.write(snapshot({**GUARDS, "b": b'{"name":"b","rules":[1]}'}))
    second: Any = read(reader).documents
    same = {name: first.digest(name) == second.digest(name) for name in GUARDS}
    assert same == {"a": True, "b": False, "gr\xfcn": True}


# -- looking again


def test_an_unchanged_file_is_not_read_again(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """A second look at the same file finds nothing new."""
    assert reader.read_if_changed() is None
    assert reader.is_missing
    writer.write(snapshot())
    read(reader)
    assert reader.read_if_changed() is None
    assert not reader.is_missing


def test_two_writes_with_the_same_time_and_size_are_two_changes(
    writer: SnapshotStore, reader: SnapshotStore, path: Path
) -> None:
    """File systems give two quick writes one time stamp; neither write is missed."""
    for generation in range(1, 50):
        writer.write(snapshot({"a": b"%02d" % generation}, generation + 100))
        os.utime(path, ns=(0, 0))
        assert read(reader).documents["a"] == b"%02d" % generation


def test_a_deleted_file_is_missing_until_it_is_there_again(
    writer: SnapshotStore, reader: SnapshotStore, path: Path
) -> None:
    """A file that comes back is read, also if it is the very same one."""
    writer.write(snapshot())
    read(reader)
    aside = path.with_name("aside")
    path.rename(aside)
    assert reader.read_if_changed() is None
    assert reader.is_missing
    aside.rename(path)
    assert read(reader).generation == 1


def test_a_replaced_snapshot_stays_readable(
    writer: SnapshotStore, reader: SnapshotStore, path: Path
) -> None:
    """Whoever holds an old snapshot answers from it, whatever lies there now."""
    writer.write(snapshot())
    old = read(reader)
    writer.write(snapshot({"a": b"new"}, 2))
    assert dict(old.documents) == GUARDS
    path.unlink()
    assert dict(old.documents) == GUARDS


def test_children_read_the_snapshot_that_their_parent_holds(
    writer: SnapshotStore, reader: SnapshotStore, path: Path
) -> None:
    """Processes that share a descriptor do not move each other's place in the file."""
    many = {f"guard-{n}": bytes([n]) * 1000 for n in range(50)}
    writer.write(snapshot(many))
    held = read(reader)
    path.unlink()

    def read_all() -> bool:
        return all(dict(held.documents) == many for _ in range(20))

    with living(read_all) as child:
        assert read_all()
        assert child.result()


def test_a_guard_is_read_only_when_it_is_asked_for(
    writer: SnapshotStore, reader: SnapshotStore, path: Path
) -> None:
    """What a follower reads does not grow with guards it never asks for."""
    writer.write(snapshot({"a": b"a" * 1000, "b": b"b" * 1000}))
    held = read(reader)
    spoil(path, lambda data: data.replace(b"b" * 1000, b"c" * 1000))
    assert held.documents["a"] == b"a" * 1000
    with pytest.raises(SnapshotError, match="guard 'b'"):
        held.documents["b"]


# -- refusing


def spoil(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the file in place, as damage does."""
    data = path.read_bytes()
    changed = change(data)
    assert changed != data
    with path.open("r+b") as file:
        file.write(changed)
        file.truncate()


def forged_index(data: bytes) -> bytes:
    """Give one guard another's place."""
    return data.replace(b'"b":"', b'"c":"')


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "header cut": lambda data: data[:20],
    "index cut": lambda data: data[: data.index(b"\n") + 5],
    "no header": lambda data: data.replace(b"\n", b" ", 1),
    "no json": lambda data: b"x" + data[1:],
    "a list": lambda data: b"[]\n" + data,
    "a number": lambda data: b"7\n" + data,
    "a generation raised": lambda data: data.replace(
        b'"generation":1', b'"generation":9'
    ),
    "an etag changed": lambda data: data.replace(b"v1", b"v2"),
    "an index changed": forged_index,
    "no code": lambda data: data.replace(b'"code"', b'"cod_"'),
    "a code that is no text": lambda data: data.replace(b'"code":"', b'"code":7,"c":"'),
    "a code of other characters": lambda data: data.replace(
        b'"code":"', '"code":"ü'.encode()
    ),
    "another format": lambda data: data.replace(b'"format":1', b'"format":2'),
    "a format that is no number": lambda data: data.replace(
        b'"format":1', b'"format":"1"'
    ),
    "an index of negative size": lambda data: data.replace(
        b'"index_bytes":', b'"index_bytes":-'
    ),
    "an index of no size": lambda data: data.replace(
        b'"index_bytes":', b'"index_bytes":true,"x":'
    ),
    "an index too large": lambda data: data.replace(
        b'"index_bytes":', b'"index_bytes":9999999999'
    ),
    "an index size beyond any file": lambda data: data.replace(
        b'"index_bytes":', b'"index_bytes":9999999999999999999'
    ),
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_snapshot_is_refused(
    writer: SnapshotStore, reader: SnapshotStore, path: Path, how: str
) -> None:
    """Whatever was done to header or index, the file is refused by name."""
    writer.write(snapshot())
    spoil(path, SPOILT[how])
    with pytest.raises(SnapshotError, match="refused the snapshot") as caught:
        reader.read_if_changed()
    assert caught.value.path == str(path)


def test_every_cut_and_every_changed_byte_is_noticed(
    writer: SnapshotStore, path: Path
) -> None:
    """No prefix of a snapshot and no flipped bit passes for one."""
    writer.write(snapshot())
    whole = path.read_bytes()
    for position in range(len(whole)):
        flipped = bytes([whole[position] ^ 1])
        changed = whole[:position] + flipped + whole[position + 1 :]
        for data in (whole[:position], changed):
            path.write_bytes(data)
            with pytest.raises(SnapshotError):
                dict(read(SnapshotStore(path, TOKEN)).documents)


def test_a_snapshot_of_another_token_is_refused(
    writer: SnapshotStore, path: Path
) -> None:
    """Nobody without the token makes an answer for those who have it."""
    writer.write(snapshot())
    with pytest.raises(SnapshotError, match="not written with this token"):
        SnapshotStore(path, "pct-other").read_if_changed()


def test_a_refused_file_is_looked_at_again_when_it_changes(
    writer: SnapshotStore, reader: SnapshotStore, path: Path
) -> None:
    """A bad file is refused once; the next one, good or bad, is judged for itself."""
    path.write_bytes(b"no snapshot")
    with pytest.raises(SnapshotError):
        reader.read_if_changed()
    assert reader.read_if_changed() is None
    path.write_bytes(b"no snapshot either")
    with pytest.raises(SnapshotError):
        reader.read_if_changed()
    writer.write(snapshot())
    assert read(reader).generation == 1


def test_a_link_in_place_of_the_snapshot_is_refused(
    writer: SnapshotStore, reader: SnapshotStore, path: Path
) -> None:
    """Nobody leads a reader to another file."""
    writer.write(snapshot())
    aside = path.with_name("aside")
    path.rename(aside)
    path.symlink_to(aside)
    with pytest.raises(SnapshotError):
        reader.read_if_changed()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused_without_waiting(
    reader: SnapshotStore, path: Path, make: Callable[[Path], None]
) -> None:
    """A folder or a pipe in the file's place is refused at once."""
    make(path)
    with pytest.raises(SnapshotError):
        reader.read_if_changed()


def test_another_users_file_is_refused(
    writer: SnapshotStore, reader: SnapshotStore, path: Path
) -> None:
    """A file that somebody else owns is not read, whatever it holds."""
    if os.geteuid() == 0:
        writer.write(snapshot())
        os.chown(path, 1, 1)
        with pytest.raises(SnapshotError, match="no file of this user"):
            reader.read_if_changed()
    else:
        with pytest.raises(SnapshotError):
            SnapshotStore(Path("/etc/passwd"), TOKEN).read_if_changed()


def test_a_file_that_cannot_be_opened_is_refused(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """A process without descriptors goes on with what it has."""
    writer.write(snapshot())

    def read_without_descriptors() -> str:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, most))
        try:
            reader.read_if_changed()
        except SnapshotError as error:
            return str(error)
        return "read"

    assert "Too many open files" in in_child(read_without_descriptors)


def test_a_file_that_could_not_be_opened_is_tried_again(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """Want of descriptors passes, and then the same file is read."""
    writer.write(snapshot())

    def read_twice() -> int:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
        with pytest.raises(SnapshotError):
            reader.read_if_changed()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
        return read(reader).generation

    assert in_child(read_twice) == 1


def test_neither_file_nor_messages_hold_the_token(
    writer: SnapshotStore, reader: SnapshotStore, path: Path
) -> None:
    """Who reads the file or a log learns no token."""
    writer.write(snapshot())
    assert TOKEN.encode() not in path.read_bytes()
    assert TOKEN not in repr(vars(writer))
    spoil(path, lambda data: data[:-1] + b"?")
    with pytest.raises(SnapshotError) as caught:
        dict(read(reader).documents)
    assert TOKEN not in str(caught.value)


# -- the file system


def test_only_the_owner_can_read_the_file(writer: SnapshotStore, path: Path) -> None:
    """The guards are nobody else's business."""
    writer.write(snapshot())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_write_that_fails_keeps_the_old_snapshot(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """On a full disk the error is told and readers keep what they had."""
    writer.write(snapshot())

    def fill_the_disk() -> str:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
        try:
            writer.write(snapshot({"a": b"x" * 1000}, 2))
        except OSError as error:
            return str(error.strerror)
        return "written"

    assert in_child(fill_the_disk) == "File too large"
    assert read(reader).generation == 1


def test_a_write_without_permission_fails(path: Path) -> None:
    """A folder that turned read-only is an OSError for the caller to tell."""

    def write_read_only() -> str:
        folder = Path("/usr")
        try:
            SnapshotStore(folder / path.name, TOKEN).write(snapshot())
        except OSError as error:
            return type(error).__name__
        return "written"

    assert as_ordinary_user(write_read_only) in {"PermissionError", "OSError"}


def test_readers_never_see_half_a_snapshot(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """While one process writes again and again, every look of another is whole."""
    writer.write(snapshot({"a": b"0" * 20_000}, 0))

    def write_often() -> int:
        for generation in range(1, 300):
            letter = b"%d" % (generation % 10)
            size = 10_000 + generation
            writer.write(snapshot({"a": letter * size, "b": letter}, generation))
        return generation

    last = 0
    with living(write_often) as child:
        while last < 299:
            found = reader.read_if_changed()
            if found is not None:
                assert found.generation >= last
                last = found.generation
                assert set(found.documents["a"]) == {ord("0") + last % 10}
        assert child.result() == 299


# -- descriptors


def test_a_snapshot_holds_one_descriptor_until_it_is_dropped(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """A thousand bundles later a process has as many files open as before."""
    writer.write(snapshot())
    before = descriptors()
    held = read(reader)
    assert descriptors() == before + 1
    for generation in range(2, 30):
        writer.write(snapshot(generation=generation))
        held = read(reader)
    assert descriptors() == before + 1
    documents = held.documents
    del held
    assert dict(documents) == GUARDS
    del documents
    assert descriptors() == before


def test_a_refused_snapshot_holds_no_descriptor(
    writer: SnapshotStore, reader: SnapshotStore, path: Path
) -> None:
    """Bad files do not use up what a process may open."""
    before = descriptors()
    for number in range(10):
        path.write_bytes(b"{}\n" + b"x" * number)
        with pytest.raises(SnapshotError):
            reader.read_if_changed()
    assert descriptors() == before
    writer.write(snapshot())
    del writer
    assert descriptors() == before


def test_the_descriptor_is_not_passed_to_other_programs(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """What an application starts does not inherit the file."""
    writer.write(snapshot())
    held, descriptor = descriptor_of(lambda: read(reader))
    assert not os.get_inheritable(descriptor)
    del held


def is_open(descriptor: int) -> bool:
    """Whether *descriptor* is a file right now."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def descriptor_of(make: Callable[[], Any]) -> tuple[Any, int]:
    """Return what *make* returned, and the one descriptor that it opened."""
    gc.collect()
    before = {fd for fd in range(200) if is_open(fd)}
    made = make()
    (opened,) = {fd for fd in range(200) if is_open(fd)} - before
    return made, opened


def test_a_daemon_that_closed_all_files_reads_on(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """Programs that close every descriptor keep the guards they have not read yet."""
    writer.write(snapshot())
    held, descriptor = descriptor_of(lambda: read(reader))
    os.close(descriptor)
    assert dict(held.documents) == GUARDS


def test_a_descriptor_that_became_another_file_is_left_alone(
    writer: SnapshotStore, reader: SnapshotStore, tmp_path: Path
) -> None:
    """A number that was closed and given again is neither read nor closed."""
    writer.write(snapshot())
    held, descriptor = descriptor_of(lambda: read(reader))
    os.close(descriptor)
    other = os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT)
    assert other == descriptor
    os.write(other, b"x" * 1000)
    assert dict(held.documents) == GUARDS
    del held
    gc.collect()
    assert is_open(other)
    os.close(other)


def test_a_snapshot_that_was_closed_and_replaced_is_gone(
    writer: SnapshotStore, reader: SnapshotStore
) -> None:
    """A later snapshot in the same place is not taken for the one that was held."""
    writer.write(snapshot())
    held, descriptor = descriptor_of(lambda: read(reader))
    os.close(descriptor)
    writer.write(snapshot({"a": b"new"}, 2))
    with pytest.raises(SnapshotError, match="closed"):
        held.documents["a"]
