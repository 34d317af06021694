"""Delivering signals and observations: in batches, once, and through every trouble."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Optional

import pytest

from journals import (
    claimed_by,
    ended_process,
    fill,
    happening,
    in_threads,
    left_behind,
    new_file,
    new_journal,
    new_recorder,
    other_process,
    site_in,
    store,
)
from liteguard.process.identity import current_identity
from liteguard.telemetry.adoption import Adopter
from liteguard.telemetry.flush import Flusher
from liteguard.telemetry.unadopted import UnadoptedCounts
from liteguard.transport import Transport
from recording import RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from liteguard.process.identity import ProcessIdentity

FLUSH_RATE_SECONDS = 60.0
TIMEOUT_SECONDS = 10.0


class Bench:
    """A recorder and a flusher of this process, before a server that records.

    Args:
        server: Where to send.
        folder: Where journals lie; ``None`` keeps them in memory.
        timeout_seconds: For one request.
        is_leading: Whether it delivers for others.
        owner: Which process this is.
        recorder: See `new_recorder`.
    """

    def __init__(
        self,
        server: RecordingServer,
        folder: Optional[Path] = None,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        is_leading: bool = True,
        owner: Optional[ProcessIdentity] = None,
        **recorder: Any,
    ) -> None:
        self.server = server
        self.transport = Transport(
            backend_url=server.url,
            token="pct-flush",  # noqa: S106  a test's own
            environment="",
            process_id="process",
            pid=1,
            timeout_seconds=timeout_seconds,
        )
        identity = owner or current_identity()
        self.recorder = new_recorder(folder, owner=identity, **recorder)
        self.unadopted = UnadoptedCounts()
        self.adopter = None if folder is None else Adopter(folder, identity)
        self.flusher = Flusher(
            transport=self.transport,
            recorder=self.recorder,
            unadopted=self.unadopted,
            adopter=self.adopter,
            is_leading=lambda: is_leading,
            flush_rate_seconds=FLUSH_RATE_SECONDS,
            quiet=False,
        )

    def check(self, count: int) -> None:
        """Record checks."""
        for _ in range(count):
            self.recorder.record(happening())

    def flush_now(self, seconds: float = TIMEOUT_SECONDS) -> bool:
        """Flush as a caller does, who does not wait for a backoff."""
        return self.flusher.flush_until(time.monotonic() + seconds)


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend that records."""
    with RecordingServer() as running:
        yield running


@pytest.fixture
def bench(server: RecordingServer, tmp_path: Path) -> Iterator[Bench]:
    """Return a recorder and a flusher with journals on disk."""
    made = Bench(server, tmp_path)
    yield made
    made.transport.close()


@pytest.fixture
def benches(server: RecordingServer) -> Iterator[Callable[..., Bench]]:
    """Return a maker of benches."""
    made: list[Bench] = []

    def make(folder: Optional[Path] = None, **more: Any) -> Bench:
        made.append(Bench(server, folder, **more))
        return made[-1]

    yield make
    for one in made:
        one.transport.close()


def sizes(server: RecordingServer) -> list[int]:
    """Return how many signals each accepted batch had."""
    return [len(batch) for batch in server.batches()]


# -- what is sent


@pytest.mark.parametrize(
    ("made", "batches"), [(0, []), (1, [1]), (500, [500]), (501, [500, 1])]
)
def test_flush_sends_everything_in_batches(
    bench: Bench, made: int, batches: list[int]
) -> None:
    """No body holds more than 500 signals, and no request is empty."""
    bench.check(made)
    assert is_regular(bench.flusher.flush_once())
    assert sizes(bench.server) == batches
    assert bench.flusher.sent == made


def is_regular(pause: float) -> bool:
    """Whether *pause* is the flush interval, less a tenth at most."""
    return 0.9 * FLUSH_RATE_SECONDS <= pause <= FLUSH_RATE_SECONDS


