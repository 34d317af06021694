"""Odd property values: the check answers, the signal arrives, the thread lives."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import math
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from clients import guard, rule
from liteguard import LiteguardClient
from recording import RecordingServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 9_000


class Color(enum.Enum):
    """An enumeration of an application."""

    RED = "red"


class Unspeakable:
    """Something that has no text."""

    def __str__(self) -> str:
        """Fail, as code of others does."""
        raise RuntimeError("no text")

    __repr__ = __str__


class Hostile(str):
    """A text whose own code fails."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        """Fail."""
        raise RuntimeError("no comparison")

    def __hash__(self) -> int:
        """Fail."""
        raise RuntimeError("no hash")


def cyclic() -> list[Any]:
    """Return a list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


def deep() -> list[Any]:
    """Return lists within lists, far below what recursion reaches."""
    found: list[Any] = []
    for _ in range(5000):
        found = [found]
    return found


ODD = {
    "datetime": dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc),
    "date": dt.date(2026, 1, 2),
    "Decimal": decimal.Decimal("1.10"),
    "UUID": uuid.UUID(int=7),
    "bytes": b"\xff\x00",
    "enum": Color.RED,
    "huge int": 10**400,
    "negative huge int": -(2**70),
    "NaN": math.nan,
    "infinity": math.inf,
    "nested": {"a": [1, {"b": None}]},
    "cyclic": cyclic(),
    "deep": deep(),
    "10 MB": "x" * 10_000_000,
    "lone surrogate": "\ud800",
    "unspeakable": Unspeakable(),
    "hostile text": Hostile("x"),
    "object": object(),
    "function": len,
    "set": {1, 2},
}


@pytest.fixture(scope="module")
def server() -> Iterator[RecordingServer]:
    """Run a backend with one guard."""
    pro = guard("some.guard", rules=[rule("plan", "pro")])
    with RecordingServer(pro) as running_server:
        yield running_server


@pytest.fixture(scope="module")
def client(
    server: RecordingServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiteguardClient]:
    """Run a client that flushes when it is told to."""
    folder: Path = tmp_path_factory.mktemp("odd")
    with LiteguardClient(
        "pct-odd",
        backend_url=server.url,
        state_dir=str(folder),
        flush_rate_seconds=3600,
    ) as started:
        yield started


@pytest.mark.parametrize("name", ODD)
def test_odd_value_beside_a_plain_one_disturbs_nothing(
    name: str, server: RecordingServer, client: LiteguardClient
) -> None:
    """The rule sees its own property, and a bounded text is delivered."""
    begun = len(server.signals())
    properties = {"plan": "pro", "odd": ODD[name]}
    scope = client.create_scope(properties)
    for _ in range(3):
        assert scope.is_open("some.guard")
    assert client.is_open("some.guard", properties=properties)
    assert not client.is_open("some.guard", properties={"plan": ODD[name]})
    assert client.flush_signals()
    signals = server.signals()[begun:]
    assert [signal["result"] for signal in signals] == [True] * 4 + [False]
    assert [signal["properties"]["plan"] for signal in signals[:4]] == ["pro"] * 4
    assert all(len(str(signal["properties"])) < MOST_BYTES for signal in signals)
    assert all("odd" in signal["properties"] for signal in signals[:4])


@pytest.mark.parametrize("name", ["huge int", "unspeakable", "10 MB", "datetime"])
def test_odd_name_of_a_property_disturbs_nothing(
    name: str, server: RecordingServer, client: LiteguardClient
) -> None:
    """Names come from applications too."""
    begun = len(server.signals())
    properties: dict[Any, Any] = {"plan": "pro", ODD[name]: 1}
    assert client.is_open("some.guard", properties=properties)
    assert client.flush_signals()
    (signal,) = server.signals()[begun:]
    assert len(str(signal["properties"])) < MOST_BYTES
