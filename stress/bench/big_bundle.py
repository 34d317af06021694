"""A bundle of 10,000 guards with ten rules each, as a backend would send it."""

from __future__ import annotations

import json
import os
from functools import cache

GUARDS = 200 if os.environ.get("STRESS_BRIEFLY") else 10_000
RULES = 10


@cache
def big_bundle(revision: int) -> bytes:
    """Return the bundle; every guard of it differs from one *revision* to the next."""
    guards = [
        {
            "name": f"guard.{number}",
            "adopted": True,
            "defaultValue": False,
            "rules": [*map(_rule, range(RULES - 1)), _rule(RULES, revision)],
            "rateLimit": None,
            "disableMeasurement": False,
        }
        for number in range(GUARDS)
    ]
    told = {"guards": guards, "refreshRateSeconds": 1, "etag": f'"{revision}"'}
    return json.dumps(told).encode()


def _rule(index: int, revision: int = 0) -> dict[str, object]:
    return {
        "propertyName": f"property-{index}",
        "operator": "EQUALS" if index % 2 else "IN",
        "values": [f"value-{revision}", f"other-{index}"],
        "result": True,
        "enabled": True,
    }