def test_processes_that_began_together_do_not_flush_together(bench: Bench) -> None:
    """The first flush comes at any time in half an interval; later ones drift apart."""
    firsts = [bench.flusher.first_pause() for _ in range(200)]
    assert 30.0 <= min(firsts) < 35.0
    assert 55.0 < max(firsts) <= FLUSH_RATE_SECONDS
    pauses = [bench.flusher.flush_once() for _ in range(200)]
    assert all(map(is_regular, pauses))
    assert max(pauses) - min(pauses) > 3.0


def test_delivered_signals_are_not_sent_again(bench: Bench) -> None:
    """The next flush sends only what came since."""
    bench.check(3)
    bench.flusher.flush_once()
    bench.check(2)
    bench.flusher.flush_once()
    bench.flusher.flush_once()
    assert sizes(bench.server) == [3, 2]
    assert len(set(bench.server.ids())) == 5


def test_signals_are_sent_in_the_order_of_the_checks(bench: Bench) -> None:
    """Ids of one journal ascend over all batches."""
    bench.check(1200)
    assert bench.flush_now()
    ids = bench.server.ids()
    numbers = [int(one.rpartition("-")[2], 16) for one in ids]
    assert numbers == list(range(1, 1201))


def test_sealed_journals_are_sent_and_deleted(bench: Bench, tmp_path: Path) -> None:
    """What was recorded before a fork is delivered by the parent as well as after."""
    for _ in range(3):
        bench.check(2)
        bench.recorder.journals.seal()
    bench.check(1)
    assert bench.flush_now()
    assert len(set(bench.server.ids())) == 7
    assert list(tmp_path.iterdir()) == [bench.recorder.journals.files()[0].path]


def test_journals_in_memory_are_sent(benches: Callable[..., Bench]) -> None:
    """A process without a state folder delivers what it sealed, too."""
    bench = benches(None)
    bench.check(2)
    bench.recorder.journals.seal()
    bench.check(1)
    assert bench.flush_now()
    assert len(set(bench.server.ids())) == 3
    bench.recorder.journals.seal()
    assert bench.flush_now()
    assert bench.recorder.journals.files() == []


def test_journal_in_memory_for_want_of_a_disk_is_sent(
    benches: Callable[..., Bench], tmp_path: Path
) -> None:
    """The folder vanished, so the journal is memory, though there is an adopter."""
    bench = benches(tmp_path / "gone")
    bench.check(2)
    bench.recorder.journals.seal()
    assert bench.flush_now()
    assert len(bench.server.ids()) == 2
    assert bench.recorder.journals.files() == []


def test_leader_sends_what_the_dead_left(bench: Bench, tmp_path: Path) -> None:
    """A journal of a process that was killed is delivered and then deleted."""
    file = left_behind(tmp_path, 1001)
    assert bench.flush_now()
    assert sizes(bench.server) == [500, 500, 1]
    assert set(bench.server.ids()) == {
        f"{file.owner.nonce}-{number:x}" for number in range(1, 1002)
    }
    assert list(tmp_path.iterdir()) == []


def test_follower_leaves_the_dead_to_the_leader(
    benches: Callable[..., Bench], tmp_path: Path
) -> None:
    """One process of a host adopts; the others send their own."""
    bench = benches(tmp_path, is_leading=False)
    left_behind(tmp_path, 1)
    bench.check(1)
    bench.recorder.journals.seal()
    bench.check(1)
    assert bench.flush_now()
    assert len(bench.server.ids()) == 2
    assert len(list(tmp_path.glob("*.journal"))) == 2


def test_flush_thread_rests_while_there_is_more(benches: Callable[..., Bench]) -> None:
    """A flood of checks does not take the processor from the application."""
    bench = benches(None, capacity=50_000)
    bench.check(50_000)
    rest = bench.flusher.flush_once()
    sent = bench.flusher.sent
    assert 0.0 < rest < FLUSH_RATE_SECONDS
    assert 0 < sent < 50_000
    # Woken by further checks, it goes on resting.
    assert 0.0 < bench.flusher.flush_once() <= rest
    assert bench.flusher.sent == sent
    assert bench.flush_now()
    assert bench.flusher.sent == 50_000


# -- what is dropped


