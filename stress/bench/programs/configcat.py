"""ConfigCat, whose checks record nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import configcatclient
from configcatclient.configcatoptions import ConfigCatOptions
from configcatclient.localfiledatasource import LocalFileFlagOverrides
from configcatclient.overridedatasource import OverrideBehaviour
from configcatclient.user import User
from flags import SUBJECT
from measuring import serve

condition = {"u": {"a": "plan", "c": 28, "s": "pro"}}
rule = {"c": [condition], "s": {"v": {"b": True}}}
setting = {"t": 0, "v": {"b": False}, "r": [rule]}
path = Path(sys.argv[2]) / "configcat.json"
path.write_text(json.dumps({"p": {"s": "salt"}, "f": {"one": setting}}))
key = "configcat-sdk-1/" + "x" * 22 + "/" + "x" * 22
overrides = LocalFileFlagOverrides(str(path), OverrideBehaviour.LocalOnly)
client = configcatclient.get(key, ConfigCatOptions(flag_overrides=overrides))
user = User("user-1", custom=SUBJECT)
serve({"one rule": (lambda: client.get_value("one", False, user), True)})  # noqa: FBT003  theirs
client.close()
