"""What a check answers, why, and what the backend hears of it."""

from __future__ import annotations

import _thread
import inspect
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from clients import TOKEN, guard, offline, prepared, program, rule, running
from liteguard import GuardDecision, GuardDecisionReason, LiteguardClient, Options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend

RULES = [
    {**rule("plan", "pro"), "enabled": False},
    rule("plan", "pro"),
    rule("plan", "banned", result=False),
]


@pytest.fixture
def client() -> LiteguardClient:
    """Return a client with one guard of each kind."""
    return offline(
        guard("with.rules", rules=RULES, defaultValue=True),
        guard("closed.guard"),
        guard("limited.guard", defaultValue=True, rateLimitPerMinute=1),
        {"name": "unadopted.guard", "adopted": False, "defaultValue": True},
    )


@pytest.fixture
def live(backend: Backend, state_dir: Path) -> Iterator[LiteguardClient]:
    """Run a client of the local backend that has a few guards."""
    backend.create_guard("open.guard", default_value=True)
    backend.create_guard("closed.guard")
    with running(backend, state_dir) as client:
        yield client


# -- reasons


@pytest.mark.parametrize(
    ("plan", "is_open", "reason", "index"),
    [
        ("pro", True, "matched_rule", 1),
        ("banned", False, "matched_rule", 2),
        ("free", True, "default_value", -1),
    ],
)
def test_evaluate_tells_the_rule_that_decided(
    client: LiteguardClient, plan: str, *, is_open: bool, reason: str, index: int
) -> None:
    """The index counts disabled rules; without a match it is -1."""
    decision = client.evaluate("with.rules", properties={"plan": plan})
    assert decision == GuardDecision(
        name="with.rules",
        is_open=is_open,
        adopted=True,
        reason=GuardDecisionReason(reason),
        matched_rule_index=index,
        properties={"plan": plan},
    )


@pytest.mark.parametrize("name", ["unadopted.guard", "unheard.of"])
def test_unadopted_guard_is_closed(client: LiteguardClient, name: str) -> None:
    """Neither its default nor a fallback opens a guard that nobody has adopted."""
    decision = client.evaluate(name, fallback=True)
    assert (decision.is_open, decision.adopted) == (False, False)
    assert (decision.reason, decision.matched_rule_index) == ("unadopted", -1)
    assert not client.is_open(name)
    assert not client.peek_is_open(name)


@pytest.mark.parametrize("name", ["unadopted.guard", "unheard.of"])
def test_unadopted_guard_can_be_made_open(name: str) -> None:
    """One option restores the published package's answer."""
    client = offline({"name": "unadopted.guard", "adopted": False}, unadopted_open=True)
    assert client.is_open(name)
    assert client.peek_is_open(name)
    assert client.evaluate(name).reason is GuardDecisionReason.UNADOPTED


def test_check_without_bundle_answers_the_fallback() -> None:
    """The fallback is the client's, unless the check has its own."""
    closed = LiteguardClient(TOKEN)
    opened = LiteguardClient(TOKEN, fallback=True)
    for check in ("is_open", "peek_is_open"):
        assert getattr(closed, check)("a.guard") is False
        assert getattr(closed, check)("a.guard", fallback=True) is True
        assert getattr(opened, check)("a.guard") is True
        assert getattr(opened, check)("a.guard", fallback=False) is False
    decision = opened.evaluate("a.guard")
    assert (decision.is_open, decision.adopted) == (True, False)
    assert decision.reason is GuardDecisionReason.FALLBACK


def test_refused_by_its_limit_is_a_reason_of_its_own(client: LiteguardClient) -> None:
    """The first check of the minute is admitted, the second is closed."""
    assert client.evaluate("limited.guard").reason is GuardDecisionReason.DEFAULT_VALUE
    refused = client.evaluate("limited.guard")
    assert (refused.is_open, refused.adopted) == (False, True)
    assert refused.reason == "rate_limited"


def test_peek_uses_up_no_limit(client: LiteguardClient) -> None:
    """Looking twice leaves the one admission for the check."""
    assert client.peek_is_open("limited.guard")
    assert client.peek_is_open("limited.guard")
    assert client.is_open("limited.guard")
    assert not client.peek_is_open("limited.guard")


def test_decision_holds_a_copy_of_the_properties(client: LiteguardClient) -> None:
    """Editing a decision does not reach the scope."""
    scope = client.create_scope(plan="pro")
    decision = scope.evaluate("with.rules")
    properties: Any = decision.properties
    properties["plan"] = "banned"
    assert scope.is_open("with.rules")


