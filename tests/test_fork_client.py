"""A client that was started before a fork, in the parent and in all its descendants."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

from accounts import arrived, checks, deliver_all
from clients import active_user, prepared, program, running
from conftest import own_threads
from forking import (
    Child,
    fork_a_parked_process,
    fork_between_rounds,
    in_child,
    living,
    sleep_for_ever,
)
from liteguard import Role
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend
    from liteguard import LiteguardClient

Fork = Callable[[], int]


WAYS = pytest.mark.parametrize("fork", [os.fork, fork_a_parked_process])


@pytest.fixture
def client(open_guard: Backend, state_dir: Path) -> Iterator[LiteguardClient]:
    """Run a client of that backend."""
    with running(open_guard, state_dir) as started:
        yield started


@pytest.fixture
def unhurried(open_guard: Backend, state_dir: Path) -> Iterator[LiteguardClient]:
    """Run a client that flushes only when it is told to."""
    with running(open_guard, state_dir, flush_rate_seconds=60) as started:
        yield started


# -- a child


@WAYS
def test_child_answers_at_once(client: LiteguardClient, fork: Fork) -> None:
    """Its first check answers from the inherited bundle."""

    def first_check() -> list[Any]:
        decision = client.evaluate("open.guard", fallback=False)
        return [decision.is_open, decision.reason.value]

    assert in_child(first_check, fork=fork) == [True, "default_value"]


@WAYS
def test_child_follows_later_changes(
    client: LiteguardClient, open_guard: Backend, fork: Fork
) -> None:
    """A change after the fork reaches the child, though its parent does nothing."""

    def follow() -> bool:
        until(lambda: not client.is_open("open.guard"))
        until(lambda: client.is_open("open.guard"))
        return True

    child = Child(follow, fork=fork)
    open_guard.update_guard("open.guard", defaultValue=False)
    until(lambda: str(child.pid) in open_guard.signal_summary()["byPid"])
    until(lambda: open_guard.signal_summary()["byPid"][str(child.pid)]["closed"])
    open_guard.update_guard("open.guard", defaultValue=True)
    assert child.result()


@WAYS
def test_child_that_makes_no_check_is_fresh_all_the_same(
    client: LiteguardClient, open_guard: Backend, fork: Fork
) -> None:
    """With hooks, a thread starts by itself; without, the first check starts it."""

    def idle() -> bool:
        before = client.status()
        assert (before.role, before.pid) == (Role.PARKED, os.getpid())
        if fork is fork_a_parked_process:
            client.peek_is_open("open.guard")
        until(lambda: client.status().role in {Role.LEADER, Role.FOLLOWER})
        until(lambda: not client._checker.table.lookup("open.guard").default_value)  # type: ignore[union-attr]  # both are there
        return True

    child = Child(idle, fork=fork)
    open_guard.update_guard("open.guard", defaultValue=False)
    assert child.result()


@WAYS
def test_checks_of_a_child_arrive_once(
    unhurried: LiteguardClient, open_guard: Backend, fork: Fork
) -> None:
    """A child that ends without running any handler loses nothing."""
    checks(unhurried, 3)
    pids = [in_child(lambda: checks(unhurried, 5), fork=fork) for _ in range(3)]
    checks(unhurried, 2)
    deliver_all(unhurried, open_guard, 3 + 3 * 5 + 2)
    assert len({*pids, os.getpid()}) == 4


@WAYS
def test_child_delivers_its_own_checks_while_it_lives(
    client: LiteguardClient, open_guard: Backend, fork: Fork
) -> None:
    """They carry the child's pid."""

    def work() -> int:
        checks(client, 5)
        until(lambda: client.status().sent == 5)
        return os.getpid()

    pid = in_child(work, fork=fork)
    by_pid = open_guard.signal_summary()["byPid"]
    assert by_pid[str(pid)] == {"open": 5, "closed": 0, "executions": 0}


@WAYS
def test_signals_buffered_before_a_fork_arrive_once(
    unhurried: LiteguardClient, open_guard: Backend, fork: Fork
) -> None:
    """They are not inherited: the parent or the next leader delivers them."""
    checks(unhurried, 5)

    def work() -> bool:
        checks(unhurried, 2)
        return unhurried.flush_signals()

    children = [Child(work, fork=fork) for _ in range(3)]
    assert all(child.result() for child in children)
    deliver_all(unhurried, open_guard, 5 + 3 * 2)


