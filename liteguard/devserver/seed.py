"""Seed files: environments, guards and tokens to start with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from liteguard.devserver.environments import NewEnvironment
from liteguard.devserver.problems import first_problem
from liteguard.devserver.tokens import TokenText  # noqa: TC001 - pydantic reads it
from liteguard.devserver.wire import Guard, Managed

if TYPE_CHECKING:
    from pathlib import Path


class SeedError(Exception):
    """A seed file that cannot be read or is not of the documented form."""


class SeedEnvironment(NewEnvironment):
    """An environment with what belongs to it.

    Args:
        guards: Its guards.
        tokens: Tokens for it alone.
    """

    guards: list[Guard] = Field(default_factory=list)
    tokens: list[TokenText] = Field(default_factory=list)


class Seed(Managed):
    """The whole file.

    Args:
        environments: Environments and what belongs to them.
        tokens: Tokens for all environments.
    """

    environments: list[SeedEnvironment] = Field(default_factory=list)
    tokens: list[TokenText] = Field(default_factory=list)


def read_seed(path: Path) -> Seed:
    """Read and check a seed file.

    Raises:
        SeedError: What is wrong with it, in one line and without its values.
    """
    try:
        return Seed.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SeedError(f"seed file {path}: {error.strerror}") from error
    except ValidationError as error:
        problem = first_problem(error.errors())
        place = f"{problem.field}: " if problem.field else ""
        raise SeedError(f"seed file {path}: {place}{problem.reason}") from error
