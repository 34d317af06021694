"""Sphinx settings. Build with ``python -m sphinx -W -n -b html docs docs/_build``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from liteguard.version import __version__  # noqa: E402  after the path to it

project = "Liteguard for Python"
author = project_copyright = "The Liteguard for Python authors"
release = version = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "command_table",
    "options_table",
]
exclude_patterns = [
    "_build",
    "_ext",
    "forking-matrix.md",
    "stress-figures.md",
    "scale-figures.md",
]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
# What the integrations are for need not be installed to document them.
autodoc_mock_imports = ["celery"]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
# Only the facade's names are on a page. Others stay plain text: inner modules are no
# promise, and other projects' inventories would need the network.
nitpick_ignore_regex = [("py:.*", r"(?!liteguard\.[A-Z]\w*(\.\w+)?$).*")]

html_theme = "furo"
html_title = f"Liteguard for Python {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["tables.css"]
