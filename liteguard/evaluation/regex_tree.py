"""Reads a regular expression as Python's own parser does, and shortens it.

What is screened is thus what is run. The parser is no public interface but rarely
changes; whatever does not look as expected is refused.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from liteguard.errors import BundleError
from liteguard.evaluation.regex_parser import silent_copy

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

# Compiling takes time for each class of characters, and more for one that spans many.
_MOST_CLASSES = 300
_MOST_IN_CLASSES = 2_000_000

_IS_PACKAGE = sys.version_info >= (3, 11)
_parser: Any = silent_copy()
_compiler: Any = import_module("re._compiler" if _IS_PACKAGE else "sre_compile")

_Kind = type(_parser.LITERAL)

Tree = Any
"""A pattern as the parser gives it: pairs of a kind and what that kind holds."""


def parse(pattern: str) -> Tree:
    """Return the tree of a pattern, without what can be left out at either end.

    Raises:
        BundleError: Compiling it could take long.
        Exception: It is invalid.
    """
    tree = _parser.parse(pattern)
    nodes = list(_nodes(tree))
    spans = [1 + content[1] - content[0] for kind, content in nodes if kind == "RANGE"]
    classes = sum(kind == "IN" for kind, _ in nodes)
    if classes > _MOST_CLASSES or sum(spans) > _MOST_IN_CLASSES:
        raise BundleError("is too complex")
    if not any(kind.startswith("GROUPREF") for kind, _ in nodes):
        _shorten(tree, 0)
        _shorten(tree, -1)
    return tree


def compile_tree(tree: Tree) -> re.Pattern[str]:
    """Make a tree ready to be searched for."""
    compiled: re.Pattern[str] = _compiler.compile(tree)
    return compiled


def compile_piece(kind: str, content: Any, flags: int) -> re.Pattern[str]:
    """Make one piece of a tree ready to be matched."""
    state = _parser.State()
    state.flags = flags
    piece = _parser.SubPattern(state, [(getattr(_parser, kind), content)])
    compiled: re.Pattern[str] = _compiler.compile(piece)
    return compiled


def _nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield each kind in a tree together with what it holds."""
    if isinstance(tree, (tuple, list, _parser.SubPattern)):
        if len(tree) == 2 and isinstance(tree[0], _Kind):  # noqa: PLR2004
            yield str(tree[0]), tree[1]
        for branch in tree:
            yield from _nodes(branch)


def _shorten(items: Tree, end: int) -> None:
    """Let a repetition at one end of a pattern take no more rounds than it must.

    Whether something is found does not depend on further ones: at the start, the search
    could begin with the last of them; at the end, nothing comes that could fail.
    """
    items.width = None  # the parser has noted how wide it was
    while items.data:
        kind, content = items.data[end]
        if kind in {_parser.MAX_REPEAT, _parser.MIN_REPEAT}:
            least, _, body = content
            if least:
                items.data[end] = (kind, (least, least, body))
                return
            del items.data[end]
            continue
        if kind is _parser.SUBPATTERN:
            _shorten(content[-1], end)
        elif kind is _parser.BRANCH:
            for branch in content[1]:
                _shorten(branch, end)
        return
