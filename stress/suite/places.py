"""Where things lie, and which variables let a program find either package."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "stress" / "programs"
SCENARIOS = ROOT / "stress" / "scenarios"
# Servers are started, and the published package is installed, as the tests do it.
sys.path += [str(ROOT / "tests"), str(ROOT / "tests" / "servers")]

from published import published_folder  # noqa: E402  it lies beside the tests

OURS, PUBLISHED = "ours", "published"
_NOT_PASSED_ON = ("PYTHON", "LITEGUARD_")


def variables(package: str) -> dict[str, str]:
    """Return an environment in which ``import liteguard`` finds that package."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_NOT_PASSED_ON)
    }
    folder = ROOT if package == OURS else published_folder()
    # The last is for uWSGI, which does not look there after a reload.
    path = [str(folder), str(PROGRAMS), sysconfig.get_path("purelib")]
    loopback = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return {**inherited, **loopback, "PYTHONPATH": os.pathsep.join(path)}
