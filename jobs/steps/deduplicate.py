"""FINGERPRINTS and DUPLICATE_PAIRS from the audio: the tracks that are one recording get one `recording_id` in TRACKS."""

import argparse

import numpy as np
import pyarrow as pa

from jobs.lake.schemas import DUPLICATE_PAIRS, FINGERPRINTS, TRACKS, Column
from jobs.lake.storage import Lake, open_lake
from jobs.library import duplicates
from jobs.progress import StepResult
from jobs.spark import file_tasks, session

_RESULTS = FINGERPRINTS.with_columns(Column("audio_path", "string", "file that is listened to"))

# Files of one Spark task: a second or two of work.
_TASK_FILES = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments: none, it reads TRACKS."""


def main(arguments: argparse.Namespace) -> StepResult:
    """Bring FINGERPRINTS, DUPLICATE_PAIRS, and recording_id in TRACKS, up to date with TRACKS; return the counts."""
    lake = open_lake(arguments)
    new = _update_fingerprints(arguments.master, lake)
    if lake.is_newer(FINGERPRINTS, DUPLICATE_PAIRS):
        lake.commit_arrow(DUPLICATE_PAIRS, compare_fingerprints(lake.read_arrow(FINGERPRINTS)).to_batches())
    if lake.is_newer(DUPLICATE_PAIRS, TRACKS):
        tracks = lake.read(session.get_session(arguments.master), TRACKS).drop("recording_id")
        lake.commit(
            TRACKS,
            duplicates.add_recording_id(
                tracks, duplicates.recording_groups(lake.read_arrow(DUPLICATE_PAIRS))
            ),
        )
    ids = lake.read_arrow(TRACKS, "recording_id")["recording_id"].to_pylist()
    return StepResult({"tracks": len(ids), "recordings": len(set(ids)), "heard now": new})


def _update_fingerprints(master: str, lake: Lake) -> int:
    """Make FINGERPRINTS those of the tracks in TRACKS; return how many are new."""
    rows = lake.read_arrow(TRACKS, "content_hash", "duration_s", "audio_path", "bit_rate").to_pylist()
    tracks = {row["content_hash"]: row for row in rows if row["audio_path"] is not None}
    known = set(lake.read_arrow(FINGERPRINTS, "content_hash")["content_hash"].to_pylist())
    staged = set(lake.read_staged_arrow(FINGERPRINTS, "content_hash")["content_hash"].to_pylist())
    todo = [row for content_hash, row in tracks.items() if content_hash not in known | staged]
    file_tasks.map_files(
        master,
        lake,
        todo,
        [int(row["duration_s"] * row["bit_rate"] / 8) for row in todo],
        name="recordings",
        function=duplicates.fingerprint_track,
        table=FINGERPRINTS,
        results=_RESULTS,
        task_files=_TASK_FILES,
    )
    if todo or staged or known - set(tracks):
        spark = session.get_session(master)
        there = pa.Table.from_pylist(
            [{"content_hash": content_hash} for content_hash in tracks], schema=_HASHES
        )
        heard = lake.read(spark, FINGERPRINTS).unionByName(lake.staged(spark, FINGERPRINTS))
        heard = heard.dropDuplicates(["content_hash"]).join(
            spark.createDataFrame(there), "content_hash", "left_semi"
        )
        lake.commit(FINGERPRINTS, heard)
    return len(todo)


_HASHES = FINGERPRINTS.select("content_hash").arrow_schema()


def compare_fingerprints(heard: pa.Table) -> pa.Table:
    """Return DUPLICATE_PAIRS of FINGERPRINTS."""
    frames = heard["fingerprint"].combine_chunks()
    fingerprints = [np.asarray(each.values.to_numpy(), np.int32).view(np.uint32) for each in frames]
    hashes, durations = heard["content_hash"].to_pylist(), heard["duration_s"].to_numpy()
    return pa.Table.from_pylist(
        duplicates.compare_pairs(hashes, fingerprints, durations), schema=DUPLICATE_PAIRS.arrow_schema()
    )