def test_overflow_is_reported_once(benches: Callable[..., Bench]) -> None:
    """The first signal after a loss says how many were lost, and no other does."""
    bench = benches(None, capacity=10)
    bench.check(25)
    bench.flusher.flush_once()
    bench.check(1)
    bench.flusher.flush_once()
    reports = [s["droppedSignalsSinceLast"] for s in bench.server.signals()]
    assert reports == [15] + [0] * 10
    assert (bench.flusher.sent, bench.flusher.dropped) == (11, 15)


def test_overflow_is_reported_once_though_the_first_send_fails(
    benches: Callable[..., Bench],
) -> None:
    """A report that did not arrive is made again, with what was lost since."""
    bench = benches(None, capacity=10)
    bench.check(15)
    bench.server.answer(503)
    assert not bench.flush_now()
    bench.check(5)
    assert bench.flush_now()
    assert bench.server.dropped() == 10
    assert len(bench.server.ids()) == 10


def test_journals_that_a_leader_drops_are_reported(
    bench: Bench, tmp_path: Path
) -> None:
    """Those that are too many, and those that are too old."""
    for _ in range(203):
        left_behind(tmp_path, 2, capacity=2, text_bytes=200)
    old = new_file(tmp_path, owner=ended_process())
    store(old, 1, site=8, seconds=time.time() - 8 * 86400)
    bench.server.answer(503)
    assert not bench.flush_now()
    bench.check(1)
    assert bench.flush_now()
    bench.check(1)
    assert bench.flush_now()
    assert len(set(bench.server.ids())) + bench.server.dropped() == 203 * 2 + 1 + 2
    assert bench.server.dropped() >= 6


def test_nothing_is_dropped_while_the_backend_takes_it(
    bench: Bench, tmp_path: Path
) -> None:
    """However many journals were left, and however many of them hold nothing."""
    for _ in range(220):
        done = left_behind(tmp_path, 1, capacity=2, text_bytes=200)
        done.acknowledge(1)
    for _ in range(3):
        left_behind(tmp_path, 1, capacity=2, text_bytes=200)
    assert bench.flush_now()
    assert len(bench.server.ids()) == 3
    assert bench.server.dropped() == 0
    assert list(tmp_path.iterdir()) == []


def test_losses_ride_on_adopted_signals(bench: Bench, tmp_path: Path) -> None:
    """A leader that makes no check of its own reports what it has lost all the same."""
    bench.recorder.journals.count_lost(5)
    left_behind(tmp_path, 2)
    bench.server.answer(503)
    assert not bench.flush_now()
    assert bench.flush_now()
    assert bench.server.dropped() == 5
    assert len(bench.server.ids()) == 2


def test_losses_that_nothing_rode_on_are_left_to_the_next_leader(
    benches: Callable[..., Bench], tmp_path: Path
) -> None:
    """They lie in a journal without a record when the process has ended."""
    first, second = benches(tmp_path), benches(tmp_path, owner=other_process())
    first.recorder.journals.count_lost(5)
    first.recorder.journals.keep_lost()
    second.check(1)
    assert second.flush_now()
    second.check(1)
    assert second.flush_now()
    assert second.server.dropped() == 5
    assert first.recorder.journals.take_lost() == 0


def test_follower_bounds_its_journals_while_the_backend_is_down(
    benches: Callable[..., Bench], tmp_path: Path
) -> None:
    """What it has claimed and could not deliver is its recorder's to let go again."""
    bench = benches(tmp_path, capacity=20, is_leading=False)
    bench.server.answer(*[503] * 100)
    for number in range(300):
        bench.check(1)
        bench.recorder.journals.seal()
        if number % 20 == 0:
            assert not bench.flush_now()
    assert len(list(tmp_path.iterdir())) < 60
    bench.server.accept_again()
    assert bench.flush_now()
    bench.check(1)
    assert bench.flush_now()
    assert len(set(bench.server.ids())) + bench.server.dropped() == 301


