"""The documentation is complete, and what it shows works."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import liteguard
from liteguard.cli import build_commands
from liteguard.options import ClientOptions, variable_names

if TYPE_CHECKING:
    from backends import Backend

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(
    r"^(<!-- runnable -->\n)?```python\n(.*?)^```", re.MULTILINE | re.DOTALL
)


class Example(NamedTuple):
    """A code block, and whether it claims to run as it stands."""

    place: str
    code: str
    is_runnable: bool


def examples() -> list[Example]:
    """Return every Python block of the README and the documentation."""
    found = []
    for page in [README, *PAGES]:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text[: match.start(2)].count("\n") + 1
            place = f"{page.relative_to(ROOT)}:{line}"
            found.append(Example(place, match[2], bool(match[1])))
    return found


COMMANDS = build_commands().commands
EXAMPLES = examples()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the documentation as strictly as Sphinx can."""
    output = tmp_path_factory.mktemp("site")
    strictly = ["-W", "--keep-going", "-n", "-q", "-E"]
    build = [sys.executable, "-m", "sphinx", *strictly, "-d", str(output / ".doctrees")]
    finished = subprocess.run(
        [*build, "-b", "html", str(ROOT / "docs"), str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return output


def documentation() -> str:
    """Return the text of all pages."""
    return "\n".join(page.read_text() for page in PAGES)


@pytest.mark.timeout(180)
def test_documentation_builds_without_a_warning(site: Path) -> None:
    """Every link, reference and directive of the documentation resolves."""
    assert (site / "index.html").exists()


@pytest.mark.timeout(180)
def test_search_works_offline(site: Path) -> None:
    """The built site brings its search index with it."""
    assert "payments" in (site / "searchindex.js").read_text()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("field", dataclasses.fields(ClientOptions))
def test_each_option_is_documented(
    site: Path, field: dataclasses.Field[object]
) -> None:
    """The built page of options names each option and its variables."""
    page = (site / "options.html").read_text()
    assert {
        n for n in (field.name, *variable_names(field.name)) if n not in page
    } == set()


def test_readme_shows_the_options_of_today() -> None:
    """The table in the README is the one made from the code."""
    generator = ROOT / "docs" / "_ext" / "options_table.py"
    table = subprocess.check_output([sys.executable, str(generator)], text=True)
    assert table in README.read_text()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_is_documented(name: str) -> None:
    """The page of the command line has a section for each command."""
    page = (ROOT / "docs" / "command-line.md").read_text()
    assert f"## liteguard {name}\n" in page


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_line_option_is_documented(name: str) -> None:
    """The section of a command names its options."""
    page = (ROOT / "docs" / "command-line.md").read_text()
    section = page.split(f"## liteguard {name}\n")[1].split("\n## ")[0]
    options = {flag for item in COMMANDS[name].params for flag in item.opts}
    flags = {flag for flag in options if flag.startswith("--")}
    assert {flag for flag in flags if f"`{flag}" not in section} == set()


@pytest.mark.parametrize("name", liteguard.__all__)
def test_each_public_name_is_documented(name: str) -> None:
    """The reference names everything that the facade exports."""
    assert re.search(rf"\bliteguard\.{name}\b", (ROOT / "docs" / "api.md").read_text())


@pytest.mark.parametrize("example", EXAMPLES, ids=[item.place for item in EXAMPLES])
def test_examples_compile(example: Example) -> None:
    """Each Python block of README and documentation is Python."""
    compile(example.code, example.place, "exec")


RUNNABLE = [item for item in EXAMPLES if item.is_runnable]


@pytest.mark.parametrize("example", RUNNABLE, ids=[item.place for item in RUNNABLE])
def test_runnable_examples_run(
    example: Example, backend: Backend, tmp_path: Path
) -> None:
    """Each block marked as runnable ends well against the local backend."""
    variables = backend.variables(tmp_path)
    finished = subprocess.run(
        [sys.executable, "-c", example.code],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
