"""ListenBrainz' submit-listens.

Players that report to ListenBrainz report here, with an app password as user token.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response

from jobs.lake.schemas import TRACKS
from jobs.plays import track_matching
from jobs.plays.events import event_id
from jobs.plays.history_rows import listenbrainz_mbids
from jobs.plays.listen_times import parse_time
from jobs.plays.track_matching import TrackMatcher
from serving.app_state import AppState
from serving.catalog import Catalog, Track
from serving.db.accounts import User
from serving.problems import RequestError

# The event of each listen type.
_EVENTS = {"single": "finished", "import": "finished", "playing_now": "started"}

_MAX_LISTENS = 1_000

router = APIRouter(prefix="/1", include_in_schema=False)

TokenHeader = Annotated[str | None, Header()]


@router.get("/validate-token")
def validate_token(
    request: Request, authorization: TokenHeader = None, token: str | None = None
) -> dict[str, Any]:
    """Return the user of a token."""
    state: AppState = request.app.state.app_state
    try:
        user = state.authenticate(cookie=None, authorization=authorization or f"Token {token}")
    except RequestError:
        return {"code": 200, "message": "Token invalid.", "valid": False}
    return {"code": 200, "message": "Token valid.", "valid": True, "user_name": user.name}


@router.post("/submit-listens")
async def submit_listens(request: Request, authorization: TokenHeader = None) -> Response:
    """Accept listens; those of tracks that the collection lacks are counted and left out."""
    state: AppState = request.app.state.app_state
    user = state.authenticate(cookie=None, authorization=authorization or "Token")
    try:
        body = await request.json()
    except (ValueError, RecursionError):
        raise RequestError(400, "body: expected JSON, found something else") from None
    taken, unknown = await run_sync(_accept, request, user, body)
    return JSONResponse({"status": "ok", "taken": taken, "unknown": unknown})


def _accept(request: Request, user: User, body: Any) -> tuple[int, int]:
    """Accept all listens of a body; return how many, and how many match no track.

    Raises RequestError, then none is.
    """
    state: AppState = request.app.state.app_state
    listen_type = body.get("listen_type") if isinstance(body, dict) else None
    listens = body.get("payload") if isinstance(body, dict) else None
    if listen_type not in _EVENTS or not isinstance(listens, list) or not 1 <= len(listens) <= _MAX_LISTENS:
        raise RequestError(
            400,
            f"expected listen_type (one of {', '.join(_EVENTS)}) and payload, "
            f"a list of 1 to {_MAX_LISTENS} listens",
        )
    state.event_limit.consume(user.name, min(len(listens), state.event_limit.burst))
    catalog = state.catalog
    matcher = _track_matcher(request, catalog)
    # All are validated before the first is accepted, so that a refused request has changed nothing.
    events = []
    for listen in listens:
        track_id = _match(matcher, listen)
        if track_id in catalog.by_id:  # a track without audio matches, so that an import matches the same
            events.append(_event_fields(user, listen_type, catalog.by_id[track_id], listen))
    for event in events:
        state.accept_play(user, event, is_limited=False)
    return len(events), len(listens) - len(events)


def _track_matcher(request: Request, catalog: Catalog) -> TrackMatcher:
    """Return the matcher of the catalog's tracks; it is built once for each version of the catalog."""
    matched_catalog, matcher = getattr(request.app.state, "track_matcher", (None, None))
    if matcher is None or matched_catalog is not catalog:
        rows = request.app.state.app_state.lake.read_arrow(TRACKS, *track_matching.COLUMNS).to_pylist()
        matcher = TrackMatcher(rows)
        request.app.state.track_matcher = (catalog, matcher)
    return matcher


def _match(matcher: TrackMatcher, listen: Any) -> str | None:
    """Return the id of the track that a listen names, or None. Raises RequestError if it names none."""
    names = listen.get("track_metadata") if isinstance(listen, dict) else None
    if not isinstance(names, dict):
        names = {}
    artist = names.get("artist_name")
    title = names.get("track_name")
    if not isinstance(artist, str) or not isinstance(title, str):
        raise RequestError(400, "track_metadata: expected artist_name and track_name, found something else")
    return matcher.match(
        artist,
        title,
        album=str(names.get("release_name") or ""),
        mbids=listenbrainz_mbids(names),
    )


def _event_fields(user: User, listen_type: str, track: Track, listen: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a listen's event.

    The same listen from another service or an import has the same event_id.
    """
    fields: dict[str, Any] = {"track_id": track.track_id, "event": _EVENTS[listen_type]}
    if listen_type != "playing_now":
        started_at = _listened_at(listen)
        fields["position_s"] = track.duration_s
        fields["played_at"] = started_at
        fields["event_id"] = event_id(user.name, started_at, track.track_id)
    return fields


def _listened_at(listen: Mapping[str, Any]) -> datetime:
    seconds = listen.get("listened_at")
    try:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ValueError(f"expected seconds since 1970, found {ascii(seconds)[:40]}")
        return parse_time(seconds, datetime.now(UTC))
    except ValueError as error:
        raise RequestError(400, f"listened_at: {error}") from None
