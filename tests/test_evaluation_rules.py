from __future__ import annotations

import enum
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import oracle
from liteguard.evaluation.bundle import Operator, Rule
from liteguard.evaluation.rules import compile_rule, never
from liteguard.evaluation.values import as_text

ORDER = (Operator.GT, Operator.GTE, Operator.LT, Operator.LTE)
NEGATED = (Operator.NOT_EQUALS, Operator.NOT_IN)


def matches(operator: Operator, values: list[Any], value: Any) -> bool:
    """Tell whether a rule of some values matches a property."""
    return compile_rule(Rule("p", operator, tuple(values)))({"p": value})


TEXTS = ["", "a", "b", "1", "True", "\ud800", "\U0001f600"]
NUMBERS = [0, 1, -0.0, 1.0, 2**53, 2**53 + 1, 10**400, -(10**400), math.nan, math.inf]
FEW: list[Any] = [*TEXTS, *NUMBERS, True, False, None, [1], {"a": 1}]
SOME = st.sampled_from(FEW)
ANY = st.one_of(SOME, st.text(max_size=3), st.integers(), st.floats(), st.booleans())
OPERATORS = st.sampled_from([op for op in Operator if op is not Operator.REGEX])


@settings(max_examples=500, database=None, deadline=None)
@given(operator=OPERATORS, values=st.lists(ANY, max_size=4), value=ANY)
@example(operator=Operator.IN, values=[True], value=1)
@example(operator=Operator.NOT_IN, values=[math.nan], value=math.nan)
def test_operators_follow_the_table(
    operator: Operator, values: list[Any], value: Any
) -> None:
    """Every operator answers as an independent reading of the table."""
    assert matches(operator, values, value) is oracle.rule_matches(
        operator.value, values, value
    )


def test_membership_of_many_values_equals_brute_force() -> None:
    """IN and NOT_IN over 100,000 values of all kinds answer as comparing each would."""
    values: list[Any] = [f"user-{n}" for n in range(40_000)]
    values += [*map(str, range(20_000)), *range(20_000), True, math.nan, None]
    values += [n + 0.5 for n in range(20_000)]
    is_in = compile_rule(Rule("p", Operator.IN, tuple(values)))
    is_not_in = compile_rule(Rule("p", Operator.NOT_IN, tuple(values)))
    for value in ["user-39999", "user-40000", "7", 7, 7.0, 7.5, 7.25, 19_999, 20_000]:
        expected = any(oracle.are_equal(value, other) for other in values)
        assert is_in({"p": value}) is expected
        assert is_not_in({"p": value}) is not expected
    # Comparing each value with each would take hours.
    assert sum(is_in({"p": f"user-{n}"}) for n in range(100_000)) == 40_000


def test_rules_that_cannot_match_are_recognised() -> None:
    """So that no check has to try them."""
    for operator in Operator:
        assert compile_rule(Rule("p", operator, ())) is never
    never_equal: list[Any] = [None, math.nan, []]
    for value in never_equal:
        for operator in (Operator.EQUALS, Operator.IN, *ORDER):
            assert compile_rule(Rule("p", operator, (value,))) is never
    for operator in ORDER:
        assert compile_rule(Rule("p", operator, (True,))) is never


class Plan(str, enum.Enum):
    """An enumeration of texts."""

    PRO = "pro"


class Level(enum.IntEnum):
    """An enumeration of numbers."""

    TWO = 2


class Ratio(float):
    """A float of some library."""

    def __repr__(self) -> str:
        """Write something that is no number."""
        return "Ratio"


@pytest.mark.parametrize(
    ("value", "plain"), [(Plan.PRO, "pro"), (Level.TWO, 2), (Ratio(1.5), 1.5)]
)
def test_subclasses_count_as_what_they_are_made_of(value: Any, plain: Any) -> None:
    """Enumerations and numbers of libraries match as their plain values, both ways."""
    for property_value, rule_value in [(value, plain), (plain, value), (value, value)]:
        assert matches(Operator.EQUALS, [rule_value], property_value)
        assert matches(Operator.IN, ["x", rule_value], property_value)
        assert matches(Operator.GTE, [rule_value], property_value)
        assert not matches(Operator.NOT_EQUALS, [rule_value], property_value)
        assert not matches(Operator.GT, [rule_value], property_value)
    assert matches(Operator.REGEX, [f"^{plain}$"], value)


def fail(*_: object) -> Any:
    """Stand in for a method."""
    raise ZeroDivisionError


class HostileText(str):
    """A text whose every method fails."""

    __slots__ = ()

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = fail
    __hash__ = __str__ = __repr__ = __len__ = __bool__ = __format__ = fail


class Hostile:
    """A value whose every method fails, even the one that tells its class."""

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = fail
    __hash__ = __str__ = __repr__ = __len__ = __bool__ = __float__ = fail
    __class__ = property(fail)


@pytest.mark.parametrize("operator", list(Operator))
def test_a_hostile_text_is_its_characters(operator: Operator) -> None:
    """No code of a property's own class decides, or fails."""
    expected = matches(operator, ["a"], "a")
    assert matches(operator, ["a"], HostileText("a")) is expected


@pytest.mark.parametrize("operator", list(Operator))
def test_a_hostile_value_equals_nothing(operator: Operator) -> None:
    """A value of an unknown type is unequal to everything, whatever its methods do."""
    assert matches(operator, ["a"], Hostile()) is (operator in NEGATED)


def test_an_integer_of_too_many_digits_is_never_written() -> None:
    """Writing it could take long; no text may have so many, so it matches nothing."""
    assert matches(Operator.REGEX, [r"^\d+$"], 10**999)
    assert not matches(Operator.REGEX, [r"^\d+$"], 10**1_000)
    assert not matches(Operator.REGEX, [r"^\d+$"], 10**10_000)
    with pytest.raises(ValueError, match="too many digits"):
        as_text(10**10_000)


def test_an_expression_sees_other_types_as_text() -> None:
    """An object is examined as it writes itself."""

    class Version:
        def __str__(self) -> str:
            return "1.2.3"

    assert matches(Operator.REGEX, [r"^1\.2\."], Version())


@pytest.mark.parametrize("operator", list(Operator))
def test_properties_may_be_any_mapping(operator: Operator) -> None:
    """A property that is not there matches nothing, and is not asked for twice."""
    asked = []

    class Lazy(dict[str, Any]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.append(name)
            return default

    assert not compile_rule(Rule("p", operator, ("a",)))(Lazy(p="a"))
    assert asked == ["p"]
