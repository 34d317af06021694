"""Which scope is bound where, on every way into a block and out of it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Optional

import pluggy
import pytest

from clients import active_user, offline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from liteguard import LiteguardClient, LiteguardScope


@pytest.fixture
def client() -> LiteguardClient:
    """Return a client that only binds scopes."""
    return offline()


@pytest.fixture
def alice(client: LiteguardClient) -> LiteguardScope:
    """Return a scope of one user."""
    return client.create_scope(user="alice")


@pytest.fixture
def bob(client: LiteguardClient) -> LiteguardScope:
    """Return a scope of another user."""
    return client.create_scope(user="bob")


# -- blocks


def test_block_binds_the_scope_and_gives_it(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """Within the block the scope is active, and "as" names it."""
    with client.run_with_scope(alice) as bound:
        assert bound is alice
        assert client.get_active_scope() is alice


def test_asynchronous_block_binds_the_scope_and_gives_it(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """The same holds for "async with"."""

    async def main() -> Optional[Any]:
        async with client.run_with_scope(alice) as bound:
            assert bound is alice
            await asyncio.sleep(0)
            inside = active_user(client)
        assert active_user(client) is None
        return inside

    assert asyncio.run(main()) == "alice"


def test_inner_block_hides_the_outer_one_until_it_ends(
    client: LiteguardClient, alice: LiteguardScope, bob: LiteguardScope
) -> None:
    """Blocks nest."""
    with client.run_with_scope(alice):
        with client.run_with_scope(bob):
            assert active_user(client) == "bob"
        assert active_user(client) == "alice"
    assert active_user(client) is None


@pytest.mark.parametrize(
    "error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, BaseException]
)
def test_exception_of_any_kind_undoes_the_binding(
    client: LiteguardClient, alice: LiteguardScope, error: type[BaseException]
) -> None:
    """No exception leaves the scope behind, and none is swallowed."""
    with pytest.raises(error), client.run_with_scope(alice):
        raise error
    assert active_user(client) is None


def test_leaving_by_return_break_and_continue_undoes_the_binding(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """The ways out of a block that raise nothing undo the binding as well."""

    def returning() -> Optional[Any]:
        with client.run_with_scope(alice):
            return active_user(client)

    assert returning() == "alice"
    for leave in ("continue", "break"):
        with client.run_with_scope(alice):
            if leave == "break":
                break
            continue
    assert active_user(client) is None


def test_cancelled_task_undoes_its_binding(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """A task that is cancelled inside the block no longer has the scope after it."""
    seen: list[Optional[Any]] = []

    async def work(inside: asyncio.Event) -> None:
        try:
            async with client.run_with_scope(alice):
                inside.set()
                await asyncio.Event().wait()
        finally:
            seen.append(active_user(client))

    async def main() -> None:
        inside = asyncio.Event()
        task = asyncio.create_task(work(inside))
        await inside.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == [None]


def test_one_binding_object_can_be_entered_again_inside_itself(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """Each exit undoes one entry."""
    binding = client.run_with_scope(alice)
    with binding:
        with binding:
            assert active_user(client) == "alice"
        assert active_user(client) == "alice"
    assert active_user(client) is None


def test_one_binding_object_serves_overlapping_tasks(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """The exit of one task undoes that task's entry and not the other's."""
    binding = client.run_with_scope(alice)

    async def work(entered: asyncio.Event, leave: asyncio.Event) -> list[Optional[Any]]:
        with binding:
            entered.set()
            await leave.wait()
            inside = active_user(client)
        return [inside, active_user(client)]

    async def main() -> list[list[Optional[Any]]]:
        first, second, now = asyncio.Event(), asyncio.Event(), asyncio.Event()
        tasks = [asyncio.create_task(work(first, now))]
        await first.wait()
        later = asyncio.Event()
        tasks.append(asyncio.create_task(work(second, later)))
        await second.wait()
        now.set()
        results = [await tasks[0]]
        later.set()
        return [*results, await tasks[1]]

    assert asyncio.run(main()) == [["alice", None], ["alice", None]]


def test_exit_in_another_context_raises_nothing_and_ends_the_binding(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """A block may end elsewhere than it began; then it is over in both contexts."""
    binding = client.run_with_scope(alice)
    begun, ended = Context(), Context()

    def enter() -> None:
        binding.__enter__()

    def leave() -> None:
        binding.__exit__(None, None, None)

    begun.run(enter)
    assert begun.run(active_user, client) == "alice"
    worker = threading.Thread(target=ended.run, args=(leave,))
    worker.start()
    worker.join()
    assert ended.run(active_user, client) is None
    assert begun.run(active_user, client) is None


def test_blocks_that_end_out_of_order_disturb_nobody(
    client: LiteguardClient, alice: LiteguardScope, bob: LiteguardScope
) -> None:
    """The block that ends first takes only its own scope away."""
    outer, inner = client.run_with_scope(alice), client.run_with_scope(bob)
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert active_user(client) == "bob"
    inner.__exit__(None, None, None)
    assert active_user(client) is None


def test_scopes_of_two_clients_do_not_mix(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """Each client sees the scopes that it made, and no others."""
    other = offline()
    with client.run_with_scope(alice):
        assert active_user(other) is None
        with other.run_with_scope(other.create_scope(user="olga")):
            assert active_user(client) == "alice"
            assert active_user(other) == "olga"
        assert active_user(other) is None
        assert active_user(client) == "alice"


# -- functions


def test_function_runs_with_the_scope_and_returns_its_value(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """The scope is bound while the function runs, and no longer."""
    assert client.run_with_scope(alice, lambda: active_user(client)) == "alice"
    assert active_user(client) is None


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_function_that_raises_leaves_no_scope(
    client: LiteguardClient, alice: LiteguardScope, error: type[BaseException]
) -> None:
    """The exception passes through and the scope is gone."""

    def fail() -> None:
        raise error

    with pytest.raises(error):
        client.run_with_scope(alice, fail)
    assert active_user(client) is None


def test_awaitable_result_is_awaited_with_the_scope(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """A coroutine function has the scope before and after each await."""

    async def work() -> list[Optional[Any]]:
        before = active_user(client)
        await asyncio.sleep(0)
        return [before, active_user(client)]

    async def main() -> list[Optional[Any]]:
        pending = client.run_with_scope(alice, work)
        between = active_user(client)
        return [*await pending, between, active_user(client)]

    assert asyncio.run(main()) == ["alice", "alice", None, None]


def test_cancelled_awaitable_leaves_no_scope(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """The scope is undone when the awaiting is cancelled."""

    async def main() -> Optional[Any]:
        forever = asyncio.Event()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(client.run_with_scope(alice, forever.wait), 0.01)
        return active_user(client)

    assert asyncio.run(main()) is None


def test_scope_runs_a_function_by_itself(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """A scope can be told to run a function, plain or asynchronous."""

    async def work() -> Optional[Any]:
        await asyncio.sleep(0)
        return active_user(client)

    assert alice.run(lambda: active_user(client)) == "alice"
    assert asyncio.run(alice.run(work)) == "alice"
    assert active_user(client) is None


def test_properties_of_a_block_lie_over_those_of_the_active_scope(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """The block binds the active scope with more properties, for its own time."""
    with client.run_with_scope(alice):
        with client.with_properties({"plan": "pro"}) as derived:
            assert derived.get_properties() == {"user": "alice", "plan": "pro"}
            assert client.get_active_scope() is derived
        assert client.get_active_scope() is alice


def test_properties_can_be_bound_for_an_asynchronous_block(
    client: LiteguardClient,
) -> None:
    """The same holds for "async with"."""

    async def main() -> list[Optional[Any]]:
        async with client.with_properties({"user": "carol"}):
            inside = active_user(client)
        return [inside, active_user(client)]

    assert asyncio.run(main()) == ["carol", None]


def test_properties_can_be_bound_for_a_function(client: LiteguardClient) -> None:
    """A function runs with the properties, and an awaitable is awaited with them."""

    async def work() -> Optional[Any]:
        await asyncio.sleep(0)
        return active_user(client)

    carol = {"user": "carol"}
    assert client.with_properties(carol, lambda: active_user(client)) == "carol"
    assert asyncio.run(client.with_properties(carol, work)) == "carol"
    assert active_user(client) is None


# -- tasks and threads


def test_overlapping_tasks_keep_their_scopes(client: LiteguardClient) -> None:
    """Fifty tasks that take turns in the middle of their blocks see their own."""

    async def work(number: int, barrier: asyncio.Event) -> list[Optional[Any]]:
        seen: list[Optional[Any]] = []
        async with client.run_with_scope(client.create_scope(user=number)):
            await barrier.wait()
            for _ in range(number % 5 + 1):
                seen.append(active_user(client))
                await asyncio.sleep(0)
        return [*seen, active_user(client)]

    async def main() -> list[list[Optional[Any]]]:
        barrier = asyncio.Event()
        tasks = [asyncio.create_task(work(n, barrier)) for n in range(50)]
        await asyncio.sleep(0)
        barrier.set()
        return await asyncio.gather(*tasks)

    for number, seen in enumerate(asyncio.run(main())):
        assert seen == [number] * (number % 5 + 1) + [None]


def test_overlapping_threads_keep_their_scopes(client: LiteguardClient) -> None:
    """Threads that are inside their blocks at the same time see their own."""
    count = 8
    barrier = threading.Barrier(count)

    def work(number: int) -> list[Optional[Any]]:
        with client.run_with_scope(client.create_scope(user=number)):
            barrier.wait(10)
            inside = active_user(client)
            barrier.wait(10)
        return [inside, active_user(client)]

    with ThreadPoolExecutor(count) as pool:
        results = list(pool.map(work, range(count)))
    assert results == [[number, None] for number in range(count)]


def test_task_inherits_the_scope_it_was_started_in(
    client: LiteguardClient, alice: LiteguardScope, bob: LiteguardScope
) -> None:
    """A task keeps the scope of its start, whatever its starter does later."""

    async def work() -> Optional[Any]:
        await asyncio.sleep(0)
        return active_user(client)

    async def main() -> list[Optional[Any]]:
        async with client.run_with_scope(alice):
            task = asyncio.create_task(work())
        async with client.run_with_scope(bob):
            return [await task, active_user(client)]

    assert asyncio.run(main()) == ["alice", "bob"]


def test_thread_started_with_a_copied_context_inherits_the_scope(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """Work handed to a thread by asyncio or with a copied context has the scope."""

    async def main() -> Optional[Any]:
        async with client.run_with_scope(alice):
            return await asyncio.to_thread(active_user, client)

    assert asyncio.run(main()) == "alice"
    with ThreadPoolExecutor(1) as pool:
        with client.run_with_scope(alice):
            result = pool.submit(copy_context().run, active_user, client)
        assert result.result() == "alice"
        assert pool.submit(active_user, client).result() is None


# -- generators


def users(
    client: LiteguardClient, name: str, times: int = 3
) -> Iterator[Optional[Any]]:
    """Bind *name* and yield the active user several times."""
    with client.run_with_scope(client.create_scope(user=name)):
        for _ in range(times):
            yield active_user(client)


async def async_users(
    client: LiteguardClient, name: str, times: int = 3
) -> AsyncIterator[Optional[Any]]:
    """Bind *name* and yield the active user several times, with awaits between."""
    async with client.run_with_scope(client.create_scope(user=name)):
        for _ in range(times):
            await asyncio.sleep(0)
            yield active_user(client)


def test_suspended_generator_does_not_bind_for_its_consumer(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """A generator sees its scope; whoever iterates over it sees their own."""
    with client.run_with_scope(alice):
        for inside in users(client, "inner"):
            assert inside == "inner"
            assert active_user(client) == "alice"
        assert active_user(client) == "alice"


def test_interleaved_generators_keep_their_scopes(client: LiteguardClient) -> None:
    """Generators that are advanced in turn, and end out of order, see their own."""
    first, second = users(client, "first", 4), users(client, "second", 2)
    seen = [next(first), next(second), next(first), next(second)]
    assert list(second) == []
    seen.append(next(first))
    assert active_user(client) is None
    assert seen == ["first", "second", "first", "second", "first"]
    assert list(first) == ["first"]
    assert active_user(client) is None


def test_generator_closed_early_leaves_no_scope(client: LiteguardClient) -> None:
    """Closing one of two suspended generators does not disturb the other."""
    first, second = users(client, "first"), users(client, "second")
    next(first)
    next(second)
    first.close()  # type: ignore[attr-defined]  # it is a generator
    assert active_user(client) is None
    assert next(second) == "second"


def test_generator_that_is_thrown_into_leaves_no_scope(
    client: LiteguardClient,
) -> None:
    """An exception thrown in at the yield passes through and undoes the binding."""
    generator = users(client, "first")
    next(generator)
    with pytest.raises(LookupError):
        generator.throw(LookupError)  # type: ignore[attr-defined]  # it is a generator
    assert active_user(client) is None


def test_garbage_collected_generator_leaves_no_scope(client: LiteguardClient) -> None:
    """Dropping a suspended generator undoes its binding, for later tasks as well."""
    generator = users(client, "dropped")
    next(generator)
    del generator
    gc.collect()
    assert active_user(client) is None
    assert copy_context().run(active_user, client) is None
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(copy_context().run, active_user, client)
        assert later.result() is None


def test_generator_called_by_a_generator_is_undone_within_it(
    client: LiteguardClient,
) -> None:
    """What an inner generator binds is not seen by the outer one that advances it."""

    def outer() -> Iterator[Optional[Any]]:
        with client.run_with_scope(client.create_scope(user="outer")):
            for inside in users(client, "inner", 2):
                yield inside
                yield active_user(client)

    assert list(outer()) == ["inner", "outer", "inner", "outer"]
    assert active_user(client) is None


def test_function_called_by_a_generator_sees_its_scope(
    client: LiteguardClient,
) -> None:
    """The scope holds for everything the generator calls, as in any other block."""

    def outer() -> Iterator[list[Optional[Any]]]:
        with client.run_with_scope(client.create_scope(user="outer")):
            yield [active_user(client) for _ in range(2)]
            yield sorted([1], key=lambda _: 0) and [active_user(client)]

    assert list(outer()) == [["outer", "outer"], ["outer"]]


def test_exit_stack_in_a_generator_does_not_bind_for_its_consumer(
    client: LiteguardClient,
) -> None:
    """A scope entered through an exit stack belongs to the generator all the same."""

    def generator() -> Iterator[Optional[Any]]:
        with contextlib.ExitStack() as stack:
            stack.enter_context(
                client.run_with_scope(client.create_scope(user="inner"))
            )
            yield active_user(client)
            yield active_user(client)

    iterator = generator()
    assert next(iterator) == "inner"
    assert active_user(client) is None
    assert list(iterator) == ["inner"]


def test_context_manager_in_a_generator_does_not_bind_for_its_consumer(
    client: LiteguardClient,
) -> None:
    """A wrapper used inside a generator passes its scope to the generator alone."""

    @contextlib.contextmanager
    def as_user(name: str) -> Iterator[None]:
        with client.run_with_scope(client.create_scope(user=name)):
            yield

    def generator() -> Iterator[Optional[Any]]:
        with as_user("inner"):
            yield active_user(client)
            yield active_user(client)

    iterator = generator()
    assert next(iterator) == "inner"
    assert active_user(client) is None
    assert list(iterator) == ["inner"]


def test_interleaved_asynchronous_generators_keep_their_scopes(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """Asynchronous generators of one task do not see each other's scope."""

    async def main() -> list[Optional[Any]]:
        seen: list[Optional[Any]] = []
        async with client.run_with_scope(alice):
            first = async_users(client, "first")
            second = async_users(client, "second", 1)
            seen.extend([await first.__anext__(), active_user(client)])
            seen.extend([await second.__anext__(), active_user(client)])
            seen.extend([user async for user in second])
            seen.extend([await first.__anext__(), active_user(client)])
            await first.aclose()  # type: ignore[attr-defined]  # it is a generator
            seen.append(active_user(client))
        return [*seen, active_user(client)]

    expected = ["first", "alice", "second", "alice", "first", "alice", "alice", None]
    assert asyncio.run(main()) == expected


