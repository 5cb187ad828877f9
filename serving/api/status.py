"""How it is: for the page at its start, for who watches, for Prometheus."""

from fastapi import APIRouter, Request, Response

from serving import schemas as m
from serving.api.dependencies import House_, Me
from serving.app_state import House
from serving.db.accounts import LOCAL
from serving.middleware import Refused

router = APIRouter()


@router.get("/state")
def state(at: House_, me: Me) -> m.State:
    """Who is listening, and what there is."""
    return m.State(
        user=me.name,
        admin=me.admin,
        users=me.name != LOCAL,
        mongo=at.projection.online,
        waiting=at.producer.waiting,
        tracks=len(at.catalog.tracks),
        model_version=at.projection.champion(),
        genres=[m.Named(name=name, tracks=count) for name, count in at.catalog.genres[:60]],
        moods=list(m.MOODS),
    )


@router.get("/health")
def health(request: Request) -> m.Health:
    """Whether tracks can be played, and what is away; needs no login."""
    at: House = request.app.state.house
    return m.Health(
        ok=bool(at.catalog.tracks),
        tracks=len(at.catalog.tracks),
        mongo=at.projection.online,
        kafka=not at.producer.waiting,
        waiting=at.producer.waiting,
    )


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
def metrics(at: House_, me: Me) -> Response:
    """Counts in Prometheus' format; for admins, and for who sits at this machine where there are no users."""
    if not me.admin and me.name != LOCAL:
        raise Refused(403, "expected an admin")
    return Response(at.metrics(), media_type="text/plain; version=0.0.4")
