"""The collection in memory: tracks, albums, artists, genres, and the search index.

It is read from TRACKS in the lake, not from MongoDB: the embedded server would load every document with its
features into its heap, and the player has to work while MongoDB is unavailable.
"""

from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake.schemas import FEATURES, FILES, TRACKS
from jobs.lake.storage import Lake
from jobs.paths import to_path
from serving import album_grouping, track_details
from serving.album_grouping import Credits
from serving.catalog_items import Album as Album
from serving.catalog_items import Artist as Artist
from serving.catalog_items import Track as Track
from serving.catalog_items import group_albums, group_artists, sort_name
from serving.catalog_items import stable_id as stable_id
from serving.search_index import PrefixIndex, normalize_text
from serving.track_details import TrackDetails

_COLUMNS = (
    *("track_id", "title", "year", "genre", "genres", "duration_s", "bit_rate", "audio_path"),
    *("recording_id", "artist_sort", "album_sort", "album_artist_sort"),
)

_T = TypeVar("_T", bound=Hashable)


@dataclass(frozen=True)
class Catalog:
    """One version of the collection; immutable, replaced by `load` when the lake has a newer one."""

    version: str
    tracks: tuple[Track, ...]
    # Folders that audio may be read from.
    roots: tuple[Path, ...]
    # Names as they are sorted, by artist id, where a tag has them.
    sort_names: dict[str, str] = field(default_factory=dict)
    details: TrackDetails = field(default_factory=TrackDetails)

    @cached_property
    def by_id(self) -> dict[str, Track]:
        """Tracks by id."""
        return {track.track_id: track for track in self.tracks}

    @cached_property
    def albums(self) -> dict[str, Album]:
        """Albums by id, in the order of their artists and names."""
        return group_albums(self.tracks)

    @cached_property
    def artists(self) -> dict[str, Artist]:
        """Album artists and performers by id, sorted by name."""
        return group_artists(self.albums.values(), self.sort_names)

    @cached_property
    def _artist_tracks(self) -> dict[str, list[Track]]:
        grouped: dict[str, list[Track]] = {}
        for track in self.tracks:
            for artist_id in track.artist_ids:
                grouped.setdefault(artist_id, []).append(track)
        return grouped

    def artist_tracks(self, artist_id: str) -> list[Track]:
        """Return the tracks that an artist performs; of an album artist who performs none, the albums'."""
        found = self._artist_tracks.get(artist_id, [])
        if not found and artist_id in self.artists:
            return [track for album in self.artists[artist_id].albums for track in album.tracks]
        return found

    @cached_property
    def genres(self) -> list[tuple[str, int]]:
        """Top genres with their numbers of tracks, the largest first."""
        return Counter(track.genre for track in self.tracks if track.genre).most_common()

    @cached_property
    def index(self) -> PrefixIndex:
        """The search index over titles, artists, albums and genres."""
        return _index(self.tracks)

    @cached_property
    def _genre_tracks(self) -> dict[str, list[Track]]:
        grouped: dict[str, list[Track]] = {}
        for track in self.tracks:
            for name in {normalize_text(name) for name in (track.genre, *track.genres)}:
                grouped.setdefault(name, []).append(track)
        return grouped

    def by_genre(self, name: str) -> list[Track]:
        """Return the tracks of a genre, in the catalog's order; case and accents do not matter."""
        return self._genre_tracks.get(normalize_text(name), [])

    def search(self, query: str) -> list[Track]:
        """Return the tracks that match a query in title, artist, album or genres, best first; all for ""."""
        return [self.tracks[number] for number in self.index.search(query)]

    def by_ids(self, ids: Iterable[str]) -> list[Track]:
        """Return the known tracks of these ids, in their order."""
        return [self.by_id[each] for each in ids if each in self.by_id]

    def audio_file(self, track: Track) -> Path | None:
        """Return the track's compressed file, or None if it is missing or lies outside the lake and the
        folders of music.
        """
        return self.readable(track.audio_path)

    def original_file(self, track: Track) -> Path | None:
        """Return the track's file in the library, or None as `audio_file` does."""
        return self.readable(track.path)

    def readable(self, path: str) -> Path | None:
        """Return a file of the lake or of the folders of music, links resolved; None for any other."""
        try:
            real = Path(path).resolve(strict=True)
        except OSError:
            return None
        return real if real.is_file() and any(real.is_relative_to(root) for root in self.roots) else None


def lake_version(lake: Lake) -> str:
    """Return the names of the current versions of what a catalog is read from; "-" before the first."""
    return "-".join(folder.name if folder else "" for folder in map(lake.version, (TRACKS, FEATURES)))


