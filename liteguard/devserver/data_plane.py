"""The three calls of the protocol, as clients make them."""

# ruff: noqa: TC001 - FastAPI reads the annotations of routes when it starts

from __future__ import annotations

from fastapi import APIRouter, Response

from liteguard.devserver import observations, polls, signals
from liteguard.devserver.access import BundlesOf, CallerOf, DatabaseOf
from liteguard.devserver.problems import ProblemBody
from liteguard.devserver.wire import (
    Accepted,
    BundleBody,
    FetchRequest,
    ObservationsRequest,
    SignalsRequest,
)

REFUSALS = (400, 401, 403, 404, 413, 422)

router = APIRouter(
    prefix="/api/v1",
    tags=["clients"],
    responses={status: {"model": ProblemBody} for status in REFUSALS},
)


@router.post(
    "/guards",
    responses={
        200: {"model": BundleBody},
        304: {"description": "The client has this bundle already"},
    },
)
def fetch_guards(
    asked: FetchRequest, caller: CallerOf, database: DatabaseOf, bundles: BundlesOf
) -> Response:
    """Answer with the bundle, or 304 if the client has it already."""
    with database.reading() as connection:
        environment = caller.open_environment(connection, asked)
        bundle = bundles.current(connection, environment)
    has_it = bundle.matches(caller.if_none_match)
    status = polls.NOT_MODIFIED if has_it else polls.FETCHED
    with database.writing("polls") as connection:
        polls.record_poll(connection, environment.id, status, caller.sender)
        caller.note(connection, environment, polls=1)
    etag = {"ETag": f'"{bundle.etag}"'}
    if has_it:
        return Response(status_code=status, headers=etag)
    return Response(bundle.body, media_type="application/json", headers=etag)


@router.post("/signals")
def take_signals(
    sent: SignalsRequest, caller: CallerOf, database: DatabaseOf
) -> Accepted:
    """Store a batch of signals; answered once they are on disk."""
    with database.writing("signals") as connection:
        environment = caller.open_environment(connection, sent)
        signals.store_signals(connection, environment.id, sent.signals, caller.sender)
        caller.note(connection, environment, signals=len(sent.signals))
    return Accepted()


@router.post("/unadopted-guards")
def take_observations(
    sent: ObservationsRequest, caller: CallerOf, database: DatabaseOf
) -> Accepted:
    """Add up a batch of observations; answered once they are on disk."""
    with database.writing("observations") as connection:
        environment = caller.open_environment(connection, sent)
        caller.note(connection, environment)
        observations.store_observations(connection, environment.id, sent.observations)
    return Accepted()
