"""GrowthBook, whose checks record nothing."""

from __future__ import annotations

from flags import SUBJECT
from growthbook import GrowthBook
from measuring import serve

rule = {"condition": {"plan": "pro"}, "force": True}
client = GrowthBook(
    attributes={"id": "user-1", **SUBJECT},
    features={"one": {"defaultValue": False, "rules": [rule]}},
)
serve({"one rule": (lambda: client.is_on("one"), True)})
