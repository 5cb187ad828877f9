"""Latency from a player's send to a list that is readable in the store, at several rates, and the memory
used.

    python -m tests.bench.bench_stream --lake LAKE [--rates 10 100 1000] [--seconds 30] [--users 1000]

LAKE has a published model (`segue run`); it is copied, and plays go to the copy. Broker, store and stream are
the real ones, each its own process on this machine; they share its cores with the sender and the reader here.
"""

import argparse
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import spool
from jobs.plays.events import PlayEvent
from jobs.plays.producer import Producer
from jobs.runtime import embedded_kafka, embedded_mongo, embedded_server, stream_status

# Events per second whose list is looked up in the store: looking costs the store, too.
LOOKUPS_PER_S = 25

# After each lookup the reader pauses this many times as long as the lookup took, so as not to slow down the
# store.
_PAUSE_PER_LOOKUP = 9

# Users, each in turn, whose lists are looked up.
_N_WATCHED_USERS = 5_000


class ListWatcher:
    """Polls the store for the lists of watched users, in a thread, and measures how long each took.

    `waiting` has each user whose list is not there yet, with the time of the play and the moment it was sent.
    """

    def __init__(self, database: Any) -> None:
        self.waiting: dict[str, tuple[datetime, float]] = {}
        self.latencies: list[float] = []
        self._lists = database["recommendations"]
        self._deadline = float("inf")
        self._thread = threading.Thread(target=self._poll)
        self._thread.start()

    def close(self) -> None:
        """Wait for the lists that are still missing, at most two minutes."""
        self._deadline = time.monotonic() + 120
        self._thread.join()

    def _poll(self) -> None:
        while self._deadline == float("inf") or (self.waiting and time.monotonic() < self._deadline):
            started = time.monotonic()
            users = list(self.waiting)[:200]
            for document in self._lists.find({"_id": {"$in": users}}, {"as_of": 1}):
                played_at, sent_at = self.waiting.get(document["_id"], (None, 0.0))
                if played_at is not None and document["as_of"] >= played_at:
                    self.latencies.append(time.monotonic() - sent_at)
                    self.waiting.pop(document["_id"])
            time.sleep(max(0.01, _PAUSE_PER_LOOKUP * (time.monotonic() - started)))


