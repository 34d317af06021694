"""Unleash, with its metrics, which are counts."""

from __future__ import annotations

import sys
import tempfile

from flags import SUBJECT
from measuring import serve
from UnleashClient import UnleashClient
from UnleashClient.cache import FileCache

constraint = {"contextName": "plan", "operator": "IN", "values": ["pro"]}
strategy = {"name": "default", "constraints": [constraint]}
feature = {"name": "one", "enabled": True, "strategies": [strategy]}
cache = FileCache("benchmark", directory=tempfile.mkdtemp(dir=sys.argv[2]))
cache.bootstrap_from_dict({"version": 2, "features": [feature]})
client = UnleashClient(sys.argv[1], "benchmark", cache=cache, disable_registration=True)
client.initialize_client(fetch_toggles=False)
context = {"userId": "user-1", "properties": SUBJECT}
serve({"one rule": (lambda: client.is_enabled("one", context), True)})
client.destroy()
