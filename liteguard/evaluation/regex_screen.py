"""Tells whether Python's engine could need exponential time for a regular expression.

A pattern is read as a graph: a place for each of its characters, and links to the
places that can come next. A repetition is ambiguous if two different ways through its
places lead, with the same text, from one place back to it. Then each round doubles the
ways; without such a repetition their number is a polynomial of the text's length.
"""

from __future__ import annotations

import re
import sys
from importlib import import_module
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from liteguard.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Up to so many rounds, a repetition counts as if it was written out.
_FEW_ROUNDS = 4
_MOST_CHOICES = 20
# Screening is a part of the first check of a guard: these keep it to milliseconds.
_MOST_LINKS = 10_000
_MOST_STEPS = 50_000

# The standard library's own parser. It is no public interface; its trees rarely change.
_IS_PACKAGE = sys.version_info >= (3, 11)
_parser: Any = import_module("re._parser" if _IS_PACKAGE else "sre_parse")
_compiler: Any = import_module("re._compiler" if _IS_PACKAGE else "sre_compile")

# Whether two classes of characters overlap is tried with these, and with those that the
# pattern mentions and their neighbours: a letter, digit, space, mark and symbol.
_SAMPLE = frozenset(map(chr, range(128))) | frozenset("é\u0663\u2003\u0301☃\U0001d4b3")


def refuse_blow_up(pattern: str) -> None:
    """Raise `BundleError` if *pattern*, which must be valid, could blow up."""
    tree = _parser.parse(pattern)
    graph = _Graph("".join(_SAMPLE.union(_mentioned(tree))))
    graph.add_sequence(tree, tree.state.flags, rounds=1)
    if graph.count_choices() > _MOST_CHOICES:
        raise BundleError(f"has more than {_MOST_CHOICES} choices")


class _Part(NamedTuple):
    """Where a piece of a pattern begins and ends, and whether it may be empty."""

    is_optional: bool
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()


_NOTHING = _Part(is_optional=True)


class _Graph:
    """Places by number; the characters of each are bits, one for each of *alphabet*."""

    def __init__(self, alphabet: str) -> None:
        self._alphabet = alphabet
        self._known: dict[str, int] = {}
        self._characters: list[int] = []
        self._next: list[list[int]] = []
        self._link_count = 0
        self._repeated: set[int] = set()

    def add_sequence(self, items: Iterable[Any], flags: int, rounds: int) -> _Part:
        """Add pieces that follow one another and that *rounds* repetitions surround."""
        whole = _NOTHING
        for kind, content in items:
            part = self._add(kind, content, flags, rounds)
            self._link(whole.last, part.first)
            whole = _Part(
                whole.is_optional and part.is_optional,
                whole.first + part.first if whole.is_optional else whole.first,
                whole.last + part.last if part.is_optional else part.last,
            )
        return whole

    def count_choices(self) -> int:
        """Count places outside of repetitions after which the text leaves a choice."""
        outside = set(range(len(self._next))) - self._repeated
        return sum(self._has_choice(place) for place in outside)

    def _add(self, kind: Any, content: Any, flags: int, rounds: int) -> _Part:
        name = str(kind)
        if name in {"LITERAL", "NOT_LITERAL", "ANY", "IN"}:
            return self._add_place(self._accepted_by((kind, content), flags))
        if name in {"SUBPATTERN", "ATOMIC_GROUP"}:
            return self._add_group(content, flags, rounds)
        if name.endswith("_REPEAT"):
            return self._add_repeat(content, flags, rounds)
        if name in {"BRANCH", "GROUPREF_EXISTS"}:
            return self._add_branches(content, flags, rounds)
        return self._add_other(name, content, flags)

    def _add_place(self, characters: int) -> _Part:
        place = len(self._next)
        self._characters.append(characters)
        self._next.append([])
        return _Part(is_optional=False, first=(place,), last=(place,))

    def _add_group(self, content: Any, flags: int, rounds: int) -> _Part:
        if not isinstance(content, tuple):
            return self.add_sequence(content, flags, rounds)
        _, added, removed, items = content
        if added & re.ASCII:
            flags &= ~re.UNICODE
        return self.add_sequence(items, (flags | added) & ~removed, rounds)

    def _add_branches(self, content: Any, flags: int, rounds: int) -> _Part:
        # Either (nothing, branches) or (group, branch, branch or nothing).
        branches = content[1] if content[0] is None else content[1:]
        parts = [self.add_sequence(items or (), flags, rounds) for items in branches]
        return _Part(
            any(part.is_optional for part in parts),
            tuple(place for part in parts for place in part.first),
            tuple(place for part in parts for place in part.last),
        )

    def _add_other(self, name: str, content: Any, flags: int) -> _Part:
        if name in {"ASSERT", "ASSERT_NOT"}:
            # Looked at once for each way that leads here, and never gone back into.
            self.add_sequence(content[1], flags, rounds=1)
            return _NOTHING
        if name == "GROUPREF":
            anything = self._add_place((1 << len(self._alphabet)) - 1)
            return anything._replace(is_optional=True)
        if name in {"AT", "FAILURE"}:
            return _NOTHING
        raise BundleError(f"uses {name}, which is not supported")

    def _add_repeat(self, content: Any, flags: int, rounds: int) -> _Part:
        least, most, items = content
        start = len(self._next)
        body = self.add_sequence(items, flags, rounds * max(most, 1))
        if most > 1:
            self._link(body.last, body.first)
        if most > 1 and rounds * most > _FEW_ROUNDS:
            self._repeated.update(range(start, len(self._next)))
            # Rounds that must be there but may be empty are a choice each.
            is_vague = body.is_optional and least > 1
            if is_vague or (rounds <= _FEW_ROUNDS and self._is_ambiguous(start)):
                raise BundleError("could take exponential time")
        return body._replace(is_optional=body.is_optional or least == 0)

    def _accepted_by(self, item: Any, flags: int) -> int:
        """Return the characters of the alphabet that one item of a tree matches."""
        key = f"{item} {flags}"
        if key not in self._known:
            state = _parser.State()
            state.flags = flags
            compiled = _compiler.compile(_parser.SubPattern(state, [item]), flags)
            matches = [bool(compiled.match(c)) for c in self._alphabet]
            self._known[key] = sum(bit << at for at, bit in enumerate(matches))
        return self._known[key]

    def _link(self, places: tuple[int, ...], following: tuple[int, ...]) -> None:
        self._link_count += len(places) * len(following)
        if self._link_count > _MOST_LINKS:
            raise BundleError("is too complex")
        for place in places:
            self._next[place].extend(following)

    def _has_choice(self, place: int) -> bool:
        seen = 0
        for following in self._next[place]:
            if seen & self._characters[following]:
                return True
            seen |= self._characters[following]
        return False

    def _is_ambiguous(self, start: int) -> bool:
        """Whether the repetition of all places from *start* on is ambiguous."""
        places = range(start, len(self._next))
        if any(len(set(self._next[p])) < len(self._next[p]) for p in places):
            return True
        # Two ways at once: from one place to two, and on until they meet in one again.
        # Everything in a repetition leads back to where the two ways parted.
        pending = [(place, place) for place in places]
        seen = set(pending)
        steps = 0
        while pending:
            pair = pending.pop()
            for a, b in product(self._next[pair[0]], self._next[pair[1]]):
                steps += 1
                if steps > _MOST_STEPS:
                    raise BundleError("is too complex")
                if not self._characters[a] & self._characters[b]:
                    continue
                if a == b and pair[0] != pair[1]:
                    return True
                if (a, b) not in seen:
                    seen.add((a, b))
                    pending.append((a, b))
        return False


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
