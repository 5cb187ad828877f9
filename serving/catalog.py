"""The collection in memory: tracks, albums, artists, genres, and the search index.

It is read from TRACKS in the lake, not from MongoDB: the embedded server would load every document with its
features into its heap, and the player has to work while MongoDB is unavailable.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake.schemas import FEATURES, FILES, TRACKS
from jobs.lake.storage import Lake
from jobs.model import predicted_genres
from serving import track_columns, track_details
from serving.catalog_items import Album as Album
from serving.catalog_items import Artist as Artist
from serving.catalog_items import Track as Track
from serving.catalog_items import group_albums, group_artists
from serving.catalog_items import stable_id as stable_id
from serving.search_index import PrefixIndex, normalize_text
from serving.track_columns import TrackColumns
from serving.track_details import TrackDetails
from serving.track_maker import make_tracks


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
    columns = [*dict.fromkeys((*track_columns.COLUMNS, *track_details.COLUMNS))]
    table = lake.read_arrow(TRACKS, *columns, where=pc.field("audio_path").is_valid())
    details = TrackDetails(_with_computed_tempo(lake, table))
    table = _with_predicted_genres(lake, table)
    tracks, sort_names = make_tracks(TrackColumns.from_arrow(table))
    del table
    pa.default_memory_pool().release_unused()
    libraries = lake.read_arrow(FILES, "library")["library"].unique().to_pylist()
    roots = [lake.root / "audio", *(Path(name) for name in libraries if name)]
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


def _with_predicted_genres(lake: Lake, tracks: pa.Table) -> pa.Table:
    """Return TRACKS' columns, with a genre by sound where none is written; `genre_predicted` says where."""
    is_missing = pc.is_null(tracks["genre"])
    predicted = predicted_genres.load(lake, tracks["track_id"].filter(is_missing).to_pylist())
    found = pa.array([predicted.get(track_id) for track_id in tracks["track_id"].to_pylist()], pa.string())
    is_predicted = pc.and_(is_missing, pc.is_valid(found))
    tracks = tracks.append_column("genre_predicted", is_predicted)
    genres = pc.coalesce(tracks["genre"], found)
    return tracks.set_column(tracks.schema.get_field_index("genre"), "genre", genres)


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
