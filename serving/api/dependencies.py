"""Shared by the routes under /api: the user, the app state, kinds of parameters, documented errors."""

import hmac
from typing import Annotated, Any

from fastapi import Cookie, Depends, Header, Path, Query, Request

from serving import schemas as m
from serving.app_state import AppState
from serving.db.accounts import LOCAL_USER, User
from serving.problems import RequestError

COOKIE = "segue_session"

ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": what,
        "content": {"application/problem+json": {"schema": m.Problem.model_json_schema()}},
    }
    for status, what in {
        400: "malformed",
        401: "no login",
        403: "not allowed",
        404: "not found",
        409: "of another user",
        413: "too large",
        422: "not what was expected",
        429: "too many",
        502: "another service does not answer",
        507: "disk full",
    }.items()
}


async def app_state(request: Request) -> AppState:
    """Return the app state; async, since FastAPI would run a plain function in a thread."""
    return request.app.state.app_state


async def current_user(
    request: Request,
    segue_session: Annotated[str | None, Cookie(include_in_schema=False)] = None,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> User:
    """Return the user, by session cookie or by an app password as bearer token."""
    return request.app.state.app_state.authenticate(cookie=segue_session, authorization=authorization)


async def session_user(request: Request, user: Annotated[User, Depends(current_user)]) -> User:
    """Return the user of a session.

    Raises RequestError (403) for an app password, which clients put into URLs.
    """
    if request.headers.get("authorization"):
        raise RequestError(
            403,
            "expected the page's login, found an app password, which cannot change accounts",
        )
    return user


async def admin_user(user: Annotated[User, Depends(session_user)]) -> User:
    """Return the user. Raises RequestError (403) unless the user is an admin."""
    if not user.admin:
        raise RequestError(403, "expected an admin")
    return user


async def metrics_reader(
    request: Request,
    segue_session: Annotated[str | None, Cookie(include_in_schema=False)] = None,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> None:
    """Let Prometheus pass by its token, admins, and this machine as long as there are no users.

    Raises RequestError (401, 403) for everyone else.
    """
    token = request.app.state.app_state.metrics_token
    if token and hmac.compare_digest((authorization or "").encode(), f"Bearer {token}".encode()):
        return
    user = await current_user(request, segue_session, authorization)
    if not user.admin and user.name != LOCAL_USER:
        raise RequestError(403, "expected an admin")


State = Annotated[AppState, Depends(app_state)]
CurrentUser = Annotated[User, Depends(current_user)]
SessionUser = Annotated[User, Depends(session_user)]
AdminUser = Annotated[User, Depends(admin_user)]
TrackId = Annotated[m.Id, Path(description="id of a track")]
Limit = Annotated[int, Query(ge=1, le=500)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
