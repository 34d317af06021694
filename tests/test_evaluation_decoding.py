from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from liteguard.errors import BundleError
from liteguard.evaluation.bundle import (
    DryRunRateLimit,
    Guard,
    Operator,
    RateLimit,
    Rule,
)
from liteguard.evaluation.decoding import UNREADABLE_RULE, decode_guard

RULE = {"propertyName": "plan", "operator": "EQUALS", "values": ["pro"]}


def decode(**fields: Any) -> tuple[Guard, tuple[str, ...]]:
    """Decode a guard named "g" with some fields."""
    return decode_guard(json.dumps({"name": "g", **fields}).encode())


def test_every_field_is_read() -> None:
    """A guard arrives as it was sent."""
    guard, problems = decode(
        adopted=True,
        defaultValue=True,
        rules=[
            {**RULE, "result": True, "enabled": False},
            {"propertyName": "age", "operator": "GT", "values": [1, 2.5, None]},
        ],
        rateLimit={"requestsPerMinute": 5, "partitionProperties": ["user"]},
        dryRunRateLimit={
            "dryRunId": "trial",
            "requestsPerMinute": 7,
            "partitionProperties": ["a", "b"],
        },
        disableMeasurement=True,
        unknown={"field": 1},
    )
    assert problems == ()
    assert guard == Guard(
        name="g",
        adopted=True,
        default_value=True,
        rules=(
            Rule("plan", Operator.EQUALS, ("pro",), result=True, enabled=False),
            Rule("age", Operator.GT, (1, 2.5, None)),
        ),
        rate_limit=RateLimit(5, ("user",)),
        dry_run_rate_limit=DryRunRateLimit("trial", 7, ("a", "b")),
        disable_measurement=True,
    )


def test_what_is_left_out_has_a_default() -> None:
    """A name is all that a guard needs, a property and an operator all that a rule."""
    guard, _ = decode(rules=[{"propertyName": "plan", "operator": "IN"}])
    rule = Rule("plan", Operator.IN, values=(), result=False, enabled=True)
    assert guard == Guard(
        name="g",
        adopted=False,
        default_value=False,
        rules=(rule,),
        rate_limit=None,
        dry_run_rate_limit=None,
        disable_measurement=False,
    )


def test_null_counts_as_left_out() -> None:
    """A backend whose language writes empty things as null is understood."""
    names = "adopted defaultValue rules rateLimit dryRunRateLimit disableMeasurement"
    guard, problems = decode(
        **dict.fromkeys(names.split()),
        rateLimitPerMinute=None,
        rateLimitProperties=None,
    )
    assert (guard, problems) == (Guard("g"), ())


def test_a_rule_with_null_as_enabled_is_disabled() -> None:
    """Null is false, as in the published package."""
    guard, problems = decode(rules=[{**RULE, "enabled": None, "result": None}])
    assert problems == ()
    assert not guard.rules[0].enabled


@pytest.mark.parametrize("per_minute", [5, 5.0])
def test_the_rate_limit_of_earlier_backends_is_read(per_minute: float) -> None:
    """Two flat fields say the same as the object."""
    guard, _ = decode(rateLimitPerMinute=per_minute, rateLimitProperties=["user"])
    assert guard.rate_limit == RateLimit(5, ("user",))


def test_the_newer_form_of_a_rate_limit_wins() -> None:
    """A backend that sends both forms means the object."""
    guard, _ = decode(rateLimit={"requestsPerMinute": 5}, rateLimitPerMinute=9)
    assert guard.rate_limit == RateLimit(5)


@pytest.mark.parametrize("per_minute", [5, 5.0, 0, -1, None, 10**30])
@pytest.mark.parametrize("names", [["user"], ["user", "plan"], [], None])
def test_both_forms_of_a_rate_limit_read_the_same(per_minute: Any, names: Any) -> None:
    """A dry run stands beside either form of the limit."""
    dry = {"dryRunId": "t", "requestsPerMinute": 7, "partitionProperties": names}
    nested, _ = decode(
        rateLimit={"requestsPerMinute": per_minute, "partitionProperties": names},
        dryRunRateLimit=dry,
    )
    flat, _ = decode(
        rateLimitPerMinute=per_minute,
        rateLimitProperties=names,
        dryRunRateLimit=dry,
    )
    assert flat == nested
    assert flat.dry_run_rate_limit == DryRunRateLimit("t", 7, tuple(names or ()))


