"""ListenBrainz' API: players that report to ListenBrainz report here, with an app password as user token.

Errors have ListenBrainz' own words where clients read them.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse, Response

from jobs.plays.listen_times import parse_time
from serving.app_state import AppState
from serving.db.accounts import User
from serving.db.waiting_listens import WaitingListen
from serving.listens import Listen, count_listens, history, play_fields, recording_mbids, track_metadata
from serving.now_playing import current_plays
from serving.problems import RequestError

# ListenBrainz' own limits: listens of one request, bytes of one listen, listens of one answer.
_MAX_LISTENS, _MAX_LISTEN_BYTES, _MAX_ITEMS = 1_000, 10_240, 1_000

_TYPES = ("single", "import", "playing_now")

# By the scores of feedback.
_LIKED = {1: True, 0: None, -1: False}

router = APIRouter(prefix="/1", include_in_schema=False)

TokenHeader = Annotated[str | None, Header()]
Timestamp = Annotated[int | None, Query(ge=0, le=10**11)]


@dataclass(frozen=True)
class _Listen:
    """A validated listen; `started_at` is None while it plays."""

    names: dict[str, Any]
    started_at: datetime | None


@router.get("/validate-token/")
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


@router.post("/submit-listens/")
@router.post("/submit-listens")
async def submit_listens(request: Request, authorization: TokenHeader = None) -> Response:
    """Accept listens; those of tracks that the collection lacks wait until it has them."""
    state: AppState = request.app.state.app_state
    user = state.authenticate(cookie=None, authorization=authorization or "Token")
    body = await _json(request)
    taken, unknown = await run_sync(_accept, state, user, body)
    return JSONResponse({"status": "ok", "taken": taken, "unknown": unknown})


@router.post("/feedback/recording-feedback/")
@router.post("/feedback/recording-feedback")
async def recording_feedback(request: Request, authorization: TokenHeader = None) -> Response:
    """Like (score 1) or dislike (-1) a recording, by MusicBrainz's id; 0 takes either back."""
    state: AppState = request.app.state.app_state
    user = state.authenticate(cookie=None, authorization=authorization or "Token")
    body = await _json(request)
    mbid, score = (body.get(name) if isinstance(body, dict) else None for name in ("recording_mbid", "score"))
    if not isinstance(mbid, str) or type(score) is not int or score not in _LIKED:
        raise RequestError(400, "expected recording_mbid, and score: 1, 0 or -1")
    await run_sync(_rate, state, user, mbid, _LIKED[score])
    return JSONResponse({"status": "ok"})


def _rate(state: AppState, user: User, mbid: str, liked: bool | None) -> None:
    track = state.listen_matcher.by_mbid(state.catalog, mbid)
    if track is None:
        raise RequestError(404, f"expected a recording of the collection, found {ascii(mbid)[:60]}")
    state.set_rating(user, track.track_id, liked)


async def _json(request: Request) -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError):
        raise RequestError(400, "body: expected JSON, found something else") from None


def _accept(state: AppState, user: User, body: Any) -> tuple[int, int]:
    """Accept all listens of a body; return how many are plays now, and how many wait for their track.

    Raises RequestError, then none is.
    """
    listen_type, payload = _envelope(body)
    state.event_limit.consume(user.name, min(len(payload), state.event_limit.burst))
    # All are validated before the first is accepted, so that a refused request has changed nothing.
    listens = [_validated(listen_type, listen) for listen in payload]
    events, waiting = [], []
    for listen in listens:
        track = state.listen_matcher.match(state.catalog, listen.names)
        if listen.started_at is None:
            events += [{"track_id": track.track_id, "event": "started"}] if track else []
        elif track is not None:
            events.append(play_fields(user.name, track, listen.started_at))
        else:
            waiting.append(_waiting(user, listen.names, listen.started_at))
    state.waiting_listens.add(waiting)
    for event in events:
        state.accept_play(user, event, is_limited=False)
    return len(events), len(listens) - len(events)


def _envelope(body: Any) -> tuple[str, list[Any]]:
    """Return the type and the listens of a body. Raises RequestError (400) for another form."""
    listen_type = body.get("listen_type") if isinstance(body, dict) else None
    listens = body.get("payload") if isinstance(body, dict) else None
    if listen_type not in _TYPES or not isinstance(listens, list) or not 1 <= len(listens) <= _MAX_LISTENS:
        raise RequestError(
            400,
            f"expected listen_type (one of {', '.join(_TYPES)}) and payload, "
            f"a list of 1 to {_MAX_LISTENS} listens",
        )
    if listen_type != "import" and len(listens) > 1:
        raise RequestError(
            400, f"JSON document contains more than one listen for {listen_type}; expected one, or import"
        )
    return listen_type, listens


