"""What limits make of open answers, as one process sees it."""

from __future__ import annotations

import errno
import json
import logging
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Optional

import pytest

from disks import SmallDisk
from forking import fork_without_hooks, in_child
from liteguard.evaluation.table import CompiledGuard, GuardTable
from liteguard.host import rate_limits, stripes, window_files
from liteguard.host.partitions import Digests, partition_values
from liteguard.host.rate_limits import LimitAnswer, RateLimits
from liteguard.host.stripes import HEADER_BYTES
from liteguard.host.window_table import Shape
from liteguard.process import shared_locks
from liteguard.process.clock import host_boot_ns

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "for tests only"  # noqa: S105  opens nothing


def limited(
    per_minute: int = 5, *names: str, trial: Optional[int] = None, name: str = "a.guard"
) -> CompiledGuard:
    """Return a guard with a limit, perhaps by partition, perhaps with a dry run."""
    limit = {"requestsPerMinute": per_minute, "partitionProperties": names}
    guard: dict[str, Any] = {"name": name, "adopted": True, "rateLimit": limit}
    if trial is not None:
        dry_run = {**limit, "dryRunId": "trial", "requestsPerMinute": trial}
        guard["dryRunRateLimit"] = dry_run
    found = GuardTable({name: json.dumps(guard).encode()}).lookup(name)
    assert found is not None
    return found


@pytest.fixture
def limits() -> RateLimits:
    """Return limits that this process counts for itself."""
    return RateLimits(SECRET)


@pytest.fixture
def shared(tmp_path: Path) -> RateLimits:
    """Return limits that are counted in a folder."""
    return limits_in(tmp_path)


def limits_in(folder: Path, *, clock: Callable[[], int] = host_boot_ns) -> RateLimits:
    """Return limits that are counted in *folder*, as another process would."""
    limits = RateLimits(SECRET, clock=clock)
    limits.use(folder)
    return limits


class Clock:
    """The host's clock, which the test can put forward."""

    def __init__(self) -> None:
        self._ahead = 0

    def __call__(self) -> int:
        """Return the time."""
        return host_boot_ns() + self._ahead

    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self._ahead += seconds * 10**9


@pytest.fixture
def clock() -> Clock:
    """Return the clock."""
    return Clock()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """Return a disk that can be filled."""
    folder = tmp_path / "disk"
    folder.mkdir()
    small = SmallDisk(folder)
    yield small
    small.close()


def admit(
    limits: RateLimits,
    guard: CompiledGuard,
    *,
    consumes: bool = True,
    **properties: Any,
) -> LimitAnswer:
    """Ask for one more open answer."""
    return limits.admit(guard, properties, consumes=consumes, is_recorded=True)


def admitted(
    limits: RateLimits, guard: CompiledGuard, tries: int = 20, **properties: Any
) -> int:
    """Return how many of *tries* stay open."""
    return sum(admit(limits, guard, **properties).is_open for _ in range(tries))


def decisions(answer: LimitAnswer) -> Any:
    """Return what a signal will carry."""
    return json.loads(answer.decisions)


# -- partitions


def test_a_limit_without_partitions_is_one_for_all(limits: RateLimits) -> None:
    """Whoever asks, they have one limit together, and each guard its own."""
    assert admitted(limits, limited(5), 3, user="a") == 3
    assert admitted(limits, limited(5), 3, user="b") == 2
    assert admitted(limits, limited(5, name="another.guard")) == 5


def test_each_combination_of_values_has_a_limit_of_its_own(limits: RateLimits) -> None:
    """The listed properties count, and no others."""
    guard = limited(2, "plan", "region")
    for plan in ("pro", "free"):
        for region in ("eu", "us"):
            assert admitted(limits, guard, plan=plan, region=region, user=1) == 2
    assert admitted(limits, guard, plan="pro", region="eu", user=2) == 0


def test_values_are_told_apart_by_their_text(limits: RateLimits) -> None:
    """As in the published package 1 and "1" are one partition; 1, 1.0 and True not."""
    guard = limited(1, "n")
    assert [admitted(limits, guard, n=value) for value in (1, "1")] == [1, 0]
    assert [admitted(limits, guard, n=value) for value in (1.0, True)] == [1, 1]


