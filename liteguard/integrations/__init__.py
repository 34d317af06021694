"""One module for each framework or server. Import the one that you use."""

from __future__ import annotations
