"""Feeds bytes to all that reads files and answers, for a bounded time.

    python stress/fuzz.py [seconds] [bundle|snapshot|journal|polls]

Changes good examples and what earlier runs found, and counts what raises anything but
the package's own errors. What is found is written to ``tests/corpus``, which
tests/test_corpus.py reads.
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from reading import EXAMPLES, READERS  # noqa: E402  it lies beside the tests

CORPUS = ROOT / "tests" / "corpus"
TOKENS = [b"[" * 2000, b"{", b"}", b'"', b"\\ud800", b"1e999", b"-", b"9" * 500]
TOKENS += [b"\x00", b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"null", b"\n", b"NaN"]


def mutated(chance: random.Random, data: bytes) -> bytes:
    """Return *data* with some of it changed, cut, doubled or replaced."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(changed) + 1)
        chance.choice((_turn_bit, _insert, _cut, _double, _overwrite))(
            chance, changed, at
        )
    return bytes(changed)


def _turn_bit(chance: random.Random, data: bytearray, at: int) -> None:
    if data:
        data[at % len(data)] ^= 1 << chance.randrange(8)


def _insert(chance: random.Random, data: bytearray, at: int) -> None:
    data[at:at] = chance.choice(TOKENS)


def _cut(chance: random.Random, data: bytearray, at: int) -> None:
    del data[at : at + chance.randint(1, 64)]


def _double(chance: random.Random, data: bytearray, at: int) -> None:
    data[at:at] = data[at : at + chance.randint(1, 256)]


def _overwrite(chance: random.Random, data: bytearray, at: int) -> None:
    token = chance.choice(TOKENS)
    data[at : at + len(token)] = token


def fuzz(kind: str, seconds: float, chance: random.Random) -> int:
    """Feed one kind of reader; return how many inputs made it fail."""
    seeds = [*EXAMPLES[kind](), *(p.read_bytes() for p in CORPUS.glob(f"{kind}-*"))]
    end, tried, failed = time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        data = mutated(chance, chance.choice(seeds))
        tried += 1
        try:
            READERS[kind](data)
        except Exception:  # noqa: BLE001  this is what is looked for
            failed += 1
            name = hashlib.blake2b(data, digest_size=6).hexdigest()
            (CORPUS / f"{kind}-{name}").write_bytes(data)
            traceback.print_exc()
    print(f"{kind}: {tried} inputs, {failed} failures")
    return failed


def main() -> None:
    """Fuzz each kind for its share of the time."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    kinds = sys.argv[2:] or list(READERS)
    chance = random.Random()  # noqa: S311  no secret
    failures = [fuzz(kind, seconds / len(kinds), chance) for kind in kinds]
    sys.exit(min(1, sum(failures)))


if __name__ == "__main__":
    main()
