"""Checks that are recalled: as right as those that are made for the first time."""

from __future__ import annotations

import gc
import math
import sys
import time
import weakref
from enum import Enum
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Callable

import orjson
import pytest

from clients import guard, rule, running
from liteguard import LiteguardClient
from liteguard.evaluation.table import CompiledGuard, GuardTable
from liteguard.recall import key_of
from liteguard.telemetry.properties import encode_properties
from recording import RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend
    from liteguard import GuardDecision, LiteguardScope
    from liteguard.telemetry.journals import Journals
    from liteguard.types import Properties

PRO = guard("some.guard", rules=[rule("plan", "pro")])


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with one guard."""
    with RecordingServer(PRO) as running_server:
        yield running_server


def client_of(server: RecordingServer, state_dir: Path, **more: Any) -> LiteguardClient:
    """Return a client that flushes when it is told to."""
    return LiteguardClient(
        "pct-recall",
        backend_url=server.url,
        state_dir=str(state_dir),
        flush_rate_seconds=3600,
        **more,
    )


def journals_of(client: LiteguardClient) -> Journals:
    """Return the journals of a client that runs."""
    runtime = client._lifecycle._revival.runtime
    assert runtime is not None
    return runtime.recorder.journals


def follows(scope: LiteguardScope, wanted: object) -> bool:
    """Whether the guard's answer is the one that is wanted."""
    return scope.is_open("some.guard") is wanted


def check(scope: LiteguardScope) -> bool:
    """Check at one place, from wherever it is called."""
    return scope.is_open("some.guard")


def recalled(scope: LiteguardScope, name: str = "some.guard") -> bool:
    """Whether the scope has something to recall of a guard."""
    return scope.recalled.get(name) is not None


def test_third_check_at_a_place_is_recalled(
    server: RecordingServer, state_dir: Path
) -> None:
    """The first leaves a note, the second what is needed; all are recorded alike."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")
        notes = []
        for _ in range(4):
            assert scope.is_open("some.guard")
            notes.append(recalled(scope))
        assert notes == [False, True, True, True]
        assert client.flush_signals()
    signals = server.signals()
    assert len({signal["signalId"] for signal in signals}) == len(signals) == 4
    for signal in signals:
        assert signal["executionId"] == signal["signalId"]
        for member in ("signalId", "executionId", "timestampMs", "measurement"):
            signal.pop(member)
    assert all(signal == signals[0] for signal in signals)


def evaluate(scope: LiteguardScope) -> GuardDecision:
    """Evaluate at one place."""
    return scope.evaluate("some.guard")


def test_decision_is_recalled_as_it_was(
    server: RecordingServer, state_dir: Path
) -> None:
    """It comes to the same, is recorded, and is the caller's own to change."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")
        decisions = [evaluate(scope) for _ in range(4)]
        assert recalled(scope)
        assert decisions == [decisions[0]] * 4
        assert repr(decisions[3]) == repr(decisions[0])
        assert decisions[3].matched_rule_index == 0
        decisions[3].properties["plan"] = "free"  # type: ignore[index]
        assert evaluate(scope).properties == scope.properties == {"plan": "pro"}
        client._checker.table = GuardTable(
            {"some.guard": orjson.dumps(guard("some.guard"))}
        )
        closed = evaluate(scope)
        assert (closed.is_open, closed.reason.value) == (False, "default_value")
        assert [evaluate(scope) for _ in range(3)] == [closed] * 3
        client.flush_signals()
    results = [signal["result"] for signal in server.signals()]
    assert results == [True] * 5 + [False] * 4


