"""What a listener keeps: playlists, beside the one that is recommended; likes, stars, favourites; the queue to go on with."""

from datetime import UTC, datetime
from typing import Any

from serving.db.playlists import Playlist
from serving.problems import RequestError
from serving.recommendations import recommendations_of
from serving.subsonic.protocol import (
    FORBIDDEN,
    GENERIC,
    MISSING,
    NOT_FOUND,
    Answer,
    SubsonicError,
    SubsonicRequest,
    method,
)

_RECOMMENDED = "recommended"

# What a client may be far in a track, milliseconds: a day.
_MAX_POSITION_MS = 86_400_000


@method("getPlaylists")
def _playlists(call: SubsonicRequest) -> Answer:
    if call.query.text("username", call.user.name) != call.user.name:
        raise SubsonicError(
            FORBIDDEN, "expected your own name: a listener's playlists are the listener's own"
        )
    own = [
        _playlist_answer(call, playlist) for playlist in call.state.playlists.list_playlists(call.user.name)
    ]
    return {"playlists": {"playlist": [_recommended(call), *own]}}


@method("getPlaylist")
def _playlist(call: SubsonicRequest) -> Answer:
    wanted = call.query.text("id")
    if wanted == _RECOMMENDED:
        return {"playlist": _recommended(call, entries=True)}
    return {"playlist": _playlist_answer(call, _own_playlist(call, wanted), entries=True)}


@method("createPlaylist")
def _create(call: SubsonicRequest) -> Answer:
    """Make a playlist, or (with `playlistId`) put other tracks into one."""
    tracks = _known_tracks(call, call.query.all("songId"))
    if call.query.text("playlistId", ""):
        old, title = _own_playlist(call, call.query.text("playlistId")), call.query.text("name", "") or None
        made = call.state.playlists.update(call.user.name, old, title=title, tracks=tracks)
    else:
        made = call.state.playlists.create(call.user.name, call.query.text("name"), tracks)
    return {"playlist": _playlist_answer(call, made, entries=True)}


@method("updatePlaylist")
def _update(call: SubsonicRequest) -> Answer:
    query = call.query
    old = _own_playlist(call, query.text("playlistId"))
    known = call.state.catalog.by_id
    # A client counts what it is shown; a track that has left the collection stays, it may come back.
    shown = [place for place, track_id in enumerate(old.tracks) if track_id in known]
    gone = {shown[_position(text, len(shown))] for text in query.all("songIndexToRemove")}
    kept = [track_id for place, track_id in enumerate(old.tracks) if place not in gone]
    texts = {
        ours: query.text(theirs)
        for ours, theirs in (("title", "name"), ("comment", "comment"))
        if query.all(theirs)
    }
    call.state.playlists.update(
        call.user.name, old, tracks=[*kept, *_known_tracks(call, query.all("songIdToAdd"))], **texts
    )
    return {}


@method("deletePlaylist")
def _delete(call: SubsonicRequest) -> Answer:
    call.state.playlists.delete(call.user.name, _own_playlist(call, call.query.text("id")).playlist_id)
    return {}


def _own_playlist(call: SubsonicRequest, playlist_id: str) -> Playlist:
    if playlist_id == _RECOMMENDED:
        raise SubsonicError(
            FORBIDDEN, "expected a playlist of your own; what is recommended follows what you play"
        )
    found = call.state.playlists.get(call.user.name, playlist_id)
    if found is None:
        raise SubsonicError(NOT_FOUND, "expected the id of a playlist")
    return found


def _known_tracks(call: SubsonicRequest, track_ids: list[str]) -> list[str]:
    return [call.state.track(each).track_id for each in track_ids]


def _position(text: str, count: int) -> int:
    if not text.isascii() or not text.isdecimal() or int(text[:9]) >= count:
        raise SubsonicError(
            GENERIC, f"songIndexToRemove: expected 0 to {count - 1}, found {ascii(text)[:40]}"
        )
    return int(text[:9])


