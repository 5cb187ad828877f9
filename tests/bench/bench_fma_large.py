"""FMA's full size, from features.csv and tracks.csv to a served model: every step's CPU, time and memory.

    python -m tests.bench.bench_fma_large [--tracks 106574] [--folder DIR]

Writes metadata and features with the data set's layout: as many records and characters as FMA's tracks.csv,
its 16 top genres in FMA's shares, 16,341 artists, and 518 features with planted structure (a genre, an artist
within it, and a track on a surface of 16 dimensions). The steps are commands with their default settings.
With `--folder` the results so far are kept in its results.json: the same command goes on after the last step
that was finished.

CPU seconds are those of the command and all it starts; memory is the peak of their sum (PSS).
"""

import argparse
import csv
import json
import os
import platform
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.fma import features_csv
from jobs.lake.feature_columns import FMA_COLUMNS
from jobs.lake.schemas import FEATURES, TRACKS
from jobs.lake.storage import Lake
from jobs.model import kmeans
from tests.bench.bench_scaling import measure_command

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

STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("catalog", ("catalog", "--metadata", "{metadata}")),
    ("fma import", ("fma", "import", "--features", "{features}")),
    ("embed", ("embed",)),
    ("cluster", ("cluster",)),
    ("evaluate", ("evaluate",)),
    ("promote", ("promote", "--allow-refusal")),
    ("publish", ("publish",)),
    ("recommend", ("recommend",)),
    *(
        (f"{name}, nothing new", (name,))
        for name in ("embed", "cluster", "evaluate", "promote", "publish", "recommend")
    ),
)


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


def write_features(path: Path, tracks: SyntheticTracks) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(features_csv.header())
        for start, values in tracks.features():
            for number, row in enumerate(values.tolist(), start + 2):
                file.write(f"{number}," + ",".join(f"{x:.10e}" for x in row) + "\n")


def write_metadata(folder: Path, tracks: SyntheticTracks) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / "genres.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["genre_id", "#tracks", "parent", "title", "top_level"])
        writer.writerows([number, 1, 0, name, number] for number, name in enumerate(GENRES, 1))
    columns = {
        ("album", "comments"): lambda track: "0",
        ("album", "date_released"): lambda track: "2009-01-05 00:00:00",
        ("album", "information"): lambda track: "<p>" + "recorded in one evening " * 16 + "</p>",
        ("album", "title"): lambda track: f"Album {track // 9:06d}",
        ("album", "tracks"): lambda track: "9",
        ("artist", "bio"): lambda track: "<p>" + "a band of four from somewhere, " * 31 + "</p>",
        ("artist", "name"): lambda track: f"Artist {tracks.artist[track]:05d}",
        ("set", "split"): lambda track: ("training", "validation", "test")[max(track % 10 - 7, 0)],
        ("set", "subset"): lambda track: "large",
        ("track", "bit_rate"): lambda track: "256000",
        ("track", "duration"): lambda track: str(120 + track % 300),
        ("track", "favorites"): lambda track: str(track % 7),
        ("track", "genre_top"): lambda track: list(GENRES)[tracks.artist_genre[tracks.artist[track]]],
        ("track", "genres"): lambda track: f"[{tracks.artist_genre[tracks.artist[track]] + 1}]",
        ("track", "license"): lambda track: "Attribution-NonCommercial-ShareAlike 3.0 International",
        ("track", "listens"): lambda track: str(track % 9973),
        ("track", "number"): lambda track: str(track % 9 + 1),
        ("track", "title"): lambda track: f"Song of {track:06d} evenings",
    }
    with (folder / "tracks.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["", *(group for group, _ in columns)])
        writer.writerow(["", *(name for _, name in columns)])
        writer.writerow(["track_id", *[""] * len(columns)])
        for track in range(tracks.n_tracks):
            writer.writerow([track + 2, *(value(track) for value in columns.values())])


class Results:
    """What was measured so far, in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.rows: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.exists() else {}

    def once(self, name: str, measure: Callable[[], dict[str, float]]) -> None:
        """Measure and store, unless that was done before."""
        if name not in self.rows:
            row = measure()
            self.rows[name] = row
            self._file.write_text(json.dumps(self.rows, indent=1))
            print(f"{name:28s}{row['cpu']:9.0f}{row['wall']:9.0f}{row['mib']:9,.0f}", flush=True)


def run(folder: Path, n_tracks: int) -> None:
    tracks = SyntheticTracks(n_tracks)
    paths = {"metadata": folder / "fma_metadata", "features": folder / "features.csv"}
    written = folder / "written"
    if not written.exists():
        write_metadata(paths["metadata"], tracks)
        write_features(paths["features"], tracks)
        written.touch()
    sizes = [(paths["metadata"] / "tracks.csv").stat().st_size, paths["features"].stat().st_size]
    print(f"{n_tracks:,} tracks; tracks.csv {sizes[0] / 1e6:,.0f} MB, features.csv {sizes[1] / 1e6:,.0f} MB")
    print(f"{'step':28s}{'CPU s':>9s}{'wall s':>9s}{'MiB':>9s}")
    results = Results(folder / "results.json")
    for name, words in STEPS:
        command = [word.format(**paths) for word in words]
        results.once(name, partial(measure_command, folder / "lake", command))
    total = [sum(row[column] for row in results.rows.values()) for column in ("cpu", "wall")]
    peak = max(row["mib"] for row in results.rows.values())
    print(f"{'all':28s}{total[0]:9.0f}{total[1]:9.0f}{peak:9,.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=N_TRACKS, help="tracks (default %(default)s)")
    parser.add_argument("--folder", type=Path, help="folder for 8 GB of files (default: a temporary one)")
    arguments = parser.parse_args()
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    cores = len(os.sched_getaffinity(0))
    print(
        f"{platform.machine()}, {cores} cores, {kmeans.blas_name()}, {today}, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory(prefix="segue-fma-") as scratch:
        folder = arguments.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        run(folder, arguments.tracks)


if __name__ == "__main__":
    main()
