"""From the bytes of the bundle on disk to an answer, as the published package does."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from big_bundle import GUARDS, big_bundle

from liteguard.client import _parse_guards
from liteguard.evaluation import evaluate_guard_detailed

PROPERTIES = {"property-3": "value-0"}

path = Path(sys.argv[1]) / "bundle.json"
path.write_bytes(big_bundle(0))


def parse() -> float:
    """Return the milliseconds."""
    begun = time.perf_counter()
    parsed = _parse_guards(json.loads(path.read_bytes())["guards"])
    guard = {guard.name: guard for guard in parsed}[f"guard.{GUARDS // 2}"]
    decided = evaluate_guard_detailed(guard, PROPERTIES)
    assert decided.matched_rule_index == 3  # noqa: PLR2004, S101  property-3's
    return (time.perf_counter() - begun) * 1000


print('["parse"]', flush=True)
for _ in sys.stdin:
    print(json.dumps({"": parse()}), flush=True)
