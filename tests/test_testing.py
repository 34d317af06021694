"""The client for users' tests: real answers, and nothing outside the process."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from clients import rule
from liteguard import ConfigurationError, ProtectedContext
from liteguard.evaluation.decision import GuardDecisionReason
from liteguard.testing import Check, OfflineClient
from test_public_api import CLIENT, public_names

if TYPE_CHECKING:
    from liteguard.testing import Guards

ROOT = Path(__file__).resolve().parent.parent
GUARD = "payments.checkout"
PRO: Guards = {GUARD: {"rules": [rule("plan", "pro")]}}

# Prints what the interpreter tells of threads, sockets and files that are written.
AUDITED = """
import json, os, sys
from liteguard.testing import OfflineClient

seen = []
def note(event, arguments):
    is_written = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    outside = ("socket.", "os.mkdir", "os.fork", "subprocess.", "_thread.start")
    if is_written or event.startswith(outside):
        seen.append(event)
sys.addaudithook(note)
with OfflineClient({"a": True, "b": {"defaultValue": True, "rateLimit":
        {"requestsPerMinute": 1, "partitionProperties": ["user"]}}}) as client:
    with client.run_with_scope(client.create_scope(user=1)):
        answers = [client.is_open(name) for name in ("a", "b", "b", "c")]
    client.flush_signals()
sys.stdout.write(json.dumps([answers, seen]))
"""


def names(client: OfflineClient) -> list[str]:
    """Return the guards that were asked for."""
    return [check.guard for check in client.checks]


def test_nothing_leaves_the_process(state_dir: Path) -> None:
    """No thread, no connection and no file, from its making to its end."""
    variables = {"PYTHONPATH": str(ROOT), "LITEGUARD_STATE_DIR": str(state_dir)}
    program = [sys.executable, "-W", "error", "-c", AUDITED]
    told = subprocess.check_output(program, env=variables, text=True)
    assert json.loads(told) == [[True, True, False, False], []]
    assert list(state_dir.iterdir()) == []


def test_variables_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer's own settings do not decide how tests end."""
    monkeypatch.setenv("LITEGUARD_UNADOPTED_OPEN", "1")
    monkeypatch.setenv("LITEGUARD_FALLBACK", "1")
    monkeypatch.setenv("LITEGUARD_BOOTSTRAP", "/nowhere")
    assert not OfflineClient().is_open("a")
    assert not OfflineClient(None).is_open("a")


def test_truth_values_stand_for_guards() -> None:
    """They are adopted, and every other guard is not."""
    client = OfflineClient({"a": True, "b": False})
    decisions = {name: client.evaluate(name) for name in "abc"}
    assert {name: d.is_open for name, d in decisions.items()} == {
        "a": True,
        "b": False,
        "c": False,
    }
    assert [d.reason for d in decisions.values()] == [
        GuardDecisionReason.DEFAULT_VALUE,
        GuardDecisionReason.DEFAULT_VALUE,
        GuardDecisionReason.UNADOPTED,
    ]


def test_rules_decide() -> None:
    """A document is evaluated as the backend's would be, scope and call included."""
    client = OfflineClient(PRO)
    scope = client.create_scope(plan="pro")
    assert not client.is_open(GUARD)
    assert client.is_open(GUARD, properties={"plan": "pro"})
    assert scope.is_open(GUARD)
    with client.run_with_scope(scope):
        assert client.is_open(GUARD)
        assert not client.is_open(GUARD, properties={"plan": "free"})


def test_document_may_be_unadopted_and_named() -> None:
    """What the backend serves can be given as it is."""
    client = OfflineClient({"a": {"name": "a", "adopted": False, "defaultValue": True}})
    assert client.evaluate("a").reason == GuardDecisionReason.UNADOPTED


def test_options_decide_what_no_guard_does() -> None:
    """They mean what they mean for any client."""
    assert OfflineClient(unadopted_open=True).is_open("a")
    assert OfflineClient(None, fallback=True).is_open("a")


def test_guards_are_restored_after_the_block() -> None:
    """Also within another block, and after an error."""
    client = OfflineClient({"a": False, "b": True})
    with pytest.raises(ValueError, match="as it should"):
        fail_in_a_block(client)
    assert [client.is_open(name) for name in "abc"] == [False, True, False]


def fail_in_a_block(client: OfflineClient) -> None:
    """Raise in a block that has had another one in it."""
    with client.with_guards({"a": True}):
        with client.with_guards({"b": False, "c": True}):
            assert [client.is_open(name) for name in "abc"] == [True, False, True]
        assert [client.is_open(name) for name in "abc"] == [True, True, False]
        raise ValueError("as it should")


def test_guards_change_in_all_threads() -> None:
    """A server in another thread sees what the test says."""
    client = OfflineClient({"a": False})
    answers = []
    with client.with_guards({"a": True}):
        thread = threading.Thread(target=lambda: answers.append(client.is_open("a")))
        thread.start()
        thread.join()
    assert answers == [True]


def test_guards_can_be_taken_away() -> None:
    """Then checks answer the fallback, the call's own included, and nobody waits."""
    client = OfflineClient({"a": True})
    with client.with_guards(None):
        assert client.evaluate("a").reason == GuardDecisionReason.FALLBACK
        assert client.is_open("a", fallback=True)
        assert not client.wait_until_ready()
        assert not client.status().ready
        with client.with_guards({"b": True}):
            assert [client.is_open(name) for name in "ab"] == [False, True]
    assert client.wait_until_ready()
    assert client.is_open("a")