def test_a_missing_value_is_an_empty_text(limits: RateLimits) -> None:
    """Missing, None and empty are one partition."""
    found: list[dict[str, Any]] = [{}, {"n": None}, {"n": ""}]
    assert [admitted(limits, limited(1, "n"), **one) for one in found] == [1, 0, 0]


def test_values_do_not_run_into_one_another() -> None:
    """Separators within names and values make no two partitions equal."""
    digests = Digests(SECRET)
    alike = [("a|b", "c"), ("a", "b|c"), ("a", "b", "c"), ("1:a", ""), ("", "1:a")]
    alike += [("a\0b", "c"), ("a", "b\0c"), ("2:ab",), ("2:a", "b"), ("a" * 9, "b")]
    cuts = {(parts[:cut], parts[cut:]) for parts in alike for cut in (0, 1, 2)}
    assert len({digests.of(*parts) for parts in cuts}) == len(cuts)


def test_what_lies_on_disk_tells_no_values(shared: RateLimits, tmp_path: Path) -> None:
    """Neither values nor what one could compute of them without the token."""
    guard = limited(3, "email")
    admitted(shared, guard, email="alice@example.org")
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    parts = ("active", guard.name, "", "email"), ("alice@example.org",)
    assert Digests(SECRET).of(*parts) in content
    assert Digests("another").of(*parts) not in content
    assert b"alice" not in content


