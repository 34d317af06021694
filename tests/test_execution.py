"""Executions: which one a context is in, over nesting, tasks, threads and odd ends."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref

import pytest

from liteguard.telemetry.execution import (
    Execution,
    ExecutionState,
    JoinedExecution,
    current_execution,
    new_id,
)


def current_id() -> str | None:
    """Return the id of the execution that this context is in, if it is in one."""
    state = current_execution.get()
    return None if state is None else state.execution_id


def test_ids_do_not_repeat() -> None:
    """They are unique over processes and hosts, so they are random and long."""
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {len(one) for one in ids} == {24}


def test_execution_lasts_from_its_start_to_its_end() -> None:
    """Making one starts it; a block ends it."""
    assert current_id() is None
    execution = Execution()
    assert current_id() == execution.execution_id
    execution.end()
    assert current_id() is None
    with Execution() as second:
        assert current_id() == second.execution_id != execution.execution_id
    assert current_id() is None


def test_inner_execution_gives_way_to_the_outer() -> None:
    """Each has its own id, and the outer goes on with its numbers."""
    with Execution() as outer:
        state = current_execution.get()
        assert state is not None
        assert state.next_sequence_number() == 1
        with Execution() as inner:
            assert current_id() == inner.execution_id
        assert current_id() == outer.execution_id
        assert state.next_sequence_number() == 2


def test_ending_twice_is_harmless() -> None:
    """The second end does not end what came after the first."""
    first = Execution()
    first.end()
    with Execution() as second:
        first.end()
        assert current_id() == second.execution_id


def test_executions_that_never_end_do_not_keep_each_other() -> None:
    """A program that forgets to end them does not grow."""

    def start_and_forget() -> weakref.ref[ExecutionState]:
        Execution()
        state = current_execution.get()
        assert state is not None
        return weakref.ref(state)

    context = contextvars.copy_context()
    first = context.run(start_and_forget)
    second = context.run(start_and_forget)
    assert first() is None
    assert second() is not None


def test_executions_may_end_in_any_order() -> None:
    """What has ended is not current again when the one within it ends."""
    first, second, third = Execution(), Execution(), Execution()
    second.end()
    first.end()
    assert current_id() == third.execution_id
    third.end()
    assert current_id() is None


def test_execution_may_end_in_another_context() -> None:
    """A callback that ends it does not disturb the context that it runs in."""
    context = contextvars.copy_context()
    execution = context.run(Execution)
    with Execution() as own:
        execution.end()
        assert current_id() == own.execution_id
    assert context.run(current_id) is not None
    context.run(execution.end)
    assert context.run(current_id) is None


def test_exception_ends_the_execution_of_its_block() -> None:
    """Whatever leaves a block, cancellation and exits included."""
    for error in (ValueError, KeyboardInterrupt, asyncio.CancelledError):
        with pytest.raises(error), Execution():
            raise error
        with pytest.raises(error), JoinedExecution():
            raise error
        assert current_id() is None


def test_joined_execution_is_its_own_outside_another() -> None:
    """It begins and ends with its block."""
    with JoinedExecution():
        assert current_id() is not None
    assert current_id() is None


def test_joined_execution_belongs_to_the_one_under_way() -> None:
    """Nested uses share an id, and the inner end ends nothing."""
    for outer in (Execution(), JoinedExecution()):
        with outer:
            outer_id = current_id()
            with JoinedExecution():
                assert current_id() == outer_id
            assert current_id() == outer_id
    assert current_id() is None


def test_joined_execution_entered_again_goes_on() -> None:
    """One object is one execution, however often its block runs."""
    execution = JoinedExecution()
    ids = set()
    for _ in range(2):
        with execution:
            ids.add(current_id())
    assert len(ids) == 1


def test_tasks_inherit_an_execution_and_keep_their_own() -> None:
    """What a task starts is not seen by its siblings."""

    async def inherit() -> str | None:
        return current_id()

    async def start() -> str | None:
        async with JoinedExecution():
            await asyncio.sleep(0)
            return current_id()

    async def main() -> None:
        first, second = await asyncio.gather(start(), start())
        assert first != second
        assert current_id() is None
        with Execution() as execution:
            found = await asyncio.gather(inherit(), start())
            assert set(found) == {execution.execution_id}

    asyncio.run(main())


def test_thread_is_in_no_execution() -> None:
    """A new thread has an empty context, so its checks stand alone."""
    found: list[str | None] = []
    with Execution():
        thread = threading.Thread(target=lambda: found.append(current_id()))
        thread.start()
        thread.join()
    assert found == [None]
