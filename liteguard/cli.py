"""The command line ``liteguard``: finds its commands and says what to install.

Importing this module imports neither click nor any command.
"""

from __future__ import annotations

import sys
from importlib import import_module, metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

COMMANDS = (
    # One line for each command: module and name. The module is imported for every
    # call of the command line, so it imports what is heavy when it runs.
    ("liteguard.devserver.command", "dev"),
    ("liteguard.demo.command", "demo"),
)
MISSING = """\
The command line needs packages that are not installed. Install one of:
  pip install 'liteguard[dev]'   for `liteguard dev`, the local backend
  pip install 'liteguard[demo]'  for `liteguard demo` as well
"""


def main() -> None:
    """Run the command line with the arguments of this process.

    Blocks as long as the command runs.

    Raises:
        SystemExit: Always; status 2 if click is not installed or the use is wrong.
    """
    try:
        commands = build_commands()
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.stderr.write(MISSING)
        sys.exit(2)
    commands(prog_name="liteguard")


def build_commands() -> click.Group:
    """Return the group of all commands.

    Raises:
        ModuleNotFoundError: click is not installed.
    """
    library = import_module("click")
    group: click.Group = library.Group(help="Liteguard feature guards for Python.")
    for module, name in COMMANDS:
        group.add_command(getattr(import_module(module), name))
    with_version = library.version_option(installed_version(), prog_name="liteguard")
    with_version(group)
    return group


def installed_version() -> str:
    """Return the version of the installed distribution, if it is installed."""
    try:
        return metadata.version("liteguard")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"
