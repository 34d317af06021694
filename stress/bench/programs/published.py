"""The published package 0.7, started, with its threads and its telemetry."""

from __future__ import annotations

import sys

from flags import SUBJECT
from measuring import serve

from liteguard import ClientOptions, LiteguardClient, Options

MORE = Options(properties={"country": "fr", "items": 3})

client = LiteguardClient(
    "benchmark", ClientOptions(environment="benchmark", backend_url=sys.argv[1])
)
client.start()
scope = client.create_scope(SUBJECT)
decided = (True, "matched_rule", 0)


def evaluated() -> tuple[bool, str, int]:
    """Return what there is to know of a decision."""
    decision = scope.evaluate("one")
    return decision.is_open, decision.reason.value, decision.matched_rule_index


serve(
    {
        "one rule": (lambda: scope.is_open("one"), True),
        "five rules": (lambda: scope.is_open("five"), True),
        "per-call properties": (lambda: scope.is_open("one", MORE), True),
        "unadopted": (lambda: scope.is_open("none"), True),
        "evaluate": (evaluated, decided),
        "no telemetry": (lambda: scope.peek_is_open("one"), True),
        "8 threads": (lambda: scope.is_open("one"), True),
    }
)
client.shutdown()