def test_losses_that_a_journal_in_memory_still_had_to_report_are_reported(
    benches: Callable[..., Bench],
) -> None:
    """It was delivered, and then counted what another had dropped."""
    bench = benches(None)
    bench.check(1)
    bench.flusher.flush_once()
    bench.recorder.journals.count_lost(4)
    bench.recorder.journals.seal()
    bench.flusher.flush_once()
    bench.check(1)
    assert bench.flush_now()
    assert bench.server.dropped() == 4


def test_loss_between_batches_is_reported_on_the_next(
    benches: Callable[..., Bench],
) -> None:
    """Checks made + delivered + dropped agree over any number of flushes."""
    bench = benches(None, capacity=8)
    for count in (3, 20, 1, 8, 9, 40):
        bench.check(count)
        bench.flusher.flush_once()
    assert len(set(bench.server.ids())) + bench.server.dropped() == 81


def test_damaged_record_is_counted_and_takes_no_other_with_it(
    bench: Bench, tmp_path: Path
) -> None:
    """References that lead outside, or to a text of another kind, lose one record."""
    file = new_file(tmp_path)
    journal = new_journal(file)
    fill(journal, 2)
    site = site_in(journal)
    name = journal.write_text("name", b"no JSON")
    document = journal.write_text("document", b'{"plan": "pro"}')
    store(file, 3, site=2**31)
    store(file, 4, site=site, properties=name)
    store(file, 5, site=site, properties=7)
    store(file, 6, site=document)
    store(file, 7, site=site, readings=name)
    store(file, 8, site=site_in(journal, kind="guard_execution"), readings=document)
    store(file, 9, site=site, limits=name)
    store(file, 10, site=site, properties=document)
    store(file, 11, site=site, seconds=math.nan)
    store(file, 12, site=site, seconds=1e300)
    file.seal(12)
    bench.flusher.flush_once()
    assert bench.flush_now()
    assert [s["signalId"].rpartition("-")[2] for s in bench.server.signals()] == [
        "1",
        "2",
        "8",
        "a",
    ]
    bench.check(1)
    assert bench.flush_now()
    assert bench.server.dropped() == 8


def test_hole_of_a_dead_process_is_not_waited_for(bench: Bench, tmp_path: Path) -> None:
    """Nobody will ever write the record whose number a killed thread had drawn."""
    for _ in range(2):
        file = left_behind(tmp_path, 2)
        store(file, 4, site=8)
    bench.flusher.flush_once()
    assert len(bench.server.ids()) == 6
    assert bench.server.dropped() == 2
    assert list(tmp_path.iterdir()) == []


def test_holes_of_the_living_are_waited_for_once(bench: Bench, tmp_path: Path) -> None:
    """A thread gets until the next flush; several journals with holes do not jam."""
    for _ in range(3):
        file = new_file(tmp_path)
        journal = new_journal(file)
        fill(journal, 1)
        store(file, 3, site=site_in(journal))
        file.seal(3)
    bench.flusher.flush_once()
    assert len(bench.server.ids()) == 3
    bench.flusher.flush_once()
    bench.flusher.flush_once()
    assert len(bench.server.ids()) == 6
    assert bench.server.dropped() == 3
    assert list(tmp_path.iterdir()) == []


def test_what_follows_a_record_that_is_late_is_sent_before_the_deadline(
    bench: Bench, tmp_path: Path
) -> None:
    """Whoever shuts down waits for the one thread, and then sends all the rest."""
    file = new_file(tmp_path)
    journal = new_journal(file)
    fill(journal, 3)
    for number in range(5, 700):
        store(file, number, site=site_in(journal))
    file.seal(699)
    late = threading.Timer(0.01, store, (file, 4), {"site": site_in(journal)})
    late.start()
    assert bench.flush_now()
    late.join()
    assert len(set(bench.server.ids())) + bench.server.dropped() == 699
    assert len(bench.server.ids()) >= 698
    assert list(tmp_path.iterdir()) == []


def test_record_that_is_late_is_sent(bench: Bench, tmp_path: Path) -> None:
    """Until a sealed journal is complete it is not deleted."""
    file = new_file(tmp_path)
    journal = new_journal(file)
    fill(journal, 1)
    file.seal(2)
    bench.flusher.flush_once()
    store(file, 2, site=site_in(journal))
    bench.flusher.flush_once()
    assert len(bench.server.ids()) == 2
    assert bench.server.dropped() == 0
    assert list(tmp_path.iterdir()) == []


