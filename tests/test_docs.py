"""The documentation is complete, and what it shows works."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import liteguard
import liteguard.testing
from browser import chromium
from liteguard.cli import build_commands
from liteguard.options import ClientOptions, variable_names

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = build_commands().commands
# What is public beside the facade, and the page that describes it.
REFERENCES = {
    **{
        f"liteguard.{name}": "api.md"
        for name in set(liteguard.__all__) - {"__version__"}
    },
    **{f"liteguard.testing.{name}": "testing.md" for name in liteguard.testing.__all__},
    "liteguard.integrations.celery.carry_scopes": "celery.md",
    "liteguard.integrations.celery.ScopeCarrier": "celery.md",
}

TOO_WIDE = """elements => elements
    .filter(element => element.scrollWidth > element.clientWidth + 1)
    .map(element => element.innerText.slice(0, 60))"""


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
def test_nothing_stands_beside_the_page(site: Site) -> None:
    """Each table fits a usual window, each page a phone, and no other host is asked."""
    wide, asked = [], []
    with chromium() as browser:
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        for file in sorted(site.folder.glob("*.html")):
            page.goto(file.as_uri())
            for width, selector in ((1280, ".table-wrapper"), (390, "html")):
                page.set_viewport_size({"width": width, "height": 900})
                wide += [
                    f"{file.name}: {text}"
                    for text in page.locator(selector).evaluate_all(TOO_WIDE)
                ]
    assert wide == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(ClientOptions)])
def test_each_option_is_documented(site: Site, name: str) -> None:
    """The built page of options names each option and its variables."""
    page = site.page("options.html")
    assert {text for text in (name, *variable_names(name)) if text not in page} == set()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_is_documented(site: Site, name: str) -> None:
    """The page of the command line has a section for each command, with its options."""
    page = site.page("command-line.html")
    section = page.split(f'id="liteguard-{name}"')[1].split("</section>")[0]
    flags = {flag for item in COMMANDS[name].params for flag in item.opts}
    assert {flag for flag in flags if flag not in section} == set()


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_each_public_name_is_described(name: str) -> None:
    """Its page makes its description from its docstring."""
    page = (ROOT / "docs" / REFERENCES[name]).read_text()
    assert re.search(rf"^\.\. auto\w+:: {re.escape(name)}$", page, re.MULTILINE)


def test_api_leads_to_what_is_described_elsewhere() -> None:
    """The reference names the pages of what it does not describe itself."""
    page = (ROOT / "docs" / "api.md").read_text()
    elsewhere = set(REFERENCES.values()) - {"api.md"}
    assert {name for name in elsewhere if f"({name}" not in page} == set()


def test_readme_leads_to_pages_that_are_there() -> None:
    """Each link of the README into the repository has an end."""
    text = (ROOT / "README.md").read_text()
    targets = re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", text)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
