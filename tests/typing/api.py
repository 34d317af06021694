"""What a user's code looks like to a type checker. Checked by mypy, never run."""

from __future__ import annotations

from typing import Optional

from liteguard import (
    ClientOptions,
    ClientStatus,
    GuardDecision,
    LiteguardClient,
    LiteguardScope,
    Options,
    ProtectedContext,
)
from liteguard.testing import Check, OfflineClient

# As in the guide.
client = LiteguardClient("pct-token", environment="production")
client.start()
is_open: bool = client.is_open("payments.checkout", properties={"plan": "pro"})
scope: LiteguardScope = client.create_scope(user_id=42, plan="pro")
with client.run_with_scope(scope):
    client.is_open("feature.x")
client.shutdown()

# As with the published package.
LiteguardClient("pct-token", ClientOptions(environment="production"))
LiteguardClient("pct-token", {"environment": "production"})
client.is_open("payments.checkout", Options(properties={"plan": "pro"}))
client.create_scope({"user_id": 42})


def answer() -> int:
    """Return a number, to see whether its type arrives."""
    return 42


async def answer_later() -> int:
    """Return a number some time."""
    return 42


number: int = client.run_with_scope(scope, answer)
maybe: Optional[int] = client.execute_if_open("payments.checkout", answer)
correlated: int = client.with_execution(answer)
decision: GuardDecision = scope.evaluate("payments.checkout")
status: ClientStatus = client.status()
bound: LiteguardScope = scope.bind_protected_context(ProtectedContext("signature"))

# In users' tests.
offline = OfflineClient({"payments.checkout": True, "other": {"defaultValue": False}})
with offline.with_guards({"payments.checkout": False}), offline.with_guards(None):
    offline.is_open("payments.checkout")
checks: list[Check] = offline.checks


async def within_a_task() -> int:
    """Use the same forms from asynchronous code."""
    async with client.run_with_scope(scope), client.execution():
        client.is_open("feature.x")
    return await client.run_with_scope(scope, answer_later)
