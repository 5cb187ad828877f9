"""The stream for an hour: does its memory, its disk or its latency grow? Is everything there at the end?

    python -m tests.faults.long_stream --lake LAKE [--minutes 60] [--rate 50] [--users 2000]

LAKE has a published model (`segue run`); it is copied. Simulated listeners play at a rate, through the real broker; a line
a minute says how everything is, and at the end every play must be in PLAYS and in the store, once.
"""

import argparse
import shutil
import signal
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import play_log, simulator, spool
from jobs.plays.producer import Producer
from jobs.runtime import embedded_kafka, embedded_mongo, stream_status
from tests.bench.bench_stream import memory, start


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lake", required=True)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--users", type=int, default=2_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="segue-soak-") as scratch:
        lake = Path(scratch) / "lake"
        ignored = shutil.ignore_patterns("*.alive", "kafka", "stream")
        shutil.copytree(arguments.lake, lake, symlinks=True, ignore=ignored)
        with (
            embedded_kafka.kafka_address(None, lake) as address,
            embedded_mongo.embedded_mongo(lake / "mongo") as uri,
        ):
            process = start(lake, "0.1")
            try:
                sent, sizes = soak(lake, address, process.pid, arguments)
                check(lake, uri, sent)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
    half = np.array(sizes[len(sizes) // 2 :])
    slopes = np.polyfit(np.arange(len(half)), half, 1)[0] * 60 if len(half) > 2 else np.zeros(3)
    print("MiB an hour over the second half: stream {:.0f}, broker {:.0f}, store {:.0f}".format(*slopes))


def soak(lake: Path, address: str, pid: int, arguments: argparse.Namespace) -> tuple[int, list[list[int]]]:
    """Send for as long as is asked; return the number sent and, for each minute, MiB of stream, broker and store."""
    rows = Lake(lake).read_arrow(TRACKS, "track_id", "genre", "duration_s").to_pylist()
    kinds = sorted({row["genre"] or "" for row in rows})
    played = simulator.simulate_plays(
        [row["track_id"] for row in rows],
        [kinds.index(row["genre"] or "") for row in rows],
        [row["duration_s"] for row in rows],
        users=arguments.users,
        events=int(arguments.rate * 60 * arguments.minutes * 2),
        seed=0,
        begin=datetime(2026, 1, 1, tzinfo=UTC),
    )
    print(
        "minute     sent  lag  p95 ms  p99 ms   stream  broker  store MiB  PLAYS live files, MiB  store MiB  Kafka MiB"
    )
    sizes: list[list[int]] = []
    with Producer(address, spool.spool_dir(lake)) as producer:
        begun, sent = time.monotonic(), 0
        for minute in range(1, arguments.minutes + 1):
            for event in played:
                producer.send(event)
                sent += 1
                time.sleep(max(0.0, sent / arguments.rate - (time.monotonic() - begun)))
                if time.monotonic() - begun >= 60 * minute:
                    break
            sizes.append(memory(lake, pid))
            found = stream_status.read(lake)
            latency = found["latency_s"]
            live = list((lake / "PLAYS").rglob("*.parquet"))
            print(
                f"{minute:6d} {sent:8d} {found['lag']:4d} {1000 * latency['p95']:7.0f} {1000 * latency['p99']:7.0f}"
                f"{sizes[-1][0]:9d}{sizes[-1][1]:8d}{sizes[-1][2]:7d}{len(live):17d}{_mib(lake / 'PLAYS'):12d}"
                f"{_mib(lake / 'mongo'):11d}{_mib(lake / 'kafka'):11d}",
                flush=True,
            )
        assert producer.flush(120), f"{producer.pending} events wait in the spool"
    return sent, sizes


def check(lake: Path, uri: str, sent: int) -> None:
    """Every play is there, once, in PLAYS and in the store."""
    limit = time.monotonic() + 300
    with mongo.database(uri) as database:
        while (there := database["plays"].count_documents({})) < sent and time.monotonic() < limit:
            time.sleep(1)
        kept = len(play_log.read(Lake(lake), "event_id"))
        print(f"sent {sent}, in PLAYS {kept}, in the store {there}")
        assert sent == kept == there


def _mib(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) >> 20


if __name__ == "__main__":
    main()
