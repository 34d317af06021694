"""gunicorn started as root, with workers that become another user after the fork."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Optional

import pytest

from forking import GROUP, USER
from gunicorns import KINDS, WORKERS, gunicorn
from serving import HERE, Answer, Server

if TYPE_CHECKING:
    from backends import Backend

CHECKS_AT_IMPORT = 25
CHECKS_OF_EACH_NEW_USER = 10
PROGRAM = (sys.executable, str(HERE / "reaching.py"), "gunicorn")


def dropping(
    backend: Backend, common: Path, *arguments: str, kind: str = "sync", **more: str
) -> Server:
    """Return a gunicorn whose workers change their user."""
    arguments = (*arguments, "--user", str(USER), "--group", str(GROUP))
    variables = {
        "LITEGUARD_STATE_DIR": "",
        "TMPDIR": str(common),
        "XDG_RUNTIME_DIR": "",
        **more,
    }
    return gunicorn(
        backend, common, *arguments, kind=kind, program=PROGRAM, **variables
    )


def folder_of(server: Server) -> Path:
    """Return the one state folder that all workers use as the new user, in the end."""

    def is_theirs(told: Answer) -> bool:
        return told["uid"] == USER and _belongs_to_user(told["state_dir"])

    answers = server.workers(WORKERS, is_theirs)
    (folder,) = {told["state_dir"] for told in answers.values()}
    return Path(folder)


def _belongs_to_user(folder: Optional[str]) -> bool:
    return folder is not None and Path(folder).lstat().st_uid == USER


@pytest.mark.parametrize("kind", KINDS)
def test_workers_share_a_folder_of_their_own(
    kind: str, backend: Backend, common: Path
) -> None:
    """The workers find one folder that they own, and follow one poller in it."""
    with dropping(backend, common, "--preload", kind=kind) as server:
        folder = folder_of(server)
        assert (folder.lstat().st_uid, folder.parent.parent) == (USER, common)
        server.wait_for_change(WORKERS)
        server.leader()
        # One more, if a worker led while it was root.
        assert len(backend.poll_summary()["byPid"]) <= 3
        server.assert_every_check_was_delivered()
        assert "Traceback" not in server.log()


def test_application_loaded_by_the_new_user_knows_no_other(
    backend: Backend, common: Path
) -> None:
    """Without ``--preload`` nothing of the client ever belongs to root."""
    with dropping(backend, common) as server:
        folder = folder_of(server)
        server.leader()
        assert folder.lstat().st_uid == USER
        assert [path.name for path in common.glob("liteguard-*")] == [
            folder.parent.name
        ]
        server.assert_every_check_was_delivered()
        server.assert_log_is_clean()


def test_folder_that_was_made_for_the_new_user_is_shared(
    backend: Backend, common: Path
) -> None:
    """A folder of the workers' user is used as it is, though root starts the master."""
    state_dir = common / "state"
    state_dir.mkdir(0o700)
    os.chown(state_dir, USER, GROUP)
    named = {"LITEGUARD_STATE_DIR": str(state_dir)}
    with dropping(backend, common, "--preload", **named) as server:
        assert folder_of(server).parent == state_dir
        server.leader()
        assert "cannot use" not in server.log()


def test_nothing_is_lost_while_the_user_changes(backend: Backend, common: Path) -> None:
    """Checks of root's master and of workers that were root a moment ago arrive."""
    arguments = ["--preload", "--config", "python:slow_to_change_user"]
    variables = {
        "CHECKS_AT_IMPORT": str(CHECKS_AT_IMPORT),
        "CHECKS_OF_EACH_NEW_USER": str(CHECKS_OF_EACH_NEW_USER),
        "LITEGUARD_STATE_DIR": str(common / "state"),
    }
    with dropping(backend, common, *arguments, **variables) as server:
        # The folder that was asked for is root's by then: they share another.
        folder_of(server)
        server.wait_for_change(WORKERS)
        server.leader()
        # What was checked before the change lies in root's folder: the master has it.
        assert server.stop() == 0
        made = CHECKS_AT_IMPORT + WORKERS * CHECKS_OF_EACH_NEW_USER
        server.assert_every_check_was_delivered(extra=made)
        assert "Traceback" not in server.log()
