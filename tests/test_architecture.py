"""The package's shape: what may import what, and how large a piece may be."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Union

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).resolve().parent.parent / "liteguard"
MAX_FILE_LINES = 300
MAX_BODY_LINES = 40

# Lowest first. A module imports only modules of lower layers; a line with a star is one
# layer, whose modules may import each other.
LAYERS = [
    "liteguard.errors",
    "liteguard.types",
    "liteguard.version",
    "liteguard.backoff",
    "liteguard.within",
    "liteguard.process.identity",
    "liteguard.process.clock",
    "liteguard.process.logs",
    "liteguard.process.turns",
    "liteguard.process.uwsgi",
    "liteguard.process.interrupts",
    "liteguard.process.waker",
    "liteguard.process.exits",
    "liteguard.process.fork",
    "liteguard.process.shared_locks",
    "liteguard.process.worker",
    "liteguard.options",
    "liteguard.timeouts",
    "liteguard.status",
    "liteguard.evaluation.decision",
    "liteguard.evaluation.walk",
    "liteguard.evaluation.values",
    "liteguard.evaluation.fields",
    "liteguard.evaluation.regex_parser",
    "liteguard.evaluation.regex_tree",
    "liteguard.evaluation.regex_alphabet",
    "liteguard.evaluation.regex_graph",
    "liteguard.evaluation.regex_screen",
    "liteguard.evaluation.bundle",
    "liteguard.evaluation.regex",
    "liteguard.evaluation.decoding",
    "liteguard.evaluation.rules",
    "liteguard.evaluation.table",
    "liteguard.telemetry.execution",
    "liteguard.telemetry.measurement",
    "liteguard.telemetry.unadopted",
    "liteguard.telemetry.records",
    "liteguard.telemetry.journal_file",
    "liteguard.telemetry.properties",
    "liteguard.telemetry.reserving",
    "liteguard.telemetry.journal_folder",
    "liteguard.telemetry.happening",
    "liteguard.telemetry.waiting",
    "liteguard.telemetry.journal",
    "liteguard.telemetry.journals",
    "liteguard.telemetry.texts",
    "liteguard.telemetry.recorder",
    "liteguard.telemetry.signals",
    "liteguard.telemetry.load",
    "liteguard.telemetry.silence",
    "liteguard.telemetry.adoption",
    "liteguard.telemetry.sources",
    "liteguard.answers",
    "liteguard.deadline",
    "liteguard.session",
    "liteguard.failures",
    "liteguard.transport",
    "liteguard.host.files",
    "liteguard.host.statedir",
    "liteguard.host.pruning",
    "liteguard.host.descriptors",
    "liteguard.host.snapshots",
    "liteguard.host.leadership",
    "liteguard.host.polls",
    "liteguard.host.in_force",
    "liteguard.host.stripes",
    "liteguard.host.window_table",
    "liteguard.host.window_files",
    "liteguard.host.partitions",
    "liteguard.host.rate_limits",
    "liteguard.host.refresh",
    "liteguard.telemetry.flush",
    "liteguard.contexts",
    "liteguard.bootstrap",
    "liteguard.calls",
    "liteguard.verdict",
    "liteguard.recall",
    "liteguard.recording",
    "liteguard.subject",
    "liteguard.checker",
    "liteguard.executing",
    "liteguard.checks",
    "liteguard.binding",
    "liteguard.scopes",
    "liteguard.folder_watch",
    "liteguard.parts",
    "liteguard.runtime",
    "liteguard.revival",
    "liteguard.lifecycle",
    "liteguard.client",
    "liteguard",
    "liteguard.testing",
    "liteguard.integrations.*",
    "liteguard.devserver*",
    "liteguard.demo*",
    "liteguard.cli",
    "liteguard.__main__",
]

Function = Union[ast.FunctionDef, ast.AsyncFunctionDef]


def modules() -> dict[str, ast.Module]:
    """Return every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        found[name] = ast.parse(path.read_text(), filename=str(path))
    return found


MODULES = modules()
FOLDERS = ["evaluation", "host", "integrations", "process", "telemetry"]
FACADES = {f"liteguard.{folder}" for folder in FOLDERS}


def imports(module: str) -> Iterator[str]:
    """Yield each module that *module* imports, at its top or inside a function."""
    for node in ast.walk(MODULES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node)


def _imported_from(node: ast.ImportFrom) -> Iterator[str]:
    origin = node.module or ""
    for alias in node.names:
        submodule = f"{origin}.{alias.name}"
        yield submodule if submodule in MODULES else origin


def own_imports(module: str) -> set[str]:
    """Return the modules of this package that *module* imports."""
    return {name for name in imports(module) if name in MODULES}


def third_party_imports(module: str) -> set[str]:
    """Return the top-level names of everything else that *module* imports."""
    return {name.partition(".")[0] for name in imports(module)} - {"liteguard"}