def test_decisions_without_bundle_and_of_limited_guards_are_their_own(
    server: RecordingServer, state_dir: Path
) -> None:
    """What else a decision tells is told by every one."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")
        for _ in range(4):
            missing = scope.evaluate("no.guard")
            assert (missing.adopted, missing.reason.value) == (False, "unadopted")
            own = scope.evaluate("some.guard", properties={"plan": "free"})
            assert own.properties == {"plan": "free"}


def test_each_place_is_told(server: RecordingServer, state_dir: Path) -> None:
    """A check of the same guard elsewhere is not taken for the one before."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")
        for _ in range(5):
            scope.is_open("some.guard")
            scope.is_open("some.guard")
        client.flush_signals()
    here = sys._getframe().f_lineno
    lines = [int(s["callsiteId"].rpartition(":")[2]) for s in server.signals()]
    assert lines == [here - 3, here - 2] * 5


def test_same_instruction_of_another_function_is_another_place(
    server: RecordingServer, state_dir: Path
) -> None:
    """Two functions may be alike but for where they are."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")

        def one() -> bool:
            return scope.is_open("some.guard")

        def other() -> bool:
            return scope.is_open("some.guard")

        for _ in range(3):
            one()
        other()
        client.flush_signals()
    lines = [int(s["callsiteId"].rpartition(":")[2]) for s in server.signals()]
    assert lines[0] == lines[1] == lines[2] == lines[3] - 3


def test_scope_that_others_overtook_forgets(
    server: RecordingServer, state_dir: Path
) -> None:
    """What was true before a bundle is not true because another scope has seen it."""
    with client_of(server, state_dir) as client:
        early, late = (client.create_scope(plan="pro") for _ in range(2))
        assert [check(early) for _ in range(3)] == [True] * 3
        closed = GuardTable({"some.guard": orjson.dumps(guard("some.guard"))})
        client._checker.table = closed
        assert [check(late) for _ in range(3)] == [False] * 3
        assert recalled(early)
        assert not check(early)


def test_scope_that_others_overtook_writes_into_the_right_journal(
    server: RecordingServer, state_dir: Path
) -> None:
    """The places of its texts are those of a journal that is no longer written."""
    with client_of(server, state_dir) as client:
        early, late = client.create_scope(plan="pro"), client.create_scope(plan="free")
        for _ in range(3):
            check(early)
        journals_of(client).seal()
        for number in range(5):
            client.is_open("some.guard", properties={"number": number})
            check(late)
        check(early)
        client.flush_signals()
    assert len(server.signals()) == 14
    plans = [signal["properties"].get("plan") for signal in server.signals()]
    assert plans.count("pro") == 4


def test_process_that_may_be_new_looks_first(
    server: RecordingServer, state_dir: Path
) -> None:
    """A child of a fork that ran no hook finds the flag lowered, and nothing else."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")
        for _ in range(3):
            check(scope)
        client._checker.flag[0] = 0
        assert check(scope)
        assert client._checker.flag[0] == 1


def test_another_recorder_ends_the_epoch(
    server: RecordingServer, state_dir: Path
) -> None:
    """The journal of an epoch may be a parent's, which a child must not write."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")
        for _ in range(3):
            scope.is_open("some.guard")
        assert client._checker.epoch is not None
        client._checker.recording = client._checker.recording
        assert client._checker.epoch is None


def test_another_bundle_is_obeyed(backend: Backend, state_dir: Path) -> None:
    """A scope that lives for long follows every change."""
    backend.create_guard("some.guard", default_value=True)
    with running(backend, state_dir) as client:
        scope = client.create_scope(plan="pro")
        for is_open in (True, False, True):
            backend.update_guard("some.guard", defaultValue=is_open)
            until(partial(follows, scope, is_open))
            assert [scope.is_open("some.guard") for _ in range(5)] == [is_open] * 5


def test_table_is_not_kept_alive(server: RecordingServer, state_dir: Path) -> None:
    """A scope made at import would keep the bundles of weeks, one for each guard."""
    with client_of(server, state_dir, refresh_rate_seconds=0.05) as client:
        scope = client.create_scope(plan="pro")
        for _ in range(3):
            scope.is_open("some.guard")
        table = weakref.ref(client._checker.table)
        assert recalled(scope)
        server.guards.append(guard("another.guard"))
        until(lambda: client._checker.table is not table())
        # Listeners are told what changed since the table before.
        client._checker.table = None
        client._lifecycle._told = None
        gc.collect()
        assert table() is None


def test_limit_is_obeyed(server: RecordingServer, state_dir: Path) -> None:
    """A guard with a limit has another answer each time."""
    limit = {"requestsPerMinute": 3, "partitionProperties": []}
    server.guards[:] = [guard("some.guard", defaultValue=True, rateLimit=limit)]
    with client_of(server, state_dir) as client:
        scope = client.create_scope()
        assert [scope.is_open("some.guard") for _ in range(6)] == [True] * 3 + [
            False
        ] * 3


def test_checks_within_an_execution_are_linked(
    server: RecordingServer, state_dir: Path
) -> None:
    """They have an order and an execution of their own, wherever they are made."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")
        for _ in range(3):
            check(scope)
        with client.execution():
            check(scope)
            check(scope)
        check(scope)
        client.flush_signals()
    signals = server.signals()
    assert [s["sequenceNumber"] for s in signals] == [1, 1, 1, 1, 2, 1]
    assert signals[3]["executionId"] == signals[4]["executionId"]
    assert signals[4]["parentSignalId"] == signals[3]["signalId"]
    assert "parentSignalId" not in signals[5]


