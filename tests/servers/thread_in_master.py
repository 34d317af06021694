"""A gunicorn configuration that leaves a thread in the master, as many libraries do."""

from __future__ import annotations

import threading

threading.Thread(target=threading.Event().wait, daemon=True).start()
