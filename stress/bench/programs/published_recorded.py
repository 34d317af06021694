"""The published package 0.7, whose checks are recorded.

``published_recorded.py ADDRESS idle|saturated``
"""

from __future__ import annotations

import sys

from flags import SUBJECT
from measuring import serve

from liteguard import ClientOptions, LiteguardClient, Options

MORE = Options(properties={"country": "fr", "items": 3})
address, flush = sys.argv[1:]

client = LiteguardClient(
    "benchmark",
    ClientOptions(
        environment="benchmark", backend_url=address, flush_rate_seconds=3600
    ),
)
client.start()
if flush == "idle":
    client._flush_wakeup_event.set = int  # noqa: SLF001  so that nothing wakes it
scope = client.create_scope(SUBJECT)
serve(
    {
        "one scope": (lambda: scope.is_open("one"), True),
        "new scope": (lambda: client.create_scope(SUBJECT).is_open("one"), True),
        "per call": (lambda: scope.is_open("one", MORE), True),
    }
)
client.shutdown()
