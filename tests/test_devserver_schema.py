"""The local backend's OpenAPI document, held against the running server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from devserver import DevServer

if TYPE_CHECKING:
    from collections.abc import Iterator

# The same cases each time: what fails here fails for everybody.
OPTIONS = ["--max-examples=5", "--seed=1", "--no-color", "--continue-on-failure"]
# Python 3.9 gets only releases that take "0" for no boolean and "null" for a number in
# a query, and whose coverage takes minutes.
if sys.version_info < (3, 10):
    OPTIONS += ["--phases=fuzzing"]
    OPTIONS += ["--exclude-checks=positive_data_acceptance,negative_data_rejection"]
else:
    OPTIONS += ["--phases=coverage,fuzzing"]
SETTINGS = """
# A guard may be named "a/adopt": what looks like a path without such a method is one.
[[operations]]
include-path = "/manage/v1/environments/{environment}/guards/{name}/adopt"
checks.unsupported_method.enabled = false
# This answer has no end.
[[operations]]
include-path = "/manage/v1/events"
enabled = false
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DevServer]:
    """Run a backend of its own, because anything may be written to it."""
    with DevServer(tmp_path) as running:
        yield running


@pytest.mark.timeout(180)
def test_server_does_what_its_document_says(server: DevServer) -> None:
    """Requests made from the document, right and wrong, get the answers it promises."""
    (server.folder / "schemathesis.toml").write_text(SETTINGS)
    program = Path(sys.executable).with_name("schemathesis")
    url = f"{server.url}/openapi.json"
    finished = subprocess.run(
        [str(program), "run", url, *OPTIONS],
        cwd=server.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "No issues found" in finished.stdout, finished.stdout
    assert "Traceback" not in server.log()
