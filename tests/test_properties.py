"""Properties of any kind become bounded JSON that a backend can read."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Any

import orjson
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from liteguard.telemetry.properties import encode_properties

LARGEST_BYTES = 8 * 1024


class Color(enum.Enum):
    """A value as applications have them."""

    RED = "red"


class Level(enum.IntEnum):
    """A number with a name."""

    HIGH = 3


class Measure(float):
    """A float of a library's own, as numpy's are."""


class Count(int):
    """An int of a library's own."""


class Name(str):
    """A str of a library's own."""

    __slots__ = ()


class Unspeakable:
    """A value whose own code fails."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError("no text for this")

    __repr__ = __str__


Shouting = type("Shouting", (), {"__str__": lambda _self: 7})


@dataclasses.dataclass
class Account:
    """A small record."""

    name: str


def decoded(properties: Any) -> Any:
    """Encode properties, check the bound, and read them as strictly as a backend."""
    encoded = encode_properties(properties)
    assert len(encoded) <= LARGEST_BYTES
    assert orjson.loads(encoded) == json.loads(encoded)
    return orjson.loads(encoded)


def cyclic() -> list[Any]:
    """Return a list that holds itself."""
    inner: list[Any] = []
    inner.append(inner)
    return inner


def deep() -> list[Any]:
    """Return lists within lists, deeper than any encoder follows."""
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    return nested


PLAIN = [True, False, None, 0, -1, 2**53, 1.5, "", "pro", "Grüße ☃ 🙂", "a\0b\n\"'\\"]


@pytest.mark.parametrize("value", PLAIN)
def test_plain_value_is_sent_as_it_is(value: object) -> None:
    """What a rule can compare arrives as the same value and type."""
    (sent,) = decoded({"x": value}).values()
    assert (type(sent), sent) == (type(value), value)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (dt.datetime(2026, 1, 2, 3, tzinfo=dt.timezone.utc), "2026-01-02"),
        (dt.date(2026, 1, 2), "2026-01-02"),
        (decimal.Decimal("1.10"), "1.10"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (b"\xff\x00", "b'\\xff\\x00'"),
        ({1}, "{1}"),
        (2**64, "18446744073709551616"),
        (-(2**70), "-1180591620717411303424"),
        ("\ud800", "?"),
        ("ok\udfff", "ok?"),
        (Color.RED, "red"),
        (Unspeakable(), "<Unspeakable>"),
        (Shouting(), "<Shouting>"),
        pytest.param(10**5000, "", id="5001 digits"),
    ],
)
def test_value_that_json_cannot_hold_is_sent_as_text(value: object, sent: str) -> None:
    """Whatever it is, the backend gets a text that a person recognises."""
    (found,) = decoded({"x": value}).values()
    assert isinstance(found, str)
    assert found.startswith(sent)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_float_that_json_cannot_hold_is_null(value: float) -> None:
    """There is no number to send for it."""
    assert decoded({"x": value, "y": 1}) == {"x": None, "y": 1}


@pytest.mark.parametrize(
    ("value", "sent"),
    [(Measure(0.5), 0.5), (Count(5), 5), (Name("n"), "n"), (Level.HIGH, 3)],
)
def test_one_odd_neighbour_keeps_library_types_sendable(
    value: object, sent: object
) -> None:
    """Subclasses of plain types survive the way that another value's oddity takes."""
    for neighbour in ("\ud800", 2**64, "x" * 10_000):
        found = decoded({"x": value, "odd": neighbour})["x"]
        assert found in (sent, str(sent), str(value))


@pytest.mark.parametrize("make", [cyclic, deep])
def test_endless_value_is_sent_as_bounded_text(make: Any) -> None:
    """A value that no encoder ends is cut, and its neighbours arrive."""
    found = decoded({"x": make(), "plan": "pro"})
    assert found["plan"] == "pro"
    assert len(found["x"]) <= 256


def test_nested_value_is_sent_as_it_is() -> None:
    """What JSON can hold needs no text."""
    nested = {"a": [1, {"b": None}], "c": {"d": [True]}}
    assert decoded({"x": nested}) == {"x": nested}
    assert decoded({"x": Account("anna")}) == {"x": {"name": "anna"}}


def test_keys_that_are_no_str_become_text() -> None:
    """JSON has only text there."""
    assert decoded({1: "a", 2.5: "b"}) == {"1": "a", "2.5": "b"}
    assert decoded({(3, 4): "a", "plan": "pro"}) == {"(3, 4)": "a", "plan": "pro"}


def test_key_whose_own_code_fails_becomes_its_type() -> None:
    """Not even a key can make a check fail."""
    assert decoded({Unspeakable(): 1}) == {"<Unspeakable>": 1}


@pytest.mark.parametrize(
    "properties",
    [
        pytest.param({"x": "a" * 10_000_000}, id="one of 10 MB"),
        pytest.param({"x": "☃" * 10_000_000}, id="one of 30 MB"),
        pytest.param({f"name-{n}": "a" * 300 for n in range(100)}, id="many"),
        pytest.param(
            {str(n) + "n" * 300: "\0" * 300 for n in range(100)}, id="escapes"
        ),
        pytest.param({str(n) + "🙂" * 300: "🙂" * 300 for n in range(100)}, id="wide"),
        pytest.param({n: n for n in range(100_000)}, id="very many"),
        pytest.param({"x": list(range(100_000))}, id="a long list"),
    ],
)
def test_too_much_is_cut_to_the_bound(properties: dict[Any, Any]) -> None:
    """However much it is, valid JSON of at most 8 KiB with the first of it remains."""
    assert len(decoded(properties)) >= 1


def test_what_is_cut_keeps_the_small_values_before_it() -> None:
    """One value that is too large takes no other with it."""
    found = decoded({"plan": "pro", "seats": 5, "blob": "a" * 100_000, "beta": True})
    assert (found["plan"], found["seats"], found["beta"]) == ("pro", 5, True)
    assert found["blob"] == "a" * 256


def test_order_of_properties_makes_no_difference() -> None:
    """Equal properties have one text, so that a journal holds it once."""
    assert encode_properties({"a": 1, "b": 2}) == encode_properties({"b": 2, "a": 1})


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.decimals()
    | st.datetimes()
    | st.uuids()
    | st.builds(Measure, st.floats())
    | st.builds(Unspeakable),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=10,
)


# Not shrinking: deep examples with huge numbers shrink for a minute.
@settings(phases=[Phase.explicit, Phase.generate], max_examples=200, deadline=None)
@given(st.dictionaries(st.text(st.characters()) | st.integers(), VALUES))
def test_any_properties_become_bounded_json(properties: dict[Any, Any]) -> None:
    """No data makes it raise, or makes a document that a backend cannot read."""
    assert isinstance(decoded(properties), dict)
