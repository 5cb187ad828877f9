"""Forwarding of my plays to ListenBrainz and Last.fm."""

import requests
from fastapi import APIRouter

from serving import schemas as m
from serving.api.dependencies import SessionUser, State
from serving.app_state import AppState
from serving.db.forwarding import Destination
from serving.lastfm_service import EXPIRED_TOKEN, UNAUTHORIZED_TOKEN, LastFmError
from serving.problems import RequestError

router = APIRouter(prefix="/forwarding")

# What a login token of Last.fm's that opens no session means.
_LOGIN_ERRORS = {
    UNAUTHORIZED_TOKEN: "expected that you allow it on Last.fm's page first",
    EXPIRED_TOKEN: "expected a login within an hour, found it expired: begin again",
}


@router.get("/{service}")
def forwarding(state: State, user: SessionUser, service: m.ForwardingService) -> m.ForwardingOut:
    """Whether my plays are forwarded, and what waits; the token is never returned."""
    return _answer(state, Destination(user.name, service))


@router.put("/listenbrainz")
def start_listenbrainz(state: State, user: SessionUser, body: m.ForwardingToken) -> m.ForwardingOut:
    """Forward the plays that I finish from now on, with my user token of ListenBrainz."""
    to = Destination(user.name, "listenbrainz")
    state.forwarding.set_token(to, body.token)
    return _answer(state, to)


@router.post("/lastfm/login")
def begin_lastfm_login(state: State, user: SessionUser) -> m.LastFmLogin:
    """Begin a login at Last.fm: I open `url`, allow it, and send `token` back within an hour."""
    _check_lastfm(state)
    try:
        token, url = state.lastfm.login_page()
    except (LastFmError, requests.RequestException) as error:
        raise _unavailable(error) from error
    return m.LastFmLogin(token=token, url=url)


@router.put("/lastfm")
def start_lastfm(state: State, user: SessionUser, body: m.ForwardingToken) -> m.ForwardingOut:
    """Forward the plays that I finish from now on, with a login token that I have allowed at Last.fm."""
    _check_lastfm(state)
    try:
        key = state.lastfm.session_key(body.token)
    except (LastFmError, requests.RequestException) as error:
        reason = _LOGIN_ERRORS.get(getattr(error, "code", 0))
        raise RequestError(409, reason) if reason else _unavailable(error) from error
    to = Destination(user.name, "lastfm")
    state.forwarding.set_token(to, key)
    return _answer(state, to)


@router.delete("/{service}", status_code=204)
def stop_forwarding(state: State, user: SessionUser, service: m.ForwardingService) -> None:
    """Forward nothing any more; what waits is forgotten."""
    state.forwarding.remove(Destination(user.name, service))


def _check_lastfm(state: AppState) -> None:
    if not state.lastfm.is_configured:
        raise RequestError(
            409, "expected SEGUE_LASTFM_KEY and SEGUE_LASTFM_SECRET of the operator, found none"
        )


def _unavailable(error: Exception) -> RequestError:
    detail = str(error) if isinstance(error, LastFmError) else type(error).__name__
    return RequestError(502, f"expected Last.fm to answer, found {ascii(detail)[:200]}")


def _answer(state: AppState, to: Destination) -> m.ForwardingOut:
    status = state.forwarding.status(to)
    return m.ForwardingOut(
        available=to.service != "lastfm" or state.lastfm.is_configured,
        enabled=status is not None,
        pending=status.pending if status else 0,
        refused=status.refused if status else 0,
        last_error=status.last_error if status else "",
    )
