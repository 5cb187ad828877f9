"""Forwarding of my plays to ListenBrainz."""

from fastapi import APIRouter

from serving import schemas as m
from serving.api.dependencies import SessionUser, State
from serving.app_state import AppState

router = APIRouter(prefix="/forwarding/listenbrainz")


@router.get("")
def forwarding(state: State, user: SessionUser) -> m.ForwardingOut:
    """Whether my plays are forwarded, and what waits; the token is never returned."""
    return _answer(state, user.name)


@router.put("")
def start_forwarding(state: State, user: SessionUser, body: m.ForwardingToken) -> m.ForwardingOut:
    """Forward the plays that I finish from now on, with my user token of ListenBrainz."""
    state.forwarding.set_token(user.name, body.token)
    return _answer(state, user.name)


@router.delete("", status_code=204)
def stop_forwarding(state: State, user: SessionUser) -> None:
    """Forward nothing any more; what waits is forgotten."""
    state.forwarding.remove(user.name)


def _answer(state: AppState, name: str) -> m.ForwardingOut:
    status = state.forwarding.status(name)
    if status is None:
        return m.ForwardingOut(enabled=False, pending=0, refused=0, last_error="")
    return m.ForwardingOut(
        enabled=True, pending=status.pending, refused=status.refused, last_error=status.last_error
    )
