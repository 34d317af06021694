"""Reads one guard's JSON, strict about types; what is wrong stays small.

A bad rule or dry run is left out and the guard kept; anything else that is wrong loses
the guard, because without its rate limit, for one, it would be more open than meant.
"""

from __future__ import annotations

import json
import re
from typing import Any, Optional, Union

import orjson

from liteguard.errors import BundleError
from liteguard.evaluation.bundle import (
    DryRunRateLimit,
    Guard,
    Operator,
    RateLimit,
    Rule,
)
from liteguard.evaluation.fields import (
    read_flag,
    read_limit,
    read_list,
    read_names,
    read_object,
    read_text,
)

UNREADABLE_RULE = Rule("", Operator.EQUALS, enabled=False)
"""Keeps the place, and so the index, of a rule that could not be understood."""

# The largest double has 309 digits. Longer integers need not be exact, and converting
# them would take quadratic time or be refused by the interpreter.
_LONGEST_INTEGER = 400

# orjson makes a double of a longer integer. Rules compare doubles, so only a regular
# expression, which reads digits, can tell.
_BEYOND_64_BITS = re.compile(rb"\d{19}")


def decode_guard(document: bytes) -> tuple[Guard, tuple[str, ...]]:
    """Read one guard. Thread-safe.

    Args:
        document: Its JSON in UTF-8.

    Returns:
        The guard, and one text for each rule or dry run that had to be left out. Such a
        rule keeps its index and never matches.

    Raises:
        BundleError: It is no guard, or a field that decides its answers is of a wrong
            type; names the field.
    """
    raw = _load(document)
    problems: list[str] = []
    guard = Guard(
        name=read_text(raw, "name"),
        adopted=read_flag(raw, "adopted"),
        default_value=read_flag(raw, "defaultValue"),
        rules=_decode_rules(raw, problems),
        rate_limit=_decode_rate_limit(raw),
        dry_run_rate_limit=_decode_dry_run(raw, problems),
        disable_measurement=read_flag(raw, "disableMeasurement"),
    )
    return guard, tuple(problems)


def _load(document: bytes) -> dict[str, Any]:
    try:
        is_exact = b"REGEX" not in document or not _BEYOND_64_BITS.search(document)
        raw = orjson.loads(document) if is_exact else _load_leniently(document)
    except ValueError:
        raw = _load_leniently(document)
    if not isinstance(raw, dict):
        raise BundleError("it is no object")
    return raw


def _load_leniently(document: bytes) -> Any:
    """Read what orjson refuses: half surrogate pairs, NaN, numbers without bounds."""
    try:
        return json.loads(document.decode(), parse_int=_integer)
    except RecursionError:
        raise BundleError("it is nested too deeply") from None
    except ValueError as error:
        raise BundleError(f"it is no JSON: {error}") from error


def _integer(digits: str) -> Union[int, float]:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


def _decode_rules(raw: dict[str, Any], problems: list[str]) -> tuple[Rule, ...]:
    rules = []
    for index, item in enumerate(read_list(raw, "rules")):
        try:
            rules.append(_decode_rule(item))
        except BundleError as error:
            problems.append(f"rule {index} never matches: {error}")
            rules.append(UNREADABLE_RULE)
    return tuple(rules)


def _decode_rule(raw: object) -> Rule:
    if not isinstance(raw, dict):
        raise BundleError("it is no object")
    return Rule(
        property_name=read_text(raw, "propertyName"),
        operator=_decode_operator(read_text(raw, "operator")),
        values=read_list(raw, "values"),
        result=read_flag(raw, "result"),
        enabled=read_flag(raw, "enabled", default=True),
    )


def _decode_operator(name: str) -> Operator:
    try:
        return Operator(name)
    except ValueError:
        message = f"operator {name!r:.40} is unknown"
        raise BundleError(message, field="operator") from None


def _decode_rate_limit(raw: dict[str, Any]) -> Optional[RateLimit]:
    """Read the limit as an object, or as the two flat fields of earlier backends."""
    nested = read_object(raw, "rateLimit")
    if nested is None:
        limit = read_limit(raw, "rateLimitPerMinute")
        names = read_names(raw, "rateLimitProperties")
    else:
        limit = read_limit(nested, "requestsPerMinute")
        names = read_names(nested, "partitionProperties")
    return None if limit is None else RateLimit(limit, names)


def _decode_dry_run(
    raw: dict[str, Any], problems: list[str]
) -> Optional[DryRunRateLimit]:
    try:
        nested = read_object(raw, "dryRunRateLimit")
        limit = read_limit(nested or {}, "requestsPerMinute")
        if nested is None or limit is None:
            return None
        names = read_names(nested, "partitionProperties")
        return DryRunRateLimit(read_text(nested, "dryRunId"), limit, names)
    except BundleError as error:
        problems.append(f"the dry run of a rate limit is left out: {error}")
        return None
