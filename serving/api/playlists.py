"""A user's playlists: the same that Subsonic clients see."""

from collections.abc import Collection, Sequence
from contextlib import suppress

from fastapi import APIRouter

from jobs.errors import InputError
from serving import schemas as m
from serving.api.dependencies import CurrentUser, State
from serving.app_state import AppState
from serving.db.accounts import User
from serving.db.playlists import ChangedMeanwhile, Playlist
from serving.problems import RequestError
from serving.recommendations import tracks_out

router = APIRouter()

# Albums whose covers stand for a playlist.
_N_COVERS = 4

# Attempts to add to a playlist that others change at the same time.
_MAX_TRIES = 5


@router.get("/playlists")
def playlists(state: State, user: CurrentUser) -> list[m.PlaylistOut]:
    """My playlists and the public ones of others, the latest changed first."""
    found = state.playlists.list_readable(user.name)
    return [playlist_out(state, each) for each in sorted(found, key=lambda each: each.changed, reverse=True)]


@router.post("/playlists", status_code=201)
def create_playlist(state: State, user: CurrentUser, body: m.NewPlaylist) -> m.PlaylistOut:
    """Make a playlist."""
    tracks = _known(state, body.tracks)
    try:
        return playlist_out(state, state.playlists.create(user.name, body.name, tracks))
    except InputError as error:
        raise RequestError(422, str(error)) from error


@router.get("/playlists/{playlist_id}")
def playlist(state: State, user: CurrentUser, playlist_id: m.Id) -> m.PlaylistWithTracks:
    """A playlist of mine or a public one, and those of its tracks that are in the collection."""
    found = state.playlists.get_readable(user.name, playlist_id)
    if found is None:
        raise _no_playlist()
    return _with_tracks(state, user, found)


@router.put("/playlists/{playlist_id}")
def change_playlist(
    state: State, user: CurrentUser, playlist_id: m.Id, body: m.PlaylistChange
) -> m.PlaylistWithTracks:
    """Change the name, the comment or the tracks of a playlist of mine, or whether it is public.

    `changed` is the version that the tracks are a change of; 409 if the playlist has changed since. Tracks
    that are not in the collection now keep their places.
    """
    old = _own(state, user, playlist_id)
    tracks = None
    if body.tracks is not None:
        if body.changed != old.changed:
            raise _conflict()
        tracks = with_missing(old.tracks, _known(state, body.tracks), state.catalog.by_id)
    try:
        changed = _update(
            state, user, old, title=body.name, comment=body.comment, tracks=tracks, is_public=body.public
        )
    except ChangedMeanwhile as error:
        raise _conflict() from error
    return _with_tracks(state, user, changed)


@router.post("/playlists/{playlist_id}/tracks")
def add_to_playlist(
    state: State, user: CurrentUser, playlist_id: m.Id, body: m.TrackIds
) -> m.PlaylistWithTracks:
    """Add tracks to the end of a playlist."""
    added = _known(state, body.tracks)
    for _ in range(_MAX_TRIES):
        old = _own(state, user, playlist_id)
        with suppress(ChangedMeanwhile):
            return _with_tracks(state, user, _update(state, user, old, tracks=[*old.tracks, *added]))
    raise _conflict()


@router.delete("/playlists/{playlist_id}", status_code=204)
def delete_playlist(state: State, user: CurrentUser, playlist_id: m.Id) -> None:
    """Delete a playlist; its tracks stay in the collection."""
    if not state.playlists.delete(user.name, playlist_id):
        raise _no_playlist()


def with_missing(old: Sequence[str], new: Sequence[str], known: Collection[str]) -> list[str]:
    """Return `new` with the tracks of `old` that are not known, each behind the track it was behind.

    A page knows the tracks of the present collection only; the others may come back with their folder.
    """
    result = list(new)
    before: str | None = None
    for track_id in old:
        if track_id not in known:
            result.insert(result.index(before) + 1 if before in result else 0, track_id)
        before = track_id if track_id in result else before
    return result


def _update(
    state: AppState,
    user: User,
    old: Playlist,
    *,
    title: str | None = None,
    comment: str | None = None,
    tracks: Sequence[str] | None = None,
    is_public: bool | None = None,
) -> Playlist:
    try:
        return state.playlists.update(
            user.name, old, title=title, comment=comment, tracks=tracks, is_public=is_public
        )
    except ChangedMeanwhile:
        raise
    except InputError as error:
        raise RequestError(422, str(error)) from error


def _conflict() -> RequestError:
    return RequestError(409, "expected a change of the present playlist, found one of an older version")


def _known(state: AppState, track_ids: Sequence[str]) -> list[str]:
    return [state.track(track_id).track_id for track_id in track_ids]


def _own(state: AppState, user: User, playlist_id: str) -> Playlist:
    found = state.playlists.get(user.name, playlist_id)
    if found is None:
        raise _no_playlist()
    return found


def _no_playlist() -> RequestError:
    return RequestError(404, "expected the id of a playlist of yours")


def playlist_out(state: AppState, found: Playlist) -> m.PlaylistOut:
    """Return a playlist without its tracks as the API's model."""
    tracks = state.catalog.by_ids(found.tracks)
    return m.PlaylistOut(
        id=found.playlist_id,
        name=found.title,
        owner=found.owner,
        public=found.is_public,
        comment=found.comment,
        tracks=len(tracks),
        missing=len(found.tracks) - len(tracks),
        duration_s=sum(track.duration_s for track in tracks),
        album_ids=list(dict.fromkeys(track.album_id for track in tracks))[:_N_COVERS],
        created=found.created,
        changed=found.changed,
    )


def _with_tracks(state: AppState, user: User, found: Playlist) -> m.PlaylistWithTracks:
    items = tracks_out(state.catalog.by_ids(found.tracks), state.feedback.ratings(user.name))
    return m.PlaylistWithTracks(**playlist_out(state, found).model_dump(), items=items)
