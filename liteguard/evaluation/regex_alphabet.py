"""Which characters the pieces of a regular expression accept, told by samples."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

from liteguard.errors import BundleError
from liteguard.evaluation.regex_tree import compile_piece

if TYPE_CHECKING:
    from collections.abc import Iterator

# Whether two classes of characters overlap is tried with these, and with those that the
# pattern mentions and their neighbours: a letter, digit, space, mark and symbol.
_SAMPLE = frozenset(map(chr, range(128))) | frozenset("é\u0663\u2003\u0301☃\U0001d4b3")
# Screening is a part of the first check of a guard: this keeps it to milliseconds.
_MOST_TESTS = 200_000


class Alphabet:
    """The sample characters of one pattern. Used by one thread.

    Args:
        tree: The pattern as the parser gives it.
    """

    def __init__(self, tree: Any) -> None:
        self._characters = "".join(_SAMPLE.union(_mentioned(tree)))
        self._bits = {c: 1 << at for at, c in enumerate(self._characters)}
        self._known: dict[str, int] = {}
        self._tests_left = _MOST_TESTS

    @property
    def all(self) -> int:
        """All characters, one bit for each."""
        return (1 << len(self._characters)) - 1

    def accepted_by(self, kind: str, content: Any, flags: int) -> int:
        """Return the characters that one item of the tree matches.

        Raises:
            BundleError: The pattern has too many different items.
        """
        if kind == "LITERAL" and not flags & re.IGNORECASE:
            return self._bits[chr(content)]
        key = f"{kind} {content} {flags}"
        if key not in self._known:
            self._known[key] = self._try(kind, content, flags)
        return self._known[key]

    def _try(self, kind: str, content: Any, flags: int) -> int:
        self._tests_left -= len(self._characters)
        if self._tests_left < 0:
            raise BundleError("is too complex")
        found = compile_piece(kind, content, flags).finditer(self._characters)
        return sum(1 << match.start() for match in found)


def _mentioned(tree: Any) -> Iterator[str]:
    """Yield the characters whose numbers occur in a tree, and their neighbours.

    Counts and group numbers are taken for characters as well, which does no harm.
    """
    if isinstance(tree, int):
        around = range(max(tree - 1, 0), min(tree + 2, sys.maxunicode + 1))
        yield from map(chr, around)
    elif tree is not None:
        for branch in tree:
            yield from _mentioned(branch)
