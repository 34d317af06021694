"""Lets coverage guide what is fed to all that reads files and answers.

    pip install atheris
    python stress/fuzz_atheris.py bundle|snapshot|journal|polls [seconds]

atheris (https://github.com/google/atheris) has wheels for Python 3.9 to 3.13 on Linux.
It belongs into an environment of its own. Begins with the good examples and with what
earlier runs found; what raises anything but the package's own errors is written to
``tests/corpus``, which tests/test_corpus.py reads.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

with atheris.instrument_imports(include=["liteguard"]):
    from reading import EXAMPLES, READERS

CORPUS = ROOT / "tests" / "corpus"
LONGEST_BYTES = 16384


def main() -> None:
    """Fuzz one kind of reader; ends by the first failure, or when time is up."""
    kind, seconds = [*sys.argv[1:], "60"][:2]
    with tempfile.TemporaryDirectory() as folder:
        for number, example in enumerate(EXAMPLES[kind]()):
            (Path(folder) / f"example-{number}").write_bytes(example)
        for path in CORPUS.glob(f"{kind}-*"):
            (Path(folder) / path.name).write_bytes(path.read_bytes())
        limits = [f"-max_total_time={seconds}", f"-max_len={LONGEST_BYTES}"]
        prefix = f"-artifact_prefix={CORPUS}/{kind}-"
        atheris.Setup([sys.argv[0], folder, *limits, prefix], READERS[kind])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
