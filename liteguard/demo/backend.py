"""The local backend of the demo: ``liteguard dev`` in a process of its own."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Optional
from urllib.parse import urlsplit

from liteguard.demo.calls import CallError, call
from liteguard.demo.patience import DemoError, Patience
from liteguard.demo.processes import Child
from liteguard.demo.settings import ENVIRONMENT, GUARD

if TYPE_CHECKING:
    from pathlib import Path

START_SECONDS = 30.0
MANAGEMENT = f"/manage/v1/environments/{ENVIRONMENT}"
_PAGE = 10_000
_DEATH_SECONDS = 0.5


class Backend:
    """A running backend with one environment and one guard, which is closed.

    Args:
        child: The process, which is starting.
        patience: Waits until it answers.

    Raises:
        DemoError: It does not come up.
    """

    def __init__(self, child: Child, patience: Patience) -> None:
        self._child = child
        self._patience = patience
        announcement = patience.until(
            f"the backend does not come up; {child.tail()}",
            self._announcement,
            START_SECONDS,
        )
        self.url = str(announcement["url"])
        self.token = str(announcement["token"])

    def set_guard(self, *, is_open: bool) -> None:
        """Let the guard answer *is_open* to everybody."""
        self._manage("PATCH", f"/guards/{GUARD}", {"defaultValue": is_open})

    def signals(self) -> dict[str, Any]:
        """Return the backend's counts of signals."""
        return dict(self._manage("GET", "/signals/summary"))

    def redelivered(self) -> dict[str, int]:
        """Return how many deliveries were repeated, by the pid of the first sender."""
        page = self._manage("GET", f"/signals?limit={_PAGE}")["signals"]
        counts: dict[str, int] = {}
        for signal in page:
            sender = str(signal["pid"])
            counts[sender] = counts.get(sender, 0) + signal["deliveries"] - 1
        return {sender: count for sender, count in counts.items() if count}

    def polls(self) -> int:
        """Return how many polls the backend has answered."""
        return int(self._manage("GET", "/polls/summary")["total"])

    def _manage(self, method: str, path: str, document: Any = None) -> Any:
        address = urlsplit(self.url).netloc
        try:
            return call(address, method, MANAGEMENT + path, document)
        except CallError as error:
            # If the process has ended, that is the better message.
            self._patience.pause(_DEATH_SECONDS)
            reason = f"the backend does not answer: {error}; {self._child.tail()}"
            raise DemoError(reason) from error

    def _announcement(self) -> Optional[dict[str, Any]]:
        line = self._child.output_path.read_text()
        return dict(json.loads(line)) if line.endswith("\n") else None


def start_backend(folder: Path) -> Child:
    """Start a backend whose database is in *folder*; does not wait for it."""
    seed = folder / "seed.json"
    guard = {"name": GUARD, "adopted": True, "defaultValue": False}
    # No refresh rate of its own: it would lengthen that of the clients.
    environment = {"name": ENVIRONMENT, "refreshRateSeconds": 0, "guards": [guard]}
    seed.write_text(json.dumps({"environments": [environment]}))
    command = [sys.executable, "-m", "liteguard", "dev", "--port", "0"]
    options = ["--db", "backend.db", "--seed", "seed.json"]
    return Child(
        "backend",
        [*command, *options, "--environment", ENVIRONMENT],
        folder=folder,
        variables={},
    )
