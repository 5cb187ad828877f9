"""FEATURES from TRACKS: decode every new track's audio once and compute its features with `jobs.dsp`."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.audio import features_of_file
from jobs.errors import StepError
from jobs.lake import rejects
from jobs.lake.feature_columns import (
    ECHONEST_COLUMNS,
    FEATURE_COLUMNS,
    FEATURE_VERSION,
    PRETRAINED_COLUMNS,
)
from jobs.lake.schemas import FEATURES, REJECTS, TRACKS, Column, Table
from jobs.lake.storage import Lake, open_lake
from jobs.library import scan
from jobs.musicnn import weights
from jobs.paths import escape_control_chars, to_path
from jobs.progress import StepResult
from jobs.spark import file_tasks, session

# The columns that workers return and that are staged. The features are one array column, since a thousand
# columns cost Spark more than computing them.
_RESULTS = Table(
    FEATURES.name,
    FEATURES.key,
    (
        *FEATURES.columns[:5],
        Column("features", "floats", "in the order of FEATURE_COLUMNS; null if the track was rejected"),
        Column("path", "string", "file of the library"),
        Column("audio_path", "string", "file that was analyzed"),
        *rejects.ATTEMPT_COLUMNS,
    ),
)

# Files per Spark task: about three seconds of work for clips of half a minute.
_TASK_FILES = 32

# Of the pretrained features one column tells whether the weights were there.
_VERSION_COLUMNS = ("track_id", "content_hash", "feature_version", PRETRAINED_COLUMNS[0])
_TRACK_COLUMNS = ("track_id", "path", "audio_path", "content_hash", "duration_s", "bit_rate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    rejects.add_arguments(parser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Update FEATURES and REJECTS from TRACKS; return the counts."""
    lake = open_lake(arguments)
    todo = plan_extraction(lake, retry=arguments.retry_rejected)
    file_tasks.map_files(
        arguments.master,
        lake,
        todo,
        [_audio_bytes(row) for row in todo],
        name="extract",
        function=extract_file,
        table=FEATURES,
        results=_RESULTS,
        task_files=_TASK_FILES,
    )
    _commit(arguments.master, lake)
    check_audio_exists([row["audio_path"] for row in todo])
    return StepResult(_counts(lake, n_attempted=len(todo)))


def plan_extraction(lake: Lake, *, retry: bool) -> list[file_tasks.TaskRow]:
    """Return the tracks to extract, with the columns of a new attempt.

    These are the tracks with audio and without features of the present version, in FEATURES or staged by a
    killed run; with MusiCNN's weights also those without its embedding. Tracks that were rejected with the
    same content are among them only with `retry`.
    """
    rejected = rejects.by_path(lake.read_arrow(REJECTS), "extract")
    extracted = extracted_keys(lake.read_arrow(FEATURES, *_VERSION_COLUMNS))
    extracted |= _staged_keys(lake)
    todo = []
    for track in lake.iter_rows(TRACKS, *_TRACK_COLUMNS):
        if track["audio_path"] is None or (track["track_id"], track["content_hash"]) in extracted:
            continue
        if retry or not _is_rejected(track, rejected):
            todo.append({**track, **rejects.new_attempt(track["path"], rejected)})
    return todo


def extracted_keys(feature_rows: pa.Table) -> set[tuple[str, str]]:
    """Return (track_id, content_hash) of the rows of FEATURES that nothing is missing from.

    They have the present feature version and, where this machine has MusiCNN's weights, its embedding.
    """
    needs_pretrained = weights.is_available()
    return {
        (row["track_id"], row["content_hash"])
        for row in feature_rows.select(_VERSION_COLUMNS).to_pylist()
        if row["feature_version"] == FEATURE_VERSION
        and not (needs_pretrained and row[PRETRAINED_COLUMNS[0]] is None)
    }


def _staged_keys(lake: Lake) -> set[tuple[str, str]]:
    """Return (track_id, content_hash) of the rows that a killed run has staged."""
    rows = lake.read_staged_arrow(FEATURES, "track_id", "content_hash", "feature_version")
    return {
        (row["track_id"], row["content_hash"])
        for row in rows.to_pylist()
        if row["feature_version"] == FEATURE_VERSION
    }


def _is_rejected(track: file_tasks.TaskRow, rejected: dict[str, dict[str, Any]]) -> bool:
    row = rejected.get(track["path"])
    return row is not None and row["content_hash"] == track["content_hash"]


def _audio_bytes(track: file_tasks.TaskRow) -> int:
    """Return the estimated size of a track's audio file in bytes."""
    return int((track["duration_s"] or 0) * (track["bit_rate"] or 0) / 8)


def check_audio_exists(audio_paths: list[str]) -> None:
    """Raise StepError if a file is missing: its disk is unavailable, or it was deleted after `catalog`."""
    missing = [path for path in audio_paths if not scan.exists(to_path(path))]
    if missing:
        raise StepError(
            f"expected the audio of {len(audio_paths)} tracks, found {len(missing)} files missing, "
            f"as {escape_control_chars(missing[0])}; make the disk available again, or run `segue run` to "
            "update the tables after a deletion"
        )


