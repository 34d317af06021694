from __future__ import annotations

import functools
import itertools
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import pytest

from forking import (
    Child,
    as_ordinary_user,
    fork_without_hooks,
    in_child,
    living,
    sleep_for_ever,
    wait_until,
)
from interrupting import Interruption
from liteguard.host.leadership import LeaderLock
from liteguard.process.identity import current_identity

if TYPE_CHECKING:
    from collections.abc import Iterator

FORKS: list[Callable[[], int]] = [os.fork, fork_without_hooks]


@pytest.fixture
def path(state_dir: Path) -> Path:
    """Return where the lock file lies."""
    return state_dir / "leader-1.lock"


@pytest.fixture
def lock(path: Path) -> Iterator[LeaderLock]:
    """Return a lock of this process's own."""
    lock = new_lock(path)
    yield lock
    lock.unpark()
    lock.release()


def new_lock(path: Path, **more: Any) -> LeaderLock:
    """Return a lock that belongs to the calling process."""
    return LeaderLock(path, current_identity(), **more)


def can_lead(path: Path) -> bool:
    """Whether a process that comes along now may lead."""
    lock = new_lock(path)
    try:
        return lock.try_acquire()
    finally:
        lock.release()


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


# -- one leader


def test_one_of_two_leads(lock: LeaderLock, path: Path) -> None:
    """Who comes second is refused, in this process and in another."""
    assert lock.try_acquire()
    assert lock.is_held
    other = new_lock(path)
    assert not other.try_acquire()
    assert not other.is_held
    assert in_child(lambda: can_lead(path)) is False


def test_a_leader_goes_on_leading(lock: LeaderLock) -> None:
    """Trying again keeps what is held."""
    assert all(lock.try_acquire() for _ in range(3))


def test_leadership_that_is_given_up_is_free(lock: LeaderLock, path: Path) -> None:
    """After a release another process leads, and the first is refused in turn."""
    assert lock.try_acquire()
    lock.release()
    assert not lock.is_held
    other = new_lock(path)
    assert other.try_acquire()
    assert not lock.try_acquire()
    other.release()
    assert lock.try_acquire()


def test_releasing_what_is_not_held_is_nothing(lock: LeaderLock, path: Path) -> None:
    """A release without, or a second one, disturbs nobody."""
    lock.release()
    other = new_lock(path)
    assert other.try_acquire()
    lock.release()
    assert not can_lead(path)
    other.release()
    other.release()


def test_of_many_processes_one_leads(path: Path, tmp_path: Path) -> None:
    """Whoever starts at the same moment, one alone wins, and keeps it."""
    start = tmp_path / "start"
    end = tmp_path / "end"

    def compete() -> int:
        lock = new_lock(path)
        wait_until(start.exists)
        wins = sum(lock.try_acquire() for _ in range(50))
        (tmp_path / f"done-{os.getpid()}").touch()
        wait_until(end.exists)
        return wins

    children = [Child(compete) for _ in range(6)]
    start.touch()
    wait_until(lambda: len(list(tmp_path.glob("done-*"))) == 6)
    end.touch()
    assert sorted(child.result() for child in children) == [0, 0, 0, 0, 0, 50]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_kernel_frees_the_lock_of_the_dead(
    lock: LeaderLock, path: Path, how: int
) -> None:
    """However the leader is killed, the next one leads at its next try."""

    def lead() -> None:
        assert new_lock(path).try_acquire()
        ready.touch()
        sleep_for_ever()

    ready = path.with_name("ready")
    with living(lead) as child:
        wait_until(ready.exists)
        assert not lock.try_acquire()
        os.kill(child.pid, how)
        child.wait()
        assert lock.try_acquire()


def test_the_file_says_who_leads(lock: LeaderLock, path: Path) -> None:
    """A person who looks at the file finds the leader's pid."""
    assert lock.try_acquire()
    assert f'"pid":{os.getpid()},' in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


# -- children


@pytest.mark.parametrize("fork", FORKS)
@pytest.mark.parametrize("letting_go", ["abandon", "release", "nothing"])
def test_a_child_never_frees_its_parents_lock(
    lock: LeaderLock,
    path: Path,
    fork: Callable[[], int],
    letting_go: str,
) -> None:
    """Whatever a child does with what it inherited, its parent leads on."""

    def let_go() -> None:
        if letting_go != "nothing":
            getattr(lock, letting_go)()

    assert lock.try_acquire()
    in_child(let_go, fork=fork)
    assert not can_lead(path)
    assert lock.is_held
    assert lock.try_acquire()


ORDERLY_CHILD = """
import os, pathlib, sys
from liteguard.host.leadership import LeaderLock
from liteguard.process.identity import current_identity
path = pathlib.Path(sys.argv[1])
lock = LeaderLock(path, current_identity())
assert lock.try_acquire()
pid = os.fork()
if pid == 0:
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
other = LeaderLock(path, current_identity())
sys.exit("freed" if other.try_acquire() else 0)
"""


