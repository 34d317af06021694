"""Protected contexts of a running client, and a backend that may be slow with them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from clients import FAST, TOKEN, guard
from conftest import own_threads
from forking import fork_between_rounds, in_child
from liteguard import LiteguardClient, ProtectedContext
from recording import HELD_SECONDS, Answer, RecordingServer
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALICE = ProtectedContext("signed-for-alice", {"email": "alice@example.org"})
BOB = ProtectedContext("signed-for-bob", {"email": "bob@example.org"})


class ContextServer(RecordingServer):
    """Gives each protected context an open guard of its own, when it is told to."""

    def __init__(self) -> None:
        super().__init__(guard("public.guard", defaultValue=True))
        self.entered = threading.Event()
        self.gives = threading.Event()
        self.gives.set()

    def respond(self, path: str, document: dict[str, Any]) -> tuple[Answer, bytes]:
        """Answer; the requests of contexts wait."""
        if "protectedContext" not in document:
            return super().respond(path, document)
        self.entered.set()
        self.gives.wait(HELD_SECONDS)
        email = document["protectedContext"]["properties"]["email"]
        guards = [guard(f"{email}.guard", defaultValue=True)]
        return Answer(200), json.dumps({"guards": guards}).encode()

    def fetches(self, *, protected: bool) -> int:
        """Return how often the public bundle, or one of a context, was asked for."""
        found = [one.document for one in self.to("guards")]
        return sum(("protectedContext" in one) is protected for one in found)


@pytest.fixture
def server() -> Iterator[ContextServer]:
    """Run the backend."""
    running = ContextServer()
    with running:
        yield running
        running.gives.set()


@pytest.fixture
def client(server: ContextServer, state_dir: Path) -> Iterator[LiteguardClient]:
    """Run a client of it."""
    with made(server, state_dir) as running:
        yield running


def made(server: ContextServer, state_dir: Path, **more: Any) -> LiteguardClient:
    """Return a client of it that is not started."""
    options = {**FAST, "backend_url": server.url, "state_dir": str(state_dir), **more}
    return LiteguardClient(TOKEN, **options)


def is_open(scope: Any, context: ProtectedContext) -> bool:
    """Return whether a scope has the bundle of *context*."""
    return bool(scope.is_open(f"{context.properties['email']}.guard", fallback=False))


# -- binding


def test_each_context_has_a_bundle_of_its_own(client: LiteguardClient) -> None:
    """And a scope without one has the public bundle."""
    alice = client.create_scope().bind_protected_context(ALICE)
    bob = client.create_scope().bind_protected_context(BOB)
    assert is_open(alice, ALICE)
    assert is_open(bob, BOB)
    assert not is_open(alice, BOB)
    assert not alice.is_open("public.guard")
    assert alice.clear_protected_context().is_open("public.guard")


def test_a_bind_gives_up_at_its_timeout(server: ContextServer, state_dir: Path) -> None:
    """Long before a request would; the scope answers the fallback meanwhile."""
    with made(server, state_dir, http_timeout_seconds=120) as client:
        server.gives.clear()
        scope = client.create_scope().bind_protected_context(ALICE, timeout=0.05)
        assert not is_open(scope, ALICE)
        assert scope.is_open("public.guard", fallback=True)
        server.gives.set()
        until(lambda: is_open(scope, ALICE))


def test_the_event_loop_goes_on_during_an_awaited_bind(
    server: ContextServer, client: LiteguardClient
) -> None:
    """All three forms let other tasks run while the backend takes its time."""
    ticks: list[int] = []

    async def release() -> None:
        await asyncio.get_running_loop().run_in_executor(None, server.entered.wait)
        ticks.append(1)
        server.gives.set()

    async def during(binding: Any) -> bool:
        server.gives.clear()
        server.entered.clear()
        task = asyncio.create_task(release())
        answer = await binding()
        await task
        return bool(answer)

    async def bind() -> bool:
        scope = await client.create_scope().bind_protected_context_async(ALICE)
        return is_open(scope, ALICE)

    async def block() -> bool:
        async with client.with_protected_context(BOB) as scope:
            assert client.get_active_scope() is scope
            return is_open(client, BOB)

    async def function() -> bool:
        carol = ProtectedContext("signed-for-carol", {"email": "carol@example.org"})

        async def inside() -> bool:
            return is_open(client, carol)

        return await client.with_protected_context(carol, inside)

    async def main() -> list[bool]:
        return [await during(form) for form in (bind, block, function)]

    assert asyncio.run(main()) == [True] * 3
    assert len(ticks) == 3


@pytest.mark.parametrize("value", [None, "signature", {"signature": "s"}])
def test_an_awaited_bind_refuses_what_is_no_context(
    client: LiteguardClient, value: Any
) -> None:
    """As the other form does."""
    with pytest.raises(TypeError, match=r"must be a liteguard\.ProtectedContext"):
        asyncio.run(client.create_scope().bind_protected_context_async(value))


@pytest.mark.parametrize("timeout", [-1, "1", float("nan"), True])
def test_a_timeout_that_is_none_is_refused(
    client: LiteguardClient, timeout: Any
) -> None:
    """The message says what it must be."""
    with pytest.raises(ValueError, match="must be a number of seconds"):
        client.create_scope().bind_protected_context(ALICE, timeout=timeout)


# -- refreshing


def test_slow_contexts_do_not_stand_in_the_way_of_the_public_bundle(
    server: ContextServer, client: LiteguardClient
) -> None:
    """While one is waited for, polls go on and changes arrive."""
    scope = client.create_scope().bind_protected_context(ALICE)
    server.gives.clear()
    server.entered.clear()
    until(lambda: is_open(scope, ALICE) and server.entered.is_set())
    polls = server.fetches(protected=False)
    until(lambda: server.fetches(protected=False) >= polls + 3)
    assert is_open(scope, ALICE)
    server.gives.set()


def test_a_context_is_refreshed_while_it_is_used(
    server: ContextServer, client: LiteguardClient
) -> None:
    """And costs nothing more when nobody uses it."""
    scope = client.create_scope().bind_protected_context(ALICE)
    until(lambda: is_open(scope, ALICE) and server.fetches(protected=True) >= 3)
    asked = server.fetches(protected=True)
    polls = server.fetches(protected=False)
    until(lambda: server.fetches(protected=False) >= polls + 8)
    # The last use is followed by one refresh at most.
    assert server.fetches(protected=True) <= asked + 1


def test_only_who_binds_a_context_has_a_thread_for_it(
    server: ContextServer, client: LiteguardClient
) -> None:
    """It comes with the first one, and goes with the others, also before a fork."""
    names = {thread.name for thread in own_threads()}
    assert "liteguard-contexts" not in names
    scope = client.create_scope().bind_protected_context(ALICE)
    until(lambda: "liteguard-contexts" in {one.name for one in own_threads()})

    def goes_on() -> bool:
        asked = server.fetches(protected=True)
        until(lambda: is_open(scope, ALICE))
        until(lambda: "liteguard-contexts" in {one.name for one in own_threads()})
        return asked >= 1

    assert in_child(goes_on)
    client.shutdown()
    assert own_threads() == set()


def test_a_child_that_cannot_be_revived_yet_asks_for_nothing(
    server: ContextServer, state_dir: Path
) -> None:
    """A fork without hooks leaves it the parent's connection, which is not its own."""
    with made(server, state_dir, reload_rate_seconds=1) as client:
        revival = client._lifecycle._revival

        def bind() -> bool:
            with revival._turn()._lock:
                scope = client.create_scope().bind_protected_context(ALICE)
                return is_open(scope, ALICE)

        assert in_child(bind, fork=fork_between_rounds) is False
        assert server.fetches(protected=True) == 0


# -- secrets


def test_nothing_of_a_context_reaches_disk_or_log(
    client: LiteguardClient, state_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither while it is used and reported, nor when it cannot be bound."""
    caplog.set_level(logging.DEBUG)
    scope = client.create_scope(plan="pro").bind_protected_context(ALICE)
    for _ in range(10):
        assert is_open(scope, ALICE)
    refused = ProtectedContext("signed-badly", {"wrong": "eve@example.org"})
    client.create_scope().bind_protected_context(refused, timeout=0.5)
    on_disk = b"".join(
        path.read_bytes() for path in state_dir.rglob("*") if path.is_file()
    )
    assert b"pro" in on_disk
    secrets = ["signed-for", "signed-badly", "eve@", '"alice@example.org"', "email"]
    shown = caplog.text + repr(scope) + repr(ALICE) + repr(client)
    for secret in secrets:
        assert secret.encode() not in on_disk
        assert secret not in shown
    assert os.listdir(state_dir)  # noqa: PTH208  something was there to be read
