"""Sphinx settings. Build with ``python -m sphinx -W -n -b html docs docs/_build``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

_settings = (HERE.parent / "pyproject.toml").read_text()
_version = re.search(r'^version = "(.+)"$', _settings, re.MULTILINE)
if _version is None:
    raise RuntimeError("pyproject.toml states no version")

project = "Liteguard for Python"
author = "The Liteguard for Python authors"
release = version = _version[1]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "options_table",
]
exclude_patterns = ["_build", "_ext"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# Other projects' inventories would need the network; their names stay plain text.
nitpick_ignore_regex = [("py:.*", r"(?!liteguard).*")]

html_theme = "furo"
html_title = f"Liteguard for Python {release}"
html_copy_source = False
