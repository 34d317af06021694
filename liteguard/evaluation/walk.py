"""Walks JSON text one member or element at a time.

Each step is one short call of the C scanner: between two steps other threads can run.
Reading a large bundle in one call would stop every thread of the process for as long.
"""

from __future__ import annotations

import re
from json import JSONDecoder
from typing import TYPE_CHECKING

from liteguard.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterator

TOO_DEEP = object()
"""Stands for a value that is nested more deeply than Python can follow."""

# As floats, integers of any length are read in linear time and without an error.
_DECODER = JSONDecoder(parse_int=float)
_SPACE = re.compile(r"[ \t\n\r]*")
# A string that never ends counts as one up to the end: looking for the end of each of
# its quotes would take quadratic time.
_STRING_OR_BRACKET = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{}]', re.DOTALL
)


class Cursor:
    """A place in JSON text.

    `members` and `elements` stop at each value; whoever iterates must take it with
    `value`, or by iterating into it, before going on. Every method raises `BundleError`
    where the text is not the JSON that it expects. Used by one thread.

    Args:
        text: The JSON text.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def members(self) -> Iterator[str]:
        """Enter an object and yield each key, standing at its value."""
        for _ in self._items("{", "}"):
            key = self.value()
            if not isinstance(key, str):
                raise self._unexpected("a key")
            self._expect(":")
            yield key

    def elements(self) -> Iterator[None]:
        """Enter an array and stop at each element."""
        return self._items("[", "]")

    def is_at_array(self) -> bool:
        """Whether the value here is an array."""
        return self._text.startswith("[", self._skip_space())

    def value(self) -> object:
        """Take the value here; every number of it becomes a float."""
        return self.value_and_place()[0]

    def value_and_place(self) -> tuple[object, slice]:
        """Take the value here together with the part of the text that spells it."""
        start = self._skip_space()
        try:
            value, self._at = _DECODER.raw_decode(self._text, start)
        except RecursionError:
            value, self._at = TOO_DEEP, self._end_of_brackets(start)
        except ValueError:
            # Without its cause, which would keep the whole text alive.
            raise self._unexpected("a value") from None
        return value, slice(start, self._at)

    def finish(self) -> None:
        """Check that nothing follows."""
        if self._skip_space() != len(self._text):
            raise self._unexpected("the end")

    def _items(self, opening: str, closing: str) -> Iterator[None]:
        self._expect(opening)
        if self._accept(closing):
            return
        yield
        while not self._accept(closing):
            self._expect(",")
            yield

    def _accept(self, character: str) -> bool:
        if not self._text.startswith(character, self._skip_space()):
            return False
        self._at += 1
        return True

    def _expect(self, character: str) -> None:
        if not self._accept(character):
            raise self._unexpected(repr(character))

    def _skip_space(self) -> int:
        space = _SPACE.match(self._text, self._at)
        self._at = space.end() if space else self._at
        return self._at

    def _end_of_brackets(self, start: int) -> int:
        depth = 0
        for found in _STRING_OR_BRACKET.finditer(self._text, start):
            character = self._text[found.start()]
            depth += (character in "[{") - (character in "]}")
            if depth == 0:
                return found.end()
        raise self._unexpected("a closing bracket")

    def _unexpected(self, wanted: str) -> BundleError:
        return BundleError(f"expected {wanted} at character {self._at}")