def extract_file(row: file_tasks.TaskRow) -> file_tasks.TaskRow | None:
    """Return a track's row of FEATURES, with `error` set if its audio has no features.

    Returns None if the file is gone meanwhile. Raises StepError if the disk or the machine fails.
    """
    row = {**row, "feature_version": FEATURE_VERSION}
    path = to_path(row["audio_path"])
    try:
        result = features_of_file.extract_file_features(path)
    except Exception as error:  # any error is this file's, and must not end the run
        return file_tasks.reject_row(row, error, path)
    return {
        **row,
        "duration_s": result.duration_s,
        "sample_rate": result.sample_rate,
        "features": result.values,
    }


def _commit(master: str, lake: Lake) -> None:
    """Merge the staged results into FEATURES, and their errors into REJECTS."""
    errors = lake.read_staged_arrow(_RESULTS, "error")["error"]
    if not len(errors):
        return
    has_errors = errors.null_count < len(errors)
    # REJECTS first: committing FEATURES deletes the staged parts that both come from.
    if has_errors or lake.count_rows(REJECTS):
        spark = session.get_session(master)
        attempt_columns = [column.name for column in rejects.ATTEMPT_COLUMNS]
        attempted = lake.staged(spark, _RESULTS).select("path", "content_hash", *attempt_columns)
        latest = rejects.latest_attempts(attempted)
        lake.commit(REJECTS, rejects.merge_attempts(lake.read(spark, REJECTS), latest, step="extract"))
    merged = merge_features(lake.iter_batches(FEATURES), lambda: lake.iter_staged_batches(_RESULTS))
    lake.commit_arrow(FEATURES, merged)


def merge_features(
    old: Iterable[pa.RecordBatch], iter_staged: Callable[[], Iterator[pa.RecordBatch]]
) -> Iterator[pa.RecordBatch]:
    """Yield FEATURES' rows: the old ones that were not attempted again, then the staged ones without error.

    `iter_staged()` yields the results, the latest attempt first. It is called twice, so that one batch is in
    memory at a time: once for the keys that were attempted, once for the rows.
    """

    def staged() -> Iterator[pa.RecordBatch]:
        return map(_without_other_versions, iter_staged())

    attempted = {key for batch in staged() for key in _keys(batch)}
    for batch in old:
        is_old = [key not in attempted for key in _keys(batch)]
        yield batch.filter(pa.array(is_old, pa.bool_()))
    seen: set[tuple[str, str]] = set()
    for batch in staged():
        is_latest = []
        for key in _keys(batch):
            is_latest.append(key not in seen)
            seen.add(key)
        latest = batch.filter(pa.array(is_latest, pa.bool_()))
        yield explode_features(latest.filter(pc.field("error").is_null()))


def _without_other_versions(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Leave out results that were staged before an upgrade, with another number of features."""
    is_complete = pc.equal(pc.list_value_length(batch.column("features")), len(FEATURE_COLUMNS))
    return batch.filter(pc.fill_null(is_complete, True))


def _keys(batch: pa.RecordBatch) -> list[tuple[str, str]]:
    columns = [batch.column(name).to_pylist() for name in FEATURES.key]
    return list(zip(*columns, strict=True))


def explode_features(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return staged rows with one column per feature, as in FEATURES."""
    matrix = batch.column("features").flatten().to_numpy().reshape(len(batch), len(FEATURE_COLUMNS))
    by_name = dict(zip(FEATURE_COLUMNS, np.ascontiguousarray(matrix.T), strict=True))
    for name in PRETRAINED_COLUMNS:
        by_name[name] = pa.array(by_name[name], from_pandas=True)  # NaN becomes null
    by_name |= dict.fromkeys(ECHONEST_COLUMNS, pa.nulls(len(batch), pa.float32()))
    columns = [by_name[name] if name in by_name else batch.column(name) for name in FEATURES.names]
    arrays = [column if isinstance(column, pa.Array) else pa.array(column) for column in columns]
    return pa.RecordBatch.from_arrays(arrays, schema=FEATURES.arrow_schema())


def _counts(lake: Lake, *, n_attempted: int) -> dict[str, Any]:
    extracted = extracted_keys(lake.read_arrow(FEATURES, *_VERSION_COLUMNS))
    rows = lake.iter_rows(TRACKS, "track_id", "content_hash", "audio_path")
    tracks = [row for row in rows if row["audio_path"] is not None]
    n_extracted = sum((row["track_id"], row["content_hash"]) in extracted for row in tracks)
    return {
        "tracks": len(tracks),
        "extracted": n_extracted,
        "rejected": len(tracks) - n_extracted,
        "attempted": n_attempted,
    }
