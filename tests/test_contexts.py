from __future__ import annotations

import json
import logging
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from forking import fork_without_hooks, in_child
from liteguard import contexts
from liteguard.contexts import ProtectedBundles, encode_context
from liteguard.errors import LiteguardError, TransportRejected, TransportTimeout
from liteguard.transport import BundleAnswer
from liteguard.types import ProtectedContext

if TYPE_CHECKING:
    from liteguard.evaluation.table import GuardTable


EPOCH = 1_700_000_000


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Backend:
    """Serves a bundle for each user, and notes who was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.etags: list[str] = []
        self.deadlines: list[float] = []
        self.more: dict[str, Any] = {}
        self.version = 1
        self.failure: LiteguardError | None = None

    def __call__(self, etag: str, context: Any, *, deadline: float) -> BundleAnswer:
        """Answer a fetch."""
        user = context["properties"]["user"]
        self.asked.append(user)
        self.etags.append(etag)
        self.deadlines.append(deadline)
        if self.failure is not None:
            raise self.failure
        tag = f'"{user}-{self.version}"'
        guards = [{"name": f"for-{user}", "adopted": True, "defaultValue": True}]
        body = json.dumps({"guards": guards, "etag": tag, **self.more}).encode()
        return BundleAnswer(None if tag == etag else body)


@pytest.fixture
def clock() -> Clock:
    """Return the clock."""
    return Clock()


@pytest.fixture
def bundles(clock: Clock) -> ProtectedBundles:
    """Return bundles that are refreshed every minute."""
    return ProtectedBundles(60.0, clock=clock, wall=lambda: clock.now + EPOCH)


@pytest.fixture
def backend() -> Backend:
    """Return the backend."""
    return Backend()


def user(name: str, **more: Any) -> ProtectedContext:
    """Return the context of a user."""
    return ProtectedContext("signature", {"user": name}, **more)


def names(table: GuardTable | None) -> tuple[str, ...]:
    """Return the guards of *table*, of which there must be one."""
    assert table is not None
    return table.names()


# -- binding


def test_a_context_gets_its_own_bundle(
    bundles: ProtectedBundles, backend: Backend
) -> None:
    """Each context sees what the backend gave for it, and for no other."""
    for name in ("a", "b"):
        bundles.bind(user(name), backend)
    assert names(bundles.table(user("a"))) == ("for-a",)
    assert names(bundles.table(user("b"))) == ("for-b",)
    assert bundles.table(user("c")) is None


def test_binding_again_does_not_ask_again(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """A context that is fresh costs no request, whoever binds it."""
    bundles.bind(user("a"), backend)
    clock.now += 59.0
    bundles.bind(ProtectedContext("signature", {"user": "a"}), backend)
    assert backend.asked == ["a"]


@pytest.mark.parametrize(
    "other",
    [
        ProtectedContext("another", {"user": "a"}),
        ProtectedContext("signature", {"user": "a", "plan": "pro"}),
        user("a", issued_at=1),
        user("a", expires_at=1),
    ],
)
def test_contexts_that_differ_in_anything_are_different(
    bundles: ProtectedBundles, backend: Backend, other: ProtectedContext
) -> None:
    """Nobody gets a bundle that was vouched for with another signature or time."""
    bundles.bind(user("a"), backend)
    assert bundles.table(other) is None


def test_the_order_of_properties_makes_no_difference(
    bundles: ProtectedBundles, backend: Backend
) -> None:
    """The same properties in another order are the same context."""
    bundles.bind(ProtectedContext("s", {"user": "a", "b": "2"}), backend)
    assert bundles.table(ProtectedContext("s", {"b": "2", "user": "a"})) is not None


def test_a_context_is_sent_as_it_was_given() -> None:
    """Times are left out where there are none, and nothing is added."""
    assert encode_context(user("a")) == {
        "properties": {"user": "a"},
        "signature": "signature",
    }
    assert encode_context(user("a", issued_at=0, expires_at=7)) == {
        "properties": {"user": "a"},
        "signature": "signature",
        "issuedAt": 0,
        "expiresAt": 7,
    }


# -- failures


FAILURES: list[LiteguardError] = [
    TransportTimeout("no answer"),
    TransportRejected("refused", status_code=403),
]


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_a_failed_bind_leaves_the_context_without_a_bundle(
    bundles: ProtectedBundles, backend: Backend, failure: LiteguardError
) -> None:
    """Binding raises nothing; the context answers the fallback for now."""
    backend.failure = failure
    bundles.bind(user("a"), backend)
    assert bundles.table(user("a")) is None


@pytest.mark.parametrize("failure", FAILURES, ids=repr)
def test_a_failed_bind_is_tried_again_in_the_background(
    bundles: ProtectedBundles,
    backend: Backend,
    clock: Clock,
    failure: LiteguardError,
) -> None:
    """A context that is in use gets its bundle once the backend gives it."""
    backend.failure = failure
    bundles.bind(user("a"), backend)
    backend.failure = None
    bundles.refresh_one(backend)
    assert backend.asked == ["a"]
    clock.now += 6.0
    bundles.table(user("a"))
    bundles.refresh_one(backend)
    assert names(bundles.table(user("a"))) == ("for-a",)


def test_a_broken_bundle_is_a_failure_of_its_context_alone(
    bundles: ProtectedBundles, backend: Backend
) -> None:
    """What is no bundle leaves its context without one, and no other."""
    bundles.bind(user("a"), lambda *_, **__: BundleAnswer(b"no bundle"))
    bundles.bind(user("b"), backend)
    assert bundles.table(user("a")) is None
    assert bundles.table(user("b")) is not None


def test_an_unreachable_backend_does_not_block_every_bind(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """After one request has waited in vain others do not, for some seconds."""
    backend.failure = TransportTimeout("no answer")
    for name in "abcde":
        bundles.bind(user(name), backend)
    assert backend.asked == ["a"]
    clock.now += 5.0
    backend.failure = None
    bundles.bind(user("e"), backend)
    assert backend.asked == ["a", "e"]


def test_a_refused_context_does_not_hold_up_others(
    bundles: ProtectedBundles, backend: Backend
) -> None:
    """One user's bad signature costs no other user a bundle."""
    backend.failure = TransportRejected("bad signature", status_code=400)
    bundles.bind(user("a"), backend)
    bundles.bind(user("a"), backend)
    backend.failure = None
    bundles.bind(user("b"), backend)
    assert backend.asked == ["a", "b"]


