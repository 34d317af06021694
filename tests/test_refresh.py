from __future__ import annotations

import itertools
import json
import logging
import resource
import shutil
import threading
from typing import TYPE_CHECKING, Any, Callable, Optional

import pytest

from forking import in_child
from liteguard.errors import (
    LiteguardError,
    TransportError,
    TransportRejected,
    TransportTimeout,
)
from liteguard.host.in_force import BundleInForce
from liteguard.host.leadership import LeaderLock
from liteguard.host.polls import PollLog
from liteguard.host.refresh import Refresher
from liteguard.host.snapshots import Snapshot, SnapshotStore
from liteguard.process.identity import current_identity
from liteguard.transport import BundleAnswer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "pct-0123456789abcdef"  # noqa: S105  no token of anybody
BOOT = "boot-1"
OWN_EXTRA = 0.001  # what a float may lose


class Clock:
    """The clock of a host, moved by the test."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Backend:
    """Answers fetches from memory, and notes when it was asked.

    Args:
        clock: The host's clock.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._edits = itertools.count(1)
        self.asked_at: list[float] = []
        self.etags: list[str] = []
        self.failure: LiteguardError | None = None
        self.while_asked: Callable[[], object] = lambda: None
        self.more: dict[str, Any] = {}
        self.edit("first")

    def edit(self, *names: str) -> None:
        """Serve another bundle from now on."""
        self.etag = f'"v{next(self._edits)}"'
        self.names = names

    def body(self) -> bytes:
        """Return the bundle as it is served."""
        guards = [{"name": name, "adopted": True} for name in self.names]
        return json.dumps({"guards": guards, "etag": self.etag, **self.more}).encode()

    def __call__(self, etag: str) -> BundleAnswer:
        """Answer a fetch."""
        self.asked_at.append(self._clock())
        self.etags.append(etag)
        answer = BundleAnswer(None if etag == self.etag else self.body(), self.etag)
        self.while_asked()
        if self.failure is not None:
            raise self.failure
        return answer


class Process:
    """A process of the host, as far as refreshing goes.

    Args:
        host: The host.
        more: Arguments of the `Refresher`; *alone* for one without a state folder,
            *inherited* for the snapshot that is in force from the beginning.
    """

    def __init__(self, host: Host, **more: Any) -> None:
        self.published: list[Snapshot] = []
        self._host = host
        folder = host.folder
        lock = store = polls_path = None
        inherited: Optional[Snapshot] = more.pop("inherited", None)
        if not more.pop("alone", False):
            lock = LeaderLock(
                folder / "leader-1.lock", current_identity(), clock=host.clock
            )
            store = SnapshotStore(folder / "bundle-1.json", TOKEN, inherited)
            polls_path = folder / "polls-1.json"
        arguments: dict[str, Any] = {
            "fetch": host.backend,
            "bundle": BundleInForce(
                store, self.published.append, snapshot=inherited, clock=host.clock
            ),
            "polls": PollLog(polls_path, BOOT, clock=host.clock),
            "lock": lock,
            "boot_id": BOOT,
            "refresh_rate_seconds": 60.0,
            "reload_rate_seconds": 1.0,
            "quiet": False,
            "clock": host.clock,
            "uniform": lambda _, high: high,
        }
        self.refresher = Refresher(**{**arguments, **more})

    @property
    def names(self) -> list[str]:
        """The guards in force."""
        snapshot = self.refresher.snapshot
        assert snapshot is not None
        return list(snapshot.documents)

    def end(self) -> None:
        """Die, as far as the lock goes."""
        self.refresher.park(0.0)


