"""The collection as serving holds it in memory: every track, artist, album and genre, and the index to search them.

Read from the lake's TRACKS, which is the truth, and not from MongoDB: the embedded server would bring every document with
its features to its heap, and the page is to play on while MongoDB is away.
"""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jobs.lake.schemas import FILES, TRACKS
from jobs.lake.storage import Lake
from jobs.paths import to_path
from serving.search_index import PrefixIndex, normalize_text

_COLUMNS = (
    *(
        "track_id",
        "title",
        "artist",
        "album",
        "track_no",
        "year",
        "genre",
        "genres",
        "duration_s",
        "bit_rate",
    ),
    *("audio_path", "recording_id"),
)


@dataclass(frozen=True, slots=True)
class Track:
    """One track that can be played: TRACKS' columns, empty text where nothing is known."""

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
    audio_path: str
    recording_id: str
    # Under which artist and album are found; a track without album has one to itself, as clients expect.
    artist_id: str
    album_id: str


def stable_id(kind: str, *names: str) -> str:
    """Return an id made of names: stable over restarts and rebuilds, whatever is added."""
    return f"{kind}-{hashlib.sha256(chr(0).join(map(normalize_text, names)).encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Album:
    """Tracks of one artist that name the same album, in order."""

    album_id: str
    name: str
    artist: str
    artist_id: str
    tracks: tuple[Track, ...]


@dataclass(frozen=True)
class Catalog:
    """One version of the collection; never changed, only replaced."""

    version: str
    tracks: tuple[Track, ...]
    roots: tuple[Path, ...]
    by_id: dict[str, Track] = field(init=False)
    albums: dict[str, Album] = field(init=False)
    artists: dict[str, tuple[Album, ...]] = field(init=False)
    genres: list[tuple[str, int]] = field(init=False)
    index: PrefixIndex = field(init=False)

    def __post_init__(self) -> None:
        put = object.__setattr__  # frozen, and made of itself
        put(self, "by_id", {track.track_id: track for track in self.tracks})
        put(self, "albums", _albums(self.tracks))
        grouped: dict[str, list[Album]] = {}
        for album in self.albums.values():
            grouped.setdefault(album.artist_id, []).append(album)
        put(self, "artists", {name: tuple(albums) for name, albums in grouped.items()})
        put(self, "genres", Counter(track.genre for track in self.tracks if track.genre).most_common())
        put(self, "index", _index(self.tracks))

    def search(self, query: str) -> list[Track]:
        """Return the tracks that a query finds in title, artist, album and genres, best first; all for an empty one."""
        return [self.tracks[number] for number in self.index.search(query)]

    def by_ids(self, ids: Iterable[str]) -> list[Track]:
        """Return the tracks of those ids that can be played, in order."""
        return [self.by_id[each] for each in ids if each in self.by_id]

    def audio_file(self, track: Track) -> Path | None:
        """Return the track's file; None where it is gone, or not below the lake or a folder of music of the batch."""
        path = Path(track.audio_path)
        try:
            real = path.resolve(strict=True)
        except OSError:
            return None
        return real if real.is_file() and any(real.is_relative_to(root) for root in self.roots) else None


def lake_version(lake: Lake) -> str:
    """Return what changes when TRACKS does, the name of its version's folder; empty before the first."""
    folder = lake.version(TRACKS)
    return folder.name if folder else ""


def load(lake: Lake) -> Catalog:
    """Read the collection, without the tracks that have no audio."""
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
    return Catalog(found, tuple(ordered), tuple(root.resolve() for root in roots))


def _track(row: tuple[Any, ...]) -> Track:
    values = dict(zip(_COLUMNS, row, strict=True))
    texts = {name: values[name] or "" for name in ("title", "artist", "album", "genre")}
    return Track(
        track_id=values["track_id"],
        **texts,
        track_no=values["track_no"],
        year=values["year"],
        genres=tuple(values["genres"] or ()),
        duration_s=float(values["duration_s"] or 0.0),
        bit_rate=int(values["bit_rate"] or 0),
        audio_path=to_path(values["audio_path"]),
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
    """Return `count` tracks, one of each artist before a second of any; the same for the same tracks."""
    order = np.random.default_rng(0)
    grouped: dict[str, list[Track]] = {}
    for track in tracks:
        grouped.setdefault(track.artist, []).append(track)
    turns = [
        (place, order.random(), track) for group in grouped.values() for place, track in enumerate(group)
    ]
    return [track for _, _, track in sorted(turns, key=lambda turn: turn[:2])[:count]]