def test_retry_after_is_honoured_for_all_contexts(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """A backend that asks to slow down is left alone for as long as it asks."""
    backend.failure = TransportRejected(
        "slow down", status_code=429, retry_after_seconds=100.0
    )
    bundles.bind(user("a"), backend)
    clock.now += 99.0
    bundles.bind(user("b"), backend)
    bundles.refresh_one(backend)
    assert backend.asked == ["a"]
    clock.now += 1.0
    bundles.refresh_one(backend)
    assert len(backend.asked) == 2


def test_failures_do_not_fill_the_log(
    bundles: ProtectedBundles,
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However many binds fail, there is one line, without signature or values."""
    backend.failure = TransportRejected("bad signature", status_code=400)
    for number in range(50):
        bundles.bind(user(f"secret-{number}"), backend)
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text
    caplog.set_level(logging.INFO)
    backend.failure = None
    bundles.bind(user("secret"), backend)
    assert len(caplog.records) == 2


# -- refreshing


def test_a_bundle_in_use_is_refreshed_when_it_is_due(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """Within an interval nothing is asked; after it one request, with the tag."""
    bundles.bind(user("a"), backend)
    clock.now += 30.0
    bundles.table(user("a"))
    bundles.refresh_one(backend)
    assert backend.asked == ["a"]
    clock.now += 30.0
    backend.version = 2
    bundles.refresh_one(backend)
    assert backend.etags == ["", '"a-1"']
    assert names(bundles.table(user("a"))) == ("for-a",)


def test_an_unchanged_bundle_is_kept(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """After a 304 the same table answers on."""
    bundles.bind(user("a"), backend)
    before = bundles.table(user("a"))
    clock.now += 60.0
    bundles.table(user("a"))
    bundles.refresh_one(backend)
    assert backend.asked == ["a", "a"]
    assert bundles.table(user("a")) is before


def test_a_bundle_that_cannot_be_refreshed_is_kept(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """A failure leaves the last bundle in force."""
    bundles.bind(user("a"), backend)
    backend.failure = TransportTimeout("no answer")
    clock.now += 60.0
    bundles.table(user("a"))
    bundles.refresh_one(backend)
    assert names(bundles.table(user("a"))) == ("for-a",)


def test_what_nobody_uses_is_not_refreshed(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """A user who has gone costs no more requests."""
    bundles.bind(user("a"), backend)
    for _ in range(10):
        clock.now += 60.0
        bundles.refresh_one(backend)
    assert len(backend.asked) <= 2


def test_a_scope_that_was_idle_still_has_its_bundle(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """A context that is bound for hours answers from its bundle, and is refreshed."""
    bundles.bind(user("a"), backend)
    for _ in range(10):
        clock.now += 600.0
        bundles.refresh_one(backend)
    assert names(bundles.table(user("a"))) == ("for-a",)
    asked = len(backend.asked)
    bundles.refresh_one(backend)
    assert len(backend.asked) == asked + 1


def test_binding_what_was_idle_makes_it_fresh(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """A user who comes back after an hour is not shown an hour-old bundle."""
    bundles.bind(user("a"), backend)
    clock.now += 3600.0
    backend.version = 2
    bundles.bind(user("a"), backend)
    assert backend.etags == ["", '"a-1"']


def test_the_oldest_comes_first(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """Each round asks for one bundle, and none is forgotten."""
    for name in "abc":
        bundles.bind(user(name), backend)
        clock.now += 1.0
    clock.now += 60.0
    for name in "cba":
        bundles.table(user(name))
    for _ in range(4):
        bundles.refresh_one(backend)
    assert backend.asked == [*"abc", *"abc"]


def test_without_contexts_a_round_asks_nothing(
    bundles: ProtectedBundles, backend: Backend
) -> None:
    """Who binds no context pays nothing."""
    bundles.refresh_one(backend)
    assert backend.asked == []


# -- bounds


def test_the_number_of_bundles_is_bounded(
    bundles: ProtectedBundles,
    backend: Backend,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The least recently used make room, however many users there are."""
    monkeypatch.setattr(contexts, "_MAX_CONTEXTS", 3)
    for name in "abcdef":
        bundles.bind(user(name), backend)
        clock.now += 1.0
        bundles.table(user("a"))
    assert len(bundles._held) == 3
    assert set(backend.asked) == set("abcdef")
    assert [bundles.table(user(name)) is None for name in "aef"] == [False] * 3


def test_what_made_room_comes_back_if_it_is_still_used(
    bundles: ProtectedBundles,
    backend: Backend,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A scope whose bundle was dropped has it again after the next round."""
    monkeypatch.setattr(contexts, "_MAX_CONTEXTS", 2)
    for name in "abc":
        bundles.bind(user(name), backend)
        clock.now += 1.0
    assert bundles.table(user("a")) is None
    bundles.refresh_one(backend)
    assert names(bundles.table(user("a"))) == ("for-a",)
    assert len(bundles._held) == 2


def test_the_size_of_bundles_is_bounded(
    bundles: ProtectedBundles,
    backend: Backend,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A few large ones make room as many small ones do; the last is always kept."""
    backend.more = {"padding": "x" * 1000}
    monkeypatch.setattr(contexts, "_MAX_BYTES", 3500)
    for name in "abcd":
        bundles.bind(user(name), backend)
        clock.now += 1.0
    assert [bundles.table(user(name)) is None for name in "ad"] == [True, False]
    monkeypatch.setattr(contexts, "_MAX_BYTES", 1)
    clock.now += 1.0
    bundles.bind(user("e"), backend)
    assert len(bundles) == 1
    assert bundles.table(user("e")) is not None


def test_ten_thousand_contexts_in_a_minute_stay_within_bounds(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """One request for each, a thousand held, and none more for those who have gone."""
    for number in range(10_000):
        bundles.bind(user(f"{number}"), backend)
        clock.now += 60.0 / 10_000
        assert len(bundles) <= 1000
    assert len(backend.asked) == 10_000
    seconds_left = 600.0
    while seconds_left > 0.0:
        pause = bundles.refresh_one(backend)
        seconds_left -= pause
        clock.now += pause
    # Once for each that was used after it was asked for, and then never again.
    assert len(backend.asked) <= 11_000


def test_contexts_in_use_are_refreshed_at_a_bounded_rate(
    bundles: ProtectedBundles,
    backend: Backend,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many are used, an interval has no more requests than there is room."""
    monkeypatch.setattr(contexts, "_MAX_CONTEXTS", 20)
    users = [user(f"{number}") for number in range(35)]
    for context in users:
        bundles.bind(context, backend)
    clock.now += 60.0
    before, ends_at = len(backend.asked), clock.now + 120.0
    while clock.now < ends_at and len(backend.asked) <= before + 50:
        for context in users:
            bundles.table(context)
        clock.now += bundles.refresh_one(backend)
    assert 30 <= len(backend.asked) - before <= 41


# -- expiry


@pytest.mark.parametrize("unit", [1, 1000])
def test_an_expired_context_has_no_bundle(
    bundles: ProtectedBundles, backend: Backend, clock: Clock, unit: int
) -> None:
    """Seconds or milliseconds: at that time it answers the fallback, unrefreshed."""
    context = user("a", expires_at=(EPOCH + 1100) * unit)
    bundles.bind(context, backend)
    clock.now = 1099.9
    assert bundles.table(context) is not None
    clock.now = 1100.0
    assert bundles.table(context) is None
    bundles.refresh_one(backend)
    assert backend.asked == ["a"]


def test_the_backend_may_take_an_expired_context(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """Clocks differ: what it gives for one is used until it would be asked again."""
    context = user("a", expires_at=EPOCH + 990)
    bundles.bind(context, backend)
    clock.now += 59.0
    assert bundles.table(context) is not None
    bundles.refresh_one(backend)
    clock.now += 1.0
    assert bundles.table(context) is None
    bundles.refresh_one(backend)
    assert backend.asked == ["a"]


@pytest.mark.parametrize("expires_at", [0, 7, 3600, 10**15, 10**18])
def test_a_time_of_another_unit_is_left_to_the_backend(
    bundles: ProtectedBundles, backend: Backend, clock: Clock, expires_at: int
) -> None:
    """What is neither seconds nor milliseconds since 1970 expires nothing here."""
    context = user("a", expires_at=expires_at)
    bundles.bind(context, backend)
    clock.now += 59.0
    assert bundles.table(context) is not None
    clock.now += 2.0
    bundles.refresh_one(backend)
    assert backend.asked == ["a", "a"]


def test_the_backend_may_slow_refreshes_down(
    bundles: ProtectedBundles, backend: Backend, clock: Clock
) -> None:
    """Each bundle is as old as the longer of both intervals, whatever others say."""
    backend.more = {"refreshRateSeconds": 90}
    bundles.bind(user("slow"), backend)
    backend.more = {"refreshRateSeconds": 5}
    bundles.bind(user("fast"), backend)
    asked = []
    for _ in range(95):
        clock.now += 1.0
        bundles.table(user("slow"))
        bundles.table(user("fast"))
        bundles.refresh_one(backend)
        asked.append(len(backend.asked))
    assert (asked[58], asked[59], asked[88], asked[94]) == (2, 3, 3, 4)
    assert backend.asked[2:] == ["fast", "slow"]


# -- threads and forks


def test_threads_that_bind_the_same_context_share_the_request(
    bundles: ProtectedBundles, backend: Backend
) -> None:
    """One asks, and the others have its answer when they go on."""
    entered, may_go_on = threading.Event(), threading.Event()
    found: list[bool] = []

    def hang(etag: str, context: Any, *, deadline: float) -> BundleAnswer:
        entered.set()
        assert may_go_on.wait(10.0)
        return backend(etag, context, deadline=deadline)

    def bind() -> None:
        bundles.bind(user("a"), hang)
        found.append(bundles.table(user("a")) is not None)

    threads = [threading.Thread(target=bind) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert entered.wait(10.0)
    may_go_on.set()
    for thread in threads:
        thread.join()
    assert backend.asked == ["a"]
    assert found == [True] * 5


def test_a_bind_waits_no_longer_than_its_deadline(
    bundles: ProtectedBundles, backend: Backend
) -> None:
    """Neither for the backend, which is told it, nor for a thread that asks already."""
    deadline = time.monotonic() + 0.05
    bundles.bind(user("a"), backend, deadline=deadline)
    assert backend.deadlines == [deadline]
    entered, may_go_on = threading.Event(), threading.Event()

    def hang(etag: str, context: Any, *, deadline: float) -> BundleAnswer:
        entered.set()
        assert may_go_on.wait(10.0)
        return backend(etag, context, deadline=deadline)

    thread = threading.Thread(target=bundles.bind, args=(user("b"), hang))
    thread.start()
    assert entered.wait(10.0)
    bundles.bind(user("b"), backend, deadline=deadline)
    assert backend.asked == ["a"]
    may_go_on.set()
    thread.join()


def test_threads_bind_and_check_at_once(
    bundles: ProtectedBundles, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Binding, checking and refreshing in many threads raises nothing."""
    monkeypatch.setattr(contexts, "_MAX_CONTEXTS", 5)
    failures: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for number in range(100):
                context = user(f"{(first + number) % 12}")
                bundles.bind(context, backend)
                bundles.table(context)
                bundles.refresh_one(backend)
        except BaseException as error:  # noqa: BLE001  whatever it is, the test must hear
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(bundles._held) <= 5


def test_a_check_waits_for_no_bind(bundles: ProtectedBundles, backend: Backend) -> None:
    """While one thread waits for the backend, others check and bind other contexts."""
    entered, may_go_on = threading.Event(), threading.Event()

    def hang(etag: str, context: Any, *, deadline: float) -> BundleAnswer:
        entered.set()
        assert may_go_on.wait(10.0)
        return backend(etag, context, deadline=deadline)

    thread = threading.Thread(target=bundles.bind, args=(user("slow"), hang))
    thread.start()
    assert entered.wait(10.0)
    assert bundles.table(user("slow")) is None
    bundles.bind(user("b"), backend)
    assert names(bundles.table(user("b"))) == ("for-b",)
    may_go_on.set()
    thread.join(10.0)
    assert names(bundles.table(user("slow"))) == ("for-slow",)


@pytest.mark.parametrize("reset", [True, False])
def test_a_child_checks_though_a_thread_held_the_lock(
    bundles: ProtectedBundles, backend: Backend, *, reset: bool
) -> None:
    """A fork in the middle of a bind leaves the child its bundles, and no deadlock."""
    bundles.bind(user("a"), backend)

    def check() -> list[str]:
        if reset:
            bundles.reset_after_fork()
            bundles.bind(user("b"), backend)
        return list(names(bundles.table(user("a"))))

    with bundles._use(user("b")).turn._lock:
        assert in_child(check, fork=fork_without_hooks) == ["for-a"]


def test_a_bind_goes_on_when_its_client_stops_meanwhile(
    bundles: ProtectedBundles, backend: Backend
) -> None:
    """What is reset for children leaves the locks that threads of this process hold."""

    def stop(etag: str, context: Any, *, deadline: float) -> BundleAnswer:
        bundles.reset_after_fork()
        return backend(etag, context, deadline=deadline)

    bundles.bind(user("a"), stop)
    assert names(bundles.table(user("a"))) == ("for-a",)


class Interrupted(dict[Any, Any]):
    """Sends this process a signal whenever something is taken out."""

    def pop(self, *arguments: Any) -> Any:
        """Take out."""
        signal.raise_signal(signal.SIGUSR1)
        return super().pop(*arguments)


@pytest.mark.timeout(10)
def test_a_signal_handler_may_bind_while_room_is_made(
    bundles: ProtectedBundles, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for nothing that the thread holds that it has interrupted."""
    monkeypatch.setattr(contexts, "_MAX_CONTEXTS", 2)
    bundles._held = Interrupted(bundles._held)
    nested = iter("xyz")

    def bind(*_: object) -> None:
        for name in nested:
            bundles.bind(user(name), backend)

    earlier = signal.signal(signal.SIGUSR1, bind)
    try:
        for name in "abc":
            bundles.bind(user(name), backend)
    finally:
        signal.signal(signal.SIGUSR1, earlier)
    assert set(backend.asked) == set("abcxyz")
    assert len(bundles) <= 2


def test_a_context_that_cannot_be_a_key_is_refused_when_it_is_bound(
    bundles: ProtectedBundles, backend: Backend
) -> None:
    """Properties that are no text are the caller's mistake, told at once."""
    properties: Any = {"user": ["no", "text"]}
    with pytest.raises(TypeError):
        bundles.bind(ProtectedContext("signature", properties), backend)
