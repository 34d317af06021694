"""Journals that nobody else will deliver: who may claim which, and exactly once."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from journals import (
    claimed_by,
    descriptors,
    ended_process,
    fill,
    happening,
    left_behind,
    new_file,
    new_journal,
    new_recorder,
    other_process,
    signals_in,
    store,
)
from liteguard.process.identity import current_identity
from liteguard.telemetry import adoption
from liteguard.telemetry.adoption import Adopter, show_life
from liteguard.telemetry.journal_folder import open_journal_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from liteguard.process.identity import ProcessIdentity
    from liteguard.telemetry.journal_file import JournalFile

MAX_LEFT = 200
MEBIBYTE = 1024 * 1024
LONG_AGO_SECONDS = 3600.0


def adopter_of(folder: Path, identity: ProcessIdentity | None = None) -> Adopter:
    """Return an adopter that has claimed all it may; by default of this process."""
    adopter = Adopter(folder, identity or current_identity())
    adopter.claim_all()
    return adopter


def claimed(adopter: Adopter) -> list[str]:
    """Return the nonces of what an adopter has claimed."""
    return [file.owner.nonce for file in claimed_by(adopter)]


def unseen(identity: ProcessIdentity) -> ProcessIdentity:
    """Return the identity of a process in another container."""
    return replace(identity, pid_namespace="pid:[4242]")


def age(path: Path, seconds: float = LONG_AGO_SECONDS) -> None:
    """Let a file be one that was not touched for some time."""
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def path_of(file: JournalFile) -> Path:
    """Return where a journal lies."""
    assert file.path is not None
    return file.path


@contextlib.contextmanager
def no_free_descriptor() -> Iterator[None]:
    """Let this process have no further file descriptor."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- what is free


def test_journal_of_the_dead_is_claimed(tmp_path: Path) -> None:
    """A process that was killed has sealed nothing; all of it is there."""
    file = left_behind(tmp_path, 3)
    adopter = adopter_of(tmp_path)
    (found,) = claimed_by(adopter)
    assert found.owner == file.owner
    assert len(signals_in(found)) == 3
    assert not path_of(file).exists()


def test_journal_of_the_living_is_never_touched(tmp_path: Path) -> None:
    """Its owner writes and delivers it."""
    for identity in (current_identity(), other_process()):
        fill(new_journal(new_file(tmp_path, owner=identity)), 1)
    before = sorted(tmp_path.iterdir())
    assert claimed(adopter_of(tmp_path)) == []
    assert sorted(tmp_path.iterdir()) == before


def test_sealed_journal_of_the_living_is_claimed(tmp_path: Path) -> None:
    """A parked process may never run again."""
    file = new_file(tmp_path, owner=other_process())
    file.seal(0)
    assert claimed(adopter_of(tmp_path)) == [file.owner.nonce]


def test_journal_in_flight_is_left_to_its_living_owner(tmp_path: Path) -> None:
    """The owner has sent a batch of it and waits for the answer."""
    file = new_file(tmp_path, owner=other_process())
    file.seal(0)
    file.set_in_flight(is_in_flight=True)
    assert claimed(adopter_of(tmp_path)) == []
    file.set_in_flight(is_in_flight=False)
    assert claimed(adopter_of(tmp_path)) == [file.owner.nonce]


def test_journal_in_flight_of_the_dead_is_claimed(tmp_path: Path) -> None:
    """Nobody waits for that answer any more, so the batch comes again."""
    file = left_behind(tmp_path, 1)
    file.set_in_flight(is_in_flight=True)
    (found,) = claimed_by(adopter_of(tmp_path))
    assert not found.is_in_flight


def test_lease_that_is_over_counts_as_a_seal(tmp_path: Path) -> None:
    """A uWSGI master that never runs again has promised to write no more."""
    over, running = (new_file(tmp_path, owner=other_process()) for _ in range(2))
    over.lease(1)
    running.lease(time.monotonic_ns() + 10**12)
    assert claimed(adopter_of(tmp_path)) == [over.owner.nonce]


def test_pid_that_was_given_again_is_another_process(tmp_path: Path) -> None:
    """The owner had the same pid as a living process and another start."""
    earlier = replace(current_identity(), start_ticks=1)
    file = new_file(tmp_path, owner=earlier)
    assert claimed(adopter_of(tmp_path)) == [file.owner.nonce]


