from __future__ import annotations

import gc
import os
import resource
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any, Callable

import pytest

from forking import (
    as_ordinary_user,
    fork_without_hooks,
    in_child,
    wait_until,
)
from liteguard.process import fork

if TYPE_CHECKING:
    from pathlib import Path

FORKS: list[Callable[[], int]] = [os.fork, fork_without_hooks]
FLAGS: list[Callable[[], fork.Flag]] = [fork.new_flag, fork._PidFlag]


class Client:
    """Takes part in forks and notes what it was asked to do, and in which process."""

    def __init__(self, on_park: Callable[[], object] = lambda: None) -> None:
        self.parked = 0
        self.reset = 0
        self._on_park = on_park

    def park(self) -> None:
        """Note the call."""
        self.parked += 1
        self._on_park()

    def reset_after_fork(self) -> None:
        """Note the call."""
        self.reset += 1

    def calls(self) -> list[int]:
        """Return how often each method was called."""
        return [self.parked, self.reset]


class Failing(Client):
    """Fails whatever it is asked to do."""

    def park(self) -> None:
        """Fail."""
        raise ValueError("park")

    def reset_after_fork(self) -> None:
        """Fail."""
        raise ValueError("reset")


def watched(client: Client) -> Client:
    """Let *client* take part in forks."""
    fork.watch(client)
    return client


@pytest.fixture(autouse=True)
def _no_errors_from_before() -> None:
    fork.take_errors()


# -- the hooks


def test_a_fork_parks_in_the_parent_and_resets_in_the_child() -> None:
    """The parent parks once and is not reset; the child is reset once."""
    client = watched(Client())
    assert in_child(client.calls) == [1, 1]
    assert client.calls() == [1, 0]


def test_a_fork_without_hooks_calls_nobody() -> None:
    """An embedding server's fork is not noticed, neither here nor there."""
    client = watched(Client())
    assert in_child(client.calls, fork=fork_without_hooks) == [0, 0]
    assert client.calls() == [0, 0]


def test_every_generation_is_called() -> None:
    """A child's child is reset as its parent was, down to the tenth generation."""
    client = watched(Client())

    def descend(depth: int) -> Any:
        return in_child(lambda: descend(depth - 1)) if depth else client.calls()

    assert in_child(lambda: descend(9)) == [10, 10]


def test_watching_twice_is_watching_once() -> None:
    """A client that starts again is not called twice."""
    client = watched(watched(Client()))
    in_child(lambda: None)
    assert client.parked == 1


def test_a_dropped_client_is_forgotten() -> None:
    """Taking part in forks keeps no client alive."""
    client = watched(Client())
    gone = weakref.ref(client)
    others = [watched(Client()) for _ in range(3)]
    del client
    gc.collect()
    assert gone() is None
    assert in_child(others[0].calls) == [1, 1]
    watched(others[0])
    assert gone not in fork._forks.clients


def test_clients_come_and_go_without_adding_up() -> None:
    """Making clients in a loop does not make forks slower and slower."""
    for _ in range(100):
        watched(Client())
    gc.collect()
    watched(Client())
    assert len([ref for ref in fork._forks.clients if ref() is None]) <= 1


def test_a_client_that_fails_does_not_stop_the_others() -> None:
    """One client's failure keeps neither the other clients nor the fork."""
    clients = [watched(Client()), watched(Failing()), watched(Client())]
    reported = in_child(lambda: [client.calls() for client in clients])
    assert reported == [[1, 1], [0, 0], [1, 1]]


def test_what_hooks_cannot_log_is_handed_over_once() -> None:
    """Errors of the hooks are kept for whoever can log them, in each process."""
    client = watched(Failing())

    def errors() -> list[str]:
        return [str(error) for error in fork.take_errors()]

    assert in_child(errors) == ["park", "reset"]
    assert errors() == ["park"]
    assert errors() == []
    left = weakref.ref(client)
    in_child(lambda: None)
    del client
    assert left() is None, "kept alive by an error that nobody has taken"
    fork.take_errors()


def test_errors_that_nobody_takes_do_not_pile_up() -> None:
    """A master that forks for ever keeps a bounded number of errors."""
    client = watched(Failing())
    for _ in range(12):
        in_child(lambda: None)
    assert 1 <= len(fork.take_errors()) <= 10
    del client


def test_a_fork_in_a_fork_hook_does_not_end_the_fork_around_it() -> None:
    """A hook that ran after the client has parked may fork; the outer fork goes on."""
    seen: list[bool] = []

    def fork_inside() -> None:
        if not seen:
            seen.append(fork.is_under_way())
            in_child(lambda: None)
            seen.append(fork.is_under_way())

    client = watched(Client(fork_inside))
    in_child(lambda: None)
    assert seen == [True, True]
    assert not fork.is_under_way()
    assert client.parked == 2


# -- a fork under way


