"""Signal handlers that raise, at each moment of each call: nothing stays held."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import itertools
import random
import signal
import threading
import time
from http import cookiejar
from typing import TYPE_CHECKING, Any, Callable, NoReturn

import pytest
from urllib3 import _collections

from clients import TOKEN
from forking import in_child
from interrupting import Interrupted, Interruption
from liteguard import LiteguardClient
from liteguard.process.turns import Busy, Turn, locked
from recording import RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

GUARD = {"name": "open.guard", "adopted": True, "defaultValue": True}
numbers = itertools.count()


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with one open guard."""
    with RecordingServer(GUARD) as running:
        yield running


@pytest.fixture
def client(server: RecordingServer, state_dir: Path) -> Iterator[LiteguardClient]:
    """Return a client that is not started, and shut it down at the end."""
    made = new_client(server, state_dir)
    yield made
    made.shutdown()


def new_client(server: RecordingServer, state_dir: Path) -> LiteguardClient:
    """Return a client that flushes only when told to."""
    return LiteguardClient(
        TOKEN,
        backend_url=server.url,
        state_dir=str(state_dir),
        proxies={},
        reload_rate_seconds=0.02,
        flush_rate_seconds=3600.0,
    )


def turns_of(client: LiteguardClient) -> list[Turn]:
    """Return everything that is taken in turns."""
    revival = client._lifecycle._revival
    runtime = revival.runtime
    if runtime is None:
        return [revival._turn()]
    parts = (runtime.flusher, runtime.refresher)
    turns = [revival._turn(), runtime.recorder._making]
    return [*turns, *(part._turn for part in parts)]


def look(client: LiteguardClient) -> list[str]:
    """Return what another thread finds still taken, or a check that fails there."""
    found: list[str] = []

    def try_all() -> None:
        for number, turn in enumerate(turns_of(client)):
            try:
                turn.call(bool, 5.0)
            except Busy:
                found.append(f"turn {number} is taken")
        client.is_open("open.guard", properties={"n": next(numbers)})

    thread = threading.Thread(target=try_all)
    thread.start()
    thread.join(20.0)
    return [*found, *(["it hangs"] if thread.is_alive() else [])]


def check(client: LiteguardClient) -> None:
    """Make checks of every kind, none of which was made before."""
    with client.run_with_scope(client.create_scope(user=next(numbers))):
        client.is_open("open.guard")
        client.evaluate("open.guard")
        client.execute_if_open("open.guard", lambda: None)


def flush(client: LiteguardClient) -> None:
    """Record and deliver."""
    client.is_open("open.guard", properties={"n": next(numbers)})
    client.flush_signals()


def record_before_the_journal(client: LiteguardClient) -> None:
    """Let a check make the journal."""
    client._lifecycle._revival.runtime.recorder.journals.seal()  # type: ignore[union-attr]  # it runs
    client.is_open("open.guard", properties={"n": next(numbers)})


# A file that was opened and not yet noted is closed by the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("action", [check, flush, record_before_the_journal])
def test_what_is_raised_in_a_call_leaves_nothing_taken(
    action: Callable[[LiteguardClient], None],
    client: LiteguardClient,
    server: RecordingServer,
) -> None:
    """At each moment of the call; then all is delivered, and nothing twice."""
    client.start()
    step = 11 if action is flush else 1
    for moment in itertools.count(0, step):
        interruption = Interruption(moment)
        # In a context of its own: a block that is left at the very beginning of its end
        # leaves its scope bound, as any context manager written in Python would.
        interruption.run(lambda: contextvars.copy_context().run(action, client))
        assert look(client) == [], interruption.place
        if not interruption.place:
            break
    assert moment > 100
    assert client.is_open("open.guard")
    # A request whose answer was not awaited is sent again, with the same ids.
    until(client.flush_signals)
    assert server.ids()


def interrupt_in(module: str, server: RecordingServer, state_dir: Path) -> int:
    """Interrupt starts and flushes in that file; return at how many moments."""

    def start_and_flush(client: LiteguardClient) -> None:
        client.start()
        flush(client)

    for moment in itertools.count():
        client = new_client(server, state_dir)
        interruption = Interruption(moment, (module,))
        interruption.run(functools.partial(start_and_flush, client))
        client.start()
        client.is_open("open.guard")
        # In another thread: locks of the standard library are often reentrant.
        if not in_another_thread(functools.partial(client.flush_signals, 10.0)):
            raise AssertionError(interruption.place)
        client.shutdown()
        if not interruption.place:
            return moment
    raise AssertionError("it counts on")


# What has locks, and is called to start a thread or to make a request.
@pytest.mark.parametrize("module", [threading, cookiejar, _collections])
def test_what_is_raised_in_locks_of_the_standard_library_stops_nothing(
    module: ModuleType, server: RecordingServer, state_dir: Path
) -> None:
    """Nor in those of urllib3: no other thread finds one of them held.

    In a child, since a thread that was interrupted while it was started may stay.
    """
    path = str(module.__file__)
    assert in_child(lambda: interrupt_in(path, server, state_dir)) > 5


