"""FEATURES from TRACKS: every track's audio is decoded once and described by `dsp.features`."""

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.audio import decoding
from jobs.dsp import features
from jobs.errors import StepError, UnusableFile
from jobs.lake import rejects
from jobs.lake.feature_columns import ECHONEST_COLUMNS, FEATURE_COLUMNS
from jobs.lake.schemas import FEATURES, REJECTS, TRACKS, Column, Table
from jobs.lake.storage import Lake, open_lake
from jobs.library import scan
from jobs.paths import escape_control_chars, to_path
from jobs.progress import StepResult
from jobs.spark import file_tasks, session

# What the workers return and what is staged: the features as one column, since a thousand cost Spark more than the work.
_RESULTS = Table(
    FEATURES.name,
    FEATURES.key,
    (
        *FEATURES.columns[:5],
        Column("features", "floats", "in the order of FEATURE_COLUMNS; null where the track was rejected"),
        Column("path", "string", "file of the library"),
        Column("audio_path", "string", "file that was analysed"),
        *rejects.ATTEMPT_COLUMNS,
    ),
)

# Files of one Spark task: of half a minute each, about three seconds of work.
_TASK_FILES = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    rejects.add_arguments(parser)


def main(arguments: argparse.Namespace) -> StepResult:
    """Bring FEATURES and REJECTS up to date with TRACKS; return the counts."""
    lake = open_lake(arguments)
    rejected = rejects.by_path(lake.read_arrow(REJECTS), "extract")
    done = extracted_keys(lake.read_arrow(FEATURES, *_PRESENT)) | extracted_keys(
        lake.read_staged_arrow(FEATURES, *_PRESENT)
    )
    todo = [
        {**row, **rejects.new_attempt(row["path"], rejected)}
        for row in lake.read_arrow(TRACKS, *_NEEDED, "bit_rate").to_pylist()
        if row["audio_path"] is not None
        and (row["track_id"], row["content_hash"]) not in done
        and (arguments.retry_rejected or not _is_rejected(row, rejected))
    ]
    sizes = [int((row["duration_s"] or 0) * (row["bit_rate"] or 0) / 8) for row in todo]
    file_tasks.map_files(
        arguments.master,
        lake,
        todo,
        sizes,
        name="extract",
        function=extract_file,
        table=FEATURES,
        results=_RESULTS,
        task_files=_TASK_FILES,
    )
    _commit(arguments.master, lake)
    check_audio_exists([row["audio_path"] for row in todo])
    return StepResult(_counts(lake, len(todo)))


_PRESENT = ("track_id", "content_hash", "feature_version")
_NEEDED = ("track_id", "path", "audio_path", "content_hash", "duration_s")


def extracted_keys(feature_rows: pa.Table) -> set[tuple[str, str]]:
    """Return (track_id, content_hash) of the rows of FEATURES that the present code would make the same again."""
    rows = feature_rows.to_pylist()
    return {
        (row["track_id"], row["content_hash"])
        for row in rows
        if row["feature_version"] == features.FEATURE_VERSION
    }


def _is_rejected(track: file_tasks.FileRow, rejected: dict[str, dict[str, Any]]) -> bool:
    row = rejected.get(track["path"])
    return row is not None and row["content_hash"] == track["content_hash"]


def check_audio_exists(audio_paths: list[str]) -> None:
    """Raise StepError where any of the files is gone: a disk that is away, or audio deleted since TRACKS was made."""
    gone = [path for path in audio_paths if not scan.exists(to_path(path))]
    if gone:
        raise StepError(
            f"expected the audio of {len(audio_paths)} tracks, found {len(gone)} files gone, as {escape_control_chars(gone[0])}; "
            "bring the disk back, or have `segue run` look for what was deleted"
        )


def extract_file(row: file_tasks.FileRow) -> file_tasks.FileRow | None:
    """Return a track's row of FEATURES; its error where its audio cannot be described.

    None where that is gone meanwhile, StepError where disk or machine failed.
    """
    row = {**row, "feature_version": features.FEATURE_VERSION}
    path = to_path(row["audio_path"])
    try:
        values, duration, sample_rate = extract_file_features(path)
    except Exception as error:  # whatever one file does, it is that file's row
        return file_tasks.reject_row(row, error, path)
    return {**row, "duration_s": duration, "sample_rate": sample_rate, "features": values}


