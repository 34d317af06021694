"""Functions behind a guard, and the executions that signals belong to."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from typing import TYPE_CHECKING, Any, Callable, Optional

import pytest

from clients import TOKEN, guard, offline, running
from liteguard import LiteguardClient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend

Signals = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def live(backend: Backend, state_dir: Path) -> Iterator[LiteguardClient]:
    """Run a client of the local backend that has an open and a closed guard."""
    backend.create_guard("open.guard", default_value=True)
    backend.create_guard("closed.guard")
    with running(backend, state_dir) as client:
        yield client


@pytest.fixture
def signals(backend: Backend, live: LiteguardClient) -> Signals:
    """Return a function that delivers and returns this test's signals."""

    def delivered() -> list[dict[str, Any]]:
        assert live.flush_signals()
        return backend.signals()

    return delivered


@pytest.fixture
def client() -> LiteguardClient:
    """Return a client with an open and a closed guard that records nothing."""
    return offline(guard("open.guard", defaultValue=True), guard("closed.guard"))


def ending(signal: dict[str, Any]) -> tuple[Any, Any]:
    """Return whether an execution was completed, and its error's class."""
    measured = signal["measurement"]["guardExecution"]
    return measured["completed"], measured.get("errorClass")


class Falsy(Exception):
    """An exception that counts as false."""

    def __bool__(self) -> bool:
        """Return false."""
        return False


# -- execute_if_open


def test_function_behind_an_open_guard_runs(client: LiteguardClient) -> None:
    """What the function returns is returned; falsy values are no exception."""
    assert client.execute_if_open("open.guard", lambda: 7) == 7
    assert client.execute_if_open("open.guard", list) == []


def test_function_behind_a_closed_guard_does_not_run(client: LiteguardClient) -> None:
    """There is nothing then."""
    ran: list[int] = []
    assert client.execute_if_open("closed.guard", lambda: ran.append(1)) is None
    assert ran == []


@pytest.mark.parametrize("name", ["open.guard", "closed.guard"])
def test_coroutine_function_can_be_awaited_either_way(
    client: LiteguardClient, name: str
) -> None:
    """An await works whether the guard is open or closed."""

    async def work(value: int = 7) -> int:
        await asyncio.sleep(0)
        return value

    async def main() -> list[Optional[int]]:
        plain: Any = client.execute_if_open(name, work)
        partial: Any = client.execute_if_open(name, functools.partial(work, 8))
        return [await plain, await partial]

    expected = [7, 8] if name == "open.guard" else [None, None]
    assert asyncio.run(main()) == expected


def test_scope_decides_whether_the_function_runs(client: LiteguardClient) -> None:
    """A scope executes for its own properties."""
    assert client.create_scope().execute_if_open("open.guard", lambda: 7) == 7


def test_execution_is_recorded_after_its_check(
    live: LiteguardClient, signals: Signals
) -> None:
    """Check and execution share an execution id, and the check is the parent."""
    live.execute_if_open("open.guard", lambda: 7, properties={"plan": "pro"})
    check, execution = signals()
    assert [check["kind"], execution["kind"]] == ["guard_check", "guard_execution"]
    assert check["executionId"] == execution["executionId"]
    assert execution["parentSignalId"] == check["signalId"]
    assert (check["sequenceNumber"], execution["sequenceNumber"]) == (1, 2)
    assert execution["properties"] == check["properties"] == {"plan": "pro"}
    assert execution["callsiteId"] == check["callsiteId"]
    assert execution["callsiteId"].startswith(f"{__file__}:")
    assert execution["measurement"]["guardExecution"]["durationNs"] > 0
    assert ending(execution) == (True, None)


def test_closed_guard_records_its_check_alone(
    live: LiteguardClient, signals: Signals
) -> None:
    """What did not run has no execution."""
    live.execute_if_open("closed.guard", lambda: 7)
    assert [signal["kind"] for signal in signals()] == ["guard_check"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, Falsy])
def test_failed_function_is_recorded_with_its_error(
    live: LiteguardClient, signals: Signals, error: type[BaseException]
) -> None:
    """Every exception passes through, and its class is in the signal."""

    def fail() -> None:
        raise error

    with pytest.raises(error):
        live.execute_if_open("open.guard", fail)
    assert ending(signals()[1]) == (False, error.__name__)


def test_coroutine_function_is_recorded_when_it_was_awaited(
    backend: Backend, live: LiteguardClient, signals: Signals
) -> None:
    """The execution ends with the awaiting; what is checked inside belongs to it."""

    async def work() -> bool:
        await asyncio.sleep(0)
        return live.is_open("closed.guard")

    async def main() -> Optional[bool]:
        pending: Any = live.execute_if_open("open.guard", work)
        assert live.flush_signals()
        assert [s["kind"] for s in backend.signals()] == ["guard_check"]
        live.is_open("open.guard")
        result: Optional[bool] = await pending
        return result

    assert asyncio.run(main()) is False
    outer, between, inner, execution = signals()
    assert between["executionId"] != outer["executionId"]
    assert inner["executionId"] == execution["executionId"] == outer["executionId"]
    assert inner["parentSignalId"] == execution["parentSignalId"] == outer["signalId"]
    assert ending(execution) == (True, None)


def test_cancelled_coroutine_function_is_recorded_as_cancelled(
    live: LiteguardClient, signals: Signals
) -> None:
    """A cancellation is an end like others, which the signal names."""

    async def main() -> None:
        started = asyncio.Event()

        async def work() -> None:
            started.set()
            await asyncio.Event().wait()

        async def run() -> None:
            pending: Any = live.execute_if_open("open.guard", work)
            await pending

        task = asyncio.create_task(run())
        await started.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ending(signals()[1]) == (False, "CancelledError")


