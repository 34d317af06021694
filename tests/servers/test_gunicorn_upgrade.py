"""gunicorn replaced while it serves: USR2, and two masters side by side."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from gunicorns import SOON, WORKERS, gunicorn
from serving import is_alive
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend


@pytest.mark.parametrize(
    ("kind", "loading", "number"),
    [
        ("sync", ["--preload"], signal.SIGTERM),
        ("gthread", [], signal.SIGTERM),
        ("uvicorn", ["--preload"], signal.SIGQUIT),
    ],
)
def test_upgrade_keeps_one_poller_and_loses_nothing(
    kind: str,
    loading: list[str],
    number: signal.Signals,
    backend: Backend,
    tmp_path: Path,
) -> None:
    """The workers of two masters share one leader, and so do those of the second."""
    pid_path = tmp_path / "gunicorn.pid"
    arguments = [*loading, "--pid", str(pid_path), *SOON]
    with gunicorn(backend, tmp_path, *arguments, kind=kind) as server:
        old = set(server.workers(WORKERS))
        server.send(signal.SIGUSR2)
        both = server.workers(2 * WORKERS)
        assert len({told["parent"] for told in both.values()}) == 2
        server.wait_for_change(2 * WORKERS)
        roles = [told["role"] for told in server.workers(2 * WORKERS).values()]
        assert sorted(roles) == ["follower"] * (2 * WORKERS - 1) + ["leader"]
        assert server.stop(number) == 0
        until(lambda: not any(is_alive(pid) for pid in old))
        assert server.leader() not in old
        server.assert_every_check_was_delivered()
        server.assert_log_is_clean()