# -- trouble


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 503])
def test_failed_batch_comes_again_with_the_same_ids(bench: Bench, status: int) -> None:
    """Nothing is lost by a failure, and the backend can tell what it has."""
    bench.check(700)
    bench.server.answer(200, status)
    assert not bench.flush_now()
    assert bench.recorder.buffered == 200
    assert bench.flush_now()
    (failed,) = bench.server.batches(accepted=False)
    assert [s["signalId"] for s in failed] == bench.server.ids()[500:]
    assert len(set(bench.server.ids())) == len(bench.server.ids()) == 700


def test_failure_of_an_adopted_journal_keeps_it(bench: Bench, tmp_path: Path) -> None:
    """It stays claimed, and is delivered by a later flush of the same process."""
    left_behind(tmp_path, 3)
    bench.server.answer(503)
    assert not bench.flush_now()
    assert bench.flush_now()
    assert len(bench.server.ids()) == 3


def test_flush_thread_waits_after_a_failure_however_often_it_is_woken(
    bench: Bench,
) -> None:
    """A backend that asks to be left alone for an hour is, while checks go on."""
    bench.check(1)
    bench.server.answer(429, Retry_After="3600")
    for _ in range(10):
        assert bench.flusher.flush_once() == FLUSH_RATE_SECONDS
        bench.check(1)
    assert len(bench.server.requests) == 1


def test_waiting_ends_with_a_success(bench: Bench) -> None:
    """A caller's flush may try earlier; if it succeeds, the thread goes on as usual."""
    bench.check(1)
    bench.server.answer(503, Retry_After="3600")
    bench.flusher.flush_once()
    assert bench.flush_now()
    bench.check(1)
    assert is_regular(bench.flusher.flush_once())
    assert len(bench.server.ids()) == 2


def test_waits_grow_while_the_backend_fails(
    benches: Callable[..., Bench],
) -> None:
    """No wait is longer than a minute or the flush interval, and all are waits."""
    bench = benches(None)
    bench.check(1)
    bench.server.answer(*[503] * 20)
    for _ in range(20):
        assert not bench.flush_now()
        assert 0.0 < bench.flusher.flush_once() <= FLUSH_RATE_SECONDS
    assert bench.flush_now()


