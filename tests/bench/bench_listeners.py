"""`segue recommend` by the number of users: CPU, time and memory of all its processes.

    python -m tests.bench.bench_listeners [--users 10000 100000] [--tracks 106574]

Made-up users finish twenty tracks each, of a long tail and mostly of one cluster; their profiles are in the
embedded store. The first run learns the similarities, tunes and ranks a list for everybody; the second has
nothing new.
"""

import argparse
import os
import platform
import tempfile
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from jobs.lake.schemas import EMBEDDINGS, PLAYS
from jobs.lake.storage import Lake
from jobs.online import mongo, state
from jobs.plays import play_log
from jobs.recommender.profiles import Profile, ProfileTrack, to_document
from tests.bench.bench_micro_batch import NOW, write
from tests.bench.bench_scaling import measure_command

PLAYS_PER_USER = 20
OWN_CLUSTER = 0.8
DAYS = 60
ORIGIN = "plays-0@bench"
USERS_PER_FILE = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--tracks", type=int, default=106_574)
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    print("   users   tracks  run           CPU s  seconds  peak MiB")
    for users in arguments.users:
        with tempfile.TemporaryDirectory(prefix="segue-bench-") as scratch:
            lake = Lake(Path(scratch) / "lake")
            fill(lake, users, arguments.tracks)
            for name in ("whole", "nothing new"):
                found = measure_command(lake.root, ["recommend"])
                print(
                    f"{users:8d} {arguments.tracks:8d}  {name:12s}{found['cpu']:7.0f}{found['wall']:9.0f}"
                    f"{found['mib']:10.0f}",
                    flush=True,
                )


def fill(lake: Lake, users: int, tracks: int) -> None:
    """Write the tables of a model, PLAYS, and the users' profiles."""
    write(lake, tracks)
    clusters = lake.read_arrow(EMBEDDINGS, "cluster")["cluster"].to_numpy()
    by_cluster = [np.flatnonzero(clusters == number) for number in range(clusters.max() + 1)]
    rng = np.random.default_rng(2)
    with mongo.connect(None, lake.root) as database:
        champion = {"_id": state.CHAMPION, "model_version": "1", "digest": "1", "published_at": NOW}
        database["state"].insert_one(champion)
        for first in range(0, users, USERS_PER_FILE):
            numbers = np.arange(first, min(first + USERS_PER_FILE, users))
            played = np.stack([choose_tracks(rng, by_cluster, tracks) for _ in numbers])
            hours = np.sort(rng.integers(DAYS * 24, size=played.shape), axis=1)
            rows = play_rows(numbers, played, hours)
            play_log.play_table(lake).append(f"bench-0.{first * PLAYS_PER_USER}", rows)
            for documents in mongo.batched(map(profile_document, numbers.tolist(), played, hours)):
                database["profiles"].insert_many(documents, ordered=False)


def choose_tracks(rng: np.random.Generator, by_cluster: list[np.ndarray], tracks: int) -> np.ndarray:
    """Return a user's tracks: the square makes a few of a cluster, and of all, much more frequent."""
    own = by_cluster[rng.integers(len(by_cluster))]
    places = rng.random(PLAYS_PER_USER) ** 2
    is_own = rng.random(PLAYS_PER_USER) < OWN_CLUSTER
    chosen: np.ndarray = np.where(is_own, own[(places * len(own)).astype(int)], (places * tracks).astype(int))
    return chosen


def play_rows(users: np.ndarray, played: np.ndarray, hours: np.ndarray) -> pa.Table:
    """Return rows of PLAYS for users (u,) with their tracks and how many hours ago (u, plays)."""
    offsets = np.repeat(users, PLAYS_PER_USER) * PLAYS_PER_USER + np.tile(
        np.arange(PLAYS_PER_USER), len(users)
    )
    columns = {
        "event_id": [f"{offset:016x}" for offset in offsets.tolist()],
        "user_id": [f"u{user:07d}" for user in np.repeat(users, PLAYS_PER_USER).tolist()],
        "track_id": [f"{track:06d}" for track in played.ravel().tolist()],
        "event": ["finished"] * len(offsets),
        "played_at": [NOW - timedelta(hours=each) for each in hours.ravel().tolist()],
        "origin": [ORIGIN] * len(offsets),
        "offset": offsets,
    }
    empty = [None] * len(offsets)
    return pa.table({name: columns.get(name, empty) for name in PLAYS.names}, PLAYS.arrow_schema())


def profile_document(user: int, played: np.ndarray, hours: np.ndarray) -> dict[str, object]:
    """Return the document of a user's profile."""
    tracks = {
        track: ProfileTrack(
            track_id=f"{track:06d}",
            at=NOW - timedelta(hours=ago),
            short_term=0.5 ** (ago / 6),
            long_term=0.5 ** (ago / 24 / 60),
            finished=1,
            started=1,
        )
        for track, ago in zip(played.tolist(), hours.tolist(), strict=True)
    }
    last = (int(user) + 1) * PLAYS_PER_USER - 1
    return to_document(Profile(f"u{user:07d}", NOW, {ORIGIN: last}, list(tracks.values())))


if __name__ == "__main__":
    main()
