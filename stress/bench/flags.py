"""The flags that are checked, in the form in which each backend would send them.

``one`` has one rule: the plan equals "pro". ``five`` has five; the last one decides.
"""

from __future__ import annotations

from typing import Any

SUBJECT: dict[str, Any] = {
    "plan": "pro",
    "country": "de",
    "email": "jane@example.org",
    "age": 30,
}
COUNTRIES = [f"c{number}" for number in range(20)]


def liteguard_bundle() -> dict[str, Any]:
    """Return two adopted guards."""
    five = [
        _rule("plan", "EQUALS", "free"),
        _rule("country", "IN", *COUNTRIES),
        _rule("email", "REGEX", r"@example\.com$"),
        _rule("age", "GT", 65),
        _rule("plan", "NOT_IN", "free", "team"),
    ]
    rules = {"one": [_rule("plan", "EQUALS", "pro")], "five": five}
    guards = [
        {"name": name, "adopted": True, "defaultValue": False, "rules": rules[name]}
        for name in rules
    ]
    return {"guards": guards, "refreshRateSeconds": 60, "etag": '"1"'}


def _rule(name: str, operator: str, *values: Any) -> dict[str, Any]:
    return {
        "propertyName": name,
        "operator": operator,
        "values": list(values),
        "result": True,
        "enabled": True,
    }


def statsig_specs() -> dict[str, Any]:
    """Return the gate ``one``."""
    condition = {
        "type": "user_field",
        "targetValue": ["pro"],
        "operator": "any",
        "field": "plan",
        "additionalValues": {},
        "isDeviceBased": False,
        "idType": "userID",
    }
    rule = {
        "name": "pro",
        "groupName": "pro",
        "passPercentage": 100,
        "conditions": ["plan"],
        "returnValue": True,
        "id": "pro",
        "salt": "",
        "isDeviceBased": False,
        "idType": "userID",
    }
    gate = {
        "type": "feature_gate",
        "salt": "",
        "enabled": True,
        "defaultValue": False,
        "rules": [rule],
        "isDeviceBased": False,
        "idType": "userID",
        "entity": "feature_gate",
    }
    return {
        "dynamic_configs": {},
        "layer_configs": {},
        "feature_gates": {"one": gate},
        "condition_map": {"plan": condition},
        "experiment_to_layer": {},
        "has_updates": True,
        "time": 1,
        "company_id": "benchmark",
    }


def guards_to_evaluate() -> dict[str, tuple[dict[str, Any], Any, tuple[bool, int]]]:
    """Return guards as sent, properties for them, and the answer and its rule.

    The last rule decides, or the last value.
    """
    one, five = liteguard_bundle()["guards"]
    cases = {
        "one rule": (one, SUBJECT, (True, 0)),
        "five rules": (five, SUBJECT, (True, 4)),
    }
    for count in (100, 1_000):
        rules = [_rule("plan", "EQUALS", f"plan-{n}") for n in range(count)]
        subject = {"plan": f"plan-{count - 1}"}
        cases[f"{count:,} rules"] = (
            {**one, "rules": rules},
            subject,
            (True, count - 1),
        )
    for count in (20, 100_000):
        rule = _rule("plan", "IN", *(f"plan-{n}" for n in range(count)))
        subject = {"plan": f"plan-{count - 1}"}
        cases[f"IN of {count:,}"] = ({**one, "rules": [rule]}, subject, (True, 0))
    return cases
