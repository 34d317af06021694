"""What the application answered: each answer, who gave it, and whether it was right."""

from __future__ import annotations

import threading
from collections import defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NEVER = float("inf")


class Answer(NamedTuple):
    """One guard check, as the application reported it.

    Args:
        pid: The worker.
        is_open: What the check answered.
        number: How many checks that worker had made, this one included.
        role: What the worker did for its host.
        generation: Of the bundle in force there.
        bundle_age_seconds: Since the backend last confirmed that bundle.
        sent_at: When the request was sent, in monotonic seconds.
        received_at: When the answer was there.
    """

    pid: int
    is_open: bool
    number: int
    role: str
    generation: int
    bundle_age_seconds: Optional[float]
    sent_at: float
    received_at: float


class Change(NamedTuple):
    """One value of the guard at the backend.

    Args:
        is_open: The value.
        asked_at: When the backend was asked for it, in monotonic seconds.
        followed_at: When every worker had answered so; infinite until then.
    """

    is_open: bool
    asked_at: float = -_NEVER
    followed_at: float = _NEVER


class Ledger:
    """Every answer, and how many requests were cut off. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # guards both of these
        self._answers: list[Answer] = []
        self._cut_off = 0

    def record(self, answer: Answer) -> None:
        """Keep an answer."""
        with self._lock:
            self._answers.append(answer)

    def record_cut_off(self) -> None:
        """Count a request that got no answer: its check was made, or it was not."""
        with self._lock:
            self._cut_off += 1

    @property
    def answers(self) -> list[Answer]:
        """All answers so far."""
        with self._lock:
            return list(self._answers)

    @property
    def cut_off(self) -> int:
        """How many requests were cut off so far."""
        with self._lock:
            return self._cut_off


def count_wrong(answers: Iterable[Answer], changes: Sequence[Change]) -> int:
    """Count answers that no value of the guard explains.

    Between a change and the moment when every worker had followed it, both values are
    right, but each worker changes its answer once for each change at most. A check
    that comes while another thread is just reviving a forked worker waits for nothing
    and answers from the bundle that the worker inherited: such answers do not count.

    Args:
        answers: The answers, in any order.
        changes: The guard's values, the oldest first.
    """
    of_worker: dict[int, list[Answer]] = defaultdict(list)
    wrong = 0
    for answer in answers:
        if answer.role == "parked":
            continue
        of_worker[answer.pid].append(answer)
        wrong += not _is_explained(answer, changes)
    allowed = len(changes) - 1
    turns = (_turns(sequence) for sequence in of_worker.values())
    return wrong + sum(max(0, number - allowed) for number in turns)


def _is_explained(answer: Answer, changes: Sequence[Change]) -> bool:
    followed = [i for i, c in enumerate(changes) if c.followed_at <= answer.sent_at]
    return any(
        change.is_open == answer.is_open
        for change in changes[max(followed, default=0) :]
        if change.asked_at <= answer.received_at
    )


def _turns(answers: list[Answer]) -> int:
    in_order = sorted(answers, key=lambda answer: answer.number)
    return len(list(groupby(in_order, key=lambda answer: answer.is_open))) - 1
