"""What one process puts into the state folder, file by file.

A client with default options makes checks of a guard without a limit, with one, and
with one by a property: ``python stress/state_folder.py``. Sizes are those that the disk
reserves.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from liteguard import LiteguardClient

BLOCK_BYTES = 512
GUARD = {"adopted": True, "defaultValue": True}
GUARDS = [
    {"name": "plain", **GUARD},
    {"name": "limited", "rateLimit": {"requestsPerMinute": 9}, **GUARD},
    {
        "name": "limited by user",
        "rateLimit": {"requestsPerMinute": 9, "partitionProperties": ["user"]},
        **GUARD,
    },
]


def main() -> None:
    """Print each file with its size."""
    with tempfile.TemporaryDirectory() as name:
        client = LiteguardClient(
            "pct-nobody",
            backend_url="http://127.0.0.1:9",
            state_dir=name,
            start_timeout_seconds=0.1,
            quiet=True,
            bootstrap={"guards": GUARDS},
        )
        client.start()
        for guard in GUARDS:
            client.is_open(str(guard["name"]), properties={"user": 1})
        for path in sorted(Path(name).rglob("*")):
            if path.is_file():
                size = path.stat().st_blocks * BLOCK_BYTES / 2**20
                print(f"{size:7.2f} MiB  {path.relative_to(name)}")
        client.shutdown(timeout=0.1)


if __name__ == "__main__":
    main()