def layers(module: str) -> list[int]:
    """Return the positions in LAYERS whose pattern fits *module*: one, normally."""
    return [i for i, pattern in enumerate(LAYERS) if fnmatch(module, pattern)]


PLACES = {name: found[0] for name in MODULES if (found := layers(name))}


def is_from_elsewhere(library: str) -> bool:
    """Return whether *library* was installed, and is no part of Python."""
    found = importlib.util.find_spec(library)
    return found is not None and "site-packages" in str(found.origin)


def functions() -> Iterator[tuple[str, Function]]:
    """Yield every function of the package with its place."""
    for module, tree in MODULES.items():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{module}:{node.name}", node


def body_lines(function: Function) -> int:
    """Return how many lines the body of *function* has, its docstring left out."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_each_module_has_one_place() -> None:
    """Each module stands in LAYERS, once."""
    counts = {name: len(layers(name)) for name in MODULES if name not in FACADES}
    assert {name: n for name, n in counts.items() if n != 1} == {}


@pytest.mark.parametrize("module", sorted(PLACES))
def test_imports_point_down(module: str) -> None:
    """Each module imports only modules of lower layers."""
    own = PLACES[module]
    # The modules of a layer with a star may import each other.
    highest = own if LAYERS[own].endswith("*") else own - 1
    found = own_imports(module)
    assert {name for name in found if PLACES.get(name, -1) > highest} == set()


def test_there_are_no_import_cycles() -> None:
    """No module imports itself by way of others."""
    remaining = {name: own_imports(name) - {name} for name in MODULES}
    while free := {
        name for name, needs in remaining.items() if not needs & set(remaining)
    }:
        remaining = {
            name: needs for name, needs in remaining.items() if name not in free
        }
    assert not remaining


def test_each_layer_exists() -> None:
    """Each line of LAYERS names a module or a folder of today."""
    assert [p for p in LAYERS if not any(fnmatch(m, p) for m in MODULES)] == []


def test_folders_have_empty_facades() -> None:
    """A folder's own file imports nothing, so that importing one module stays cheap."""
    assert {name: found for name in FACADES if (found := own_imports(name))} == {}


@pytest.mark.parametrize(
    "module", sorted(name for name in MODULES if ".evaluation" in name)
)
def test_evaluation_knows_only_its_inputs(module: str) -> None:
    """Evaluation has no clock, no thread, no file, no network and no logger."""
    forbidden = {"time", "threading", "os", "io", "pathlib", "socket", "logging"}
    assert third_party_imports(module) & (forbidden | {"requests", "asyncio"}) == set()


@pytest.mark.parametrize(
    ("library", "owners"),
    [
        ("requests", {f"liteguard.{n}" for n in ("failures", "session", "transport")}),
        ("urllib3", {f"liteguard.{n}" for n in ("deadline", "failures", "transport")}),
        ("filelock", set()),
    ],
)
def test_a_library_stays_with_its_owners(library: str, owners: set[str]) -> None:
    """Only the module that wraps a library imports it."""
    users = {name for name in MODULES if library in third_party_imports(name)}
    assert users == owners


def test_client_needs_two_libraries() -> None:
    """Everything but the edges lives on the standard library, requests and orjson."""
    edges = ("liteguard.devserver", "liteguard.demo", "liteguard.integrations")
    core = [name for name in MODULES if not name.startswith((*edges, "liteguard.cli"))]
    used = {library for name in core for library in third_party_imports(name)}
    installed = {library for library in used if is_from_elsewhere(library)}
    assert installed == {"requests", "urllib3", "orjson"}


def test_integrations_use_the_facade_only() -> None:
    """Integrations need nothing that a user could not import."""
    reach = {
        name: own_imports(name) - {"liteguard", "liteguard.testing"}
        for name in MODULES
        if name.startswith("liteguard.integrations.")
    }
    deeper = {
        name: {other for other in found if "integrations" not in other}
        for name, found in reach.items()
    }
    assert {name: found for name, found in deeper.items() if found} == {}


def test_importing_the_package_leaves_heavy_modules_out() -> None:
    """HTTP, locks and asyncio are loaded when a client starts, not on import."""
    program = "import liteguard, sys; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", program], text=True)
    heavy = {"requests", "urllib3", "filelock", "asyncio", "sqlite3", "click"}
    assert heavy & set(loaded.split()) == set()


def test_importing_the_package_starts_no_thread() -> None:
    """Importing has no effect that a fork could copy."""
    program = "import liteguard, threading; print(threading.active_count())"
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "1\n"


def test_files_fit_into_one_reading() -> None:
    """No file is longer than the budget."""
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text().splitlines())
        for path in PACKAGE.rglob("*.py")
    }
    assert {name: n for name, n in lengths.items() if n > MAX_FILE_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    """No function body is longer than the budget."""
    lengths = {place: body_lines(function) for place, function in functions()}
    assert {place: n for place, n in lengths.items() if n > MAX_BODY_LINES} == {}