def test_another_journal_is_written_when_the_first_is_sealed(
    server: RecordingServer, state_dir: Path
) -> None:
    """What lies in one journal means nothing in the next."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")
        for number in range(30):
            assert scope.is_open("some.guard")
            if number % 7 == 6:
                journals_of(client).seal()
            client.is_open("some.guard", properties={"number": number})
        client.flush_signals()
    assert len(set(server.ids())) == len(server.ids()) == 60
    by_plan = [s for s in server.signals() if s["properties"] == {"plan": "pro"}]
    assert len(by_plan) == 30
    assert all(s["guardName"] == "some.guard" and s["result"] for s in by_plan)


@pytest.mark.parametrize("disabled", ["by the client", "by the guard", "no"])
def test_readings_are_left_out_as_told(
    server: RecordingServer, state_dir: Path, disabled: str
) -> None:
    """Whether a check is recalled makes no difference to what it carries."""
    server.guards[:] = [{**PRO, "disableMeasurement": disabled == "by the guard"}]
    option = {"disable_measurement": disabled == "by the client"}
    with client_of(server, state_dir, **option) as client:
        scope = client.create_scope(plan="pro")
        for _ in range(4):
            scope.is_open("some.guard")
        assert recalled(scope) is (disabled != "by the guard")
        again = scope.recalled["some.guard"]
        if again is not None:
            journal = journals_of(client).current
            assert journal is not None
            assert journal.repeat(time.time(), *again[-2:]) == 5
        client.flush_signals()
    made = 4 if disabled == "by the guard" else 5
    assert ["measurement" in s for s in server.signals()] == [disabled == "no"] * made


def test_peek_and_properties_of_the_call_do_not_answer_for_each_other(
    server: RecordingServer, state_dir: Path
) -> None:
    """Neither records what the other would."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")
        for _ in range(3):
            assert scope.is_open("some.guard")
            assert not scope.is_open("some.guard", properties={"plan": "free"})
            assert scope.peek_is_open("some.guard")
        client.flush_signals()
    assert [s["result"] for s in server.signals()] == [True, False] * 3


def check_with(scope: LiteguardScope, **properties: Any) -> bool:
    """Check at one place with properties of the call."""
    return scope.is_open("some.guard", properties=properties)


ASKING: list[Callable[[LiteguardScope], object]] = [
    check,
    evaluate,
    partial(check_with, country="de"),
]


