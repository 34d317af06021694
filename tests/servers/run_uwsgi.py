"""uWSGI as a module, which `reaching` can run."""

from __future__ import annotations

import importlib

importlib.import_module("pyuwsgi").run()
