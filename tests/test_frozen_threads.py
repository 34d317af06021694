"""A client in a server whose threads stand still between requests, as in old uWSGIs."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Callable

import pytest

from clients import prepared
from conftest import own_threads
from liteguard.host.snapshots import SnapshotStore
from liteguard.process import uwsgi
from waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from backends import Backend
    from liteguard import LiteguardClient
    from liteguard.runtime import Runtime

GUARD = "frozen.guard"
CHECKS = 200


class OldServer(ModuleType):
    """What uWSGI 2.0.26 shows of itself, as far as the client looks at it."""

    after_req_hook: Callable[[], None]
    post_fork_hook: Callable[[], None]

    def __init__(self, **options: Any) -> None:
        super().__init__("uwsgi")
        self.version = b"2.0.26"
        self.opt = {name.replace("_", "-"): value for name, value in options.items()}
        self.master = 0
        self.worker = 1

    def masterpid(self) -> int:
        """Return the pid of the master, 0 without one."""
        return self.master

    def worker_id(self) -> int:
        """Return which worker this is, 0 before it is one."""
        return self.worker

    def mule_id(self) -> int:
        """Return that this is no mule."""
        return 0

    def i_am_the_spooler(self) -> bool:
        """Return that this is no spooler either."""
        return False

    def serve_a_request(self) -> None:
        """Do what uWSGI does when an answer is on its way."""
        self.after_req_hook()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> OldServer:
    """Be in an old uWSGI without any option that would help."""
    module = OldServer()
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    return module


@pytest.fixture
def client(
    server: OldServer, backend: Backend, state_dir: Path
) -> Iterator[LiteguardClient]:
    """Run a client in it that looks and flushes whenever it may."""
    assert server.opt == {}
    backend.create_guard(GUARD)
    rates = {"reload_rate_seconds": 0.001, "flush_rate_seconds": 0.001}
    with prepared(backend, state_dir, **rates) as started:
        yield started


@pytest.mark.parametrize("runs_the_hook_of_children", [False, True])
def test_process_that_forks_the_others_has_no_thread_until_then(
    server: OldServer,
    backend: Backend,
    state_dir: Path,
    *,
    runs_the_hook_of_children: bool,
) -> None:
    """Without a master it answers from a bundle, and runs when it is a worker.

    With ``--py-call-osafterfork`` uWSGI runs the hook of children there too.
    """
    server.version, server.worker = b"2.0.30", 0
    backend.create_guard(GUARD, default_value=True)
    with prepared(backend, state_dir) as client:
        assert client.is_open(GUARD)
        assert own_threads() == set()
        server.worker = 1
        if runs_the_hook_of_children:
            client._lifecycle._revival.reset_after_fork()
        server.post_fork_hook()
        until(lambda: backend.signal_summary()["distinct"] == 1)


def runtime_of(client: LiteguardClient) -> Runtime:
    """Return what *client* has in this process."""
    runtime = client._lifecycle._revival.runtime
    assert runtime is not None
    return runtime


@pytest.mark.parametrize(
    ("version", "options"),
    [
        (b"2.0.27", {}),
        (b"2.0.30.post1", {}),
        (b"2.1-dev", {}),
        (b"2.0.26", {"enable_threads": True}),
        (b"2.0.26", {"enable_threads": b"true"}),
        (b"2.0.21-debian", {"threads": b"2"}),
        (b"2.0.26", {"gevent": b"100"}),
    ],
)
def test_releases_and_options_with_which_threads_run(
    version: bytes, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads run always from 2.0.27 on, and before with one of some options."""
    module = OldServer(**options)
    module.version = version
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    assert not uwsgi.freezes_threads()


