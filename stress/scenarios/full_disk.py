"""Full disk.

The state folder lies on a disk of a few megabytes, which is full for half of the time.
Needs root, to mount the disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.suite import promises
from stress.suite.disk import small_disk
from stress.suite.workers import workers

if TYPE_CHECKING:
    from stress.suite.stage import Stage

BESIDE = "it keeps nothing on disk"
MEGABYTES = 16
PROMISES = (
    promises.one_poller(),
    promises.recovers(within_seconds=6.25),
    promises.none_lost(),
    promises.answers_right(),
    promises.harmless(),
)


def play(stage: Stage) -> None:
    """Fill the disk, and make room again."""
    with small_disk(stage.state_dir, MEGABYTES) as disk, workers(stage):
        stage.part(0.1)
        with stage.trouble(), disk.full():
            stage.part(0.4)
        stage.part(0.5)
