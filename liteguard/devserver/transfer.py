"""Export and import: a whole backend's guards as one JSON document.

The document has the form of a seed file, without tokens: those are known to nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from liteguard.devserver.environments import (
    EnvironmentFields,
    ensure_environment,
    find_environment,
    list_environments,
    set_refresh_rate,
)
from liteguard.devserver.guards import ensure_guard, list_guards, replace_guard
from liteguard.devserver.tokens import ensure_token
from liteguard.devserver.wire import Guard, Served

if TYPE_CHECKING:
    import sqlite3

    from liteguard.devserver.seed import Seed, SeedEnvironment


class ExportedEnvironment(Served):
    """An environment and its guards."""

    name: str
    refresh_rate_seconds: Union[int, float]
    guards: list[Guard]


class Export(Served):
    """All environments, in the form of a seed file."""

    environments: list[ExportedEnvironment]


class Imported(Served):
    """What an import did.

    Args:
        added: Guards that were not there.
        replaced: Guards that were there and differed.
        kept: Guards that were there and stayed as they were.
    """

    added: int = 0
    replaced: int = 0
    kept: int = 0


def export_all(connection: sqlite3.Connection) -> Export:
    """Return all environments and guards."""
    environments = [
        ExportedEnvironment(
            name=environment.name,
            refresh_rate_seconds=environment.refresh_rate_seconds,
            guards=list_guards(connection, environment.id),
        )
        for environment in list_environments(connection)
    ]
    return Export(environments=environments)


def import_all(
    connection: sqlite3.Connection, document: Seed, *, replace: bool
) -> Imported:
    """Add what the document holds; nothing that it does not name is touched.

    Args:
        connection: Inside a write transaction.
        document: What to add.
        replace: Whether guards that are there already become those of the document.
    """
    done = Imported()
    for environment in document.environments:
        is_new = ensure_environment(connection, environment)
        if replace and not is_new:
            _set_rate(connection, environment)
        owner = find_environment(connection, environment.name)
        for guard in environment.guards:
            if ensure_guard(connection, owner.id, guard):
                done.added += 1
            elif replace and replace_guard(connection, owner.id, guard):
                done.replaced += 1
            else:
                done.kept += 1
        for token in environment.tokens:
            ensure_token(connection, token, environment.name, source="seed")
    for token in document.tokens:
        ensure_token(connection, token, None, source="seed")
    return done


def _set_rate(connection: sqlite3.Connection, environment: SeedEnvironment) -> None:
    if "refresh_rate_seconds" in environment.model_fields_set:
        fields = {"refreshRateSeconds": environment.refresh_rate_seconds}
        rate = EnvironmentFields.model_validate(fields)
        set_refresh_rate(connection, environment.name, rate)