def live(client: LiteguardClient) -> None:
    """Start, check and shut down."""
    client.start()
    client.is_open("open.guard")
    client.shutdown()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_raised_in_start_and_shutdown_stops_neither(
    server: RecordingServer, state_dir: Path
) -> None:
    """A client that was interrupted there starts, answers and ends as any other."""
    first = random.randrange(7)  # noqa: S311  no secret
    for moment in itertools.count(first, 7):
        client = new_client(server, state_dir)
        interruption = Interruption(moment)
        interruption.run(functools.partial(live, client))
        client.start()
        assert client.is_open("open.guard"), interruption.place
        assert look(client) == [], interruption.place
        began = time.monotonic()
        client.shutdown(60.0)
        assert time.monotonic() - began < 30.0, interruption.place
        if not interruption.place:
            break
    assert moment > 500


def test_turn_is_given_back_whatever_is_raised_when() -> None:
    """Taking, having and giving back, with and without waiting."""
    turn = Turn()

    def take() -> None:
        turn.call(turn_is_mine, 0.5)
        turn.call(turn_is_mine)

    def turn_is_mine() -> None:
        with pytest.raises(Busy):
            turn.call(lambda: pytest.fail("taken twice"), 5.0)

    for moment in itertools.count():
        interruption = Interruption(moment)
        interruption.run(take)
        assert in_another_thread(lambda: taken_at_once(turn)), interruption.place
        if not interruption.place:
            break
    assert moment > 10


def taken_at_once(turn: Turn) -> bool:
    """Whether *turn* is free."""
    try:
        turn.call(bool)
    except Busy:
        return False
    return True


def in_another_thread(action: Callable[[], bool]) -> bool:
    """Return what *action* returns in another thread."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(action()))
    thread.start()
    thread.join()
    return answers[0]


class Account:
    """Something with a lock; what is not within it is of no account."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.turn = Turn()

    @locked
    def touch(self) -> None:
        """Do nothing, in every way that takes the lock."""
        self.touch_again()

    @locked
    def touch_again(self) -> None:
        """Do nothing, within what does nothing."""

    def work(self) -> NoReturn:
        """Take both until interrupted."""
        while True:
            self.touch()
            self.turn.call(self.touch_again)

    @property
    def is_free(self) -> bool:
        """Whether this thread, which took all, has given all back."""
        locks: list[Any] = [self._lock, self.turn._lock]
        return not any(lock._is_owned() for lock in locks)


def interrupt_work(times: int) -> int:
    """Interrupt work so often by a real signal; return how often a lock stays held."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    signal.signal(signal.SIGALRM, interrupt)
    held = 0
    for _ in range(times):
        account = Account()
        with contextlib.suppress(Interrupted):
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.00005, 0.0005))  # noqa: S311  no secret
            account.work()
        held += not account.is_free
    return held


def test_no_signal_leaves_a_lock_held() -> None:
    """At moments that no profile function sees: on each Python others have some."""
    assert in_child(lambda: interrupt_work(5000)) == 0


def test_turn_that_is_kept_is_never_free_again() -> None:
    """Neither for its keeper nor for others; and nobody keeps what is taken."""
    turn = Turn()
    assert not turn.call(turn.keep)
    assert turn.keep()
    assert not turn.keep()
    assert not taken_at_once(turn)
    assert not in_another_thread(lambda: taken_at_once(turn))


def storm(client: LiteguardClient, seconds: float) -> dict[str, Any]:
    """Let real signals raise at random moments of every call, again and again."""
    raised = 0

    def interrupt(*_: object) -> None:
        nonlocal raised
        raised += 1
        raise Interrupted

    def try_each() -> None:
        for action in (check, flush, record_before_the_journal, live):
            with contextlib.suppress(Interrupted):
                delay = random.uniform(0.00002, 0.004)  # noqa: S311  no secret
                signal.setitimer(signal.ITIMER_REAL, delay)
                action(client)
            client.start()

    signal.signal(signal.SIGALRM, interrupt)
    client.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        # Also one that comes when the call is over.
        with contextlib.suppress(Interrupted):
            try_each()
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    client.start()
    found = look(client)
    began = time.monotonic()
    is_delivered = client.flush_signals(10.0)
    is_open = client.is_open("open.guard")
    client.shutdown(10.0)
    return {
        "found": found,
        "open": is_open,
        "delivered": is_delivered,
        "in time": time.monotonic() - began < 15.0,
        "many": raised > 100,
    }


def test_storm_of_signals_leaves_a_client_that_works(
    server: RecordingServer, state_dir: Path
) -> None:
    """Real ones, at moments that no profile function sees as well."""
    told = in_child(lambda: storm(new_client(server, state_dir), 4.0))
    assert told == {
        "found": [],
        "open": True,
        "delivered": True,
        "in time": True,
        "many": True,
    }
