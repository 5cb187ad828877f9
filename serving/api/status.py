"""State for the page, health, Prometheus metrics."""

from typing import get_args

from fastapi import APIRouter, Depends, Request, Response

from serving import schemas as m
from serving.api.dependencies import CurrentUser, State, metrics_reader
from serving.app_state import AppState
from serving.db.accounts import LOCAL_USER

router = APIRouter()


@router.get("/state")
def get_state(state: State, user: CurrentUser) -> m.State:
    """The user, and a summary of the collection."""
    return m.State(
        user=user.name,
        admin=user.admin,
        users=user.name != LOCAL_USER,
        mongo=state.online_store.online,
        waiting=state.producer.pending,
        tracks=len(state.catalog.tracks),
        model_version=state.online_store.champion(),
        genres=[m.NamedCount(name=name, tracks=count) for name, count in state.catalog.genres[:60]],
        moods=list(get_args(m.Mood)),
    )


@router.get("/health")
def health(request: Request) -> m.Health:
    """Whether tracks can be played, and which parts are available; needs no login."""
    state: AppState = request.app.state.app_state
    return m.Health(
        ok=bool(state.catalog.tracks),
        tracks=len(state.catalog.tracks),
        mongo=state.online_store.online,
        kafka=not state.producer.pending,
        waiting=state.producer.pending,
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}}},
    dependencies=[Depends(metrics_reader)],
)
def metrics(state: State) -> Response:
    """Prometheus metrics; for SEGUE_METRICS_TOKEN, admins, and this machine while there are no users."""
    return Response(state.metrics.exposition(), media_type="text/plain; version=0.0.4")