class Host:
    """A host with a state folder, a clock and a backend.

    Args:
        folder: The state folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = Clock()
        self.backend = Backend(self.clock)
        self._processes: list[Process] = []

    def process(self, **more: Any) -> Process:
        """Return a new process, which has done nothing yet."""
        process = Process(self, **more)
        self._processes.append(process)
        return process

    def run(self, seconds: float, *processes: Process) -> None:
        """Let *processes* do their rounds, each when it wants to, for some time."""
        end = self.clock.now + seconds
        due = [(self.clock.now, n) for n, _ in enumerate(processes)]
        while min(due)[0] <= end:
            moment, number = min(due)
            self.clock.now = max(self.clock.now, moment)
            delay = processes[number].refresher.refresh_once()
            assert delay >= 0.0
            due[number] = (self.clock.now + max(delay, OWN_EXTRA), number)
        self.clock.now = end

    def close(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.end()


@pytest.fixture
def host(state_dir: Path) -> Iterator[Host]:
    """Return a host on which nothing runs yet."""
    host = Host(state_dir)
    yield host
    host.close()


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """Return a function that returns level and text of each line since the last."""
    caplog.set_level(logging.INFO, logger="liteguard")

    def take() -> list[tuple[str, str]]:
        found = [(r.levelname, r.getMessage()) for r in caplog.records]
        caplog.clear()
        return found

    return take


# -- who asks, and when


def test_the_leader_asks_at_once_and_then_when_it_is_due(host: Host) -> None:
    """One poll at the start and one per interval: no more, no less, on time."""
    process = host.process()
    host.run(250.0, process)
    start = host.backend.asked_at[0]
    gaps = [moment - start for moment in host.backend.asked_at]
    assert gaps == pytest.approx([0.0, 60.0, 120.0, 180.0, 240.0], abs=0.1)
    assert process.refresher.refreshes == 5
    assert process.names == ["first"]


def test_followers_never_ask(host: Host) -> None:
    """However many processes there are, the backend sees one of them."""
    processes = [host.process() for _ in range(8)]
    host.run(125.0, *processes)
    assert len(host.backend.asked_at) == 3
    assert [process.refresher.refreshes for process in processes].count(0) == 7
    assert [process.refresher.is_leading for process in processes].count(True) == 1
    assert all(process.names == ["first"] for process in processes)


def test_a_change_is_everywhere_within_both_intervals(host: Host) -> None:
    """A change at the backend is in every process after refresh and reload."""
    processes = [host.process() for _ in range(4)]
    host.run(5.0, *processes)
    host.backend.edit("second")
    host.run(61.0, *processes)
    assert [process.names for process in processes] == [["second"]] * 4


def test_a_round_says_when_the_next_is_wanted(host: Host) -> None:
    """A leader comes back when the poll is due, at the latest to look at the file."""
    process = host.process(reload_rate_seconds=25.0)
    waits = []
    for _ in range(4):
        waits.append(process.refresher.refresh_once())
        host.clock.now += waits[-1]
    assert waits == pytest.approx([25.0, 25.0, 10.0, 25.0])


def test_jitter_only_shortens_the_interval(host: Host) -> None:
    """No poll comes later than the interval, and none in its first nine tenths.

    But the second of a host, which may come in half an interval: hosts of one deploy
    have asked for the first time together.
    """
    host.run(600.0, host.process(uniform=lambda low, _: low))
    asked = host.backend.asked_at
    gaps = [later - earlier for earlier, later in zip(asked, asked[1:])]
    assert gaps == pytest.approx([30.0] + [54.0] * (len(gaps) - 1), abs=0.1)


def test_a_process_alone_asks_for_itself(host: Host) -> None:
    """Without a folder each process leads itself and keeps the rhythm."""
    process = host.process(alone=True)
    host.run(125.0, process)
    assert len(host.backend.asked_at) == 3
    assert process.refresher.is_leading
    assert process.names == ["first"]
    assert list(host.folder.iterdir()) == []


def test_a_backend_may_ask_to_be_asked_less(host: Host) -> None:
    """The longer of the host's and the backend's intervals counts."""
    host.backend.more = {"refreshRateSeconds": 120}
    host.run(250.0, host.process())
    assert len(host.backend.asked_at) == 3


def test_a_backend_cannot_ask_to_be_asked_more(host: Host) -> None:
    """A shorter interval of the backend does not beat the host's own."""
    host.backend.more = {"refreshRateSeconds": 1}
    host.run(125.0, host.process())
    assert len(host.backend.asked_at) == 3


def test_a_backend_cannot_silence_a_host_for_longer_than_a_day(host: Host) -> None:
    """A mistaken interval of years is one of a day."""
    host.backend.more = {"refreshRateSeconds": 1e9}
    process = host.process(reload_rate_seconds=600.0)
    host.run(25 * 3600.0, process)
    assert len(host.backend.asked_at) == 2


# -- the bundle


def test_what_is_unchanged_is_kept(host: Host) -> None:
    """After a 304 the same bundle is in force, and nothing is published again."""
    process = host.process()
    host.run(125.0, process)
    assert host.backend.etags == ["", '"v1"', '"v1"']
    assert len(process.published) == 1


