"""Each server in each mode keeps the same promises, and the documentation shows it.

``pytest tests/servers/test_matrix.py -n0 -p no:randomly --write-matrix`` writes the
table of the documentation anew.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Callable, NamedTuple

import pytest

import gunicorns
import uwsgis
from celery_worker import Redis, Worker
from matrix import Row, claims_of_the_page, write
from serving import GUARD, RATES, Server
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend

    Start = Callable[..., Server]

WORKERS = 4
POLLS = 5
INTERVAL_SECONDS = float(RATES["LITEGUARD_REFRESH_RATE_SECONDS"])
# Jitter shortens an interval by a tenth at most; two pollers would make two.
MOST_POLLS_PER_INTERVAL = 1.5
# Within a test it comes never: what is delivered was delivered at the end, or later.
UNHURRIED = {"LITEGUARD_FLUSH_RATE_SECONDS": "3600"}
AT_THE_END = "all delivered"
LATER = "the next start delivers"
# uWSGI may end before a worker has run its exit handlers, and a child of Celery tries
# for half a second alone.
UNSURE = (AT_THE_END, LATER)
TOO_SLOW = re.compile("liteguard: cannot deliver signals, they are kept: no answer .*")


class Cell(NamedTuple):
    """One server in one mode.

    Args:
        server: How the table names the server.
        mode: How it names the mode.
        start: Makes the server, given the backend, a folder, the broker and variables.
        endings: What may become of unsent checks at an end by TERM.
        needs: Options that the client needs.
    """

    server: str
    mode: str
    start: Start
    endings: tuple[str, ...] = (AT_THE_END,)
    needs: str = "none"

    @property
    def claims(self) -> tuple[str, str, str, str]:
        """What the table says of it, whenever and wherever it was measured."""
        return self.server, self.mode, self.needs, " or ".join(self.endings)


def _gunicorn(kind: str, *arguments: str) -> Start:
    def start(backend: Backend, folder: Path, _: str, **variables: str) -> Server:
        return gunicorns.gunicorn(backend, folder, *arguments, kind=kind, **variables)

    return start


def _uwsgi(*arguments: str) -> Start:
    def start(backend: Backend, folder: Path, _: str, **variables: str) -> Server:
        return uwsgis.uwsgi(backend, folder, *arguments, **variables)

    return start


def _celery(*arguments: str) -> Start:
    def start(backend: Backend, folder: Path, broker: str, **variables: str) -> Server:
        backend.create_guard(GUARD)
        return Worker(backend, folder, broker, *arguments, **variables)

    return start


def cells() -> Iterator[Cell]:
    """Yield every cell of the matrix, in the order of the table."""
    for kind in gunicorns.KINDS:
        yield Cell(f"gunicorn, {kind}", "`--preload`", _gunicorn(kind, "--preload"))
        # Its workers run no exit handler, and here the master has no client.
        endings = (LATER,) if kind == "uvicorn" else (AT_THE_END,)
        yield Cell(f"gunicorn, {kind}", "no preload", _gunicorn(kind), endings)
    for loading, load in uwsgis.LOADING.items():
        for options in uwsgis.HOOKS.values():
            given = " ".join(f"`{option}`" for option in (*load, *options))
            start = _uwsgi("--master", *load, *options)
            yield Cell(f"uWSGI, {loading}", given or "default", start, UNSURE)
    yield Cell("uWSGI, no master", "default", _uwsgi(), UNSURE)
    children = _celery("--concurrency", str(WORKERS))
    yield Cell("Celery, prefork", "default", children, UNSURE)


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """Run one Redis for this module."""
    with Redis() as running:
        yield running


@pytest.fixture(scope="module")
def rows(request: pytest.FixtureRequest) -> Iterator[list[Row]]:
    """Collect what was seen, and write it into the documentation if that is wanted."""
    seen: list[Row] = []
    yield seen
    if request.config.getoption("--write-matrix"):
        write(seen, [(cell.server, cell.mode) for cell in CELLS])


CELLS = list(cells())


@pytest.mark.parametrize("cell", CELLS, ids=[f"{c.server}, {c.mode}" for c in CELLS])
def test_promises_hold(
    cell: Cell,
    backend: Backend,
    tmp_path: Path,
    redis: Redis,
    rows: list[Row],
) -> None:
    """There is one poller, every worker follows, and each check is delivered once."""
    server = cell.start(backend, tmp_path, redis.database(0), **UNHURRIED)
    with server:
        server.workers(WORKERS)
        begun = time.monotonic()
        server.wait_for_change(WORKERS)
        seconds = time.monotonic() - begun
        polls = polls_per_interval(backend)
        answers = server.workers(WORKERS)
        roles = sorted(told["role"] for told in answers.values())
        assert roles == ["follower"] * (WORKERS - 1) + ["leader"]
        assert len({told["generation"] for told in answers.values()}) == 1
        server.stop()
        server.assert_log_is_clean(but=TOO_SLOW if LATER in cell.endings else None)
    ending = what_became_of_the_checks(server)
    assert ending in cell.endings
    assert polls <= MOST_POLLS_PER_INTERVAL
    rows.append(Row(*cell.claims[:3], polls, seconds, cell.claims[3]))


def polls_per_interval(backend: Backend) -> float:
    """Watch some polls, and return how many there are in one refresh interval."""
    since = backend.polls()[-1]["id"]
    until(lambda: len(backend.polls(since=since)) >= POLLS)
    times = [int(poll["receivedMs"]) for poll in backend.polls(since=since)]
    seconds = (max(times) - min(times)) / 1000
    return (len(times) - 1) * INTERVAL_SECONDS / seconds


def what_became_of_the_checks(server: Server) -> str:
    """Return whether they arrived at the end, or with the next start; else fail."""
    made = sum(server.answered.values())
    if server.backend.signal_summary()["distinct"] == made:
        return AT_THE_END
    server.variables.update(RATES)
    with server:
        server.check()
        server.assert_every_check_was_delivered()
    return LATER


def test_page_shows_each_cell() -> None:
    """The table of the documentation has a row for each cell that runs here."""
    assert {cell.claims for cell in CELLS} <= set(claims_of_the_page())
