from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

from forking import in_child, wait_until
from liteguard.process import worker as worker_module
from liteguard.process.worker import PeriodicWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG = 3600.0
DEADLINE_SECONDS = 10.0


class Rounds:
    """Counts rounds, and lets a test wait for one.

    Args:
        delay_seconds: What each round returns.
    """

    def __init__(self, delay_seconds: float = LONG) -> None:
        self.delay_seconds = delay_seconds
        self.count = 0
        self._done = threading.Condition()

    def __call__(self) -> float:
        """Do one round."""
        with self._done:
            self.count += 1
            self._done.notify_all()
        return self.delay_seconds

    def wait_for(self, count: int) -> bool:
        """Wait until *count* rounds were done; return whether they were."""
        with self._done:
            return self._done.wait_for(lambda: self.count >= count, DEADLINE_SECONDS)


@pytest.fixture
def run() -> Iterator[Callable[..., PeriodicWorker]]:
    """Return a function that starts a worker, which ends with the test."""
    workers = []

    def start(action: Callable[[], float], **more: Any) -> PeriodicWorker:
        worker = PeriodicWorker("liteguard-test", action, **more)
        workers.append(worker)
        worker.start()
        return worker

    yield start
    for worker in workers:
        worker.stop()
    assert all(worker.join(DEADLINE_SECONDS) for worker in workers)


def test_making_a_worker_starts_no_thread() -> None:
    """Only `start` starts a thread; a worker never started counts as ended."""
    rounds = Rounds()
    before = threading.active_count()
    worker = PeriodicWorker("liteguard-test", rounds)
    assert threading.active_count() == before
    assert worker.join(0.0)
    assert rounds.count == 0


def test_what_fails_in_starting_a_thread_is_told(
    run: Callable[..., PeriodicWorker],
) -> None:
    """To whoever starts it, although that is done in another thread."""
    worker = run(Rounds())
    with pytest.raises(RuntimeError, match="once"):
        worker.start()


def test_the_thread_is_a_daemon_with_the_name_given(
    run: Callable[..., PeriodicWorker],
) -> None:
    """No program waits for it at its end, and a stack dump tells what it is."""
    seen = []
    rounds = Rounds()

    def look() -> float:
        thread = threading.current_thread()
        seen.append((thread.name, thread.daemon))
        return rounds()

    run(look)
    assert rounds.wait_for(1)
    assert seen == [("liteguard-test", True)]


def test_the_action_says_when_it_runs_next(
    run: Callable[..., PeriodicWorker],
) -> None:
    """A round that returns nothing to wait is followed by the next at once."""
    rounds = Rounds(0.0)
    run(rounds)
    assert rounds.wait_for(3)
    rounds.delay_seconds = LONG


def test_a_first_delay_holds_the_first_round_back(
    run: Callable[..., PeriodicWorker],
) -> None:
    """With a first delay nothing runs until it is over or the worker is woken."""
    rounds = Rounds()
    worker = run(rounds, first_delay_seconds=LONG)
    assert rounds.count == 0
    worker.wake()
    assert rounds.wait_for(1)


def test_wake_ends_the_wait(run: Callable[..., PeriodicWorker]) -> None:
    """A worker that waits for an hour runs at once when woken, once for each time."""
    rounds = Rounds()
    worker = run(rounds)
    for count in (1, 2, 3):
        assert rounds.wait_for(count)
        worker.wake()
    assert rounds.wait_for(4)
    assert rounds.count == 4


def test_a_wake_during_a_round_is_not_lost(
    run: Callable[..., PeriodicWorker],
) -> None:
    """What happens while a round is under way gets a round of its own."""
    entered, may_leave = threading.Event(), threading.Event()
    rounds = Rounds()

    def slow() -> float:
        entered.set()
        may_leave.wait(DEADLINE_SECONDS)
        return rounds()

    worker = run(slow)
    assert entered.wait(DEADLINE_SECONDS)
    worker.wake()
    may_leave.set()
    assert rounds.wait_for(2)


def test_stop_ends_a_waiting_thread(run: Callable[..., PeriodicWorker]) -> None:
    """A thread that waits for an hour ends at once, without another round."""
    rounds = Rounds()
    worker = run(rounds)
    assert rounds.wait_for(1)
    assert not worker.is_stopping
    worker.stop()
    assert worker.is_stopping
    assert worker.join(DEADLINE_SECONDS)
    assert rounds.count == 1


def test_stop_lets_a_round_finish(run: Callable[..., PeriodicWorker]) -> None:
    """A round under way is finished; until then `join` tells that it goes on."""
    entered, may_leave = threading.Event(), threading.Event()
    left = []

    def slow() -> float:
        entered.set()
        may_leave.wait(DEADLINE_SECONDS)
        left.append(True)
        return 0.0

    worker = run(slow)
    assert entered.wait(DEADLINE_SECONDS)
    worker.stop()
    assert not worker.join(0.01)
    may_leave.set()
    assert worker.join(DEADLINE_SECONDS)
    assert left == [True]


