"""Where a process records its checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Union

if TYPE_CHECKING:
    from liteguard.telemetry.recorder import Recorder
    from liteguard.telemetry.unadopted import UnadoptedCounts
    from liteguard.telemetry.waiting import Standby


class Recording(NamedTuple):
    """Where checks are recorded while the client runs in process *pid*."""

    recorder: Union[Recorder, Standby]
    unadopted: Union[UnadoptedCounts, Standby]
    pid: int