def test_journal_of_an_earlier_boot_is_claimed(tmp_path: Path) -> None:
    """After a restart of the machine every owner is gone, whatever has its pid."""
    earlier = replace(
        current_identity(), boot_id="00000000-0000-0000-0000-000000000000"
    )
    file = new_file(tmp_path, owner=earlier)
    assert claimed(adopter_of(tmp_path)) == [file.owner.nonce]


def test_journal_of_another_container_is_claimed_when_it_is_silent(
    tmp_path: Path,
) -> None:
    """Its process cannot be seen; one that lives touches its journal."""
    file = new_file(tmp_path, owner=unseen(ended_process()))
    assert claimed(adopter_of(tmp_path)) == []
    age(path_of(file))
    show_life(file)
    assert claimed(adopter_of(tmp_path)) == []
    age(path_of(file))
    assert claimed(adopter_of(tmp_path)) == [file.owner.nonce]


def test_rare_flushes_make_silence_longer(tmp_path: Path) -> None:
    """A process that flushes once a day touches its journals once a day."""
    age(path_of(new_file(tmp_path, owner=unseen(ended_process()))))
    adopter = Adopter(tmp_path, current_identity())
    adopter.claim_all(life_sign_seconds=LONG_AGO_SECONDS)
    assert claimed(adopter) == []


@pytest.mark.parametrize("leap", [-30 * 86400.0, 30 * 86400.0])
def test_leap_of_the_wall_clock_makes_no_silence(tmp_path: Path, leap: float) -> None:
    """Nor does a suspended machine: the living are given time for their next sign."""
    now = 0.0
    path = path_of(new_file(tmp_path, owner=unseen(ended_process())))
    adopter = Adopter(tmp_path, current_identity(), clock=lambda: now)
    for seconds in (0.0, 100.0, 100.0):
        now += seconds
        os.utime(path, (now, time.time() + leap + now))
        adopter.claim_all(life_sign_seconds=60.0)
        assert adopter.claimed() == []
    for seconds in (100.0, 79.0):
        now += seconds
        adopter.claim_all(life_sign_seconds=60.0)
        assert adopter.claimed() == []
    now += 2.0
    adopter.claim_all(life_sign_seconds=60.0)
    assert len(adopter.claimed()) == 1


def test_silent_flight_of_another_container_is_over(tmp_path: Path) -> None:
    """Its container was killed while a batch was on its way."""
    file = new_file(tmp_path, owner=unseen(ended_process()))
    file.set_in_flight(is_in_flight=True)
    file.seal(0)
    assert claimed(adopter_of(tmp_path)) == []
    age(path_of(file))
    assert claimed(adopter_of(tmp_path)) == [file.owner.nonce]


# -- claims


def test_claim_of_a_living_process_stands(tmp_path: Path) -> None:
    """What one process is delivering no other takes."""
    left_behind(tmp_path, 1)
    first = adopter_of(tmp_path, other_process())
    assert claimed(adopter_of(tmp_path)) == []
    assert len(claimed(first)) == 1


def test_two_clients_of_one_process_keep_their_claims_apart(tmp_path: Path) -> None:
    """They have one pid, and each delivers what it has claimed itself."""
    left_behind(tmp_path, 1)
    first = adopter_of(tmp_path)
    assert claimed(adopter_of(tmp_path)) == []
    assert len(claimed(first)) == 1


def test_claim_of_the_dead_is_claimed_again(tmp_path: Path) -> None:
    """A leader that dies with claims loses them to the next, any number of times."""
    file = left_behind(tmp_path, 2)
    for _ in range(3):
        assert claimed(adopter_of(tmp_path, ended_process())) == [file.owner.nonce]
    assert claimed(adopter_of(tmp_path)) == [file.owner.nonce]


def test_claim_of_another_container_stands_until_it_is_silent(tmp_path: Path) -> None:
    """Pids of two containers on one folder say nothing to each other."""
    file = left_behind(tmp_path, 1)
    age(path_of(file))
    adopter_of(tmp_path, unseen(ended_process()))
    assert claimed(adopter_of(tmp_path)) == []
    (claim,) = tmp_path.iterdir()
    age(claim)
    assert claimed(adopter_of(tmp_path)) == [file.owner.nonce]


