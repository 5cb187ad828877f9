"""A lake without audio: FEATURES with planted genres, so that what is alike is known."""

from typing import Any

import numpy as np
import pyarrow as pa

from jobs.lake.schemas import FEATURES, TRACKS
from jobs.lake.storage import Lake

GENRES, EACH = 5, 8


def rows(seed: int, *, noise: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """TRACKS and FEATURES of planted genres; the more noise, the less the features say of them."""
    rng = np.random.default_rng(seed)
    names = [name for name in FEATURES.names if FEATURES.arrow_schema().field(name).type == pa.float32()]
    centres = np.random.default_rng(9).standard_normal((GENRES, len(names)))
    tracks, features = [], []
    for number in range(GENRES * EACH):
        own = centres[number % GENRES] + noise * rng.standard_normal(len(names))
        about = {"track_id": f"{number:03d}", "content_hash": f"{seed}-{number}"}
        genre, artist = f"genre {number % GENRES}", f"artist {number}"
        tracks.append(
            {
                **about,
                "path": f"/music/{number:03d}.mp3",
                "artist": artist,
                "title": artist,
                "genre": genre,
                "genres": [genre],
            }
        )
        features.append(
            {
                **about,
                "feature_version": "fma518+1",
                "sample_rate": 44_100,
                **dict(zip(names, own.tolist(), strict=True)),
            }
        )
    return tracks, features


def write(lake: Lake, seed: int = 0, *, noise: float = 1.0, audio: Any = None) -> None:
    """Write both tables; `audio` is every track's file to play."""
    for table, made in zip((TRACKS, FEATURES), rows(seed, noise=noise), strict=True):
        for row in made:
            row["audio_path"] = str(audio)
        lake.commit_arrow(table, pa.Table.from_pylist(made, schema=table.arrow_schema()).to_batches())