# -- forms


@pytest.mark.parametrize(
    "arguments",
    [
        {"properties": {"plan": "banned"}},
        {"options": Options(properties={"plan": "banned"})},
        {"options": {"properties": {"plan": "banned"}}},
        {"options": {"properties": {"plan": "pro"}}, "properties": {"plan": "banned"}},
    ],
)
@pytest.mark.parametrize("check", ["is_open", "peek_is_open", "evaluate"])
def test_properties_are_given_by_keyword_or_in_options(
    client: LiteguardClient, check: str, arguments: dict[str, Any]
) -> None:
    """The guide's and the published package's forms mean the same."""
    for subject in (client, client.create_scope(plan="pro")):
        answer = getattr(subject, check)("with.rules", **arguments)
        assert getattr(answer, "is_open", answer) is False


@pytest.mark.parametrize(
    "arguments",
    [
        {"fallback": True},
        {"options": Options(fallback=True)},
        {"options": {"fallback": True}},
        {"options": Options(fallback=False), "fallback": True},
    ],
)
def test_fallback_is_given_by_keyword_or_in_options(arguments: dict[str, Any]) -> None:
    """The guide's and the published package's forms mean the same."""
    assert LiteguardClient(TOKEN).is_open("a.guard", **arguments)


def test_options_are_taken_by_position(client: LiteguardClient) -> None:
    """As the published package's users pass them."""
    banned = Options(properties={"plan": "banned"})
    assert not client.is_open("with.rules", banned)
    assert not client.peek_is_open("with.rules", banned)
    assert not client.evaluate("with.rules", banned).is_open
    assert client.execute_if_open("with.rules", lambda: 7, banned) is None


# -- what the backend hears


def test_check_sends_one_signal(backend: Backend, live: LiteguardClient) -> None:
    """A signal says which guard, for whom, with what answer, and from where."""
    scope = live.create_scope(plan="free", team="t")
    with live.run_with_scope(scope):
        live.is_open("open.guard", properties={"plan": "pro"})
        line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]  # CPython
    assert live.flush_signals()
    (signal,) = backend.signals()
    assert signal["guardName"] == "open.guard"
    assert signal["result"] is True
    assert signal["kind"] == "guard_check"
    assert signal["properties"] == {"plan": "pro", "team": "t"}
    assert signal["callsiteId"] == f"{__file__}:{line}"
    assert signal["droppedSignalsSinceLast"] == 0


def test_evaluate_sends_a_signal_and_peek_sends_none(
    backend: Backend, live: LiteguardClient
) -> None:
    """Peeking leaves no trace; evaluating counts as a check."""
    live.peek_is_open("open.guard")
    live.peek_is_open("unheard.of")
    live.create_scope().peek_is_open("open.guard")
    live.evaluate("closed.guard")
    assert live.flush_signals()
    assert [(s["guardName"], s["result"]) for s in backend.signals()] == [
        ("closed.guard", False)
    ]
    assert backend.observations() == {}


def test_unadopted_guard_is_observed_and_sends_no_signal(
    backend: Backend, live: LiteguardClient
) -> None:
    """The backend learns its name and how often it was asked for."""
    for _ in range(3):
        live.is_open("unheard.of")
    assert live.flush_signals()
    observations = backend.observations()
    assert list(observations) == ["unheard.of"]
    assert observations["unheard.of"]["checkCount"] == 3
    assert backend.signals() == []


