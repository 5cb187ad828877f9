"""Playlists: a user's own, and "Recommended for you"."""

from datetime import UTC, datetime
from typing import Any

from serving.db.mixes import NamedMix
from serving.db.playlists import Playlist
from serving.mixes import find_mix, mixes_of
from serving.recommendations import recommendations_of
from serving.subsonic.protocol import (
    FORBIDDEN,
    GENERIC,
    NOT_FOUND,
    Answer,
    SubsonicError,
    SubsonicRequest,
    method,
)

_RECOMMENDED, _MIX_PREFIX = "recommended", "mix-"


@method("getPlaylists")
def _playlists(request: SubsonicRequest) -> Answer:
    if not request.is_own_name():
        raise SubsonicError(FORBIDDEN, "expected your own name")
    own_playlists = [
        _playlist_answer(request, playlist)
        for playlist in request.state.playlists.list_readable(request.user.name)
    ]
    mixes = [_mix(mix) for mix in mixes_of(request.state, request.user.name)]
    made = [
        {**_playlist_answer(request, playlist), "readonly": True}
        for playlist in (_recommended(request), *mixes)
    ]
    return {"playlists": {"playlist": [*made, *own_playlists]}}


@method("getPlaylist")
def _playlist(request: SubsonicRequest) -> Answer:
    playlist = find_playlist(request, request.query.text("id"))
    answer = _playlist_answer(request, playlist, entries=True)
    is_made = _is_made(playlist.playlist_id)
    return {"playlist": {**answer, "readonly": True} if is_made else answer}


@method("createPlaylist")
def _create(request: SubsonicRequest) -> Answer:
    """Create a playlist, or replace the tracks of `playlistId`."""
    tracks = request.known_track_ids(request.query.all("songId"))
    if request.query.text("playlistId", ""):
        old, title = (
            _own_playlist(request, request.query.text("playlistId")),
            request.query.text("name", "") or None,
        )
        playlist = request.state.playlists.update(request.user.name, old, title=title, tracks=tracks)
    else:
        playlist = request.state.playlists.create(request.user.name, request.query.text("name"), tracks)
    return {"playlist": _playlist_answer(request, playlist, entries=True)}


@method("updatePlaylist")
def _update(request: SubsonicRequest) -> Answer:
    query = request.query
    old = _own_playlist(request, query.text("playlistId"))
    known = request.state.catalog.by_id
    # Clients count the known tracks only; a track that has left the collection stays in the list and may come
    # back.
    visible = [place for place, track_id in enumerate(old.tracks) if track_id in known]
    removed = {visible[_position(text, len(visible))] for text in query.all("songIndexToRemove")}
    remaining = [track_id for place, track_id in enumerate(old.tracks) if place not in removed]
    request.state.playlists.update(
        request.user.name,
        old,
        tracks=[*remaining, *request.known_track_ids(query.all("songIdToAdd"))],
        title=query.text("name") if query.all("name") else None,
        comment=query.text("comment") if query.all("comment") else None,
        is_public=query.text("public") == "true" if query.all("public") else None,
    )
    return {}


@method("deletePlaylist")
def _delete(request: SubsonicRequest) -> Answer:
    request.state.playlists.delete(
        request.user.name, _own_playlist(request, request.query.text("id")).playlist_id
    )
    return {}


def _own_playlist(request: SubsonicRequest, playlist_id: str) -> Playlist:
    if _is_made(playlist_id):
        raise SubsonicError(
            FORBIDDEN, "expected a playlist of your own; what is recommended follows what you play"
        )
    found = request.state.playlists.get(request.user.name, playlist_id)
    if found is None:
        raise SubsonicError(NOT_FOUND, "expected the id of a playlist")
    return found


def _is_made(playlist_id: str) -> bool:
    """Return whether Segue makes this playlist, so that a client cannot change it."""
    return playlist_id == _RECOMMENDED or playlist_id.startswith(_MIX_PREFIX)


def find_playlist(request: SubsonicRequest, playlist_id: str) -> Playlist:
    """Return a playlist of the user's, or one that Segue makes. Raises SubsonicError (70) for none."""
    if playlist_id == _RECOMMENDED:
        return _recommended(request)
    if not playlist_id.startswith(_MIX_PREFIX):
        found = request.state.playlists.get_readable(request.user.name, playlist_id)
        if found is None:
            raise SubsonicError(NOT_FOUND, "expected the id of a playlist")
        return found
    mix = find_mix(request.state, request.user.name, playlist_id)
    if mix is None:
        raise SubsonicError(NOT_FOUND, "expected the id of a playlist")
    return _mix(mix)


def _position(text: str, count: int) -> int:
    if not text.isascii() or not text.isdecimal() or int(text[:9]) >= count:
        raise SubsonicError(
            GENERIC, f"songIndexToRemove: expected 0 to {count - 1}, found {ascii(text)[:40]}"
        )
    return int(text[:9])


def _playlist_answer(
    request: SubsonicRequest, playlist: Playlist, *, entries: bool = False
) -> dict[str, Any]:
    tracks = request.state.catalog.by_ids(playlist.tracks)
    found = {
        "id": playlist.playlist_id,
        "name": playlist.title,
        "comment": playlist.comment,
        "owner": playlist.owner or request.user.name,
        "public": playlist.is_public,
        "songCount": len(tracks),
        "duration": round(sum(track.duration_s for track in tracks)),
        "created": playlist.created,
        "changed": playlist.changed,
    }
    if tracks:
        found["coverArt"] = playlist.playlist_id
    if found["owner"] != request.user.name:
        found["readonly"] = True
    return {**found, "entry": request.library.songs(tracks)} if entries else found


def _recommended(request: SubsonicRequest) -> Playlist:
    found = recommendations_of(request.state, request.user.name)
    now = found.as_of or datetime.now(UTC).isoformat()
    tracks = tuple(item.track.id for item in found.items)
    about = "It follows what you play, like and skip."
    return Playlist(_RECOMMENDED, "Recommended for you", about, tracks, now, now)


def _mix(mix: NamedMix) -> Playlist:
    at = f"{mix.day}T00:00:00+00:00"
    return Playlist(mix.mix_id, mix.title, mix.comment, mix.tracks, at, at)