def test_every_change_raises_the_generation(host: Host) -> None:
    """Later bundles have higher generations, also within one millisecond."""
    process = host.process()
    for number in range(5):
        host.backend.edit(f"guard-{number}")
        host.run(61.0, process)
    generations = [snapshot.generation for snapshot in process.published]
    assert generations == sorted(set(generations))
    assert len(generations) == 5


def test_a_generation_follows_that_on_disk_whatever_the_clock(host: Host) -> None:
    """A host whose clock was ahead still has each bundle take the last one's place."""
    ahead = Snapshot(10**15, '"old"', None, {"old": b"{}"})
    SnapshotStore(host.folder / "bundle-1.json", TOKEN).write(ahead)
    process = host.process()
    process.refresher.refresh_once()
    assert process.names == ["first"]
    assert process.published[-1].generation == 10**15 + 1


def test_the_etag_of_the_body_beats_the_headers(host: Host) -> None:
    """Either place will do, and the body's tag wins."""
    process = host.process(
        fetch=lambda _: BundleAnswer(b'{"guards":[],"etag":"body"}', "header")
    )
    process.refresher.refresh_once()
    assert process.published[0].etag == "body"
    other = host.process(
        alone=True, fetch=lambda _: BundleAnswer(b'{"guards":[]}', "header")
    )
    other.refresher.refresh_once()
    assert other.published[0].etag == "header"


def test_a_tag_that_no_header_holds_is_not_kept(host: Host) -> None:
    """With a tag of any length the bundle is shared, and asked for anew each time."""
    host.backend.etag = '"' + "x" * 100_000 + '"'
    leader, follower = host.process(), host.process()
    host.run(61.0, leader, follower)
    assert host.backend.etags == ["", ""]
    assert follower.names == ["first"]


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b"{}", b'{"guards": 3}'])
def test_a_broken_bundle_changes_nothing(
    host: Host, lines: Callable[[], list[tuple[str, str]]], body: bytes
) -> None:
    """What is no bundle is a failure: the last good one stays, on disk as well."""
    leader, follower = host.process(), host.process()
    host.run(2.0, leader, follower)
    before = (host.folder / "bundle-1.json").read_bytes()
    lines()
    leader.refresher._fetch = lambda _: BundleAnswer(body)
    host.run(300.0, leader, follower)
    assert leader.names == follower.names == ["first"]
    assert (host.folder / "bundle-1.json").read_bytes() == before
    assert [level for level, _ in lines()] == ["WARNING"]


def test_a_bad_guard_is_told_and_spoils_no_other(
    host: Host, lines: Callable[[], list[tuple[str, str]]]
) -> None:
    """The rest of a bundle with a bad guard comes into force."""
    body = b'{"guards":[{"name":"good"},{"nam":"bad"}]}'
    process = host.process(fetch=lambda _: BundleAnswer(body))
    process.refresher.refresh_once()
    assert process.names == ["good"]
    assert "guard number 1 left out" in lines()[-1][1]


def test_nothing_unchanged_is_asked_for_without_end(host: Host) -> None:
    """A 304 where there was nothing to confirm is a failure with its pauses."""
    process = host.process(
        fetch=lambda _: (host.backend(""), BundleAnswer(None, '"v1"'))[1]
    )
    host.run(600.0, process)
    assert process.refresher.snapshot is None
    assert 5 < len(host.backend.asked_at) < 40
    assert process.refresher.last_error is not None


# -- changes of leader


def test_a_new_leader_keeps_the_rhythm(host: Host) -> None:
    """However often the leader dies, no poll is added and none left out."""
    host.run(1.0, host.process())
    for _ in range(25):
        host._processes[-1].end()
        host.run(10.0, host.process())
    gaps = [moment - host.backend.asked_at[0] for moment in host.backend.asked_at]
    assert gaps == pytest.approx([0.0, 60.0, 120.0, 180.0, 240.0], abs=1.1)


def test_a_new_leader_asks_with_the_tag_on_disk(host: Host) -> None:
    """A process that never fetched knows from the snapshot what to ask for."""
    first = host.process()
    host.run(1.0, first)
    first.end()
    host.run(61.0, host.process())
    assert host.backend.etags == ["", '"v1"']


