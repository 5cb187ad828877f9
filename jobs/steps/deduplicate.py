"""FINGERPRINTS and DUPLICATE_PAIRS from the audio.

All tracks of one recording get the same `recording_id` in TRACKS.
"""

import argparse

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import Window
from pyspark.sql import functions as F

from jobs.audio.fingerprint import fingerprint_track
from jobs.lake.schemas import DUPLICATE_PAIRS, FINGERPRINTS, TRACKS
from jobs.lake.storage import Lake, open_lake
from jobs.library import duplicates
from jobs.library.track_ids import FINGERPRINT_RESULTS, FINGERPRINT_TASK_FILES
from jobs.progress import StepResult
from jobs.spark import file_tasks, session

_HASHES = FINGERPRINTS.select("content_hash").arrow_schema()

# Chromaprint describes 2.5 seconds at a time: a track of fewer seconds than these may have no frame.
_MIN_FINGERPRINTED_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments: none, it reads TRACKS."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Update FINGERPRINTS, DUPLICATE_PAIRS and TRACKS.recording_id from TRACKS; return the counts."""
    lake = open_lake(arguments)
    n_fingerprinted = _update_fingerprints(arguments.master, lake)
    if lake.is_newer(FINGERPRINTS, DUPLICATE_PAIRS):
        pairs = compare_fingerprints(lake.read_arrow(FINGERPRINTS))
        lake.commit_arrow(DUPLICATE_PAIRS, pairs.to_batches())
    if lake.is_newer(DUPLICATE_PAIRS, TRACKS):
        groups = duplicates.recording_groups(lake.read_arrow(DUPLICATE_PAIRS))
        tracks = lake.read(session.get_session(arguments.master), TRACKS).drop("recording_id")
        lake.commit(TRACKS, duplicates.add_recording_id(tracks, groups))
    ids = lake.read_arrow(TRACKS, "recording_id")["recording_id"].to_pylist()
    return StepResult({"tracks": len(ids), "recordings": len(set(ids)), "fingerprinted": n_fingerprinted})


def _update_fingerprints(master: str, lake: Lake) -> int:
    """Make FINGERPRINTS hold exactly the contents in TRACKS; return how many were fingerprinted."""
    columns = ("content_hash", "duration_s", "audio_path", "bit_rate")
    rows = lake.iter_rows(TRACKS, *columns)
    tracks = {row["content_hash"]: row for row in rows if row["audio_path"] is not None}
    known = set(lake.read_arrow(FINGERPRINTS, "content_hash")["content_hash"].to_pylist())
    staged = set(lake.read_staged_arrow(FINGERPRINTS, "content_hash")["content_hash"].to_pylist())
    failed = failed_hashes(lake.read_arrow(FINGERPRINTS)) | failed_hashes(
        lake.read_staged_arrow(FINGERPRINTS)
    )
    todo = [row for content_hash, row in tracks.items() if content_hash not in (known | staged) - failed]
    file_tasks.map_files(
        master,
        lake,
        todo,
        [int(row["duration_s"] * row["bit_rate"] / 8) for row in todo],
        name="deduplicate",
        function=fingerprint_track,
        table=FINGERPRINTS,
        results=FINGERPRINT_RESULTS,
        task_files=FINGERPRINT_TASK_FILES,
    )
    stale = known - tracks.keys()
    if todo or staged or stale:
        spark = session.get_session(master)
        hashes = pa.Table.from_pylist([{"content_hash": value} for value in tracks], schema=_HASHES)
        all_rows = lake.read(spark, FINGERPRINTS).unionByName(lake.staged(spark, FINGERPRINTS))
        # Of several attempts the one with the most frames: an earlier one may have failed.
        longest_first = Window.partitionBy("content_hash").orderBy(F.size("fingerprint").desc())
        all_rows = all_rows.withColumn("nth", F.row_number().over(longest_first)).where("nth = 1").drop("nth")
        lake.commit(FINGERPRINTS, all_rows.join(spark.createDataFrame(hashes), "content_hash", "left_semi"))
    return len(todo)


def failed_hashes(rows: pa.Table) -> set[str]:
    """Return the content_hash of the rows without frames although the track is long enough for some.

    Their audio could not be read just then, as with a disk that was away: they are tried again.
    """
    is_failed = pc.and_(
        pc.equal(pc.list_value_length(rows["fingerprint"]), 0),
        pc.greater(rows["duration_s"], _MIN_FINGERPRINTED_S),
    )
    return set(rows.filter(is_failed)["content_hash"].to_pylist())


def compare_fingerprints(rows: pa.Table) -> pa.Table:
    """Return DUPLICATE_PAIRS of FINGERPRINTS' rows."""
    fingerprints = [
        np.asarray(frames.values.to_numpy(), np.int32).view(np.uint32)
        for frames in rows["fingerprint"].combine_chunks()
    ]
    hashes = rows["content_hash"].to_pylist()
    pairs = duplicates.compare_pairs(hashes, fingerprints, rows["duration_s"].to_numpy())
    return pa.Table.from_pylist(pairs, schema=DUPLICATE_PAIRS.arrow_schema())
