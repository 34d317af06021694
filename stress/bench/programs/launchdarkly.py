"""LaunchDarkly, with its events."""

from __future__ import annotations

import sys

from flags import SUBJECT
from ldclient import Config, Context, LDClient
from ldclient.integrations.test_data import TestData
from measuring import serve

flags = TestData.data_source()
flag = flags.flag("one").variation_for_all(False)  # noqa: FBT003  their interface
flags.update(flag.if_match("plan", "pro").then_return(True))  # noqa: FBT003  the same
client = LDClient(
    Config(
        "benchmark",
        update_processor_class=flags,
        events_uri=sys.argv[1],
        diagnostic_opt_out=True,
    )
)
context = Context.from_dict({"kind": "user", "key": "user-1", **SUBJECT})
serve({"one rule": (lambda: client.variation("one", context, default=False), True)})
client.close()
