"""The catalog's tracks from TRACKS' columns: with ids made of names, in the order of albums."""

from collections.abc import Hashable
from typing import Any, TypeVar

from jobs.paths import to_path
from serving.album_grouping import Credits, credit_tracks
from serving.catalog_items import Track, sort_name, stable_id
from serving.search_index import normalize_text
from serving.track_columns import TrackColumns

_T = TypeVar("_T", bound=Hashable)


def make_tracks(columns: TrackColumns) -> tuple[tuple[Track, ...], dict[str, str]]:
    """Return the tracks in the order of albums, and the names to sort artists by, by their id."""
    interned = _Interned()
    credits = credit_tracks(columns)
    tracks = [_track(number, columns, credits, interned) for number in range(len(columns))]
    sort_names: dict[str, str] = {}
    for track in tracks:
        artist_sort, album_artist_sort = (
            columns.artist_sort[track.row],
            columns.album_artist_sort[track.row],
        )
        if artist_sort and len(track.artists) == 1:
            sort_names.setdefault(track.artist_id, artist_sort)
        if album_artist_sort and len(track.album_artists) == 1:
            sort_names[track.album_artist_ids[0]] = album_artist_sort
    albums: dict[str, tuple[str, str]] = {}
    for track in tracks:
        if track.album_id not in albums:
            artist = sort_names.get(track.album_artist_ids[0]) or sort_name(track.album_artist)
            album = columns.album_sort[track.row] or sort_name(track.album)
            albums[track.album_id] = (normalize_text(artist), normalize_text(album))
    tracks.sort(
        key=lambda track: (
            *(*albums[track.album_id], track.album_id, track.disc_no or 1, track.track_no or 0),
            *(normalize_text(track.title), track.track_id),
        )
    )
    return tuple(tracks), sort_names


class _Interned:
    """One object for all equal values: names, ids and numbers of a hundred thousand tracks repeat."""

    def __init__(self) -> None:
        self._values: dict[Any, Any] = {}
        self._ids: dict[tuple[str, ...], str] = {}

    def __call__(self, value: _T) -> _T:
        return self._values.setdefault(value, value)

    def id(self, kind: str, *names: str) -> str:
        """Return `stable_id`."""
        key = (kind, *names)
        if key not in self._ids:
            self._ids[key] = stable_id(kind, *names)
        return self._ids[key]

    def artist_ids(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the ids of artists."""
        return self(tuple(self.id("ar", name) for name in names))


def _track(number: int, columns: TrackColumns, credits: Credits, interned: _Interned) -> Track:
    track_id = columns.track_id[number]
    title = columns.title[number] or ""
    album = columns.album[number] or ""
    release = [credits.release[number]] if credits.release[number] else []
    artist_ids = interned.artist_ids(credits.artists[number])
    audio_path = to_path(columns.audio_path[number])
    path = columns.path[number]
    return Track(
        track_id=track_id,
        title=title,
        artist=interned(columns.artist[number] or ""),
        album=album,
        track_no=columns.track_no[number],
        year=columns.year[number],
        genre=columns.genre[number] or "",
        genres=columns.genres[number] or (),
        genre_predicted=bool(columns.genre_predicted[number]),
        duration_s=float(columns.duration_s[number] or 0.0),
        bit_rate=columns.bit_rate[number] or 0,
        path=to_path(path) if path else audio_path,
        audio_path=audio_path,
        recording_id=columns.recording_id[number] or track_id,
        artist_id=artist_ids[0],
        album_id=interned.id("al", credits.album_artist[number], album or title, *release),
        artists=interned(credits.artists[number]),
        artist_ids=artist_ids,
        album_artist=interned(credits.album_artist[number]),
        album_artists=interned(credits.album_artists[number]),
        album_artist_ids=interned.artist_ids(credits.album_artists[number]),
        disc_no=columns.disc_no[number],
        row=number,
        added_s=interned((columns.added_ns[number] or columns.mtime_ns[number] or 0) // 1_000_000_000),
    )
