"""`segue fma import`: FMA's features.csv or echonest.csv into FEATURES, in batches.

A model can be trained on them without any audio.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs import progress, settings
from jobs.errors import InputError
from jobs.fma.features_csv import ECHONEST_CSV, FEATURES_CSV, FeatureFile
from jobs.lake import rejects
from jobs.lake.schemas import FEATURES, TRACKS
from jobs.lake.storage import Lake, open_lake
from jobs.library import tracks_table
from jobs.progress import StepResult
from jobs.spark import session


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--features",
        type=Path,
        metavar="FILE",
        help="features.csv to import as the feature version fma-librosa",
    )
    parser.add_argument(
        "--echonest",
        type=Path,
        metavar="FILE",
        help="echonest.csv to import as the feature version fma-echonest",
    )
    parser.add_argument(
        "--skip-invalid", action="store_true", help="skip and count invalid records instead of stopping"
    )
    settings.add_arguments(parser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Replace the versions' rows in FEATURES by the files' and add their tracks to TRACKS.

    Return the counts.
    """
    files = _feature_files(arguments)
    lake = open_lake(arguments)
    session.redirect_stderr_to(lake.root / "logs" / "spark.log")
    counts: dict[str, Any] = {}
    with lake.locked():
        for file in files:
            load_features(lake, file)
            counts[f"rows of {file.layout.version}"] = len(file.track_ids)
        counts["rejected"] = sum(len(file.faults) for file in files)
        counts["skipped"] = sum(file.n_skipped for file in files)
        pa.default_memory_pool().release_unused()  # Spark needs the memory now
        tracks_table.update_tracks(arguments.master, lake)
        counts["tracks"] = lake.count_rows(TRACKS)
    return StepResult(counts)


def _feature_files(arguments: argparse.Namespace) -> list[FeatureFile]:
    """Return the files to import, their headers checked."""
    files = []
    for path, layout in ((arguments.features, FEATURES_CSV), (arguments.echonest, ECHONEST_CSV)):
        if path is None:
            continue
        path = path.expanduser().absolute()
        if not path.is_file():
            raise InputError(f"expected a CSV file, found none at {path}")
        files.append(FeatureFile(path, layout, skip_invalid=arguments.skip_invalid))
    if not files:
        raise InputError("expected --features FILE or --echonest FILE, found neither")
    return files


def load_features(lake: Lake, file: FeatureFile) -> None:
    """Replace the version's rows in FEATURES by the file's, in bounded memory, and its faults in REJECTS."""
    rows = lake.iter_rows(TRACKS, "track_id", "content_hash")
    content_hash_by_id = {row["track_id"]: row["content_hash"] for row in rows}
    total_bytes = file.path.stat().st_size
    with progress.watch(f"{file.path.name}, MiB", total_bytes >> 20, lambda: file.bytes_read >> 20):
        old_batches = lake.iter_batches(FEATURES)
        lake.commit_arrow(FEATURES, merge_features(old_batches, file, content_hash_by_id.get))
    rejects.replace_faults(lake, file.faults, step=f"import {file.layout.version}", untouched=frozenset())


def merge_features(
    old_batches: Iterator[pa.RecordBatch], file: FeatureFile, content_hash: Callable[[str], str | None]
) -> Iterator[pa.RecordBatch]:
    """Yield FEATURES' rows of other versions, then the file's rows.

    Parameters
    ----------
    old_batches
        The present content of FEATURES.
    file
        The file to import.
    content_hash
        Returns the content_hash of a track_id in TRACKS, or None for a track without audio.
    """
    version = file.layout.version
    for batch in old_batches:
        yield batch.filter(pc.not_equal(batch.column("feature_version"), version))
    schema = FEATURES.arrow_schema()
    for batch in file.batches():
        track_ids = batch.column("track_id").to_pylist()
        hashes = [content_hash(track_id) or tracks_table.no_audio_hash(track_id) for track_id in track_ids]
        columns = {
            "track_id": batch.column("track_id"),
            "feature_version": pa.array([version] * len(track_ids), pa.string()),
            "content_hash": pa.array(hashes, pa.string()),
        }
        columns |= {name: batch.column(name) for name in file.layout.columns.values()}
        arrays = []
        for field in schema:
            missing = field.name not in columns
            arrays.append(pa.nulls(len(track_ids), field.type) if missing else columns[field.name])
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
