"""Bookmarks: the play queue that a user continues with on another client."""

from typing import Any

from serving.subsonic.protocol import MISSING, Answer, SubsonicError, SubsonicRequest, method

# Limit of a position within a track: one day.
_MAX_POSITION_MS = 86_400_000


@method("savePlayQueue")
def _save_play_queue(request: SubsonicRequest) -> Answer:
    tracks = request.known_track_ids(request.query.all("id"))
    current = request.query.text("current", "") or None
    if current is not None and current not in tracks:
        raise SubsonicError(MISSING, "current: expected one of the ids, found another")
    position_ms = request.query.number("position", 0, _MAX_POSITION_MS)
    client = request.query.text("c", "")[:80]
    request.state.playlists.save_queue(request.user.name, tracks, current, position_ms, client)
    return {}


@method("getPlayQueue")
def _get_play_queue(request: SubsonicRequest) -> Answer:
    queue = request.state.playlists.load_queue(request.user.name)
    if queue is None:
        return {}
    answer: dict[str, Any] = {
        "username": request.user.name,
        "changed": queue.changed,
        "changedBy": queue.client,
        "entry": request.library.songs(request.state.catalog.by_ids(queue.tracks)),
    }
    if queue.current in request.state.catalog.by_id:
        answer |= {"current": queue.current, "position": queue.position_ms}
    return {"playQueue": answer}
