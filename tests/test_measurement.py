"""Readings of the process: what they are, how old they may be, who may ask."""

from __future__ import annotations

import gc
import time

import orjson
import pytest

from journals import in_threads
from liteguard.telemetry.measurement import ProcessReadings


def sample(readings: ProcessReadings, now: float) -> dict[str, int]:
    """Return readings as the backend gets them."""
    decoded: dict[str, int] = orjson.loads(readings.sample(now))
    return decoded


def test_readings_are_those_of_the_protocol() -> None:
    """Memory in bytes, processor time in nanoseconds, and collections."""
    before = time.process_time_ns()
    found = sample(ProcessReadings(), time.time())
    assert set(found) == {"rssBytes", "cpuTimeNs", "gcCount"}
    assert before <= found["cpuTimeNs"] <= time.process_time_ns()
    assert 2**20 < found["rssBytes"] < 2**40
    assert found["gcCount"] >= 0


def test_memory_is_what_the_process_holds_now() -> None:
    """It is not the peak: what was given back is not counted."""
    readings = ProcessReadings()
    before = sample(readings, 1.0)["rssBytes"]
    block = bytearray(b"x" * 64 * 2**20)
    during = sample(readings, 2.0)["rssBytes"]
    del block
    after = sample(readings, 3.0)["rssBytes"]
    assert during > before + 32 * 2**20
    assert after < during - 32 * 2**20


def test_collections_are_counted() -> None:
    """Each collection of any generation is one."""
    readings = ProcessReadings()
    before = sample(readings, 1.0)["gcCount"]
    gc.collect()
    assert sample(readings, 2.0)["gcCount"] > before


@pytest.mark.parametrize(
    ("seconds", "is_kept"), [(0.0, True), (0.09, True), (0.2, False)]
)
def test_readings_are_kept_for_a_tenth_of_a_second(
    seconds: float, *, is_kept: bool
) -> None:
    """A check in a hurry costs no system call; a later one is not told old news."""
    readings = ProcessReadings()
    first = readings.sample(1000.0)
    assert (readings.sample(1000.0 + seconds) is first) is is_kept


def test_clock_that_is_set_back_makes_readings_new() -> None:
    """They would otherwise be kept until the clock has caught up."""
    readings = ProcessReadings()
    first = readings.sample(1000.0)
    assert readings.sample(10.0) is not first


def test_no_thread_finds_readings_missing() -> None:
    """While one thread takes the first, another takes its own or waits for none."""
    for _ in range(20):
        readings = ProcessReadings()
        found: list[bytes] = []

        def ask(_thread: int, readings: ProcessReadings = readings) -> None:
            found.append(readings.sample(1000.0))  # noqa: B023  the threads end in this round

        in_threads(4, ask)
        assert all(found)
