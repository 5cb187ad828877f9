"""The stream for an hour: memory, disk and latency over time, and every play accounted for at the end.

    python -m tests.faults.long_stream --lake LAKE [--minutes 60] [--rate 50] [--users 2000]

LAKE has a published model (`segue run`); it is copied. Simulated users play at a fixed rate through the real
broker. One line a minute reports sizes and latency; at the end every play must be in PLAYS and in the online
store exactly once.
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
    with tempfile.TemporaryDirectory(prefix="segue-faults-") as scratch:
        lake = Path(scratch) / "lake"
        ignored = shutil.ignore_patterns("*.alive", "kafka", "stream")
        shutil.copytree(arguments.lake, lake, symlinks=True, ignore=ignored)
        with (
            embedded_kafka.kafka_address(None, lake) as address,
            embedded_mongo.embedded_mongo(lake / "mongo") as uri,
        ):
            process = start(lake)
            try:
                sent, sizes = send_for(lake, address, process.pid, arguments)
                check(lake, uri, sent)
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(60)
    half = np.array(sizes[len(sizes) // 2 :])
    slopes = np.polyfit(np.arange(len(half)), half, 1)[0] * 60 if len(half) > 2 else np.zeros(3)
    print(
        "Growth in MiB per hour over the second half: stream {:.0f}, broker {:.0f}, store {:.0f}".format(
            *slopes
        )
    )


def send_for(
    lake: Path, address: str, pid: int, arguments: argparse.Namespace
) -> tuple[int, list[list[int]]]:
    """Send for `--minutes`; return the number sent and, per minute, MiB of stream, broker and store."""
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
        "minute     sent  lag  p95 ms  p99 ms   stream  broker  store MiB"
        "  PLAYS files, MiB  store MiB  Kafka MiB"
    )
    sizes: list[list[int]] = []
    with Producer(address, spool.spool_dir(lake)) as producer:
        started, sent = time.monotonic(), 0
        for minute in range(1, arguments.minutes + 1):
            for event in played:
                producer.send(event)
                sent += 1
                time.sleep(max(0.0, sent / arguments.rate - (time.monotonic() - started)))
                if time.monotonic() - started >= 60 * minute:
                    break
            sizes.append(memory(lake, pid))
            found = stream_status.read(lake) or {}
            latency = found["latency_s"]
            live = list((lake / "PLAYS").rglob("*.parquet"))
            print(
                f"{minute:6d} {sent:8d} {found['lag']:4d} {1000 * latency['p95']:7.0f}"
                f"{1000 * latency['p99']:8.0f}"
                f"{sizes[-1][0]:9d}{sizes[-1][1]:8d}{sizes[-1][2]:7d}{len(live):7d}{_mib(lake / 'PLAYS'):12d}"
                f"{_mib(lake / 'mongo'):11d}{_mib(lake / 'kafka'):11d}",
                flush=True,
            )
        assert producer.flush(120), f"{producer.pending} events wait in the spool"
    return sent, sizes


def check(lake: Path, uri: str, sent: int) -> None:
    """Check that every play is in PLAYS and in the online store exactly once."""
    limit = time.monotonic() + 300
    with mongo.database(uri) as database:
        while (in_store := database["plays"].count_documents({})) < sent and time.monotonic() < limit:
            time.sleep(1)
        in_plays = len(play_log.read(Lake(lake), "event_id"))
        print(f"sent {sent}, in PLAYS {in_plays}, in the store {in_store}")
        assert sent == in_plays == in_store


def _mib(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) >> 20


if __name__ == "__main__":
    main()
