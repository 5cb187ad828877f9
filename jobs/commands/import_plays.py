"""Import listening histories, as services and programs export them, as play events for the stream.

A listen is matched to a track by its MusicBrainz recording id, else by artist and title. Listens that match
nothing are counted, the most played of them listed in `<lake>/unmatched.json`. Rows that are no listen are
counted by reason and stored in `<lake>/rejected_listens/`, one file for each history. Listens that PLAYS has
are not sent again.
"""

import argparse
import json
from datetime import UTC, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from jobs import paths
from jobs.errors import InputError, StepError
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import open_lake
from jobs.plays import spool, topics, track_matching
from jobs.plays.history_files import read_history
from jobs.plays.history_import import ImportResult, KnownPlays, to_events
from jobs.plays.producer import Producer
from jobs.plays.rejected_listens import RejectedListens
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
        help="listening history of ListenBrainz, Last.fm, Spotify, Apple Music, YouTube Music, Deezer, "
        "Maloja, Koito or Pano Scrobbler, an archive of them, or .scrobbler.log",
    )
    parser.add_argument("--user", help="user to import for, if the files name none or another")
    parser.add_argument(
        "--timezone",
        default="UTC",
        help="zone of times without one where the format does not say, as Europe/Berlin (default UTC)",
    )


def main(arguments: argparse.Namespace) -> StepResult:
    """Send an event for each listen that matches a track; return the counts."""
    lake = open_lake(arguments)
    matcher = TrackMatcher(lake.read_arrow(TRACKS, *track_matching.COLUMNS).to_pylist())
    if not matcher:
        raise StepError(f"expected tracks in {lake.root}, found none; run `segue run` first")
    files = [Path(name).expanduser() for name in arguments.files]
    zone = _timezone(arguments.timezone)
    for file in files:  # an unreadable file fails before anything is sent
        _check(file, arguments.user)
    known = KnownPlays.load(lake, arguments.user)
    result = ImportResult()
    with embedded_kafka.kafka_address(arguments.kafka, lake.root) as address:
        topics.ensure_topics(address)
        with Producer(address, spool.spool_dir(lake.root)) as producer:
            for file in files:
                with RejectedListens(lake.root / "rejected_listens", file) as rejected:
                    result.store_rejected = rejected.write
                    listens = read_history(file, zone=zone, reject=result.reject)
                    for event in to_events(listens, arguments.user, matcher, known, result):
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


def _timezone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"--timezone: expected a zone as in Europe/Berlin, found {ascii(name)}") from None


def _check(file: Path, user: str | None) -> None:
    """Raise InputError for a file that is no history, or whose user nothing names."""
    first = next(read_history(file), None)
    if first is not None and first.user is None and user is None:
        raise InputError(f"--user: expected the user to import for, found no name in {file}")
