"""How long from a player's send to recommendations that can be read in the store, at several rates; and the memory of it.

    python tests/bench/bench_stream.py --lake LAKE [--rates 10 100 1000] [--seconds 30] [--users 1000]

LAKE has a published model (`segue run`); it is copied, and plays go to the copy. Broker, store and stream are the real
ones, each a process of its own on this machine, and so are the sender and the reader here: all share its cores.
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
from datetime import UTC, datetime
from pathlib import Path

import psutil

from jobs import broker, embedded, local, mongo, stream_status
from jobs.produce import spool
from jobs.producer import Producer
from jobs.storage import Lake
from jobs.tables import TRACKS

# Of all events so many a second are looked for in the store: looking costs the store, too.
LOOKED_FOR = 25

# After each look it waits so many times as long as the look took.
_LOOKING = 9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
        with broker.kafka_at(None, lake) as address, local.mongo(lake / "mongo") as uri:
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
    tracks = Lake(lake).arrow(TRACKS, "track_id")["track_id"].to_pylist()
    print(
        "lag: events not heard yet, at half of the time and at its end; backlog: seconds from there until all was heard"
    )
    print("MiB: PSS of the stream with its JVM, of the broker, of the store")
    print(
        "events/s    sent  heard/s   p50 ms  p95 ms  p99 ms  send p99 ms  lag half  lag end  backlog  stream  broker  store"
    )
    with Producer(address, spool(lake)) as producer, mongo.database(uri) as database:
        total = run(producer, database, tracks, 20, 10, arguments.users, lake)[0]  # the first batches compile
        for rate in arguments.rates:
            sent, begun, ended, lags, found, sends = run(
                producer, database, tracks, rate, arguments.seconds, arguments.users, lake
            )
            while stream_status.read(lake)["lag"] or producer.waiting:
                time.sleep(0.2)
            emptied = time.monotonic()
            total += sent
            time.sleep(5)  # the status is written every two seconds
            if (heard := stream_status.read(lake)["plays"]) != total:
                raise SystemExit(f"expected {total} plays to be heard, found {heard}")
            at = [1000 * percentile(found, q) for q in (50, 95, 99)]
            sizes = memory(lake, pid)
            print(
                f"{rate:8.0f} {sent:7d} {sent / (emptied - begun):8.0f} {at[0]:8.0f}{at[1]:8.0f}{at[2]:8.0f}"
                f"{1000 * percentile(sends, 99):13.1f}{lags[0]:10d}{lags[-1]:9d}{emptied - ended:9.1f}"
                f"{sizes[0]:8d}{sizes[1]:8d}{sizes[2]:7d}",
                flush=True,
            )


def run(producer, database, tracks, rate, seconds, users, lake):
    """Send at a rate; return how many, from when to when, lags, latencies of those looked for, and how long each send took."""
    chance, found, sends, lags = random.Random(0), [], [], []
    waiting: dict[str, tuple[datetime, float]] = {}
    done = threading.Event()

    def look() -> None:
        while not done.is_set() or waiting:
            looked_at = time.monotonic()
            for each in database["recommendations"].find({"_id": {"$in": list(waiting)[:200]}}, {"as_of": 1}):
                at, begun = waiting.get(each["_id"], (None, 0.0))
                if at is not None and each["as_of"] >= at:
                    found.append(time.monotonic() - begun)
                    waiting.pop(each["_id"])
            if done.is_set() and time.monotonic() > limit:
                return
            # Who looks all the time for what is late makes it later.
            time.sleep(max(0.01, _LOOKING * (time.monotonic() - looked_at)))

    limit = float("inf")
    thread = threading.Thread(target=look)
    thread.start()
    begun, every, sent = time.monotonic(), max(1, round(rate / LOOKED_FOR)), 0
    while (now := time.monotonic()) - begun < seconds:
        if sent / rate > now - begun:
            time.sleep(min(0.01, sent / rate - (now - begun)))
            continue
        user = f"u{chance.randrange(users):05d}"
        looked = sent % every == 0 and f"w{sent % 5000}" not in waiting
        user = f"w{sent % 5000}" if looked else user
        at = datetime.now(UTC)
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        track = chance.choice(tracks)
        before = time.monotonic()
        if looked:
            waiting[user] = (at, before)
        producer.send(
            {
                "event_id": f"{at.timestamp()}-{sent}",
                "user_id": user,
                "track_id": track,
                "event": "finished",
                "position_s": 30.0,
                "duration_s": 30.0,
                "played_at": at,
            }
        )
        sends.append(time.monotonic() - before)
        sent += 1
        if not lags and sent >= rate * seconds / 2:
            lags.append(lag(producer, lake))
    ended = time.monotonic()
    lags.append(lag(producer, lake))
    limit = time.monotonic() + 120
    done.set()
    thread.join()
    return sent, begun, ended, lags, found, sends


def lag(producer: Producer, lake: Path) -> int:
    """Return how many events the stream has not heard."""
    return int(stream_status.read(lake)["lag"]) + producer.waiting


def percentile(values: list[float], q: int) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * q // 100)] if ordered else float("nan")


def memory(lake: Path, pid: int) -> list[int]:
    """Return MiB (PSS) of the stream with its JVM, of the broker, of the store."""
    stream = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    others = [embedded.state(broker.KAFKA, lake / "kafka")[1], embedded.state(local.MONGO, lake / "mongo")[1]]
    groups = [stream, *([psutil.Process(number)] for number in others)]
    return [sum(map(_pss, group)) >> 20 for group in groups]


def _pss(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):  # Hadoop calls chmod now and then
        return process.memory_full_info().pss
    return 0


if __name__ == "__main__":
    main()
