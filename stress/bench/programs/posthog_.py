"""PostHog with its local evaluation, and its events, one for each user and flag."""

from __future__ import annotations

import sys
import warnings

from flags import SUBJECT
from measuring import serve
from posthog import Posthog

warnings.simplefilter("ignore")  # of a successor that asks the network once a request
wanted = {"key": "plan", "value": ["pro"], "operator": "exact", "type": "person"}
group = {"properties": [wanted], "rollout_percentage": 100}
client = Posthog("benchmark", host=sys.argv[1])
client.feature_flags = [
    {
        "id": 1,
        "key": "one",
        "active": True,
        "filters": {"groups": [group]},
        "version": 1,
    }
]


def check() -> bool:
    """Ask without the network."""
    return bool(
        client.feature_enabled(
            "one", "user-1", person_properties=SUBJECT, only_evaluate_locally=True
        )
    )


serve({"one rule": (check, True)})
client.shutdown()