def test_a_child_that_ends_in_order_frees_nothing(path: Path) -> None:
    """The interpreter's own end in a child leaves its parent's lock alone."""
    root = Path(__file__).resolve().parent.parent
    subprocess.run(
        [sys.executable, "-c", ORDERLY_CHILD, str(path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
        check=True,
    )


@pytest.mark.parametrize("fork", FORKS)
def test_a_child_does_not_lead_by_its_parents_lock(
    lock: LeaderLock, path: Path, fork: Callable[[], int]
) -> None:
    """Neither the inherited lock nor one of its own lets a child lead beside."""
    assert lock.try_acquire()
    assert in_child(lambda: [lock.try_acquire(), can_lead(path)], fork=fork) == [
        False,
        False,
    ]


@pytest.mark.parametrize("fork", FORKS)
def test_a_child_leads_after_its_parent_gave_up(
    lock: LeaderLock, path: Path, fork: Callable[[], int]
) -> None:
    """A child that abandoned its copy can be the next leader."""
    ready = path.with_name("ready")

    def succeed() -> bool:
        lock.abandon()
        own = new_lock(path)
        ready.touch()
        wait_until(own.try_acquire)
        return own.is_held

    assert lock.try_acquire()
    with living(succeed, fork=fork) as child:
        wait_until(ready.exists)
        lock.release()
        assert child.result() is True


def test_an_idle_child_does_not_keep_what_its_parent_gave_up(
    lock: LeaderLock, path: Path
) -> None:
    """A copy in a child that never runs our code holds nobody up."""
    assert lock.try_acquire()
    with living(sleep_for_ever, fork=fork_without_hooks):
        lock.release()
        assert can_lead(path)


def test_an_idle_child_does_not_keep_what_its_dead_parent_had(path: Path) -> None:
    """A lock whose owner was killed is free, though a child holds a copy of it."""
    clock = Clock()
    mine = new_lock(path, clock=clock)
    told = path.with_name("child")

    def lead_and_fork() -> None:
        inherited = new_lock(path)
        assert inherited.try_acquire()
        pid = os.fork()
        if pid == 0:
            sleep_for_ever()
        told.write_text(str(pid))
        sleep_for_ever()

    with living(lead_and_fork) as leader:
        wait_until(lambda: told.exists() and told.read_text())
        assert not mine.try_acquire()
        leader.kill()
        try:
            assert not mine.try_acquire()
            clock.now += 1.1
            assert mine.try_acquire()
            assert not can_lead(path)
        finally:
            os.kill(int(told.read_text()), signal.SIGKILL)
            mine.release()


# -- the file in place


@pytest.mark.parametrize("replace", [True, False])
def test_a_leader_whose_file_is_gone_steps_down(
    lock: LeaderLock, path: Path, *, replace: bool
) -> None:
    """A deleted lock file makes no two leaders: the new file's holder leads."""
    assert lock.try_acquire()
    path.unlink()
    other = new_lock(path)
    if replace:
        assert other.try_acquire()
        assert not lock.is_held
        assert not lock.try_acquire()
        other.release()
    assert lock.try_acquire()
    assert path.exists()
    assert not other.try_acquire()


def test_without_the_folder_nobody_leads(lock: LeaderLock, path: Path) -> None:
    """A deleted folder is an error, and leadership comes back with it."""
    assert lock.try_acquire()
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(FileNotFoundError):
        lock.try_acquire()
    assert not lock.is_held
    path.parent.mkdir()
    assert lock.try_acquire()


def test_a_folder_that_became_a_file_is_an_error(lock: LeaderLock, path: Path) -> None:
    """What cannot be looked at is not led by."""
    assert lock.try_acquire()
    path.unlink()
    path.parent.rmdir()
    path.parent.touch()
    assert not lock.is_held
    with pytest.raises(NotADirectoryError):
        lock.try_acquire()


def test_a_link_in_place_of_the_file_is_not_followed(
    lock: LeaderLock, path: Path
) -> None:
    """Nobody makes a process lock or write another file."""
    victim = path.with_name("victim")
    victim.write_text("precious")
    path.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"):
        lock.try_acquire()
    assert victim.read_text() == "precious"


def test_on_a_full_disk_a_process_leads_unsigned(path: Path) -> None:
    """A leader that cannot sign leads, and a later one is not locked out by it."""

    def lead_unsigned() -> list[bool]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        lock = new_lock(path)
        leads = lock.try_acquire()
        lock.release()
        return [leads, can_lead(path)]

    assert in_child(lead_unsigned) == [True, True]
    assert can_lead(path)


def test_failed_tries_leave_no_descriptor(lock: LeaderLock, path: Path) -> None:
    """A follower that tries for years has as many files open as before."""
    assert lock.try_acquire()
    other = new_lock(path)
    before = os.listdir("/proc/self/fd")  # noqa: PTH208  its entries are links
    for _ in range(20):
        assert not other.try_acquire()
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208  the same


def test_a_program_that_closed_all_files_can_lead_again(
    lock: LeaderLock, path: Path
) -> None:
    """A number that became another file is neither taken for the lock nor closed."""
    assert lock.try_acquire()
    descriptor = lock._held[0].number
    os.close(descriptor)
    other = os.open(path.with_name("log"), os.O_RDWR | os.O_CREAT)
    assert other == descriptor
    assert not lock.is_held
    assert lock.try_acquire()
    assert not can_lead(path)
    os.write(other, b"still open")
    os.close(other)


# -- parking


def test_a_parked_process_does_not_lead(lock: LeaderLock, path: Path) -> None:
    """Parking gives leadership up and refuses it until the process is taken up."""
    assert lock.try_acquire()
    lock.park(1.0)
    assert not lock.is_held
    assert not lock.try_acquire()
    assert can_lead(path)
    lock.unpark()
    assert lock.try_acquire()


def test_a_parked_process_opens_no_file(lock: LeaderLock, path: Path) -> None:
    """Nothing is opened while a fork is under way, where a child would keep it."""
    lock.park(1.0)
    assert not lock.try_acquire()
    assert not path.exists()


def test_parking_twice_is_parking_once(lock: LeaderLock) -> None:
    """A second fork does not wait, and one end of parking is enough."""
    lock.park(1.0)
    lock.park(1.0)
    lock.unpark()
    lock.unpark()
    assert lock.try_acquire()


def test_a_try_that_outlasts_the_parking_does_not_lead(path: Path) -> None:
    """A thread that is slow to take the lock gives it back if parked meanwhile."""
    entered, may_go_on = threading.Event(), threading.Event()
    answers = []

    class SlowFolder(type(path)):  # type: ignore[misc]  # the class differs by version
        """A path whose look at the file takes as long as the test wants."""

        def lstat(self) -> os.stat_result:
            """Wait, then look."""
            entered.set()
            assert may_go_on.wait(10.0)
            return os.lstat(self)

    slow = new_lock(SlowFolder(path))
    thread = threading.Thread(target=lambda: answers.append(slow.try_acquire()))
    thread.start()
    assert entered.wait(10.0)
    slow.park(0.01)
    may_go_on.set()
    thread.join(10.0)
    assert answers == [False]
    assert can_lead(path)
    assert not slow.try_acquire()
    slow.unpark()
    assert slow.try_acquire()
    slow.release()


def test_what_is_raised_in_taking_and_parking_bars_nobody(path: Path) -> None:
    """Whatever a signal handler has ended: once unparked, the process may lead."""
    for moment in itertools.count():
        lock = new_lock(path)
        interruption = Interruption(moment)
        interruption.run(functools.partial(take_and_park, lock))
        lock.unpark()
        # Else it may be locked still, until it has not been touched for 30 seconds.
        path.unlink(missing_ok=True)
        assert lock.try_acquire(), interruption.place
        lock.release()
        if not interruption.place:
            break
    assert moment > 20


def take_and_park(lock: LeaderLock) -> None:
    """Lead, and be parked for a moment, as for a fork."""
    lock.try_acquire()
    lock.park(1.0)
    lock.unpark()


# -- a leader that does nothing


def test_a_leader_that_tries_on_is_never_replaced(path: Path) -> None:
    """As long as the leader does its rounds nobody takes its place."""
    clock = Clock()
    leader = new_lock(path, stale_after_seconds=30.0, clock=clock)
    follower = new_lock(path, stale_after_seconds=30.0, clock=clock)
    assert leader.try_acquire()
    for _ in range(200):
        clock.now += 1.0
        assert leader.try_acquire()
        assert not follower.try_acquire()
    leader.release()


def test_a_leader_that_does_nothing_is_replaced(path: Path) -> None:
    """Once its time is over another process leads, and the old one finds that out."""
    clock = Clock()
    idle = new_lock(path, stale_after_seconds=30.0, clock=clock)
    follower = new_lock(path, stale_after_seconds=30.0, clock=clock)
    late = new_lock(path, stale_after_seconds=30.0, clock=clock)
    assert idle.try_acquire()
    assert not follower.try_acquire()
    clock.now += 29.0
    assert not follower.try_acquire()
    assert not late.try_acquire()
    clock.now += 1.0
    assert follower.try_acquire()
    assert not late.try_acquire()
    assert not idle.is_held
    assert not idle.try_acquire()
    assert follower.try_acquire()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    follower.release()
    assert late.try_acquire()
    late.release()


def test_a_stopped_leader_is_replaced_and_steps_down(path: Path) -> None:
    """A leader that SIGSTOP holds up loses its place, and sees it when it goes on."""
    ready, gone = path.with_name("ready"), path.with_name("gone")

    def lead() -> bool:
        lock = new_lock(path, stale_after_seconds=0.5)
        assert lock.try_acquire()
        ready.touch()
        wait_until(lambda: not lock.try_acquire())
        gone.touch()
        return lock.is_held

    mine = new_lock(path, stale_after_seconds=0.5)
    with living(lead) as child:
        wait_until(ready.exists)
        os.kill(child.pid, signal.SIGSTOP)
        wait_until(mine.try_acquire)
        os.kill(child.pid, signal.SIGCONT)
        assert child.result() is False
    assert gone.exists()
    assert mine.try_acquire()
    mine.release()


def test_of_many_that_would_replace_a_leader_one_does(path: Path) -> None:
    """Followers that see the same idle leader do not end up as several leaders."""
    idle = new_lock(path)
    assert idle.try_acquire()
    clocks = [Clock() for _ in range(5)]
    locks = [new_lock(path, clock=clock) for clock in clocks]
    for lock in locks:
        lock.try_acquire()
    for clock in clocks:
        clock.now += 1000.0
    for lock in locks:
        lock.try_acquire()
    assert [lock.try_acquire() for lock in locks].count(True) == 1
    for lock in [*locks, idle]:
        lock.release()


def test_of_two_that_replace_a_leader_at_once_the_later_leads(path: Path) -> None:
    """Who finds another's file in the place of its own steps back at once."""

    class OvertakenPath(type(path)):  # type: ignore[misc]  # the class differs by version
        """A path at which another process puts its file a moment later."""

        def replace(self, target: Path) -> Path:
            """Replace, and be replaced."""
            Path(os.fspath(self)).replace(target)
            other = Path(target).with_name("other")
            other.touch()
            return other.replace(target)

    idle = new_lock(path)
    assert idle.try_acquire()
    follower = new_lock(OvertakenPath(path), stale_after_seconds=0.0)
    assert not follower.try_acquire()
    assert not follower.is_held
    idle.release()


def test_a_takeover_without_room_leaves_nothing_behind(path: Path) -> None:
    """A file that cannot be put in place is removed again."""

    class FullPath(type(path)):  # type: ignore[misc]  # the class differs by version
        """A path that takes no other's place."""

        def replace(self, target: Path) -> Path:
            """Fail."""
            raise OSError(28, "No space left on device", str(target))

    idle = new_lock(path)
    assert idle.try_acquire()
    follower = new_lock(FullPath(path), stale_after_seconds=0.0)
    with pytest.raises(OSError, match="No space left"):
        follower.try_acquire()
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert idle.try_acquire()
    idle.release()


@pytest.mark.parametrize("text", ["", "pid 7", "[]", '{"pid": 1}', "\xff" * 5000])
def test_a_signature_that_cannot_be_read_makes_no_leader_dead(
    lock: LeaderLock, path: Path, text: str
) -> None:
    """Only a signature that names a dead process says that its leader is dead."""
    clock = Clock()
    follower = new_lock(path, clock=clock)
    assert lock.try_acquire()
    path.write_text(text)
    assert not follower.try_acquire()
    clock.now += 5.0
    assert not follower.try_acquire()


def test_a_new_leader_has_time_to_sign(path: Path) -> None:
    """The signature of a dead leader is not held against the one that follows."""

    def lead_once() -> None:
        assert new_lock(path).try_acquire()

    in_child(lead_once)
    dead = path.read_bytes()
    clock = Clock()
    follower = new_lock(path, clock=clock)
    successor = new_lock(path)
    assert successor.try_acquire()
    signed = path.read_bytes()
    path.write_bytes(dead)
    assert not follower.try_acquire()
    clock.now += 0.9
    path.write_bytes(signed)
    assert not follower.try_acquire()
    clock.now += 5.0
    assert not follower.try_acquire()
    successor.release()


def test_a_takeover_that_fails_changes_nothing() -> None:
    """Where no new file can be made the idle leader stays, and nothing is left."""

    def try_in_a_read_only_folder() -> list[object]:
        with tempfile.TemporaryDirectory(dir="/tmp") as folder:
            path = Path(folder, "leader-1.lock")
            idle = new_lock(path)
            assert idle.try_acquire()
            path.parent.chmod(0o500)
            follower = new_lock(path, stale_after_seconds=0.0)
            with pytest.raises(PermissionError):
                follower.try_acquire()
            found = [idle.try_acquire(), os.listdir(folder)]  # noqa: PTH208  names only
            path.parent.chmod(0o700)
            return found

    assert as_ordinary_user(try_in_a_read_only_folder) == [True, ["leader-1.lock"]]
