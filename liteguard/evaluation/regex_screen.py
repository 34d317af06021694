"""Tells how long a text may be for Python's engine to search it in a bounded time.

A repetition is ambiguous if two different ways through its places lead, with the same
text, from one place back to it: then each round doubles the ways. Otherwise the ways
are a polynomial of the text's length, whose degree is how many repetitions the text
leaves free to end here or there.
"""

from __future__ import annotations

from itertools import chain, product
from math import comb, prod
from typing import TYPE_CHECKING, Any

from liteguard.errors import BundleError
from liteguard.evaluation.regex_graph import EXPONENTIAL, Graph, Loop, read_graph

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST_TEXT = 1_000
"""In characters."""

# A text of this length, as a name or an address, must be searchable.
_SHORTEST_USEFUL_TEXT = 64
# The engine takes some tens of millions of steps in a second, and holds the GIL.
_MOST_SEARCH_STEPS = 2_000_000
# Screening is a part of the first check of a guard: this keeps it to milliseconds.
_MOST_SCREENING_STEPS = 50_000


def longest_text(tree: Any) -> int:
    """Return how many characters may be searched for a pattern that was parsed.

    Raises:
        BundleError: It could take exponential time, or too long for any useful text.
    """
    graph = read_graph(tree)
    degree, ways = _cost(graph)
    if not graph.is_anchored:
        degree += 1
    for length in range(LONGEST_TEXT, _SHORTEST_USEFUL_TEXT - 1, -1):
        if ways * comb(length + degree, degree) <= _MOST_SEARCH_STEPS:
            return length
    raise BundleError("could take too long")


def _cost(graph: Graph) -> tuple[int, int]:
    """Return the degree of a graph, and how many ways there are besides."""
    free_ends = [loop.copies for loop in graph.loops if _is_end_free(graph, loop)]
    # All others together are gone through once for each way through these.
    has_others = len(free_ends) < len(graph.loops)
    degree = sum(free_ends) + has_others + graph.back_references
    ways = 2**graph.empty_choices * _ways(graph)
    for degree_of_look, ways_of_look in map(_cost, graph.looks):
        degree += degree_of_look
        ways *= ways_of_look
    return degree, ways


def _is_end_free(graph: Graph, loop: Loop) -> bool:
    """Whether the text leaves open when a loop ends.

    Raises:
        BundleError: The loop is ambiguous.
    """
    if _is_parted(loop.following, graph.characters):
        return True
    return not loop.is_exact and any(
        graph.accepted(within) & graph.accepted(graph.following[place][len(within) :])
        for place, within in loop.following.items()
    )


def _ways(graph: Graph) -> int:
    """Return how many ways the text leaves open outside of loops.

    What branches has at most as many ends as the choices on one way to an end multiply
    to: so only the way with the most of them counts.
    """
    loop_of = {place: loop for loop in graph.loops for place in loop.following}
    ways_from: dict[int, int] = {}
    for place in reversed(range(len(graph.following))):
        if place not in ways_from:
            members = loop_of[place].following if place in loop_of else {place: []}
            leaving = {
                member: graph.following[member][len(inner) :]
                for member, inner in members.items()
            }
            ways = prod(
                _choices_after(graph, places, loop_of) ** graph.copies[member]
                for member, places in leaving.items()
            )
            further = (ways_from.get(q, 1) for q in chain(*leaving.values()))
            ways_from.update(dict.fromkeys(members, ways * max(further, default=1)))
    further = (ways_from[place] for place in graph.first)
    return _choices_after(graph, graph.first, loop_of) * max(further, default=1)


def _choices_after(
    graph: Graph, leaving: Sequence[int], loop_of: dict[int, Loop]
) -> int:
    loops = [other for other in leaving if other in loop_of]
    others = [other for other in leaving if other not in loop_of]
    choices = _choices(graph, loops) * _choices(graph, others)
    for other in loops:
        # Whether to enter a loop or what comes after it is told by its free end.
        before = set(others).difference(graph.after(loop_of[other]))
        choices += bool(graph.accepted(before) & graph.characters[other])
    return choices


def _choices(graph: Graph, places: Sequence[int]) -> int:
    seen, choices = 0, 1
    for place in places:
        choices += bool(seen & graph.characters[place])
        seen |= graph.characters[place]
    return choices


def _is_parted(following: dict[int, list[int]], characters: list[int]) -> bool:
    """Whether two ways through a loop can go on side by side without ever meeting.

    Raises:
        BundleError: Two ways meet: everything in a loop leads back to where they
            parted, so it is ambiguous.
    """
    if any(len(set(places)) < len(places) for places in following.values()):
        raise BundleError(EXPONENTIAL)
    pending = [(place, place) for place in following]
    seen = set(pending)
    steps = 0
    while pending:
        pair = pending.pop()
        for a, b in product(following[pair[0]], following[pair[1]]):
            steps += 1
            if steps > _MOST_SCREENING_STEPS:
                raise BundleError("is too complex")
            if not characters[a] & characters[b]:
                continue
            if a == b and pair[0] != pair[1]:
                raise BundleError(EXPONENTIAL)
            if (a, b) not in seen:
                seen.add((a, b))
                pending.append((a, b))
    return len(seen) > len(following)
