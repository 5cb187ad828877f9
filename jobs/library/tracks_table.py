"""TRACKS' rows: one per content of FILES, with its id and tags, what FMA says of it, and whether it is a duplicate."""

from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.audio import tags
from jobs.fma import errata, track_metadata
from jobs.lake import rejects
from jobs.lake.schemas import (
    DUPLICATE_PAIRS,
    FEATURES,
    FILES,
    FMA_GENRES,
    FMA_METADATA,
    TRACKS,
    Column,
    Table,
)
from jobs.lake.storage import Lake
from jobs.library import duplicates
from jobs.paths import to_path
from jobs.spark import file_tasks, session

_RESULTS = TRACKS.with_columns(
    Column("library", "string", "folder that the path is below"), *rejects.ATTEMPT_COLUMNS
)

# Reading tags takes a millisecond: larger tasks than for audio.
_TASK_FILES = 256

# What FILES and TRACKS both hold: while it is the same, so are the tags.
_SHARED = ["path", "audio_path", "content_hash", "duration_s", "bit_rate", "mtime_ns"]

# What a file and its tags say; the other columns of TRACKS follow from it.
_OF_THE_FILE = [*_SHARED, *track_metadata.SHARED_COLUMNS, "recording_mbid", "source"]


def update_tracks(master: str, lake: Lake) -> tuple[int, int]:
    """Read the tags of new files and write TRACKS anew where anything has changed; return the files, the new among them."""
    files = usable_files(lake)
    there = {_key(row) for row in files}
    known = set(lake.read_arrow(FMA_METADATA, "track_id")["track_id"].to_pylist())
    old = lake.read_arrow(TRACKS, *_SHARED, "track_id", "source").to_pylist()
    # What the metadata said of a track, and says no more, is to be read from its tags again.
    alive = [
        row for row in old if _key(row) in there and (row["source"] != "fma" or row["track_id"] in known)
    ]
    if lake.missing_columns(TRACKS) & set(_OF_THE_FILE):  # written before tags were asked for it
        alive = []
    contents = {row["content_hash"] for row in alive}
    staged = {_key(row) for row in lake.read_staged_arrow(TRACKS, *_SHARED).to_pylist()}
    # A second file with the same content is no track of its own, as long as the first is there.
    todo = [row for row in files if row["content_hash"] not in contents and _key(row) not in staged]
    file_tasks.map_files(
        master,
        lake,
        todo,
        [0] * len(todo),
        name="catalog",
        function=read_track_row,
        table=TRACKS,
        results=_RESULTS,
        task_files=_TASK_FILES,
    )
    heard = sum(row["path"] is not None for row in old)
    newer = any(lake.is_newer(table, TRACKS) for table in (FMA_METADATA, FMA_GENRES, DUPLICATE_PAIRS))
    if todo or staged or len(alive) != heard or newer or _silent(lake, old):
        spark = session.get_session(master)
        present = spark.createDataFrame(_table(files, FILES.select(*_SHARED)))
        kept = spark.createDataFrame(_table(alive, TRACKS.select("track_id")))
        before = lake.read(spark, TRACKS)
        usable = before.join(kept, "track_id", "left_semi").select(_OF_THE_FILE)
        described = lake.staged(spark, TRACKS).select(_OF_THE_FILE).unionByName(usable)
        described = described.join(present, _SHARED, "left_semi").dropDuplicates(["path"])
        lake.commit(TRACKS, build_tracks(spark, lake, assign_track_ids(described, before)))
    return len(files), len(todo)


def _table(rows: list[file_tasks.FileRow], table: Table) -> pa.Table:
    return pa.Table.from_pylist(
        [{name: row[name] for name in table.names} for row in rows], schema=table.arrow_schema()
    )


def _key(row: file_tasks.FileRow) -> tuple[Any, ...]:
    return tuple(row[name] for name in _SHARED)


def _silent(lake: Lake, old: list[file_tasks.FileRow]) -> bool:
    """Tell whether the tracks of which there are features and no audio are others than those in TRACKS."""
    imported = set(imported_track_ids(lake))
    heard = {row["track_id"] for row in old if row["path"] is not None}
    return imported - heard != {row["track_id"] for row in old if row["path"] is None}


