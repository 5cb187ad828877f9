"""Cost of a play in the stream, by users in the store and tracks in the catalog; without Kafka and Spark.

    python -m tests.bench.bench_micro_batch [--users 1000 10000 100000 1000000] [--tracks 1000 10000 100000]

Made-up profiles of twenty tracks and a catalog of made-up vectors in clusters, in the real store. A batch has
a thousand plays by a thousand different users, so each play needs a profile read, a profile written and a
list ranked.
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
from jobs.online import mongo, state
from jobs.plays.events import LoggedPlay, PlayEvent
from jobs.recommender.profiles import Profile, ProfileTrack, to_document
from jobs.runtime import embedded_mongo, embedded_server
from jobs.streaming import micro_batch
from jobs.streaming.catalog_cache import CatalogCache

NOW = datetime(2026, 11, 21, tzinfo=UTC)
TRACKS_PER_PROFILE = 20
BATCH = 1_000
N_BATCHES = 5
DIMENSIONS = 64
TRACKS_PER_CLUSTER = 100
TRACKS_PER_ARTIST = 8


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--users", type=int, nargs="+", default=[1_000, 10_000, 100_000, 1_000_000], help="users in the store"
    )
    parser.add_argument(
        "--tracks", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="tracks in the catalog"
    )
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    print(
        "   users   tracks  ms a play  of that ranking  CPU ms a play  first batch s  this process MiB"
        "  store MiB  its file MiB"
    )
    runs = [(users, arguments.tracks[0]) for users in arguments.users]
    runs += [(arguments.users[0], tracks) for tracks in arguments.tracks[1:]]
    with threadpool_limits(1):
        for users, tracks in runs:
            with tempfile.TemporaryDirectory(prefix="segue-bench-") as scratch:
                measure(Lake(Path(scratch)), users, tracks)


def measure(lake: Lake, users: int, tracks: int) -> None:
    """Fill lake and store, apply the batches and print one row."""
    write(lake, tracks)
    rng = np.random.default_rng(0)
    with mongo.connect(None, lake.root) as database:
        database["state"].insert_one({"_id": state.CHAMPION, "model_version": "1", "digest": "1"})
        for documents in mongo.batched(profiles(users, tracks, rng)):
            database["profiles"].insert_many(documents, ordered=False)
        catalog_cache = CatalogCache(lake)
        started = time.monotonic()
        micro_batch.apply_plays(
            database, catalog_cache, plays(0, users, tracks, rng), micro_batch.BatchStats()
        )
        first_batch_s = time.monotonic() - started
        seconds, cpu_seconds, ranking_seconds = [], [], []
        for number in range(1, N_BATCHES + 1):
            stats = micro_batch.BatchStats()
            batch = plays(number, users, tracks, rng)
            started, cpu_started = time.monotonic(), time.process_time()
            micro_batch.apply_plays(database, catalog_cache, batch, stats)
            seconds.append(time.monotonic() - started)
            cpu_seconds.append(time.process_time() - cpu_started)
            ranking_seconds.append(stats.seconds["ranking"])
        server = embedded_server.read_state(embedded_mongo.MONGO, lake.root / "mongo")
        assert server is not None
        sizes = [psutil.Process(pid).memory_full_info().pss >> 20 for pid in (os.getpid(), server[1])]
        file_size = sum(file.stat().st_size for file in (lake.root / "mongo").glob("*.db")) >> 20
        print(
            f"{users:8d} {tracks:8d} {_ms_a_play(seconds):10.2f} {_ms_a_play(ranking_seconds):16.2f}"
            f"{_ms_a_play(cpu_seconds):15.2f}{first_batch_s:15.1f}"
            f"{sizes[0]:18d}{sizes[1]:11d}{file_size:14d}",
            flush=True,
        )


def _ms_a_play(seconds: list[float]) -> float:
    return float(np.median(seconds) / BATCH * 1000)


def write(lake: Lake, count: int) -> None:
    """Write TRACKS, and EMBEDDINGS around the centers of clusters of a hundred tracks."""
    rng = np.random.default_rng(1)
    clusters = rng.integers(max(10, count // TRACKS_PER_CLUSTER), size=count)
    centers = rng.standard_normal((int(clusters.max()) + 1, DIMENSIONS))
    noise = 0.7 * rng.standard_normal((count, DIMENSIONS))
    vectors = l2_normalize(centers[clusters] + noise).astype(np.float32)
    tracks = []
    embeddings = []
    for number in range(count):
        track_id = f"{number:06d}"
        tracks.append(
            {
                "track_id": track_id,
                "title": f"Title {number}",
                "artist": f"Artist {number // TRACKS_PER_ARTIST}",
                "recording_id": track_id,
                "listens": number,
            }
        )
        embeddings.append(
            {
                "model_version": "1",
                "track_id": track_id,
                "embedding": vectors[number],
                "cluster": int(clusters[number]),
            }
        )
    lake.commit_arrow(TRACKS, [pa.RecordBatch.from_pylist(tracks, TRACKS.arrow_schema())])
    lake.commit_arrow(EMBEDDINGS, [pa.RecordBatch.from_pylist(embeddings, EMBEDDINGS.arrow_schema())])


def profiles(users: int, tracks: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Yield the documents of users with twenty played tracks each."""
    for user in range(users):
        played = [
            ProfileTrack(
                track_id=f"{number:06d}",
                at=NOW - timedelta(hours=hours),
                short_term=1.0,
                long_term=2.0,
                finished=2,
                started=3,
            )
            for hours, number in enumerate(rng.integers(tracks, size=TRACKS_PER_PROFILE).tolist(), start=1)
        ]
        yield to_document(Profile(f"u{user:07d}", NOW, {}, played))


def plays(batch: int, users: int, tracks: int, rng: np.random.Generator) -> list[LoggedPlay]:
    """Return a batch of plays, each by another user."""
    logged = []
    for number, user in enumerate(rng.choice(users, size=BATCH, replace=False).tolist()):
        play = PlayEvent(
            event_id=f"{rng.integers(1 << 60):016x}",
            user_id=f"u{user:07d}",
            track_id=f"{rng.integers(tracks):06d}",
            event="finished",
            position_s=30.0,
            duration_s=30.0,
            played_at=NOW + timedelta(seconds=batch * BATCH + number),
        )
        logged.append(LoggedPlay(play, "plays-0@bench", batch * BATCH + number))
    return logged


if __name__ == "__main__":
    main()