def load(lake: Lake) -> Catalog:
    """Read the collection from the lake, without tracks that have no audio."""
    found = lake_version(lake)
    names = [*dict.fromkeys((*_COLUMNS, *album_grouping.COLUMNS))]
    columns = [*dict.fromkeys((*names, *track_details.COLUMNS))]
    table = lake.read_arrow(TRACKS, *columns, where=pc.field("audio_path").is_valid())
    details = TrackDetails(_with_computed_tempo(lake, table))
    values = table.select(names).to_pydict().values()
    rows = [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
    libraries = lake.read_arrow(FILES, "library")["library"].unique().to_pylist()
    roots = [lake.root / "audio", *(Path(name) for name in libraries if name)]
    tracks, sort_names = _tracks(rows)
    catalog = Catalog(found, tracks, tuple(root.resolve() for root in roots), sort_names, details)
    # Built now, so that no request waits for them.
    _ = (catalog.by_id, catalog.artists, catalog.genres, catalog.index, catalog.by_genre(""))
    return catalog


def _with_computed_tempo(lake: Lake, tracks: pa.Table) -> pa.Table:
    """Return TRACKS' columns, with the tempo of FEATURES where no tag has one."""
    is_known = pc.field("tempo").is_valid()
    features = lake.read_arrow(FEATURES, "track_id", "tempo", where=is_known).combine_chunks()
    places = pc.index_in(tracks["track_id"], value_set=features["track_id"].combine_chunks())
    bpm = pc.coalesce(tracks["bpm"], features["tempo"].take(places.combine_chunks()))
    return tracks.set_column(tracks.schema.get_field_index("bpm"), "bpm", bpm)


def _tracks(rows: list[dict[str, Any]]) -> tuple[tuple[Track, ...], dict[str, str]]:
    """Return the tracks in the order of albums, and the names to sort artists by."""
    credits = album_grouping.credit_tracks(rows)
    interned = _Interned()
    sort_names: dict[str, str] = {}
    keyed = []
    for number, (row, credit) in enumerate(zip(rows, credits, strict=True)):
        track = _track(number, row, credit, interned)
        if row["artist_sort"] and len(track.artists) == 1:
            sort_names.setdefault(track.artist_id, row["artist_sort"])
        if row["album_artist_sort"] and len(track.album_artists) == 1:
            sort_names[track.album_artist_ids[0]] = row["album_artist_sort"]
        keyed.append((track, row["album_sort"]))
    order = {}
    for track, album_sort in keyed:
        artist = sort_names.get(track.album_artist_ids[0]) or sort_name(track.album_artist)
        if track.album_id not in order:
            order[track.album_id] = (normalize_text(artist), normalize_text(album_sort or track.album))
    tracks = sorted(
        (track for track, _ in keyed),
        key=lambda t: (
            *(*order[t.album_id], t.album_id, t.disc_no or 1, t.track_no or 0),
            *(normalize_text(t.title), t.track_id),
        ),
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


def _track(number: int, row: dict[str, Any], credit: Credits, interned: _Interned) -> Track:
    title = row["title"] or ""
    album = row["album"] or ""
    release = [credit.release] if credit.release else []
    artist_ids = interned.artist_ids(credit.artists)
    audio_path = to_path(row["audio_path"])
    path = to_path(row["path"] or row["audio_path"])
    return Track(
        track_id=row["track_id"],
        title=title,
        artist=interned(row["artist"] or ""),
        album=interned(album),
        track_no=row["track_no"],
        year=interned(row["year"]),
        genre=interned(row["genre"] or ""),
        genres=interned(tuple(map(interned, row["genres"] or ()))),
        duration_s=float(row["duration_s"] or 0.0),
        bit_rate=interned(int(row["bit_rate"] or 0)),
        path=audio_path if path == audio_path else path,
        audio_path=audio_path,
        recording_id=_same(row["recording_id"], row["track_id"]),
        artist_id=artist_ids[0],
        album_id=interned.id("al", credit.album_artist, album or title, *release),
        artists=interned(credit.artists),
        artist_ids=artist_ids,
        album_artist=interned(credit.album_artist),
        album_artists=interned(credit.album_artists),
        album_artist_ids=interned.artist_ids(credit.album_artists),
        disc_no=row["disc_no"],
        row=number,
        added_s=interned((row["added_ns"] or row["mtime_ns"] or 0) // 1_000_000_000),
    )


def _same(recording_id: str | None, track_id: str) -> str:
    """Return the recording's id; the same object as the track's, where they are equal."""
    return track_id if recording_id is None or recording_id == track_id else recording_id


def _index(tracks: tuple[Track, ...]) -> PrefixIndex:
    return PrefixIndex(
        [
            (4.0, [normalize_text(track.title) for track in tracks]),
            (3.0, [normalize_text(track.artist) for track in tracks]),
            (2.0, [normalize_text(_album_text(track)) for track in tracks]),
            (1.0, [normalize_text(" ".join((track.genre, *track.genres))) for track in tracks]),
        ]
    )


def _album_text(track: Track) -> str:
    """Return the album's name, with its artist where the track is by another."""
    return (
        track.album if track.album_artist in (*track.artists, "") else f"{track.album} {track.album_artist}"
    )


def one_per_artist(tracks: Iterable[Track], count: int) -> list[Track]:
    """Return `count` tracks, one of each artist before a second of any; deterministic."""
    order = np.random.default_rng(0)
    grouped: dict[str, list[Track]] = {}
    for track in tracks:
        grouped.setdefault(track.artist, []).append(track)
    turns = [
        (place, order.random(), track) for group in grouped.values() for place, track in enumerate(group)
    ]
    return [track for _, _, track in sorted(turns, key=lambda turn: turn[:2])[:count]]
