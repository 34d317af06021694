"""What `import liteguard` costs beside a bare interpreter start.

Runs both alternately, so that a busy machine slows both, and prints the medians:
``python stress/bench_import.py [repeats]``.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

PROGRAMS = {"bare": "pass", "liteguard": "import liteguard"}
DEFAULT_REPEATS = 2 if os.environ.get("STRESS_BRIEFLY") else 21


def seconds_to_run(program: str) -> float:
    """Run *program* in a new interpreter and return how long that took."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603  our own text
    return time.perf_counter() - started


def main(repeats: int) -> None:
    """Measure and print one line per program and one for the difference."""
    taken: dict[str, list[float]] = {name: [] for name in PROGRAMS}
    for _ in range(repeats):
        for name, program in PROGRAMS.items():
            taken[name].append(seconds_to_run(program))
    medians = {name: statistics.median(values) for name, values in taken.items()}
    for name, median in medians.items():
        print(f"{name:10} {median * 1000:7.1f} ms, median of {repeats}")
    extra = medians["liteguard"] - medians["bare"]
    ratio = medians["liteguard"] / medians["bare"]
    print(f"ratio      {ratio:7.2f}     {extra * 1000:.1f} ms over bare")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_REPEATS)
