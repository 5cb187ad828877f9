"""TRACKS from FILES: one track per content, its id, its tags."""

import argparse
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs import rejects, session, settings, workers
from jobs.paths import to_path
from jobs.storage import Lake
from jobs.tables import FILES, TRACKS, Column
from jobs.tags import read_tags

_RESULTS = TRACKS.plus(Column("library", "string", "folder that the path is below"), *rejects.ATTEMPT)

# Reading tags takes a millisecond: larger tasks than for audio.
_TASK_FILES = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments: none, it reads FILES."""


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Bring TRACKS up to date with FILES; return the counts."""
    lake = Lake(settings.lake_path(arguments.lake))
    spark = session.spark(arguments.master)
    files = lake.read(spark, FILES).where("outcome != 'rejected'").select(*_SHARED, "library")
    old = lake.read(spark, TRACKS)
    known = old.unionByName(lake.staged(spark, TRACKS))
    todo = [row.asDict() for row in files.join(known, _SHARED, "left_anti").collect()]
    workers.run(
        spark,
        lake,
        todo,
        [0] * len(todo),
        name="catalog",
        function=catalog_file,
        table=TRACKS,
        results=_RESULTS,
        task_files=_TASK_FILES,
    )
    described = files.select(_SHARED).join(old.unionByName(lake.staged(spark, TRACKS)).drop("track_id"), _SHARED)
    tracks = with_ids(described.dropDuplicates(["path"]), old).persist()
    gone = old.join(tracks, TRACKS.names[:4], "left_anti")
    if todo or not gone.isEmpty():
        lake.commit(TRACKS, tracks)
    counts = {"tracks": lake.rows(TRACKS), "new": len(todo), "duplicates": files.count() - lake.rows(TRACKS)}
    tracks.unpersist()
    return counts


# What FILES and TRACKS both hold: while it is the same, so are the tags.
_SHARED = ["path", "audio_path", "content_hash", "duration_s", "bit_rate"]


def catalog_file(row: workers.Row) -> workers.Row:
    """Return a file's row of TRACKS, without its id; a file that is gone meanwhile is described by its name."""
    return {**row, **read_tags(to_path(row["path"]), to_path(row["library"])), "source": "tags"}


def with_ids(files: DataFrame, old: DataFrame) -> DataFrame:
    """Return TRACKS of the described files: one row per content_hash, each with its track_id.

    The id is the number in the file's name without leading zeros, else 16 hex digits of the content hash; where two
    files with different contents have the same number, only one can be called by it. A track keeps the path and the
    number it had in `old`; among new ones the first path by name wins.
    """
    had = old.select("path", "content_hash", F.col("track_id").alias("old_id"))
    number = F.regexp_extract(F.col("path"), r"(?:^|/)0*([0-9]+)\.[^./]+$", 1)
    once = Window.partitionBy("content_hash").orderBy(F.col("old_id").isNull(), "path")
    one = (
        files.join(had, ["path", "content_hash"], "left")
        .withColumn("nth", F.row_number().over(once))
        .where("nth = 1")
        .withColumn("number", F.when(number != "", number))
    )
    same_number = Window.partitionBy("number").orderBy(F.col("old_id").eqNullSafe(F.col("number")).desc(), "path")
    owner = F.col("number").isNotNull() & (F.row_number().over(same_number) == 1)
    return one.withColumn(
        "track_id", F.when(owner, F.col("number")).otherwise(F.substring("content_hash", 1, 16))
    ).select(TRACKS.names)