def test_a_new_leader_waits_out_its_predecessors_failure(host: Host) -> None:
    """A host that is told to wait waits, whichever process leads."""
    host.backend.failure = TransportRejected(
        "busy", status_code=429, retry_after_seconds=300.0
    )
    first = host.process()
    host.run(1.0, first)
    first.end()
    second = host.process()
    host.run(290.0, second)
    assert len(host.backend.asked_at) == 1
    host.run(135.0, second)
    assert len(host.backend.asked_at) == 2


def test_a_new_leader_does_not_wait_for_an_older_ones_longer_interval(
    host: Host,
) -> None:
    """After a deployment with a shorter interval that one counts from the last poll."""
    first = host.process(refresh_rate_seconds=3600.0)
    host.run(1.0, first)
    first.end()
    host.run(61.0, host.process(refresh_rate_seconds=60.0))
    assert len(host.backend.asked_at) == 2


def test_a_streak_of_failures_outlives_its_leaders(host: Host) -> None:
    """Each new leader goes on with the pauses where the last one was."""
    host.backend.failure = TransportTimeout("no answer")
    for _ in range(60):
        host.run(10.0, host.process())
        host._processes[-1].end()
    assert len(host.backend.asked_at) < 20


def test_an_answer_that_comes_after_leadership_is_lost_is_dropped(host: Host) -> None:
    """A request left over from before a fork neither publishes nor counts as a poll."""
    process = host.process()
    host.run(1.0, process)
    host.backend.edit("late")
    host.backend.while_asked = process.end
    host.run(61.0, process)
    assert process.names == ["first"]
    host.backend.while_asked = lambda: None
    successor = host.process()
    successor.refresher.refresh_once()
    assert successor.names == ["late"]


def test_a_failure_that_comes_after_leadership_is_lost_is_not_the_hosts(
    host: Host,
) -> None:
    """The new leader's record is not overwritten by the old one's late failure."""
    process, successor = host.process(), host.process()
    host.run(1.0, process)
    host.backend.edit("second")

    def lose_leadership() -> None:
        host.backend.while_asked = lambda: None
        process.end()
        successor.refresher.refresh_once()
        host.backend.failure = TransportTimeout("no answer")

    host.backend.while_asked = lose_leadership
    host.run(60.5, process)
    record = PollLog(host.folder / "polls-1.json", BOOT, clock=host.clock).read()
    assert record is not None
    assert record.failures == 0
    assert successor.names == ["second"]


def test_a_leader_that_was_replaced_while_it_waited_steps_aside(host: Host) -> None:
    """A leader whose lock was taken over while it hung publishes nothing."""
    process = host.process()
    host.run(1.0, process)
    host.backend.edit("late")
    host.backend.while_asked = (host.folder / "leader-1.lock").unlink
    host.clock.now += 60.0
    process.refresher.refresh_once()
    assert process.names == ["first"]
    assert not process.refresher.is_leading


def test_a_second_thread_does_not_wait_for_its_turn(host: Host) -> None:
    """A thread that finds another in its request goes away and comes back later."""
    process = host.process()
    entered, may_leave = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        assert may_leave.wait(10.0)

    host.backend.while_asked = hang
    thread = threading.Thread(target=process.refresher.refresh_once)
    thread.start()
    assert entered.wait(10.0)
    assert process.refresher.refresh_once() == 1.0
    process.refresher.reload()
    may_leave.set()
    thread.join(10.0)
    assert len(host.backend.asked_at) == 1
    assert process.names == ["first"]


# -- failures


def test_failures_are_told_once_and_so_is_their_end(
    host: Host, lines: Callable[[], list[tuple[str, str]]]
) -> None:
    """An hour without backend is one warning, and one line when it is over."""
    process = host.process()
    host.run(1.0, process)
    lines()
    host.backend.failure = TransportTimeout("no answer within 4 s")
    host.run(3600.0, process)
    host.backend.failure = None
    host.run(240.0, process)
    begin, end = lines()
    assert begin[0] == "WARNING"
    assert begin[1].endswith("answering with the last bundle: no answer within 4 s")
    assert end == ("INFO", "liteguard: the backend answers again")
    assert process.refresher.last_error is None


