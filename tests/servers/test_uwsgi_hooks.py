"""A function of the user's that uWSGI calls in each worker, beside this package's."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from clients import running
from serving import GUARD, is_alive
from uwsgis import WORKERS, from_each, uwsgi
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend
    from serving import Server

HOOKS = ["own, before", "own, after", "decorators, before", "decorators, after"]


def are_parked_or_have(server: Server, generation: int) -> bool:
    """Whether each worker is idle, or runs and has followed."""
    return all(
        told["role"] == "parked" or told["generation"] == generation
        for told in from_each(lambda: server.ask("/status"))
    )


def notes(path: Path) -> list[dict[str, Any]]:
    """Return what the user's function noted, once for each call."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("hook", HOOKS)
def test_hook_of_the_user_runs_once_in_each_worker(
    hook: str, backend: Backend, tmp_path: Path
) -> None:
    """It is called once at each fork, and first checks of idle workers are right."""
    path = tmp_path / "notes"
    variables = {"HOOK": hook, "NOTES": str(path)}
    hooked = uwsgi(backend, tmp_path, "--master", application="hooked:app", **variables)
    with hooked as server:
        # Another process of this host keeps its snapshot fresh.
        with running(backend, server.state_dir) as other:
            backend.update_guard(GUARD, defaultValue=True)
            until(lambda: other.peek_is_open(GUARD))
            generation = other.status().generation
            until(lambda: are_parked_or_have(server, generation))
            assert all(told["open"] for told in from_each(server.check))
        workers = set(server.workers(WORKERS))
        victim = workers.pop()
        os.kill(victim, signal.SIGKILL)
        until(lambda: not is_alive(victim))
        workers |= {victim, *server.workers(WORKERS)}
        assert sorted(told["pid"] for told in notes(path)) == sorted(workers)
        # Nobody but the user brings that module, which would take the hook for itself.
        imports = {told["decorators"] for told in notes(path)}
        assert imports == {hook.startswith("decorators")}
        server.assert_every_check_was_delivered()
        server.assert_log_is_clean()
