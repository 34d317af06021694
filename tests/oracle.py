"""What guards answer, written from the documented table alone, line by line.

It shares no code with the package: no comparable forms, no sets, no predicates.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Callable, Optional

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Answer = tuple[bool, int]
Matching = Callable[[str, "Sequence[Any]", Any], bool]


def decide(
    guard: Mapping[str, Any], properties: Mapping[str, Any], matches: Matching
) -> Answer:
    """Return the answer of a guard as sent, and the index of the rule that decides.

    Args:
        guard: As the backend sends it, with every field.
        properties: What its rules look at.
        matches: The table for one rule, `rule_matches` or `published_rule_matches`.
    """
    for index, rule in enumerate(guard["rules"]):
        value = properties.get(rule["propertyName"])
        if rule["enabled"] and matches(rule["operator"], rule["values"], value):
            return rule["result"], index
    return guard["defaultValue"], -1


def published_rule_matches(operator: str, values: Sequence[Any], value: Any) -> bool:
    """Tell whether a rule matches in the published 0.7, where that raises nothing.

    These are all the differences: GTE and LTE take NaN, which is neither less nor
    greater, for equal; a pattern that is null or a list is read as Python writes it.
    """
    if value is None or not values:
        return False
    first = values[0]
    if operator == "REGEX" and kind(first) == "other":
        return _is_found(first, value)
    if operator in {"GTE", "LTE"} and kind(first) == kind(value) == "number":
        return math.isnan(as_double(first)) or (
            math.isnan(as_double(value)) or rule_matches(operator, values, value)
        )
    return rule_matches(operator, values, value)


def rule_matches(operator: str, values: Sequence[Any], value: Any) -> bool:
    """Tell whether a rule of some values matches a property."""
    if value is None or not values:
        return False
    if operator == "REGEX":
        return kind(values[0]) != "other" and _is_found(values[0], value)
    order = sign(value, values[0])
    return {
        "EQUALS": are_equal(value, values[0]),
        "NOT_EQUALS": not are_equal(value, values[0]),
        "IN": any(are_equal(value, other) for other in values),
        "NOT_IN": not any(are_equal(value, other) for other in values),
        "GT": order == 1,
        "GTE": order in {0, 1},
        "LT": order == -1,
        "LTE": order in {-1, 0},
    }[operator]


def kind(value: Any) -> str:
    """Return the only three kinds of values that can equal anything."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, (int, float)) else "other"


def as_double(value: float) -> float:
    """Return a number as a double, and what is beyond one as an infinity."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def are_equal(a: Any, b: Any) -> bool:
    """Tell whether a property and a value are equal."""
    if kind(a) != kind(b) or kind(a) == "other":
        return False
    return as_double(a) == as_double(b) if kind(a) == "number" else bool(a == b)


def sign(a: Any, b: Any) -> Optional[int]:
    """Return which comes first, 0 if neither, nothing if there is no order."""
    if kind(a) != kind(b) or kind(a) not in {"text", "number"}:
        return None
    if kind(a) == "number":
        a, b = as_double(a), as_double(b)
        return None if math.isnan(a) or math.isnan(b) else (a > b) - (a < b)
    points = [ord(c) for c in a], [ord(c) for c in b]
    return (points[0] > points[1]) - (points[0] < points[1])


def _is_found(pattern: Any, value: Any) -> bool:
    try:
        return re.search(str(pattern), str(value)) is not None
    except re.error:
        return False
