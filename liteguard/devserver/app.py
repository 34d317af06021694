"""The web application: routes, middleware and state put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Optional

from fastapi import FastAPI

from liteguard.devserver import data_plane, manage, manage_session
from liteguard.devserver.bodies import BoundedBodies
from liteguard.devserver.bundles import BundleCache
from liteguard.devserver.gate import Gate
from liteguard.devserver.page import install_page
from liteguard.devserver.problems import install_problem_answers
from liteguard.devserver.wire import Served

if TYPE_CHECKING:
    from liteguard.devserver.database import Database


class Health(Served):
    """Says that requests are served."""

    status: Literal["ok"] = "ok"


async def show_health() -> Health:
    """Tell that the server accepts requests."""
    return Health()


def create_app(database: Database, password: Optional[str] = None) -> FastAPI:
    """Build the application around an open database, which stays the caller's.

    Args:
        database: What to serve.
        password: What the management API asks for; ``None`` keeps it to programs and
            pages of this machine.
    """
    # The interactive documentation would load scripts from another host.
    app = FastAPI(title="Liteguard local backend", docs_url=None, redoc_url=None)
    app.state.database = database
    app.state.bundles = BundleCache()
    app.state.gate = Gate(password)
    app.add_middleware(BoundedBodies)
    app.add_api_route("/healthz", show_health, tags=["health"])
    app.include_router(data_plane.router)
    app.include_router(manage_session.router)
    app.include_router(manage.router)
    install_page(app)
    install_problem_answers(app)
    return app
