"""Statsig's core, written in Rust, with its exposures."""

from __future__ import annotations

import sys

from flags import SUBJECT
from measuring import serve
from statsig_python_core import Statsig, StatsigOptions, StatsigUser

options = StatsigOptions(
    specs_url=f"{sys.argv[1]}/v2/download_config_specs",
    log_event_url=f"{sys.argv[1]}/v1/log_event",
)
client = Statsig("secret-benchmark", options)
client.initialize().wait()
user = StatsigUser("user-1", custom=SUBJECT)
serve({"one rule": (lambda: client.check_gate(user, "one"), True)})
client.shutdown().wait()
