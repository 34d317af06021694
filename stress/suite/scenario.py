"""What a scenario is, and where they are found: each is a file, its name is the file's.

A scenario is a module with a docstring, whose first line is its title, and with

- ``PROMISES``: what it promises, from `stress.suite.promises`;
- ``play(stage)``: starts a host with one of ``workers``, ``gunicorn`` and so on, which
  leave figures with the stage, and makes the trouble;
- ``SECONDS``: how long it is looked at; may be left out;
- ``BESIDE``: why the published package cannot take part; left out if it can;
- ``OPTIONS``: what its backend is to be, as `stress.counting.counting` takes it; may
  be left out.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

    from stress.suite.promises import Promise
    from stress.suite.stage import Stage

USUAL_SECONDS = 8.0
# Not in step: so a change may come just after a poll, and just before one.
USUAL = {"change_seconds": 0.6, "refresh_seconds": 1.0}


class Scenario(NamedTuple):
    """One scenario.

    Args:
        name: By which it is chosen.
        title: What it is, in a few words.
        text: What happens in it.
        promises: What it promises.
        seconds: How long it is looked at, once it runs.
        play: Makes it happen.
        beside: Why the published package cannot take part; "" if it can.
        options: What its backend is to be.
    """

    name: str
    title: str
    text: str
    promises: tuple[Promise, ...]
    seconds: float
    play: Callable[[Stage], None]
    beside: str
    options: dict[str, Any]


def load_all(folder: Path) -> dict[str, Scenario]:
    """Return the scenarios of a folder by name."""
    found = [load(path) for path in sorted(folder.glob("[!_]*.py"))]
    return {scenario.name: scenario for scenario in found}


def load(path: Path) -> Scenario:
    """Return the scenario of a file."""
    name = path.stem.replace("_", "-")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None  # noqa: S101  it ends in .py
    assert spec.loader is not None  # noqa: S101  likewise
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    title, _, text = module.__doc__.strip().partition("\n")
    return Scenario(
        name=name,
        title=title.rstrip("."),
        text=text.strip(),
        promises=module.PROMISES,
        seconds=getattr(module, "SECONDS", USUAL_SECONDS),
        play=module.play,
        beside=getattr(module, "BESIDE", ""),
        options={**USUAL, **getattr(module, "OPTIONS", {})},
    )
