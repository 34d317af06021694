"""Tells how long a text may be for Python's engine to search it in a bounded time.

A repetition is ambiguous if two different ways through its places lead, with the same
text, from one place back to it: then each round doubles the ways. Otherwise the ways
are a polynomial of the text's length, whose degree is how many repetitions the text
leaves free to end here or there.
"""

from __future__ import annotations

from itertools import product
from math import comb

from liteguard.errors import BundleError
from liteguard.evaluation.regex_graph import EXPONENTIAL, Graph, Loop, read_pattern

LONGEST_TEXT = 1_000
"""In characters."""

# A text of this length, as a name or an address, must be searchable.
_SHORTEST_USEFUL_TEXT = 64
# The engine takes some tens of millions of steps in a second.
_MOST_SEARCH_STEPS = 20_000_000
# Screening is a part of the first check of a guard: this keeps it to milliseconds.
_MOST_SCREENING_STEPS = 50_000


def longest_text(pattern: str) -> int:
    """Return how many characters may be searched for *pattern*, which must be valid.

    Raises:
        BundleError: It could take exponential time, or too long for any useful text.
    """
    graph = read_pattern(pattern)
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
    """Return how many ways the text leaves open outside of loops."""
    loop_of = {place: loop for loop in graph.loops for place in loop.following}
    ways = 1
    for place, following in enumerate(graph.following):
        inner = loop_of[place].following[place] if place in loop_of else ()
        leaving = following[len(inner) :]
        loops = [other for other in leaving if other in loop_of]
        others = [other for other in leaving if other not in loop_of]
        choices = _choices(graph, loops) * _choices(graph, others)
        for other in loops:
            # Whether to enter a loop or what comes after it is told by its free end.
            before = set(others).difference(graph.after(loop_of[other]))
            choices += bool(graph.accepted(before) & graph.characters[other])
        ways *= choices ** graph.copies[place]
    return ways


def _choices(graph: Graph, places: list[int]) -> int:
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
