"""Flagsmith with its local evaluation, whose checks record nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from flags import SUBJECT
from flagsmith import Flagsmith
from flagsmith.offline_handlers import LocalFileHandler
from measuring import serve


def state(*, enabled: bool) -> dict[str, object]:
    """Return the feature in one state."""
    return {
        "feature": {"id": 1, "name": "one", "type": "STANDARD"},
        "enabled": enabled,
        "feature_state_value": None,
        "django_id": 1,
        "featurestate_uuid": f"00000000-0000-0000-0000-00000000000{int(enabled)}",
        "multivariate_feature_state_values": [],
    }


condition = {"operator": "EQUAL", "property_": "plan", "value": "pro"}
rule = {"type": "ALL", "rules": [], "conditions": [condition]}
segment = {
    "id": 1,
    "name": "pro",
    "rules": [rule],
    "feature_states": [state(enabled=True)],
}
document = {
    "id": 1,
    "api_key": "benchmark",
    "name": "benchmark",
    "project": {
        "id": 1,
        "name": "benchmark",
        "organisation": {
            "id": 1,
            "name": "benchmark",
            "feature_analytics": False,
            "stop_serving_flags": False,
            "persist_trait_data": False,
        },
        "hide_disabled_flags": False,
        "segments": [segment],
    },
    "feature_states": [state(enabled=False)],
    "identity_overrides": [],
}
path = Path(sys.argv[2]) / "flagsmith.json"
path.write_text(json.dumps(document))
client = Flagsmith(offline_mode=True, offline_handler=LocalFileHandler(str(path)))


def check() -> bool:
    """Evaluate for the identity, as each request does, and look one flag up."""
    flags = client.get_identity_flags("user-1", traits=SUBJECT)
    return bool(flags.is_feature_enabled("one"))


serve({"one rule": (check, True)})
