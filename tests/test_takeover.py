"""Who leads after a leader has ended, was stopped or lost its files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

import pytest

from clients import FAST
from forking import Child, living
from line import Line
from liteguard import LiteguardClient, Role
from liteguard.host import snapshots
from liteguard.host.files import write_atomically
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend

STALE_SECONDS = 0.5


class Member:
    """A process of the host with a client of its own, made after the fork.

    Args:
        backend: The local backend.
        state_dir: The state folder.
        options: The client's options.
    """

    def __init__(self, backend: Backend, state_dir: Path, **options: Any) -> None:
        self._answers, far_answers = os.pipe()
        far_questions, self._questions = os.pipe()
        settings = backend.options(state_dir, **{**FAST, **options})

        def work() -> None:
            signal.alarm(60)
            os.close(self._questions)
            with LiteguardClient(**settings) as client:
                while os.read(far_questions, 1):
                    status = client.status()
                    told = {
                        "open": client.peek_is_open("open.guard"),
                        "role": status.role,
                        "generation": status.generation,
                        "refreshes": status.refreshes,
                    }
                    os.write(far_answers, json.dumps(told).encode() + b"\n")

        self.child = Child(work)
        os.close(far_answers)
        os.close(far_questions)
        self._lines = os.fdopen(self._answers)

    @property
    def pid(self) -> int:
        """The process."""
        return self.child.pid

    def tell(self) -> dict[str, Any]:
        """Let it tell of itself."""
        os.write(self._questions, b"?")
        told: dict[str, Any] = json.loads(self._lines.readline())
        return told

    def answers(self, *, is_open: bool) -> bool:
        """Whether a check there is answered so."""
        return bool(self.tell()["open"] is is_open)

    def leads(self) -> bool:
        """Whether it says that it leads."""
        return bool(self.tell()["role"] == "leader")

    def stop(self) -> None:
        """Stop it by SIGSTOP, as a debugger or a frozen container does."""
        os.kill(self.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it by SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self.child.kill()

    def close(self) -> None:
        """End it, whatever it does."""
        self.kill()
        self._lines.close()
        os.close(self._questions)


Start = Callable[..., Member]


@pytest.fixture
def start(open_guard: Backend, state_dir: Path) -> Iterator[Start]:
    """Return a function that starts another process of the host and waits for it."""
    members: list[Member] = []

    def start(**options: Any) -> Member:
        members.append(Member(open_guard, state_dir, **options))
        members[-1].tell()
        return members[-1]

    yield start
    for member in members:
        member.close()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a leader that does nothing be replaced after half a second."""
    monkeypatch.setattr("liteguard.parts._STALE_SECONDS", STALE_SECONDS)
    monkeypatch.setattr("liteguard.parts._STALE_REQUESTS", 0.0)


def leader_of(members: list[Member]) -> Member:
    """Return the one of *members* that leads, waiting until it is one."""
    leaders: list[Member] = []

    def is_one() -> bool:
        leaders[:] = [member for member in members if member.leads()]
        return len(leaders) == 1

    until(is_one)
    return leaders[0]


# -- a leader that ends


def test_ten_killed_leaders_add_no_polls(start: Start, open_guard: Backend) -> None:
    """Ten are killed one after another within one interval, and nobody asks again."""
    first = start(refresh_rate_seconds=60)
    members = [first]
    for _ in range(10):
        members.append(start(refresh_rate_seconds=60))
        leader = leader_of(members)
        leader.kill()
        members.remove(leader)
    assert leader_of(members).tell()["open"]
    assert open_guard.poll_count() == 1


def test_each_way_to_drop_out_passes_leadership_on(
    start: Start, open_guard: Backend
) -> None:
    """The next process leads, asks when it is time, and sees the change."""
    members = [start() for _ in range(3)]
    for number, is_open in ((signal.SIGTERM, False), (signal.SIGKILL, True)):
        leader = leader_of(members)
        os.kill(leader.pid, number)
        members.remove(leader)
        open_guard.update_guard("open.guard", defaultValue=is_open)
        assert leader_of(members) is not leader
        for member in members:
            until(partial(member.answers, is_open=is_open))


# -- a leader that is stopped


@pytest.mark.usefixtures("_impatient")
def test_stopped_leader_is_replaced_and_follows_when_it_goes_on(
    start: Start, open_guard: Backend
) -> None:
    """The host follows changes meanwhile; afterwards there is one leader as before."""
    stopped, other = start(), start()
    assert leader_of([stopped, other]) is stopped
    stopped.stop()
    until(other.leads)
    open_guard.update_guard("open.guard", defaultValue=False)
    until(lambda: not other.tell()["open"])
    stopped.go_on()
    until(lambda: stopped.tell()["role"] == "follower")
    until(lambda: stopped.tell()["generation"] == other.tell()["generation"])
    assert other.leads()


