"""Login, app passwords, users."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Request, Response

from jobs.errors import InputError
from serving import schemas as m
from serving.api.dependencies import COOKIE, Admin, House_, Owner
from serving.app_state import House
from serving.db.accounts import LOCAL
from serving.middleware import Refused

router = APIRouter()


@router.post("/login")
def login(request: Request, at: House_, given: m.Login, response: Response) -> m.UserOut:
    """Begin a session: a cookie that no script can read."""
    client = request.client.host if request.client else ""
    for key in (f"from {client}", f"as {given.name}"):
        at.login_limit.take(key)
    return _begin(request, at, response, given.name, given.password)


def _begin(request: Request, at: House, response: Response, name: str, password: str) -> m.UserOut:
    token = at.accounts.login(name, password)
    user = at.accounts.user_of(token) if token else None
    if token is None or user is None:
        raise Refused(401, "expected a name and its password, found no such pair")
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, token, max_age=30 * 86_400, httponly=True, samesite="strict", secure=secure, path="/")
    return m.UserOut(name=user.name, admin=user.admin)


@router.put("/password")
def change_password(request: Request, at: House_, me: Owner, given: m.NewPassword, response: Response) -> m.UserOut:
    """Give myself another password: every other session of mine ends."""
    if me.name == LOCAL:
        raise Refused(403, "expected a user; without users there is no password (`segue user add NAME`)")
    at.login_limit.take(f"as {me.name}")
    if not at.accounts.is_password(me.name, given.old):
        raise Refused(403, "expected your present password, found another")
    try:
        at.accounts.set_password(me.name, given.new)
    except InputError as error:
        raise Refused(422, str(error)) from error
    return _begin(request, at, response, me.name, given.new)


@router.post("/logout", status_code=204)
def logout(
    at: House_, response: Response, segue_session: Annotated[str | None, Cookie(include_in_schema=False)] = None
) -> None:
    """End this session."""
    if segue_session:
        at.accounts.logout(segue_session)
    response.delete_cookie(COOKIE, path="/")


@router.get("/clients")
def clients(at: House_, me: Owner) -> list[m.ClientOut]:
    """My app passwords, without the secrets."""
    return [m.ClientOut(id=c.client_id, label=c.label, created=c.created) for c in at.accounts.clients(me.name)]


@router.post("/clients", status_code=201)
def add_client(at: House_, me: Owner, given: m.NewClient) -> m.ClientOut:
    """Make an app password for one client; it is also that client's API key and token."""
    if len(at.accounts.clients(me.name)) >= 50:
        raise Refused(403, "expected at most 50 app passwords; take one back first")
    made = at.accounts.add_client(me.name, given.label)
    return m.ClientOut(id=made.client_id, label=made.label, created=made.created, secret=made.secret)


@router.delete("/clients/{client_id}", status_code=204)
def remove_client(at: House_, me: Owner, client_id: m.Id) -> None:
    """Take an app password back."""
    if not at.accounts.remove_client(me.name, client_id):
        raise Refused(404, "expected the id of an app password of yours")


@router.get("/users")
def users(at: House_, _: Admin) -> list[m.UserOut]:
    """All users; for admins."""
    return [m.UserOut(name=name, admin=is_admin) for name, is_admin in at.accounts.names()]


@router.post("/users", status_code=201)
def add_user(at: House_, _: Admin, given: m.NewUser) -> m.UserOut:
    """Add a user; for admins."""
    try:
        at.accounts.add(given.name, given.password, admin=given.admin)
    except InputError as error:
        raise Refused(422, str(error)) from error
    return m.UserOut(name=given.name, admin=given.admin)


@router.delete("/users/{name}", status_code=204)
def remove_user(at: House_, me: Admin, name: m.Id) -> None:
    """Remove a user; for admins, who cannot remove themselves."""
    if name == me.name:
        raise Refused(403, "expected another user than yourself")
    try:
        at.accounts.remove(name)
    except InputError as error:
        raise Refused(404, str(error)) from error
