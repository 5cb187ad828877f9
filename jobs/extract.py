"""FEATURES from TRACKS: every track's audio is decoded once and described by `dsp.features`."""

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from jobs import audio, dsp, rejects, session, settings, workers
from jobs.errors import BadFile
from jobs.paths import to_path
from jobs.storage import Lake
from jobs.tables import FEATURE_COLUMNS, FEATURES, REJECTS, TRACKS, Column

_RESULTS = FEATURES.plus(
    Column("path", "string", "file of the library"),
    Column("audio_path", "string", "file that was analysed"),
    *rejects.ATTEMPT,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments."""
    rejects.add_arguments(parser)


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Bring FEATURES and REJECTS up to date with TRACKS; return the counts."""
    lake = Lake(settings.lake_path(arguments.lake))
    rejected = rejects.known(lake.arrow(REJECTS), "extract")
    done = present(lake.arrow(FEATURES, *_PRESENT)) | present(lake.staged_arrow(FEATURES, *_PRESENT))
    todo = [
        {**row, **rejects.attempt(row["path"], rejected)}
        for row in lake.arrow(TRACKS, *_NEEDED, "bit_rate").to_pylist()
        if (row["track_id"], row["content_hash"]) not in done
        and (arguments.retry_rejected or not _is_rejected(row, rejected))
    ]
    sizes = [int((row["duration_s"] or 0) * (row["bit_rate"] or 0) / 8) for row in todo]
    workers.run(
        arguments.master, lake, todo, sizes, name="extract", function=extract_file, table=FEATURES, results=_RESULTS
    )
    _commit(arguments.master, lake)
    return _counts(lake, len(todo))


_PRESENT = ("track_id", "content_hash", "feature_version")
_NEEDED = ("track_id", "path", "audio_path", "content_hash", "duration_s")


def present(features: pa.Table) -> set[tuple[str, str]]:
    """Return (track_id, content_hash) of the rows of FEATURES that the present code would make the same again."""
    rows = features.to_pylist()
    return {(row["track_id"], row["content_hash"]) for row in rows if row["feature_version"] == dsp.FEATURE_VERSION}


def _is_rejected(track: workers.Row, rejected: dict[str, dict[str, Any]]) -> bool:
    row = rejected.get(track["path"])
    return row is not None and row["content_hash"] == track["content_hash"]


def extract_file(row: workers.Row) -> workers.Row:
    """Return a track's row of FEATURES; its error where its audio cannot be described."""
    row = {**row, "feature_version": dsp.FEATURE_VERSION}
    try:
        values, duration, sample_rate = describe(to_path(row["audio_path"]))
    except Exception as error:  # whatever one file does, it is that file's row
        return {**row, "error": workers.reason(error)}
    features = dict(zip(FEATURE_COLUMNS, values.tolist(), strict=True))
    return {**row, "duration_s": duration, "sample_rate": sample_rate, **features}


def describe(path: str) -> tuple[np.ndarray, float, int]:
    """Return a file's features (float32, in the order of FEATURE_COLUMNS), its seconds of audio and its sample rate.

    Raises BadFile where it does not decode, is truncated, or holds nothing that features could describe.
    """
    decoder = audio.open_audio(path)
    samples = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal samples
        samples = 0  # a long file is decoded twice
        for block in decoder.blocks():
            samples += len(block)
            yield block

    try:
        values = dsp.features(counted, sample_rate=decoder.sample_rate)
    except dsp.SignalError as error:
        raise BadFile(str(error)) from error
    duration = samples / decoder.sample_rate
    audio.check_duration(audio.read_header(path).duration_s, duration)
    return values, duration, decoder.sample_rate


def _commit(master: str, lake: Lake) -> None:
    """Make the staged results the new rows of FEATURES, and their errors those of REJECTS."""
    if not len(lake.staged_arrow(FEATURES, "track_id")):
        return
    spark = session.spark(master)
    staged = lake.staged(spark, _RESULTS).dropDuplicates(["track_id", "feature_version"]).persist()
    # REJECTS first: FEATURES clears the staged parts that both are made from.
    lake.commit(REJECTS, rejects.merged(lake.read(spark, REJECTS), staged, step="extract"))
    old = lake.read(spark, FEATURES).join(staged, list(FEATURES.key), "left_anti")
    lake.commit(FEATURES, old.unionByName(staged.where("error IS NULL").select(FEATURES.names)))
    staged.unpersist()


def _counts(lake: Lake, tried: int) -> dict[str, Any]:
    done = present(lake.arrow(FEATURES, *_PRESENT))
    tracks = lake.arrow(TRACKS, "track_id", "content_hash").to_pylist()
    extracted = sum((row["track_id"], row["content_hash"]) in done for row in tracks)
    return {"tracks": len(tracks), "extracted": extracted, "rejected": len(tracks) - extracted, "tried now": tried}
