"""What comes next: recommendations, also as they change, the curated list, radio."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from serving import schemas as m
from serving.api.dependencies import COOKIE, CurrentUser, State
from serving.catalog import normalize_text
from serving.event_stream import sse_event
from serving.middleware import RequestError
from serving.online_store import revision

router = APIRouter()


@router.get("/recommendations", response_model=m.Recommendations)
async def recommendations(at: State, me: CurrentUser) -> Response:
    """What to play next, each with its reason; the curated list for who has not played anything."""
    fresh, _ = at.online_store.cached("recommendations", me.name)
    found = at.recommendations(me.name) if fresh else await run_sync(at.recommendations, me.name)
    return Response(found.model_dump_json(), media_type="application/json")


@router.get("/curated")
def default_list(at: State, me: CurrentUser) -> m.Recommendations:
    """The list that greets everyone."""
    return at.default_list(me.name)


@router.post("/radio")
def radio(at: State, me: CurrentUser, wanted: m.RadioRequest) -> m.Tracks:
    """The next tracks of a radio. Nothing is kept here: send what has been played, and it goes on without a repeat."""
    catalog = at.catalog
    seeds = [s for s in (wanted.track_id, wanted.artist_id, wanted.genre, wanted.mood) if s is not None]
    if len(seeds) != 1:
        raise RequestError(422, f"expected one of track_id, artist_id, genre, mood, found {len(seeds)}")
    if wanted.track_id is not None:
        start = [at.track(wanted.track_id)]
    elif wanted.artist_id is not None:
        start = [t for each in catalog.artists.get(wanted.artist_id, ()) for t in each.tracks]
    elif wanted.genre is not None:
        start = [
            t
            for t in catalog.tracks
            if normalize_text(wanted.genre) in (normalize_text(name) for name in (t.genre, *t.genres))
        ]
    else:
        start = catalog.by_ids(at.radio.mood_tracks(wanted.mood or ""))
    if not start:
        raise RequestError(404, "expected something to start from, found no such track")
    ratings = at.feedback.ratings(me.name)
    disliked, artists = at.exclusions(me.name, ratings)
    never = disliked | {t.track_id for t in catalog.tracks if t.artist in artists} if artists else disliked
    champion = at.online_store.champion()
    found = at.radio.next_tracks(
        catalog, champion, start, wanted.played, never, wanted.count, salt=wanted.salt
    )
    return m.Tracks(total=len(found), items=at.to_track_out(found, ratings))


@router.get(
    "/live", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}}
)
async def event_stream(
    request: Request,
    at: State,
    me: CurrentUser,
    last_event_id: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> StreamingResponse:
    """Server-sent events: `recommendations` when they change, `state` when MongoDB comes or goes, `collection`."""
    assert at.hub is not None
    first = [sse_event("state", {"mongo": at.online_store.online})]
    document = await run_sync(at.online_store.read, "recommendations", me.name)
    seen = revision(document) if document else None
    if document and seen != last_event_id:
        first.append(
            sse_event("recommendations", at.to_recommendations(me.name, document).model_dump(), seen)
        )

    def allowed() -> bool:
        try:
            cookie, authorization = request.cookies.get(COOKIE), request.headers.get("authorization")
            return at.authenticate(cookie=cookie, authorization=authorization) == me
        except RequestError:
            return False

    stream = at.hub.stream(
        me.name,
        first,
        seen=seen,
        allowed=allowed,
        opened=lambda: at.online_store.subscribe(me.name, seen),
        closed=lambda: at.online_store.unsubscribe(me.name),
    )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