@WAYS
def test_child_that_never_touches_the_client_sends_nothing(
    unhurried: LiteguardClient, open_guard: Backend, fork: Fork
) -> None:
    """What its parent recorded is not sent by it, nor lost."""
    checks(unhurried, 2)
    assert in_child(lambda: True, fork=fork)
    assert unhurried.flush_signals()
    assert arrived(open_guard, 2)


ENDING = """
import os, sys
from liteguard import LiteguardClient

client = LiteguardClient(flush_rate_seconds=60)
client.start()
client.is_open("open.guard")
if os.fork() == 0:
    for _ in range(3):
        client.is_open("open.guard")
    sys.exit()
os.wait()
sys.stdin.read()
"""


def test_ordinary_end_of_a_child_delivers(open_guard: Backend, state_dir: Path) -> None:
    """What it recorded arrives while its parent waits, the parent's at the latest then.

    Whichever of the child's threads leads as it ends may deliver its parent's as well.
    """
    with program(ENDING, open_guard, state_dir) as parent:
        until(lambda: open_guard.signal_summary()["distinct"] >= 3)
        assert parent.communicate(timeout=50) == ("", "")
    assert arrived(open_guard, 4)


def test_shutdown_of_a_child_leaves_the_parent_alone(
    client: LiteguardClient, open_guard: Backend
) -> None:
    """Parent and other children go on, follow and deliver."""

    def end() -> bool:
        checks(client, 1)
        client.shutdown()
        return client.status().role is Role.STOPPED

    assert in_child(end)
    checks(client, 1)
    open_guard.update_guard("open.guard", defaultValue=False)
    until(lambda: not client.peek_is_open("open.guard"))
    until(lambda: arrived(open_guard, 2))


def test_client_made_before_a_fork_can_be_started_after_it(
    open_guard: Backend, state_dir: Path
) -> None:
    """Each process that starts it runs for itself."""
    client = prepared(open_guard, state_dir)

    def work() -> bool:
        client.start()
        checks(client, 2)
        return client.flush_signals()

    assert in_child(work)
    assert client.status().role is Role.STOPPED
    with client:
        checks(client, 1)
    assert arrived(open_guard, 3)


def test_client_that_was_shut_down_stays_so_in_a_child(
    client: LiteguardClient,
) -> None:
    """Nothing starts there by itself."""
    client.shutdown()

    def look() -> list[Any]:
        answer = client.is_open("open.guard")
        return [answer, client.status().role.value, len(own_threads())]

    assert in_child(look) == [True, "stopped", 0]


def test_scope_of_the_fork_is_bound_in_the_child(client: LiteguardClient) -> None:
    """A process forked in the middle of a request goes on with that request."""
    with client.with_properties({"user": "alice"}):
        assert in_child(lambda: active_user(client)) == "alice"


def test_listener_is_told_of_later_changes_in_the_child(
    client: LiteguardClient, open_guard: Backend
) -> None:
    """It hears what changed since the fork, and not of the inherited bundle."""
    told: list[list[str]] = []
    client.on_change(lambda names: told.append(sorted(names)))

    def listen() -> list[list[str]]:
        told.clear()
        client.is_open("open.guard")
        until(lambda: told)
        return told

    child = Child(listen)
    open_guard.create_guard("new.guard")
    assert child.result() == [["new.guard"]]


def test_child_of_a_running_parent_notices_a_fork_without_hooks(
    open_guard: Backend, state_dir: Path
) -> None:
    """Its first check revives it; parent and child deliver what is theirs, once."""
    with running(open_guard, state_dir, reload_rate_seconds=1) as client:
        checks(client, 2)
        assert client.status().role is Role.LEADER

        def work() -> list[Any]:
            role = client.status().role.value
            checks(client, 3)
            client.flush_signals()
            return [role, client.status().sent]

        assert in_child(work, fork=fork_between_rounds) == ["parked", 3]
        assert client.status().role is Role.LEADER
        checks(client, 1)
    assert arrived(open_guard, 6)


# -- the parent


