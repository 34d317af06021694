"""Guards with rate limits, as an application and the backend see them."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import signal
import tempfile
from typing import TYPE_CHECKING, Any, Callable

import pytest

from backends import Backend
from clients import guard, offline, prepared, rule, running
from forking import Child, fork_a_parked_process, in_child, living, wait_until
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from devserver import DevServer
    from liteguard import LiteguardClient

LIMIT = {"requestsPerMinute": 3, "partitionProperties": ["region"]}
TRIAL = {**LIMIT, "dryRunId": "preview", "requestsPerMinute": 1}


@pytest.fixture
def limited(backend: Backend) -> Backend:
    """Return a backend with a guard that is open thirty times a minute."""
    limit = {"requestsPerMinute": 30}
    backend.create_guard("limited.guard", default_value=True, rateLimit=limit)
    return backend


def opened(client: LiteguardClient, tries: int = 40, **properties: Any) -> int:
    """Return how many of *tries* checks are open."""
    answers = (
        client.is_open("limited.guard", properties=properties) for _ in range(tries)
    )
    return sum(answers)


# -- answers


def test_a_decision_says_that_a_limit_closed_the_guard() -> None:
    """And which rule had opened it."""
    rules = [rule("plan", "pro")]
    client = offline(guard("limited.guard", rules=rules, rateLimit=LIMIT))
    found = [
        client.evaluate("limited.guard", properties={"plan": "pro"}) for _ in range(4)
    ]
    assert [(one.is_open, one.reason) for one in found] == [
        *[(True, "matched_rule")] * 3,
        (False, "rate_limited"),
    ]
    assert {one.matched_rule_index for one in found} == {0}


def test_closed_answers_use_nothing_up() -> None:
    """A check that a rule closes leaves the limit to the others."""
    rules = [rule("plan", "free", result=False)]
    client = offline(
        guard("limited.guard", defaultValue=True, rules=rules, rateLimit=LIMIT)
    )
    assert opened(client, plan="free") == 0
    assert opened(client, plan="pro") == 3


@pytest.mark.parametrize("form", ["client", "scope"])
def test_a_peek_uses_nothing_up(form: str) -> None:
    """However often one looks, the limit stays what it was."""
    client = offline(guard("limited.guard", defaultValue=True, rateLimit=LIMIT))
    asked: Any = client if form == "client" else client.create_scope(plan="pro")
    assert all(asked.peek_is_open("limited.guard") for _ in range(10))
    assert opened(client) == 3
    assert not asked.peek_is_open("limited.guard")


def test_a_guarded_function_runs_as_often_as_the_limit_says() -> None:
    """An execution uses the limit up as a check does, once."""
    client = offline(guard("limited.guard", defaultValue=True, rateLimit=LIMIT))
    ran = [client.execute_if_open("limited.guard", lambda: 1) for _ in range(5)]
    assert ran == [1, 1, 1, None, None]


def test_a_dry_run_alone_closes_nothing() -> None:
    """A guard with no other limit stays open."""
    client = offline(guard("limited.guard", defaultValue=True, dryRunRateLimit=TRIAL))
    assert opened(client) == 40


# -- signals


def test_signals_carry_what_was_decided(backend: Backend, state_dir: Path) -> None:
    """Each check that was open by its rules tells of its limit and of its dry run."""
    rules = (rule("plan", "free", result=False),)
    backend.create_guard(
        "limited.guard",
        default_value=True,
        rules=rules,
        rateLimit=LIMIT,
        dryRunRateLimit=TRIAL,
    )
    backend.create_guard("other.guard", default_value=True)
    with running(backend, state_dir) as client:
        for plan in ("pro", "pro", "free"):
            client.is_open(
                "limited.guard", properties={"plan": plan, "region": "eu", "n": 1}
            )
        client.is_open("other.guard")
    until(lambda: backend.signal_summary()["total"] == 4)
    common = {"partitionProperties": ["region"], "partitionValues": {"region": "eu"}}
    active = {**common, "evaluationTarget": "active", "requestsPerMinute": 3}
    trial = {**common, "evaluationTarget": "dry_run", "requestsPerMinute": 1}
    trial["dryRunId"] = "preview"
    fits = {"outcome": "within_limit"}
    assert [one.get("rateLimitDecisions") for one in backend.signals()] == [
        [{**active, **fits, "countInWindow": 1}, {**trial, **fits, "countInWindow": 1}],
        [
            {**active, **fits, "countInWindow": 2},
            {**trial, "outcome": "would_limit", "countInWindow": 2},
        ],
        None,
        None,
    ]
    assert [one["result"] for one in backend.signals()] == [True, True, False, True]


def test_a_peek_sends_no_decision(limited: Backend, state_dir: Path) -> None:
    """The only signal is the one of the check that counts."""
    with running(limited, state_dir) as client:
        client.peek_is_open("limited.guard")
        client.is_open("limited.guard")
    (found,) = limited.signals()
    assert [one["countInWindow"] for one in found["rateLimitDecisions"]] == [1]


# -- a host


@pytest.mark.parametrize("fork", [os.fork, fork_a_parked_process])
def test_children_share_the_limit_of_their_parent(
    limited: Backend, state_dir: Path, fork: Callable[[], int]
) -> None:
    """All get the limit together, and all of it, whichever way they were forked."""
    with running(limited, state_dir) as client:
        assert opened(client, 4) == 4
        children = [
            Child(functools.partial(opened, client, 20), fork=fork) for _ in range(4)
        ]
        assert 4 + sum(child.result() for child in children) == 30
        assert opened(client) == 0


def test_the_limit_outlives_leaders(limited: Backend, state_dir: Path) -> None:
    """One process after another leads and is killed; none begins to count anew."""
    used = 0
    for number in range(3):

        def lead() -> None:
            client = prepared(limited, state_dir)
            client.start()
            wait_until(lambda: client.status().role == "leader")
            assert opened(client, 7) == 7
            os.kill(os.getpid(), signal.SIGKILL)

        child = Child(lead)
        assert os.waitstatus_to_exitcode(child.wait()) == -signal.SIGKILL, number
        os.close(child._report)
        used += 7
    with running(limited, state_dir) as client:
        assert opened(client) == 30 - used


def test_a_stopped_process_does_not_stop_the_others(
    limited: Backend, state_dir: Path
) -> None:
    """Wherever it was when it was stopped, the rest of the limit can be had."""
    with running(limited, state_dir) as client:
        assert opened(client, 1) == 1

        def check_for_ever() -> None:
            while True:
                client.peek_is_open("limited.guard")

        with living(check_for_ever) as child:
            for _ in range(10):
                os.kill(child.pid, signal.SIGSTOP)
                assert client.is_open("limited.guard")
                os.kill(child.pid, signal.SIGCONT)
        assert opened(client) == 19


def test_the_limit_outlives_a_restart(limited: Backend, state_dir: Path) -> None:
    """Shutting down and starting again gives nobody a second limit."""
    client = prepared(limited, state_dir)
    for expected in (10, 10, 10, 0):
        with client:
            assert opened(client, 10) == expected
    assert opened(client) == 0


def test_a_deleted_folder_costs_no_more_than_a_moment(
    limited: Backend, state_dir: Path
) -> None:
    """A process that finds it gone puts its counts into the new one."""
    with running(limited, state_dir) as client:
        assert opened(client, 10) == 10
        shutil.rmtree(state_dir)
        until(lambda: list(state_dir.rglob("limits-2-guards-*")))
        rounds = client.status().refreshes
        until(lambda: client.status().refreshes > rounds + 1)
        assert in_child(lambda: opened(client)) == 20
        assert opened(client) == 0


def test_clients_of_two_environments_have_limits_of_their_own(
    devserver: DevServer, limited: Backend, state_dir: Path
) -> None:
    """Two clients in one process share nothing, though a guard is called the same."""
    other = Backend(devserver, f"{limited.environment}-other")
    other.create_guard(
        "limited.guard", default_value=True, rateLimit={"requestsPerMinute": 5}
    )
    with running(limited, state_dir) as one, running(other, state_dir) as two:
        assert opened(one) == 30
        assert opened(two) == 5


def test_without_a_folder_each_process_has_the_limit(
    limited: Backend,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The line that says that nothing can be shared says this too."""
    blocked = tmp_path / "a-file"
    blocked.touch()
    monkeypatch.setattr(tempfile, "tempdir", str(blocked))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with running(limited, blocked) as client:
        assert opened(client) == 30
        assert in_child(lambda: opened(client)) == 30
    warnings = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "counts rate limits alone" in warnings[0].getMessage()
