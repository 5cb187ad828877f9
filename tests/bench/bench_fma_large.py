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
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from jobs.fma import features_csv
from jobs.model import kmeans
from tests.bench.bench_scaling import measure_command
from tests.synthetic_fma import GENRES, N_TRACKS, SyntheticTracks

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