def test_parent_is_parked_until_its_next_check(client: LiteguardClient) -> None:
    """It has no thread and no lock then; asking for its status changes nothing."""
    with living(sleep_for_ever):
        for _ in range(3):
            assert client.status().role is Role.PARKED
            assert client.status().pid == os.getpid()
        assert own_threads() == set()
        assert client.status().ready
        checks(client, 1)
        until(lambda: client.status().role in {Role.LEADER, Role.FOLLOWER})
        assert len(own_threads()) == 2


def test_parked_parent_leaves_leading_to_its_child(client: LiteguardClient) -> None:
    """The child leads although its parent led before and lives."""
    assert client.status().role is Role.LEADER

    def lead() -> bool:
        until(lambda: client.status().role is Role.LEADER)
        return True

    assert in_child(lead)
    assert client.status().role is Role.PARKED


def test_parent_revives_and_follows(
    client: LiteguardClient, open_guard: Backend
) -> None:
    """Its next check answers from the bundle in force, and later ones from newer."""
    assert in_child(lambda: True)
    checks(client, 1)
    open_guard.update_guard("open.guard", defaultValue=False)
    until(lambda: not client.is_open("open.guard"))


def test_parked_parent_delivers_at_its_end(
    unhurried: LiteguardClient, open_guard: Backend
) -> None:
    """What it recorded before the fork does not wait for another process."""
    checks(unhurried, 4)
    assert in_child(lambda: True)
    assert unhurried.status().role is Role.PARKED
    unhurried.shutdown()
    assert arrived(open_guard, 4)


def test_parked_parent_delivers_when_it_is_told_to(
    unhurried: LiteguardClient, open_guard: Backend
) -> None:
    """flush_signals() revives it like a check."""
    checks(unhurried, 4)
    assert in_child(lambda: True)
    assert unhurried.flush_signals()
    assert arrived(open_guard, 4)


def test_two_clients_survive_a_fork(
    client: LiteguardClient, open_guard: Backend, state_dir: Path
) -> None:
    """Each has its own threads, bundle and signals in the child."""
    token = open_guard.create_environment(f"{open_guard.environment}-two")
    theirs = {
        "project_client_token": token,
        "environment": f"{open_guard.environment}-two",
    }
    with running(open_guard, state_dir, **theirs) as other:

        def work() -> bool:
            checks(client, 2)
            assert not other.is_open("open.guard")
            return client.flush_signals() and other.flush_signals()

        assert in_child(work)
    assert arrived(open_guard, 2)
    observed = open_guard.observations(environment=theirs["environment"])
    assert observed["open.guard"]["checkCount"] == 1


def test_child_leads_after_its_parent_was_killed(
    open_guard: Backend, state_dir: Path
) -> None:
    """SIGKILL of a leading parent stops neither answers nor signals."""
    told, tell = os.pipe()

    def survive(client: LiteguardClient) -> bool:
        until(lambda: client.is_open("open.guard") and client.status().role)
        os.write(tell, b"%d\n" % os.getpid())
        until(lambda: client.status().role is Role.LEADER)
        until(lambda: not client.is_open("open.guard"))
        until(lambda: client.status().buffered == 0)
        os.write(tell, b"done\n")
        return True

    def parent() -> None:
        client = prepared(open_guard, state_dir)
        client.start()
        Child(lambda: survive(client))
        while client.is_open("open.guard"):
            threading.Event().wait(0.01)

    with living(parent) as process, os.fdopen(told) as pipe:
        pid = int(pipe.readline())
        process.kill()
        open_guard.update_guard("open.guard", defaultValue=False)
        assert pipe.readline() == "done\n"
        assert str(pid) in open_guard.poll_summary()["byPid"]
    os.close(tell)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


QUIET = """
import os, subprocess, sys, threading, warnings
from liteguard import LiteguardClient

client = LiteguardClient()
client.start()
for _ in range(5):
    assert client.is_open("open.guard")
    pid = os.fork()
    if pid == 0:
        assert client.is_open("open.guard")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    subprocess.run([sys.executable, "-c", ""], preexec_fn=lambda: None, check=True)
client.shutdown()
print("ended")
"""


def test_fork_warns_of_no_thread_of_the_package(
    open_guard: Backend, state_dir: Path
) -> None:
    """Python 3.12 and later warn where a process with threads forks; ours has none."""
    with program(QUIET, open_guard, state_dir) as process:
        assert process.communicate(timeout=50) == ("ended\n", "")
