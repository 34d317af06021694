"""Containers that share a state folder: real namespaces of processes and of time."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from containers import PIDS, Container, container
from liteguard.process import clock
from recording import RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OPEN = {"name": "open.guard", "adopted": True, "defaultValue": True}
LIMITED = {**OPEN, "name": "limited.guard", "rateLimitPerMinute": 5}
FAST: dict[str, Any] = {
    "refresh_rate_seconds": 0.3,
    "reload_rate_seconds": 0.02,
    "flush_rate_seconds": 0.05,
}


@pytest.fixture
def server() -> Iterator[RecordingServer]:
    """Run a backend with an open guard and one that is open five times a minute."""
    with RecordingServer(dict(OPEN), dict(LIMITED)) as running:
        yield running


def leads(one: Container) -> bool:
    """Whether it does."""
    return bool(one.call("status")[0] == "leader")


def test_containers_that_share_a_folder_are_one_host(
    server: RecordingServer, state_dir: Path
) -> None:
    """One asks; the journals of the living are theirs; limits hold for both together.

    When one is killed, the other leads, and adopts what it left once it is silent.
    """
    slow = {**FAST, "refresh_rate_seconds": 3600.0}
    with (
        container(server.url, state_dir, *PIDS, **slow) as one,
        container(
            server.url, state_dir, *PIDS, **{**slow, "flush_rate_seconds": 3600.0}
        ) as other,
    ):
        until(lambda: leads(one) or leads(other))
        assert one.call("status")[1] == other.call("status")[1] == 1
        assert sorted([one.call("status")[0], other.call("status")[0]]) == [
            "follower",
            "leader",
        ]
        opened = one.call("check", "limited.guard", 4)
        opened += other.call("check", "limited.guard", 4)
        assert opened.count(True) == 5
        assert len(server.to("guards")) == 1
        # One flushes all the time, and delivers its own alone.
        until(lambda: len(server.ids()) == 4)
        assert other.call("check", "open.guard", 3) == [True] * 3
        assert one.call("flush_signals")
        assert len(server.ids()) == 4
        other.kill()
        until(lambda: leads(one))
        assert one.call("flush_signals")
        assert len(server.ids()) == 4
        long_ago = time.time() - 700.0
        for path in state_dir.glob("*/journals-2/*"):
            os.utime(path, (long_ago, long_ago))
        until(lambda: len(server.ids()) == 11)
    assert len(set(server.ids())) == 11


@pytest.mark.parametrize("seconds", [50_000, -100])
def test_container_with_a_clock_of_its_own_keeps_the_hosts_rhythm(
    seconds: int, server: RecordingServer, state_dir: Path
) -> None:
    """In a time namespace, as a suspended and moved container has: nothing sticks.

    Neither start waits, nobody asks more often, and each can take over.
    """
    offset = ("--time", "--monotonic", str(seconds), *PIDS)
    rates = {**FAST, "refresh_rate_seconds": 3600.0}
    with container(server.url, state_dir, *PIDS, **rates) as here:
        until(lambda: leads(here))
        with container(server.url, state_dir, *offset, **rates) as there:
            role, _, generation, took, age = there.call("status")
            assert (role, generation) == ("follower", here.call("status")[2])
            assert took < 3.0
            assert 0.0 <= age < 60.0
            here.kill()
            until(lambda: leads(there))
            assert there.call("check", "open.guard", 1) == [True]
            with container(server.url, state_dir, *PIDS, **rates) as back:
                assert back.call("status")[3] < 3.0
                there.kill()
                until(lambda: leads(back))
                assert back.call("check", "open.guard", 1) == [True]
    assert len(server.to("guards")) == 1


@pytest.mark.parametrize("seconds", [50_000, -100])
def test_containers_with_clocks_of_their_own_share_limits(
    seconds: int, server: RecordingServer, state_dir: Path
) -> None:
    """What one has counted counts for the other, whose clock says another time."""
    offset = ("--time", "--boottime", str(seconds), *PIDS)
    with (
        container(server.url, state_dir, *PIDS, **FAST) as here,
        container(server.url, state_dir, *offset, **FAST) as there,
    ):
        opened = here.call("check", "limited.guard", 2)
        opened += there.call("check", "limited.guard", 2)
        opened += here.call("check", "limited.guard", 2)
        opened += there.call("check", "limited.guard", 2)
    assert opened == [True] * 5 + [False] * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("monotonic  864000  5\nboottime 1 0\n", 864_000_000_000_005),
        ("monotonic  -3  0\n", -3_000_000_000),
        ("boottime 1 0\n", 0),
        ("", 0),
        ("monotonic\n", 0),
    ],
)
def test_offset_is_read_as_the_kernel_tells_it(text: str, expected: int) -> None:
    """See time_namespaces(7)."""
    assert clock.offset_of("monotonic", text) == expected


def test_clock_of_the_host_goes_on_with_the_monotonic_one() -> None:
    """Outside of time namespaces they are the same."""
    before = time.monotonic_ns()
    assert before <= clock.host_ns() <= time.monotonic_ns()
    assert abs(clock.host_seconds() - time.monotonic()) < 1.0


def test_clock_for_limits_goes_on_while_the_machine_is_suspended() -> None:
    """It is the kernel's time since the boot."""
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before <= clock.host_boot_ns() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