def test_without_a_bundle_the_warning_says_what_checks_answer(
    host: Host, lines: Callable[[], list[tuple[str, str]]]
) -> None:
    """Before the first bundle it is the fallback that is answered."""
    host.backend.failure = TransportTimeout("no answer")
    host.process().refresher.refresh_once()
    assert "answering with the fallback" in lines()[-1][1]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_an_error_and_is_tried_on(
    host: Host, lines: Callable[[], list[tuple[str, str]]], status: int
) -> None:
    """A wrong token is logged at ERROR, slows the polls down and never stops them."""
    host.backend.failure = TransportRejected(
        f"the backend answered {status}: check LITEGUARD_TOKEN", status_code=status
    )
    process = host.process(uniform=lambda low, _: low)
    host.run(3600.0, process)
    errors = [text for level, text in lines() if level == "ERROR"]
    assert len(errors) == 1
    assert "check LITEGUARD_TOKEN" in errors[0]
    assert 30 <= len(host.backend.asked_at) <= 61
    host.backend.failure = None
    host.run(121.0, process)
    assert process.names == ["first"]


def test_quiet_logs_nothing_of_the_backend(
    host: Host, lines: Callable[[], list[tuple[str, str]]]
) -> None:
    """With `quiet` an unreachable backend is not mentioned."""
    host.backend.failure = TransportTimeout("no answer")
    process = host.process(quiet=True)
    host.run(60.0, process)
    host.backend.failure = None
    host.run(240.0, process)
    assert [level for level, _ in lines()] == ["INFO"]
    assert process.names == ["first"]


def test_pauses_grow_and_are_bounded(host: Host) -> None:
    """The longer the backend is away the rarer it is asked, to a bound."""
    host.backend.failure = TransportTimeout("no answer")
    host.run(3600.0, host.process())
    asked = host.backend.asked_at
    gaps = [later - earlier for earlier, later in zip(asked, asked[1:])]
    growing = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 120.0]
    assert gaps[:7] == pytest.approx(growing, abs=0.1)
    assert max(gaps) <= 120.1


@pytest.mark.parametrize("status", [429, 503, 401])
def test_retry_after_is_honoured(host: Host, status: int) -> None:
    """The backend is not asked before the time it named."""
    host.backend.failure = TransportRejected(
        "later", status_code=status, retry_after_seconds=500.0
    )
    process = host.process()
    host.run(499.0, process)
    assert len(host.backend.asked_at) == 1
    host.backend.failure = None
    host.run(122.0, process)
    assert process.names == ["first"]


def test_followers_know_of_the_hosts_failure(host: Host) -> None:
    """What a follower says of itself holds the leader's last error, and its end."""
    leader, follower = host.process(), host.process()
    host.backend.failure = TransportTimeout("no answer")
    host.run(5.0, leader, follower)
    assert follower.refresher.last_error == "no answer"
    host.backend.failure = None
    host.run(240.0, leader, follower)
    assert follower.refresher.last_error is None


def test_an_error_of_the_operating_system_is_a_failure_too(host: Host) -> None:
    """A fetch that cannot even begin is retried like any other."""

    def fail(_: str) -> BundleAnswer:
        raise OSError(24, "Too many open files")

    process = host.process(fetch=fail)
    host.run(10.0, process)
    assert "Too many open files" in str(process.refresher.last_error)


# -- the age of what is in force


def test_the_bundles_age_is_that_of_its_last_confirmation(host: Host) -> None:
    """A 304 makes a bundle as good as new; a failure lets it age."""
    leader, follower = host.process(), host.process()
    assert leader.refresher.bundle_age_seconds() is None
    host.run(50.0, leader, follower)
    assert follower.refresher.bundle_age_seconds() == pytest.approx(50.0)
    host.run(15.0, leader, follower)
    assert follower.refresher.bundle_age_seconds() == pytest.approx(5.0, abs=0.1)
    host.backend.failure = TransportTimeout("no answer")
    host.run(600.0, leader, follower)
    assert follower.refresher.bundle_age_seconds() == pytest.approx(605.0, abs=0.1)


# -- whether there is something to wait for


def test_a_start_waits_for_the_first_bundle(host: Host) -> None:
    """Nothing is settled before the first poll, and all is after it."""
    leader, follower = host.process(), host.process()
    assert not leader.refresher.is_settled
    follower.refresher._lock.park(0.0)  # type: ignore[union-attr]  # it follows
    assert follower.refresher.refresh_once() < 0.1
    leader.refresher.refresh_once()
    follower.refresher.refresh_once()
    assert leader.refresher.is_settled
    assert follower.refresher.is_settled


