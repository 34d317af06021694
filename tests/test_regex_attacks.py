"""Known catastrophic patterns and their worst texts, through the client."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, Callable

import pytest

from catastrophic import ATTACKS, Attack
from clients import guard, offline

if TYPE_CHECKING:
    from liteguard import LiteguardClient

LENGTHS = [8, 24, 64, 80, 100, 180, 226, 500, 999, 1_000, 1_001, 100_000]
PLAIN = Attack("x*x*x*y", "x")
LONGEST_PLAIN_TEXT = 226
"""With it the plain search takes two million steps, which is the stated bound."""
LEEWAY = 3


def expression(pattern: str) -> dict[str, Any]:
    """Return a rule that opens where property ``p`` matches."""
    return {
        "propertyName": "p",
        "operator": "REGEX",
        "values": [pattern],
        "result": True,
    }


def seconds(call: Callable[[], object]) -> float:
    """Return the processor time of this thread that a call takes."""
    begun = time.thread_time()
    call()
    return time.thread_time() - begun


@pytest.fixture(scope="module")
def client() -> LiteguardClient:
    """Return a client with one guard for each known pattern, all of them compiled."""
    client = offline(
        *(
            guard(attack.pattern, rules=[expression(attack.pattern)])
            for attack in ATTACKS
        )
    )
    for attack in ATTACKS:
        client.is_open(attack.pattern, properties={"p": ""})
    return client


@pytest.fixture(scope="module")
def bound() -> float:
    """Return the longest that a check may take on this machine, with some leeway."""
    search, text = re.compile(PLAIN.pattern).search, PLAIN.text(LONGEST_PLAIN_TEXT)
    return LEEWAY * min(seconds(lambda: search(text)) for _ in range(3))


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.pattern[:40])
def test_no_check_takes_longer_than_the_bound(
    client: LiteguardClient, bound: float, attack: Attack
) -> None:
    """Whatever the length of the worst text, a check takes no longer than is stated."""
    taken = {
        length: seconds(
            lambda length=length: client.is_open(  # type: ignore[misc]  # mypy: no default in lambda
                attack.pattern, properties={"p": attack.text(length)}
            )
        )
        for length in LENGTHS
    }
    assert {length: time for length, time in taken.items() if time > bound} == {}


def test_refusal_loses_one_rule_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The line names guard and rule; every other rule goes on deciding."""
    rules = [expression("^v1$"), expression("^(a+)+$"), expression("^a+$")]
    client = offline(
        guard("attacked.guard", rules=rules), guard("other.guard", rules=rules[:1])
    )
    for _ in range(3):
        decision = client.evaluate("attacked.guard", properties={"p": "aaa"})
        assert (decision.is_open, decision.matched_rule_index) == (True, 2)
        assert client.is_open("attacked.guard", properties={"p": "v1"})
        assert client.is_open("other.guard", properties={"p": "v1"})
    (told,) = caplog.messages
    assert told == (
        "liteguard: guard 'attacked.guard': rule 1 never matches: its regular "
        "expression could take exponential time"
    )


def test_pattern_that_only_short_texts_are_tried_on_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """So that nobody has to find out why a long text does not match."""
    client = offline(guard("g", rules=[expression("^x.*y$"), expression("x.*y.*z")]))
    for length in (226, 227):
        text = "x" * (length - 2) + "yz"
        assert client.is_open("g", properties={"p": text}) is (length == 226)
    (told,) = caplog.messages
    assert told == (
        "liteguard: guard 'g': rule 1 matches no text of more than 226 characters: its "
        "regular expression leaves much open"
    )


def test_pattern_is_refused_when_the_guard_is_compiled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A guard that nobody asks for costs nothing, and the first check tells."""
    client = offline(guard("g", rules=[expression("^(a+)+$")]))
    assert caplog.records == []
    client.is_open("g")
    assert len(caplog.records) == 1