def test_failed_coroutine_function_is_recorded_with_its_error(
    live: LiteguardClient, signals: Signals
) -> None:
    """The error passes through the await."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    async def main() -> None:
        pending: Any = live.execute_if_open("open.guard", fail)
        with pytest.raises(LookupError):
            await pending

    asyncio.run(main())
    assert ending(signals()[1]) == (False, "LookupError")


@pytest.mark.parametrize("started", [True, False])
def test_function_runs_once_behind_a_guard_that_records_nothing(
    backend: Backend, state_dir: Path, *, started: bool
) -> None:
    """Unadopted and fallback answers that are open run the function all the same."""
    ran: list[int] = []

    def run() -> int:
        ran.append(1)
        return 7

    options = backend.options(state_dir, unadopted_open=True, fallback=True)
    client = LiteguardClient(**options)
    if started:
        client.start()
    assert client.execute_if_open("unheard.of", run) == 7
    client.shutdown()
    assert ran == [1]
    assert backend.signals() == []


# -- executions


def ids(signals: list[dict[str, Any]]) -> list[str]:
    """Return the execution ids in order."""
    return [signal["executionId"] for signal in signals]


def test_checks_outside_an_execution_stand_alone(
    live: LiteguardClient, signals: Signals
) -> None:
    """Each has an execution id of its own, no parent, and is the first."""
    live.is_open("open.guard")
    live.is_open("open.guard")
    first, second = signals()
    assert first["executionId"] != second["executionId"]
    for signal in (first, second):
        assert signal["sequenceNumber"] == 1
        assert signal.get("parentSignalId") is None


def test_checks_of_an_execution_share_its_id_in_order(
    live: LiteguardClient, signals: Signals
) -> None:
    """They are numbered from 1, and each names the one before as its parent."""
    with live.execution():
        for _ in range(3):
            live.is_open("open.guard")
    live.is_open("open.guard")
    *inside, outside = signals()
    assert len(set(ids(inside))) == 1
    assert [signal["sequenceNumber"] for signal in inside] == [1, 2, 3]
    assert [signal.get("parentSignalId") for signal in inside] == [
        None,
        inside[0]["signalId"],
        inside[1]["signalId"],
    ]
    assert outside["executionId"] != inside[0]["executionId"]


def test_inner_execution_belongs_to_the_outer_one(
    live: LiteguardClient, signals: Signals
) -> None:
    """Nested uses go on with the execution under way, and do not end it."""
    with live.execution():
        with live.execution():
            live.is_open("open.guard")
        live.with_execution(lambda: live.is_open("open.guard"))
        live.execute_if_open("open.guard", lambda: None)
        live.is_open("open.guard")
    assert len(set(ids(signals()))) == 1


def test_execution_ends_with_its_block_after_an_error(
    live: LiteguardClient, signals: Signals
) -> None:
    """An exception of any kind ends it."""
    with contextlib.suppress(KeyboardInterrupt), live.execution():
        live.is_open("open.guard")
        raise KeyboardInterrupt
    live.is_open("open.guard")
    first, second = ids(signals())
    assert first != second


def test_execution_of_a_function_lasts_while_it_is_awaited(
    live: LiteguardClient, signals: Signals
) -> None:
    """Plain and asynchronous functions run within one execution each."""

    async def work() -> bool:
        live.is_open("open.guard")
        await asyncio.sleep(0)
        return live.is_open("open.guard")

    def plain() -> bool:
        live.is_open("open.guard")
        return live.is_open("open.guard")

    assert live.with_execution(plain)
    assert asyncio.run(live.with_execution(work))
    first, second, third, fourth = ids(signals())
    assert first == second
    assert third == fourth
    assert first != third


def test_overlapping_tasks_have_executions_of_their_own(
    live: LiteguardClient, signals: Signals
) -> None:
    """Tasks that take turns do not mix their ids."""

    async def work(number: int) -> None:
        async with live.execution():
            for _ in range(3):
                live.is_open("open.guard", properties={"task": number})
                await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.gather(work(1), work(2))

    asyncio.run(main())
    found = {(s["properties"]["task"], s["executionId"]) for s in signals()}
    assert sorted(task for task, _ in found) == [1, 2]
    assert len({execution for _, execution in found}) == 2


def test_started_execution_lasts_until_it_is_ended(
    live: LiteguardClient, signals: Signals
) -> None:
    """Both client and scope start one; its handle knows the id; ending is final."""
    for start in (live.start_execution, live.create_scope().start_execution):
        execution = start()
        live.is_open("open.guard")
        execution.end()
        execution.end()
        live.is_open("open.guard")
        inside, outside = ids(signals()[-2:])
        assert inside == execution.execution_id
        assert outside != execution.execution_id


def test_started_execution_is_a_block_as_well(
    live: LiteguardClient, signals: Signals
) -> None:
    """As a context manager it is one of its own, also within another."""
    with live.execution():
        live.is_open("open.guard")
        with live.start_execution() as inner:
            live.is_open("open.guard")
        live.is_open("open.guard")
    first, second, third = ids(signals())
    assert second == inner.execution_id
    assert first == third != second


def test_execution_works_without_a_started_client() -> None:
    """Blocks and functions run whether or not anything is recorded."""
    client = LiteguardClient(TOKEN)
    with client.execution():
        assert client.with_execution(lambda: 7) == 7
    client.start_execution().end()
