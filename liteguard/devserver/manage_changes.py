"""The history of guards, undoing, and trying a guard out."""

# ruff: noqa: TC001 - FastAPI reads the annotations of routes when it starts

from __future__ import annotations

from typing import Annotated, Optional

from fastapi import APIRouter, Path, Query

from liteguard.devserver import changes, trials
from liteguard.devserver.access import DatabaseOf
from liteguard.devserver.changes import Change, ChangeList
from liteguard.devserver.environments import find_environment
from liteguard.devserver.trials import Trial, TrialAnswer
from liteguard.devserver.wire import MAX_TIMESTAMP_MS

router = APIRouter(tags=["guards"])

ChangeId = Annotated[int, Path(ge=0, le=MAX_TIMESTAMP_MS)]
Limit = Annotated[int, Query(ge=1, le=500)]


@router.get("/environments/{environment}/changes", response_model_exclude_none=True)
def list_changes(
    environment: str,
    database: DatabaseOf,
    *,
    guard: Optional[str] = None,
    limit: Limit = 50,
) -> ChangeList:
    """List the newest changes of one guard or of all."""
    with database.reading() as connection:
        owner = find_environment(connection, environment)
        return changes.list_changes(connection, owner.id, guard=guard, limit=limit)


@router.post(
    "/environments/{environment}/changes/{change_id}/undo",
    response_model_exclude_none=True,
)
def undo_change(environment: str, change_id: ChangeId, database: DatabaseOf) -> Change:
    """Bring a guard back to what it was before a change."""
    with database.writing("guards") as connection:
        owner = find_environment(connection, environment)
        return changes.undo_change(connection, owner.id, change_id)


@router.post("/trials")
def try_guard(trial: Trial) -> TrialAnswer:
    """Tell what a client with this guard answers to these properties, and why."""
    return trials.try_guard(trial)
