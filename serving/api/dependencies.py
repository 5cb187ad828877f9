"""What the routes under /api share.

Who asks, the house, the kinds of parameters, the errors that each may answer with.
"""

from typing import Annotated, Any

from fastapi import Cookie, Depends, Header, Path, Query, Request

from serving import schemas as m
from serving.app_state import AppState
from serving.db.accounts import User
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
        404: "not there",
        409: "of another listener",
        413: "too large",
        422: "not what was expected",
        429: "too many",
        507: "no room on the disk",
    }.items()
}


async def app_state(request: Request) -> AppState:
    """Return the server's parts; async, or FastAPI would take a thread for it."""
    return request.app.state.app_state


async def current_user(
    request: Request,
    segue_session: Annotated[str | None, Cookie(include_in_schema=False)] = None,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> User:
    """Return who asks: by session cookie, or by an app password as bearer token."""
    return request.app.state.app_state.authenticate(cookie=segue_session, authorization=authorization)


async def session_user(request: Request, user: Annotated[User, Depends(current_user)]) -> User:
    """Return who asks by the page's login.

    Refused (403) for an app password, which other players write into addresses.
    """
    if request.headers.get("authorization"):
        raise RequestError(
            403, "expected the page's login, found an app password; with it nobody changes accounts"
        )
    return user


async def admin_user(user: Annotated[User, Depends(session_user)]) -> User:
    """Return who asks; Refused (403) for who is no admin."""
    if not user.admin:
        raise RequestError(403, "expected an admin")
    return user


State = Annotated[AppState, Depends(app_state)]
CurrentUser = Annotated[User, Depends(current_user)]
SessionUser = Annotated[User, Depends(session_user)]
AdminUser = Annotated[User, Depends(admin_user)]
TrackId = Annotated[m.Id, Path(description="of a track")]
Limit = Annotated[int, Query(ge=1, le=500)]
Offset = Annotated[int, Query(ge=0, le=10_000_000)]