def test_abandoned_asynchronous_generator_leaves_no_scope(
    client: LiteguardClient,
) -> None:
    """The event loop closes it in another task; later tasks do not see its scope."""

    async def user() -> Optional[Any]:
        return active_user(client)

    async def main() -> list[Optional[Any]]:
        async for _ in async_users(client, "dropped"):
            break
        gc.collect()
        for _ in range(3):  # the loop closes what was dropped in a task of its own
            await asyncio.sleep(0)
        return [active_user(client), await asyncio.create_task(user())]

    assert asyncio.run(main()) == [None, None]


def test_task_and_thread_started_in_a_generator_inherit_its_scope(
    client: LiteguardClient,
) -> None:
    """What a generator starts while it runs has the generator's scope."""

    async def user() -> Optional[Any]:
        await asyncio.sleep(0)
        return active_user(client)

    async def generator() -> AsyncIterator[Optional[Any]]:
        async with client.run_with_scope(client.create_scope(user="inner")):
            yield await asyncio.create_task(user())
            yield await asyncio.to_thread(active_user, client)

    async def main() -> list[Optional[Any]]:
        return [inside async for inside in generator()]

    assert asyncio.run(main()) == ["inner", "inner"]


# -- wrappers, whose point is that the binding outlives the yield


def test_context_manager_passes_its_scope_to_the_block(
    client: LiteguardClient,
) -> None:
    """A function decorated with contextmanager binds for the block it serves."""

    @contextlib.contextmanager
    def as_user(name: str) -> Iterator[None]:
        with client.run_with_scope(client.create_scope(user=name)):
            yield

    @as_user("decorated")
    def decorated() -> Optional[Any]:
        return active_user(client)

    with as_user("outer"), as_user("inner"):
        assert active_user(client) == "inner"
    assert decorated() == "decorated"
    assert active_user(client) is None


