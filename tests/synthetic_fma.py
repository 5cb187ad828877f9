"""Tracks in the layout of FMA's data set, with planted structure, in any number."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.lake.feature_columns import FMA_COLUMNS
from jobs.lake.schemas import FEATURES, TRACKS
from jobs.lake.storage import Lake

N_TRACKS = 106_574
N_ARTISTS = 16_341
INTRINSIC_DIMENSIONS = 16
BLOCK = 2_000

# FMA's top genres with their shares of the tracks that have one, in percent.
GENRES = {
    "Experimental": 21.4,
    "Rock": 28.6,
    "Electronic": 18.9,
    "Hip-Hop": 7.2,
    "Folk": 5.7,
    "Instrumental": 4.2,
    "Pop": 4.7,
    "International": 2.8,
    "Classical": 2.5,
    "Old-Time / Historic": 1.1,
    "Jazz": 1.1,
    "Spoken": 0.8,
    "Country": 0.4,
    "Soul-RnB": 0.3,
    "Blues": 0.2,
    "Easy Listening": 0.1,
}


class SyntheticTracks:
    """Genre and artist of every track, drawn once: artists have one genre and log-normally many tracks."""

    def __init__(self, n_tracks: int) -> None:
        rng = np.random.default_rng(1)
        n_artists = max(n_tracks * N_ARTISTS // N_TRACKS, 1)
        shares = np.array(list(GENRES.values()))
        weights = rng.lognormal(0, 1.2, n_artists)
        self.artist = rng.choice(n_artists, n_tracks, p=weights / weights.sum())
        self.artist_genre = rng.choice(len(GENRES), n_artists, p=shares / shares.sum())
        self.n_tracks = n_tracks
        self.n_artists = n_artists

    def features(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (number of the first track, features (n, 518) float32) in blocks."""
        rng = np.random.default_rng(2)
        n_columns = len(FMA_COLUMNS)
        scale = 10.0 ** rng.uniform(-3, 3, n_columns)
        genres = rng.standard_normal((len(GENRES), n_columns))
        artists = rng.standard_normal((self.n_artists, INTRINSIC_DIMENSIONS))
        basis = rng.standard_normal((len(GENRES), INTRINSIC_DIMENSIONS, n_columns)) / np.sqrt(
            INTRINSIC_DIMENSIONS
        )
        for start in range(0, self.n_tracks, BLOCK):
            artist = self.artist[start : start + BLOCK]
            genre = self.artist_genre[artist]
            within = artists[artist] + 0.7 * rng.standard_normal((len(artist), INTRINSIC_DIMENSIONS))
            values = 0.6 * genres[genre] + 0.5 * rng.standard_normal((len(artist), n_columns))
            for number in np.unique(genre):
                values[genre == number] += within[genre == number] @ basis[number]
            yield start, (values * scale).astype(np.float32)


def commit(lake: Lake, tracks: SyntheticTracks) -> None:
    """Write TRACKS and FEATURES to a lake, as `catalog` and `fma import` would."""
    names = list(GENRES)
    rows = []
    for number, artist in enumerate(tracks.artist.tolist(), 2):
        genre = names[tracks.artist_genre[artist]]
        rows.append(
            {
                "track_id": str(number),
                "content_hash": f"hash of {number}",
                "title": f"Song {number}",
                "artist": f"Artist {artist}",
                "genre": genre,
                "genres": [genre],
                "recording_id": str(number),
            }
        )
    rows.sort(key=lambda row: row["track_id"])
    lake.commit_arrow(TRACKS, [pa.RecordBatch.from_pylist(rows, TRACKS.arrow_schema())])
    values = np.concatenate([block for _, block in tracks.features()])
    order = np.argsort([str(number) for number in range(2, tracks.n_tracks + 2)])
    columns: dict[str, Any] = {name: pa.array(values[order, i]) for i, name in enumerate(FMA_COLUMNS)}
    columns["track_id"] = [row["track_id"] for row in rows]
    columns["content_hash"] = [row["content_hash"] for row in rows]
    columns["feature_version"] = ["fma-librosa"] * len(rows)
    schema = FEATURES.arrow_schema()
    arrays = []
    for field in schema:
        known = field.name in columns
        arrays.append(pa.array(columns[field.name], field.type) if known else pa.nulls(len(rows), field.type))
    lake.commit_arrow(FEATURES, [pa.RecordBatch.from_arrays(arrays, schema=schema)])