def test_a_start_does_not_wait_where_the_host_has_failed(host: Host) -> None:
    """While the host waits before it asks again, a new process need not wait."""
    host.backend.failure = TransportTimeout("no answer")
    leader, newcomer = host.process(), host.process()
    leader.refresher.refresh_once()
    newcomer.refresher.refresh_once()
    assert leader.refresher.is_settled
    assert newcomer.refresher.is_settled


def test_a_start_waits_though_the_host_failed_long_ago(host: Host) -> None:
    """A failure of yesterday, with nobody left, says nothing about today."""
    host.backend.failure = TransportTimeout("no answer")
    yesterdays = host.process()
    yesterdays.refresher.refresh_once()
    yesterdays.end()
    host.clock.now += 86_400.0
    host.backend.failure = None
    todays = host.process()
    assert not todays.refresher.is_settled
    todays.refresher.refresh_once()
    assert todays.refresher.is_settled
    assert todays.names == ["first"]


def test_a_start_takes_a_recent_snapshot_without_asking(host: Host) -> None:
    """A snapshot younger than an interval is all that a new process needs."""
    first = host.process()
    host.run(30.0, first)
    first.end()
    second = host.process()
    second.refresher.reload()
    assert second.refresher.is_settled
    second.refresher.refresh_once()
    assert second.names == ["first"]
    assert len(host.backend.asked_at) == 1


def test_a_child_does_not_read_again_what_it_inherited(host: Host) -> None:
    """It is in force from the beginning, and the next change is followed."""
    parent = host.process()
    host.run(1.0, parent)
    child = host.process(inherited=parent.refresher.snapshot)
    child.refresher.reload()
    assert child.published == []
    assert child.refresher.is_settled
    host.backend.edit("second")
    host.run(70.0, parent, child)
    assert [list(each.documents) for each in child.published] == [["second"]]


def test_a_child_with_another_folder_shares_there_what_it_inherited(
    host: Host, tmp_path: Path
) -> None:
    """It writes a snapshot at once, and asks the backend for what has changed."""
    parent = host.process()
    host.run(1.0, parent)
    folder = tmp_path / "of another user"
    folder.mkdir()
    elsewhere = Host(folder)
    elsewhere.backend.etag = host.backend.etag
    child = elsewhere.process(inherited=parent.refresher.snapshot)
    child.refresher.refresh_once()
    follower = elsewhere.process()
    follower.refresher.reload()
    assert follower.names == ["first"]
    assert elsewhere.backend.etags == [host.backend.etag]
    elsewhere.close()


def test_a_start_waits_for_what_replaces_an_old_snapshot(host: Host) -> None:
    """An old snapshot is in force at once, and the newer bundle is waited for."""
    first = host.process()
    host.run(1.0, first)
    first.end()
    host.clock.now += 7200.0
    host.backend.edit("second")
    second = host.process()
    second.refresher.reload()
    assert second.names == ["first"]
    assert not second.refresher.is_settled
    second.refresher.refresh_once()
    assert second.refresher.is_settled
    assert second.names == ["second"]


def test_a_start_takes_an_old_snapshot_where_the_backend_fails(host: Host) -> None:
    """If the poll fails the old snapshot has to do, and nobody waits on."""
    first = host.process()
    host.run(1.0, first)
    first.end()
    host.clock.now += 7200.0
    host.backend.failure = TransportTimeout("no answer")
    second = host.process()
    second.refresher.refresh_once()
    assert second.refresher.is_settled
    assert second.names == ["first"]


# -- the state folder under their feet


def test_a_deleted_snapshot_is_written_again(host: Host) -> None:
    """The leader puts back what it has in force, without asking."""
    leader = host.process()
    host.run(1.0, leader)
    (host.folder / "bundle-1.json").unlink()
    host.run(7.0, leader)
    newcomer = host.process()
    newcomer.refresher.refresh_once()
    assert newcomer.names == ["first"]
    assert len(host.backend.asked_at) == 1


def test_without_a_snapshot_a_new_process_asks_at_once(host: Host) -> None:
    """The rhythm is for those who have a bundle: who has none need not keep it."""
    first = host.process()
    host.run(1.0, first)
    first.end()
    (host.folder / "bundle-1.json").unlink()
    second = host.process()
    second.refresher.refresh_once()
    assert second.names == ["first"]
    assert host.backend.etags == ["", ""]


