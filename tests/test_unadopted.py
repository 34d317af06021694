"""Checks of guards that nobody has adopted are counted by name, within bounds."""

from __future__ import annotations

import json

import orjson
import pytest

from journals import in_threads
from liteguard.telemetry.unadopted import UnadoptedCounts, encode_observations

MAX_NAMES = 1000


def counted(*checks: tuple[str, float]) -> UnadoptedCounts:
    """Return the counts of checks, each a name and its moment in seconds."""
    counts = UnadoptedCounts()
    for name, moment in checks:
        counts.count(name, moment)
    return counts


def test_checks_of_one_name_are_one_observation() -> None:
    """It tells the first and last sight in milliseconds, and how many there were."""
    (observation,) = encode_observations(
        counted(("a.guard", 10.0), ("a.guard", 11.5), ("a.guard", 70.0)).take()
    )
    assert observation == {
        "guardName": "a.guard",
        "firstSeenMs": 10_000,
        "lastSeenMs": 70_000,
        "checkCount": 3,
        "estimatedChecksPerMinute": 3.0,
    }


@pytest.mark.parametrize(
    ("moments", "per_minute"),
    [([5.0], 60), ([5.0, 5.5], 120), ([5.0, 6.0], 120), ([5.0, 35.0], 4)],
)
def test_rate_is_taken_over_one_second_at_least(
    moments: list[float], per_minute: float
) -> None:
    """A single check counts as sixty in a minute, as in the published package."""
    counts = counted(*(("a.guard", moment) for moment in moments))
    (observation,) = encode_observations(counts.take())
    assert observation["estimatedChecksPerMinute"] == per_minute


def test_clock_that_is_set_back_breaks_nothing() -> None:
    """The rate stays a positive number."""
    (observation,) = encode_observations(
        counted(("a.guard", 100.0), ("a.guard", 1.0)).take()
    )
    assert observation["estimatedChecksPerMinute"] == 120


def test_observations_are_sorted_by_name() -> None:
    """The same counts make the same document."""
    counts = counted(("b", 1.0), ("c", 1.0), ("a", 1.0))
    names = [entry["guardName"] for entry in encode_observations(counts.take())]
    assert names == ["a", "b", "c"]


def test_taking_begins_anew() -> None:
    """What was taken is not reported a second time."""
    counts = counted(("a.guard", 1.0))
    assert counts.take() == {"a.guard": [1000, 1000, 1]}
    assert counts.take() == {}


def test_given_back_counts_join_those_made_since() -> None:
    """A failed flush loses no check and no moment."""
    counts = counted(("a", 2.0), ("b", 2.0))
    taken = counts.take()
    counts.count("a", 9.0)
    counts.count("c", 9.0)
    counts.give_back(taken)
    assert counts.take() == {
        "a": [2000, 9000, 2],
        "b": [2000, 2000, 1],
        "c": [9000, 9000, 1],
    }


def test_names_are_bounded() -> None:
    """A name made from user input does not grow memory; known names still count."""
    counts = counted(*((f"guard-{number}", 1.0) for number in range(3 * MAX_NAMES)))
    counts.count("guard-0", 2.0)
    taken = counts.take()
    assert len(taken) == MAX_NAMES
    assert taken["guard-0"] == [1000, 2000, 2]


def test_names_given_back_stay_within_the_bound() -> None:
    """A thousand names that could not be sent and a thousand new ones are too many."""
    counts = counted(*((f"old-{number}", 1.0) for number in range(MAX_NAMES)))
    taken = counts.take()
    for number in range(MAX_NAMES):
        counts.count(f"new-{number}", 2.0)
    counts.give_back(taken)
    assert len(counts.take()) == MAX_NAMES


@pytest.mark.parametrize("name", ["", "x" * 201, "x" * 10_000_000])
def test_name_that_no_guard_can_have_is_not_kept(name: str) -> None:
    """It would be refused by the backend, or fill memory."""
    assert counted((name, 1.0)).take() == {}


@pytest.mark.parametrize("name", ["\ud800", "a\udfffb", "Grüße ☃", 'a"\\\n\0'])
def test_any_name_makes_a_valid_document(name: str) -> None:
    """A name that UTF-8 cannot carry does not spoil the others' observations."""
    observations = encode_observations(counted((name, 1.0), ("z.guard", 1.0)).take())
    assert len(json.loads(orjson.dumps(observations))) == 2


def test_checks_of_many_threads_are_all_counted() -> None:
    """No check is lost between threads, nor between a thread and a flush."""
    counts = UnadoptedCounts()
    taken: list[dict[str, list[int]]] = []

    def check(number: int) -> None:
        for _ in range(1000):
            counts.count("a.guard", 1.0)
            if number == 0:
                taken.append(counts.take())

    in_threads(4, check)
    taken.append(counts.take())
    assert sum(seen["a.guard"][2] for seen in taken if seen) == 4000
