"""uWSGI started as root, which becomes another user before it forks, or after it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from forking import GROUP, USER
from serving import HERE, Answer, Server
from uwsgis import CHECKS_AT_IMPORT, WORKERS, uwsgi

if TYPE_CHECKING:
    from backends import Backend

PROGRAM = (sys.executable, str(HERE / "reaching.py"), "run_uwsgi")


def dropping(
    backend: Backend,
    common: Path,
    *arguments: str,
    application: str = "application:app",
) -> Server:
    """Return a uWSGI whose workers become another user; some checks are at import."""
    arguments = ("--master", *arguments, "--uid", str(USER), "--gid", str(GROUP))
    variables = {
        "LITEGUARD_STATE_DIR": "",
        "TMPDIR": str(common),
        "XDG_RUNTIME_DIR": "",
        "CHECKS_AT_IMPORT": str(CHECKS_AT_IMPORT),
    }
    return uwsgi(
        backend,
        common,
        *arguments,
        application=application,
        program=PROGRAM,
        **variables,
    )


def folder_of(server: Server) -> Path:
    """Return the one state folder that all workers use as the new user, in the end."""

    def is_theirs(told: Answer) -> bool:
        folder = told["state_dir"]
        is_owned = folder is not None and Path(folder).lstat().st_uid == USER
        return told["uid"] == USER and is_owned

    answers = server.workers(WORKERS, is_theirs)
    (folder,) = {told["state_dir"] for told in answers.values()}
    return Path(folder)


@pytest.mark.parametrize(
    ("arguments", "imports"),
    [
        ([], 1),
        (["--lazy-apps"], WORKERS),
        (["--lazy-apps", "--master-as-root"], WORKERS),
    ],
    ids=str,
)
def test_application_loaded_by_the_new_user_knows_no_other(
    arguments: list[str], imports: int, backend: Backend, common: Path
) -> None:
    """The workers share one poller in one folder of theirs, and root has none."""
    with dropping(backend, common, *arguments) as server:
        folder = folder_of(server)
        server.wait_for_change(WORKERS)
        server.leader()
        assert [path.name for path in common.glob("liteguard-*")] == [
            folder.parent.name
        ]
        assert len(backend.poll_summary()["byPid"]) <= 2
        server.assert_every_check_was_delivered(extra=imports * CHECKS_AT_IMPORT)
        assert server.stop() == 0
        server.assert_log_is_clean()


def test_workers_of_a_master_of_root(backend: Backend, common: Path) -> None:
    """Workers that root forked share a folder of theirs; root delivers its checks."""
    with dropping(
        backend, common, "--master-as-root", application="flushed:app"
    ) as server:
        folder = folder_of(server)
        assert (folder.lstat().st_uid, folder.parent.parent) == (USER, common)
        server.wait_for_change(WORKERS)
        server.leader()
        # The master at its import, the leader, and one that led while it was root.
        assert len(backend.poll_summary()["byPid"]) <= 3
        server.assert_every_check_was_delivered(extra=CHECKS_AT_IMPORT)
        assert "Traceback" not in server.log()
