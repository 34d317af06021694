"""Management of an environment's guards."""

# ruff: noqa: TC001 - FastAPI reads the annotations of routes when it starts

from __future__ import annotations

from fastapi import APIRouter

from liteguard.devserver import guards
from liteguard.devserver.access import DatabaseOf
from liteguard.devserver.environments import find_environment
from liteguard.devserver.wire import Guard, GuardFields, Served

# Guard names may contain slashes, hence ":path"; the longer route comes first.
router = APIRouter(prefix="/environments/{environment}/guards", tags=["guards"])


class GuardList(Served):
    """Guards by name."""

    guards: list[Guard]


@router.get("", response_model_exclude_none=True)
def list_guards(environment: str, database: DatabaseOf) -> GuardList:
    """List the environment's guards."""
    with database.reading() as connection:
        owner = find_environment(connection, environment)
        return GuardList(guards=guards.list_guards(connection, owner.id))


@router.post("", status_code=201, response_model_exclude_none=True)
def create_guard(environment: str, guard: Guard, database: DatabaseOf) -> Guard:
    """Create a guard."""
    with database.writing("guards") as connection:
        owner = find_environment(connection, environment)
        return guards.create_guard(connection, owner.id, guard)


@router.post("/{name:path}/adopt", response_model_exclude_none=True)
def adopt_guard(environment: str, name: str, database: DatabaseOf) -> Guard:
    """Adopt a guard, creating it if clients asked for one of that name."""
    with database.writing("guards") as connection:
        owner = find_environment(connection, environment)
        return guards.adopt_guard(connection, owner.id, name)


@router.get("/{name:path}", response_model_exclude_none=True)
def get_guard(environment: str, name: str, database: DatabaseOf) -> Guard:
    """Show one guard."""
    with database.reading() as connection:
        owner = find_environment(connection, environment)
        return guards.find_guard(connection, owner.id, name)


@router.patch("/{name:path}", response_model_exclude_none=True)
def update_guard(
    environment: str, name: str, fields: GuardFields, database: DatabaseOf
) -> Guard:
    """Replace the given fields of a guard."""
    with database.writing("guards") as connection:
        owner = find_environment(connection, environment)
        return guards.update_guard(connection, owner.id, name, fields)


@router.delete("/{name:path}", status_code=204, response_model=None)
def delete_guard(environment: str, name: str, database: DatabaseOf) -> None:
    """Delete a guard."""
    with database.writing("guards") as connection:
        owner = find_environment(connection, environment)
        guards.delete_guard(connection, owner.id, name)
