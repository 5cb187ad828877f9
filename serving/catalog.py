"""The collection in memory: tracks, albums, artists, genres, and the search index.

It is read from TRACKS in the lake, not from MongoDB: the embedded server would load every document with its
features into its heap, and the player has to work while MongoDB is unavailable.
"""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from jobs.lake.schemas import FILES, TRACKS
from jobs.lake.storage import Lake
from jobs.paths import to_path
from serving.search_index import PrefixIndex, normalize_identity, normalize_text

_COLUMNS = (
    *("track_id", "title", "artist", "album", "track_no", "year", "genre", "genres"),
    *("duration_s", "bit_rate", "path", "audio_path", "recording_id"),
)


@dataclass(frozen=True, slots=True)
class Track:
    """One track that can be played: columns of TRACKS, with "" for unknown text."""

    track_id: str
    title: str
    artist: str
    album: str
    track_no: int | None
    year: int | None
    genre: str
    genres: tuple[str, ...]
    duration_s: float
    bit_rate: int
    # The file of the library, and the compressed one; the same where that one was not compressed.
    path: str
    audio_path: str
    recording_id: str
    # Ids made of names; a track without an album has an album of its own, as clients expect.
    artist_id: str
    album_id: str


def stable_id(kind: str, *names: str) -> str:
    """Return an id made of names: stable over restarts, rebuilds and additions.

    Names of one spelling have one id, whatever their case and their form of Unicode.
    """
    return f"{kind}-{hashlib.sha256(chr(0).join(map(normalize_identity, names)).encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Album:
    """Tracks of one artist with the same album name, in order."""

    album_id: str
    name: str
    artist: str
    artist_id: str
    tracks: tuple[Track, ...]


@dataclass(frozen=True)
class Catalog:
    """One version of the collection; immutable, replaced by `load` when the lake has a newer one."""

    version: str
    tracks: tuple[Track, ...]
    # Folders that audio may be read from.
    roots: tuple[Path, ...]

    @cached_property
    def by_id(self) -> dict[str, Track]:
        """Tracks by id."""
        return {track.track_id: track for track in self.tracks}

    @cached_property
    def albums(self) -> dict[str, Album]:
        """Albums by id."""
        return _albums(self.tracks)

    @cached_property
    def artists(self) -> dict[str, tuple[Album, ...]]:
        """Albums by artist id."""
        grouped: dict[str, list[Album]] = {}
        for album in self.albums.values():
            grouped.setdefault(album.artist_id, []).append(album)
        return {artist_id: tuple(albums) for artist_id, albums in grouped.items()}

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
        return self._readable(track.audio_path)

    def original_file(self, track: Track) -> Path | None:
        """Return the track's file in the library, or None as `audio_file` does."""
        return self._readable(track.path)

    def _readable(self, path: str) -> Path | None:
        try:
            real = Path(path).resolve(strict=True)
        except OSError:
            return None
        return real if real.is_file() and any(real.is_relative_to(root) for root in self.roots) else None


def lake_version(lake: Lake) -> str:
    """Return the name of TRACKS' current version; "" before the first."""
    folder = lake.version(TRACKS)
    return folder.name if folder else ""


def load(lake: Lake) -> Catalog:
    """Read the collection from the lake, without tracks that have no audio."""
    found = lake_version(lake)
    columns = lake.read_arrow(TRACKS, *_COLUMNS).to_pydict()
    rows = zip(*(columns[name] for name in _COLUMNS), strict=True)
    tracks = tuple(_track(row) for row in rows if row[_COLUMNS.index("audio_path")])
    libraries = lake.read_arrow(FILES, "library")["library"].unique().to_pylist()
    roots = [lake.root / "audio", *(Path(name) for name in libraries if name)]
    ordered = sorted(
        tracks,
        key=lambda t: (
            normalize_text(t.artist),
            normalize_text(t.album),
            t.track_no or 0,
            normalize_text(t.title),
            t.track_id,
        ),
    )
    catalog = Catalog(found, tuple(ordered), tuple(root.resolve() for root in roots))
    # Built now, so that no request waits for them.
    _ = (catalog.by_id, catalog.artists, catalog.genres, catalog.index, catalog.by_genre(""))
    return catalog


def _track(row: tuple[Any, ...]) -> Track:
    values = dict(zip(_COLUMNS, row, strict=True))
    texts = {name: values[name] or "" for name in ("title", "artist", "album", "genre")}
    audio_path = to_path(values["audio_path"])
    path = to_path(values["path"] or values["audio_path"])
    return Track(
        track_id=values["track_id"],
        **texts,
        track_no=values["track_no"],
        year=values["year"],
        genres=tuple(values["genres"] or ()),
        duration_s=float(values["duration_s"] or 0.0),
        bit_rate=int(values["bit_rate"] or 0),
        path=audio_path if path == audio_path else path,
        audio_path=audio_path,
        recording_id=values["recording_id"] or values["track_id"],
        artist_id=sys.intern(stable_id("ar", texts["artist"])),
        album_id=sys.intern(stable_id("al", texts["artist"], texts["album"] or texts["title"])),
    )


def _albums(tracks: tuple[Track, ...]) -> dict[str, Album]:
    grouped: dict[str, list[Track]] = {}
    for track in tracks:
        grouped.setdefault(track.album_id, []).append(track)
    return {
        album_id: Album(
            album_id, group[0].album or group[0].title, group[0].artist, group[0].artist_id, tuple(group)
        )
        for album_id, group in grouped.items()
    }


def _index(tracks: tuple[Track, ...]) -> PrefixIndex:
    return PrefixIndex(
        [
            (4.0, [normalize_text(track.title) for track in tracks]),
            (3.0, [normalize_text(track.artist) for track in tracks]),
            (2.0, [normalize_text(track.album) for track in tracks]),
            (1.0, [normalize_text(" ".join((track.genre, *track.genres))) for track in tracks]),
        ]
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