@dataclass
class Sent:
    """What was sent at one rate."""

    started: float
    ended: float
    lags: list[int]  # unprocessed events at half time and at the end
    latencies: list[float]  # seconds from send to list
    send_seconds: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake", required=True, help="lake with a published model")
    parser.add_argument("--rates", type=float, nargs="+", default=[10, 100, 1000], help="events per second")
    parser.add_argument("--seconds", type=float, default=30, help="duration of each rate (default 30)")
    parser.add_argument("--users", type=int, default=1_000, help="number of users (default 1000)")
    arguments = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    with tempfile.TemporaryDirectory(prefix="segue-bench-") as scratch:
        lake = Path(scratch) / "lake"
        shutil.copytree(
            arguments.lake, lake, symlinks=True, ignore=shutil.ignore_patterns("*.alive", "kafka", "stream")
        )
        with (
            embedded_kafka.kafka_address(None, lake) as address,
            embedded_mongo.embedded_mongo(lake / "mongo") as uri,
        ):
            process = start(lake)
            try:
                measure(lake, address, uri, process.pid, arguments)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def start(lake: Path) -> "subprocess.Popen[bytes]":
    """Start the stream and wait until it runs."""
    segue = str(Path(sys.executable).with_name("segue"))
    command = [segue, "stream", "--lake", str(lake)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not stream_status.is_alive(lake):
        assert process.poll() is None, "the stream has ended"
        time.sleep(0.2)
    return process


def measure(lake: Path, address: str, uri: str, pid: int, arguments: argparse.Namespace) -> None:
    tracks = Lake(lake).read_arrow(TRACKS, "track_id")["track_id"].to_pylist()
    print(
        "lag: events not processed yet, at half time and at the end; "
        "backlog: seconds from the end until all are processed"
    )
    print("MiB: PSS of the stream with its JVM, of the broker, of the store")
    print(
        "events/s    sent processed/s p50 ms  p95 ms  p99 ms  send p99 ms  lag half  lag end  backlog"
        "  stream  broker  store"
    )
    total = 0
    with Producer(address, spool.spool_dir(lake)) as producer, mongo.database(uri) as database:
        # The first batches compile; they are not measured.
        for rate, seconds in [(20, 10), *((rate, arguments.seconds) for rate in arguments.rates)]:
            watcher = ListWatcher(database)
            sent = send(producer, watcher, tracks, rate, seconds, arguments.users, lake)
            while lag(producer, lake):
                time.sleep(0.2)
            emptied = time.monotonic()
            watcher.close()
            total += len(sent.send_seconds)
            check_processed(lake, total)
            if total > len(sent.send_seconds):
                show(rate, sent, emptied, memory(lake, pid))


def check_processed(lake: Path, total: int) -> None:
    """Exit unless exactly `total` plays are processed; the status is written every two seconds."""
    deadline = time.monotonic() + 30
    while (plays := read_status(lake)["plays"]) != total:
        if plays > total or time.monotonic() > deadline:
            raise SystemExit(f"expected {total} plays to be processed, found {plays}")
        time.sleep(0.2)


def read_status(lake: Path) -> dict[str, Any]:
    status = stream_status.read(lake)
    assert status is not None, "the stream has written no status"
    return status


def show(rate: float, sent: Sent, emptied: float, sizes: list[int]) -> None:
    latency_ms = [1000 * percentile(sent.latencies, q) for q in (50, 95, 99)]
    count = len(sent.send_seconds)
    print(
        f"{rate:8.0f} {count:7d} {count / (emptied - sent.started):8.0f} "
        f"{latency_ms[0]:8.0f}{latency_ms[1]:8.0f}{latency_ms[2]:8.0f}"
        f"{1000 * percentile(sent.send_seconds, 99):13.1f}{sent.lags[0]:10d}{sent.lags[-1]:9d}"
        f"{emptied - sent.ended:9.1f}"
        f"{sizes[0]:8d}{sizes[1]:8d}{sizes[2]:7d}",
        flush=True,
    )


def send(
    producer: Producer,
    watcher: ListWatcher,
    tracks: list[str],
    rate: float,
    seconds: float,
    users: int,
    lake: Path,
) -> Sent:
    """Send at a rate for some seconds; the watcher measures the lists of some of the users."""
    rng = random.Random(0)
    send_seconds: list[float] = []
    lags: list[int] = []
    events_per_lookup = max(1, round(rate / LOOKUPS_PER_S))
    started = time.monotonic()
    while (now := time.monotonic()) - started < seconds:
        number = len(send_seconds)
        if number / rate > now - started:
            time.sleep(min(0.01, number / rate - (now - started)))
            continue
        watched = f"w{number % _N_WATCHED_USERS}"
        is_watched = number % events_per_lookup == 0 and watched not in watcher.waiting
        user = watched if is_watched else f"u{rng.randrange(users):05d}"
        event = finished(user, rng.choice(tracks), number)
        send_started = time.monotonic()
        if is_watched:
            watcher.waiting[watched] = (event.played_at, send_started)
        producer.send(event)
        send_seconds.append(time.monotonic() - send_started)
        if not lags and len(send_seconds) >= rate * seconds / 2:
            lags.append(lag(producer, lake))
    ended = time.monotonic()
    return Sent(started, ended, [*lags, lag(producer, lake)], watcher.latencies, send_seconds)


def finished(user_id: str, track_id: str, number: int) -> PlayEvent:
    """Return a play of now, in whole milliseconds, as the store has times."""
    now = datetime.now(UTC)
    now = now.replace(microsecond=now.microsecond // 1000 * 1000)
    return PlayEvent(
        event_id=f"{now.timestamp()}-{number}",
        user_id=user_id,
        track_id=track_id,
        event="finished",
        position_s=30.0,
        duration_s=30.0,
        played_at=now,
    )


def lag(producer: Producer, lake: Path) -> int:
    """Return how many events the stream has not processed."""
    return int(read_status(lake)["lag"]) + producer.pending


def percentile(values: list[float], q: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * q // 100)] if ordered else float("nan")


def memory(lake: Path, pid: int) -> list[int]:
    """Return MiB (PSS) of the stream with its JVM, of the broker, of the store."""
    stream = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    states = [
        embedded_server.read_state(embedded_kafka.KAFKA, lake / "kafka"),
        embedded_server.read_state(embedded_mongo.MONGO, lake / "mongo"),
    ]
    groups = [stream, *([psutil.Process(state.pid)] for state in states if state is not None)]
    return [sum(map(_pss, group)) >> 20 for group in groups]


def _pss(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):  # Hadoop calls chmod now and then
        return process.memory_full_info().pss
    return 0


if __name__ == "__main__":
    main()