@pytest.mark.parametrize("data", [b"", b"torn", b'{"format":1}\n{}', b"x" * 100_000])
def test_a_spoilt_snapshot_is_written_again(
    host: Host, lines: Callable[[], list[tuple[str, str]]], data: bytes
) -> None:
    """Damage is told once, changes nobody's answers, and is mended by the leader."""
    leader, follower = host.process(), host.process()
    host.run(7.0, leader, follower)
    lines()
    (host.folder / "new").write_bytes(data)
    (host.folder / "new").rename(host.folder / "bundle-1.json")
    host.run(7.0, leader, follower)
    newcomer = host.process()
    newcomer.refresher.refresh_once()
    assert leader.names == follower.names == newcomer.names == ["first"]
    assert len(host.backend.asked_at) == 1
    told = lines()
    texts = [text for level, text in told if level == "WARNING"]
    assert 1 <= len(texts) <= 2
    assert all("refused the snapshot" in text for text in texts)
    assert ("INFO", "liteguard: the snapshot can be used again") in told


def test_a_mended_snapshot_is_left_alone(host: Host) -> None:
    """Once the file is whole again nobody writes it before the next change."""
    leader = host.process()
    host.run(7.0, leader)
    path = host.folder / "bundle-1.json"
    path.write_bytes(b"torn")
    host.run(7.0, leader)
    mended = path.stat()
    host.run(40.0, leader)
    assert path.stat().st_mtime_ns == mended.st_mtime_ns


def test_an_older_snapshot_is_replaced_by_the_newer(host: Host) -> None:
    """A folder that is rolled back rolls no process back, and is brought forward."""
    leader, follower = host.process(), host.process()
    host.run(1.0, leader, follower)
    old = (host.folder / "bundle-1.json").read_bytes()
    host.backend.edit("second")
    host.run(61.0, leader, follower)
    (host.folder / "new").write_bytes(old)
    (host.folder / "new").rename(host.folder / "bundle-1.json")
    host.run(7.0, leader, follower)
    newcomer = host.process()
    newcomer.refresher.refresh_once()
    assert leader.names == follower.names == newcomer.names == ["second"]


def test_a_follower_with_a_later_bundle_shares_it(host: Host) -> None:
    """Where a new leader's clock is behind, the later bundle comes from who has it."""
    leader, follower = host.process(), host.process()
    host.run(1.0, leader, follower)
    behind = Snapshot(1, '"old"', None, {"old": b'{"name":"old"}'})
    leader.end()
    SnapshotStore(host.folder / "bundle-1.json", TOKEN).write(behind)
    successor = host.process()
    host.run(1.5, successor, follower)
    assert successor.refresher.is_leading
    host.run(10.0, successor, follower)
    assert successor.names == follower.names == ["first"]


def test_a_snapshot_damaged_in_place_is_fetched_anew(host: Host) -> None:
    """What can be read from nowhere else is asked for without a tag."""
    leader, follower = host.process(), host.process()
    host.run(1.0, leader, follower)
    path = host.folder / "bundle-1.json"
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 5)
        file.write(b"?")
    host.run(15.0, leader, follower)
    assert host.backend.etags == ["", ""]
    for process in (leader, follower):
        snapshot = process.refresher.snapshot
        assert snapshot is not None
        assert b"first" in snapshot.documents["first"]


def test_a_disk_that_is_full_holds_up_no_poll_and_brings_none(
    host: Host, lines: Callable[[], list[tuple[str, str]]]
) -> None:
    """The leader goes on alone in its rhythm, and tells so once."""
    leader = host.process()
    host.run(1.0, leader)
    lines()

    def run_on_a_full_disk() -> list[Any]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        own = host.process()
        host.backend.edit("second")
        host.run(600.0, own)
        warnings = [text for level, text in lines() if level == "WARNING"]
        return [own.names, len(host.backend.asked_at), warnings]

    leader.end()
    names, polls, warnings = in_child(run_on_a_full_disk)
    assert names == ["second"]
    assert 10 <= polls <= 12
    assert len(warnings) == 1
    assert "cannot write the snapshot (File too large)" in warnings[0]