def test_trouble_is_logged_once_when_it_begins_and_once_when_it_ends(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """However many flushes fail in between."""
    caplog.set_level(logging.INFO, logger="liteguard")
    bench.check(1)
    bench.server.answer(503, 503, 503)
    for _ in range(4):
        bench.flush_now()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "they are kept" in caplog.messages[0]


@pytest.mark.parametrize("status", [401, 403])
def test_refused_token_is_an_error_in_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """It needs a person, and the token itself is not in the log."""
    bench.check(1)
    bench.server.answer(status)
    bench.flush_now()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "pct-flush" not in caplog.text
    assert bench.flusher.last_error is not None


def test_answer_that_does_not_come_keeps_everything(
    server: RecordingServer, benches: Callable[..., Bench]
) -> None:
    """The batch may have arrived: it comes again, and the backend knows its ids."""
    bench = benches(None, timeout_seconds=0.2)
    bench.check(2)
    server.may_answer.clear()
    assert not bench.flush_now()
    assert bench.recorder.buffered == 2
    server.may_answer.set()
    until(bench.flush_now)
    assert len(set(server.ids())) == 2


def test_backend_that_is_not_there_keeps_everything(
    benches: Callable[..., Bench],
) -> None:
    """A refused connection is a failure like any other."""
    bench = benches(None)
    bench.check(2)
    bench.server.close()
    assert not bench.flush_now()
    assert bench.recorder.buffered == 2


# -- what a backend never takes


@pytest.mark.parametrize("poison", [0, 1, 250, 499])
def test_one_signal_that_is_never_taken_does_not_block_the_rest(
    bench: Bench, poison: int
) -> None:
    """The batch is halved until that one is alone, dropped and counted."""
    bench.check(500)
    nonce = bench.recorder.journals.files()[0].owner.nonce
    bench.server.poisonous = {f"{nonce}-{poison + 1:x}"}
    for _ in range(3):
        bench.flush_now()
    bench.check(1)
    assert bench.flush_now()
    assert len(set(bench.server.ids())) == len(bench.server.ids()) == 500
    assert bench.server.dropped() == 1
    assert len(bench.server.requests) < 50


def test_batches_that_are_too_large_are_made_smaller(bench: Bench) -> None:
    """A proxy with a bound of its own gets what it can take, and nothing is lost."""
    bench.server.largest = 40
    bench.check(300)
    assert bench.flush_now()
    assert len(set(bench.server.ids())) == len(bench.server.ids()) == 300
    assert bench.server.dropped() == 0


def test_batches_grow_again(bench: Bench) -> None:
    """One refusal does not make every later batch small."""
    bench.server.largest = 1
    bench.check(2)
    assert bench.flush_now()
    bench.server.largest = 500
    bench.check(1500)
    assert bench.flush_now()
    assert max(sizes(bench.server)) == 500


def test_backend_that_takes_nothing_costs_one_signal_for_each_asking(
    bench: Bench,
) -> None:
    """A wrong address that answers 400 to everything empties no journal."""
    bench.check(100)
    bench.server.answer(*[400] * 100)
    assert not bench.flush_now()
    assert bench.recorder.buffered == 99
    assert not bench.server.is_obeyed


def test_poisonous_journal_of_the_dead_does_not_block_others(
    bench: Bench, tmp_path: Path
) -> None:
    """Each refusal costs one signal and one flush, then the next journals come."""
    files = [left_behind(tmp_path, 2) for _ in range(3)]
    bench.server.poisonous = {f"{file.owner.nonce}-1" for file in files}
    for _ in range(4):
        bench.flush_now()
    assert set(bench.server.ids()) == {f"{file.owner.nonce}-2" for file in files}
    assert list(tmp_path.iterdir()) == []


# -- deadlines and turns


def test_flush_before_its_deadline_says_whether_all_was_delivered(bench: Bench) -> None:
    """A deadline that has passed sends nothing and promises nothing."""
    bench.check(1)
    assert not bench.flusher.flush_until(time.monotonic())
    assert bench.server.requests == []
    assert bench.flush_now()
    assert bench.flush_now()


def test_flush_that_runs_out_of_time_does_not_claim_to_be_complete(
    server: RecordingServer, benches: Callable[..., Bench], tmp_path: Path
) -> None:
    """Sealed journals that it took for itself count as undelivered until they are."""
    bench = benches(tmp_path)
    bench.check(700)
    bench.recorder.journals.seal()
    assert not bench.flusher.flush_until(time.monotonic())
    assert bench.recorder.buffered == 700
    assert bench.flush_now()
    assert len(server.ids()) == 700


def test_deadline_ends_a_request_that_hangs(
    server: RecordingServer, benches: Callable[..., Bench]
) -> None:
    """A backend that does not answer costs a caller no more than was allowed."""
    bench = benches(None, timeout_seconds=60.0)
    bench.check(1)
    bench.unadopted.count("not.there", 1.0)
    server.may_answer.clear()
    assert not bench.flush_now(0.2)
    assert not server.may_answer.is_set()
    server.may_answer.set()
    assert bench.recorder.buffered == 1
    assert len(bench.unadopted.take()) == 1


def test_successor_sends_what_the_earlier_could_keep_in_memory_only(
    benches: Callable[..., Bench], tmp_path: Path
) -> None:
    """The user changed, so the client goes on in another folder and loses nothing."""
    latest = benches(tmp_path)
    for _ in range(2):
        earlier, latest = latest, benches(tmp_path / "gone", capacity=2)
        latest.check(3)
        latest.flusher.succeed(earlier.flusher)
    last = benches(tmp_path)
    last.flusher.succeed(latest.flusher)
    last.check(1)
    assert last.flush_now()
    signals = [signal for batch in last.server.batches() for signal in batch]
    assert len({signal["signalId"] for signal in signals}) == len(signals) == 5
    assert sum(signal["droppedSignalsSinceLast"] for signal in signals) == 2


def test_successor_waits_for_the_answer_to_the_earlier(
    benches: Callable[..., Bench],
) -> None:
    """What is on its way when the client goes on elsewhere is not sent by both."""
    earlier, later = benches(), benches()
    earlier.check(3)
    later.flusher.succeed(earlier.flusher)
    earlier.server.may_answer.clear()
    sending = threading.Thread(target=earlier.flusher.flush_once)
    sending.start()
    assert earlier.server.asked.wait(TIMEOUT_SECONDS)
    assert not later.flush_now()
    earlier.server.may_answer.set()
    sending.join()
    earlier.check(2)
    assert later.flush_now()
    assert not earlier.flusher.flush_until(time.monotonic())
    assert len(later.server.ids()) == 5


def test_two_threads_take_turns(bench: Bench) -> None:
    """While one thread is sending, another sends nothing and does not wait for ever."""
    bench.check(3)
    bench.server.may_answer.clear()
    first = threading.Thread(target=bench.flusher.flush_once)
    first.start()
    assert bench.server.asked.wait(TIMEOUT_SECONDS)
    assert bench.flusher.flush_once() < FLUSH_RATE_SECONDS
    assert not bench.flusher.flush_until(time.monotonic() + 0.05)
    bench.server.may_answer.set()
    first.join()
    assert bench.flush_now()
    assert len(bench.server.ids()) == 3


def test_threads_that_flush_and_check_at_once_deliver_each_signal_once(
    bench: Bench, tmp_path: Path
) -> None:
    """Neither checks nor seals nor flushes of other threads lose or repeat one."""

    def work(number: int) -> None:
        for step in range(100):
            bench.check(3)
            if step % 10 == number:
                bench.recorder.journals.seal()
            if step % 5 == 0:
                bench.flusher.flush_until(time.monotonic() + TIMEOUT_SECONDS)

    in_threads(4, work)
    bench.recorder.journals.seal()
    for _ in range(3):
        bench.flush_now()
    assert len(bench.server.ids()) == len(set(bench.server.ids()))
    assert len(bench.server.ids()) + bench.server.dropped() == 1200
    assert bench.recorder.journals.files() == []
    assert list(tmp_path.iterdir()) == []


def test_journal_that_is_sealed_during_a_batch_is_claimed_before_the_next(
    benches: Callable[..., Bench], tmp_path: Path
) -> None:
    """From the seal on the leader may take it, so its owner has to ask as well."""
    bench = benches(tmp_path, is_leading=False)
    bench.check(1100)
    bench.server.may_answer.clear()
    flush = threading.Thread(target=bench.flusher.flush_once)
    flush.start()
    assert bench.server.asked.wait(TIMEOUT_SECONDS)
    bench.recorder.journals.seal()
    bench.server.may_answer.set()
    flush.join()
    assert sizes(bench.server) == [500]
    assert bench.flush_now()
    assert len(set(bench.server.ids())) == len(bench.server.ids()) == 1100


def test_sealed_journal_whose_file_was_deleted_is_delivered_from_memory(
    bench: Bench, tmp_path: Path
) -> None:
    """Nobody else can, and the recorder would wait for it for ever."""
    bench.check(3)
    bench.recorder.journals.seal()
    for path in tmp_path.iterdir():
        path.unlink()
    bench.check(2)
    assert bench.flush_now()
    assert len(bench.server.ids()) == 5


def test_owner_and_leader_deliver_a_sealed_journal_once(
    server: RecordingServer, benches: Callable[..., Bench], tmp_path: Path
) -> None:
    """Owner and leader race for every journal that the owner seals."""
    owner = benches(tmp_path, is_leading=False)
    leader = benches(tmp_path, owner=other_process())
    done = threading.Event()

    def lead() -> None:
        while not done.is_set():
            leader.flush_now()

    thread = threading.Thread(target=lead)
    thread.start()
    for _ in range(30):
        owner.check(2)
        owner.recorder.journals.seal()
        owner.flush_now()
    done.set()
    thread.join()
    leader.flush_now()
    assert len(server.ids()) == len(set(server.ids())) == 60


# -- observations


def test_observations_are_sent_after_the_signals(bench: Bench) -> None:
    """They repeat each flush while there are checks, and are left out otherwise."""
    bench.unadopted.count("not.there", 5.0)
    bench.check(1)
    assert bench.flush_now()
    assert bench.flush_now()
    assert [r.path for r in bench.server.requests] == [
        "/api/v1/signals",
        "/api/v1/unadopted-guards",
    ]
    (request,) = bench.server.to("unadopted-guards")
    assert request.document["observations"][0]["guardName"] == "not.there"


@pytest.mark.parametrize("status", [401, 429, 500])
def test_observations_are_kept_after_a_failure(bench: Bench, status: int) -> None:
    """What could not be delivered is added to what comes later."""
    bench.unadopted.count("not.there", 5.0)
    bench.server.answer(status)
    assert not bench.flush_now()
    bench.unadopted.count("not.there", 6.0)
    assert bench.flush_now()
    delivered = bench.server.to("unadopted-guards")[-1].document["observations"]
    assert [entry["checkCount"] for entry in delivered] == [2]


def test_observations_that_are_never_taken_are_not_sent_for_ever(bench: Bench) -> None:
    """A refusal costs those observations, and later ones arrive."""
    bench.server.poisonous = {"bad"}
    bench.unadopted.count("bad", 5.0)
    assert not bench.flush_now()
    bench.unadopted.count("good", 6.0)
    assert bench.flush_now()


def test_signals_are_delivered_though_observations_fail(bench: Bench) -> None:
    """Their failure is no failure of the signals before them."""
    bench.check(2)
    bench.unadopted.count("not.there", 5.0)
    bench.server.answer(200, 500)
    assert not bench.flush_now()
    assert bench.recorder.buffered == 0
    assert bench.flush_now()
    assert len(bench.server.ids()) == 2


def test_name_that_json_cannot_carry_does_not_stop_a_flush(bench: Bench) -> None:
    """A guard's name is data, and data makes nothing raise."""
    bench.unadopted.count("\ud800", 5.0)
    bench.check(1)
    assert bench.flush_now()
    assert len(bench.server.to("unadopted-guards")) == 1


# -- ending


def test_release_leaves_undelivered_claims_to_others(
    server: RecordingServer, benches: Callable[..., Bench], tmp_path: Path
) -> None:
    """What a leader claimed and could not deliver is there for the next one."""
    first = benches(tmp_path)
    left_behind(tmp_path, 2)
    server.answer(503)
    assert not first.flush_now()
    first.flusher.release()
    assert benches(tmp_path).flush_now()
    assert len(server.ids()) == 2


def test_release_keeps_what_is_in_flight(
    server: RecordingServer, benches: Callable[..., Bench], tmp_path: Path
) -> None:
    """A batch that another thread has sent is not sent by the next leader as well."""
    first, second = benches(tmp_path), benches(tmp_path, owner=other_process())
    left_behind(tmp_path, 2)
    server.may_answer.clear()
    flush = threading.Thread(target=first.flusher.flush_once)
    flush.start()
    assert server.asked.wait(TIMEOUT_SECONDS)
    first.flusher.release()
    assert second.adopter is not None
    second.adopter.claim_all()
    assert list(claimed_by(second.adopter)) == []
    server.may_answer.set()
    flush.join()
    assert second.flush_now()
    assert len(server.ids()) == 2
    assert list(tmp_path.iterdir()) == []


def test_last_error_is_kept_until_a_flush_succeeds(bench: Bench) -> None:
    """The status tells why signals wait."""
    bench.check(1)
    bench.server.answer(503)
    bench.flush_now()
    assert "503" in (bench.flusher.last_error or "")
    bench.flush_now()
    assert bench.flusher.last_error is None
