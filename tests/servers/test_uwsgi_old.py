"""uWSGI as it was before 2.0.27: threads stand still between two requests.

There are wheels of it for Python 3.9 to 3.12, see conftest.py.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from clients import running
from packages import installed
from serving import GUARD, Server
from uwsgis import IMPORTED_FROM, WORKERS, from_each, uwsgi
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend

RELEASE = "2.0.26"
PYTHON = f"cp{sys.version_info[0]}{sys.version_info[1]}"
SETTING = "set enable-threads = true"
# Arguments, and how often the log names the option to set.
SET = {
    "preload": (["--master", "--enable-threads"], 0),
    "lazy-apps": (["--master", "--lazy-apps", "--threads", "2"], 0),
}
NOT_SET = {
    "preload": (["--master"], 1),
    "lazy-apps": (["--master", "--lazy-apps"], WORKERS),
    "no master": ([], 1),
}


def old(backend: Backend, folder: Path, *arguments: str, **variables: str) -> Server:
    """Return a uWSGI of that release, not started yet."""
    home = installed(f"pyuwsgi=={RELEASE}", f".venv-pyuwsgi-{RELEASE}-{PYTHON}")
    return uwsgi(
        backend,
        folder,
        *arguments,
        program=(sys.executable, str(home / "bin" / "uwsgi")),
        PYTHONPATH=os.pathsep.join([str(home), *IMPORTED_FROM]),
        **variables,
    )


def has_delivered(server: Server) -> bool:
    """Whether all checks have arrived, after one more request to each worker."""
    from_each(lambda: server.ask("/status"))
    arrived: int = server.backend.signal_summary()["distinct"]
    return arrived == sum(server.answered.values())


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("arguments", "lines"), [*SET.values(), *NOT_SET.values()], ids=str
)
def test_every_worker_follows(
    arguments: list[str], lines: int, backend: Backend, tmp_path: Path
) -> None:
    """A change reaches all workers, each check arrives, a line says what to set."""
    with old(backend, tmp_path, *arguments) as server:
        server.workers(WORKERS)
        server.wait_for_change(WORKERS)
        threads = {name for told in server.sweep().values() for name in told["threads"]}
        assert any("liteguard" in name for name in threads) == (lines == 0)
        until(lambda: has_delivered(server))
        server.assert_every_check_was_delivered()
        server.stop()
        assert server.log().count(SETTING) == lines
        assert "Traceback" not in server.log()


def test_checks_answer_from_what_another_process_fetched(
    backend: Backend, tmp_path: Path
) -> None:
    """Where another process of the host polls, a check looks at what it has brought."""
    seldom = {"LITEGUARD_REFRESH_RATE_SECONDS": "3600"}
    with old(backend, tmp_path, "--master", **seldom) as server:
        assert not any(told["open"] for told in from_each(server.check))
        with running(backend, server.state_dir) as other:
            backend.update_guard(GUARD, defaultValue=True)
            until(lambda: other.peek_is_open(GUARD))
            until(lambda: all(told["open"] for told in from_each(server.check)))


def test_workers_poll_no_more_than_threads_would(
    backend: Backend, tmp_path: Path
) -> None:
    """However many requests there are, the host polls once in an interval."""
    seldom = {"LITEGUARD_REFRESH_RATE_SECONDS": "3600"}
    with old(backend, tmp_path, "--master", **seldom) as server:
        server.workers(WORKERS)
        until(lambda: has_delivered(server))
        assert backend.poll_summary()["total"] == 1
