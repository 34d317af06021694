"""Why expressions are searched by Python's engine, screened, and not by RE2.

Prints, and writes to `results/expressions.json`, what one search takes with each, and
how many of some forked children hang in RE2 while threads of their parent search:
``python stress/bench/expressions.py [children]``.
"""

from __future__ import annotations

import sys

from results import keep
from turns import Program

from environments import BRIEFLY, environment

DEFAULT_CHILDREN = 2 if BRIEFLY else 200
RE2 = "google-re2==1.1.20251105"


def main(children: int) -> None:
    """Measure, print and keep."""
    with Program(environment(RE2), "re2_beside_re", str(children)) as program:
        measured = program.answer()
    for name, value in measured.items():
        print(f"{name:44}{value:10.1f}")
    keep("expressions", engine=RE2, children=children, measured=measured)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_CHILDREN)
