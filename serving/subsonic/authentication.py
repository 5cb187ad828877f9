"""Authentication by app password: as Subsonic's token (MD5 of password and salt), plain, or as an API key."""

import hashlib
import hmac

from fastapi import Request

from serving.app_state import AppState
from serving.db.accounts import LOCAL_USER, AppPassword, User
from serving.subsonic.protocol import CONFLICTING, INVALID_API_KEY, WRONG_CREDENTIALS, Query, SubsonicError


def authenticate(state: AppState, query: Query, request: Request) -> User:
    """Return the user of a request. Failed logins are rate limited.

    Raises SubsonicError for wrong credentials.
    """
    client = request.client.host if request.client else ""
    key = query.text("apiKey", "")
    if key:
        if query.text("u", ""):
            raise SubsonicError(CONFLICTING, "expected an API key without a user name, found both")
        user = state.accounts.user_by_app_password(key)
        if user is None:
            state.login_limit.consume(f"from {client}")
            raise SubsonicError(
                INVALID_API_KEY, "expected a valid API key (made on the page, in Settings), found another"
            )
        return user
    name = query.text("u")
    token, salt, password = query.text("t", ""), query.text("s", ""), query.text("p", "")
    if password.startswith("enc:"):
        try:
            password = bytes.fromhex(password[4:]).decode()
        except ValueError:
            password = ""
    for app_password in _app_passwords(state, name):
        expected = hashlib.md5(
            (app_password.secret + salt).encode("utf-8", "replace"), usedforsecurity=False
        ).hexdigest()
        provided, required = (token.lower(), expected) if token else (password, app_password.secret)
        if hmac.compare_digest(provided.encode("utf-8", "replace"), required.encode()):
            found = state.accounts.user_by_app_password(app_password.secret)
            if found is not None:
                return found
    state.login_limit.consume(f"from {client}")
    raise SubsonicError(
        WRONG_CREDENTIALS,
        "expected a user's name and an app password of the user's (made on the page, in Settings)",
    )


def _app_passwords(state: AppState, name: str) -> list[AppPassword]:
    """Return a user's app passwords; case, which telephones change, only tells two users apart."""
    found = state.accounts.app_passwords(name)
    if found:
        return found
    names = [LOCAL_USER, *(user for user, _ in state.accounts.list_users())]
    same = {each for each in names if each.casefold() == name.casefold()}
    return state.accounts.app_passwords(same.pop()) if len(same) == 1 else []
