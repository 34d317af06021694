"""The page for operators holds each line that the package can write."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

# They run as programs of their own.
ELSEWHERE = {"devserver", "demo", "integrations"}


def lines_in(source: str) -> Iterator[str]:
    """Yield each text of the package's log lines, which begin alike."""
    for node in ast.walk(ast.parse(source)):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and text.startswith("liteguard: "):
            yield text


def test_each_log_line_is_explained() -> None:
    """Whoever finds a line in a log finds its cause and cure by searching for it."""
    package = ROOT / "liteguard"
    paths = [p for p in package.rglob("*.py") if not ELSEWHERE & set(p.parts)]
    lines = {line for path in paths for line in lines_in(path.read_text())}
    page = (ROOT / "docs" / "operations.md").read_text()
    assert len(lines) > 25
    assert {line for line in lines if f"`{line}`" not in page} == set()


def test_each_explained_line_is_written() -> None:
    """The page holds no line of earlier versions."""
    package = ROOT / "liteguard"
    lines = {
        line for path in package.rglob("*.py") for line in lines_in(path.read_text())
    }
    page = (ROOT / "docs" / "operations.md").read_text()
    explained = {part for part in page.split("`") if part.startswith("liteguard: ")}
    assert explained - lines == set()
