"""What the documentation of the local backend shows, tried out."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from devserver import DevServer
from liteguard.devserver.bodies import MAX_DECODED_BYTES, MAX_RECEIVED_BYTES
from liteguard.devserver.seed import Seed

PAGE = (Path(__file__).parent.parent / "docs" / "dev-server.md").read_text()
SHOWN_URL = "http://127.0.0.1:8420"


class Example(NamedTuple):
    """One call of curl."""

    line: str
    method: str
    path: str


def parse(line: str) -> Example:
    """Read a command line of curl with the few options that the page uses."""
    words = shlex.split(line)
    body = words[words.index("--json") + 1] if "--json" in words else ""
    implied = "POST" if body else "GET"
    method = words[words.index("-X") + 1] if "-X" in words else implied
    assert words[-1].startswith(SHOWN_URL)
    return Example(line, method, words[-1][len(SHOWN_URL) :])


EXAMPLES = [parse(line) for line in re.findall(r"^\$ (curl .*)$", PAGE, re.MULTILINE)]


def test_every_call_that_the_page_shows_succeeds(tmp_path: Path) -> None:
    """The examples work in the order of the page, against a fresh backend."""
    statuses = {}
    with DevServer(tmp_path) as server:
        for example in EXAMPLES:
            line = example.line.replace(SHOWN_URL, server.url)
            statuses[example] = status_of(f"exec {line} --dump-header - --noproxy '*'")
    assert {
        e: status for e, status in statuses.items() if not 200 <= status < 300
    } == {}


def status_of(line: str) -> int:
    """Run a command line until the head of an answer is there; return its status."""
    with subprocess.Popen(["bash", "-c", line], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        head = process.stdout.readline().split()
        process.kill()  # news have no end
    return int(head[1])


def test_every_route_is_shown(devserver: DevServer) -> None:
    """The page has an example of each call of the management API."""
    description = devserver.request("GET", "/openapi.json").json()
    missing = [
        f"{method} {path}"
        for path, methods in description["paths"].items()
        for method in methods
        if path.startswith("/manage/")
        and not any(fits(example, method, path) for example in EXAMPLES)
    ]
    # Reading one environment gives nothing that the list does not.
    assert missing == ["get /manage/v1/environments/{environment}"]


def fits(example: Example, method: str, path: str) -> bool:
    """Tell whether an example is a call of this route."""
    pattern = re.sub(r"\{.*?\}", "[^/]+", path)
    target = example.path.partition("?")[0]
    return example.method.lower() == method and bool(re.fullmatch(pattern, target))


def test_seed_that_the_page_shows_is_valid() -> None:
    """The example of a seed file can be used as it stands."""
    (text,) = re.findall(
        r"^## Seed file.*?```json\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE
    )
    seed = Seed.model_validate_json(text)
    (environment,) = seed.environments
    assert [guard.name for guard in environment.guards] == ["payments.checkout"]
    assert json.loads(text)["tokens"] == seed.tokens


@pytest.mark.parametrize("size", [MAX_RECEIVED_BYTES, MAX_DECODED_BYTES])
def test_page_states_the_bounds(size: int) -> None:
    """The documented sizes are those of the code."""
    assert f"than {size // 2**20} MiB" in PAGE
