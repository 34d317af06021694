"""The command line ``liteguard``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from liteguard import cli

ROOT = Path(__file__).parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in the source tree."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_module_runs_the_command_line() -> None:
    """``python -m liteguard`` lists the commands."""
    finished = run("-m", "liteguard", "--help")
    assert finished.returncode == 0
    for _, name in cli.COMMANDS:
        assert f"\n  {name} " in finished.stdout


@pytest.mark.parametrize("name", [name for _, name in cli.COMMANDS])
def test_each_command_explains_itself(name: str) -> None:
    """Every command has a help page with its options."""
    finished = run("-m", "liteguard", name, "--help")
    assert finished.returncode == 0
    assert "Options:" in finished.stdout


def test_version_is_the_installed_one() -> None:
    """The version comes from the installed distribution."""
    finished = run("-m", "liteguard", "--version")
    assert finished.stdout == f"liteguard, version {cli.installed_version()}\n"


def test_unknown_command_is_a_mistake_of_use() -> None:
    """Exit status 2 and a hint."""
    finished = run("-m", "liteguard", "nonsense")
    assert finished.returncode == 2
    assert "No such command" in finished.stderr


def test_missing_click_tells_what_to_install() -> None:
    """Without the extra there is advice instead of a traceback."""
    program = "import sys; sys.modules['click'] = None; import liteguard.cli as cli;"
    finished = run("-c", program + "cli.main()")
    assert finished.returncode == 2
    assert "pip install 'liteguard[dev]'" in finished.stderr
    assert "pip install 'liteguard[demo]'" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_missing_server_library_tells_what_to_install(tmp_path: Path) -> None:
    """With click alone, ``liteguard dev`` says what else it needs."""
    program = (
        "import sys; sys.modules['fastapi'] = None; import liteguard.cli as cli;"
        f"sys.argv = ['liteguard', 'dev', '--db', {str(tmp_path / 'dev.db')!r}];"
    )
    finished = run("-c", program + "cli.main()")
    assert finished.returncode == 2
    assert finished.stderr == (
        "Error: fastapi is missing; pip install 'liteguard[dev]'\n"
    )


def test_importing_the_command_line_stays_cheap() -> None:
    """Neither click nor any command is imported before it is needed."""
    finished = run("-c", "import liteguard.cli, sys; print(*sys.modules)")
    loaded = set(finished.stdout.split())
    assert {"click", "fastapi", "uvicorn", "pydantic", "sqlite3"} & loaded == set()


def test_help_does_not_load_the_server() -> None:
    """Listing commands imports click and no more."""
    program = (
        "import liteguard.cli, sys; liteguard.cli.build_commands();print(*sys.modules)"
    )
    loaded = set(run("-c", program).stdout.split())
    assert {"fastapi", "uvicorn", "pydantic", "sqlite3"} & loaded == set()
