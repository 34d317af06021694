"""Programs that use the client before a server that records."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from clients import ROOT, TOKEN

if TYPE_CHECKING:
    from pathlib import Path

    from recording import RecordingServer

BEGIN = """
import os, signal, sys, threading, time
from liteguard import LiteguardClient

client = LiteguardClient(flush_rate_seconds=3600)

# A shell lets what it runs in the background ignore this one.
signal.signal(signal.SIGINT, signal.default_int_handler)

def say(*words):
    print(*words, flush=True)

"""


def start_program(
    code: str, server: RecordingServer, folder: Path, **options: str
) -> subprocess.Popen[str]:
    """Start a program that begins with a client; its streams are pipes.

    Args:
        code: What it does after `BEGIN`.
        server: Its backend.
        folder: Where its state folder lies.
        options: More of the client's options, as their variables are called.
    """
    variables = {f"LITEGUARD_{name}": value for name, value in options.items()}
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + code],
        env={
            **os.environ,
            "LITEGUARD_TOKEN": TOKEN,
            "LITEGUARD_BACKEND_URL": server.url,
            "LITEGUARD_STATE_DIR": str(folder / "state"),
            **variables,
            "PYTHONPATH": str(ROOT),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_to_end(
    code: str, server: RecordingServer, folder: Path, **options: str
) -> None:
    """Run such a program, which must end well and complain of nothing."""
    with start_program(code, server, folder, **options) as program:
        _, complaints = program.communicate()
    assert (program.returncode, complaints) == (0, "")
