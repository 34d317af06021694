"""Run the command line as ``python -m liteguard``."""

from __future__ import annotations

from liteguard.cli import main

if __name__ == "__main__":
    main()
