"""A lake without audio: TRACKS and FEATURES with planted genres, so that the right neighbours are known."""

from typing import Any

import numpy as np
import pyarrow as pa

from jobs.lake.schemas import FEATURES, TRACKS
from jobs.lake.storage import Lake

N_GENRES = 5
TRACKS_PER_GENRE = 8
N_TRACKS = N_GENRES * TRACKS_PER_GENRE


def rows(seed: int, *, noise: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return rows of TRACKS and FEATURES; with more noise the features say less about the genres."""
    rng = np.random.default_rng(seed)
    schema = FEATURES.arrow_schema()
    names = [name for name in FEATURES.names if schema.field(name).type == pa.float32()]
    centers = np.random.default_rng(9).standard_normal((N_GENRES, len(names)))
    tracks, features = [], []
    for number in range(N_TRACKS):
        values = centers[number % N_GENRES] + noise * rng.standard_normal(len(names))
        key = {"track_id": f"{number:03d}", "content_hash": f"{seed}-{number}"}
        genre = f"genre {number % N_GENRES}"
        artist = f"artist {number}"
        tracks.append(
            {
                **key,
                "path": f"/music/{number:03d}.mp3",
                "artist": artist,
                "title": artist,
                "genre": genre,
                "genres": [genre],
            }
        )
        features.append(
            {
                **key,
                "feature_version": "fma518+1",
                "sample_rate": 44_100,
                **dict(zip(names, values.tolist(), strict=True)),
            }
        )
    return tracks, features


def write(lake: Lake, seed: int = 0, *, noise: float = 1.0, audio: Any = None) -> None:
    """Write both tables; `audio` is the file that every track plays."""
    tables = zip((TRACKS, FEATURES), rows(seed, noise=noise), strict=True)
    for table, table_rows in tables:
        for row in table_rows:
            row["audio_path"] = str(audio)
        batches = pa.Table.from_pylist(table_rows, schema=table.arrow_schema()).to_batches()
        lake.commit_arrow(table, batches)
