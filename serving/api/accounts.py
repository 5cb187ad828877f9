"""Login, app passwords, users."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Request, Response

from jobs.errors import InputError
from serving import schemas as m
from serving.api.dependencies import COOKIE, AdminUser, SessionUser, State
from serving.app_state import AppState
from serving.db.accounts import LOCAL_USER
from serving.middleware import RequestError

router = APIRouter()


@router.post("/login")
def login(request: Request, at: State, given: m.Login, response: Response) -> m.UserOut:
    """Begin a session: a cookie that no script can read."""
    client = request.client.host if request.client else ""
    for key in (f"from {client}", f"as {given.name}"):
        at.login_limit.consume(key)
    return _begin(request, at, response, given.name, given.password)


def _begin(request: Request, at: AppState, response: Response, name: str, password: str) -> m.UserOut:
    token = at.accounts.login(name, password)
    user = at.accounts.user_by_session(token) if token else None
    if token is None or user is None:
        raise RequestError(401, "expected a name and its password, found no such pair")
    secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, token, max_age=30 * 86_400, httponly=True, samesite="strict", secure=secure, path="/"
    )
    return m.UserOut(name=user.name, admin=user.admin)


@router.put("/password")
def change_password(
    request: Request, at: State, me: SessionUser, given: m.NewPassword, response: Response
) -> m.UserOut:
    """Give myself another password: every other session of mine ends."""
    if me.name == LOCAL_USER:
        raise RequestError(403, "expected a user; without users there is no password (`segue user add NAME`)")
    at.login_limit.consume(f"as {me.name}")
    if not at.accounts.check_password(me.name, given.old):
        raise RequestError(403, "expected your present password, found another")
    try:
        at.accounts.set_password(me.name, given.new)
    except InputError as error:
        raise RequestError(422, str(error)) from error
    return _begin(request, at, response, me.name, given.new)


@router.post("/logout", status_code=204)
def logout(
    at: State,
    response: Response,
    segue_session: Annotated[str | None, Cookie(include_in_schema=False)] = None,
) -> None:
    """End this session."""
    if segue_session:
        at.accounts.logout(segue_session)
    response.delete_cookie(COOKIE, path="/")


@router.get("/clients")
def app_passwords(at: State, me: SessionUser) -> list[m.AppPasswordOut]:
    """My app passwords, without the secrets."""
    return [
        m.AppPasswordOut(id=c.client_id, label=c.label, created=c.created)
        for c in at.accounts.app_passwords(me.name)
    ]


@router.post("/clients", status_code=201)
def create_app_password(at: State, me: SessionUser, given: m.NewAppPassword) -> m.AppPasswordOut:
    """Make an app password for one client; it is also that client's API key and token."""
    if len(at.accounts.app_passwords(me.name)) >= 50:
        raise RequestError(403, "expected at most 50 app passwords; take one back first")
    made = at.accounts.add_app_password(me.name, given.label)
    return m.AppPasswordOut(id=made.client_id, label=made.label, created=made.created, secret=made.secret)


@router.delete("/clients/{client_id}", status_code=204)
def revoke_app_password(at: State, me: SessionUser, client_id: m.Id) -> None:
    """Take an app password back."""
    if not at.accounts.remove_app_password(me.name, client_id):
        raise RequestError(404, "expected the id of an app password of yours")


@router.get("/users")
def users(at: State, _: AdminUser) -> list[m.UserOut]:
    """All users; for admins."""
    return [m.UserOut(name=name, admin=is_admin) for name, is_admin in at.accounts.list_users()]


@router.post("/users", status_code=201)
def add_user(at: State, _: AdminUser, given: m.NewUser) -> m.UserOut:
    """Add a user; for admins."""
    try:
        at.accounts.add(given.name, given.password, admin=given.admin)
    except InputError as error:
        raise RequestError(422, str(error)) from error
    return m.UserOut(name=given.name, admin=given.admin)


@router.delete("/users/{name}", status_code=204)
def remove_user(at: State, me: AdminUser, name: m.Id) -> None:
    """Remove a user; for admins, who cannot remove themselves."""
    if name == me.name:
        raise RequestError(403, "expected another user than yourself")
    try:
        at.accounts.remove(name)
    except InputError as error:
        raise RequestError(404, str(error)) from error