class Awkward:
    """A value whose text cannot be had."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    "value", [Awkward(), [1, {}], b"x", "\ud800", float("nan"), 10**400, "x" * 100_000]
)
def test_any_value_can_be_counted(limits: RateLimits, value: object) -> None:
    """No property value makes a check raise, or a signal grow without bound."""
    answer = admit(limits, limited(1, "n"), n=value)
    assert answer.is_open
    assert len(answer.decisions) < 2000
    assert not admit(limits, limited(1, "n"), n=value).is_open


def test_partition_names_may_be_any_text(limits: RateLimits) -> None:
    """What a bundle may hold costs no check an exception."""
    answer = admit(limits, limited(1, "\ud800"))
    assert decisions(answer)[0]["partitionProperties"] == ["?"]
    assert partition_values(("\ud800",), {"\ud800": 1}) == ("1",)


# -- decisions and dry runs


def test_a_decision_tells_the_count_and_the_partition(limits: RateLimits) -> None:
    """With the answer counted, and one more than the limit where it is refused."""
    guard = limited(2, "region", "n")
    found = [decisions(admit(limits, guard, region="eu", n=1)) for _ in range(4)]
    common = {
        "evaluationTarget": "active",
        "requestsPerMinute": 2,
        "partitionProperties": ["region", "n"],
        "partitionValues": {"region": "eu", "n": "1"},
    }
    assert [one for (one,) in found] == [
        {**common, "outcome": "within_limit", "countInWindow": 1},
        {**common, "outcome": "within_limit", "countInWindow": 2},
        {**common, "outcome": "limited", "countInWindow": 3},
        {**common, "outcome": "limited", "countInWindow": 3},
    ]


def test_a_decision_follows_a_change_of_the_limit(limits: RateLimits) -> None:
    """What is told is what was decided by, also when another bundle has come."""
    for per_minute, names in ((5, ()), (7, ()), (7, ("region",)), (5, ())):
        (found,) = decisions(admit(limits, limited(per_minute, *names), region="eu"))
        assert found["requestsPerMinute"] == per_minute
        assert found["partitionProperties"] == list(names)
        assert found["partitionValues"] == dict.fromkeys(names, "eu")


def test_a_dry_run_changes_no_answer(limits: RateLimits) -> None:
    """It is counted beside the limit, by its own number, and reported."""
    guard = limited(3, trial=1)
    found = [admit(limits, guard) for _ in range(4)]
    assert [answer.is_open for answer in found] == [True, True, True, False]
    assert [
        [(one["outcome"], one["countInWindow"]) for one in decisions(answer)]
        for answer in found
    ] == [
        [("within_limit", 1), ("within_limit", 1)],
        [("within_limit", 2), ("would_limit", 2)],
        [("within_limit", 3), ("would_limit", 2)],
        [("limited", 4), ("would_limit", 2)],
    ]
    _, trial = decisions(found[1])
    assert trial == {
        "evaluationTarget": "dry_run",
        "dryRunId": "trial",
        "outcome": "would_limit",
        "requestsPerMinute": 1,
        "countInWindow": 2,
        "partitionProperties": [],
        "partitionValues": {},
    }


def test_a_peek_consults_the_limit_alone(limits: RateLimits) -> None:
    """It uses up nothing, of the limit or of the dry run."""
    guard = limited(1, trial=1)
    for _ in range(3):
        answer = admit(limits, guard, consumes=False)
        assert answer.is_open
        assert [one["evaluationTarget"] for one in decisions(answer)] == ["active"]
    assert [one["outcome"] for one in decisions(admit(limits, guard))] == [
        "within_limit",
        "within_limit",
    ]
    assert not admit(limits, guard, consumes=False).is_open


def test_nothing_is_written_where_nothing_is_recorded(limits: RateLimits) -> None:
    """A check without a signal needs no decisions."""
    found = limits.admit(limited(1), {}, consumes=True, is_recorded=False)
    assert found == (True, b"")


# -- the file


def test_who_opens_the_same_folder_counts_together(tmp_path: Path) -> None:
    """What one has used is used for the other."""
    assert admitted(limits_in(tmp_path), limited(5), 3) == 3
    assert admitted(limits_in(tmp_path), limited(5)) == 2


def test_the_files_are_bounded(shared: RateLimits, tmp_path: Path) -> None:
    """They are as large as they will ever be from the beginning, and really there."""
    for number in range(100):
        admitted(shared, limited(2, "n"), 3, n=number)
        admitted(shared, limited(2, name=f"guard.{number}"), 3)
    sizes = sorted(path.stat().st_size for path in tmp_path.iterdir())
    assert sizes == sorted(shape.size for shape in rate_limits.SHAPES.values())
    assert sum(sizes) < 32 * 1024 * 1024
    allocated = sum(path.stat().st_blocks * 512 for path in tmp_path.iterdir())
    assert allocated >= sum(sizes)


def test_no_room_means_closed_and_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A new partition that finds no room is closed; those that are there go on."""
    shapes = {**rate_limits.SHAPES, "partitions": Shape(1, 8, 60, 10)}
    monkeypatch.setattr(rate_limits, "SHAPES", shapes)
    limits, guard = limits_in(tmp_path), limited(2, "n")
    answers = [admit(limits, guard, n=number).is_open for number in range(20)]
    assert answers == [True] * 8 + [False] * 12
    assert admitted(limits, guard, n=0) == 1
    (record,) = caplog.records
    assert (
        "'a.guard' was closed because its rate limit could not" in record.getMessage()
    )
    refused = decisions(admit(limits, guard, n=19))[0]
    assert (refused["outcome"], refused["countInWindow"]) == ("limited", 3)


def test_on_a_full_disk_a_process_counts_for_itself(
    disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    """No write ends the process; one line says what has become of the limit."""
    disk.fill()
    limits = limits_in(disk.path)
    for number in range(100):
        assert admitted(limits, limited(5, "n"), n=number) == 5
        limits.look()
    (record,) = caplog.records
    assert "rate limits hold for each process alone" in record.getMessage()


@pytest.mark.parametrize("trouble", ["foreign", "folder", "gone"])
def test_without_a_usable_file_a_process_counts_for_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, clock: Clock, trouble: str
) -> None:
    """One line says so, no answer is lost, and another when the file can be had."""
    caplog.set_level(logging.INFO)
    folder = tmp_path / "state"
    path = put_in_the_way(folder, trouble)
    limits = limits_in(folder, clock=clock)
    assert admitted(limits, limited(5), 3) == 3
    limits.look()
    assert admitted(limits, limited(5)) == 2
    (record,) = caplog.records
    assert "rate limits hold for each process alone" in record.getMessage()
    if trouble == "gone":
        folder.mkdir()
    else:
        path.rmdir() if path.is_dir() else path.unlink()
        clock.wait(60)
    limits.look()
    assert "the whole host again" in caplog.text
    assert admitted(limits, limited(5)) == 5
    assert admitted(limits_in(folder), limited(5)) == 0


