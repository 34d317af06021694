"""The stress suite itself: what it runs, what it writes, and that it can fail."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCENARIOS = sorted(path.stem for path in (ROOT / "stress/scenarios").glob("*.py"))
NAMES = [stem.replace("_", "-") for stem in SCENARIOS]
PAGE = (ROOT / "docs/stress.md").read_text()
QUICK = ["--seconds", "3", "--workers", "2"]
HEAD = '''
"""A scenario of the tests.

It is brief.
"""

import os
import signal

from stress.suite import promises
from stress.suite.workers import workers

PROMISES = (promises.none_lost(), promises.harmless())
'''
ABORTED = """
def play(stage):
    with workers(stage) as host:
        stage.pause(0.5)
        os.kill(host.leader(), signal.SIGABRT)
        stage.pause(0.5)
"""
UNDISTURBED = """
def play(stage):
    with workers(stage):
        stage.pause(0.5)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the suite's command."""
    return subprocess.run(
        [sys.executable, "-m", "stress", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


def listed(*arguments: str) -> list[str]:
    """Return the lines in which the suite tells its scenarios."""
    return run("--list", *arguments).stdout.splitlines()


def document(path: Path) -> Any:
    """Return what a JSON file holds."""
    return json.loads(path.read_text())


@pytest.mark.timeout(180)
def test_run_is_written_down(tmp_path: Path) -> None:
    """Two scenarios leave figures, a verdict on each promise, and a page with plots."""
    chosen = ["--only", "leader-killed", "--only", "soak", *QUICK]
    ran = run(*chosen, "--alone", "--report", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    every = document(tmp_path / "all.json")["scenarios"]
    assert [one["name"] for one in every] == ["leader-killed", "soak"]
    page = (tmp_path / "report.md").read_text()
    for one in every:
        assert document(tmp_path / f"{one['name']}.json") == one
        assert one["ours"]["figures"]["made"] > 0
        assert one["ours"]["figures"]["samples"]
        assert {verdict["is_kept"] for verdict in one["ours"]["verdicts"]} == {True}
        assert {
            v["text"] for v in one["ours"]["verdicts"] if v["text"] not in page
        } == (set())
        assert one["published"]["why_not"] == "left out"
    assert every[0]["ours"]["figures"]["more"]["killed"] > 0
    for picture in re.findall(r"\]\((.*\.svg)\)", page):
        assert "<svg" in (tmp_path / picture).read_text()


@pytest.mark.timeout(180)
def test_published_package_plays_beside(tmp_path: Path) -> None:
    """The same scenario tells what became of the published package in it."""
    ran = run("--only", "leader-killed", *QUICK, "--report", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    played = document(tmp_path / "leader-killed.json")
    ours, published = played["ours"]["figures"], played["published"]["figures"]
    assert ours["processes"] == published["processes"] == 2
    assert published["polls"] > ours["polls"] > 0
    assert (ours["lost"], played["is_well"]) == (0, True)


@pytest.mark.timeout(180)
def test_broken_promise_is_told_by_the_exit_status(tmp_path: Path) -> None:
    """One worker that dies breaks a promise, which is named; others go on."""
    (tmp_path / "aborted.py").write_text(HEAD.lstrip() + ABORTED)
    (tmp_path / "failing.py").write_text(HEAD.lstrip() + "\nplay = None\n")
    (tmp_path / "undisturbed.py").write_text(HEAD.lstrip() + UNDISTURBED)
    report = tmp_path / "report"
    here = ["--scenarios", str(tmp_path), "--report", str(report)]
    ran = run(*here, *QUICK, "--alone")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "no process hangs, dies or reports a defect: 0 hung, 1 died" in ran.stderr
    every = {one["name"]: one for one in document(report / "all.json")["scenarios"]}
    assert {name: one["is_well"] for name, one in every.items()} == {
        "aborted": False,
        "failing": False,
        "undisturbed": True,
    }
    assert every["aborted"]["ours"]["figures"]["deaths"] == 1
    assert "TypeError" in every["failing"]["ours"]["why_not"]
    assert run(*here, *QUICK, "--alone", "--only", "undisturbed").returncode == 0


def test_scenarios_are_listed_by_their_files() -> None:
    """Each file is a scenario, which the documentation names with its title."""
    told = {name: title for name, _, title in map(parts_of, listed())}
    assert sorted(told) == sorted(NAMES)
    assert {name for name in told if f"`{name}`" not in PAGE} == set()
    table = (ROOT / "docs/stress-figures.md").read_text().splitlines()[2:]
    assert [row.split(" | ")[0].lstrip("| ") for row in table] == list(told.values())


def parts_of(line: str) -> tuple[str, str, str]:
    """Return name, time and title of a scenario as the list tells them."""
    name, number, unit, title = line.split(maxsplit=3)
    return name, f"{number} {unit}", title


def test_each_scenario_has_a_time_of_its_own() -> None:
    """The leader is killed for a minute; an option gives all another time."""
    plain = {name: time for name, time, _ in map(parts_of, listed())}
    assert plain.pop("leader-killed") == "60 s"
    assert plain.pop("soak") == "20 s"
    assert set(plain.values()) == {"8 s"}
    asked = {name: time for name, time, _ in map(parts_of, listed("--seconds", "3"))}
    assert set(asked.values()) == {"3 s"}
    soaked = map(parts_of, listed("--seconds", "3", "--soak", "90"))
    assert {name for name, time, _ in soaked if time != "3 s"} == {"soak"}


def test_unknown_scenario_is_a_mistake_that_is_explained() -> None:
    """It tells which there are."""
    ran = run("--only", "nothing")
    assert ran.returncode == 2
    assert "soak" in ran.stderr


def test_each_option_of_the_suite_is_documented() -> None:
    """The page names each."""
    options = set(re.findall(r"--[a-z-]+", run("--help").stdout)) - {"--help"}
    assert {option for option in options if option not in PAGE} == set()


PROMISES = importlib.import_module("stress.suite.promises")
FIGURES = importlib.import_module("stress.suite.figures")
PROCESSES = importlib.import_module("stress.suite.processes")
SAMPLING = importlib.import_module("stress.suite.sampling")
CALM = [SAMPLING.Sample(float(second), 0.5) for second in range(20)]
GROWN = [PROCESSES.Usage(100.0 * third, 10, 3) for third in range(1, 4)]
WELL = FIGURES.Figures(
    seconds=20.0,
    refresh_seconds=1.0,
    processes=4,
    polls=20,
    samples=CALM,
    troubles=[(2.0, 5.0)],
    begun=110,
    made=100,
    delivered=90,
    dropped=15,
    again=0,
    wrong=0,
    hangs=0,
    deaths=0,
    reports=0,
    longest_check_ms=1.0,
    processors=0.5,
    usages=[PROCESSES.Usage(100.0, 10, 3)] * 3,
    busy=0.5,
    log="",
)
BREAKING: list[tuple[Any, dict[str, Any]]] = [
    (PROMISES.one_poller(), {"polls": 25}),
    (PROMISES.one_poller(times=2.0), {"polls": 47}),
    (PROMISES.follows(), {"samples": [*CALM, SAMPLING.Sample(20.0, 3.5)]}),
    (PROMISES.follows(), {"samples": []}),
    (PROMISES.follows(more_seconds=1.0), {"samples": [SAMPLING.Sample(1.0, 4.5)]}),
    (PROMISES.recovers(1.0), {"samples": [*CALM, SAMPLING.Sample(20.0, 1.5)]}),
    (
        PROMISES.recovers(1.0),
        {"samples": [*CALM, SAMPLING.Sample(8.5, 2.0), SAMPLING.Sample(9.0, 0.5)]},
    ),
    (PROMISES.none_lost(), {"delivered": 84}),
    (PROMISES.none_lost(), {"made": 0}),
    (PROMISES.none_twice(), {"again": 1}),
    (PROMISES.none_twice(), {"delivered": 96}),
    (PROMISES.answers_right(), {"wrong": 1}),
    (PROMISES.harmless(), {"hangs": 1}),
    (PROMISES.harmless(), {"deaths": 1}),
    (PROMISES.harmless(), {"reports": 1}),
    (PROMISES.steady(), {"usages": GROWN}),
]


@pytest.mark.parametrize(("promise", "broken"), BREAKING)
def test_promise_is_kept_and_can_be_broken(
    promise: Any, broken: dict[str, Any]
) -> None:
    """Each is kept by figures that are well, and broken by one that is not."""
    assert promise.is_kept(WELL), promise.evidence(WELL)
    seen = dataclasses.replace(WELL, **broken)
    assert not promise.is_kept(seen), promise.evidence(seen)


def test_busy_machine_is_given_more_time() -> None:
    """Where four processes want each core, four times as long is allowed."""
    late = dataclasses.replace(WELL, samples=[SAMPLING.Sample(1.0, 8.0)])
    assert not PROMISES.follows().is_kept(late)
    assert PROMISES.follows().is_kept(dataclasses.replace(late, busy=4.0))
