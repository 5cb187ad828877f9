"""Import listening histories of ListenBrainz, Last.fm or Spotify, as play events for the stream.

A listen is matched to a track by its MusicBrainz recording id, else by artist and title. Listens that match
nothing are counted, the most played of them listed in `<lake>/unmatched.json`. Listens that PLAYS has are not
sent again.
"""

import argparse
import json
from pathlib import Path

from jobs import paths
from jobs.errors import StepError
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import open_lake
from jobs.plays import spool, topics, track_matching
from jobs.plays.history_files import read_history
from jobs.plays.history_import import ImportResult, KnownPlays, to_events
from jobs.plays.producer import Producer
from jobs.plays.track_matching import TrackMatcher
from jobs.progress import StepResult
from jobs.runtime import embedded_kafka

# Seconds for Kafka to acknowledge what is left at the end.
_FLUSH_S = 600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="ListenBrainz (.jsonl), Last.fm (.csv, .tsv) or Spotify (.json) listening history",
    )
    parser.add_argument("--user", help="user to import for, if the files name none or another")


def main(arguments: argparse.Namespace) -> StepResult:
    """Send an event for each listen that matches a track; return the counts."""
    lake = open_lake(arguments)
    matcher = TrackMatcher(lake.read_arrow(TRACKS, *track_matching.COLUMNS).to_pylist())
    if not matcher:
        raise StepError(f"expected tracks in {lake.root}, found none; run `segue run` first")
    files = [Path(name).expanduser() for name in arguments.files]
    for file in files:  # an unreadable file fails before anything is sent
        next(read_history(file), None)
    known = KnownPlays.load(lake, arguments.user)
    result = ImportResult()
    with embedded_kafka.kafka_address(arguments.kafka, lake.root) as address:
        topics.ensure_topics(address)
        with Producer(address, spool.spool_dir(lake.root)) as producer:
            for file in files:
                for event in to_events(read_history(file), arguments.user, matcher, known, result):
                    producer.send(event)
            if not producer.flush(_FLUSH_S):
                raise StepError(
                    f"expected Kafka at {address} to acknowledge all events, found {producer.pending} "
                    f"waiting in {spool.spool_dir(lake.root)}; the next `segue import-plays`, or the player, "
                    "sends them"
                )
    report = json.dumps(result.top_unmatched(), ensure_ascii=False, indent=1) + "\n"
    paths.atomic_write(lake.root / "unmatched.json", report)
    return StepResult(result.counts())
