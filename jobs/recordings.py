"""PAIRS from FEATURES and the audio: the tracks that are one recording get one `recording_id` in TRACKS."""

import argparse
from typing import Any

import numpy as np

from jobs import duplicates, session, settings, workers
from jobs.storage import Lake
from jobs.tables import FEATURES, PAIRS, TRACKS, Column, feature_columns, newest_version

# Timbre and harmony: much the same at any bit rate.
_FEATURES = (*feature_columns("mfcc", "mean"), *feature_columns("chroma_stft", "mean"))

_RESULTS = PAIRS.plus(
    Column("audio_path", "string", "file of the one track"), Column("other_path", "string", "file of the other")
)

# Pairs of one Spark task: a second of work.
_TASK_PAIRS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the step's arguments: none, it reads TRACKS and FEATURES."""


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Bring PAIRS, and recording_id in TRACKS, up to date with FEATURES; return the counts."""
    lake = Lake(settings.lake_path(arguments.lake))
    wanted = candidates(lake)
    known = {(row["content_hash"], row["other_hash"]) for row in lake.arrow(PAIRS).to_pylist()}
    staged = {(row["content_hash"], row["other_hash"]) for row in lake.staged_arrow(PAIRS).to_pylist()}
    todo = [row for key, row in wanted.items() if key not in known | staged]
    workers.run(
        arguments.master,
        lake,
        todo,
        [0] * len(todo),
        name="recordings",
        function=duplicates.judge,
        table=PAIRS,
        results=_RESULTS,
        task_files=_TASK_PAIRS,
    )
    if todo or staged or known - set(wanted):
        spark = session.spark(arguments.master)
        judged = lake.read(spark, PAIRS).unionByName(lake.staged(spark, PAIRS)).dropDuplicates(PAIRS.key)
        there = spark.createDataFrame(list(wanted), "content_hash string, other_hash string")
        lake.commit(PAIRS, judged.join(there, list(PAIRS.key), "left_semi"))
    if lake.is_newer(PAIRS, TRACKS):
        spark = session.spark(arguments.master)
        tracks = lake.read(spark, TRACKS).drop("recording_id")
        lake.commit(TRACKS, duplicates.with_recordings(tracks, duplicates.groups(lake.arrow(PAIRS))))
    rows = lake.arrow(TRACKS, "track_id", "recording_id").to_pylist()
    recordings = {row["recording_id"] or row["track_id"] for row in rows}
    return {"tracks": len(rows), "recordings": len(recordings), "compared now": len(todo)}


def candidates(lake: Lake) -> dict[tuple[str, str], workers.Row]:
    """Return the rows of PAIRS to be judged, by key: pairs of tracks that sound and last alike."""
    names = ("track_id", "content_hash", "audio_path", "duration_s")
    tracks = {row["track_id"]: row for row in lake.arrow(TRACKS, *names).to_pylist() if row["audio_path"] is not None}
    features = lake.arrow(FEATURES, "track_id", "content_hash", "feature_version", *_FEATURES)
    versions = {version for version in features["feature_version"].to_pylist() if not version.startswith("fma-")}
    newest = newest_version(versions)
    rows = [
        (place, tracks[track_id])
        for place, (track_id, content_hash, version) in enumerate(
            zip(*(features[n].to_pylist() for n in ("track_id", "content_hash", "feature_version")), strict=True)
        )
        if version == newest and tracks.get(track_id, {}).get("content_hash") == content_hash
    ]
    if not rows:
        return {}
    values = np.column_stack([features[name].to_numpy() for name in _FEATURES])[[place for place, _ in rows]]
    durations = np.array([track["duration_s"] for _, track in rows])
    found = {}
    for i, j in duplicates.candidates(values, durations):
        one, other = sorted((rows[i][1], rows[j][1]), key=lambda track: track["content_hash"])
        found[one["content_hash"], other["content_hash"]] = {
            "content_hash": one["content_hash"],
            "other_hash": other["content_hash"],
            "audio_path": one["audio_path"],
            "other_path": other["audio_path"],
        }
    return found
