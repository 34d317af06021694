from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liteguard.backoff import Backoff


def longest(low: float, high: float) -> float:
    """Draw the largest number that may be drawn."""
    assert low <= high
    return high


def shortest(low: float, high: float) -> float:
    """Draw the smallest number that may be drawn."""
    assert low <= high
    return low


def test_the_bound_of_the_wait_doubles_up_to_the_cap() -> None:
    """Each failure in a row doubles the longest wait until the cap is reached."""
    backoff = Backoff(1.0, 20.0, uniform=longest)
    assert [backoff.fail() for _ in range(6)] == [2.0, 4.0, 8.0, 16.0, 20.0, 20.0]


def test_jitter_is_full() -> None:
    """A wait may be as short as nothing, so that hosts do not return together."""
    backoff = Backoff(1.0, 20.0, uniform=shortest)
    assert [backoff.fail() for _ in range(3)] == [0.0, 0.0, 0.0]


def test_waits_differ_by_chance() -> None:
    """Two hosts that fail together draw different waits."""
    assert len({Backoff(1.0, 1000.0).fail() for _ in range(20)}) > 1


def test_success_forgets_the_failures() -> None:
    """After a success the next failure waits as briefly as the first did."""
    backoff = Backoff(1.0, 20.0, uniform=longest)
    for _ in range(5):
        backoff.fail()
    backoff.succeed()
    assert backoff.failures == 0
    assert backoff.fail() == 2.0


def test_a_streak_of_years_does_not_overflow() -> None:
    """The ten thousandth failure waits for the cap."""
    backoff = Backoff(1.0, 20.0, uniform=longest)
    backoff.failures = 10_000
    assert backoff.fail() == 20.0


def test_retry_after_is_never_undercut() -> None:
    """What the backend asks for beats a shorter wait, and the cap."""
    backoff = Backoff(1.0, 20.0, uniform=shortest)
    assert backoff.fail(7.0) == 7.0
    assert backoff.fail(300.0) == 300.0
    assert backoff.refuse(300.0) == 310.0


def test_hosts_that_are_told_the_same_moment_do_not_return_together() -> None:
    """After what the backend asks for comes a wait by chance, as long, to the cap."""
    backoff = Backoff(1.0, 20.0, uniform=longest)
    assert backoff.fail(1.0) == 3.0
    assert backoff.fail(15.0) == 30.0
    assert backoff.fail(300.0) == 320.0


@pytest.mark.parametrize("asked", [3601.0, 1e9, float("inf")])
def test_retry_after_is_obeyed_for_an_hour_at_most(asked: float) -> None:
    """A backend that asks for a year silences a host for an hour."""
    assert Backoff(1.0, 20.0, uniform=shortest).fail(asked) == 3600.0


def test_a_refusal_waits_for_half_the_cap_at_least() -> None:
    """A wrong token is not asked about every second."""
    assert Backoff(1.0, 20.0, uniform=shortest).refuse() == 10.0
    assert Backoff(1.0, 20.0, uniform=longest).refuse() == 20.0


def test_a_refusal_counts_as_a_failure() -> None:
    """Failures and refusals form one streak."""
    backoff = Backoff(1.0, 20.0)
    backoff.refuse()
    backoff.fail()
    assert backoff.failures == 2


@given(
    base=st.floats(0.001, 10.0),
    cap=st.floats(0.001, 1e5),
    failures=st.integers(0, 100),
    retry_after=st.none() | st.floats(0.0, 1e6),
)
def test_no_wait_is_negative_or_beyond_its_bounds(
    base: float, cap: float, failures: int, retry_after: float | None
) -> None:
    """Whatever is configured, a wait is within the cap and what was asked for."""
    backoff = Backoff(base, cap)
    backoff.failures = failures
    for wait in (backoff.fail(retry_after), backoff.refuse(retry_after)):
        asked = min(retry_after or 0.0, 3600.0)
        assert asked <= wait <= asked + cap