@pytest.mark.usefixtures("_impatient")
def test_leader_stopped_between_fetch_and_publishing_publishes_nothing(
    start: Start, open_guard: Backend
) -> None:
    """When it goes on its answer is older than what the host has, and is dropped."""
    with Line(open_guard.url) as line:
        here = {"backend_url": line.url, "http_timeout_seconds": 50}
        stopped, other = start(**here), start(**here)
        assert leader_of([stopped, other]) is stopped
        line.stall()
        open_guard.create_guard("another.guard")
        assert line.asked.wait(20)
        stopped.stop()
        until(other.leads)
        line.restore()
        open_guard.update_guard("open.guard", defaultValue=False)
        until(lambda: not other.tell()["open"])
        generation = other.tell()["generation"]
        stopped.go_on()
        until(lambda: stopped.tell()["role"] == "follower")
        until(lambda: stopped.tell()["generation"] == generation)
        assert other.tell()["generation"] == generation
        assert not stopped.tell()["open"]


@pytest.mark.usefixtures("_impatient")
def test_leader_stopped_in_the_middle_of_publishing_overwrites_nothing(
    start: Start,
    open_guard: Backend,
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When it goes on it finds a snapshot that it has not read, and leaves it there."""
    asked, stopped = state_dir.with_name("stop"), state_dir.with_name("stopped")

    def stop_and_publish(path: Path, data: bytes, **more: Any) -> None:
        if asked.exists() and not stopped.exists():
            stopped.touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        write_atomically(path, data, **more)

    monkeypatch.setattr(snapshots, "write_atomically", stop_and_publish)
    leader, other = start(), start()
    assert leader_of([leader, other]) is leader
    asked.touch()
    open_guard.create_guard("another.guard")
    until(stopped.exists)
    until(other.leads)
    open_guard.update_guard("open.guard", defaultValue=False)
    until(lambda: not other.tell()["open"])
    (snapshot,) = state_dir.glob("*/bundle-1.json")
    before = snapshot.stat()
    leader.go_on()
    until(lambda: leader.tell()["role"] == "follower")
    until(lambda: not leader.tell()["open"])
    assert os.path.samestat(before, snapshot.stat())


# -- files that are deleted


@pytest.mark.parametrize("what", ["leader-1.lock", "bundle-1.json", ""])
def test_host_heals_when_its_files_are_deleted(
    what: str, start: Start, open_guard: Backend, state_dir: Path
) -> None:
    """Lock file, snapshot or folder: soon one leads again, and all follow changes."""
    members = [start() for _ in range(3)]
    leader_of(members)
    (folder,) = state_dir.iterdir()
    if what:
        (folder / what).unlink()
    else:
        shutil.rmtree(folder)
    open_guard.update_guard("open.guard", defaultValue=False)
    for member in members:
        until(partial(member.answers, is_open=False))
    leader_of(members)
    until((folder / "leader-1.lock").exists)
    until((folder / "bundle-1.json").exists)
    assert start().tell()["role"] == "follower"


# -- many processes


def test_64_processes_that_start_at_once_make_one_fetch(
    open_guard: Backend, state_dir: Path
) -> None:
    """Each makes its own client, on a host without a snapshot, at a slow backend."""
    gate, opening = os.pipe()
    with Line(open_guard.url) as line, contextlib.ExitStack() as host:
        line.stall()

        def work() -> bool:
            os.close(opening)
            os.read(gate, 1)
            client = LiteguardClient(
                **open_guard.options(state_dir, backend_url=line.url),
                start_timeout_seconds=30,
                # The one fetch must not fail because 64 processes start meanwhile.
                http_timeout_seconds=25,
            )
            client.start(strict=True)
            return client.peek_is_open("open.guard")

        children = [host.enter_context(living(work)) for _ in range(64)]
        os.close(opening)
        os.close(gate)
        assert line.asked.wait(30)
        line.restore()
        assert all(child.result() for child in children)
    assert open_guard.poll_count() == 1


def test_64_children_of_one_process_make_no_fetch(
    open_guard: Backend, state_dir: Path
) -> None:
    """What their parent has fetched is enough, whichever of them leads."""
    client = LiteguardClient(**open_guard.options(state_dir))
    with client, contextlib.ExitStack() as host:

        def work() -> bool:
            answer = client.is_open("open.guard")
            until(lambda: client.status().role in {Role.LEADER, Role.FOLLOWER})
            until(lambda: client.status().generation)
            return answer

        children = [host.enter_context(living(work)) for _ in range(64)]
        assert all(child.result() for child in children)
    assert open_guard.poll_count() == 1
