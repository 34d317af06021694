"""Two clients in one process, of two environments: they share the fork hooks alone."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from backends import Backend
from clients import prepared
from forking import in_child
from liteguard import ConfigurationError
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from devserver import DevServer
    from liteguard import LiteguardClient

Pair = tuple[Any, Any]


@pytest.fixture
def backends(devserver: DevServer, backend: Backend) -> tuple[Backend, Backend]:
    """Return two environments in which a guard is called the same."""
    other = Backend(devserver, f"{backend.environment}-other")
    backend.create_guard("shared.name", default_value=True)
    other.create_guard("shared.name", default_value=False)
    return backend, other


@pytest.fixture
def clients(
    backends: tuple[Backend, Backend], state_dir: Path
) -> Iterator[tuple[LiteguardClient, LiteguardClient]]:
    """Run a client of each, in the same state folder."""
    one, two = (prepared(backend, state_dir) for backend in backends)
    with one, two:
        yield one, two


def test_each_has_its_own_answers_and_folder(clients: Pair) -> None:
    """Both lead, each its own host's worth of processes."""
    assert [client.is_open("shared.name") for client in clients] == [True, False]
    until(lambda: all(client.status().role == "leader" for client in clients))
    assert clients[0].status().state_dir != clients[1].status().state_dir


def test_changes_and_listeners_are_told_apart(
    clients: Pair, backends: tuple[Backend, Backend]
) -> None:
    """A change in one environment is none in the other."""
    seen: list[list[Any]] = [[], []]
    for client, told in zip(clients, seen):
        client.on_change(told.append)
    backends[1].update_guard("shared.name", defaultValue=True)
    until(lambda: seen[1])
    refreshes = clients[0].status().refreshes
    until(lambda: clients[0].status().refreshes > refreshes + 1)
    assert seen == [[], [{"shared.name"}]]


def has_signals(backend: Backend, number: int) -> bool:
    """Return whether so many signals have arrived."""
    return backend.signal_summary()["total"] == number


def test_each_delivers_to_its_own_environment(
    clients: Pair, backends: tuple[Backend, Backend]
) -> None:
    """Also from a child, and nothing goes to the other."""

    def check() -> bool:
        for client in clients:
            client.is_open("shared.name")
        delivered = [client.flush_signals() for client in clients]
        return all(delivered)

    assert check()
    assert in_child(check)
    for backend, expected in zip(backends, (True, False)):
        until(partial(has_signals, backend, 2))
        assert {found["result"] for found in backend.signals()} == {expected}


def test_shutdown_of_one_leaves_the_other_running(clients: Pair) -> None:
    """Also in a child that was forked in between."""
    one, two = clients
    one.shutdown()
    assert (one.status().role, two.status().role) == ("stopped", "leader")

    def roles() -> list[str]:
        two.is_open("shared.name")
        until(lambda: two.status().pid == os.getpid() and two.status().role != "parked")
        return [one.status().role.value, two.status().role.value]

    assert in_child(roles) in (["stopped", "leader"], ["stopped", "follower"])


def test_scopes_do_not_mix(clients: Pair) -> None:
    """What one has bound is not active in the other, which refuses to run it."""
    one, two = clients
    with one.run_with_scope(one.create_scope(plan="pro")) as scope:
        assert two.get_active_scope().get_properties() == {}
        with pytest.raises(ConfigurationError, match="another LiteguardClient"):
            two.run_with_scope(scope)
        with two.run_with_scope(two.create_scope(plan="free")):
            assert one.get_active_scope() is scope
