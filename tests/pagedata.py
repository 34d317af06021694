"""A backend as a shop would leave it after an hour, for looking at its page."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from wireclient import WireClient, observation, signal

if TYPE_CHECKING:
    from backends import Backend

MINUTE_MS = 60_000
OPEN_SHARES = {
    "payments.checkout": 0.62,
    "search.beta": 1.0,
    "billing.invoice_download": 0.2,
    "onboarding.new-flow": 0.25,
    "mail.digest": 0.9,
}
RULES: tuple[dict[str, Any], ...] = (
    {
        "propertyName": "plan",
        "operator": "IN",
        "values": ["pro", "team"],
        "result": True,
    },
    {"propertyName": "age", "operator": "GTE", "values": [18], "result": True},
    {"propertyName": "country", "operator": "REGEX", "values": ["^(DE|FR)$"]},
)
CALL_SITES = ("shop/checkout.py:88", "shop/search.py:14", "shop/billing.py:203")
AGENT = "liteguard-python/1.0.0"


def fill(backend: Backend) -> None:
    """Make guards, and signals of five processes over the last hour."""
    dice = random.Random(4)  # noqa: S311 - the same pictures each time
    _make_guards(backend)
    now_ms = backend.manage("GET", f"environments/{backend.environment}/overview")[
        "nowMs"
    ]
    client = WireClient(backend)
    signals = [
        _signal(dice, f"s{minute}-{number}", now_ms - minute * MINUTE_MS + number * 900)
        for minute in range(60, 0, -1)
        for number in range(dice.randint(15, 45))
    ]
    for process in range(5):
        headers = {
            "X_Liteguard_Pid": str(4700 + process),
            "X_Liteguard_Process": f"process-{process}",
            "User_Agent": AGENT,
        }
        client.send(*signals[process::5], **headers)
        if process == 0:
            client.fetch(**headers)
    client.observe(
        observation(
            "search.fuzzy-matching",
            firstSeenMs=now_ms - MINUTE_MS,
            lastSeenMs=now_ms - 2000,
            checkCount=134,
            estimatedChecksPerMinute=133.2,
        ),
        observation("profile.avatars", firstSeenMs=now_ms, lastSeenMs=now_ms - 9000),
    )


def _make_guards(backend: Backend) -> None:
    for name, share in OPEN_SHARES.items():
        rules = RULES if name == "payments.checkout" else ()
        backend.create_guard(name, default_value=share > 0.8, rules=rules)
    limit = {"requestsPerMinute": 600, "partitionProperties": ["user_id"]}
    backend.update_guard("payments.checkout", rateLimit=limit)
    backend.update_guard("payments.checkout", defaultValue=True)
    backend.update_guard("payments.checkout", defaultValue=False)
    backend.create_guard("admin.export_csv")


def _signal(dice: random.Random, signal_id: str, timestamp_ms: int) -> dict[str, Any]:
    name = dice.choice(list(OPEN_SHARES))
    more: dict[str, Any] = {"result": dice.random() < OPEN_SHARES[name]}
    lot = dice.random()
    if lot < 0.06:
        more = {**_execution(dice), "kind": "guard_execution"}
    elif lot < 0.09 and name == "payments.checkout":
        more = {"result": False, "rateLimitDecisions": [_decision(dice)]}
    return signal(
        signal_id,
        name,
        timestampMs=timestamp_ms,
        callsiteId=dice.choice(CALL_SITES),
        properties={
            "plan": dice.choice(["pro", "free", "team"]),
            "age": dice.randint(16, 70),
            "user_id": f"user-{dice.randint(1, 40)}",
        },
        **more,
    )


def _execution(dice: random.Random) -> dict[str, Any]:
    failure = {"errorClass": "TimeoutError"} if dice.random() < 0.2 else {}
    taken = {"durationNs": dice.randint(10**6, 9 * 10**7), "completed": not failure}
    return {"measurement": {"guardExecution": {**taken, **failure}}}


def _decision(dice: random.Random) -> dict[str, Any]:
    return {
        "evaluationTarget": "active",
        "outcome": "limited",
        "requestsPerMinute": 600,
        "countInWindow": 601,
        "partitionProperties": ["user_id"],
        "partitionValues": {"user_id": f"user-{dice.randint(1, 40)}"},
    }
