"""Export and import of all environments and guards."""

# ruff: noqa: TC001 - FastAPI reads the annotations of routes when it starts

from __future__ import annotations

from fastapi import APIRouter

from liteguard.devserver import transfer
from liteguard.devserver.access import DatabaseOf
from liteguard.devserver.seed import Seed
from liteguard.devserver.transfer import Export, Imported

router = APIRouter(tags=["transfer"])


@router.get("/export", response_model_exclude_none=True)
def export_all(database: DatabaseOf) -> Export:
    """Show all environments and guards in the form of a seed file, without tokens."""
    with database.reading() as connection:
        return transfer.export_all(connection)


@router.post("/import")
def import_all(
    document: Seed, database: DatabaseOf, *, replace: bool = False
) -> Imported:
    """Add what a seed file holds; *replace* also changes guards that are there."""
    with database.writing("environments", "guards", "tokens") as connection:
        return transfer.import_all(connection, document, replace=replace)
