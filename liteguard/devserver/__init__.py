"""The local backend: Liteguard's protocol over SQLite, started by ``liteguard dev``.

Nothing here is imported by the client; it needs the ``dev`` extra.
"""

from __future__ import annotations
