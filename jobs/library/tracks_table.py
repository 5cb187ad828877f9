"""TRACKS.

One row per content in FILES, with its id, tags, FMA's metadata, and the recording that it belongs to.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.audio import tags
from jobs.audio.path_tags import UNKNOWN_ARTIST
from jobs.errors import raise_if_system_fault
from jobs.fma import errata, track_metadata
from jobs.lake import rejects
from jobs.lake.schemas import (
    DUPLICATE_PAIRS,
    FEATURES,
    FILES,
    FMA_GENRES,
    FMA_METADATA,
    TAG_COLUMNS,
    TRACK_IDS,
    TRACKS,
    Column,
    Table,
)
from jobs.lake.storage import Lake
from jobs.library import duplicates, track_ids
from jobs.paths import to_path
from jobs.spark import file_tasks, session

_RESULTS = TRACKS.with_columns(
    Column("library", "string", "folder that the path is below"), *rejects.ATTEMPT_COLUMNS
)

# Files per Spark task: reading tags takes a millisecond.
_TASK_FILES = 256

# Columns that FILES and TRACKS share. While they are the same, the file's tags are the same.
_SHARED_COLUMNS = ["path", "audio_path", "content_hash", "duration_s", "bit_rate", "mtime_ns"]

# Columns of TRACKS that only the tags have.
_TAG_COLUMNS = ["artists", "recording_mbid", "tag_error", *(column.name for column in TAG_COLUMNS)]

# Columns of TRACKS that come from the file and its tags; the others are derived from them.
_FILE_COLUMNS = [*_SHARED_COLUMNS, *track_metadata.SHARED_COLUMNS, *_TAG_COLUMNS, "source"]


@dataclass(frozen=True)
class TracksPlan:
    """What an update of TRACKS has to do."""

    current: list[file_tasks.TaskRow]  # rows of TRACKS that are still valid
    todo: list[file_tasks.TaskRow]  # files whose tags have to be read
    is_dirty: bool  # whether TRACKS has to be written


def update_tracks(master: str, lake: Lake) -> tuple[int, int]:
    """Update TRACKS: read the tags of new files, and write the table if anything has changed.

    Returns the number of usable files, and how many of them were read.
    """
    files = find_usable_files(lake)
    ids = track_ids.update_track_ids(master, lake, files)
    # A TRACKS without some of the columns is from an older version: read all tags again.
    is_outdated = bool(lake.missing_columns(TRACKS) & set(_FILE_COLUMNS))
    plan = plan_tracks(
        files,
        lake.read_arrow(TRACKS, *_SHARED_COLUMNS, "track_id", "source").to_pylist(),
        lake.read_staged_arrow(TRACKS, *_SHARED_COLUMNS).to_pylist(),
        metadata_ids={row["track_id"] for row in lake.iter_rows(FMA_METADATA, "track_id")},
        ids=ids,
        imported_ids=imported_track_ids(lake),
        reread_all=is_outdated,
        has_newer_input=any(
            lake.is_newer(table, TRACKS) for table in (FMA_METADATA, FMA_GENRES, DUPLICATE_PAIRS)
        ),
    )
    file_tasks.map_files(
        master,
        lake,
        plan.todo,
        [0] * len(plan.todo),
        name="catalog",
        function=read_track_row,
        table=TRACKS,
        results=_RESULTS,
        task_files=_TASK_FILES,
    )
    if plan.is_dirty:
        _commit(session.get_session(master), lake, files, plan, ids)
    return len(files), len(plan.todo)


def plan_tracks(
    files: list[file_tasks.TaskRow],
    old: list[file_tasks.TaskRow],
    staged: list[file_tasks.TaskRow],
    *,
    metadata_ids: set[str],
    ids: Mapping[str, str],
    imported_ids: Iterable[str] = (),
    reread_all: bool = False,
    has_newer_input: bool = False,
) -> TracksPlan:
    """Return what an update of TRACKS has to do.

    Parameters
    ----------
    files
        Usable rows of FILES.
    old
        Rows of TRACKS.
    staged
        Rows that a killed run has staged for TRACKS.
    metadata_ids
        track_ids that FMA_METADATA has.
    ids
        The track_id of each content_hash.
    imported_ids
        Tracks with imported features, with or without audio.
    reread_all
        Read the tags of all files, whatever TRACKS has.
    has_newer_input
        Whether metadata or duplicates have changed since TRACKS was written.
    """
    has_metadata = {_file_key(row): row["fma_id"] in metadata_ids for row in files}
    current = []
    for row in old:
        is_described_by_fma = has_metadata.get(_file_key(row))
        # A track that FMA's metadata no longer has is described by its tags again.
        is_described = row["source"] != "fma" or is_described_by_fma
        if not reread_all and is_described and is_described_by_fma is not None:
            current.append(row)
    is_redescribed = any(row["source"] == "tags" and has_metadata[_file_key(row)] for row in current)
    current_ids = {row["track_id"] for row in current}
    staged_keys = {_file_key(row) for row in staged}
    # A second file of the same track is no track of its own as long as the first exists.
    todo = [
        row
        for row in files
        if ids[row["content_hash"]] not in current_ids and _file_key(row) not in staged_keys
    ]
    with_audio = {row["track_id"] for row in old if row["path"] is not None}
    without_audio = {row["track_id"] for row in old if row["path"] is None}
    is_dirty = (
        bool(todo)
        or bool(staged)
        or len(current) != len(with_audio)
        or has_newer_input
        or is_redescribed
        or set(imported_ids) - with_audio != without_audio
    )
    return TracksPlan(current, todo, is_dirty)


def _commit(
    spark: SparkSession,
    lake: Lake,
    files: list[file_tasks.TaskRow],
    plan: TracksPlan,
    ids: Mapping[str, str],
) -> None:
    """Commit TRACKS: the rows that are still valid, and the staged ones of files that still exist."""
    existing = spark.createDataFrame(_to_arrow(files, FILES.select(*_SHARED_COLUMNS)))
    current_ids = spark.createDataFrame(_to_arrow(plan.current, TRACKS.select("track_id")))
    old = lake.read(spark, TRACKS)
    current = old.join(current_ids, "track_id", "left_semi").select(_FILE_COLUMNS)
    described = lake.staged(spark, TRACKS).select(_FILE_COLUMNS).unionByName(current)
    described = described.join(existing, _SHARED_COLUMNS, "left_semi").dropDuplicates(["path"])
    described = described.unionByName(_unread_tracks(spark, plan, old, described))
    fma_ids = spark.createDataFrame(_to_arrow(files, FILES.select("path", "fma_id")))
    id_rows = [{"content_hash": content_hash, "track_id": track_id} for content_hash, track_id in ids.items()]
    id_frame = spark.createDataFrame(_to_arrow(id_rows, TRACKS.select("content_hash", "track_id")))
    identified = described.join(fma_ids, "path").join(id_frame, "content_hash")
    lake.commit(TRACKS, build_tracks(spark, lake, choose_files(identified, old)))


def _unread_tracks(spark: SparkSession, plan: TracksPlan, old: DataFrame, described: DataFrame) -> DataFrame:
    """Return the tracks whose file could not be read just then, with the description that they have in `old`.

    Their mtime_ns is null, so that the next run reads the file.
    """
    place = ["path", "audio_path"]
    attempted = spark.createDataFrame(_to_arrow(plan.todo, FILES.select("content_hash", *place)))
    unread = old.drop(*place).join(attempted.dropDuplicates(["content_hash"]), "content_hash")
    unread = unread.join(described.select("content_hash"), "content_hash", "left_anti")
    return unread.withColumn("mtime_ns", F.lit(None).cast("long")).select(_FILE_COLUMNS)


def _to_arrow(rows: list[file_tasks.TaskRow], table: Table) -> pa.Table:
    return pa.Table.from_pylist(
        [{name: row[name] for name in table.names} for row in rows], schema=table.arrow_schema()
    )


def _file_key(row: file_tasks.TaskRow) -> tuple[Any, ...]:
    return tuple(row[name] for name in _SHARED_COLUMNS)


def imported_track_ids(lake: Lake) -> list[str]:
    """Return the tracks whose features were imported from FMA, without audio."""
    rows = lake.iter_rows(FEATURES, "track_id", "feature_version")
    return sorted({row["track_id"] for row in rows if row["feature_version"].startswith("fma-")})


def no_audio_hash(track_id: str) -> str:
    """Return the content_hash of a track without audio."""
    return f"fma:{track_id}"


def read_track_row(row: file_tasks.TaskRow) -> file_tasks.TaskRow | None:
    """Return a file's row of TRACKS without its id.

    None if the file cannot be read just then: a track that TRACKS has keeps its description, and the next run
    tries again. Raises StepError if the disk or the machine fails.
    """
    try:
        described = tags.read_tags(to_path(row["path"]), to_path(row["library"]))
    except OSError as error:
        raise_if_system_fault(error, row["path"])
        return None
    return {**row, **described, "source": "tags"}


def choose_files(files: DataFrame, old: DataFrame) -> DataFrame:
    """Return one file per track of the described files (_FILE_COLUMNS, track_id, fma_id).

    It is the file that the track has in `old`, else one of FMA's, else the first by path.
    """
    old_files = old.select("path", "content_hash", F.lit(True).alias("is_old"))
    same_track = Window.partitionBy("track_id").orderBy(
        F.col("is_old").isNull(), F.col("fma_id").isNull(), "path"
    )
    with_rank = files.join(old_files, ["path", "content_hash"], "left").withColumn(
        "nth", F.row_number().over(same_track)
    )
    return with_rank.where("nth = 1").select("track_id", "fma_id", *_FILE_COLUMNS)


def build_tracks(spark: SparkSession, lake: Lake, with_audio: DataFrame) -> DataFrame:
    """Return TRACKS.

    The files' tracks and those that have imported features only, with metadata and recording_id.
    """
    tracks = with_audio.unionByName(_tracks_without_audio(spark, lake, with_audio))
    genres = lake.read_arrow(FMA_GENRES).to_pylist()
    metadata = track_metadata.metadata_columns(lake.read(spark, FMA_METADATA), genres)
    tracks = track_metadata.apply_metadata(tracks, metadata)
    is_by_tags = (F.col("source") == "tags") & F.col("artists").isNotNull()
    tracks = tracks.withColumn("artists", F.when(is_by_tags, F.col("artists")).otherwise(F.array("artist")))
    old = lake.read(spark, TRACKS)
    is_first = lake.version(TRACKS) is None
    left = lake.read(spark, TRACK_IDS)
    tracks = add_first_seen(tracks, old, left, now_ns=time.time_ns(), is_first=is_first)
    groups = duplicates.recording_groups(lake.read_arrow(DUPLICATE_PAIRS))
    return duplicates.add_recording_id(tracks, groups).select(TRACKS.names)


def add_first_seen(
    tracks: DataFrame, old: DataFrame, left: DataFrame, *, now_ns: int, is_first: bool
) -> DataFrame:
    """Return tracks with `added_ns`: of the track in `old` or in `left`, else of its path in `old`, else now.

    `left` is TRACK_IDS, which knows the tracks that have left.

    The collection of a lake's first run is older than the lake: its tracks have the times of their files. So
    have the tracks of a TRACKS that was written without the column.
    """
    seen = F.coalesce("added_ns", "mtime_ns")
    by_id = old.select("track_id", seen.alias("seen_by_id"))
    by_path = old.where("path IS NOT NULL").groupBy("path").agg(F.min(seen).alias("seen_by_path"))
    first = F.least("mtime_ns", F.lit(now_ns)) if is_first else F.lit(now_ns)
    before = left.groupBy("track_id").agg(F.min("added_ns").alias("seen_before"))
    joined = tracks.join(by_id, "track_id", "left").join(before, "track_id", "left")
    joined = joined.join(by_path, "path", "left")
    added = F.coalesce("seen_by_id", "seen_before", "seen_by_path", first)
    return joined.withColumn("added_ns", added).drop("seen_by_id", "seen_before", "seen_by_path")


def _tracks_without_audio(spark: SparkSession, lake: Lake, with_audio: DataFrame) -> DataFrame:
    """Return the tracks that have imported features and no audio, with the columns of `with_audio`."""
    ids = [{"track_id": track_id} for track_id in imported_track_ids(lake)]
    imported = spark.createDataFrame(_to_arrow(ids, TRACKS.select("track_id")))
    nulls = [F.lit(None).cast(with_audio.schema[name].dataType).alias(name) for name in _FILE_COLUMNS]
    without_audio = imported.join(with_audio, "track_id", "left_anti")
    without_audio = without_audio.select("track_id", F.col("track_id").alias("fma_id"), *nulls)
    return without_audio.withColumns(
        {
            "content_hash": F.concat(F.lit(no_audio_hash("")), "track_id"),
            "title": F.col("track_id"),
            "artist": F.lit(UNKNOWN_ARTIST),
            "genres": F.array().cast("array<string>"),
        }
    )


def find_usable_files(lake: Lake) -> list[file_tasks.TaskRow]:
    """Return the rows of FILES that become tracks; record FMA's known faults, which do not, in REJECTS."""
    columns = (*_SHARED_COLUMNS, "library", "outcome", "audio_hash", "fma_id")
    rows = lake.read_arrow(FILES, *columns).to_pylist()
    for row in rows:  # rows of an older version have no fma_id
        row["fma_id"] = row["fma_id"] or errata.fma_number(row["path"])
    files = [row for row in rows if row["outcome"] != "rejected"]
    rejected_paths = {row["path"] for row in rows if row["outcome"] == "rejected"}
    metadata_columns = ("track_id", "line", "track_duration", "track_bit_rate")
    metadata = {row["track_id"]: row for row in lake.iter_rows(FMA_METADATA, *metadata_columns)}
    short_clips = errata.short_clips(files, metadata)
    errors = errata.wrong_bit_rates(files, metadata) | short_clips
    hashes = {row["path"]: row["content_hash"] for row in files}
    faults = {path: (hashes[path], error) for path, error in errors.items()}
    rejects.replace_faults(lake, faults, step="catalog", untouched=rejected_paths)
    return [row for row in files if row["path"] not in short_clips]
