"""The table of a command's options, made from the command line's own help texts.

In a page it is the directive ``{command-table} NAME``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from sphinx.util.docutils import SphinxDirective

from liteguard.cli import build_commands

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx


def rows(name: str) -> list[tuple[str, str, str]]:
    """Return one row for each option of the command *name*."""
    found = []
    for option in build_commands().commands[name].params:
        if isinstance(option, click.Option):
            default = f"`{option.default}`" if option.show_default else ""
            flags = ", ".join(f"`{flag}`" for flag in option.opts)
            found.append((flags, default, option.help or ""))
    return found


class CommandTable(SphinxDirective):
    """Places the table of one command's options where it stands."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the parsed table."""
        header = [("Option", "Default", "What it does"), ("---",) * 3]
        lines = [" | ".join(row) for row in [*header, *rows(self.arguments[0])]]
        return self.parse_text_to_nodes("\n".join(f"| {line} |" for line in lines))


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx know the directive."""
    app.add_directive("command-table", CommandTable)
    return {"parallel_read_safe": True}