def imported_track_ids(lake: Lake) -> list[str]:
    """Return the tracks of which FEATURES has rows that came without audio."""
    rows = lake.read_arrow(FEATURES, "track_id", "feature_version").to_pylist()
    return sorted({row["track_id"] for row in rows if row["feature_version"].startswith("fma-")})


def no_audio_hash(track_id: str) -> str:
    """Return what stands as the content_hash of a track without audio."""
    return f"fma:{track_id}"


def read_track_row(row: file_tasks.FileRow) -> file_tasks.FileRow:
    """Return a file's row of TRACKS, without its id; a file that is gone meanwhile is described by its name."""
    return {**row, **tags.read_tags(to_path(row["path"]), to_path(row["library"])), "source": "tags"}


def assign_track_ids(files: DataFrame, old: DataFrame) -> DataFrame:
    """Return the described files (_OF_THE_FILE), one row per content_hash, each with its track_id.

    The id is the number in the file's name without leading zeros, else 16 hex digits of the content hash; where two
    files with different contents have the same number, only one can be called by it. A track keeps the path and the
    number it had in `old`; among new ones a path with a number wins, then the first by name.
    """
    had = old.select("path", "content_hash", F.col("track_id").alias("old_id"))
    number = F.regexp_extract(F.col("path"), errata.TRACK_FILE_PATTERN, 1)
    once = Window.partitionBy("content_hash").orderBy(
        F.col("old_id").isNull(), F.col("number").isNull(), "path"
    )
    one = (
        files.join(had, ["path", "content_hash"], "left")
        .withColumn("number", F.when(number != "", number))
        .withColumn("nth", F.row_number().over(once))
        .where("nth = 1")
    )
    same_number = Window.partitionBy("number").orderBy(
        F.col("old_id").eqNullSafe(F.col("number")).desc(), "path"
    )
    owner = F.col("number").isNotNull() & (F.row_number().over(same_number) == 1)
    return one.withColumn(
        "track_id", F.when(owner, F.col("number")).otherwise(F.substring("content_hash", 1, 16))
    ).select("track_id", *_OF_THE_FILE)


def build_tracks(spark: SparkSession, lake: Lake, heard: DataFrame) -> DataFrame:
    """Return TRACKS of the files' tracks and of those that have imported features only, with all that FMA says of them."""
    ids = [{"track_id": track_id} for track_id in imported_track_ids(lake)]
    imported = spark.createDataFrame(_table(ids, TRACKS.select("track_id")))
    silent = imported.join(heard, "track_id", "left_anti").select(
        "track_id",
        *(F.lit(None).cast(heard.schema[name].dataType).alias(name) for name in _OF_THE_FILE),
    )
    silent = silent.withColumns(
        {
            "content_hash": F.concat(F.lit(no_audio_hash("")), "track_id"),
            "title": F.col("track_id"),
            "artist": F.lit(tags.UNKNOWN_ARTIST),
            "genres": F.array().cast("array<string>"),
        }
    )
    said = track_metadata.metadata_columns(
        lake.read(spark, FMA_METADATA), lake.read_arrow(FMA_GENRES).to_pylist()
    )
    described = track_metadata.apply_metadata(heard.unionByName(silent), said)
    return duplicates.add_recording_id(
        described, duplicates.recording_groups(lake.read_arrow(DUPLICATE_PAIRS))
    ).select(TRACKS.names)


def usable_files(lake: Lake) -> list[file_tasks.FileRow]:
    """Return FILES' rows to make tracks of; FMA's known faults are not among them but in REJECTS."""
    names = [*_SHARED, "library", "outcome"]
    rows = lake.read_arrow(FILES, *names).to_pylist()
    files = [row for row in rows if row["outcome"] != "rejected"]
    columns = ("track_id", "line", "track_duration", "track_bit_rate")
    known = {row["track_id"]: row for row in lake.read_arrow(FMA_METADATA, *columns).to_pylist()}
    short = errata.short_clips(files, known)
    unusable = {row["path"] for row in rows if row["outcome"] == "rejected"}
    hashes = {row["path"]: row["content_hash"] for row in files}
    faults = {
        path: (hashes[path], error)
        for path, error in {**errata.wrong_bit_rates(files, known), **short}.items()
    }
    rejects.replace_faults(lake, faults, step="catalog", untouched=unusable)
    return [row for row in files if row["path"] not in short]
