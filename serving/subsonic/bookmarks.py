"""Bookmarks, and the play queue that a user continues with on another client."""

from typing import Any

from serving.subsonic.protocol import MISSING, Answer, SubsonicError, SubsonicRequest, method

# Limit of a position within a track: one day.
_MAX_POSITION_MS = 86_400_000

_MAX_PLACE = 1_000_000


@method("createBookmark")
def _create_bookmark(request: SubsonicRequest) -> Answer:
    query = request.query
    track_id = request.state.track(query.text("id")).track_id
    query.text("position")  # raises if it is missing
    position_ms = query.number("position", 0, _MAX_POSITION_MS)
    request.state.bookmarks.put(request.user.name, track_id, position_ms, query.text("comment", ""))
    return {}


@method("deleteBookmark")
def _delete_bookmark(request: SubsonicRequest) -> Answer:
    request.state.bookmarks.delete(request.user.name, request.query.text("id"))
    return {}


@method("getBookmarks")
def _get_bookmarks(request: SubsonicRequest) -> Answer:
    """The bookmarks of tracks that the collection has now."""
    by_id = request.state.catalog.by_id
    answers = [
        {
            "position": bookmark.position_ms,
            "username": request.user.name,
            "comment": bookmark.comment,
            "created": bookmark.created,
            "changed": bookmark.changed,
            "entry": request.library.song(by_id[bookmark.track_id]),
        }
        for bookmark in request.state.bookmarks.list_bookmarks(request.user.name)
        if bookmark.track_id in by_id
    ]
    return {"bookmarks": {"bookmark": answers}}


@method("savePlayQueue")
def _save_play_queue(request: SubsonicRequest) -> Answer:
    tracks = request.known_track_ids(request.query.all("id"))
    current = request.query.text("current", "") or None
    if current is not None and current not in tracks:
        raise SubsonicError(MISSING, "current: expected one of the ids, found another")
    _save(request, tracks, current, tracks.index(current) if current is not None else None)
    return {}


@method("savePlayQueueByIndex")
def _save_play_queue_by_index(request: SubsonicRequest) -> Answer:
    """Save the queue; without ids it is cleared."""
    tracks = request.known_track_ids(request.query.all("id"))
    if not tracks:
        request.state.playlists.clear_queue(request.user.name)
        return {}
    request.query.text("currentIndex")  # raises if it is missing
    place = request.query.number("currentIndex", 0, _MAX_PLACE)
    if place >= len(tracks):
        raise SubsonicError(MISSING, f"currentIndex: expected 0 to {len(tracks) - 1}, found {place}")
    _save(request, tracks, tracks[place], place)
    return {}


def _save(request: SubsonicRequest, tracks: list[str], current: str | None, place: int | None) -> None:
    position_ms = request.query.number("position", 0, _MAX_POSITION_MS)
    client = request.query.text("c", "")[:80]
    request.state.playlists.save_queue(request.user.name, tracks, current, position_ms, client, place)


@method("getPlayQueue", "getPlayQueueByIndex")
def _get_play_queue(request: SubsonicRequest) -> Answer:
    queue = request.state.playlists.load_queue(request.user.name)
    if queue is None:
        return {}
    by_id = request.state.catalog.by_id
    places = [place for place, track_id in enumerate(queue.tracks) if track_id in by_id]
    answer: dict[str, Any] = {
        "username": request.user.name,
        "changed": queue.changed,
        "changedBy": queue.client,
        "entry": request.library.songs([by_id[queue.tracks[place]] for place in places]),
    }
    place = queue.place
    if place is None and queue.current in queue.tracks:  # saved by an older version
        place = queue.tracks.index(queue.current)
    is_current_known = place in places
    if request.name == "getPlayQueue":
        mark = {"current": queue.current, "position": queue.position_ms} if is_current_known else {}
        return {"playQueue": answer | mark}
    if places:
        # A track that has left the collection is no entry: the index counts the others.
        answer["currentIndex"] = places.index(place) if is_current_known and place is not None else 0
        answer["position"] = queue.position_ms if is_current_known else 0
    return {"playQueueByIndex": answer}
