"""How it is: for the page at its start, for who watches, for Prometheus."""

from fastapi import APIRouter, Request, Response

from serving import schemas as m
from serving.api.dependencies import CurrentUser, State
from serving.app_state import AppState
from serving.db.accounts import LOCAL_USER
from serving.middleware import RequestError

router = APIRouter()


@router.get("/state")
def state(at: State, me: CurrentUser) -> m.State:
    """Who is listening, and what there is."""
    return m.State(
        user=me.name,
        admin=me.admin,
        users=me.name != LOCAL_USER,
        mongo=at.online_store.online,
        waiting=at.producer.pending,
        tracks=len(at.catalog.tracks),
        model_version=at.online_store.champion(),
        genres=[m.NamedCount(name=name, tracks=count) for name, count in at.catalog.genres[:60]],
        moods=list(m.MOODS),
    )


@router.get("/health")
def health(request: Request) -> m.Health:
    """Whether tracks can be played, and what is away; needs no login."""
    at: AppState = request.app.state.app_state
    return m.Health(
        ok=bool(at.catalog.tracks),
        tracks=len(at.catalog.tracks),
        mongo=at.online_store.online,
        kafka=not at.producer.pending,
        waiting=at.producer.pending,
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(at: State, me: CurrentUser) -> Response:
    """Counts in Prometheus' format; for admins, and for who sits at this machine where there are no users."""
    if not me.admin and me.name != LOCAL_USER:
        raise RequestError(403, "expected an admin")
    return Response(at.metrics(), media_type="text/plain; version=0.0.4")
