"""Where results are kept, with the machine that they come from."""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from environments import BRIEFLY

FOLDER = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, Any]:
    """Return what a reader must know of this machine."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load": round(os.getloadavg()[0], 1),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2] for line in lines if line.startswith("model name")]
    return names[0].strip() if names else platform.machine()


def keep(name: str, **content: Any) -> Path:
    """Write what was measured, replacing what was measured before.

    What was measured briefly is worth nothing, and is not written.
    """
    path = FOLDER / f"{name}.json"
    if BRIEFLY:
        return path
    FOLDER.mkdir(exist_ok=True)
    told = {"command": " ".join(_command()), "machine": machine(), **content}
    path.write_text(json.dumps(told, indent=2) + "\n")
    return path


def _command() -> list[str]:
    return ["python", os.path.relpath(sys.argv[0], FOLDER.parents[2]), *sys.argv[1:]]
