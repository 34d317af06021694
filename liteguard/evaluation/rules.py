"""The operators: compiles one `Rule` into a predicate made for its operator and values.

A predicate runs at each check: whatever can be decided beforehand is decided here.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Callable

from liteguard.errors import BundleError
from liteguard.evaluation.bundle import Operator, Rule
from liteguard.evaluation.regex import compile_pattern
from liteguard.evaluation.values import as_text, comparable
from liteguard.types import Properties

if TYPE_CHECKING:
    from collections.abc import Mapping

Predicate = Callable[[Properties], bool]
_Values = tuple[Any, ...]


def compile_rule(
    rule: Rule, on_note: Callable[[str], None] = lambda _: None
) -> Predicate:
    """Return what tells whether *rule* matches some properties.

    The predicate is thread-safe and never raises, whatever the types of the properties.
    One that is missing or ``None`` matches no operator. Whether the rule is enabled is
    not its business.

    Args:
        rule: The rule.
        on_note: Told what someone who reads the log should know of it.

    Returns:
        The predicate; `never` itself if nothing can match.

    Raises:
        BundleError: The rule's regular expression is invalid or refused.
    """
    if not rule.values:
        return never
    if rule.operator is Operator.REGEX:
        return _regex(rule.property_name, rule.values, on_note)
    return _COMPILERS[rule.operator](rule.property_name, rule.values)


def never(_properties: Properties) -> bool:
    """Match nothing."""
    return False


def _equals(name: str, values: _Values) -> Predicate:
    wanted = comparable(values[0])
    if wanted is None:
        return never

    def matches(properties: Properties) -> bool:
        value = properties.get(name)
        if type(value) is str:
            return value == wanted
        return comparable(value) == wanted

    return matches


def _not_equals(name: str, values: _Values) -> Predicate:
    return _not_in(name, values[:1])


def _in(name: str, values: _Values) -> Predicate:
    wanted = _comparables(values)
    if not wanted:
        return never

    def matches(properties: Properties) -> bool:
        value = properties.get(name)
        return (value if type(value) is str else comparable(value)) in wanted

    return matches


def _not_in(name: str, values: _Values) -> Predicate:
    unwanted = _comparables(values)

    def matches(properties: Properties) -> bool:
        value = properties.get(name)
        if type(value) is str:
            return value not in unwanted
        return value is not None and comparable(value) not in unwanted

    return matches


def _ordered(
    compare: Callable[[Any, Any], bool],
) -> Callable[[str, _Values], Predicate]:
    def compile_ordered(name: str, values: _Values) -> Predicate:
        bound = comparable(values[0])
        kind = type(bound)
        if kind not in {str, float}:
            return never

        def matches(properties: Properties) -> bool:
            value = comparable(properties.get(name))
            return type(value) is kind and compare(value, bound)

        return matches

    return compile_ordered


def _regex(name: str, values: _Values, on_note: Callable[[str], None]) -> Predicate:
    if not isinstance(values[0], (str, bool, int, float)):
        raise BundleError("its regular expression is no text", field="values")
    is_found_in = compile_pattern(as_text(values[0]), on_note)

    def matches(properties: Properties) -> bool:
        value = properties.get(name)
        if type(value) is str:
            return is_found_in(value)
        if value is None:
            return False
        try:
            text = as_text(value)
        except Exception:  # noqa: BLE001 - the value's own code may raise anything
            return False
        return is_found_in(text)

    return matches


def _comparables(values: _Values) -> frozenset[object]:
    return frozenset(map(comparable, values)) - {None}


_COMPILERS: Mapping[Operator, Callable[[str, _Values], Predicate]] = {
    Operator.EQUALS: _equals,
    Operator.NOT_EQUALS: _not_equals,
    Operator.IN: _in,
    Operator.NOT_IN: _not_in,
    Operator.GT: _ordered(operator.gt),
    Operator.GTE: _ordered(operator.ge),
    Operator.LT: _ordered(operator.lt),
    Operator.LTE: _ordered(operator.le),
}
