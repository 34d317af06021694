from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from forking import Child, fork_without_hooks, in_child, living, sleep_for_ever
from liteguard.process.identity import ProcessIdentity, boot_id, current_identity


def identity_in_child() -> list[object]:
    """Return what a child holds of itself, as JSON."""
    mine = current_identity()
    return [mine.pid, mine.start_ticks, mine.pid_namespace, mine.boot_id]


def test_a_process_knows_itself() -> None:
    """The identity holds this process's pid, and the same each time it is asked."""
    assert current_identity().pid == os.getpid()
    assert current_identity() == current_identity()
    assert current_identity().is_alive()


@pytest.mark.parametrize("fork", [os.fork, fork_without_hooks])
def test_a_child_has_an_identity_of_its_own(fork: object) -> None:
    """No fork passes an identity on, with hooks or without."""
    with living(sleep_for_ever, fork=fork) as child:
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        ticks = int(stat.rpartition(")")[2].split()[19])
        theirs = replace(current_identity(), pid=child.pid, start_ticks=ticks)
        assert theirs.is_alive()
        assert theirs != current_identity()
    reported = in_child(identity_in_child, fork=fork)
    assert reported[0] != os.getpid()
    assert reported[2:] == [current_identity().pid_namespace, boot_id()]


def test_a_process_that_has_ended_is_not_alive() -> None:
    """Once it is gone the identity of a child names nobody."""
    child = Child(identity_in_child)
    theirs = ProcessIdentity(*child.result())
    assert not theirs.is_alive()


def test_a_zombie_is_not_alive() -> None:
    """A process that has ended and was not waited for runs no more."""
    told, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(tell, repr(identity_in_child()).encode())
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    ticks = int(os.read(told, 1000).split(b",")[1])
    os.close(told)
    os.close(tell)
    theirs = replace(current_identity(), pid=pid, start_ticks=ticks)
    try:
        assert not theirs.is_alive()
    finally:
        os.waitpid(pid, 0)


def test_a_pid_that_was_given_again_is_another_process() -> None:
    """The same pid with another start is not the process that was meant."""
    mine = current_identity()
    assert not replace(mine, start_ticks=mine.start_ticks - 1).is_alive()


def test_a_process_of_another_boot_is_not_alive() -> None:
    """Whatever its pid, nothing outlives a boot."""
    assert not replace(current_identity(), boot_id="another").is_alive()


def test_a_process_that_cannot_be_seen_counts_as_alive() -> None:
    """The pid of another namespace says nothing here, so nothing is taken from it."""
    hidden = replace(current_identity(), pid=1, start_ticks=1, pid_namespace="other")
    assert hidden.is_alive()


def test_an_identity_without_a_start_is_judged_by_its_pid() -> None:
    """Where the kernel did not tell the start, the pid alone says who lives."""
    child = Child(identity_in_child)
    child.result()
    assert replace(current_identity(), start_ticks=0).is_alive()
    assert not replace(current_identity(), start_ticks=0, pid=child.pid).is_alive()


def test_a_process_without_descriptors_declares_nobody_dead() -> None:
    """Who cannot open a file cannot tell, and takes nothing from living processes."""
    parents = current_identity()

    def look_around_without_descriptors() -> bool:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, most))
        return parents.is_alive()

    assert in_child(look_around_without_descriptors) is True


def test_a_program_named_with_spaces_and_parentheses_is_understood(
    tmp_path: Path,
) -> None:
    """The start is read rightly whatever the program calls itself."""
    program = tmp_path / "a) S 1 (b"
    program.symlink_to(sys.executable)
    root = Path(__file__).resolve().parent.parent
    ask = (
        "from liteguard.process.identity import current_identity as me;"
        "print(me().start_ticks, open('/proc/self/stat').read())"
    )
    told = subprocess.run(
        [str(program), "-c", ask],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), *sys.path])},
    ).stdout
    ticks, _, stat = told.partition(" ")
    assert "(a) S 1 (b)" in stat
    assert stat.rpartition(")")[2].split()[19] == ticks