def test_what_could_not_be_written_is_written_when_there_is_room(host: Host) -> None:
    """Followers get the bundle once the disk has room again, without a change."""

    def fill_and_free_the_disk() -> list[Any]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        leader, follower = host.process(), host.process()
        host.run(1.0, leader, follower)
        host.backend.edit("second")
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
        host.run(61.0, leader, follower)
        meanwhile = [leader.names, follower.names]
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        host.run(10.0, leader, follower)
        return [*meanwhile, follower.names, len(host.backend.asked_at)]

    assert in_child(fill_and_free_the_disk) == [["second"], ["first"], ["second"], 2]


def test_a_large_snapshot_is_not_tried_at_every_look(host: Host) -> None:
    """On a full disk the leader tries again at intervals, not in every round."""
    leader = host.process()
    host.run(1.0, leader)
    tries = []
    store = leader.refresher._bundle._store
    assert store is not None

    def fail(snapshot: Snapshot) -> None:
        assert snapshot.documents
        tries.append(host.clock.now)
        raise OSError(28, "No space left on device")

    store.write = fail  # type: ignore[method-assign]  # counted, as a full disk fails
    (host.folder / "bundle-1.json").unlink()
    host.run(50.0, leader)
    assert 5 <= len(tries) <= 11


@pytest.mark.parametrize("as_file", [False, True])
def test_a_folder_that_is_gone_is_told_and_noticed(
    host: Host, lines: Callable[[], list[tuple[str, str]]], *, as_file: bool
) -> None:
    """Without its folder a process says so once, and answers as before."""
    process = host.process()
    host.run(1.0, process)
    lines()
    shutil.rmtree(host.folder)
    if as_file:
        host.folder.touch()
    host.run(30.0, process)
    assert process.names == ["first"]
    assert not process.refresher.is_leading
    assert process.refresher.has_lost_folder
    (line,) = lines()
    assert line[0] == "WARNING"
    assert "cannot lock the state folder" in line[1]


def test_a_folder_that_comes_back_is_used_again(
    host: Host, lines: Callable[[], list[tuple[str, str]]]
) -> None:
    """Leadership, snapshot and rhythm are there again with the folder."""
    process = host.process()
    host.run(1.0, process)
    shutil.rmtree(host.folder)
    host.run(5.0, process)
    host.folder.mkdir(0o700)
    lines()
    host.run(10.0, process)
    newcomer = host.process()
    newcomer.refresher.refresh_once()
    assert newcomer.names == ["first"]
    assert not process.refresher.has_lost_folder
    assert ("INFO", "liteguard: the state folder can be locked again") in lines()
    assert len(host.backend.asked_at) == 1


def test_want_of_descriptors_is_no_lost_folder(host: Host) -> None:
    """What passes by itself is not taken for a folder that is gone."""

    def run_without_descriptors() -> list[bool]:
        process = host.process()
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, most))
        process.refresher.refresh_once()
        return [process.refresher.is_leading, process.refresher.has_lost_folder]

    assert in_child(run_without_descriptors) == [False, False]


def test_a_clock_that_went_back_silences_nobody(host: Host) -> None:
    """After a restored machine the host is asked at once, not when time catches up."""
    process = host.process()
    host.run(100.0, process)
    host.clock.now -= 3000.0
    polls = len(host.backend.asked_at)
    host.run(61.0, process)
    assert len(host.backend.asked_at) == polls + 2


def test_another_boots_rhythm_is_not_kept(host: Host) -> None:
    """After a boot the snapshot is in force at once, and asked about at once."""
    first = host.process()
    host.run(1.0, first)
    first.end()
    polls = PollLog(host.folder / "polls-1.json", "boot-2", clock=host.clock)
    second = host.process(polls=polls, boot_id="boot-2")
    second.refresher.refresh_once()
    assert second.names == ["first"]
    assert host.backend.etags == ["", '"v1"']


def test_a_leader_says_that_it_leads(
    host: Host, lines: Callable[[], list[tuple[str, str]]]
) -> None:
    """The election is one line in the log, not one per round."""
    host.run(100.0, host.process(), host.process())
    assert lines() == [("INFO", "liteguard: this process leads its host")]


def test_an_error_is_known_by_its_text_alone(host: Host) -> None:
    """Any error of the package's own is a failed poll."""
    host.backend.failure = TransportError("cannot reach the backend")
    process = host.process()
    process.refresher.refresh_once()
    assert process.refresher.last_error == "cannot reach the backend"
    assert (host.folder / "polls-1.json").exists()