def test_a_deadline_that_has_passed_does_not_wait(
    run: Callable[..., PeriodicWorker],
) -> None:
    """`join` takes what is left of a deadline, also if that is less than nothing."""
    rounds = Rounds()
    worker = run(rounds)
    assert rounds.wait_for(1)
    assert not worker.join(-1.0)


def test_stopping_before_the_start_runs_nothing() -> None:
    """A worker told to stop before it started does no round."""
    rounds = Rounds()
    worker = PeriodicWorker("liteguard-test", rounds)
    worker.stop()
    worker.start()
    assert worker.join(DEADLINE_SECONDS)
    assert rounds.count == 0


def test_a_thread_that_joins_itself_is_told_that_it_runs(
    run: Callable[..., PeriodicWorker],
) -> None:
    """A callback that shuts its own worker down neither raises nor waits."""
    answers: list[bool] = []
    rounds = Rounds()
    ready = threading.Event()

    def shut_down() -> float:
        ready.wait(DEADLINE_SECONDS)
        worker.stop()
        answers.append(worker.join(DEADLINE_SECONDS))
        return rounds()

    worker = run(shut_down)
    ready.set()
    assert rounds.wait_for(1)
    assert answers == [False]


@pytest.mark.parametrize(
    "failure", [ValueError, SystemExit, RecursionError, asyncio.CancelledError]
)
def test_a_round_that_fails_ends_no_thread(
    run: Callable[..., PeriodicWorker],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: type[BaseException],
) -> None:
    """A failing round is logged, and the next one comes; sys.exit() is no exception."""
    monkeypatch.setattr(worker_module, "_PAUSE_AFTER_A_BUG_SECONDS", 0.01)
    rounds = Rounds()

    def fail_once() -> float:
        rounds()
        if rounds.count == 1:
            raise failure("the first round")
        return LONG

    run(fail_once)
    assert rounds.wait_for(2)
    errors = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "please report" in errors[0].getMessage()


def test_a_round_that_fails_all_night_is_told_once(
    run: Callable[..., PeriodicWorker],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line with its traceback, growing pauses, and a line when it is over."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(worker_module, "_PAUSE_AFTER_A_BUG_SECONDS", 0.001)
    monkeypatch.setattr(worker_module, "_LONGEST_PAUSE_SECONDS", 0.016)
    rounds = Rounds()

    def fail_often() -> float:
        rounds()
        if rounds.count <= 8:
            raise ValueError("it fails")
        return LONG

    run(fail_often)
    assert rounds.wait_for(9)
    wait_until(lambda: len(caplog.records) == 2)
    assert [record.levelno for record in caplog.records] == [
        logging.ERROR,
        logging.INFO,
    ]
    assert caplog.text.count("Traceback") == 1


@pytest.mark.filterwarnings("ignore:Exception in thread liteguard-test")
def test_a_greenlet_that_is_killed_ends(run: Callable[..., PeriodicWorker]) -> None:
    """What gevent raises to end it is no failure of a round."""

    class GreenletExit(BaseException):
        """As gevent's."""

    def be_killed() -> float:
        with contextlib.suppress(IndexError):
            raise GreenletExit
        return LONG

    assert run(be_killed).join(DEADLINE_SECONDS)


def test_a_failing_action_is_not_retried_without_a_pause(
    run: Callable[..., PeriodicWorker], caplog: pytest.LogCaptureFixture
) -> None:
    """A bug in a round does not become a busy loop."""
    rounds = Rounds()

    def fail() -> float:
        rounds()
        raise ValueError

    worker = run(fail)
    assert rounds.wait_for(1)
    worker.stop()
    assert worker.join(DEADLINE_SECONDS)
    assert rounds.count == 1
    assert "please report" in caplog.text


@pytest.mark.parametrize("delay_seconds", [1e10, 1e300, float("inf")])
def test_a_wait_longer_than_a_clock_can_count_is_a_long_wait(
    run: Callable[..., PeriodicWorker], delay_seconds: float
) -> None:
    """A round that wants to run in a thousand years does not end the thread."""
    rounds = Rounds(delay_seconds)
    worker = run(rounds, first_delay_seconds=0.0)
    assert rounds.wait_for(1)
    worker.wake()
    assert rounds.wait_for(2)


def test_a_child_works_with_a_worker_of_its_own(
    run: Callable[..., PeriodicWorker],
) -> None:
    """After a fork a new worker runs, whatever the parent's was doing."""

    def work() -> int:
        rounds = Rounds()
        worker = PeriodicWorker("liteguard-test", rounds)
        worker.start()
        rounds.wait_for(1)
        worker.stop()
        assert worker.join(DEADLINE_SECONDS)
        return rounds.count

    worker = run(Rounds())
    worker.stop()
    assert worker.join(DEADLINE_SECONDS)
    assert in_child(work) == 1
