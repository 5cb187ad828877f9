"""A small lake whose right answers are known, made without Spark: what serving is tested over.

Eight artists with five tracks each; artist n's vectors lie around axis n, so the nearest of a track are its artist's. Every
file is a short tone. Track ids are t00 to t39; t00 to t04 are Artist 0's.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

from jobs.lake.schemas import EMBEDDINGS, FEATURES, FILES, TRACKS, Table
from jobs.lake.storage import Lake

ARTISTS, EACH = 8, 5
GENRES = ("Folk", "Techno", "Jazz", "Dub")


def make(folder: Path, *, seconds: float = 2.0) -> Lake:
    """Write the lake and its music; return it."""
    lake = Lake(folder)
    audio = folder / "audio" / "64k"
    audio.mkdir(parents=True)
    tracks, features, embeddings = [], [], []
    random = np.random.default_rng(0)
    for number in range(ARTISTS * EACH):
        artist, place = divmod(number, EACH)
        track_id = f"t{number:02d}"
        path = audio / f"{track_id}.wav"
        time = np.arange(int(seconds * 8000)) / 8000
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * (220 + 20 * number) * time), 8000)
        tracks.append(
            {
                "track_id": track_id,
                "path": str(path),
                "audio_path": str(path),
                "content_hash": track_id * 16,
                "title": f"Song {chr(65 + place)} of {artist}",
                "artist": f"Artist {artist}",
                "album": f"Álbum {artist}",
                "track_no": place + 1,
                "year": 1990 + artist,
                "genre": GENRES[artist % 4],
                "genres": [GENRES[artist % 4]],
                "duration_s": seconds,
                "bit_rate": 64_000,
                "source": "tags",
                "recording_id": track_id,
            }
        )
        vector = np.zeros(ARTISTS)
        vector[artist] = 1
        vector += random.normal(0, 0.08, ARTISTS)
        embeddings.append(
            {
                "model_version": "1",
                "track_id": track_id,
                "embedding": (vector / np.linalg.norm(vector)).astype(np.float32),
                "cluster": artist,
            }
        )
        features.append({"track_id": track_id, "rmse_mean_01": number / 40, "onset_density": number / 10})
    for table, rows in ((TRACKS, tracks), (FEATURES, features), (EMBEDDINGS, embeddings)):
        _write(lake, table, rows)
    _write(lake, FILES, [{"path": row["path"], "library": str(folder / "music")} for row in tracks])
    return lake


def _write(lake: Lake, table: Table, rows: list[dict]) -> None:
    schema = table.arrow_schema()
    lake.commit_arrow(table, [pa.RecordBatch.from_pylist(rows, schema)])
