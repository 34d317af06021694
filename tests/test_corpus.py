"""What a fuzzer found once, and good examples cut and changed in every way."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reading import EXAMPLES, READERS

CORPUS = Path(__file__).resolve().parent / "corpus"
KINDS = list(READERS)


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_was_found_once_raises_nothing(path: Path) -> None:
    """Each file is named after what reads it."""
    READERS[path.name.split("-")[0]](path.read_bytes())


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(max_size=2000))
@settings(max_examples=50, deadline=None)
def test_any_bytes_raise_nothing(kind: str, data: bytes) -> None:
    """Whatever lies there."""
    READERS[kind](data)


@pytest.mark.parametrize("kind", KINDS)
def test_good_bytes_that_were_changed_raise_nothing(kind: str) -> None:
    """Cut anywhere, and with any bit turned, as chance will have it."""
    (example, *_) = EXAMPLES[kind]()
    chance = random.Random(kind)  # noqa: S311  no secret
    for _ in range(200):
        changed = bytearray(example)
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        READERS[kind](bytes(changed))
        READERS[kind](example[: chance.randrange(len(example))])