def test_released_claims_are_free(tmp_path: Path) -> None:
    """A leader that steps down leaves what it has not delivered."""
    files = [left_behind(tmp_path, 1) for _ in range(2)]
    first = adopter_of(tmp_path, other_process())
    first.release()
    first.release()
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{file.owner.nonce}.journal" for file in files
    }
    assert len(claimed(adopter_of(tmp_path))) == 2


def test_release_of_a_vanished_folder_is_harmless(tmp_path: Path) -> None:
    """Then there is nothing to leave."""
    folder = tmp_path / "journals"
    folder.mkdir()
    left_behind(folder, 1)
    adopter = adopter_of(folder)
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    adopter.release()
    adopter.claim_all()
    assert claimed(adopter) == []


def test_claim_that_is_let_go_of_after_the_release_is_free(tmp_path: Path) -> None:
    """A thread that was left behind by a fork could not finish what it held."""
    file = left_behind(tmp_path, 1)
    first = adopter_of(tmp_path, other_process())
    for _ in claimed_by(first):
        first.release()
        assert claimed(adopter_of(tmp_path)) == []
    assert claimed(adopter_of(tmp_path)) == [file.owner.nonce]


def test_finished_journal_is_deleted(tmp_path: Path) -> None:
    """It leaves nothing behind, and no claim."""
    left_behind(tmp_path, 1)
    adopter = adopter_of(tmp_path)
    for file in claimed_by(adopter):
        adopter.finish(file)
        adopter.finish(file)
    assert list(tmp_path.iterdir()) == []
    assert claimed(adopter) == []


def test_claiming_what_is_gone_claims_nothing(tmp_path: Path) -> None:
    """Another process was quicker."""
    adopter = Adopter(tmp_path, current_identity())
    adopter.claim(tmp_path / "gone.journal")
    assert claimed(adopter) == []


