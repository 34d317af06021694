"""What clients sent and asked for, for reading: signals, observations, polls."""

# ruff: noqa: TC001 - FastAPI reads the annotations of routes when it starts

from __future__ import annotations

from typing import Annotated, Optional

from fastapi import APIRouter, Query

from liteguard.devserver import observations, polls, signals
from liteguard.devserver.access import DatabaseOf
from liteguard.devserver.environments import find_environment
from liteguard.devserver.observations import ObservationList
from liteguard.devserver.polls import PollList, PollSummary
from liteguard.devserver.signals import SignalList, SignalSummary
from liteguard.devserver.wire import MAX_TIMESTAMP_MS

router = APIRouter(prefix="/environments/{environment}", tags=["records"])

Since = Annotated[int, Query(ge=0, le=MAX_TIMESTAMP_MS)]
Limit = Annotated[int, Query(ge=1, le=10_000)]
DEFAULT_LIMIT = 1000


@router.get("/signals")
def list_signals(
    environment: str,
    database: DatabaseOf,
    *,
    guard: Optional[str] = None,
    kind: Optional[str] = None,
    since: Since = 0,
    before: Optional[Since] = None,
    newest_first: bool = False,
    rate_limited: bool = False,
    limit: Limit = DEFAULT_LIMIT,
) -> SignalList:
    """List signals with ids above *since*, in the order of arrival.

    *newest_first* turns the order round: the newest ones before id *before* come, at
    most *limit* of them. *rate_limited* lists those that a rate limit decided on.
    """
    with database.reading() as connection:
        owner = find_environment(connection, environment)
        return signals.list_signals(
            connection,
            owner.id,
            guard=guard,
            kind=kind,
            since=since,
            before=before,
            newest_first=newest_first,
            rate_limited=rate_limited,
            limit=limit,
        )


@router.get("/signals/summary")
def summarise_signals(environment: str, database: DatabaseOf) -> SignalSummary:
    """Count all signals, by guard and by sender."""
    with database.reading() as connection:
        owner = find_environment(connection, environment)
        return signals.summarise_signals(connection, owner.id)


@router.get("/observations")
def list_observations(environment: str, database: DatabaseOf) -> ObservationList:
    """List the unadopted guards that clients asked for."""
    with database.reading() as connection:
        owner = find_environment(connection, environment)
        return observations.list_observations(connection, owner.id)


@router.get("/polls")
def list_polls(
    environment: str,
    database: DatabaseOf,
    *,
    since: Since = 0,
    limit: Limit = DEFAULT_LIMIT,
) -> PollList:
    """List fetches with ids above *since*, in the order of arrival."""
    with database.reading() as connection:
        owner = find_environment(connection, environment)
        return polls.list_polls(connection, owner.id, since=since, limit=limit)


@router.get("/polls/summary")
def summarise_polls(environment: str, database: DatabaseOf) -> PollSummary:
    """Count all fetches, by sender."""
    with database.reading() as connection:
        owner = find_environment(connection, environment)
        return polls.summarise_polls(connection, owner.id)
