"""FINGERPRINTS and PAIRS from the audio: the tracks that are one recording get one `recording_id` in TRACKS."""

import argparse
from typing import Any

import numpy as np
import pyarrow as pa

from jobs import settings
from jobs.lake.schemas import FINGERPRINTS, PAIRS, TRACKS, Column
from jobs.lake.storage import Lake
from jobs.library import duplicates
from jobs.spark import file_tasks, session

_RESULTS = FINGERPRINTS.plus(Column("audio_path", "string", "file that is listened to"))

# Files of one Spark task: a second or two of work.
_TASK_FILES = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments: none, it reads TRACKS."""


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Bring FINGERPRINTS, PAIRS, and recording_id in TRACKS, up to date with TRACKS; return the counts."""
    lake = Lake(settings.lake_path(arguments.lake))
    new = _listen(arguments.master, lake)
    if lake.is_newer(FINGERPRINTS, PAIRS):
        lake.commit_arrow(PAIRS, compare(lake.arrow(FINGERPRINTS)).to_batches())
    if lake.is_newer(PAIRS, TRACKS):
        tracks = lake.read(session.spark(arguments.master), TRACKS).drop("recording_id")
        lake.commit(TRACKS, duplicates.with_recordings(tracks, duplicates.groups(lake.arrow(PAIRS))))
    ids = lake.arrow(TRACKS, "recording_id")["recording_id"].to_pylist()
    return {"tracks": len(ids), "recordings": len(set(ids)), "heard now": new}


def _listen(master: str, lake: Lake) -> int:
    """Make FINGERPRINTS those of the tracks in TRACKS; return how many are new."""
    rows = lake.arrow(TRACKS, "content_hash", "duration_s", "audio_path", "bit_rate").to_pylist()
    tracks = {row["content_hash"]: row for row in rows if row["audio_path"] is not None}
    known = set(lake.arrow(FINGERPRINTS, "content_hash")["content_hash"].to_pylist())
    staged = set(lake.staged_arrow(FINGERPRINTS, "content_hash")["content_hash"].to_pylist())
    todo = [row for content_hash, row in tracks.items() if content_hash not in known | staged]
    file_tasks.run(
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
        spark = session.spark(master)
        there = pa.Table.from_pylist([{"content_hash": content_hash} for content_hash in tracks], schema=_HASHES)
        heard = lake.read(spark, FINGERPRINTS).unionByName(lake.staged(spark, FINGERPRINTS))
        heard = heard.dropDuplicates(["content_hash"]).join(spark.createDataFrame(there), "content_hash", "left_semi")
        lake.commit(FINGERPRINTS, heard)
    return len(todo)


_HASHES = FINGERPRINTS.only("content_hash").arrow_schema()


def compare(heard: pa.Table) -> pa.Table:
    """Return PAIRS of FINGERPRINTS."""
    frames = heard["fingerprint"].combine_chunks()
    fingerprints = [np.asarray(each.values.to_numpy(), np.int32).view(np.uint32) for each in frames]
    hashes, durations = heard["content_hash"].to_pylist(), heard["duration_s"].to_numpy()
    return pa.Table.from_pylist(duplicates.pairs(hashes, fingerprints, durations), schema=PAIRS.arrow_schema())