def test_racing_threads_claim_each_journal_once(tmp_path: Path) -> None:
    """However many want it, renaming succeeds for one."""
    files = [left_behind(tmp_path, 1) for _ in range(20)]
    adopters = [Adopter(tmp_path, other_process()) for _ in range(4)]
    barrier = threading.Barrier(len(adopters))

    def claim(adopter: Adopter) -> None:
        barrier.wait()
        adopter.claim_all()

    threads = [threading.Thread(target=claim, args=(one,)) for one in adopters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [nonce for adopter in adopters for nonce in claimed(adopter)]
    assert sorted(found) == sorted(file.owner.nonce for file in files)


RACER = """
import sys, time
from pathlib import Path
from liteguard.process.identity import current_identity
from liteguard.telemetry.adoption import Adopter

folder, start = Path(sys.argv[1]), Path(sys.argv[2])
adopter = Adopter(folder, current_identity())
print("ready", flush=True)
while not start.exists():
    time.sleep(0.001)
adopter.claim_all()
print(*(path.name.split(".")[0] for path in adopter.claimed()), flush=True)
sys.stdin.read()
"""


def test_racing_processes_claim_each_journal_once(tmp_path: Path) -> None:
    """Four processes begin at the same moment and divide the journals among them."""
    folder, start = tmp_path / "journals", tmp_path / "start"
    folder.mkdir()
    files = [left_behind(folder, 1) for _ in range(30)]
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, str(folder), str(start)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    start.touch()
    found = [
        nonce
        for racer in racers
        if racer.stdout is not None
        for nonce in racer.stdout.readline().split()
    ]
    for racer in racers:
        racer.communicate()
    assert sorted(found) == sorted(file.owner.nonce for file in files)
    # They have ended without delivering, so all of it is there for the next.
    assert len(claimed(adopter_of(folder))) == 30


KILLED = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from journals import happening, new_recorder

recorder = new_recorder(Path(sys.argv[1]))
for _ in range(100):
    recorder.record(happening())
print("recorded", flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_recorded_is_all_there(tmp_path: Path) -> None:
    """SIGKILL runs no code of ours, and the page cache keeps every record."""
    program = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    victim = subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert victim.stdout is not None
    assert victim.stdout.readline() == "recorded\n"
    assert claimed(adopter_of(tmp_path)) == []
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    (file,) = claimed_by(adopter_of(tmp_path))
    assert len(signals_in(file)) == 100
    assert file.owner.identity.pid == victim.pid


# -- what else lies in the folder


@pytest.mark.parametrize(
    "name",
    ["notes.txt", "x.journal2", "x.claims", "journal", ".hidden", "x.claim-1", "a.tmp"],
)
def test_unknown_file_is_left_alone(tmp_path: Path, name: str) -> None:
    """Another version may know what it is."""
    path = tmp_path / name
    path.write_text("unknown")
    adopter = adopter_of(tmp_path)
    assert claimed(adopter) == []
    assert path.read_text() == "unknown"


def test_what_is_no_journal_is_removed_with_one_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A broken journal is said once and does not hold up the others."""
    (tmp_path / "0.journal").write_bytes(b"LGJRNL1\n" + bytes(5000))
    (tmp_path / "1.journal").touch()
    file = left_behind(tmp_path, 1)
    for _ in range(2):
        adopter = adopter_of(tmp_path, other_process())
        assert claimed(adopter) == [file.owner.nonce]
        adopter.release()
    assert len(caplog.records) == 2
    assert [path.name for path in tmp_path.iterdir()] == [path_of(file).name]


def test_folder_and_link_with_a_journals_name_are_left_alone(tmp_path: Path) -> None:
    """They are none, and nothing raises because of them."""
    (tmp_path / "folder.journal").mkdir()
    (tmp_path / "link.journal").symlink_to(tmp_path / "folder.journal")
    assert claimed(adopter_of(tmp_path)) == []
    assert len(list(tmp_path.iterdir())) == 2


def test_journal_that_was_never_finished_is_removed_when_it_is_old(
    tmp_path: Path,
) -> None:
    """A process was killed while it made it; a young one may still be on its way."""
    old, young = tmp_path / ".old.tmp", tmp_path / ".young.tmp"
    for path in (old, young):
        path.touch()
    age(old)
    adopter_of(tmp_path)
    assert (old.exists(), young.exists()) == (False, True)


# -- bounds


def test_journal_that_is_released_while_it_is_opened_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A park may come at any moment, and one process alone must send it."""
    left_behind(tmp_path, 1)
    adopter = adopter_of(tmp_path)
    (path,) = adopter.claimed()
    adopter.release()
    assert adopter.open(path) is None

    adopter.claim_all()
    (path,) = adopter.claimed()
    really_open = open_journal_file

    def open_while_a_fork_comes(path: Path) -> JournalFile:
        adopter.release()
        return really_open(path)

    monkeypatch.setattr(adoption, "open_journal_file", open_while_a_fork_comes)
    assert adopter.open(path) is not None
    assert claimed(adopter_of(tmp_path, other_process())) == []
    adopter.let_go(path)
    monkeypatch.undo()
    assert len(claimed(adopter_of(tmp_path, other_process()))) == 1


def test_want_of_descriptors_destroys_nothing(tmp_path: Path) -> None:
    """A server at its limit cannot open journals; it neither claims nor removes one."""
    living = new_file(tmp_path, owner=other_process())
    dead = left_behind(tmp_path, 1)
    adopter = Adopter(tmp_path, current_identity())
    paths = sorted(tmp_path.iterdir())
    with no_free_descriptor():
        for path in paths:
            assert not adopter._is_free(path)
        adopter.claim(path_of(dead))
        assert claimed(adopter) == []
    assert path_of(living).exists()
    assert claimed(adopter) == [dead.owner.nonce]


def test_claims_cost_no_descriptors(tmp_path: Path) -> None:
    """However many journals wait, one at a time is open."""
    for _ in range(20):
        left_behind(tmp_path, 1)
    gc.collect()  # mappings of earlier tests may still wait for it
    before = descriptors()
    adopter = adopter_of(tmp_path)
    assert max(descriptors() for _ in claimed_by(adopter)) <= before + 2
    assert descriptors() == before


def test_journals_beyond_a_number_are_dropped_oldest_first_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A host in a loop of crashes without a backend does not fill its disk."""
    small = {"capacity": 2, "text_bytes": 100}
    for number in range(MAX_LEFT + 3):
        file = left_behind(tmp_path, 2, **small)
        age(path_of(file), seconds=1000.0 - number)
    adopter = adopter_of(tmp_path)
    last = file.owner.nonce
    assert adopter.drop_excess() == 6
    assert adopter.drop_excess() == 0
    assert len(list(tmp_path.iterdir())) == MAX_LEFT
    assert claimed(adopter)[-1] == last
    assert len(caplog.records) == 1


def test_journals_beyond_a_size_are_dropped_oldest_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Few large ones may fill a disk as well as many small ones."""
    large = {"capacity": 2, "text_bytes": 10 * MEBIBYTE}
    files = [left_behind(tmp_path, 2, **large) for _ in range(15)]
    for number, file in enumerate(files):
        age(path_of(file), seconds=1000.0 - number)
    adopter = adopter_of(tmp_path)
    assert adopter.drop_excess() == 6
    assert claimed(adopter) == [file.owner.nonce for file in files[3:]]
    assert len(caplog.records) == 1


def test_few_large_journals_may_wait(tmp_path: Path) -> None:
    """Whoever has asked for large buffers has room for some of them."""
    for _ in range(8):
        left_behind(tmp_path, 1, capacity=2, text_bytes=20 * MEBIBYTE)
    assert adopter_of(tmp_path).drop_excess() == 0


def test_journal_of_the_week_before_is_dropped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody looks at signals that old; how many they were is reported."""
    adopter = Adopter(tmp_path, current_identity())
    for days in (6, 8):
        file = new_file(tmp_path, owner=ended_process())
        store(file, 1, seconds=time.time() - days * 86400)
        adopter.claim(path_of(file))
    dropped = [adopter.drop_if_old(file) for file in claimed_by(adopter)]
    assert dropped == [0, 1]
    assert len(adopter.claimed()) == len(list(tmp_path.iterdir())) == 1
    assert len(caplog.records) == 1


@pytest.mark.parametrize("acknowledged", [1, 2**63])
def test_old_journal_without_signals_is_removed_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, acknowledged: int
) -> None:
    """All was delivered, or damage says so; what it had to report still counts."""
    adopter = Adopter(tmp_path, current_identity())
    file = new_file(tmp_path, owner=ended_process())
    store(file, 1, seconds=time.time() - 8 * 86400)
    file.acknowledge(acknowledged)
    file.add_lost(3)
    adopter.claim(path_of(file))
    assert [adopter.drop_if_old(file) for file in claimed_by(adopter)] == [3]
    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []


@pytest.mark.parametrize("seconds", [math.nan, math.inf, 1e300])
def test_damaged_age_drops_nothing(tmp_path: Path, seconds: float) -> None:
    """What is wrong with a record is told by whoever would send it."""
    adopter = Adopter(tmp_path, current_identity())
    file = new_file(tmp_path, owner=ended_process())
    store(file, 1, seconds=seconds)
    assert adopter.drop_if_old(file) == 0


def test_owner_of_a_dropped_journal_does_not_wait_for_it(tmp_path: Path) -> None:
    """What is reported as dropped is settled for whoever still holds the journal."""
    small = {"capacity": 2, "text_bytes": 100}
    owned = left_behind(tmp_path, 2, **small)
    age(path_of(owned), seconds=1000.0)
    for _ in range(MAX_LEFT):
        left_behind(tmp_path, 1, **small)
    assert owned.unsettled() == 2
    assert adopter_of(tmp_path).drop_excess() == 2
    assert owned.unsettled() == 0


def test_oldest_journals_are_delivered_first(tmp_path: Path) -> None:
    """They are the nearest to being dropped."""
    files = [left_behind(tmp_path, 1) for _ in range(3)]
    for file, seconds in zip(files, (10.0, 30.0, 20.0)):
        age(path_of(file), seconds)
    found = claimed(adopter_of(tmp_path))
    assert found == [files[number].owner.nonce for number in (1, 2, 0)]


def test_owner_that_goes_on_after_an_adoption_loses_nothing(tmp_path: Path) -> None:
    """A container was silent too long; what it writes later it sends itself."""
    recorder = new_recorder(tmp_path, owner=unseen(current_identity()))
    recorder.record(happening())
    (file,) = recorder.journals.files()
    age(path_of(file))
    adopter = adopter_of(tmp_path)
    for adopted in claimed_by(adopter):
        adopted.acknowledge(1)
        adopter.finish(adopted)
    recorder.record(happening())
    assert recorder.buffered == 1
    with pytest.raises(FileNotFoundError):
        open_journal_file(path_of(file))
