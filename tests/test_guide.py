"""The product's user guide, run as printed. guide.txt is its text, word for word."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from devserver import DevServer

GUIDE = Path(__file__).parent / "guide.txt"
PYTHON_BLOCKS = 8
# The block that binds a scope uses the scope of the block before it.
NEEDS = {5: [4]}
# The one liberty taken with the guide's text: what it presupposes of an application.
APPLICATION = """
from types import SimpleNamespace
request = SimpleNamespace(user=SimpleNamespace(id="user-7", plan="pro"))
handled = []
def handle_request():
    handled.append(client.get_active_scope().get_properties())
"""


def blocks_of(language: str) -> list[str]:
    """Return the guide's blocks in *language*: the lines after it that are code."""
    paragraphs = GUIDE.read_text("utf-8").split("\n\n")
    blocks: list[str] = []
    is_open = False
    for paragraph in paragraphs:
        marker, _, code = paragraph.strip("\n").partition("\n")
        if marker == language:
            blocks.append(code)
            is_open = True
        elif is_open and is_code(paragraph):
            blocks[-1] += "\n\n" + paragraph.strip("\n")
        else:
            is_open = False
    return blocks


def is_code(paragraph: str) -> bool:
    """Whether a paragraph goes on with a block; a heading of one word does not."""
    try:
        statements = ast.parse(with_bodies(paragraph)).body
    except SyntaxError:
        return False
    return any(not is_bare_name(statement) for statement in statements)


def is_bare_name(statement: ast.stmt) -> bool:
    """Whether a statement is one word, as a heading would be."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Name)


def with_bodies(code: str) -> str:
    """Give a body to each block that holds only a comment."""
    lines = code.splitlines()
    bodied: list[str] = []
    for line, following in zip(lines, [*lines[1:], ""]):
        bodied.append(line)
        is_comment = line.strip().startswith("#") and line.startswith(" ")
        if is_comment and not following.startswith(" "):
            bodied.append(line[: len(line) - len(line.lstrip())] + "pass")
    return "\n".join(bodied)


def run(
    code: str, backend: DevServer, folder: Path, token: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run *code* as a program that knows the backend by its variable alone."""
    script = folder / "guide.py"
    script.write_text(with_bodies(code), "utf-8")
    kept = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    variables = {
        **kept,
        "LITEGUARD_BACKEND_URL": backend.url,
        "LITEGUARD_TOKEN": token or backend.token,
        "TMPDIR": str(folder),
        "PYTHONPATH": str(GUIDE.parent.parent),
    }
    return subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_every_block_of_the_guide_is_found() -> None:
    """The blocks are all there, from the first import to the last call."""
    blocks = blocks_of("python")
    assert len(blocks) == PYTHON_BLOCKS
    assert blocks[0].startswith("from liteguard import LiteguardClient")
    assert blocks[0].endswith("client.start()")
    assert "feature.x" in blocks[5]
    assert blocks[-1] == "client.shutdown()"
    assert blocks_of("bash") == ["pip install liteguard"]


@pytest.mark.parametrize("number", range(PYTHON_BLOCKS))
def test_each_block_runs_as_printed(
    number: int, devserver: DevServer, tmp_path: Path
) -> None:
    """Each block runs after the block that makes the client and starts it."""
    blocks = blocks_of("python")
    needed = [blocks[other] for other in NEEDS.get(number, [])]
    code = "\n".join([blocks[0], APPLICATION, *needed, blocks[number]])
    result = run(code, devserver, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_whole_guide_runs_in_order(devserver: DevServer, tmp_path: Path) -> None:
    """All blocks run one after another in one program, without a word of complaint."""
    first, *others = blocks_of("python")
    result = run("\n".join([first, APPLICATION, *others]), devserver, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")


def test_the_guide_s_checks_do_what_it_says(
    devserver: DevServer, tmp_path: Path
) -> None:
    """A rule on the guide's properties opens its guards, and its scope reaches down."""
    token = devserver.create_environment("guide")
    devserver.create_guard(
        "payments.checkout",
        environment="guide",
        rules=(
            {
                "propertyName": "plan",
                "operator": "EQUALS",
                "values": ["pro"],
                "result": True,
            },
        ),
    )
    first, _, plain, with_properties, scope, context, *_ = blocks_of("python")
    observe = textwrap.dedent(
        """
        print(client.is_open("payments.checkout"), scope.is_open("payments.checkout"))
        print(handled)
        client.shutdown()
        """
    )
    parts = [first, APPLICATION, plain, with_properties, scope, context, observe]
    result = run("\n".join(parts), devserver, tmp_path, token)
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "False True",
        "[{'user_id': 'user-7', 'plan': 'pro'}]",
    ]
    by_guard = devserver.signal_summary(environment="guide")["byGuard"]
    assert by_guard["payments.checkout"] == {"open": 3, "closed": 2, "executions": 0}


def test_the_checked_guard_appears_at_the_backend(
    devserver: DevServer, tmp_path: Path
) -> None:
    """After a check, the backend has seen the guard that nobody has adopted yet."""
    first, _, check, *_ = blocks_of("python")
    token = devserver.create_environment("appears")
    result = run(f"{first}\n{check}", devserver, tmp_path, token)
    assert (result.returncode, result.stderr) == (0, "")
    observed = devserver.observations(environment="appears")
    assert set(observed) == {"payments.checkout"}
