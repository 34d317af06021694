"""This tree's package, started, with its threads and its telemetry."""

from __future__ import annotations

import sys
import tempfile

from flags import SUBJECT
from measuring import serve

from liteguard import LiteguardClient

MORE = {"country": "fr", "items": 3}

client = LiteguardClient(
    "benchmark",
    environment="benchmark",
    backend_url=sys.argv[1],
    state_dir=tempfile.mkdtemp(dir=sys.argv[2]),
)
client.start(strict=True)
scope = client.create_scope(**SUBJECT)
decided = (True, "matched_rule", 0)


def evaluated() -> tuple[bool, str, int]:
    """Return what there is to know of a decision."""
    decision = scope.evaluate("one")
    return decision.is_open, decision.reason.value, decision.matched_rule_index


serve(
    {
        "one rule": (lambda: scope.is_open("one"), True),
        "five rules": (lambda: scope.is_open("five"), True),
        "per-call properties": (lambda: scope.is_open("one", properties=MORE), True),
        "unadopted": (lambda: scope.is_open("none"), False),
        "evaluate": (evaluated, decided),
        "no telemetry": (lambda: scope.peek_is_open("one"), True),
        "8 threads": (lambda: scope.is_open("one"), True),
    }
)
client.shutdown()
