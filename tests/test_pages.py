"""Every block of the README and the documentation does what it shows."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Callable

import pytest
import yaml

from liteguard.options import ClientOptions, variable_names
from packages import installed
from pages import BLOCKS, COMMAND_SECONDS, CONSOLES, NOT_RUN, Block, walking

if TYPE_CHECKING:
    from pathlib import Path

    from backends import Backend

MARKERS = re.compile(
    r"|file: [\w./-]+|raises: \w+|shown: .+|(stop [\w ]+; )?(run|run until|serve)"
)
VARIABLES = {
    name
    for field in ClientOptions.__dataclass_fields__
    for name in variable_names(field)
}
VARIABLES.add("LITEGUARD_TOKEN")
WALKED = sorted({block.page for block in BLOCKS if block.is_walked})
PYTHON = [b for b in BLOCKS if b.language == "python" and not b.marker]
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
GIVEN = {
    "docs/celery.md": """
import celery
class Celery(celery.Celery):
    def __init__(self, *arguments, **_):
        super().__init__(*arguments)
        self.conf.task_always_eager = True
order = 7
""",
    "docs/protected-contexts.md": APPLICATION + "signature = 'made by a backend'",
    "docs/forking.md": "",
}
# What a page compares with, installed beside this package.
PEERS = {
    "docs/from-launchdarkly.md": "launchdarkly-server-sdk>=9.11,<10",
    "docs/from-unleash.md": "UnleashClient>=6,<7",
}


def identify(block: Block) -> str:
    """Return the place of a block, for the list of tests."""
    return f"{block.page}:{block.line}"


def of(page: str, *, walked: bool) -> list[Block]:
    """Return what a reader of *page* saves, and the blocks that are walked or not."""
    return [b for b in BLOCKS if b.page == page and (b.file or b.is_walked is walked)]


@pytest.mark.parametrize("block", BLOCKS, ids=identify)
def test_block_is_of_a_known_kind(block: Block) -> None:
    """None escapes: what is new here must say how it is checked."""
    assert MARKERS.fullmatch(block.marker), f"what is {block.marker!r}?"
    assert block.is_directive or block.language in {*CHECKS, "python", *CONSOLES}
    assert block.language in CONSOLES or not block.is_walked
    # A program that is saved and never started would escape.
    assert block.language != "python" or not block.file or block.page in WALKED


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", sorted({block.page for block in PYTHON}))
def test_python_runs(page: str, backend: Backend) -> None:
    """The blocks of a page end well, one after another, beside its files."""
    code = "\n".join(block.code for block in PYTHON if block.page == page)
    given = "" if "client.start()" in code else APPLICATION
    given = GIVEN.get(page, given)
    code = code.replace("from celery import Celery", "") if "Celery(" in given else code
    with walking({}) as walk:
        variables = backend.variables(walk.folder / "state")
        walk.variables.update(variables, LITEGUARD_ENV=backend.environment)
        if page in PEERS:
            walk.variables["PYTHONPATH"] += f":{peer(PEERS[page])}"
        for block in of(page, walked=False):
            if block.file:
                walk.save(block)
        finished = subprocess.run(
            [sys.executable, "-c", f"{given}\n{code}"],
            cwd=walk.folder,
            env=walk.variables,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    complaints = "" if page in PEERS else finished.stderr  # peers log as they like
    assert (finished.returncode, complaints) == (0, ""), finished.stderr


def peer(requirement: str) -> Path:
    """Return the folder with another SDK and what it needs, for this interpreter."""
    name = re.split("[>=]", requirement)[0]
    python = "{}.{}".format(*sys.version_info)
    return installed(requirement, f".venv-peer-{name}-{python}", needs=True)


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.marker.startswith("raises: ")], ids=identify
)
def test_python_raises_what_it_says(block: Block) -> None:
    """A block that shows a mistake makes it."""
    with walking({}) as walk:
        finished = subprocess.run(
            [sys.executable, "-c", f"from liteguard import *\n{block.code}"],
            env=walk.variables,
            capture_output=True,
            text=True,
            check=False,
        )
    kind = block.marker.removeprefix("raises: ")
    assert re.search(rf"^\S*\b{kind}: ", finished.stderr, re.MULTILINE)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("page", WALKED)
def test_page_can_be_followed(page: str, backend: Backend) -> None:
    """A reader who does what the page says sees what it says."""
    with walking({"PYTHONUNBUFFERED": "1"}) as walk:
        walk.variables.update(backend.variables(walk.folder / "state"))
        if any(block.starts_backend for block in of(page, walked=True)):
            del walk.variables["LITEGUARD_ENVIRONMENT"]
        for block in of(page, walked=True):
            if block.file:
                walk.save(block)
            else:
                walk.walk(block)


def test_what_is_not_run_is_listed_with_a_reason() -> None:
    """Nothing else escapes, and nothing is excused that does run."""
    left = {(b.page, b.code.split("\n")[0][:31]) for b in BLOCKS if not b.is_run}
    assert left == NOT_RUN.keys()


def test_settings_that_a_reader_has_to_fill_in_are_known() -> None:
    """They name variables that there are."""
    (block,) = (b for b in BLOCKS if b.code.startswith("$ export ") and not b.is_run)
    assert set(re.findall(r"export (\w+)=", block.code)) <= VARIABLES


def check_ini(code: str) -> None:
    """Raise unless it can be read; systemd repeats keys."""
    configparser.RawConfigParser(strict=False, delimiters=("=",)).read_string(code)


CHECKS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "ini": check_ini,
    "yaml": lambda code: list(yaml.safe_load_all(code)),
    "text": str,
}


@pytest.mark.parametrize(
    "block", [b for b in BLOCKS if b.language in CHECKS], ids=identify
)
def test_document_can_be_read(block: Block) -> None:
    """Settings and data are well formed."""
    CHECKS[block.language](block.code)
