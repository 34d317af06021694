"""``--keep``: everything stays, for the user to play with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from liteguard.demo.backend import MANAGEMENT
from liteguard.demo.settings import GUARD
from liteguard.demo.traffic import Traffic

if TYPE_CHECKING:
    from liteguard.demo.display import Display
    from liteguard.demo.patience import Patience
    from liteguard.demo.roster import Roster
    from liteguard.demo.stage import Stage

_PERIOD_SECONDS = 0.5
HINTS = """
Everything keeps running, and each worker is asked twice a second. Try:

  turn the guard on, or with false off
    curl -X PATCH -H 'Content-Type: application/json' -d '{{"defaultValue": true}}' \\
      {management}/guards/{guard}
  count what has arrived
    curl {management}/signals/summary
    curl {management}/polls/summary
  ask a worker
    curl http://{address}/check
  kill a worker, or the leader
    kill -9 PID

Ctrl-C ends every process and removes every file.
"""


def keep_running(
    stage: Stage,
    *,
    workers: int,
    display: Display,
    roster: Roster,
    patience: Patience,
) -> None:
    """Keep the table up to date until a signal comes; never returns.

    Args:
        stage: What runs.
        workers: How many workers the server has.
        display: Where to tell what can be done.
        roster: Who is there.
        patience: Waits.

    Raises:
        Interrupted: A signal came.
        DemoError: A process has ended.
    """
    management = stage.backend.url + MANAGEMENT
    hints = HINTS.format(management=management, guard=GUARD, address=stage.address)
    display.write(hints)
    with Traffic(
        stage.address,
        burst=workers,
        period_seconds=_PERIOD_SECONDS,
        on_answer=roster.see,
        on_cut_off=_ignore,
    ):
        roster.go_on(time.monotonic())
        shown = _summary(roster)
        while True:
            patience.pause(_PERIOD_SECONDS)
            if shown != (shown := _summary(roster)):
                display.show_workers()


def _ignore() -> None:
    """Count nothing: the accounts are closed."""


def _summary(roster: Roster) -> set[tuple[int, str, bool]]:
    return {(a.pid, a.role, a.is_open) for a in roster.living()}
