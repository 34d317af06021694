"""Management of environments and tokens, and the root of the management API."""

# ruff: noqa: TC001 - FastAPI reads the annotations of routes when it starts

from __future__ import annotations

from fastapi import APIRouter, Depends

from liteguard.devserver import (
    environments,
    manage_activity,
    manage_changes,
    manage_guards,
    manage_records,
    manage_transfer,
    tokens,
)
from liteguard.devserver.access import DatabaseOf, require_manager
from liteguard.devserver.environments import (
    Environment,
    EnvironmentFields,
    NewEnvironment,
)
from liteguard.devserver.problems import ProblemBody
from liteguard.devserver.tokens import IssuedToken, NewToken, Token, TokenFields
from liteguard.devserver.wire import Served

REFUSALS = (400, 401, 403, 404, 409, 413, 422, 429)

router = APIRouter(
    prefix="/manage/v1",
    dependencies=[Depends(require_manager)],
    responses={status: {"model": ProblemBody} for status in REFUSALS},
)
for part in (
    manage_guards,
    manage_records,
    manage_activity,
    manage_changes,
    manage_transfer,
):
    router.include_router(part.router)


class EnvironmentList(Served):
    """Environments by name."""

    environments: list[Environment]


class TokenList(Served):
    """Tokens, oldest first."""

    tokens: list[Token]


@router.get("/environments", tags=["environments"])
def list_environments(database: DatabaseOf) -> EnvironmentList:
    """List all environments."""
    with database.reading() as connection:
        found = environments.list_environments(connection)
    return EnvironmentList(environments=found)


@router.post("/environments", status_code=201, tags=["environments"])
def create_environment(new: NewEnvironment, database: DatabaseOf) -> Environment:
    """Create an environment, with no guards and no tokens."""
    with database.writing("environments") as connection:
        return environments.create_environment(connection, new)


@router.get("/environments/{environment}", tags=["environments"])
def get_environment(environment: str, database: DatabaseOf) -> Environment:
    """Show one environment."""
    with database.reading() as connection:
        return environments.find_environment(connection, environment)


@router.patch("/environments/{environment}", tags=["environments"])
def update_environment(
    environment: str, fields: EnvironmentFields, database: DatabaseOf
) -> Environment:
    """Change an environment's refresh rate."""
    with database.writing("environments") as connection:
        return environments.set_refresh_rate(connection, environment, fields)


@router.get("/tokens", tags=["tokens"])
def list_tokens(database: DatabaseOf) -> TokenList:
    """List all tokens, without the tokens themselves."""
    with database.reading() as connection:
        return TokenList(tokens=tokens.list_tokens(connection))


@router.post("/tokens", status_code=201, tags=["tokens"])
def create_token(new: NewToken, database: DatabaseOf) -> IssuedToken:
    """Create a token and tell it, this once."""
    with database.writing("tokens") as connection:
        return tokens.create_token(connection, new)


@router.patch("/tokens/{token_id}", tags=["tokens"])
def update_token(token_id: int, fields: TokenFields, database: DatabaseOf) -> Token:
    """Disable a token, or enable it again."""
    with database.writing("tokens") as connection:
        return tokens.set_disabled(connection, token_id, fields)
