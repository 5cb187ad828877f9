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
    if request.query.text("username", request.user.name) != request.user.name:
        raise SubsonicError(FORBIDDEN, "expected your own name: playlists are private")
    own_playlists = [
        _playlist_answer(request, playlist)
        for playlist in request.state.playlists.list_playlists(request.user.name)
    ]
    mixes = [_mix(request, mix) for mix in mixes_of(request.state, request.user.name)]
    return {"playlists": {"playlist": [_recommended(request), *mixes, *own_playlists]}}


@method("getPlaylist")
def _playlist(request: SubsonicRequest) -> Answer:
    playlist_id = request.query.text("id")
    if playlist_id == _RECOMMENDED:
        return {"playlist": _recommended(request, entries=True)}
    if playlist_id.startswith(_MIX_PREFIX):
        found = find_mix(request.state, request.user.name, playlist_id)
        if found is None:
            raise SubsonicError(NOT_FOUND, "expected the id of a playlist")
        return {"playlist": _mix(request, found, entries=True)}
    return {"playlist": _playlist_answer(request, _own_playlist(request, playlist_id), entries=True)}


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
    )
    return {}


@method("deletePlaylist")
def _delete(request: SubsonicRequest) -> Answer:
    request.state.playlists.delete(
        request.user.name, _own_playlist(request, request.query.text("id")).playlist_id
    )
    return {}


def _own_playlist(request: SubsonicRequest, playlist_id: str) -> Playlist:
    if playlist_id == _RECOMMENDED or playlist_id.startswith(_MIX_PREFIX):
        raise SubsonicError(
            FORBIDDEN, "expected a playlist of your own; what is recommended follows what you play"
        )
    found = request.state.playlists.get(request.user.name, playlist_id)
    if found is None:
        raise SubsonicError(NOT_FOUND, "expected the id of a playlist")
    return found


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
        "owner": request.user.name,
        "public": False,
        "songCount": len(tracks),
        "duration": round(sum(track.duration_s for track in tracks)),
        "created": playlist.created,
        "changed": playlist.changed,
    }
    if tracks:
        found["coverArt"] = tracks[0].track_id
    return {**found, "entry": request.library.songs(tracks)} if entries else found


def _recommended(request: SubsonicRequest, *, entries: bool = False) -> dict[str, Any]:
    found = recommendations_of(request.state, request.user.name)
    now = found.as_of or datetime.now(UTC).isoformat()
    tracks = tuple(item.track.id for item in found.items)
    playlist = Playlist(
        _RECOMMENDED, "Recommended for you", "It follows what you play, like and skip.", tracks, now, now
    )
    return {**_playlist_answer(request, playlist, entries=entries), "readonly": True}


def _mix(request: SubsonicRequest, mix: NamedMix, *, entries: bool = False) -> dict[str, Any]:
    at = f"{mix.day}T00:00:00+00:00"
    playlist = Playlist(mix.mix_id, mix.title, mix.comment, mix.tracks, at, at)
    return {**_playlist_answer(request, playlist, entries=entries), "readonly": True}
