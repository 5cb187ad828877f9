"""Recommendations, also as server-sent events; the default list; radio."""

from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from serving import schemas as m
from serving.api.dependencies import COOKIE, CurrentUser, State
from serving.app_state import AppState
from serving.catalog import Track
from serving.event_stream import sse_event
from serving.online_store import revision
from serving.problems import RequestError
from serving.radio import RadioQuery
from serving.recommendations import (
    default_list,
    exclusions,
    is_blocked,
    recommendations_of,
    to_recommendations,
    tracks_out,
)

router = APIRouter()


@router.get("/recommendations", response_model=m.Recommendations)
async def recommendations(state: State, user: CurrentUser) -> Response:
    """What to play next, with reasons; the default list for a user without plays."""
    is_fresh, _ = state.online_store.cached("recommendations", user.name)
    if is_fresh:
        found = recommendations_of(state, user.name)
    else:
        found = await run_sync(recommendations_of, state, user.name)
    return Response(found.model_dump_json(), media_type="application/json")


@router.get("/recommendations/default")
def get_default_list(state: State, user: CurrentUser) -> m.Recommendations:
    """The list for a user without plays."""
    return default_list(state, user.name)


@router.post("/radio")
def radio(state: State, user: CurrentUser, body: m.RadioRequest) -> m.Tracks:
    """The next tracks of a radio. Stateless: send what has been played, and nothing repeats."""
    catalog = state.catalog
    seeds = _resolve_seeds(state, body)
    ratings = state.feedback.ratings(user.name)
    disliked, blocked_artists = exclusions(state, user.name, ratings)
    blocked = {track.track_id for track in catalog.tracks if is_blocked(track, blocked_artists)}
    query = RadioQuery(
        seeds=seeds, played=body.played, excluded=disliked | blocked, count=body.count, salt=body.salt
    )
    tracks = state.radio.next_tracks(catalog, state.online_store.champion(), query)
    return m.Tracks(total=len(tracks), items=tracks_out(tracks, ratings))


def _resolve_seeds(state: AppState, body: m.RadioRequest) -> list[Track]:
    """Return the tracks a radio starts from.

    Raises RequestError 404 for none, 422 for several kinds of seed.
    """
    catalog = state.catalog
    kinds = ("track_id", "album_id", "artist_id", "genre", "mood")
    given = [name for name in kinds if getattr(body, name) is not None]
    if len(given) != 1:
        raise RequestError(422, f"expected one of {', '.join(kinds)}, found {len(given)}")
    if body.track_id is not None:
        return [state.track(body.track_id)]
    if body.album_id is not None:
        album = catalog.albums.get(body.album_id)
        seeds = list(album.tracks) if album else []
    elif body.artist_id is not None:
        seeds = catalog.artist_tracks(body.artist_id)
    elif body.genre is not None:
        seeds = catalog.by_genre(body.genre)
    else:
        seeds = catalog.by_ids(state.radio.mood_tracks(body.mood or ""))
    if not seeds:
        raise RequestError(404, f"expected a seed with tracks, found none of that {given[0]}")
    return seeds


@router.get(
    "/events/stream",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def event_stream(
    request: Request,
    state: State,
    user: CurrentUser,
    last_event_id: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> StreamingResponse:
    """Server-sent events: `recommendations` and `collection` when they change, `state` of MongoDB."""
    assert state.event_hub is not None
    first_messages = [sse_event("state", {"mongo": state.online_store.online})]
    document = await run_sync(state.online_store.read, "recommendations", user.name)
    current = revision(document) if document else None
    if document and current != last_event_id:
        first_messages.append(
            sse_event("recommendations", to_recommendations(state, user.name, document).model_dump(), current)
        )

    def is_allowed() -> bool:
        try:
            cookie, authorization = request.cookies.get(COOKIE), request.headers.get("authorization")
            return state.authenticate(cookie=cookie, authorization=authorization) == user
        except RequestError:
            return False

    stream = state.event_hub.stream(
        user.name,
        first_messages,
        last_event_id=current,
        is_allowed=is_allowed,
        on_open=lambda: state.online_store.subscribe(user.name, current),
        on_close=lambda: state.online_store.unsubscribe(user.name),
    )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