def put_in_the_way(folder: Path, trouble: str) -> Path:
    """Make a state folder in which no limit can be counted; return what is wrong."""
    folder.mkdir()
    admit(limits_in(folder), limited())
    (path,) = folder.iterdir()
    content = path.read_bytes()
    path.unlink()
    if trouble == "foreign":
        path.write_bytes(bytes(len(content)))
    elif trouble == "folder":
        path.mkdir()
    else:
        folder.rmdir()
    return path


def test_a_deleted_file_is_made_anew_with_what_was_counted(
    shared: RateLimits, tmp_path: Path
) -> None:
    """Who notices it first puts its counts where the others will find them."""
    assert admitted(shared, limited(5), 3) == 3
    (path,) = tmp_path.iterdir()
    path.unlink()
    shared.look()
    assert admitted(limits_in(tmp_path), limited(5)) == 2
    assert admitted(shared, limited(5)) == 0


def test_a_damaged_file_never_raises(
    shared: RateLimits, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is written over locks and counts, checks are answered."""
    assert admitted(shared, limited(5), 3) == 3
    (path,) = tmp_path.iterdir()
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
    assert admitted(shared, limited(5)) in (0, 5)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("damage", ["note", "nowhere", "log"])
def test_a_damaged_table_is_given_up_until_it_is_gone(
    shared: RateLimits, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """Locks that are whole mislead nobody: one line names the file to be removed."""
    caplog.set_level(logging.INFO)
    guard = limited(5)
    assert admitted(shared, guard, 3) == 3
    (path,) = tmp_path.iterdir()
    spoil(shared._shared["guards"].memory, damage)
    for expected in (5, 0, 0):
        assert admitted(shared, guard) == expected
        shared.look()
    (record,) = caplog.records
    assert f"{path} is damaged" in record.getMessage()

    def count() -> list[int]:
        shared.reset_after_fork()
        return [admitted(shared, guard), len(caplog.records)]

    assert in_child(count, fork=fork_without_hooks) == [5, 1]
    path.unlink()
    shared.look()
    assert "the whole host again" in caplog.text
    assert admitted(shared, guard, 3) == 3
    assert admitted(limits_in(tmp_path), guard) == 2


def spoil(memory: mmap.mmap, damage: str) -> None:
    """Write into a table of guards what no process of this package would."""
    words, shape = memoryview(memory).cast("Q"), rate_limits.SHAPES["guards"]
    directory, last = stripes._DIRECTORY_WORD, shape.stripes + stripes.SPARES - 1
    for stripe in range(shape.stripes):
        # A stripe lies nowhere, or all lie in the last region.
        words[directory + stripe] = (
            stripes._MOVING if damage != "log" else last ^ stripe
        )
    if damage == "note":
        words[stripes._MOVE_WORD] = 1 << 63
    if damage == "log":
        # Its log begins beyond the end of the file.
        state_at = HEADER_BYTES // 8 + last * shape.region_words + stripes.LOCK_WORDS
        words[state_at] = ((1 << 32) - 1) << 32 | 1


def test_old_files_are_removed(shared: RateLimits, tmp_path: Path) -> None:
    """What earlier boots and killed writers left goes when it is a day old."""
    kept, old = tmp_path / "limits-2-guards-kept", tmp_path / "limits-2-guards-old"
    leftover = tmp_path / ".limits-2-guards-x.tmp"
    for path in (kept, old, leftover, tmp_path / "limits"):
        path.touch()
    for path in (old, leftover, tmp_path / "limits"):
        os.utime(path, (1e9, 1e9))
    admit(shared, limited())
    names = {path.name for path in tmp_path.iterdir()}
    assert {kept.name, "limits"} < names
    assert len(names) == 3


def test_another_boot_begins_anew(
    shared: RateLimits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The times of the one before mean nothing, and its file is left alone."""
    assert admitted(shared, limited(5)) == 5
    monkeypatch.setattr(window_files, "boot_id", lambda: "another-boot")
    assert admitted(limits_in(tmp_path), limited(5)) == 5
    assert len(list(tmp_path.iterdir())) == 2


@pytest.fixture
def reserved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of all files whose space was reserved."""
    sizes: list[int] = []
    reserve = os.posix_fallocate

    def note(descriptor: int, start: int, size: int) -> None:
        sizes.append(size)
        reserve(descriptor, start, size)

    monkeypatch.setattr(os, "posix_fallocate", note)
    return sizes


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_file_that_cannot_be_made_is_not_tried_at_every_look(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
    reserved: list[int],
    *,
    is_deleted: bool,
) -> None:
    """Where the file system has no links space is reserved once a minute at most."""
    limits, link = limits_in(tmp_path, clock=clock), os.link
    if is_deleted:
        assert admitted(limits, limited(5), 3) == 3
        next(tmp_path.iterdir()).unlink()
        reserved.clear()

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    for _ in range(5):
        admit(limits, limited(500))
        limits.look()
    assert len(reserved) == 1
    clock.wait(60)
    limits.look()
    limits.look()
    assert len(reserved) == 2
    monkeypatch.setattr(os, "link", link)
    clock.wait(60)
    limits.look()
    assert admitted(limits, limited(5)) == 5
    assert admitted(limits_in(tmp_path, clock=clock), limited(5)) == 0


def test_where_there_are_no_locks_no_file_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reserved: list[int]
) -> None:
    """They are asked for first."""
    monkeypatch.setattr(shared_locks, "ctypes", None)
    shared_locks._calls.cache_clear()
    limits = limits_in(tmp_path)
    assert admitted(limits, limited(5)) == 5
    limits.look()
    shared_locks._calls.cache_clear()
    assert reserved == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["boot", "ctypes", "robust", "clock", "space"])
def test_where_nothing_can_be_shared_a_process_counts_for_itself(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    missing: str,
) -> None:
    """One line says why, on each platform that lacks what it takes."""
    admit(limits_in(tmp_path), limited())
    if missing == "boot":
        monkeypatch.setattr(window_files, "boot_id", lambda: "")
    elif missing == "space":
        monkeypatch.setattr(window_files, "reserves_space", lambda _: False)
    elif missing == "clock":
        monkeypatch.setattr(window_files, "are_offsets_told", lambda: False)
    else:
        found = None if missing == "ctypes" else SimpleNamespace(PyDLL=SimpleNamespace)
        monkeypatch.setattr(shared_locks, "ctypes", found)
        shared_locks._calls.cache_clear()
    limits = limits_in(tmp_path)
    assert [admitted(limits, limited(5), 3) for _ in range(3)] == [3, 2, 0]
    (record,) = caplog.records
    assert "rate limits hold for each process alone" in record.getMessage()
    shared_locks._calls.cache_clear()


# -- forks


def test_a_child_goes_on_counting_with_its_parent(shared: RateLimits) -> None:
    """Also one that was forked without hooks, and before it noticed."""
    assert admitted(shared, limited(5), 2) == 2
    found = in_child(lambda: admitted(shared, limited(5), 2), fork=fork_without_hooks)
    assert found == 2
    assert admitted(shared, limited(5)) == 1


def test_a_child_that_shares_nothing_begins_anew(limits: RateLimits) -> None:
    """Then each process has the limit for itself, whatever its parent held."""

    def count() -> int:
        limits.reset_after_fork()
        return admitted(limits, limited(5))

    assert admitted(limits, limited(5)) == 5
    with lock_of(limits, "a.guard"):
        assert in_child(count, fork=fork_without_hooks) == 5
    limits.reset_after_fork()
    assert admitted(limits, limited(5)) == 0


def test_a_lock_that_a_fork_left_held_stops_no_child(limits: RateLimits) -> None:
    """A child that nobody told of the fork goes round it."""
    assert admitted(limits, limited(5), 2) == 2
    with lock_of(limits, "a.guard"):
        found = in_child(lambda: admitted(limits, limited(5)), fork=fork_without_hooks)
    assert found == 3


def lock_of(limits: RateLimits, name: str) -> Any:
    """Return the lock behind which a guard without partitions is counted."""
    digest = Digests(SECRET).of(("active", name, ""))
    stripe = (digest[0] | digest[1] << 8) & (rate_limits.SHAPES["guards"].stripes - 1)
    locks: Any = limits._tables["guards"]._stripes._locks
    return locks._locks[stripe]
