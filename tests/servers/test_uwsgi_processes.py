"""uWSGI's processes that serve no requests: mules and the spooler."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from serving import HERE, Server
from uwsgis import HOOKS, LOADING, WORKERS, uwsgi
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend

TASKS = 3


def offstage(backend: Backend, folder: Path, *arguments: str) -> Server:
    """Return a uWSGI that has a spooler, and reports in *folder* what that does."""
    spooler = ["--spooler", str(folder), "--spooler-import", "offstage"]
    # It is also told of each task, by a signal that may come while it still starts.
    spooler += ["--spooler-frequency", "1"]
    return uwsgi(
        backend,
        folder,
        "--master",
        *spooler,
        *arguments,
        application="offstage:serve",
        REPORTS=str(folder),
    )


def reports(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return what was reported of each check that a mule or the spooler made."""
    try:
        lines = (folder / name).read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    # The last line may not be whole yet.
    return [json.loads(line) for line in lines if line.endswith("\n")]


def run_tasks(server: Server, folder: Path) -> list[bool]:
    """Let the spooler make some checks and return what they answered."""
    before = len(reports(folder, "spooler"))
    for _ in range(TASKS):
        assert server.ask("/spool")
    until(lambda: len(reports(folder, "spooler")) >= before + TASKS)
    return [told["open"] for told in reports(folder, "spooler")[before:]]


@pytest.mark.parametrize("loading", LOADING)
@pytest.mark.parametrize("hooks", sorted({"plain", "osafterfork"} & set(HOOKS)))
def test_mule_and_spooler_follow(
    loading: str, hooks: str, backend: Backend, tmp_path: Path
) -> None:
    """A change reaches a mule's loop and the spooler's tasks; each check arrives."""
    arguments = [f"--mule={HERE / 'mule.py'}", *LOADING[loading], *HOOKS[hooks]]
    with offstage(backend, tmp_path, *arguments) as server:
        server.workers(WORKERS)
        assert run_tasks(server, tmp_path) == [False] * TASKS
        until(lambda: reports(tmp_path, "mule"))
        server.wait_for_change(WORKERS)
        until(lambda: reports(tmp_path, "mule")[-1]["open"])
        until(lambda: all(run_tasks(server, tmp_path)))
        assert len(backend.poll_summary()["byPid"]) <= 2
        made = sum(len(reports(tmp_path, name)) for name in ("mule", "spooler"))
        server.assert_every_check_was_delivered(extra=made)
        assert server.stop() == 0
        server.assert_log_is_clean()


def test_spooler_follows_where_all_hooks_run(backend: Backend, tmp_path: Path) -> None:
    """The spooler follows also with the option that uWSGI's own mules cannot stand."""
    with offstage(backend, tmp_path, *HOOKS["everything"]) as server:
        server.workers(WORKERS)
        assert run_tasks(server, tmp_path) == [False] * TASKS
        server.wait_for_change(WORKERS)
        until(lambda: all(run_tasks(server, tmp_path)))
        made = len(reports(tmp_path, "spooler"))
        server.assert_every_check_was_delivered(extra=made)