def _validated(listen_type: str, listen: Any) -> _Listen:
    """Return a listen that has what ListenBrainz requires of its type. Raises RequestError (400)."""
    names = listen.get("track_metadata") if isinstance(listen, dict) else None
    if not isinstance(names, dict) or not all(
        isinstance(names.get(key), str) and names[key].strip() for key in ("artist_name", "track_name")
    ):
        raise RequestError(400, "track_metadata: expected artist_name and track_name, found something else")
    size = len(repr(names).encode("utf-8", "replace"))
    if size > _MAX_LISTEN_BYTES:
        raise RequestError(400, f"expected at most {_MAX_LISTEN_BYTES} bytes of a listen, found {size}")
    if listen_type != "playing_now":
        return _Listen(names, _listened_at(listen))
    if "listened_at" in listen:
        raise RequestError(400, "JSON document should not contain listened_at while submitting playing_now.")
    return _Listen(names, None)


def _listened_at(listen: dict[str, Any]) -> datetime:
    seconds = listen.get("listened_at")
    try:
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise ValueError(f"expected seconds since 1970, found {ascii(seconds)[:40]}")
        return parse_time(seconds, datetime.now(UTC))
    except ValueError as error:
        raise RequestError(400, f"listened_at: {error}") from None


def _waiting(user: User, names: dict[str, Any], started_at: datetime) -> WaitingListen:
    seconds = int(started_at.timestamp())
    artist, title = names["artist_name"], names["track_name"]
    return WaitingListen(user.name, seconds, _utf8(artist), _utf8(title), {"track_metadata": names})


def _utf8(text: str) -> str:
    """Return a text without lone surrogates, which SQLite refuses."""
    return text.encode("utf-8", "replace").decode()


@router.get("/user/{name}/listens/")
@router.get("/user/{name}/listens")
def listens(
    request: Request,
    name: str,
    authorization: TokenHeader = None,
    count: Annotated[int, Query(ge=0)] = 25,
    max_ts: Timestamp = None,
    min_ts: Timestamp = None,
) -> dict[str, Any]:
    """Return a user's own listens, the latest first; after `min_ts`, before `max_ts` (seconds since 1970)."""
    state, user = _own(request, name, authorization)
    every = history(state, user.name)
    chosen = [
        listen
        for listen in every
        if (max_ts is None or int(listen.started_at.timestamp()) < max_ts)
        and (min_ts is None or int(listen.started_at.timestamp()) > min_ts)
    ][: min(count, _MAX_ITEMS)]
    return {
        "payload": {
            "count": len(chosen),
            "user_id": user.name,
            "latest_listen_ts": int(every[0].started_at.timestamp()) if every else 0,
            "oldest_listen_ts": int(every[-1].started_at.timestamp()) if every else 0,
            "listens": [_answer(user, listen) for listen in chosen],
        }
    }


def _answer(user: User, listen: Listen) -> dict[str, Any]:
    return {**listen.to_json(), "user_name": user.name}


@router.get("/user/{name}/listen-count/")
@router.get("/user/{name}/listen-count")
def listen_count(request: Request, name: str, authorization: TokenHeader = None) -> dict[str, Any]:
    """Return how many listens a user's history has."""
    state, user = _own(request, name, authorization)
    return {"payload": {"count": count_listens(state, user.name)}}


@router.get("/user/{name}/playing-now/")
@router.get("/user/{name}/playing-now")
def playing_now(request: Request, name: str, authorization: TokenHeader = None) -> dict[str, Any]:
    """Return what a user's client has started last, unless its end has passed."""
    state, user = _own(request, name, authorization)
    current = current_plays(state, datetime.now(UTC)).get(user.name)
    found = []
    if current is not None:
        (mbid,) = recording_mbids(state.catalog, [current.track])
        found = [{"playing_now": True, "track_metadata": track_metadata(current.track, mbid)}]
    return {"payload": {"count": len(found), "user_id": user.name, "playing_now": True, "listens": found}}


def _own(request: Request, name: str, authorization: str | None) -> tuple[AppState, User]:
    """Return the user of a token, whose name it must be. Raises RequestError 401 or 404."""
    state: AppState = request.app.state.app_state
    user = state.authenticate(cookie=None, authorization=authorization or "Token")
    if name.casefold() != user.name:
        detail = f"Cannot find user: {ascii(name)[:80]}; expected your own name: listens are private"
        raise RequestError(404, detail)
    return state, user
