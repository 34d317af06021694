from __future__ import annotations

import logging

import pytest

from liteguard.process.logs import Trouble, logger


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Catch what the package logs."""
    caplog.set_level(logging.INFO, logger="liteguard")
    return caplog


def test_there_is_one_logger_named_after_the_package() -> None:
    """An application silences or redirects the package by one name."""
    assert logger.name == "liteguard"


def test_a_trouble_speaks_at_its_start_and_at_its_end(
    lines: pytest.LogCaptureFixture,
) -> None:
    """A streak of the same failure is two lines, however long it is."""
    trouble = Trouble("works again")
    for _ in range(5):
        trouble.begin("disk", "cannot write: %s", "full")
    trouble.end()
    trouble.end()
    assert [(r.levelname, r.getMessage()) for r in lines.records] == [
        ("WARNING", "cannot write: full"),
        ("INFO", "works again"),
    ]


def test_an_end_without_a_beginning_is_silent(
    lines: pytest.LogCaptureFixture,
) -> None:
    """Where nothing was wrong nothing is said."""
    Trouble("works again").end()
    assert lines.records == []


def test_another_kind_of_failure_is_told(lines: pytest.LogCaptureFixture) -> None:
    """Within a streak a failure of another kind gets a line, at its own level."""
    trouble = Trouble("works again")
    trouble.begin("timeout", "no answer")
    trouble.begin("401", "wrong token", level=logging.ERROR)
    trouble.end()
    levels = [record.levelname for record in lines.records]
    assert levels == ["WARNING", "ERROR", "INFO"]


def test_the_next_streak_is_told_again(lines: pytest.LogCaptureFixture) -> None:
    """A failure that comes back after it was over gets its two lines again."""
    trouble = Trouble("works again")
    for _ in range(2):
        trouble.begin("disk", "cannot write")
        trouble.end()
    assert len(lines.records) == 4


def test_a_quiet_trouble_says_nothing(lines: pytest.LogCaptureFixture) -> None:
    """With the option `quiet` neither the start nor the end is logged."""
    trouble = Trouble("works again", quiet=True)
    trouble.begin("disk", "cannot write", level=logging.ERROR)
    trouble.end()
    assert lines.records == []


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def test_a_trouble_that_fails_in_ever_new_ways_does_not_fill_the_log(
    lines: pytest.LogCaptureFixture,
) -> None:
    """Each kind is told once in a streak, in whatever order, and few of them."""
    trouble = Trouble("works again")
    for number in range(300):
        trouble.begin(str(number % 3), "cannot")
    assert len(lines.records) == 3
    for number in range(300):
        trouble.begin(str(number), "cannot")
    assert len(lines.records) == 5


def test_a_trouble_that_comes_and_goes_is_not_told_for_ever(
    lines: pytest.LogCaptureFixture,
) -> None:
    """After three streaks it is told again if one lasts, or hours later."""
    clock = Clock()
    trouble = Trouble("works again", clock=clock)
    for _ in range(100):
        trouble.begin("disk", "cannot write")
        clock.now += 10.0
        trouble.end()
    assert len(lines.records) == 6
    for _ in range(31):
        trouble.begin("disk", "cannot write")
        clock.now += 10.0
    assert len(lines.records) == 7
    trouble.end()
    assert lines.records[-1].getMessage() == "works again"
    clock.now += 12 * 3600.0
    trouble.begin("disk", "cannot write")
    assert len(lines.records) == 9


def test_a_trouble_may_show_a_traceback(lines: pytest.LogCaptureFixture) -> None:
    """An error that is a bug is logged with where it came from."""
    try:
        int("x")
    except ValueError as error:
        Trouble("works again").begin("bug", "failed", error=error)
    assert "Traceback" in lines.text