def test_context_manager_undoes_its_scope_after_an_error(
    client: LiteguardClient,
) -> None:
    """An error in the block it serves undoes the binding."""

    @contextlib.contextmanager
    def as_user(name: str) -> Iterator[None]:
        with client.run_with_scope(client.create_scope(user=name)):
            yield

    with pytest.raises(KeyboardInterrupt), as_user("outer"):
        raise KeyboardInterrupt
    assert active_user(client) is None


def test_asynchronous_context_manager_passes_its_scope_to_the_block(
    client: LiteguardClient,
) -> None:
    """So does one decorated with asynccontextmanager, in an exit stack as well."""

    @contextlib.asynccontextmanager
    async def as_user(name: str) -> AsyncIterator[None]:
        async with client.run_with_scope(client.create_scope(user=name)):
            await asyncio.sleep(0)
            yield

    async def main() -> list[Optional[Any]]:
        async with as_user("outer"):
            seen = [active_user(client)]
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(as_user("stacked"))
                seen.append(active_user(client))
            seen.append(active_user(client))
        return [*seen, active_user(client)]

    assert asyncio.run(main()) == ["outer", "stacked", "outer", None]


def test_exit_stack_binds_for_its_block(
    client: LiteguardClient, alice: LiteguardScope
) -> None:
    """A scope entered through an exit stack holds until the stack is closed."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(client.run_with_scope(alice))
        assert active_user(client) == "alice"
    assert active_user(client) is None


FIXTURE_CLIENT = offline()


@pytest.fixture
def fixture_user() -> Iterator[str]:
    """Bind a user for the time of a test."""
    with FIXTURE_CLIENT.with_properties({"user": "from the fixture"}):
        yield "from the fixture"
    assert active_user(FIXTURE_CLIENT) is None


@pytest.fixture
def wrapped_fixture_user(fixture_user: str) -> Iterator[str]:
    """Bind another user through a wrapper, over the first."""

    @contextlib.contextmanager
    def as_user(name: str) -> Iterator[None]:
        with FIXTURE_CLIENT.with_properties({"user": name}):
            yield

    with as_user(f"wrapped {fixture_user}"):
        yield f"wrapped {fixture_user}"
    assert active_user(FIXTURE_CLIENT) == fixture_user


def test_fixture_passes_its_scope_to_the_test(fixture_user: str) -> None:
    """A pytest fixture that yields inside a block binds for the test."""
    assert active_user(FIXTURE_CLIENT) == fixture_user


def test_fixture_with_a_wrapper_passes_its_scope_to_the_test(
    wrapped_fixture_user: str,
) -> None:
    """So does one that yields inside a wrapper's block."""
    assert active_user(FIXTURE_CLIENT) == wrapped_fixture_user


hook = pluggy.HookspecMarker("tests")
implementation = pluggy.HookimplMarker("tests")


class Hooks:
    """One hook."""

    @hook(firstresult=True)
    def user(self, client: LiteguardClient) -> Optional[Any]:
        """Return the active user."""


class Binding:
    """Wraps a hook into a block."""

    @implementation(wrapper=True)
    def user(self, client: LiteguardClient) -> Iterator[None]:
        """Bind a user while the hook runs."""
        with client.with_properties({"user": "from the wrapper"}):
            return (yield)


class Answering:
    """Implements the hook."""

    @implementation
    def user(self, client: LiteguardClient) -> Optional[Any]:
        """Return the active user."""
        return active_user(client)


def test_hook_wrapper_passes_its_scope_to_the_hook(client: LiteguardClient) -> None:
    """A wrapper of a pytest hook binds for the hook it wraps."""
    manager = pluggy.PluginManager("tests")
    manager.add_hookspecs(Hooks)
    manager.register(Binding())
    manager.register(Answering())
    assert manager.hook.user(client=client) == "from the wrapper"
    assert active_user(client) is None