@pytest.mark.parametrize("ask", ASKING, ids=["is_open", "evaluate", "properties"])
def test_what_is_recalled_evaluates_no_rule(
    server: RecordingServer,
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    ask: Callable[[LiteguardScope], object],
) -> None:
    """The rules are asked twice, however often the check comes, and it is recorded."""
    evaluated = []
    evaluate_rules = CompiledGuard.evaluate

    def noting(guard: CompiledGuard, properties: Properties) -> tuple[bool, int]:
        evaluated.append(properties)
        return evaluate_rules(guard, properties)

    monkeypatch.setattr(CompiledGuard, "evaluate", noting)
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")
        answers = [ask(scope) for _ in range(10)]
        assert len(evaluated) == 2
        assert answers == [answers[0]] * 10
        client.flush_signals()
    assert len(set(server.ids())) == 10
    assert {s["guardName"] for s in server.signals()} == {"some.guard"}


def test_properties_of_the_call_are_recorded_when_recalled(
    server: RecordingServer, state_dir: Path
) -> None:
    """Laid over the scope's, as in the checks before."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="free", country="de")
        for _ in range(5):
            assert check_with(scope, plan="pro")
            assert not check_with(scope, plan="free")
        client.flush_signals()
    signals = server.signals()
    assert [s["properties"]["plan"] for s in signals] == ["pro", "free"] * 5
    assert {s["properties"]["country"] for s in signals} == {"de"}
    assert len({s["callsiteId"] for s in signals}) == 1


class Plan(str, Enum):
    """Equal to a text, and another thing."""

    PRO = "pro"


class Text(str):
    """Equal to a text, and another thing."""

    __slots__ = ()


ALIKE = [
    [1, True, 1.0, "1"],
    [True, 1, "true"],
    [0, False, -0.0, None, math.nan, math.inf, ""],
    [None, math.nan, "null"],
    ["pro", Plan.PRO, Text("pro"), b"pro"],
    [2**53, float(2**53), 2**53 + 1],
]


@pytest.mark.parametrize(
    "alike", ALIKE, ids=["one", "true", "zero", "none", "text", "large"]
)
def test_values_that_are_alike_are_told_apart(
    server: RecordingServer, state_dir: Path, alike: list[Any]
) -> None:
    """What was recalled of one does not answer for another, nor is it recorded."""
    not_in = {"operator": "NOT_IN", "values": ["pro", True, 1, 0, 2**53]}
    server.guards[:] = [guard("some.guard", rules=[{**rule("plan", ""), **not_in}])]
    with client_of(server, state_dir) as client:
        scope = client.create_scope()
        answers, expected, recorded = [], [], []
        for first, *others in (alike, alike[::-1]):
            for value in (first, first, first, first, *others):
                answers.append(check_with(scope, plan=value))
                expected.append(
                    scope.peek_is_open("some.guard", properties={"plan": value})
                )
                recorded.append(orjson.loads(encode_properties({"plan": value})))
        assert answers == expected
        client.flush_signals()
    assert repr([s["properties"] for s in server.signals()]) == repr(recorded)


def test_properties_that_were_edited_are_other_properties(
    server: RecordingServer, state_dir: Path
) -> None:
    """An application may keep one dict, and change what is in it."""
    with client_of(server, state_dir) as client:
        scope, properties = client.create_scope(), {"plan": "pro"}
        for plan in ("pro", "pro", "pro", "free", "pro", "free"):
            properties["plan"] = plan
            is_open = scope.is_open("some.guard", properties=properties)
            assert is_open is (plan == "pro")


def test_properties_that_another_thread_edits_are_not_remembered(
    server: RecordingServer, state_dir: Path
) -> None:
    """The key may be that of what they were a moment before the check."""
    with client_of(server, state_dir) as client:
        scope, checker = client.create_scope(), client._checker
        key, kept = key_of("some.guard", {"plan": "pro"}), scope.recalled_calls
        frame = sys._getframe()
        free, pro = {"plan": "free"}, {"plan": "pro"}
        for properties in (free, free, {}, {}, pro):
            assert kept.get(key) is None
            call = properties, None, None
            checker.check_anew(kept, key, scope, "some.guard", call, frame)
        assert kept[key] is not None


def test_each_scope_lays_properties_over_its_own(
    server: RecordingServer, state_dir: Path
) -> None:
    """What one recalls is no answer for another."""
    with client_of(server, state_dir) as client:
        pro, free = client.create_scope(plan="pro"), client.create_scope(plan="free")
        for _ in range(4):
            assert check_with(pro, country="de")
            assert not check_with(free, country="de")


def test_another_bundle_is_obeyed_by_calls_with_properties(
    server: RecordingServer, state_dir: Path
) -> None:
    """Their answers hold for one table too."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope()
        assert [check_with(scope, plan="pro") for _ in range(3)] == [True] * 3
        closed = GuardTable({"some.guard": orjson.dumps(guard("some.guard"))})
        client._checker.table = closed
        assert [check_with(scope, plan="pro") for _ in range(3)] == [False] * 3


