"""How a refused request is answered: one JSON shape for every 4xx and 5xx.

Only field names and reasons are reflected, never values: a value may be a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI, Request

METHOD_NOT_ALLOWED = 405

REQUEST_PARTS = ("body", "query", "path", "header")
"""What FastAPI puts before the names of fields: noise to the reader."""


class Problem(BaseModel):
    """What was wrong with a request.

    Args:
        field: Dotted path of the offending field, or ``None`` if no field is at fault.
        reason: What is wrong with it, in words.
    """

    field: Optional[str] = None
    reason: str


class ProblemBody(BaseModel):
    """The body of every answer that is an error.

    Args:
        error: The first problem found.
    """

    error: Problem


class RequestProblem(Exception):
    """A request that cannot be served; becomes the answer.

    Args:
        status: HTTP status of the answer.
        reason: What is wrong, in words and without the offending value.
        field: Dotted path of the offending field, if one is.
    """

    def __init__(
        self, status: int, reason: str, *, field: Optional[str] = None
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.problem = Problem(field=field, reason=reason)


def answer(status: int, problem: Problem) -> JSONResponse:
    """Build the answer for a problem."""
    return JSONResponse(ProblemBody(error=problem).model_dump(), status_code=status)


def first_problem(errors: Sequence[Any]) -> Problem:
    """Tell the first of pydantic's errors, without the value it quotes.

    Args:
        errors: As ``ValidationError.errors()`` returns them.
    """
    first = errors[0]
    reason = str(first["msg"]).replace("Value error, ", "")
    return Problem(field=_dotted(first) or None, reason=reason)


def _dotted(error: Mapping[str, Any]) -> str:
    """Name a field the way a reader of JSON would: ``rules.0.operator``."""
    place = [str(part) for part in error["loc"]]
    if error["type"] == "json_invalid":
        return place[0] if place else ""  # the rest is a position, not a field
    if len(place) > 1 and place[0] in REQUEST_PARTS:
        place = place[1:]
    return ".".join(place)


def _methods(request: Request) -> set[str]:
    """Return the methods of a path; each of its routes knows its own only."""
    found: set[str] = set()
    for route in request.app.router.routes:
        match, _ = route.matches(request.scope)
        if match is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return found


def install_problem_answers(app: FastAPI) -> None:
    """Have every error of *app* answered in the one shape."""

    @app.exception_handler(RequestProblem)
    async def refused(_: Request, refusal: RequestProblem) -> JSONResponse:
        return answer(refusal.status, refusal.problem)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        response = answer(error.status_code, Problem(reason=str(error.detail)))
        response.headers.update(error.headers or {})
        if error.status_code == METHOD_NOT_ALLOWED:
            response.headers["Allow"] = ", ".join(sorted(_methods(request)))
        return response

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return answer(422, first_problem(error.errors()))

    @app.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> JSONResponse:
        return answer(500, Problem(reason="internal error; see the server's log"))
