"""What is published: the wheel, alone in a fresh environment."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from environments import Environment

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Install the wheel with what it requires, and nothing else."""
    environment = Environment(tmp_path_factory.mktemp("installed") / "venv")
    environment.install(str(wheel))
    return environment


def test_wheel_holds_only_the_package(wheel: Path) -> None:
    """The wheel brings `liteguard` and its own metadata, no tests and no docs."""
    with ZipFile(wheel) as archive:
        folders = {name.partition("/")[0] for name in archive.namelist()}
    assert {name for name in folders if not name.endswith(".dist-info")} == {
        "liteguard"
    }


def test_wheel_is_marked_as_typed_and_licensed(wheel: Path) -> None:
    """The wheel carries the typing marker and the licence."""
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "liteguard/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_wheel_holds_every_file_of_the_package(wheel: Path, package: Path) -> None:
    """Templates and other data files are not forgotten."""
    source = {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    with ZipFile(wheel) as archive:
        assert source - set(archive.namelist()) == set()


def test_installed_package_requires_two_libraries(installed: Environment) -> None:
    """At run time it needs `requests` and `orjson`, and what they need."""
    program = (
        "from importlib.metadata import requires;"
        "from re import match;"
        "print(*sorted({match('[a-z]+', line)[0] for line in requires('liteguard')"
        " if 'extra ==' not in line}))"
    )
    assert installed.run("python", "-c", program).split() == [
        "orjson",
        "requests",
    ]


def test_installed_package_can_be_imported(installed: Environment) -> None:
    """The facade loads in an environment that holds only what it requires."""
    program = "import liteguard; print(liteguard.LiteguardClient.__name__)"
    assert installed.run("python", "-c", program) == "LiteguardClient\n"


def test_command_says_which_extra_it_needs(installed: Environment) -> None:
    """Without the extra that brings its libraries, the command names it and ends."""
    finished = installed.call("liteguard", "--version")
    assert finished.returncode == 2
    assert "pip install 'liteguard[dev]'" in finished.stderr


def test_command_works_with_its_extra(wheel: Path, tmp_path: Path) -> None:
    """The extra `dev` brings all that the local backend's command needs."""
    environment = Environment(tmp_path / "venv")
    environment.install(f"liteguard[dev] @ {wheel.as_uri()}")
    assert "liteguard" in environment.run("liteguard", "--version")
    assert "--port" in environment.run("liteguard", "dev", "--help")
