"""Bring the history that people have, of ListenBrainz, Last.fm or Spotify, as play events to Kafka: the stream does the rest.

A listen is matched to TRACKS by normalised artist and title; what matches nothing is counted. Its event_id follows from
listener, time and track, so a file that is brought twice changes nothing.
"""

import argparse
import csv
import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from jobs import broker, settings, topics
from jobs.errors import InputError, StepError
from jobs.produce import spool
from jobs.producer import Producer
from jobs.storage import Lake
from jobs.tables import TRACKS

# Spotify counts a stream from here on; less is a skip, unless the track was over.
_PLAYED_S = 30.0

# Dates of Last.fm's exports, beside seconds and milliseconds since 1970.
_DATES = ("%d %b %Y %H:%M", "%d %b %Y, %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M")

_FLUSH_S = 600


@dataclass(frozen=True)
class Listen:
    """One line of a history: who (None where it does not say), what, until when, and for how many seconds (None: enough)."""

    user: str | None
    artist: str
    title: str
    at: datetime
    played_s: float | None = None
    ended: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="ListenBrainz listens (.jsonl), Last.fm's (.csv, .tsv), Spotify's extended streaming history (.json)",
    )
    parser.add_argument("--user", help="whose history it is, where the files do not say or say another name")


def main(arguments: argparse.Namespace) -> dict[str, Any]:
    """Send an event for each listen that matches a track; return the counts."""
    lake = Lake(settings.lake_path(arguments.lake))
    known = matches(lake.arrow(TRACKS, "track_id", "artist", "title").to_pylist())
    if not known:
        raise StepError(f"expected tracks in {lake.root}, found none; run `segue run` first")
    listens = [listen for name in arguments.files for listen in read(Path(name).expanduser())]
    counts: Counter[str] = Counter(listens=len(listens), sent=0, unmatched=0)
    with broker.kafka_at(arguments.kafka, lake.root) as address:
        topics.ensure(address)
        with Producer(address, spool(lake.root)) as producer:
            for listen in sorted(listens, key=lambda listen: listen.at):
                track_id = known.get(key(listen.artist, listen.title))
                user = arguments.user or listen.user
                if user is None:
                    raise InputError("--user: expected whose history it is, found no name in the files")
                if track_id is not None:
                    producer.send(event(listen, user, track_id))
                counts["sent" if track_id else "unmatched"] += 1
            if not producer.flush(_FLUSH_S):
                raise StepError(f"expected Kafka at {address} to take all, found {producer.waiting} events waiting")
    return dict(counts)


def matches(tracks: list[dict[str, Any]]) -> dict[tuple[str, str], str]:
    """Return track ids by normalised artist and title; of several the smallest id, so that a history is matched alike."""
    named = sorted(tracks, key=lambda row: row["track_id"], reverse=True)
    return {key(row["artist"], row["title"]): row["track_id"] for row in named if row["artist"] and row["title"]}


def key(artist: str, title: str) -> tuple[str, str]:
    """Return what two spellings of one track have in common: letters and digits, no guests, no remarks of a remaster."""
    title = re.sub(
        r"\s[-–(\[]\s*(\d{4}\s)?(remaster|feat\.|ft\.|with |live at|mono|stereo).*$", "", f"{title}", flags=re.I
    )
    artist = re.sub(r"\s(feat\.|ft\.|featuring)\s.*$", "", artist, flags=re.I)
    return _plain(re.sub(r"^the\s", "", artist, flags=re.I)), _plain(title)


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text).casefold().replace("&", "and")
    return "".join(c for c in letters if c.isalnum()) or text.casefold()


def event(listen: Listen, user: str, track_id: str) -> dict[str, Any]:
    """Return the play event of a listen."""
    told = f"{user}\n{listen.at.isoformat()}\n{track_id}"
    finished = listen.ended or listen.played_s is None or listen.played_s >= _PLAYED_S
    return {
        "event_id": hashlib.sha256(told.encode()).hexdigest()[:32],
        "user_id": user,
        "track_id": track_id,
        "event": "finished" if finished else "skipped",
        "position_s": listen.played_s,
        "played_at": listen.at,
    }


def read(file: Path) -> Iterator[Listen]:
    """Yield the listens of a file, by its format; InputError where it is none of the three."""
    readers = {".jsonl": _listenbrainz, ".json": _spotify, ".csv": _lastfm, ".tsv": _lastfm}
    if file.suffix not in readers:
        raise InputError(f"expected .jsonl (ListenBrainz), .csv or .tsv (Last.fm) or .json (Spotify), found {file}")
    try:
        yield from readers[file.suffix](file)
    except OSError as error:
        raise InputError(f"expected a history, found {file}: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"expected a history, found {file} with {type(error).__name__}: {str(error)[:100]}") from error


def _listenbrainz(file: Path) -> Iterator[Listen]:
    for line in file.read_text("utf-8").splitlines():
        if line.strip():
            row = json.loads(line)
            about = row["track_metadata"]
            at = datetime.fromtimestamp(int(row["listened_at"]), UTC)
            yield Listen(row.get("user_name"), about["artist_name"], about["track_name"], at)


def _spotify(file: Path) -> Iterator[Listen]:
    for row in json.loads(file.read_text("utf-8")):
        artist, title = row["master_metadata_album_artist_name"], row["master_metadata_track_name"]
        if artist and title:  # else an episode of a podcast
            played, ended = row["ms_played"] / 1000, row.get("reason_end") == "trackdone"
            at = datetime.fromisoformat(row["ts"].replace("Z", "+00:00")).astimezone(UTC)
            yield Listen(row.get("username"), artist, title, at, played, ended)


def _lastfm(file: Path) -> Iterator[Listen]:
    """Read one of the exporters' tables: with a header that names artist, track and a time, or artist, album, track, date."""
    text = file.read_text("utf-8-sig")
    head = text.split("\n", 1)[0]
    rows = list(csv.reader(text.splitlines(), delimiter=max("\t;,", key=head.count)))
    names = [name.strip().lower().split("#")[0] for name in rows[0]]
    if "artist" in names:
        rows = rows[1:]
    else:
        names = ["artist", "album", "track", "date"]
    when = next(name for name in ("uts", "date", "utc_time", "time") if name in names)
    for row in rows:
        if not row:
            continue
        if len(row) < len(names):
            raise ValueError(f"a line of {len(row)} columns where {len(names)} are to be")
        found = dict(zip(names, row, strict=False))
        if found["artist"] and found[when]:  # what plays at this moment has no time yet
            yield Listen(None, found["artist"], found["track"], _time(found[when]))


def _time(text: str) -> datetime:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds / 1000 if seconds > 1e11 else seconds)
    for form in _DATES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError(f"a time {text!r}, not as in 21 Nov 2026 20:15")
