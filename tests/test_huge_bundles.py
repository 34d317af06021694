"""Bundles, guards and rules far larger than anybody means to have."""

from __future__ import annotations

import json
import time
from typing import Any, Callable

import pytest

from clients import guard, offline, rule
from liteguard.evaluation.bundle import decode_bundle
from liteguard.evaluation.table import GuardTable

MANY_GUARDS = 10_000
MANY_RULES = 1_000
MANY_VALUES = 100_000
MEGABYTE = 1_000_000


def table(*guards: dict[str, Any]) -> GuardTable:
    """Return the guards as a client gets them."""
    return GuardTable(decode_bundle(json.dumps({"guards": guards}).encode()).documents)


def bundle_of(count: int) -> bytes:
    """Return guards with ten rules each, as the backend sends them."""
    guards = [guard(f"g{n}", rules=[rule("p", n)] * 10) for n in range(count)]
    return json.dumps({"guards": guards}).encode()


def seconds(call: Callable[[], object], times: int = 1) -> float:
    """Return the least processor time of this thread that some calls take, of three."""

    def once() -> float:
        begun = time.thread_time()
        for _ in range(times):
            call()
        return time.thread_time() - begun

    return min(once() for _ in range(3))


def test_cost_of_a_bundle_is_linear_in_its_guards() -> None:
    """Ten times the guards take about ten times as long to find."""
    few, many = bundle_of(MANY_GUARDS // 10), bundle_of(MANY_GUARDS)
    ratio = seconds(lambda: decode_bundle(many)) / seconds(lambda: decode_bundle(few))
    assert ratio < 30
    assert len(decode_bundle(many).documents) == MANY_GUARDS


def test_bundle_of_50_megabytes_answers() -> None:
    """Each guard is found, and only those asked for are read."""
    padding = "x" * 10_000
    guards = [guard(f"g{n}", rules=[rule("p", n)], note=padding) for n in range(5_000)]
    body = json.dumps({"guards": guards}).encode()
    assert len(body) > 50 * MEGABYTE
    found = GuardTable(decode_bundle(body).documents)
    assert len(found) == 5_000
    last = found.lookup("g4999")
    assert last is not None
    assert last.evaluate({"p": 4_999}) == (True, 0)


@pytest.mark.parametrize("operator", ["IN", "NOT_IN"])
def test_cost_of_a_check_does_not_grow_with_the_values(operator: str) -> None:
    """A list of 100,000 values is looked up as quickly as one of two."""

    def check_of(count: int) -> Callable[[], object]:
        values = [f"user-{n}" for n in range(count)]
        rules = [{**rule("p", 0), "operator": operator, "values": values}]
        client = offline(guard("g", rules=rules))
        properties = {"p": f"user-{count - 1}"}
        assert client.is_open("g", properties=properties) is (operator == "IN")
        return lambda: client.is_open("g", properties=properties)

    few, many = check_of(2), check_of(MANY_VALUES)
    assert seconds(many, 2_000) < 5 * seconds(few, 2_000)


def test_cost_of_a_check_is_linear_in_the_rules_tried() -> None:
    """The last of 1,000 rules decides, in no more than a thousand times one rule."""
    rules = [rule("p", n) for n in range(MANY_RULES)]
    compiled = table(guard("g", rules=rules)).lookup("g")
    assert compiled is not None
    assert compiled.evaluate({"p": MANY_RULES - 1}) == (True, MANY_RULES - 1)
    first = seconds(lambda: compiled.evaluate({"p": 0}), 1_000) / 1_000
    last = seconds(lambda: compiled.evaluate({"p": MANY_RULES - 1}), 20) / 20
    assert last < 3 * MANY_RULES * first


def test_deep_guard_is_lost_alone() -> None:
    """Nesting beyond what Python follows costs that guard, in linear time."""
    deep = b"[" * 1_000_000 + b"]" * 1_000_000
    body = b'{"guards": [{"name": "deep", "x": %b}, {"name": "g"}]}' % deep
    bundle = decode_bundle(body)
    assert list(bundle.documents) == ["g"]
    assert bundle.problems == ("guard number 0 left out: it is nested too deeply",)


@pytest.mark.parametrize(
    "value",
    [rb'"\ud800"', b"NaN", b"-Infinity", b"1" * 500, b"1e999", b'"\xff"', b"[" * 5_000],
    ids=["surrogate", "nan", "infinity", "integer", "exponent", "bytes", "unclosed"],
)
def test_what_orjson_refuses_loses_at_most_its_guard(value: bytes) -> None:
    """The guards before and after it answer as if it were not there."""
    closing = b"]" * value.count(b"[")
    bad = b'{"name": "bad", "adopted": true, "rules": [], "x": %b}' % (value + closing)
    good = json.dumps(guard("good", rules=[rule("p", 1)])).encode()
    last = good.replace(b"good", b"last")
    body = b'{"guards": [%b, %b, %b]}' % (good, bad, last)
    found = GuardTable(decode_bundle(body).documents)
    for name in ("good", "last"):
        compiled = found.lookup(name)
        assert compiled is not None
        assert compiled.evaluate({"p": 1}) == (True, 0)
