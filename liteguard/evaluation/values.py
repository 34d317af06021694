"""Brings property and rule values to one form in which they can be compared.

`comparable` runs no code of a value's own class, so nothing there can raise or wait.
"""

from __future__ import annotations

import math
from typing import Any, Optional, Union

Comparable = Union[str, float, object]

# Writing an integer takes time that grows with the square of its length, which newer
# Pythons therefore bound. No expression is tried on so long a text.
_MOST_BITS = 10_000

# Python holds True equal to 1; rules do not.
_TRUE = object()
_FALSE = object()


def comparable(value: Any) -> Optional[Comparable]:
    """Return what equals another value's form exactly where a rule calls them equal.

    Text stays text, and numbers become doubles as in every other Liteguard SDK; an
    integer beyond their range becomes an infinity. Subclasses count as what they are
    made of: an enumeration of texts as its text. Everything else, null and NaN
    included, is ``None`` and equals nothing.
    """
    kind = type(value)
    # The two usual types first: a rule that looks at a number is a quarter faster.
    if kind is str:
        text: str = value
        return text
    return _double(value) if kind is int else _comparable_of(kind, value)


def _comparable_of(kind: type, value: Any) -> Optional[Comparable]:
    if kind is bool:
        return _TRUE if value else _FALSE
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return _double(int.__int__(value))
    if issubclass(kind, float):
        number = float.__float__(value)
        return None if math.isnan(number) else number
    return None


def as_text(value: Any) -> str:
    """Return the text that a regular expression examines.

    Text stays text, whatever its subclass says of itself; numbers and booleans are as
    Python writes them.

    Raises:
        ValueError: It is an integer of thousands of digits.
        Exception: Whatever the ``__str__`` of a value of any other type raises.
    """
    kind = type(value)
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int) and kind is not bool:
        return _digits(value)
    if issubclass(kind, float):
        return float.__repr__(value)
    return str.__str__(str(value))


def _digits(number: int) -> str:
    if int.bit_length(number) > _MOST_BITS:
        raise ValueError("it has too many digits")
    return int.__repr__(number)


def _double(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
