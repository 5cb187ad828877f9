"""Send play events to Kafka, through the producer and its spool: from a file, or of simulated users."""

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from jobs import progress
from jobs.errors import InputError, StepError
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake, open_lake
from jobs.plays import events, simulator, spool, topics
from jobs.plays.events import InvalidEvent, PlayEvent
from jobs.plays.producer import Producer
from jobs.progress import StepResult
from jobs.runtime import embedded_kafka

# Seconds for Kafka to acknowledge all events at the end.
_FLUSH_S = 60

# Ten years.
_MAX_DAYS = 3_650


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--events", metavar="FILE.jsonl", help="file of play events, one JSON object a line; - reads stdin"
    )
    source.add_argument("--users", type=int, metavar="N", help="number of users to simulate")
    parser.add_argument(
        "--count", type=int, default=1_000, help="number of events to simulate (default %(default)s)"
    )
    parser.add_argument(
        "--days",
        type=float,
        default=14.0,
        help="days of history to simulate, ending now (default %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the simulation (default %(default)s)"
    )
    parser.add_argument(
        "--rate", type=float, metavar="PER_SECOND", help="maximum events per second (default: no limit)"
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Send all events; invalid ones are reported on stderr with their line, and counted."""
    if arguments.rate is not None and not arguments.rate > 0:
        raise InputError(f"--rate: expected more than 0 events a second, found {arguments.rate}")
    lake = open_lake(arguments)
    source = _read_events(arguments.events) if arguments.events else _simulate(lake, arguments)
    with embedded_kafka.kafka_address(arguments.kafka, lake.root) as address:
        topics.ensure_topics(address)
        with Producer(address, spool.spool_dir(lake.root)) as producer:
            counts = _send_all(producer, source, arguments.rate)
            if not producer.flush(_FLUSH_S):
                raise StepError(
                    f"expected Kafka at {address} to acknowledge all events, found {producer.pending} "
                    f"of {counts['sent']} waiting in {spool.spool_dir(lake.root)}; "
                    "the next `segue produce`, or the player, sends them"
                )
    return StepResult(counts)


def _send_all(
    producer: Producer, source: Iterable[PlayEvent | InvalidEvent], rate: float | None
) -> dict[str, int]:
    """Send events, at most `rate` per second; return the counts."""
    counts = {"sent": 0, "invalid": 0}
    started = time.monotonic()
    with progress.watch("produce", 0, lambda: counts["sent"]):
        for line_number, event in enumerate(source, start=1):
            if isinstance(event, InvalidEvent):
                counts["invalid"] += 1
                print(f"line {line_number}: {event}", file=sys.stderr)
                continue
            if rate:
                time.sleep(max(0.0, started + counts["sent"] / rate - time.monotonic()))
            producer.send(event)
            counts["sent"] += 1
    return counts


def _read_events(name: str) -> Iterator[PlayEvent | InvalidEvent]:
    """Open a file, or stdin for "-"; return its events, and the error of each invalid line."""
    try:
        file = sys.stdin.buffer if name == "-" else Path(name).expanduser().open("rb")
    except OSError as error:
        raise InputError(
            f"--events: expected a file of JSON lines, found {name}: {error.strerror}"
        ) from error
    return _parse_lines(file)


def _parse_lines(file: BinaryIO) -> Iterator[PlayEvent | InvalidEvent]:
    with file:
        for line in file:
            try:
                yield events.parse(line.strip(), datetime.now(UTC))
            except InvalidEvent as error:
                yield error


def _simulate(lake: Lake, arguments: argparse.Namespace) -> Iterator[PlayEvent]:
    if arguments.users < 1 or arguments.count < 1:
        raise InputError(
            f"expected --users and --count of at least 1, found {arguments.users} and {arguments.count}"
        )
    if not 1 <= arguments.days <= _MAX_DAYS:
        raise InputError(f"--days: expected 1 to {_MAX_DAYS}, found {arguments.days:g}")
    tracks = lake.read_arrow(TRACKS, "track_id", "genre", "duration_s").sort_by("track_id").to_pylist()
    if not tracks:
        raise StepError(f"expected tracks to play in {lake.root}, found none; run `segue run` first")
    simulated = simulator.simulate_plays(
        [track["track_id"] for track in tracks],
        [track["genre"] for track in tracks],
        [track["duration_s"] for track in tracks],
        users=arguments.users,
        events=arguments.count,
        seed=arguments.seed,
        begin=datetime.now(UTC) - timedelta(days=arguments.days),
        # A session may begin on the last day and end after it.
        days=max(arguments.days - 1, 0.1),
    )
    return itertools.islice(simulated, arguments.count)