def extract_file_features(path: str) -> tuple[np.ndarray, float, int]:
    """Return a file's features (float32, in the order of FEATURE_COLUMNS), its seconds of audio and its sample rate.

    Raises BadFile where it does not decode, is truncated, or holds nothing that features could describe.
    """
    decoder = decoding.open_audio(path)
    samples = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal samples
        samples = 0  # a long file is decoded twice
        for block in decoder.blocks():
            samples += len(block)
            yield block

    try:
        values = features.extract_features(counted, sample_rate=decoder.sample_rate)
    except features.SignalError as error:
        raise UnusableFile(str(error)) from error
    duration = samples / decoder.sample_rate
    decoding.check_duration(decoding.read_header(path).duration_s, duration)
    return values, duration, decoder.sample_rate


def _commit(master: str, lake: Lake) -> None:
    """Make the staged results the new rows of FEATURES, and their errors those of REJECTS."""
    errors = lake.read_staged_arrow(_RESULTS, "error")["error"]
    if not len(errors):
        return
    # REJECTS first: FEATURES clears the staged parts that both are made from.
    if lake.count_rows(REJECTS) or errors.null_count < len(errors):
        spark = session.get_session(master)
        attempted = lake.staged(spark, _RESULTS).select(
            "path", "content_hash", *(c.name for c in rejects.ATTEMPT_COLUMNS)
        )
        lake.commit(
            REJECTS,
            rejects.merge_attempts(
                lake.read(spark, REJECTS), rejects.latest_attempts(attempted), step="extract"
            ),
        )
    lake.commit_arrow(
        FEATURES, merge_features(lake.iter_batches(FEATURES), lambda: lake.iter_staged_batches(_RESULTS))
    )


def merge_features(
    old: Iterator[pa.RecordBatch], staged: Callable[[], Iterator[pa.RecordBatch]]
) -> Iterator[pa.RecordBatch]:
    """Yield FEATURES' rows: the old ones that were not tried again, then the staged ones that worked.

    `staged()` yields the results, the latest attempt first, and is called twice: once to know who was tried.
    """
    tried = {key for batch in staged() for key in _keys(batch)}
    for batch in old:
        yield batch.filter(pa.array([key not in tried for key in _keys(batch)], pa.bool_()))
    seen: set[tuple[str, str]] = set()
    for batch in staged():
        first = [key not in seen and not seen.add(key) for key in _keys(batch)]  # type: ignore[func-returns-value]
        yield explode_features(batch.filter(pa.array(first, pa.bool_())).filter(pc.field("error").is_null()))


def _keys(batch: pa.RecordBatch) -> list[tuple[str, str]]:
    return list(zip(*(batch.column(name).to_pylist() for name in FEATURES.key), strict=True))


def explode_features(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return staged rows with a column for each feature, as FEATURES has them."""
    matrix = batch.column("features").flatten().to_numpy().reshape(len(batch), len(FEATURE_COLUMNS))
    features = dict(zip(FEATURE_COLUMNS, np.ascontiguousarray(matrix.T), strict=True))
    features |= dict.fromkeys(ECHONEST_COLUMNS, pa.nulls(len(batch), pa.float32()))
    columns = [features[name] if name in features else batch.column(name) for name in FEATURES.names]
    return pa.RecordBatch.from_arrays(
        [pa.array(column) for column in columns], schema=FEATURES.arrow_schema()
    )


def _counts(lake: Lake, tried: int) -> dict[str, Any]:
    done = extracted_keys(lake.read_arrow(FEATURES, *_PRESENT))
    rows = lake.read_arrow(TRACKS, "track_id", "content_hash", "audio_path").to_pylist()
    tracks = [row for row in rows if row["audio_path"] is not None]
    extracted = sum((row["track_id"], row["content_hash"]) in done for row in tracks)
    return {
        "tracks": len(tracks),
        "extracted": extracted,
        "rejected": len(tracks) - extracted,
        "tried now": tried,
    }
