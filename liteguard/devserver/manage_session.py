"""Signing in with the management password, for browsers."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response

from liteguard.devserver.access import SESSION_COOKIE, GateOf, refuse_foreign_pages
from liteguard.devserver.gate import SESSION_SECONDS
from liteguard.devserver.problems import ProblemBody
from liteguard.devserver.senders import address_of
from liteguard.devserver.wire import Managed, Served

REFUSALS = (400, 401, 403, 413, 422, 429)

router = APIRouter(
    prefix="/manage/v1/session",
    tags=["session"],
    dependencies=[Depends(refuse_foreign_pages)],
    responses={status: {"model": ProblemBody} for status in REFUSALS},
)


class Credentials(Managed):
    """The management password."""

    password: str


class Session(Served):
    """Whether the caller may manage.

    Args:
        password_required: Whether there is a password to give.
        signed_in: Whether the caller's session is open, or needs no password.
    """

    password_required: bool
    signed_in: bool


@router.get("")
async def show_session(request: Request, gate: GateOf) -> Session:
    """Tell whether a password is needed and whether the caller's session is open."""
    is_open = gate.is_open_to(request.cookies.get(SESSION_COOKIE, ""))
    return Session(
        password_required=gate.asks_for_password,
        signed_in=is_open or not gate.asks_for_password,
    )


@router.post("", status_code=204, response_model=None)
async def open_session(
    given: Credentials, request: Request, response: Response, gate: GateOf
) -> None:
    """Open a session: the answer sets its cookie."""
    response.set_cookie(
        SESSION_COOKIE,
        gate.open_session(given.password, address_of(request)),
        max_age=SESSION_SECONDS,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )


@router.delete("", status_code=204, response_model=None)
async def close_session(request: Request, response: Response, gate: GateOf) -> None:
    """Close the caller's session."""
    gate.close_session(request.cookies.get(SESSION_COOKIE, ""))
    response.delete_cookie(SESSION_COOKIE, path="/", httponly=True, samesite="strict")
