"""OpenFeature with its in-memory provider, whose checks record nothing."""

from __future__ import annotations

from flags import SUBJECT
from measuring import serve
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider


def decide(
    flag: InMemoryFlag[bool], context: EvaluationContext
) -> FlagResolutionDetails[bool]:
    """Compare the plan: the provider has no rules of its own."""
    variant = "on" if context.attributes.get("plan") == "pro" else "off"
    return FlagResolutionDetails(
        flag.variants[variant], variant=variant, reason=Reason.TARGETING_MATCH
    )


flag = InMemoryFlag("off", {"on": True, "off": False}, context_evaluator=decide)
api.set_provider_and_wait(InMemoryProvider({"one": flag}))
client = api.get_client()
context = EvaluationContext("user-1", SUBJECT)
serve({"one rule": (lambda: client.get_boolean_value("one", False, context), True)})  # noqa: FBT003  theirs