def test_listeners_are_told_at_both_ends() -> None:
    """They get the names of the guards that differ."""
    client = OfflineClient({"a": True, "b": True})
    told: list[frozenset[str]] = []
    client.on_change(told.append)
    with client.with_guards({"a": False, "c": True}):
        assert told == [{"a", "c"}]
    assert told == [{"a", "c"}, {"a", "c"}]


def test_each_check_is_noted() -> None:
    """With its answer, its reason, and the properties that the rules saw."""
    client = OfflineClient({GUARD: True})
    with client.with_properties({"user": 7, "plan": "pro"}):
        client.is_open(GUARD, properties={"plan": "free"})
    client.is_open("other")
    assert client.checks == [
        Check(
            GUARD,
            is_open=True,
            reason=GuardDecisionReason.DEFAULT_VALUE,
            properties={"user": 7, "plan": "free"},
        ),
        Check("other", is_open=False, reason=GuardDecisionReason.UNADOPTED),
    ]


def test_every_way_of_asking_is_noted() -> None:
    """But for a peek, which leaves no trace anywhere."""
    client = OfflineClient({"a": True})
    client.is_open("a")
    client.create_scope().is_open("b")
    client.evaluate("c")
    client.execute_if_open("d", lambda: None)
    client.peek_is_open("e")
    assert names(client) == ["a", "b", "c", "d"]


def test_checks_at_one_place_are_all_noted() -> None:
    """Also those that a real client would recall."""
    client = OfflineClient({"a": True})
    scope = client.create_scope(user=1)
    for _ in range(5):
        scope.is_open("a")
    assert names(client) == ["a"] * 5


def test_noted_checks_can_be_cleared() -> None:
    """A test that has two halves begins the second anew."""
    client = OfflineClient({"a": True})
    client.is_open("a")
    client.checks.clear()
    client.is_open("b")
    assert names(client) == ["b"]


def test_limits_are_counted() -> None:
    """For this client alone: another one begins anew."""
    limited: Guards = {"a": {"defaultValue": True, "rateLimitPerMinute": 2}}
    client = OfflineClient(limited)
    assert [client.is_open("a") for _ in range(3)] == [True, True, False]
    assert client.checks[-1].reason == GuardDecisionReason.RATE_LIMITED
    assert OfflineClient(limited).is_open("a")


def test_protected_context_is_answered_from_the_same_guards() -> None:
    """There is no backend that would have others, and nobody is asked."""
    client = OfflineClient(PRO)
    context = ProtectedContext("signature", {"account": "a"})
    scope = client.create_scope(plan="pro").bind_protected_context(context)
    assert scope.is_open(GUARD)
    with client.with_guards({GUARD: False}), client.with_protected_context(context):
        assert not client.is_open(GUARD, properties={"plan": "pro"})


def test_coroutines_are_run() -> None:
    """Binding and executing work as they do with any client."""
    client = OfflineClient({"a": True})

    async def work() -> object:
        async with client.with_protected_context(ProtectedContext("signature")):
            pending = client.execute_if_open("a", coroutine)
            assert pending is not None
            return await pending

    async def coroutine() -> str:
        return "done"

    assert asyncio.run(work()) == "done"


def test_life_can_be_seen() -> None:
    """Code that looks at the state of its client finds one that runs."""
    client = OfflineClient({"a": True})
    assert client.status().role == "stopped"
    with client:
        client.is_open("a")
        status = client.status()
    assert (status.role, status.ready, status.checks) == ("standalone", True, 1)
    assert (status.guards, status.state_dir, status.pid) == (1, None, os.getpid())
    assert client.status().role == "stopped"


def test_child_answers_alike() -> None:
    """A fork needs nothing."""
    client = OfflineClient({"a": True})
    child = os.fork()
    if not child:
        os._exit(0 if client.is_open("a") else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    ("guard", "message"),
    [
        (1, "guard 'a' must be True, False or a document"),
        ({"default_value": True}, "guard 'a' has no field 'default_value'; known are"),
        ({"rules": [{"property": "x"}]}, "guard 'a': rule 0 has no field 'property'"),
        ({"rules": [1]}, "guard 'a': rule 0 never matches: it is no object"),
        (
            {"rules": [{**rule("x", 1), "operator": "LIKE"}]},
            "operator 'LIKE' is unknown",
        ),
        ({"defaultValue": "yes"}, "defaultValue"),
        ({"rules": [{**rule("x", "^(a+)+$"), "operator": "REGEX"}]}, "exponential"),
        ({"rules": [rule("x", object())]}, "not JSON serializable"),
    ],
)
def test_bad_guard_is_refused(guard: Any, message: str) -> None:
    """At once and by name, and what was in force stays."""
    with pytest.raises(ConfigurationError, match=message):
        OfflineClient({"a": guard})
    client = OfflineClient({"a": True})
    with pytest.raises(ConfigurationError), client.with_guards({"a": guard}):
        pytest.fail("the block must not begin")
    assert client.is_open("a")


def test_it_is_a_client_like_any_other() -> None:
    """It has every method of the facade's, and two names more."""
    assert public_names(OfflineClient()) - CLIENT == {"checks", "with_guards"}
    assert repr(OfflineClient()).startswith("<LiteguardClient of")
