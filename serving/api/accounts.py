"""Login, app passwords, users."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Request, Response

from jobs.errors import InputError
from serving import schemas as m
from serving.api.dependencies import COOKIE, AdminUser, SessionUser, State
from serving.app_state import AppState
from serving.db.accounts import LOCAL_USER
from serving.problems import RequestError

router = APIRouter()


@router.post("/login")
def login(request: Request, state: State, body: m.Login, response: Response) -> m.UserOut:
    """Start a session: sets a cookie that scripts cannot read."""
    client = request.client.host if request.client else ""
    name = body.name.strip().lower()  # telephones write a capital and a space; no user's name has either
    for key in (f"from {client}", f"as {name}"):
        state.login_limit.consume(key)
    return _start_session(request, state, response, name, body.password)


def _start_session(
    request: Request, state: AppState, response: Response, name: str, password: str
) -> m.UserOut:
    token = state.accounts.login(name, password)
    user = state.accounts.user_by_session(token) if token else None
    if token is None or user is None:
        raise RequestError(401, "expected a name and its password, found no such pair")
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, token, max_age=30 * 86_400, httponly=True, samesite="strict", secure=secure, path="/"
    )
    return m.UserOut(name=user.name, admin=user.admin)


@router.put("/password")
def change_password(
    request: Request, state: State, user: SessionUser, body: m.NewPassword, response: Response
) -> m.UserOut:
    """Change my password; ends my other sessions."""
    if user.name == LOCAL_USER:
        raise RequestError(403, "expected a user; without users there is no password (`segue user add NAME`)")
    state.login_limit.consume(f"as {user.name}")
    if not state.accounts.check_password(user.name, body.old):
        raise RequestError(403, "expected your current password, found another")
    try:
        state.accounts.set_password(user.name, body.new)
    except InputError as error:
        raise RequestError(422, str(error)) from error
    return _start_session(request, state, response, user.name, body.new)


@router.post("/logout", status_code=204)
def logout(
    state: State,
    response: Response,
    segue_session: Annotated[str | None, Cookie(include_in_schema=False)] = None,
) -> None:
    """End this session."""
    if segue_session:
        state.accounts.logout(segue_session)
    response.delete_cookie(COOKIE, path="/")


@router.get("/app-passwords")
def app_passwords(state: State, user: SessionUser) -> list[m.AppPasswordOut]:
    """My app passwords, without the secrets."""
    return [
        m.AppPasswordOut(id=p.password_id, label=p.label, created=p.created)
        for p in state.accounts.app_passwords(user.name)
    ]


@router.post("/app-passwords", status_code=201)
def create_app_password(state: State, user: SessionUser, body: m.NewAppPassword) -> m.AppPasswordOut:
    """Create an app password for one client; it is also the client's API key and token."""
    if len(state.accounts.app_passwords(user.name)) >= 50:
        raise RequestError(403, "expected at most 50 app passwords; revoke one first")
    made = state.accounts.add_app_password(user.name, body.label)
    return m.AppPasswordOut(id=made.password_id, label=made.label, created=made.created, secret=made.secret)


@router.delete("/app-passwords/{password_id}", status_code=204)
def revoke_app_password(state: State, user: SessionUser, password_id: m.Id) -> None:
    """Revoke an app password."""
    if not state.accounts.remove_app_password(user.name, password_id):
        raise RequestError(404, "expected the id of an app password of yours")


@router.get("/users")
def users(state: State, _: AdminUser) -> list[m.UserOut]:
    """All users; for admins."""
    return [m.UserOut(name=name, admin=is_admin) for name, is_admin in state.accounts.list_users()]


@router.post("/users", status_code=201)
def add_user(state: State, _: AdminUser, body: m.NewUser) -> m.UserOut:
    """Add a user; for admins."""
    try:
        state.accounts.add(body.name, body.password, admin=body.admin)
    except InputError as error:
        raise RequestError(422, str(error)) from error
    return m.UserOut(name=body.name, admin=body.admin)


@router.delete("/users/{name}", status_code=204)
def remove_user(state: State, user: AdminUser, name: m.Id) -> None:
    """Remove a user; for admins, who cannot remove themselves."""
    if name == user.name:
        raise RequestError(403, "expected another user than yourself")
    try:
        state.accounts.remove(name)
    except InputError as error:
        raise RequestError(404, str(error)) from error
