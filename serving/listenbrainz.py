"""ListenBrainz' submit-listens: players that report there report here, each with an app password as its user token."""

import hashlib
from datetime import UTC, datetime
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response

from jobs.plays.events import MAX_CLOCK_SKEW
from serving.app_state import AppState
from serving.catalog import Catalog, Track, normalize_text
from serving.db.accounts import User
from serving.middleware import RequestError

_KINDS = {"single": "finished", "import": "finished", "playing_now": "started"}
_MOST = 1_000

router = APIRouter(prefix="/1", include_in_schema=False)

TokenHeader = Annotated[str | None, Header()]


@router.get("/validate-token")
def validate_token(
    request: Request, authorization: TokenHeader = None, token: str | None = None
) -> dict[str, Any]:
    """Say whose token it is."""
    house: AppState = request.app.state.app_state
    try:
        user = house.authenticate(cookie=None, authorization=authorization or f"Token {token}")
    except RequestError:
        return {"code": 200, "message": "Token invalid.", "valid": False}
    return {"code": 200, "message": "Token valid.", "valid": True, "user_name": user.name}


@router.post("/submit-listens")
async def submit_listens(request: Request, authorization: TokenHeader = None) -> Response:
    """Take listens; those of tracks that the collection does not have are counted and left out."""
    house: AppState = request.app.state.app_state
    user = house.authenticate(cookie=None, authorization=authorization or "Token")
    try:
        given = await request.json()
    except (ValueError, RecursionError):
        raise RequestError(400, "body: expected JSON, found something else") from None
    taken, unknown = await run_sync(_take, house, user, given)
    return JSONResponse({"status": "ok", "taken": taken, "unknown": unknown})


def _take(house: AppState, user: User, given: Any) -> tuple[int, int]:
    kind = given.get("listen_type") if isinstance(given, dict) else None
    listens = given.get("payload") if isinstance(given, dict) else None
    if kind not in _KINDS or not isinstance(listens, list) or not 1 <= len(listens) <= _MOST:
        raise RequestError(
            400,
            f"expected listen_type (one of {', '.join(_KINDS)}) and payload, a list of 1 to {_MOST} listens",
        )
    house.event_limit.consume(user.name, min(len(listens), house.event_limit.burst))
    matched = [(_match(house.catalog, listen), listen) for listen in listens]
    # All are looked at before the first is taken: what is refused has changed nothing.
    events = [_event(user, kind, track, listen) for track, listen in matched if track is not None]
    for event in events:
        house.accept_play(user, event, count=False)
    return len(events), len(listens) - len(events)


def _event(user: User, kind: str, track: Track, listen: dict[str, Any]) -> dict[str, Any]:
    event: dict[str, Any] = {"track_id": track.track_id, "event": _KINDS[kind]}
    if kind != "playing_now":
        event |= {"position_s": track.duration_s, "played_at": _time(listen), "event_id": _id(user, listen)}
    return event


def _time(listen: dict[str, Any]) -> str:
    given = listen.get("listened_at")
    try:
        if not isinstance(given, int) or isinstance(given, bool):
            raise ValueError
        at = datetime.fromtimestamp(given, UTC)
        if at > datetime.now(UTC) + MAX_CLOCK_SKEW:
            raise ValueError
    except (ValueError, OverflowError, OSError):
        raise RequestError(
            400, f"listened_at: expected seconds since 1970, not to come, found {ascii(given)[:40]}"
        ) from None
    return at.isoformat()


def _id(user: User, listen: dict[str, Any]) -> str:
    """The same listen sent again is the same event: ListenBrainz' own key is user, time and track."""
    names = listen.get("track_metadata") or {}
    text = "\0".join(
        map(str, (user.name, listen.get("listened_at"), names.get("artist_name"), names.get("track_name")))
    )
    return "lb-" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def _match(catalog: Catalog, listen: Any) -> Track | None:
    """Return the track of these names: the artist's and the title, the album's where several have both."""
    names = listen.get("track_metadata") if isinstance(listen, dict) else None
    if not isinstance(names, dict) or not all(
        isinstance(names.get(n), str) for n in ("artist_name", "track_name")
    ):
        raise RequestError(400, "track_metadata: expected artist_name and track_name, found something else")
    artist, title, album = (
        normalize_text(str(names.get(n) or "")[:300]) for n in ("artist_name", "track_name", "release_name")
    )
    found = [
        t
        for t in catalog.search(f"{title} {artist}")
        if (normalize_text(t.title), normalize_text(t.artist)) == (title, artist)
    ]
    return next(
        (track for track in found if normalize_text(track.album) == album), found[0] if found else None
    )
