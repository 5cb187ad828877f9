"""FEATURES from TRACKS: every track's audio is decoded once and described by `dsp.features`."""

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

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
    spark = session.spark(arguments.master)
    rejected = rejects.known(lake.read(spark, REJECTS), "extract")
    todo = [
        row
        for row in missing(lake.read(spark, TRACKS), _present(spark, lake)).collect()
        if arguments.retry_rejected or row.path not in rejected or rejected[row.path].content_hash != row.content_hash
    ]
    rows = [{**row.asDict(), **rejects.attempt(row.path, rejected)} for row in todo]
    sizes = [int((row.duration_s or 0) * (row.bit_rate or 0) / 8) for row in todo]
    workers.run(spark, lake, rows, sizes, name="extract", function=extract_file, table=FEATURES, results=_RESULTS)
    _commit(spark, lake)
    return _counts(spark, lake, len(todo))


def missing(tracks: DataFrame, features: DataFrame) -> DataFrame:
    """Return the tracks whose present content has no features of the present version."""
    present = features.where(F.col("feature_version") == dsp.FEATURE_VERSION).select("track_id", "content_hash")
    return tracks.join(present, ["track_id", "content_hash"], "left_anti").orderBy("track_id")


def _present(spark: SparkSession, lake: Lake) -> DataFrame:
    """Return whose features are in FEATURES or staged, rejected ones included."""
    names = ["track_id", "content_hash", "feature_version"]
    return lake.read(spark, FEATURES).select(names).unionByName(lake.staged(spark, FEATURES).select(names))


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


def _commit(spark: SparkSession, lake: Lake) -> None:
    """Make the staged results the new rows of FEATURES, and their errors those of REJECTS."""
    staged = lake.staged(spark, _RESULTS).dropDuplicates(["track_id", "feature_version"]).persist()
    if staged.isEmpty():
        return
    # REJECTS first: FEATURES clears the staged parts that both are made from.
    lake.commit(REJECTS, rejects.merged(lake.read(spark, REJECTS), staged, step="extract"))
    old = lake.read(spark, FEATURES).join(staged, list(FEATURES.key), "left_anti")
    lake.commit(FEATURES, old.unionByName(staged.where("error IS NULL").select(FEATURES.names)))
    staged.unpersist()


def _counts(spark: SparkSession, lake: Lake, tried: int) -> dict[str, Any]:
    tracks = lake.read(spark, TRACKS)
    without = missing(tracks, lake.read(spark, FEATURES)).count()
    return {
        "tracks": lake.rows(TRACKS),
        "extracted": lake.rows(TRACKS) - without,
        "rejected": without,
        "tried now": tried,
    }
