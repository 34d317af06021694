"""What the page shows: an overview of guards, activity, processes, and news of them."""

# ruff: noqa: TC001 - FastAPI reads the annotations of routes when it starts

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Optional

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from liteguard.devserver import activity, overview, processes
from liteguard.devserver.access import DatabaseOf
from liteguard.devserver.activity import Activity
from liteguard.devserver.environments import find_environment
from liteguard.devserver.overview import Overview
from liteguard.devserver.processes import ProcessList

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from liteguard.devserver.news import News

LONGEST_SPAN_MINUTES = 24 * 60
PAUSE_SECONDS = 45.0
"""After how long without news the stream shows that it still lives."""

router = APIRouter(tags=["activity"])

Span = Annotated[int, Query(ge=1, le=LONGEST_SPAN_MINUTES)]


@router.get("/environments/{environment}/overview")
def show_overview(environment: str, database: DatabaseOf) -> Overview:
    """Show all guards with their use, and the unadopted ones."""
    with database.reading() as connection:
        owner = find_environment(connection, environment)
        return overview.read_overview(connection, owner.id)


@router.get("/environments/{environment}/activity")
def show_activity(
    environment: str,
    database: DatabaseOf,
    *,
    guard: Optional[str] = None,
    minutes: Span = 60,
) -> Activity:
    """Show what happened in the last minutes, for one guard or for all."""
    with database.reading() as connection:
        owner = find_environment(connection, environment)
        return activity.read_activity(
            connection, owner.id, guard=guard, span_minutes=minutes
        )


@router.get("/environments/{environment}/processes")
def list_processes(environment: str, database: DatabaseOf) -> ProcessList:
    """List the processes that have spoken, the one that spoke last first."""
    with database.reading() as connection:
        owner = find_environment(connection, environment)
        return processes.list_processes(connection, owner.id)


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def stream_events(database: DatabaseOf) -> StreamingResponse:
    """Tell what has changed, as server-sent events, until either side hangs up.

    Each event's data is a JSON array of the parts that have changed: ``environments``,
    ``guards``, ``observations``, ``polls``, ``signals``, ``tokens``. An empty one comes
    first: whatever is read after it, later events will correct. Further empty ones show
    that the connection lives.
    """
    return StreamingResponse(_events(database.news), media_type="text/event-stream")


async def _events(news: News) -> AsyncIterator[str]:
    async for topics in news.follow(PAUSE_SECONDS):
        yield f"data: {json.dumps(sorted(topics))}\n\n"
