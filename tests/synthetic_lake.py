"""A small lake with known answers, made without Spark: the tests of the player run on it.

Eight artists have five tracks each. Artist n's vectors lie around axis n, so the neighbours of a track are
its artist's tracks. Every audio file is a short tone. Track ids are t00 to t39; t00 to t04 are Artist 0's.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile

from jobs.lake.schemas import EMBEDDINGS, FEATURES, FILES, TRACKS, Table
from jobs.lake.storage import Lake

ARTISTS = 8
TRACKS_PER_ARTIST = 5
GENRES = ("Folk", "Techno", "Jazz", "Dub")
SAMPLE_RATE = 8_000


def make(folder: Path, *, seconds: float = 2.0) -> Lake:
    """Write the lake with its audio files of this length; return it."""
    lake = Lake(folder)
    audio = folder / "audio" / "64k"
    audio.mkdir(parents=True)
    tracks = []
    features = []
    embeddings = []
    rng = np.random.default_rng(0)
    for number in range(ARTISTS * TRACKS_PER_ARTIST):
        track_id = f"t{number:02d}"
        path = audio / f"{track_id}.wav"
        _write_tone(path, 220 + 20 * number, seconds)
        tracks.append(_track(number, track_id, path, seconds))
        artist = number // TRACKS_PER_ARTIST
        vector = np.zeros(ARTISTS)
        vector[artist] = 1
        vector += rng.normal(0, 0.08, ARTISTS)
        embeddings.append(
            {
                "model_version": "1",
                "track_id": track_id,
                "embedding": (vector / np.linalg.norm(vector)).astype(np.float32),
                "cluster": artist,
            }
        )
        features.append({"track_id": track_id, "rmse_mean_01": number / 40, "onset_density": number / 10})
    files = [{"path": row["path"], "library": str(folder / "music")} for row in tracks]
    for table, rows in ((TRACKS, tracks), (FEATURES, features), (EMBEDDINGS, embeddings), (FILES, files)):
        write_rows(lake, table, rows)
    return lake


def _write_tone(path: Path, frequency: float, seconds: float) -> None:
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * frequency * time), SAMPLE_RATE)


def _track(number: int, track_id: str, path: Path, seconds: float) -> dict[str, Any]:
    artist, position = divmod(number, TRACKS_PER_ARTIST)
    return {
        "track_id": track_id,
        "path": str(path),
        "audio_path": str(path),
        "content_hash": track_id * 16,
        "title": f"Song {chr(65 + position)} of {artist}",
        "artist": f"Artist {artist}",
        "album": f"Álbum {artist}",
        "track_no": position + 1,
        "year": 1990 + artist,
        "genre": GENRES[artist % 4],
        "genres": [GENRES[artist % 4]],
        "duration_s": seconds,
        "bit_rate": 64_000,
        "source": "tags",
        "recording_id": track_id,
    }


def write_rows(lake: Lake, table: Table, rows: list[dict[str, Any]]) -> None:
    schema = table.arrow_schema()
    lake.commit_arrow(table, [pa.RecordBatch.from_pylist(rows, schema)])


def make_large(folder: Path, *, artists: int = 400) -> Lake:
    """Write a lake of five albums of ten tracks per artist, all with one file of audio; return it.

    Artist n's name begins with the n-th letter from A on, modulo 26. Its genre is GENRES[n % 4], and its
    vectors lie around that genre's axis. Track ids are t00000 and so on, in the order of artists.
    """
    lake = Lake(folder)
    audio = folder / "audio" / "64k" / "tone.wav"
    audio.parent.mkdir(parents=True)
    _write_tone(audio, 440, 8.0)
    tracks, features, embeddings = [], [], []
    rng = np.random.default_rng(0)
    for number in range(artists * 50):
        artist, place = divmod(number, 50)
        album, position = divmod(place, 10)
        track_id = f"t{number:05d}"
        name = f"{chr(65 + artist % 26)}rtist {artist:03d}"
        tracks.append(
            {
                **_track(artist * TRACKS_PER_ARTIST, track_id, audio, 8.0),
                **{"content_hash": track_id * 10, "recording_id": track_id, "track_no": position + 1},
                **{"artist": name, "title": f"Song {position + 1} of {album} by {name}"},
                **{"album": f"{chr(65 + artist % 26)}lbum {album} by {artist:03d}", "year": 1980 + album},
                **{"genre": GENRES[artist % 4], "genres": [GENRES[artist % 4]]},
            }
        )
        vector = np.eye(4)[artist % 4] + rng.normal(0, 0.05, 4)
        embeddings.append(
            {
                "model_version": "1",
                "track_id": track_id,
                "embedding": (vector / np.linalg.norm(vector)).astype(np.float32),
                "cluster": artist % 4,
            }
        )
        features.append({"track_id": track_id, "rmse_mean_01": artist / artists, "onset_density": 1.0})
    files = [{"path": str(audio), "library": str(folder / "music")}]
    for table, rows in ((TRACKS, tracks), (FEATURES, features), (EMBEDDINGS, embeddings), (FILES, files)):
        write_rows(lake, table, rows)
    return lake
