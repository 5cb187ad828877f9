"""What a play costs the stream, by the listeners in the store and the tracks in the catalogue; without Kafka and Spark.

    python tests/bench/bench_micro_batch.py [--users 1000 10000 100000 1000000] [--tracks 1000 10000 100000]

Made-up profiles of twenty tracks and a catalogue of made-up vectors in clusters, the real store. Batches of a thousand
plays by a thousand different listeners, so that each play needs a profile read, one written and a list ranked.
"""

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from threadpoolctl import threadpool_limits

from jobs.lake.schemas import EMBEDDINGS, TRACKS
from jobs.lake.storage import Lake
from jobs.model.embedding import l2_normalize
from jobs.online import mongo
from jobs.recommender.profiles import to_document
from jobs.runtime import embedded_mongo, embedded_server
from jobs.streaming import micro_batch

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PER_PROFILE, BATCH, BATCHES, SIZE = 20, 1_000, 5, 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--tracks", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    print(
        "   users   tracks  ms a play  of that ranking  first batch s  this process MiB  store MiB  its file MiB"
    )
    runs = [(users, arguments.tracks[0]) for users in arguments.users]
    runs += [(arguments.users[0], tracks) for tracks in arguments.tracks[1:]]
    with threadpool_limits(1):
        for users, tracks in runs:
            with tempfile.TemporaryDirectory(prefix="segue-bench-") as scratch:
                measure(Lake(Path(scratch)), users, tracks)


def measure(lake: Lake, users: int, tracks: int) -> None:
    write(lake, tracks)
    rng = np.random.default_rng(0)
    with embedded_mongo.embedded_mongo(lake.root / "mongo") as uri, mongo.database(uri) as database:
        database["settings"].insert_one({"_id": "champion", "model_version": "1", "digest": "1"})
        for some in mongo.batched(profiles(users, tracks, rng)):
            database["profiles"].insert_many(some, ordered=False)
        shelf, begun = micro_batch.CatalogCache(lake), time.monotonic()
        micro_batch.apply_plays(database, shelf, plays(0, users, tracks, rng), micro_batch.BatchStats())
        loaded, took, ranked = time.monotonic() - begun, [], []
        for number in range(1, BATCHES + 1):
            counts, some, begun = (
                micro_batch.BatchStats(),
                plays(number, users, tracks, rng),
                time.monotonic(),
            )
            micro_batch.apply_plays(database, shelf, some, counts)
            took.append(time.monotonic() - begun)
            ranked.append(counts.seconds["ranking"])
        state = embedded_server.read_state(embedded_mongo.MONGO, lake.root / "mongo")
        assert state is not None
        sizes = [psutil.Process(pid).memory_full_info().pss >> 20 for pid in (os.getpid(), state[1])]
        file = sum(each.stat().st_size for each in (lake.root / "mongo").glob("*.db")) >> 20
        print(
            f"{users:8d} {tracks:8d} {np.median(took) / BATCH * 1000:10.2f} {np.median(ranked) / BATCH * 1000:16.2f}"
            f"{loaded:13.1f}{sizes[0]:18d}{sizes[1]:11d}{file:14d}",
            flush=True,
        )


def write(lake: Lake, count: int) -> None:
    """TRACKS, and EMBEDDINGS around the centres of clusters of a hundred tracks."""
    rng = np.random.default_rng(1)
    clusters = rng.integers(max(10, count // 100), size=count)
    centres = rng.standard_normal((int(clusters.max()) + 1, SIZE))
    vectors = l2_normalize(centres[clusters] + 0.7 * rng.standard_normal((count, SIZE))).astype(np.float32)
    tracks, embedded_rows = [], []
    for number in range(count):
        track_id = f"{number:06d}"
        about = {
            "title": f"Title {number}",
            "artist": f"Artist {number // 8}",
            "recording_id": track_id,
            "listens": number,
        }
        tracks.append({"track_id": track_id, **about})
        embedded_rows.append(
            {
                "model_version": "1",
                "track_id": track_id,
                "embedding": vectors[number],
                "cluster": int(clusters[number]),
            }
        )
    lake.commit_arrow(TRACKS, [pa.RecordBatch.from_pylist(tracks, TRACKS.arrow_schema())])
    lake.commit_arrow(EMBEDDINGS, [pa.RecordBatch.from_pylist(embedded_rows, EMBEDDINGS.arrow_schema())])


def profiles(users: int, tracks: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    for user in range(users):
        heard = [
            {
                "track_id": f"{number:06d}",
                "at": NOW - timedelta(hours=place),
                "weight": 1.0,
                "long": 2.0,
                "finished": 2,
                "started": 3,
                "skipped": 0,
                "liked": None,
                "felt_at": None,
            }
            for place, number in enumerate(rng.integers(tracks, size=PER_PROFILE).tolist(), start=1)
        ]
        yield to_document({"_id": f"u{user:07d}", "at": NOW, "offsets": {}, "tracks": heard})


def plays(batch: int, users: int, tracks: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    return [
        {
            "event_id": f"{rng.integers(1 << 60):016x}",
            "user_id": f"u{user:07d}",
            "track_id": f"{rng.integers(tracks):06d}",
            "event": "finished",
            "position_s": 30.0,
            "duration_s": 30.0,
            "played_at": NOW + timedelta(seconds=batch * BATCH + number),
            "session_id": None,
            "origin": "plays-0@bench",
            "offset": batch * BATCH + number,
        }
        for number, user in enumerate(rng.choice(users, size=BATCH, replace=False).tolist())
    ]


if __name__ == "__main__":
    main()