@pytest.mark.parametrize("per_minute", [0, -1, 0.0, None, 10**30])
def test_no_limit_is_none(per_minute: Any) -> None:
    """Zero, less and what no host could reach are unlimited."""
    limit = {"dryRunId": "trial", "requestsPerMinute": per_minute}
    guard, problems = decode(rateLimit=limit, dryRunRateLimit=limit)
    assert (guard, problems) == (Guard("g"), ())


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"adopted": 1}, "adopted", "adopted must be true or false, not int"),
        ({"defaultValue": "no"}, "defaultValue", "must be true or false, not str"),
        ({"disableMeasurement": []}, "disableMeasurement", "true or false, not list"),
        ({"rules": {}}, "rules", "rules must be an array, not dict"),
        ({"rateLimit": 5}, "rateLimit", "rateLimit must be an object, not int"),
        ({"rateLimitPerMinute": True}, "rateLimitPerMinute", "whole number, not bool"),
        ({"rateLimitPerMinute": "5"}, "rateLimitPerMinute", "whole number, not str"),
        ({"rateLimitPerMinute": 0.5}, "rateLimitPerMinute", "whole number, not float"),
        ({"rateLimitPerMinute": math.nan}, "rateLimitPerMinute", "whole number"),
        ({"rateLimitPerMinute": math.inf}, "rateLimitPerMinute", "whole number"),
        ({"rateLimitProperties": "user"}, "rateLimitProperties", "an array, not str"),
        (
            {"rateLimit": {"partitionProperties": ["a", 1]}},
            "partitionProperties",
            "must be an array of texts, not int",
        ),
        ({"name": 5}, "name", "name must be text, not int"),
        ({"name": None}, "name", "name must be text, not null or nothing"),
    ],
)
def test_a_field_that_decides_answers_must_be_right(
    fields: dict[str, Any], field: str, message: str
) -> None:
    """A guard that could be more open than meant is refused; the error names why."""
    with pytest.raises(BundleError, match=message) as caught:
        decode(**fields)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "it is no JSON"),
        (b'{"name": "g"', "it is no JSON"),
        (b'{"name": "\xff"}', "it is no JSON"),
        (b'{"name": "\xed\xa0\x80"}', "it is no JSON"),
        (b"[]", "it is no object"),
        (b'{"name": "g", "x": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "too deeply"),
    ],
)
def test_what_is_no_guard_is_refused(document: bytes, message: str) -> None:
    """Bytes of any kind lead to one kind of error."""
    with pytest.raises(BundleError, match=message):
        decode_guard(document)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ({**RULE, "operator": "CONTAINS"}, "operator 'CONTAINS' is unknown"),
        ({**RULE, "operator": "equals"}, "operator 'equals' is unknown"),
        ({**RULE, "operator": None}, "operator must be text, not null or nothing"),
        ({**RULE, "operator": ["EQUALS"]}, "operator must be text, not list"),
        ({"operator": "EQUALS"}, "propertyName must be text, not null or nothing"),
        ({**RULE, "propertyName": 5}, "propertyName must be text, not int"),
        ({**RULE, "values": "pro"}, "values must be an array, not str"),
        ({**RULE, "result": "yes"}, "result must be true or false, not str"),
        ({**RULE, "enabled": 1}, "enabled must be true or false, not int"),
        ("rule", "it is no object"),
        (None, "it is no object"),
    ],
)
def test_one_bad_rule_keeps_its_place(rule: Any, why: str) -> None:
    """The rules around it are kept with their indexes, and it is reported."""
    guard, problems = decode(adopted=True, rules=[RULE, rule, RULE])
    good = Rule("plan", Operator.EQUALS, ("pro",))
    assert guard.rules == (good, UNREADABLE_RULE, good)
    assert not UNREADABLE_RULE.enabled
    assert problems == (f"rule 1 never matches: {why}",)


def test_problems_do_not_tell_values() -> None:
    """Rule values may be personal data, and problems are logged."""
    _, problems = decode(rules=[{**RULE, "values": {"jane@example.com": 1}}])
    assert problems
    assert "jane" not in "".join(problems)


@pytest.mark.parametrize(
    "dry_run",
    [
        "trial",
        {"requestsPerMinute": 5},
        {"dryRunId": 5, "requestsPerMinute": 5},
        {"dryRunId": "trial", "requestsPerMinute": "5"},
        {"dryRunId": "trial", "requestsPerMinute": 5, "partitionProperties": [1]},
    ],
)
def test_a_bad_dry_run_is_left_out(dry_run: Any) -> None:
    """It changes no answer, so the guard is kept."""
    guard, problems = decode(dryRunRateLimit=dry_run)
    assert guard == Guard("g")
    assert len(problems) == 1
    assert problems[0].startswith("the dry run of a rate limit is left out: ")


@pytest.mark.parametrize(
    ("spelled", "value"),
    [
        (rb'"\ud800"', "\ud800"),
        (b"Infinity", math.inf),
        (b"-Infinity", -math.inf),
        (b"1e999", math.inf),
        (b"1" * 400, int("1" * 400)),
        (b"9" * 5_000, math.inf),
        (b"-" + b"9" * 5_000, -math.inf),
    ],
)
def test_what_only_python_reads_is_read(spelled: bytes, value: Any) -> None:
    """Half surrogate pairs and numbers without bounds lose no guard."""
    rule = b'{"propertyName": "p", "operator": "GT", "values": [%b]}' % spelled
    guard, problems = decode_guard(b'{"name": "g", "rules": [%b]}' % rule)
    assert problems == ()
    assert guard.rules == (Rule("p", Operator.GT, (value,)),)


def test_a_long_integer_as_an_expression_keeps_its_digits() -> None:
    """As a double it would be found in other texts."""
    guard, _ = decode(rules=[{**RULE, "operator": "REGEX", "values": [2**64]}])
    assert guard.rules[0].values == (18446744073709551616,)
    assert isinstance(guard.rules[0].values[0], int)


def test_nan_is_read() -> None:
    """NaN, which equals not even itself, loses no guard."""
    guard, problems = decode(rules=[{**RULE, "values": [math.nan]}])
    assert problems == ()
    assert math.isnan(guard.rules[0].values[0])


def test_a_guard_cannot_be_changed() -> None:
    """Guards and rules are shared by threads without a lock."""
    guard, _ = decode(rules=[RULE])
    with pytest.raises(FrozenInstanceError):
        guard.adopted = True  # type: ignore[misc]  # this is what must fail
    with pytest.raises(FrozenInstanceError):
        guard.rules[0].result = True  # type: ignore[misc]  # this is what must fail
    assert hash(guard) == hash(replace(guard))