def test_what_a_scope_keeps_of_calls_is_bounded(
    server: RecordingServer, state_dir: Path
) -> None:
    """A client lives for weeks, and each user's properties are new to it."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope()
        assert not check_with(scope, text="long" * 1000)
        assert not scope.recalled_calls
        for _ in range(3):
            check(scope)
        for number in range(1000):
            check_with(scope, number=number)
            assert len(scope.recalled_calls) <= 250
        assert recalled(scope)


@pytest.mark.parametrize(
    "properties",
    [{1: "pro"}, {Text("plan"): "pro"}, {"plan": "\ud800"}, {"plan": 2**70}, {"": [1]}],
    ids=ascii,
)
def test_odd_properties_are_answered_each_time(
    server: RecordingServer, state_dir: Path, properties: dict[Any, Any]
) -> None:
    """What has no JSON of its own is checked as if nothing were recalled."""
    with client_of(server, state_dir) as client:
        scope = client.create_scope()
        expected = scope.peek_is_open("some.guard", properties=properties)
        for _ in range(4):
            assert scope.is_open("some.guard", properties=properties) is expected
        assert not scope.recalled_calls


def test_properties_that_are_no_dict_are_refused(
    server: RecordingServer, state_dir: Path
) -> None:
    """Also where they could be recalled; another mapping will do."""
    with client_of(server, state_dir) as client:
        for _ in range(3):
            with pytest.raises(TypeError, match="properties must be a dict, got list"):
                client.is_open("some.guard", properties=["plan"])  # type: ignore[arg-type]
            assert client.is_open(
                "some.guard", properties=MappingProxyType({"plan": "pro"})
            )


def test_check_after_the_shutdown_is_not_recorded(
    server: RecordingServer, state_dir: Path
) -> None:
    """It is answered, and the journal that it would be written to is closed."""
    client = client_of(server, state_dir)
    client.start()
    scope = client.create_scope(plan="pro")
    for number in range(6):
        if number == 4:
            client.shutdown()
        assert scope.is_open("some.guard")
    assert len(server.ids()) == 4
    client.start()
    for _ in range(4):
        assert scope.is_open("some.guard")
    client.shutdown()
    assert len(set(server.ids())) == len(server.ids()) == 8


@pytest.mark.parametrize("name", [7, None, b"some.guard", ["some.guard"], {}])
def test_name_that_is_no_text_is_refused(
    server: RecordingServer, state_dir: Path, name: Any
) -> None:
    """Also where it cannot be looked for among what may be recalled."""
    with client_of(server, state_dir) as client:
        for _ in range(3):
            with pytest.raises(TypeError, match="name must be a str"):
                client.is_open(name)


def test_readings_are_left_out_of_the_checks_that_say_so(
    server: RecordingServer, state_dir: Path
) -> None:
    """Also right after a check at the same place that had some."""
    said = [None, True, None, True, True]
    with client_of(server, state_dir) as client:
        scope = client.create_scope(plan="pro")
        for disabled in said:
            assert scope.is_open("some.guard", disable_measurement=disabled)
        assert client.flush_signals()
    assert ["measurement" in s for s in server.signals()] == [not one for one in said]