def test_checks_of_many_threads_are_all_delivered(
    backend: Backend, live: LiteguardClient
) -> None:
    """Eight threads at once lose no signal and send none twice."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(live.is_open, ["open.guard", "closed.guard"] * 400))
    assert answers == [True, False] * 400
    assert live.flush_signals()
    summary = backend.signal_summary()
    assert (summary["distinct"], summary["redelivered"]) == (800, 0)
    assert summary["byGuard"]["open.guard"]["open"] == 400
    assert summary["byGuard"]["closed.guard"]["closed"] == 400
    status = live.status()
    assert (status.checks, status.sent) == (800, 800)
    assert (status.buffered, status.dropped) == (0, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"disable_measurement": True},
        {"options": Options(disable_measurement=True)},
        {"options": {"disable_measurement": True}},
    ],
)
def test_measurement_can_be_left_out_of_a_check(
    backend: Backend, live: LiteguardClient, arguments: dict[str, Any]
) -> None:
    """Readings of the process belong to a signal unless the check says no."""
    live.is_open("open.guard")
    live.is_open("open.guard", **arguments)
    assert live.flush_signals()
    measured, plain = backend.signals()
    assert measured["measurement"]["guardCheck"]["rssBytes"] > 0
    assert plain.get("measurement") is None


def test_measurement_can_be_left_out_by_client_and_guard(
    backend: Backend, state_dir: Path
) -> None:
    """So it is with the client's option, and with the guard's own setting."""
    backend.create_guard("open.guard", default_value=True)
    backend.create_guard("unmeasured.guard", disableMeasurement=True)
    with running(backend, state_dir, disable_measurement=True) as client:
        client.is_open("open.guard")
    with running(backend, state_dir) as client:
        client.is_open("unmeasured.guard")
    signals = backend.signals()
    assert [signal["guardName"] for signal in signals] == [
        "open.guard",
        "unmeasured.guard",
    ]
    assert [signal.get("measurement") for signal in signals] == [None, None]


@pytest.mark.parametrize("name", ["", "half a pair \ud800", "nul\0", "x" * 5000])
def test_strange_guard_name_is_just_another_unadopted_guard(
    backend: Backend, live: LiteguardClient, name: str
) -> None:
    """It answers, and keeps nothing of the other guards from being delivered."""
    assert live.is_open(name) is False
    live.is_open("unheard.of")
    live.is_open("open.guard")
    assert live.flush_signals()
    assert live.status().last_error is None
    assert "unheard.of" in backend.observations()
    assert backend.signal_summary()["distinct"] == 1


INTERRUPTED = """
import signal
from liteguard import LiteguardClient

client = LiteguardClient(flush_size=5_000)
client.start()
# Added to at once: the handler may interrupt itself as well.
made = [], []

def check(which):
    made[which].append(which)
    number = len(made[which])
    assert client.is_open("open.guard", properties={"user": f"{which} {number}"})
    client.is_open(f"unheard.of.{number}")

signal.signal(signal.SIGALRM, lambda *_: check(1))
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
while len(made[1]) < 120:
    check(0)
signal.setitimer(signal.ITIMER_REAL, 0)
total = sum(map(len, made))
assert client.status().checks == total, (client.status(), total)
client.shutdown(30)
print(total)
"""


def test_signal_handler_may_check_in_the_middle_of_a_check(
    backend: Backend, state_dir: Path
) -> None:
    """Neither hangs, and every record of both arrives."""
    backend.create_guard("open.guard", default_value=True)
    with program(INTERRUPTED, backend, state_dir) as process:
        printed, complaints = process.communicate(timeout=50)
    assert complaints == ""
    summary = backend.signal_summary()
    assert summary["total"] == summary["distinct"] == int(printed)
    assert summary["droppedSignals"] == 0


def test_check_of_a_client_that_was_never_started_is_not_recorded(
    backend: Backend, state_dir: Path
) -> None:
    """Without start() there is nothing to deliver, and nothing is sent."""
    client = prepared(backend, state_dir, bootstrap={"guards": [guard("a.guard")]})
    assert client.is_open("a.guard") is False
    assert client.flush_signals()
    assert backend.signals() == []
    assert list(state_dir.iterdir()) == []


class Asked(Mapping[str, Any]):
    """Properties that tell when they are read."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def __getitem__(self, name: str) -> Any:
        """Return the one there is."""
        return {"plan": "pro"}[name]

    def __iter__(self) -> Iterator[str]:
        """Tell that somebody asks."""
        self.asked.set()
        return iter(["plan"])

    def __len__(self) -> int:
        """Return that there is one."""
        return 1


@pytest.mark.parametrize("method", ["is_open", "evaluate"])
def test_check_that_no_code_in_python_has_made(method: str) -> None:
    """A thread that calls it directly has no frame, and is answered all the same."""
    client = offline(guard("open.guard", defaultValue=True))
    properties = Asked()
    arguments = ("open.guard", {"properties": properties})
    _thread.start_new_thread(getattr(client, method), arguments)
    assert properties.asked.wait(20)


def test_execution_that_no_code_in_python_has_begun() -> None:
    """As for a check."""
    client = offline(guard("open.guard", defaultValue=True))
    ran = threading.Event()
    _thread.start_new_thread(client.execute_if_open, ("open.guard", ran.set))
    assert ran.wait(20)
