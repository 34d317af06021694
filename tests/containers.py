"""Processes in namespaces of their own, as containers are, that share a folder."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from clients import ROOT, TOKEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROGRAM = """
import json, sys, time
from liteguard import LiteguardClient

client = LiteguardClient(**json.loads(sys.argv[1]))
began = time.monotonic()
client.start()
took = time.monotonic() - began
for line in sys.stdin:
    name, *arguments = json.loads(line)
    if name == "check":
        told = [client.is_open(arguments[0]) for _ in range(arguments[1])]
    elif name == "status":
        now = client.status()
        told = [now.role, now.pid, now.generation, took, now.bundle_age_seconds]
    else:
        told = getattr(client, name)(*arguments)
    print(json.dumps(told), flush=True)
"""
PIDS = ("--pid", "--fork", "--mount-proc", "--kill-child")


class Container:
    """A client in namespaces of its own.

    Args:
        process: The one that made the namespaces.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def call(self, *what: Any) -> Any:
        """Let the client do something, and return what it says."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def kill(self) -> None:
        """End it with everything in it, as a host does."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def container(
    url: str, state_dir: Path, *namespaces: str, **options: Any
) -> Iterator[Container]:
    """Run a client of the backend at *url* in *namespaces*, arguments of unshare(1)."""
    place = {"backend_url": url, "state_dir": str(state_dir), "proxies": {}}
    given = json.dumps({"project_client_token": TOKEN, **place, **options})
    rights = () if os.geteuid() == 0 else ("--map-root-user",)
    program = (sys.executable, "-c", PROGRAM, given)
    with subprocess.Popen(
        ["unshare", *rights, *namespaces, *program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Container(process)
        finally:
            process.kill()
