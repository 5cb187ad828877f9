"""How long from a player's send to recommendations that can be read in the store, at several rates; and the
memory of it.

    python tests/bench/bench_stream.py --lake LAKE [--rates 10 100 1000] [--seconds 30] [--users 1000]

LAKE has a published model (`segue run`); it is copied, and plays go to the copy. Broker, store and stream are
the real ones, each a process of its own on this machine, and so are the sender and the reader here: all share
its cores.
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
from jobs.plays.producer import Producer
from jobs.runtime import embedded_kafka, embedded_mongo, embedded_server, stream_status

# Of all events so many a second are looked for in the store: looking costs the store, too.
LOOKED_FOR = 25

# After each look it waits so many times as long as the look took.
_LOOKING = 9


class Seeker:
    """Looks in the store for what was sent.

    Who waits, and how long it took for the others' lists to be there.
    """

    def __init__(self, database: Any) -> None:
        self.waiting: dict[str, tuple[datetime, float]] = {}
        self.found: list[float] = []
        self._lists, self._limit = database["recommendations"], float("inf")
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def close(self) -> None:
        """Wait for what still waits, not longer than for two minutes."""
        self._limit = time.monotonic() + 120
        self._thread.join()

    def _look(self) -> None:
        while self._limit == float("inf") or (self.waiting and time.monotonic() < self._limit):
            looked_at = time.monotonic()
            for each in self._lists.find({"_id": {"$in": list(self.waiting)[:200]}}, {"as_of": 1}):
                at, begun = self.waiting.get(each["_id"], (None, 0.0))
                if at is not None and each["as_of"] >= at:
                    self.found.append(time.monotonic() - begun)
                    self.waiting.pop(each["_id"])
            # Who looks all the time for what is late makes it later.
            time.sleep(max(0.01, _LOOKING * (time.monotonic() - looked_at)))


@dataclass
class Sent:
    """What was sent at a rate.

    From when to when, events unprocessed at half and end, seconds that lists and sends took.
    """

    begun: float
    ended: float
    lags: list[int]
    found: list[float]
    sends: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake", required=True)
    parser.add_argument("--rates", type=float, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--users", type=int, default=1_000)
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
    """Start the stream and wait until it listens."""
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
        # The first batches compile; they are no figures.
        for rate, seconds in [(20, 10), *((rate, arguments.seconds) for rate in arguments.rates)]:
            seeker = Seeker(database)
            sent = send(producer, seeker, tracks, rate, seconds, arguments.users, lake)
            while lag(producer, lake):
                time.sleep(0.2)
            emptied = time.monotonic()
            seeker.close()
            total += len(sent.sends)
            processed(lake, total)
            if total > len(sent.sends):
                show(rate, sent, emptied, memory(lake, pid))


def processed(lake: Path, total: int) -> None:
    """Exit unless exactly `count` plays are processed; the status is written every two seconds."""
    deadline = time.monotonic() + 30
    while (found := stream_status.read(lake)["plays"]) != total:
        if found > total or time.monotonic() > deadline:
            raise SystemExit(f"expected {total} plays to be processed, found {found}")
        time.sleep(0.2)


def show(rate: float, sent: Sent, emptied: float, sizes: list[int]) -> None:
    at = [1000 * percentile(sent.found, q) for q in (50, 95, 99)]
    count = len(sent.sends)
    print(
        f"{rate:8.0f} {count:7d} {count / (emptied - sent.begun):8.0f} {at[0]:8.0f}{at[1]:8.0f}{at[2]:8.0f}"
        f"{1000 * percentile(sent.sends, 99):13.1f}{sent.lags[0]:10d}{sent.lags[-1]:9d}"
        f"{emptied - sent.ended:9.1f}"
        f"{sizes[0]:8d}{sizes[1]:8d}{sizes[2]:7d}",
        flush=True,
    )


def send(
    producer: Producer, seeker: Seeker, tracks: list[str], rate: float, seconds: float, users: int, lake: Path
) -> Sent:
    """Send at a rate, and look for the lists of some of those who have played."""
    chance, sends, lags = random.Random(0), [0.0] * 0, [0] * 0
    begun, every = time.monotonic(), max(1, round(rate / LOOKED_FOR))
    while (now := time.monotonic()) - begun < seconds:
        number = len(sends)
        if number / rate > now - begun:
            time.sleep(min(0.01, number / rate - (now - begun)))
            continue
        seeked = f"w{number % 5000}"
        looked = number % every == 0 and seeked not in seeker.waiting
        event = finished(
            seeked if looked else f"u{chance.randrange(users):05d}", chance.choice(tracks), number
        )
        before = time.monotonic()
        if looked:
            seeker.waiting[seeked] = (event["played_at"], before)
        producer.send(event)
        sends.append(time.monotonic() - before)
        if not lags and len(sends) >= rate * seconds / 2:
            lags.append(lag(producer, lake))
    ended = time.monotonic()
    return Sent(begun, ended, [*lags, lag(producer, lake)], seeker.found, sends)


def finished(user_id: str, track_id: str, number: int) -> dict[str, Any]:
    """Return a play of now, to the millisecond, as the store keeps times."""
    at = datetime.now(UTC)
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    return {
        "event_id": f"{at.timestamp()}-{number}",
        "user_id": user_id,
        "track_id": track_id,
        "event": "finished",
        "position_s": 30.0,
        "duration_s": 30.0,
        "played_at": at,
    }


def lag(producer: Producer, lake: Path) -> int:
    """Return how many events the stream has not processed."""
    return int(stream_status.read(lake)["lag"]) + producer.pending


def percentile(values: list[float], q: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * q // 100)] if ordered else float("nan")


def memory(lake: Path, pid: int) -> list[int]:
    """Return MiB (PSS) of the stream with its JVM, of the broker, of the store."""
    stream = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    others = [
        embedded_server.read_state(embedded_kafka.KAFKA, lake / "kafka")[1],
        embedded_server.read_state(embedded_mongo.MONGO, lake / "mongo")[1],
    ]
    groups = [stream, *([psutil.Process(number)] for number in others)]
    return [sum(map(_pss, group)) >> 20 for group in groups]


def _pss(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):  # Hadoop calls chmod now and then
        return process.memory_full_info().pss
    return 0


if __name__ == "__main__":
    main()
