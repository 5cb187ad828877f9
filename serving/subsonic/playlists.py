"""What a listener keeps: playlists, beside the one that is recommended; likes, stars, favourites; the queue to go on with."""

from datetime import UTC, datetime
from typing import Any

from serving.db.playlists import Playlist
from serving.middleware import Refused
from serving.subsonic.protocol import FORBIDDEN, GENERIC, MISSING, NOT_FOUND, Answer, Call, SubsonicError, method

_RECOMMENDED = "recommended"

# What a client may be far in a track, milliseconds: a day.
_LONGEST_MS = 86_400_000


@method("getPlaylists")
def _playlists(call: Call) -> Answer:
    if call.query.text("username", call.user.name) != call.user.name:
        raise SubsonicError(FORBIDDEN, "expected your own name: a listener's playlists are the listener's own")
    own = [_shown(call, playlist) for playlist in call.house.playlists.all(call.user.name)]
    return {"playlists": {"playlist": [_recommended(call), *own]}}


@method("getPlaylist")
def _playlist(call: Call) -> Answer:
    wanted = call.query.text("id")
    if wanted == _RECOMMENDED:
        return {"playlist": _recommended(call, entries=True)}
    return {"playlist": _shown(call, _own(call, wanted), entries=True)}


@method("createPlaylist")
def _create(call: Call) -> Answer:
    """Make a playlist, or (with `playlistId`) put other tracks into one."""
    tracks = _known(call, call.query.all("songId"))
    if call.query.text("playlistId", ""):
        old, title = _own(call, call.query.text("playlistId")), call.query.text("name", "") or None
        made = call.house.playlists.change(call.user.name, old, title=title, tracks=tracks)
    else:
        made = call.house.playlists.create(call.user.name, call.query.text("name"), tracks)
    return {"playlist": _shown(call, made, entries=True)}


@method("updatePlaylist")
def _update(call: Call) -> Answer:
    query = call.query
    old = _own(call, query.text("playlistId"))
    known = call.house.catalog.by_id
    # A client counts what it is shown; a track that has left the collection stays, it may come back.
    shown = [place for place, track_id in enumerate(old.tracks) if track_id in known]
    gone = {shown[_place(text, len(shown))] for text in query.all("songIndexToRemove")}
    kept = [track_id for place, track_id in enumerate(old.tracks) if place not in gone]
    texts = {
        ours: query.text(theirs) for ours, theirs in (("title", "name"), ("comment", "comment")) if query.all(theirs)
    }
    call.house.playlists.change(call.user.name, old, tracks=[*kept, *_known(call, query.all("songIdToAdd"))], **texts)
    return {}


@method("deletePlaylist")
def _delete(call: Call) -> Answer:
    call.house.playlists.delete(call.user.name, _own(call, call.query.text("id")).playlist_id)
    return {}


def _own(call: Call, playlist_id: str) -> Playlist:
    if playlist_id == _RECOMMENDED:
        raise SubsonicError(FORBIDDEN, "expected a playlist of your own; what is recommended follows what you play")
    found = call.house.playlists.one(call.user.name, playlist_id)
    if found is None:
        raise SubsonicError(NOT_FOUND, "expected the id of a playlist")
    return found


def _known(call: Call, track_ids: list[str]) -> list[str]:
    return [call.house.track(each).track_id for each in track_ids]


def _place(text: str, count: int) -> int:
    if not text.isascii() or not text.isdecimal() or int(text[:9]) >= count:
        raise SubsonicError(GENERIC, f"songIndexToRemove: expected 0 to {count - 1}, found {ascii(text)[:40]}")
    return int(text[:9])


def _shown(call: Call, playlist: Playlist, entries: bool = False) -> dict[str, Any]:
    tracks = call.house.catalog.known(playlist.tracks)
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
    return {**found, "entry": call.shelves.songs(tracks)} if entries else found


def _recommended(call: Call, entries: bool = False) -> dict[str, Any]:
    found = call.house.recommendations(call.user.name)
    now = found.as_of or datetime.now(UTC).isoformat()
    tracks = tuple(item.track.id for item in found.items)
    playlist = Playlist(
        _RECOMMENDED, "Recommended for you", "It follows what you play, like and skip.", tracks, now, now
    )
    return {**_shown(call, playlist, entries), "readonly": True}


# --- the queue ---


@method("savePlayQueue")
def _save_queue(call: Call) -> Answer:
    tracks = _known(call, call.query.all("id"))
    current = call.query.text("current", "") or None
    if current is not None and current not in tracks:
        raise SubsonicError(MISSING, "current: expected one of the ids, found another")
    position_ms = call.query.number("position", 0, _LONGEST_MS)
    call.house.playlists.keep_queue(call.user.name, tracks, current, position_ms, call.query.text("c", "")[:80])
    return {}


@method("getPlayQueue")
def _queue(call: Call) -> Answer:
    kept = call.house.playlists.queue(call.user.name)
    if kept is None:
        return {}
    songs = call.shelves.songs(call.house.catalog.known(kept.tracks))
    about = {"username": call.user.name, "changed": kept.changed, "changedBy": kept.client}
    place = {"current": kept.current, "position": kept.position_ms} if kept.current in call.house.catalog.by_id else {}
    return {"playQueue": {**about, **place, "entry": songs}}


# --- likes, stars, favourites ---


@method("star", "unstar")
def _star(call: Call) -> Answer:
    """A song's star is a like; an album's or an artist's says nothing of each track."""
    starred = call.name == "star"
    for track_id in _known(call, [each for each in call.query.all("id") if not call.shelves.is_group(each)]):
        call.house.rate(call.user, track_id, True if starred else None)
    groups = [each for each in call.query.all("id") if call.shelves.is_group(each)]
    for kept_id in (*groups, *call.query.all("albumId"), *call.query.all("artistId")):
        if not call.shelves.is_group(kept_id):
            raise Refused(404, "expected the id of an album or an artist")
        call.house.playlists.favour(call.user.name, kept_id, starred)
    return {}


@method("setRating")
def _rate(call: Call) -> Answer:
    """4 and 5 stars like a track, 1 and 2 dislike it."""
    stars, track_id = call.query.number("rating", 0, 5), call.house.track(call.query.text("id")).track_id
    call.query.text("rating")
    call.house.playlists.rate(call.user.name, track_id, stars)
    call.house.rate(call.user, track_id, None if stars in (0, 3) else stars > 3)
    return {}


@method("getStarred", "getStarred2")
def _starred(call: Call) -> Answer:
    ratings = call.house.listeners.ratings(call.user.name)
    found = call.house.catalog.known(each for each, liked in ratings.items() if liked)
    albums, artists = call.shelves.favourites()
    return {
        call.name.removeprefix("get").lower(): {"artist": artists, "album": albums, "song": call.shelves.songs(found)}
    }
