"""The evaluator alone, beside the published one: grows with the rules, not the values.

Both take turns, each in a process of its own: ``python stress/bench/evaluator.py
[turns]``. Writes the medians to `results/evaluator.json`.
"""

from __future__ import annotations

import sys

from measuring import PROCESSOR
from peers import OURS, PEERS, PUBLISHED
from results import keep
from turns import take_turns

from environments import BRIEFLY, environment, own_environment

DEFAULT_TURNS = 1 if BRIEFLY else 30


def main(turns: int) -> None:
    """Measure, print and keep."""
    programs = {
        OURS: (own_environment(), "evaluator_ours", ()),
        PUBLISHED: (environment(PEERS[PUBLISHED][0]), "evaluator_published", ()),
    }
    medians = take_turns(programs, turns)
    print(f"{'':28}{'ns':>12}{'published':>14}{'ratio':>10}")
    cases = [case for case in medians[OURS] if not case.endswith(PROCESSOR)]
    for case in cases:
        value = medians[OURS][case]
        theirs = medians[PUBLISHED][case]
        print(f"{case:28}{value:12.0f}{theirs:14.0f}{theirs / value:10.1f}")
    keep("evaluator", turns=turns, unit="nanoseconds, medians", medians=medians)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_TURNS)
