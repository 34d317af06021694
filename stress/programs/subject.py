"""The package under stress, whichever it is, behind the three calls that matter."""

from __future__ import annotations

import atexit
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from settings import Settings

RELOAD_SHARE = 0.25
"""How often followers look at the snapshot, as a share of the refresh interval."""
FLUSH_SHARE = 0.5
# Longer than by default: on a machine that has much else to do no request is to be cut
# off, after which its signals would come again.
HTTP_TIMEOUT_SECONDS = 20.0


class Subject(Protocol):
    """A client of either package."""

    def start(self) -> None:
        """Do what each new process has to do before it checks."""

    def is_open(self, guard: str, properties: dict[str, Any]) -> bool:
        """Make a check."""

    def leads(self) -> bool:
        """Whether this process leads its host."""

    def shutdown(self) -> None:
        """Deliver and end."""


class Ours:
    """This tree's package: started once, before any fork."""

    def __init__(self, settings: Settings) -> None:
        _misset_clock(settings.clock_path)
        from liteguard import LiteguardClient  # noqa: PLC0415  after the clock

        if settings.stale_seconds:
            _be_impatient(settings.stale_seconds)
        self._client = LiteguardClient(
            "stress",
            backend_url=settings.address,
            state_dir=settings.state_dir,
            refresh_rate_seconds=settings.refresh_seconds,
            reload_rate_seconds=settings.refresh_seconds * RELOAD_SHARE,
            flush_rate_seconds=settings.refresh_seconds * FLUSH_SHARE,
            http_timeout_seconds=HTTP_TIMEOUT_SECONDS,
            start_timeout_seconds=30,
        )
        self._client.start(strict=True)
        self.shutdown = self._client.shutdown

    def start(self) -> None:
        """Do nothing: it was started before any fork."""

    def is_open(self, guard: str, properties: dict[str, Any]) -> bool:
        """Make a check."""
        return self._client.is_open(guard, properties=properties)

    def leads(self) -> bool:
        """Whether this process leads its host."""
        return self._client.status().role == "leader"


class Published:
    """The published 0.7: started anew in each process, since it survives no fork."""

    def __init__(self, settings: Settings) -> None:
        _misset_clock(settings.clock_path)
        from liteguard import Options  # noqa: PLC0415  the published one's

        self._options = Options
        self._settings = settings
        self._pid = 0

    def is_open(self, guard: str, properties: dict[str, Any]) -> bool:
        """Make a check."""
        options = self._options(properties=properties)
        return bool(self._client.is_open(guard, options))

    def leads(self) -> bool:
        """Return that nobody does."""
        return False

    def shutdown(self) -> None:
        """Deliver and end."""
        if self._pid == os.getpid():
            self._client.shutdown()

    def start(self) -> None:
        """Start a client of this process alone."""
        from liteguard import ClientOptions, LiteguardClient  # noqa: PLC0415  as above

        self._pid = os.getpid()
        options = ClientOptions(
            backend_url=self._settings.address,
            environment="",
            refresh_rate_seconds=self._settings.refresh_seconds,
            flush_rate_seconds=self._settings.refresh_seconds * FLUSH_SHARE,
            http_timeout_seconds=HTTP_TIMEOUT_SECONDS,
        )
        self._client: Any = LiteguardClient("stress", options)
        self._client.start()
        atexit.register(self._client.shutdown)


def connected(settings: Settings) -> Subject:
    """Return a client of the package that the settings name."""
    return Ours(settings) if settings.package == "ours" else Published(settings)


def _be_impatient(stale_seconds: float) -> None:
    from liteguard import parts  # noqa: PLC0415  of this tree alone

    parts._STALE_SECONDS = stale_seconds  # noqa: SLF001  there is no option, by design
    parts._STALE_REQUESTS = 0.0  # noqa: SLF001  as above


def _misset_clock(path: str) -> None:
    """Let the wall clock of this process, and of its children, be wrong as told."""
    if not path:
        return
    real, told = time.time, Path(path)
    time.time = lambda: real() + float(told.read_text() or 0)
