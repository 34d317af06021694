"""Run a module so that its children, as another user, still find what they import.

The interpreter and this project may lie below folders that root alone can enter. A
folder that is open can be entered by its descriptor, whatever lies above it.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
IMPORTED_FROM = [ROOT, HERE.parent, HERE, Path(sysconfig.get_path("purelib"))]


def main() -> None:
    """Become the interpreter that runs the module named by the arguments."""
    os.environ["PYTHONHOME"] = _by_descriptor(Path(sys.base_prefix))
    os.environ["PYTHONPATH"] = os.pathsep.join(map(_by_descriptor, IMPORTED_FROM))
    python = os.path.realpath(sys.executable)
    os.execv(python, [python, "-m", *sys.argv[1:]])  # noqa: S606  no shell is wanted


def _by_descriptor(folder: Path) -> str:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(descriptor, True)  # noqa: FBT003  takes no keyword
    return f"/proc/self/fd/{descriptor}"


if __name__ == "__main__":
    main()