@pytest.mark.parametrize(
    ("version", "options"),
    [
        (b"2.0.26", {}),
        (b"2.0.21-debian", {"master": True}),
        (b"2.0.26", {"enable_threads": b"false"}),
        (b"2.0.26", {"threads": b"1"}),
    ],
)
def test_releases_and_options_with_which_threads_stand_still(
    version: bytes, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below 2.0.27, an option that is there and says no is as one that is not there."""
    module = OldServer(**options)
    module.version = version
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    assert uwsgi.freezes_threads()


def test_no_thread_is_started_before_gevent_patches(
    backend: Backend, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where uWSGI lets gevent patch later, threads wait, also through its import."""
    module = OldServer(gevent_monkey_patch=True)
    module.version = b"2.0.30"
    monkeypatch.setitem(sys.modules, "uwsgi", module)
    monkeypatch.setitem(sys.modules, "gevent.monkey", ModuleType("half imported"))
    backend.create_guard(GUARD)
    with prepared(backend, state_dir) as client:
        client.is_open(GUARD)
        assert client.status().ready
        assert own_threads() == set()


def test_no_thread_is_started(client: LiteguardClient) -> None:
    """There is a bundle after the start, and no thread that would be in the way."""
    assert client.status().ready
    client.is_open(GUARD)
    assert own_threads() == set()
    assert client.status().role == "parked"


def test_one_line_names_the_option(
    server: OldServer,
    backend: Backend,
    state_dir: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """However many checks and requests there are, one line says what to set."""
    with prepared(backend, state_dir) as client:
        for _ in range(CHECKS):
            client.is_open(GUARD)
        server.serve_a_request()
    lines = [
        message for message in caplog.messages if "enable-threads = true" in message
    ]
    assert len(lines) == 1


def test_change_is_fetched_after_a_request(
    client: LiteguardClient, server: OldServer, backend: Backend
) -> None:
    """The poll that is due is made when an answer is on its way, never in a check."""
    until(lambda: runtime_of(client).refresher.is_due)
    backend.update_guard(GUARD, defaultValue=True)
    polls = backend.poll_summary()["total"]
    assert not any(client.is_open(GUARD) for _ in range(CHECKS))
    assert backend.poll_summary()["total"] == polls

    def has_changed() -> bool:
        server.serve_a_request()
        return client.is_open(GUARD)

    until(has_changed)


def test_checks_are_delivered_after_a_request(
    client: LiteguardClient, server: OldServer, backend: Backend
) -> None:
    """What a worker recorded is sent when an answer is on its way, once."""
    for _ in range(CHECKS):
        client.is_open(GUARD)
    assert backend.signal_summary()["total"] == 0
    server.serve_a_request()
    server.serve_a_request()
    assert backend.signal_summary()["total"] == CHECKS


def test_another_process_may_lead_between_requests(
    client: LiteguardClient, server: OldServer, backend: Backend, state_dir: Path
) -> None:
    """A worker gives leadership up before it waits, perhaps long, for a request."""
    server.serve_a_request()
    assert client.status().role != "leader"
    server.version = b"2.0.27"
    with prepared(backend, state_dir, reload_rate_seconds=0.05) as other:
        until(lambda: other.status().role == "leader")


def test_checks_look_at_the_snapshot_once_in_an_interval(
    server: OldServer,
    backend: Backend,
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without threads a check costs a look at most each reload interval."""
    assert server.opt == {}
    backend.create_guard(GUARD)
    with prepared(backend, state_dir, reload_rate_seconds=3600) as client:
        looks: list[SnapshotStore] = []
        monkeypatch.setattr(SnapshotStore, "read_if_changed", looks.append)
        for _ in range(CHECKS):
            client.is_open(GUARD)
    assert len(looks) <= 1


def test_hook_of_the_user_goes_on(
    server: OldServer, backend: Backend, state_dir: Path
) -> None:
    """A function that the application had called after requests is called first."""
    called: list[str] = []
    server.after_req_hook = lambda: called.append("user")
    backend.create_guard(GUARD)
    with prepared(backend, state_dir, flush_rate_seconds=0.001) as client:
        client.is_open(GUARD)
        server.serve_a_request()
        assert called == ["user"]
        assert backend.signal_summary()["total"] == 1


def test_failed_round_does_not_reach_the_server(
    client: LiteguardClient,
    server: OldServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A defect in the work after a request is logged, and the server goes on."""
    monkeypatch.setattr(runtime_of(client), "work_here", lambda: 1 / 0)
    server.serve_a_request()
    assert any("please report it" in message for message in caplog.messages)