def _playlist_answer(call: SubsonicRequest, playlist: Playlist, entries: bool = False) -> dict[str, Any]:
    tracks = call.state.catalog.by_ids(playlist.tracks)
    found = {
        "id": playlist.playlist_id,
        "name": playlist.title,
        "comment": playlist.comment,
        "owner": call.user.name,
        "public": False,
        "songCount": len(tracks),
        "duration": round(sum(track.duration_s for track in tracks)),
        "created": playlist.created,
        "changed": playlist.changed,
    }
    if tracks:
        found["coverArt"] = tracks[0].track_id
    return {**found, "entry": call.library.songs(tracks)} if entries else found


def _recommended(call: SubsonicRequest, entries: bool = False) -> dict[str, Any]:
    found = recommendations_of(call.state, call.user.name)
    now = found.as_of or datetime.now(UTC).isoformat()
    tracks = tuple(item.track.id for item in found.items)
    playlist = Playlist(
        _RECOMMENDED, "Recommended for you", "It follows what you play, like and skip.", tracks, now, now
    )
    return {**_playlist_answer(call, playlist, entries), "readonly": True}


# --- the queue ---


@method("savePlayQueue")
def _save_queue(call: SubsonicRequest) -> Answer:
    tracks = _known_tracks(call, call.query.all("id"))
    current = call.query.text("current", "") or None
    if current is not None and current not in tracks:
        raise SubsonicError(MISSING, "current: expected one of the ids, found another")
    position_ms = call.query.number("position", 0, _MAX_POSITION_MS)
    call.state.playlists.save_queue(
        call.user.name, tracks, current, position_ms, call.query.text("c", "")[:80]
    )
    return {}


@method("getPlayQueue")
def _queue(call: SubsonicRequest) -> Answer:
    kept = call.state.playlists.load_queue(call.user.name)
    if kept is None:
        return {}
    songs = call.library.songs(call.state.catalog.by_ids(kept.tracks))
    about = {"username": call.user.name, "changed": kept.changed, "changedBy": kept.client}
    place = (
        {"current": kept.current, "position": kept.position_ms}
        if kept.current in call.state.catalog.by_id
        else {}
    )
    return {"playQueue": {**about, **place, "entry": songs}}


# --- likes, stars, favourites ---


@method("star", "unstar")
def _star(call: SubsonicRequest) -> Answer:
    """A song's star is a like; an album's or an artist's says nothing of each track."""
    starred = call.name == "star"
    for track_id in _known_tracks(
        call, [each for each in call.query.all("id") if not call.library.is_artist_or_album(each)]
    ):
        call.state.set_rating(call.user, track_id, True if starred else None)
    groups = [each for each in call.query.all("id") if call.library.is_artist_or_album(each)]
    for kept_id in (*groups, *call.query.all("albumId"), *call.query.all("artistId")):
        if not call.library.is_artist_or_album(kept_id):
            raise RequestError(404, "expected the id of an album or an artist")
        call.state.playlists.favour(call.user.name, kept_id, starred)
    return {}


@method("setRating")
def _rate(call: SubsonicRequest) -> Answer:
    """4 and 5 stars like a track, 1 and 2 dislike it."""
    stars, track_id = call.query.number("rating", 0, 5), call.state.track(call.query.text("id")).track_id
    call.query.text("rating")
    call.state.playlists.set_stars(call.user.name, track_id, stars)
    call.state.set_rating(call.user, track_id, None if stars in (0, 3) else stars > 3)
    return {}


@method("getStarred", "getStarred2")
def _starred(call: SubsonicRequest) -> Answer:
    ratings = call.state.feedback.ratings(call.user.name)
    found = call.state.catalog.by_ids(each for each, liked in ratings.items() if liked)
    albums, artists = call.library.starred()
    return {
        call.name.removeprefix("get").lower(): {
            "artist": artists,
            "album": albums,
            "song": call.library.songs(found),
        }
    }
