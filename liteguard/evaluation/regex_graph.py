"""Reads a regular expression as a graph: its characters, and what can follow each."""

from __future__ import annotations

import re
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, NamedTuple

from liteguard.errors import BundleError
from liteguard.evaluation.regex_alphabet import Alphabet

if TYPE_CHECKING:
    from collections.abc import Iterable

# Up to so many rounds, a repetition counts as if it was written out.
_FEW_ROUNDS = 4
# Reading is a part of the first check of a guard: this keeps it to milliseconds.
_MOST_LINKS = 10_000

_CHARACTERS = frozenset({"LITERAL", "NOT_LITERAL", "ANY", "IN"})

EXPONENTIAL = "could take exponential time"


class Loop(NamedTuple):
    """A repetition of many rounds that is not inside of another one.

    Args:
        following: By place of its body, what can come next while it goes on.
        is_exact: Whether the number of its rounds is fixed.
        copies: How often the repetitions of few rounds around it write it out.
    """

    following: dict[int, list[int]]
    is_exact: bool
    copies: int


def read_graph(tree: Any) -> Graph:
    """Return the graph of a pattern that the parser has read.

    Raises:
        BundleError: The pattern repeats what can match nothing in two ways, has too
            many links, or a construct that is not known.
    """
    graph = Graph(tree, tree.state.flags, Alphabet(tree))
    graph.is_anchored = _is_anchored(tree)
    return graph


class Graph:
    """A pattern's places, one for each of its characters or classes of characters.

    Attributes:
        characters: By place, what it accepts; one bit for each sample character.
        following: By place, the places that can come next, once for each way there.
        first: The places that can come first.
        copies: By place, how often repetitions of few rounds write it out.
        loops: The repetitions of many rounds.
        looks: What is looked ahead or back for, each a graph of its own.
        empty_choices: In how many spots nothing at all can be matched in two ways.
        back_references: How often an earlier group is referred to.
        is_anchored: Whether a match can begin only where the text begins.

    Args:
        items: The pattern as the parser gives it.
        flags: The flags in force.
        alphabet: The sample characters.
    """

    def __init__(self, items: Iterable[Any], flags: int, alphabet: Alphabet) -> None:
        self.characters: list[int] = []
        self.following: list[list[int]] = []
        self.copies: list[int] = []
        self.loops: list[Loop] = []
        self.looks: list[Graph] = []
        self.empty_choices = 0
        self.back_references = 0
        self.is_anchored = True
        self._alphabet = alphabet
        self._link_count = 0
        self.first = self._sequence(items, flags, rounds=1).first

    def accepted(self, places: Iterable[int]) -> int:
        """Return all that any of some places accepts."""
        return reduce(or_, (self.characters[place] for place in places), 0)

    def after(self, loop: Loop) -> set[int]:
        """Return the places that can come after those of a loop."""
        return {q for place in loop.following for q in self.following[place]}

    def _sequence(self, items: Iterable[Any], flags: int, rounds: int) -> _Part:
        """Add pieces that follow one another and that *rounds* repetitions surround."""
        whole = _NOTHING
        for kind, content in items:
            part = self._piece(str(kind), content, flags, rounds)
            self._link(whole.last, part.first)
            whole = _Part(
                whole.is_optional and part.is_optional,
                whole.first + part.first if whole.is_optional else whole.first,
                whole.last + part.last if part.is_optional else part.last,
            )
        return whole

    def _piece(self, kind: str, content: Any, flags: int, rounds: int) -> _Part:
        if kind in _CHARACTERS:
            accepted = self._alphabet.accepted_by(kind, content, flags)
            return self._place(accepted, rounds)
        if kind in {"SUBPATTERN", "ATOMIC_GROUP"}:
            return self._group(content, flags, rounds)
        if kind.endswith("_REPEAT"):
            return self._repeat(content, flags, rounds)
        if kind in {"BRANCH", "GROUPREF_EXISTS"}:
            return self._branches(content, flags, rounds)
        return self._other(kind, content, flags, rounds)

    def _other(self, kind: str, content: Any, flags: int, rounds: int) -> _Part:
        if kind in {"ASSERT", "ASSERT_NOT"}:
            # Tried on each way that leads here, but never gone back into.
            self.looks.append(Graph(content[1], flags, self._alphabet))
            return _NOTHING
        if kind == "GROUPREF":
            self._refuse_in_loop(rounds)
            self.back_references += rounds
            anything = self._place(self._alphabet.all, rounds)
            return anything._replace(is_optional=True)
        if kind in {"AT", "FAILURE"}:
            return _NOTHING
        raise BundleError(f"uses {kind}, which is not supported")

    def _place(self, characters: int, rounds: int) -> _Part:
        place = len(self.following)
        self.characters.append(characters)
        self.following.append([])
        self.copies.append(rounds)
        return _Part(is_optional=False, first=(place,), last=(place,))

    def _group(self, content: Any, flags: int, rounds: int) -> _Part:
        if not isinstance(content, tuple):
            return self._sequence(content, flags, rounds)
        _, added, removed, items = content
        if added & re.ASCII:
            flags &= ~re.UNICODE
        return self._sequence(items, (flags | added) & ~removed, rounds)

    def _branches(self, content: Any, flags: int, rounds: int) -> _Part:
        # Either (nothing, branches) or (group, branch, branch or nothing).
        branches = content[1] if content[0] is None else content[1:]
        parts = [self._sequence(items or (), flags, rounds) for items in branches]
        optional = sum(part.is_optional for part in parts)
        self._count_empty_choices(optional - 1, rounds)
        return _Part(
            optional > 0,
            tuple(place for part in parts for place in part.first),
            tuple(place for part in parts for place in part.last),
        )

    def _repeat(self, content: Any, flags: int, rounds: int) -> _Part:
        least, most, items = content
        start = len(self.following)
        part = self._sequence(items, flags, rounds * max(most, 1))
        if most > 1:
            self._link(part.last, part.first)
        is_loop = most > 1 and rounds * most > _FEW_ROUNDS
        if is_loop and rounds <= _FEW_ROUNDS:
            body = dict(enumerate(map(list, self.following[start:]), start))
            self.loops.append(Loop(body, least == most, rounds))
            self.copies[start:] = [rounds] * len(body)
        if part.is_optional:
            if is_loop and least > 1:
                raise BundleError(EXPONENTIAL)
            self._count_empty_choices(1 if is_loop else most, rounds)
        return part._replace(is_optional=part.is_optional or least == 0)

    def _count_empty_choices(self, number: int, rounds: int) -> None:
        if number > 0:
            self._refuse_in_loop(rounds)
            self.empty_choices += number * rounds

    def _refuse_in_loop(self, rounds: int) -> None:
        if rounds > _FEW_ROUNDS:
            raise BundleError(EXPONENTIAL)

    def _link(self, places: tuple[int, ...], following: tuple[int, ...]) -> None:
        self._link_count += len(places) * len(following)
        if self._link_count > _MOST_LINKS:
            raise BundleError("is too complex")
        for place in places:
            self.following[place].extend(following)


class _Part(NamedTuple):
    """Where a piece of a pattern begins and ends, and whether it may be empty."""

    is_optional: bool
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()


_NOTHING = _Part(is_optional=True)


def _is_anchored(tree: Any) -> bool:
    place = str(tree[0][1]) if tree and str(tree[0][0]) == "AT" else ""
    is_line = bool(tree.state.flags & re.MULTILINE)
    return place == "AT_BEGINNING_STRING" or (place == "AT_BEGINNING" and not is_line)
