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
    files = [
        row for row in lake.arrow(FILES, *_SHARED, "library", "outcome").to_pylist() if row["outcome"] != "rejected"
    ]
    there = {_key(row) for row in files}
    old = lake.arrow(TRACKS, *_SHARED).to_pylist()
    alive = {row["content_hash"] for row in old if _key(row) in there}
    staged = {_key(row) for row in lake.staged_arrow(TRACKS, *_SHARED).to_pylist()}
    # A second file with the same content is no track of its own, as long as the first is there.
    todo = [row for row in files if row["content_hash"] not in alive and _key(row) not in staged]
    workers.run(
        arguments.master,
        lake,
        todo,
        [0] * len(todo),
        name="catalog",
        function=catalog_file,
        table=TRACKS,
        results=_RESULTS,
        task_files=_TASK_FILES,
    )
    if todo or staged or any(_key(row) not in there for row in old):
        spark = session.spark(arguments.master)
        present = spark.createDataFrame(lake.arrow(FILES, *_SHARED))
        known, new = lake.read(spark, TRACKS), lake.staged(spark, TRACKS)
        described = known.unionByName(new).drop("track_id").join(present, _SHARED, "left_semi")
        lake.commit(TRACKS, with_ids(described.dropDuplicates(["path"]), known))
    tracks = lake.rows(TRACKS)
    return {"tracks": tracks, "new": len(todo), "duplicates": len(files) - tracks}


# What FILES and TRACKS both hold: while it is the same, so are the tags.
_SHARED = ["path", "audio_path", "content_hash", "duration_s", "bit_rate"]


def _key(row: workers.Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _SHARED)


def catalog_file(row: workers.Row) -> workers.Row:
    """Return a file's row of TRACKS, without its id; a file that is gone meanwhile is described by its name."""
    return {**row, **read_tags(to_path(row["path"]), to_path(row["library"])), "source": "tags"}


def with_ids(files: DataFrame, old: DataFrame) -> DataFrame:
    """Return TRACKS of the described files: one row per content_hash, each with its track_id.

    The id is the number in the file's name without leading zeros, else 16 hex digits of the content hash; where two
    files with different contents have the same number, only one can be called by it. A track keeps the path and the
    number it had in `old`; among new ones a path with a number wins, then the first by name.
    """
    had = old.select("path", "content_hash", F.col("track_id").alias("old_id"))
    number = F.regexp_extract(F.col("path"), r"(?:^|/)0*([0-9]+)\.[^./]+$", 1)
    once = Window.partitionBy("content_hash").orderBy(F.col("old_id").isNull(), F.col("number").isNull(), "path")
    one = (
        files.join(had, ["path", "content_hash"], "left")
        .withColumn("number", F.when(number != "", number))
        .withColumn("nth", F.row_number().over(once))
        .where("nth = 1")
    )
    same_number = Window.partitionBy("number").orderBy(F.col("old_id").eqNullSafe(F.col("number")).desc(), "path")
    owner = F.col("number").isNotNull() & (F.row_number().over(same_number) == 1)
    return one.withColumn(
        "track_id", F.when(owner, F.col("number")).otherwise(F.substring("content_hash", 1, 16))
    ).select(TRACKS.names)
