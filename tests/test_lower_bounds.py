"""The lower bounds of the requirements are versions that work, not guesses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tomli
from packaging.requirements import Requirement

from environments import Environment

if TYPE_CHECKING:
    from backends import Backend

ROOT = Path(__file__).resolve().parent.parent

SMOKE = """
import os
from liteguard import LiteguardClient

client = LiteguardClient()
client.start(strict=True)
assert client.is_open("lower.bounds") is True
assert client.status().role == "leader"
client.shutdown()
"""


def requirements() -> list[Requirement]:
    """Return what the package requires of this interpreter."""
    settings = tomli.loads((ROOT / "pyproject.toml").read_text())
    found = map(Requirement, settings["project"]["dependencies"])
    return [item for item in found if not item.marker or item.marker.evaluate()]


def lower_bound(requirement: Requirement) -> str:
    """Return *requirement* with its lowest version as the only one."""
    (lowest,) = [s.version for s in requirement.specifier if s.operator == ">="]
    return f"{requirement.name}=={lowest}"


def test_each_requirement_has_a_lower_bound() -> None:
    """No requirement is open downwards, none is closed upwards."""
    operators = {s.operator for item in requirements() for s in item.specifier}
    assert operators == {">="}


@pytest.mark.timeout(300)
def test_client_works_with_the_lower_bounds(
    wheel: Path, tmp_path: Path, backend: Backend
) -> None:
    """A client starts, checks and shuts down with the oldest versions it accepts."""
    backend.create_guard("lower.bounds", default_value=True)
    environment = Environment(tmp_path / "venv")
    environment.install(str(wheel), *map(lower_bound, requirements()))
    environment.run("python", "-c", SMOKE, **backend.variables(tmp_path))
    assert backend.signal_summary()["distinct"] == 1
