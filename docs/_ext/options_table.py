"""The table of options, made from the code so that it cannot lag behind.

In a page it is the directive ``{options-table}``.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from sphinx.util.docutils import SphinxDirective

from liteguard.options import ClientOptions, variable_names

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

HEADER = ("Option, environment variable", "Default", "What it sets")


def rows() -> list[tuple[str, str, str]]:
    """Return one row for each option, in the order of the code."""
    return [
        (
            _names(field.name, *variable_names(field.name)),
            _default(field),
            field.metadata["text"],
        )
        for field in dataclasses.fields(ClientOptions)
    ]


def markdown() -> str:
    """Return the table as Markdown."""
    rule = ("---",) * len(HEADER)
    lines = [" | ".join(row) for row in (HEADER, rule, *rows())]
    return "\n".join(f"| {line} |" for line in lines)


def _names(*names: str) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is None:
        return "none"
    value = field.default
    shown = f"{value:g}" if isinstance(value, float) else repr(value).replace("'", '"')
    return f"`{shown}` {field.metadata['unit']}".rstrip()


class OptionsTable(SphinxDirective):
    """Places the table where it stands."""

    def run(self) -> list[nodes.Node]:
        """Return the parsed table."""
        return self.parse_text_to_nodes(markdown())


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx know the directive."""
    app.add_directive("options-table", OptionsTable)
    return {"parallel_read_safe": True}
