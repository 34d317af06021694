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

    page: str
    line: int
    code: str
    is_runnable: bool


def examples() -> list[Example]:
    """Return every Python block of the README and the documentation."""
    found = []
    for page in [README, *PAGES]:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            line = text[: match.start(2)].count("\n") + 1
            place = str(page.relative_to(ROOT))
            found.append(Example(place, line, match[2], bool(match[1])))
    return found


COMMANDS = build_commands().commands
EXAMPLES = examples()


class Site(NamedTuple):
    """The built documentation, and what Sphinx had to say."""

    folder: Path
    status: int
    complaints: str

    def page(self, name: str) -> str:
        """Return a built page."""
        return (self.folder / name).read_text()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Build the documentation as strictly as Sphinx can."""
    folder = tmp_path_factory.mktemp("site")
    strictly = ["-W", "--keep-going", "-n", "-q", "-E"]
    build = [sys.executable, "-m", "sphinx", *strictly, "-d", str(folder / ".doctrees")]
    finished = subprocess.run(
        [*build, "-b", "html", str(ROOT / "docs"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    return Site(folder, finished.returncode, finished.stderr)


@pytest.mark.timeout(180)
def test_documentation_builds_without_a_warning(site: Site) -> None:
    """Every link, reference and directive of the documentation resolves."""
    assert (site.status, site.complaints) == (0, "")


@pytest.mark.timeout(180)
def test_search_works_offline(site: Site) -> None:
    """The built site brings its search index and its search with it."""
    assert "parked" in site.page("searchindex.js")
    assert "://" not in "".join(
        re.findall(r'<script src="(.*?)"', site.page("search.html"))
    )


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(ClientOptions)])
def test_each_option_is_documented(site: Site, name: str) -> None:
    """The built page of options names each option and its variables."""
    page = site.page("options.html")
    assert {text for text in (name, *variable_names(name)) if text not in page} == set()


def test_readme_shows_the_options_of_today() -> None:
    """The table in the README is the one made from the code."""
    generator = ROOT / "docs" / "_ext" / "options_table.py"
    table = subprocess.check_output([sys.executable, str(generator)], text=True)
    assert table in README.read_text()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_is_documented(site: Site, name: str) -> None:
    """The page of the command line has a section for each command, with its options."""
    page = site.page("command-line.html")
    section = page.split(f'id="liteguard-{name}"')[1].split("</section>")[0]
    flags = {flag for item in COMMANDS[name].params for flag in item.opts}
    assert {flag for flag in flags if flag not in section} == set()


@pytest.mark.parametrize("name", sorted(set(liteguard.__all__) - {"__version__"}))
def test_each_public_name_is_documented(name: str) -> None:
    """The reference names everything that the facade exports."""
    assert re.search(rf"\bliteguard\.{name}\b", (ROOT / "docs" / "api.md").read_text())


@pytest.mark.parametrize(
    "example", EXAMPLES, ids=[f"{e.page}:{e.line}" for e in EXAMPLES]
)
def test_examples_compile(example: Example) -> None:
    """Each Python block of README and documentation is Python."""
    compile(example.code, example.page, "exec")


PROGRAMS = {
    page: "\n".join(
        item.code for item in EXAMPLES if item.is_runnable and item.page == page
    )
    for page in sorted({item.page for item in EXAMPLES if item.is_runnable})
}
# What an example takes for granted of the application around it.
APPLICATION = """
from types import SimpleNamespace
from liteguard import LiteguardClient

request = SimpleNamespace(user=SimpleNamespace(id=42, plan="pro"))
handle_request = rank = lambda *_: None
results = []
client = LiteguardClient()
client.start()
"""


@pytest.mark.parametrize("page", PROGRAMS)
def test_runnable_examples_run(page: str, backend: Backend, tmp_path: Path) -> None:
    """The blocks of a page that are marked as runnable end well, one after another."""
    code = PROGRAMS[page]
    finished = subprocess.run(
        [
            sys.executable,
            "-c",
            code if "client.start()" in code else APPLICATION + code,
        ],
        env={"PYTHONPATH": str(ROOT), **backend.variables(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
