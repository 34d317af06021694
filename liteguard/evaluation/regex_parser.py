"""Python's own parser of regular expressions, as a copy that warns of nothing.

The parser warns of ``[[a]`` and the like, which may mean something else one day. What
comes over the network is not the application's to mend, and where warnings are errors
it would be refused. Filters of warnings belong to the application and to all of its
threads: so they stay as they are, and this copy has nobody to tell.
"""

from __future__ import annotations

import builtins
import sys
from importlib.util import find_spec, module_from_spec
from types import SimpleNamespace
from typing import Any

_NAME = "re._parser" if sys.version_info >= (3, 11) else "sre_parse"
_SILENT = SimpleNamespace(warn=lambda *_, **__: None)


def silent_copy() -> Any:
    """Return the parser's module once more, with a silent ``warnings`` in it."""
    spec: Any = find_spec(_NAME)
    module = module_from_spec(spec)
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _import}
    spec.loader.exec_module(module)
    return module


def _import(name: str, *arguments: Any, **options: Any) -> Any:
    if name == "warnings":
        return _SILENT
    return builtins.__import__(name, *arguments, **options)
