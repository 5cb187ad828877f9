"""FINGERPRINTS and DUPLICATE_PAIRS from the audio.

All tracks of one recording get the same `recording_id` in TRACKS.
"""

import argparse

import numpy as np
import pyarrow as pa

from jobs.audio.fingerprint import fingerprint_track
from jobs.lake.schemas import DUPLICATE_PAIRS, FINGERPRINTS, TRACKS, Column
from jobs.lake.storage import Lake, open_lake
from jobs.library import duplicates
from jobs.progress import StepResult
from jobs.spark import file_tasks, session

_RESULTS = FINGERPRINTS.with_columns(Column("audio_path", "string", "file that is fingerprinted"))
_HASHES = FINGERPRINTS.select("content_hash").arrow_schema()

# Files per Spark task: a second or two of work.
_TASK_FILES = 16


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
    todo = [row for content_hash, row in tracks.items() if content_hash not in known | staged]
    file_tasks.map_files(
        master,
        lake,
        todo,
        [int(row["duration_s"] * row["bit_rate"] / 8) for row in todo],
        name="deduplicate",
        function=fingerprint_track,
        table=FINGERPRINTS,
        results=_RESULTS,
        task_files=_TASK_FILES,
    )
    stale = known - tracks.keys()
    if todo or staged or stale:
        spark = session.get_session(master)
        hashes = pa.Table.from_pylist([{"content_hash": value} for value in tracks], schema=_HASHES)
        all_rows = lake.read(spark, FINGERPRINTS).unionByName(lake.staged(spark, FINGERPRINTS))
        all_rows = all_rows.dropDuplicates(["content_hash"])
        lake.commit(FINGERPRINTS, all_rows.join(spark.createDataFrame(hashes), "content_hash", "left_semi"))
    return len(todo)


def compare_fingerprints(rows: pa.Table) -> pa.Table:
    """Return DUPLICATE_PAIRS of FINGERPRINTS' rows."""
    fingerprints = [
        np.asarray(frames.values.to_numpy(), np.int32).view(np.uint32)
        for frames in rows["fingerprint"].combine_chunks()
    ]
    hashes = rows["content_hash"].to_pylist()
    pairs = duplicates.compare_pairs(hashes, fingerprints, rows["duration_s"].to_numpy())
    return pa.Table.from_pylist(pairs, schema=DUPLICATE_PAIRS.arrow_schema())