def test_a_fork_is_under_way_only_between_the_hooks() -> None:
    """It is seen while clients park, and neither before nor after, here nor there."""
    seen = []
    client = watched(Client(lambda: seen.append(fork.is_under_way())))
    assert not fork.is_under_way()
    assert in_child(fork.is_under_way) is False
    assert not fork.is_under_way()
    assert seen == [True]
    assert client.parked == 1


def test_every_thread_sees_that_a_fork_is_under_way() -> None:
    """A check in another thread must not revive what is being parked."""
    seen = []

    def ask_in_another_thread() -> None:
        thread = threading.Thread(target=lambda: seen.append(fork.is_under_way()))
        thread.start()
        thread.join()

    client = watched(Client(ask_in_another_thread))
    in_child(lambda: None)
    assert seen == [True]
    del client


def test_the_child_is_reset_after_the_fork_is_over() -> None:
    """A client may start anew from its hook in the child."""
    seen = []
    client = Client()
    client.reset_after_fork = lambda: seen.append(fork.is_under_way())  # type: ignore[method-assign]  # what the hook itself sees
    fork.watch(client)
    assert in_child(lambda: seen) == [False]


def test_a_fork_that_fails_is_over() -> None:
    """Where no process can be made the parent goes on as if nothing had been."""
    client = watched(Client())

    def fail_to_fork() -> list[object]:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        try:
            os.fork()
        except BlockingIOError:
            return [client.parked, fork.is_under_way()]
        return ["forked"]

    # Parked by the fork that made the ordinary user's process, and by the failing one.
    assert as_ordinary_user(fail_to_fork) == [2, False]


def test_a_fork_whose_end_is_never_told_is_over_after_a_second() -> None:
    """A server that runs the first hook and no other does not park for ever."""

    def begin_only() -> bool:
        fork._forks.before()
        assert fork.is_under_way()
        wait_until(lambda: not fork.is_under_way())
        return True

    assert in_child(begin_only)


def test_forks_of_several_threads_do_not_confuse_one_another() -> None:
    """When the last of many forks is over, none is under way."""

    def fork_in_threads() -> list[object]:
        warnings.simplefilter("ignore")  # Python 3.12 and later: these are our threads
        threads = [threading.Thread(target=fork_often) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [fork.is_under_way(), len(fork.take_errors()), client.parked]

    def fork_often() -> None:
        for _ in range(10):
            pid = os.fork()
            if pid == 0:
                os._exit(fork.is_under_way())
            assert os.waitpid(pid, 0)[1] == 0

    client = watched(Client())
    assert in_child(fork_in_threads) == [False, 0, 21]


# -- the flag


@pytest.mark.parametrize("flag_type", FLAGS)
def test_the_flag_is_down_until_it_is_raised(
    flag_type: Callable[[], fork.Flag],
) -> None:
    """A new flag reads 0, and then what was written last."""
    flag = flag_type()
    assert flag[0] == 0
    flag[0] = 1
    assert flag[0] == 1
    flag[0] = 0
    assert flag[0] == 0


@pytest.mark.parametrize("flag_type", FLAGS)
@pytest.mark.parametrize("how", FORKS)
def test_no_child_inherits_the_flag(
    flag_type: Callable[[], fork.Flag], how: Callable[[], int]
) -> None:
    """However a child came to be it reads 0, and its parent goes on to read 1."""
    flag = flag_type()
    flag[0] = 1
    assert in_child(lambda: flag[0], fork=how) == 0
    assert flag[0] == 1


@pytest.mark.parametrize("flag_type", FLAGS)
@pytest.mark.parametrize("how", FORKS)
def test_a_child_raises_its_own_flag(
    flag_type: Callable[[], fork.Flag], how: Callable[[], int]
) -> None:
    """What a child writes is the child's, and its own children read 0 again."""
    flag = flag_type()

    def raise_it() -> list[int]:
        flag[0] = 1
        return [flag[0], in_child(lambda: flag[0], fork=how), flag[0]]

    assert in_child(raise_it, fork=how) == [1, 0, 1]
    assert flag[0] == 0


def test_flags_are_independent() -> None:
    """Two clients do not share a flag."""
    one, other = fork.new_flag(), fork.new_flag()
    one[0] = 1
    assert other[0] == 0


def test_advice_that_the_kernel_did_not_take_is_not_trusted(tmp_path: Path) -> None:
    """Where no mapping is marked as wiped an emulator only said yes."""
    smaps = tmp_path / "smaps"
    smaps.write_text("7f00-7f01 rw-p 00000000 00:00 0\nVmFlags: rd wr mr mw me ac\n")
    assert not fork._is_advice_in_force(smaps)
    smaps.write_text("7f00-7f01 rw-p 00000000 00:00 0\nVmFlags: rd wr mr wf ac\n")
    assert fork._is_advice_in_force(smaps)
    assert not fork._is_advice_in_force(tmp_path / "missing")


def test_many_flags_cost_one_probe() -> None:
    """A process with many clients reads its own memory map once."""
    flags = [fork.new_flag() for _ in range(200)]
    assert {flag[0] for flag in flags} == {0}
    assert fork._forks.kernel_wipes is not None
