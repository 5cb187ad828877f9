"""Send play events to Kafka, through the producer and its spool: from a file, or of listeners that are simulated."""

import argparse
import itertools
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobs import progress
from jobs.errors import InputError, StepError
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake, open_lake
from jobs.plays import events, simulator, spool, topics
from jobs.plays.producer import Producer
from jobs.progress import StepResult
from jobs.runtime import embedded_kafka

# Seconds that everything sent may take to be acknowledged before the command says that it waits in the spool.
_FLUSH_S = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--events", metavar="FILE.jsonl", help="play events, one JSON object a line; - reads stdin"
    )
    what.add_argument("--listeners", type=int, metavar="N", help="simulate N listeners")
    parser.add_argument("--count", type=int, default=1_000, help="events to simulate (default %(default)s)")
    parser.add_argument(
        "--days", type=float, default=14.0, help="that they are spread over, up to now (default 14)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the simulation (default %(default)s)")
    parser.add_argument("--rate", type=float, metavar="PER_SECOND", help="at most so many events a second")


def main(arguments: argparse.Namespace) -> StepResult:
    """Send all; what is no event is told on stderr with its line, and counted."""
    if arguments.rate is not None and arguments.rate <= 0:
        raise InputError(f"--rate: expected more than 0 events a second, found {arguments.rate}")
    lake = open_lake(arguments)
    source = _from_file(arguments.events) if arguments.events else _simulated(lake, arguments)
    sent = bad = 0
    with embedded_kafka.kafka_address(arguments.kafka, lake.root) as address:
        topics.ensure_topics(address)
        with (
            Producer(address, spool.spool_dir(lake.root)) as producer,
            progress.watch("produce", 0, lambda: sent),
        ):
            begun = time.monotonic()
            for number, event in enumerate(source, start=1):
                if isinstance(event, events.InvalidEvent):
                    bad += 1
                    print(f"line {number}: {event}", file=sys.stderr)
                    continue
                if arguments.rate:
                    time.sleep(max(0.0, begun + sent / arguments.rate - time.monotonic()))
                producer.send(event)
                sent += 1
            if not producer.flush(_FLUSH_S):
                raise StepError(
                    f"expected Kafka at {address} to take all, found {producer.pending} of {sent} events still waiting in "
                    f"{spool.spool_dir(lake.root)}; the next `segue produce`, or the player, sends them"
                )
    return StepResult({"sent": sent, "not events": bad})


def _from_file(name: str) -> Iterator[dict[str, Any] | events.InvalidEvent]:
    """Yield the events of a file, and what is wrong with each line that is none."""
    try:
        file = sys.stdin.buffer if name == "-" else Path(name).expanduser().open("rb")
    except OSError as error:
        raise InputError(
            f"--events: expected a file of JSON lines, found {name}: {error.strerror}"
        ) from error
    with file:
        for line in file:
            try:
                yield events.parse(line.strip(), datetime.now(UTC))
            except events.InvalidEvent as error:
                yield error


def _simulated(lake: Lake, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    if arguments.listeners < 1 or arguments.count < 1:
        raise InputError("expected --listeners and --count of at least 1")
    rows = lake.read_arrow(TRACKS, "track_id", "genre", "duration_s").sort_by("track_id").to_pylist()
    if not rows:
        raise StepError(f"expected tracks to play in {lake.root}, found none; run `segue run` first")
    begin = datetime.now(UTC) - timedelta(days=arguments.days)
    made = simulator.simulate_plays(
        [row["track_id"] for row in rows],
        [row["genre"] for row in rows],
        [row["duration_s"] for row in rows],
        users=arguments.listeners,
        events=arguments.count,
        seed=arguments.seed,
        begin=begin,
        days=max(arguments.days - 1, 0.1),
    )
    return itertools.islice(made, arguments.count)
