"""Bring the history that people have, of ListenBrainz, Last.fm or Spotify, as play events to Kafka: the stream does the rest.

A listen is matched to TRACKS by MusicBrainz's id of the recording, else by normalised artist and title; what matches nothing
is counted, and a sample of it written to `<lake>/unmatched.json`. Its event_id follows from listener, time and track, and what
PLAYS has already is not sent, so a file that is brought twice changes nothing. Files are read a piece at a time.
"""

import argparse
import codecs
import csv
import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ijson
import pyarrow.compute as pc

from jobs.errors import InputError, StepError
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import open_lake
from jobs.plays import play_log, spool, topics
from jobs.plays.producer import Producer
from jobs.progress import StepResult
from jobs.runtime import embedded_kafka

# Spotify counts a stream from here on; less is a skip, unless the track was over.
_PLAYED_S = 30.0

# Dates of Last.fm's exports, beside seconds and milliseconds since 1970.
_DATES = ("%d %b %Y %H:%M", "%d %b %Y, %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S")

_FLUSH_S = 600

# Unmatched titles that are told, those listened to most; and counted at most, so that a dump of a million stays small.
_SAMPLE, _COUNTED = 200, 20_000

# Guests and remarks that one service writes and the other does not: of the title to its end, and of the artist.
_VERSION_SUFFIX = re.compile(
    r"""(?ix) \s* [-\u2013(\[] \s*
    ( (\d{4}\s+)? (digital(ly)?\s+)? re-?master(ed)? | feat\b | ft\b | featuring\b | with\s | mono\b | stereo\b
    | (\d{4}\s+)? (mono|stereo|single|album|original) \s+ (version|mix|edit)\b | bonus\s+track\b | explicit\b ) .* $"""
)
_FEATURED_ARTIST = re.compile(r"(?i)\s+[(\[]?(feat|ft|featuring)\b\.?\s.*$")


@dataclass(frozen=True)
class Listen:
    """One line of a history: who (None where it does not say), what, until when, and for how many seconds (None: enough).

    `mbids` are ids that may be MusicBrainz's of the recording, the surest first.
    """

    user: str | None
    artist: str
    title: str
    at: datetime
    played_s: float | None = None
    ended: bool = True
    mbids: tuple[str, ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="ListenBrainz listens (.jsonl), Last.fm's (.csv, .tsv), Spotify's extended streaming history (.json)",
    )
    parser.add_argument("--user", help="whose history it is, where the files do not say or say another name")


def main(arguments: argparse.Namespace) -> StepResult:
    """Send an event for each listen that matches a track; return the counts."""
    lake = open_lake(arguments)
    known = TrackMatcher(lake.read_arrow(TRACKS, "track_id", "artist", "title", "recording_mbid").to_pylist())
    if not known:
        raise StepError(f"expected tracks in {lake.root}, found none; run `segue run` first")
    files = [Path(name).expanduser() for name in arguments.files]
    for file in files:  # before anything is sent
        next(read_history(file), None)
    whose = pc.field("user_id") == arguments.user if arguments.user else None
    there = frozenset(play_log.play_table(lake).read("event_id", where=whose)["event_id"].to_pylist())
    result = ImportResult(dict.fromkeys(("listens", "sent", "there already", "unmatched"), 0))
    with embedded_kafka.kafka_address(arguments.kafka, lake.root) as address:
        topics.ensure_topics(address)
        with Producer(address, spool.spool_dir(lake.root)) as producer:
            for file in files:
                for made in to_events(read_history(file), arguments.user, known, there, result):
                    producer.send(made)
            if not producer.flush(_FLUSH_S):
                raise StepError(
                    f"expected Kafka at {address} to take all, found {producer.pending} events waiting"
                )
    told = result.top_unmatched()
    (lake.root / "unmatched.json").write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n")
    most = {"most of them": f"{told[0]['artist']} - {told[0]['title']}"} if told else {}
    return StepResult({**result.counts, **most})


@dataclass
class ImportResult:
    """What has become of the listens: counts, and artist and title of those that matched nothing, with how many."""

    counts: dict[str, int]
    unmatched: Counter[tuple[str, str]] = field(default_factory=Counter)

    def top_unmatched(self) -> list[dict[str, Any]]:
        """Return the unmatched titles that were listened to most."""
        found = sorted(self.unmatched.items(), key=lambda pair: (-pair[1], pair[0]))[:_SAMPLE]
        return [{"artist": artist, "title": title, "listens": count} for (artist, title), count in found]


def to_events(
    listens: Iterable[Listen],
    user: str | None,
    known: "TrackMatcher",
    there: Collection[str],
    result: ImportResult,
) -> Iterator[dict[str, Any]]:
    """Yield the events to send of listens; `user` goes before what a file says, `there` are event_ids to leave out.

    InputError where nobody says whose listens they are.
    """
    for listen in listens:
        who = user or listen.user
        if who is None:
            raise InputError("--user: expected whose history it is, found no name in the files")
        track_id = known.match(listen)
        made = to_play_event(listen, who, track_id) if track_id else None
        result.counts["listens"] += 1
        if made is None:
            name = (listen.artist, listen.title)
            if name in result.unmatched or len(result.unmatched) < _COUNTED:
                result.unmatched[name] += 1
        elif made["event_id"] not in there:
            yield made
        outcome = "unmatched" if made is None else "there already" if made["event_id"] in there else "sent"
        result.counts[outcome] += 1


class TrackMatcher:
    """The tracks by MusicBrainz's id of the recording, and by normalised artist and title.

    Of several the smallest id counts, so that a history is matched alike each time.
    """

    def __init__(self, tracks: list[dict[str, Any]]) -> None:
        """Index rows of TRACKS."""
        named = sorted(tracks, key=lambda row: row["track_id"], reverse=True)
        self._by_mbid = {row["recording_mbid"]: row["track_id"] for row in named if row.get("recording_mbid")}
        self._by_name = {
            match_key(row["artist"], row["title"]): row["track_id"]
            for row in named
            if row["artist"] and row["title"]
        }

    def __len__(self) -> int:
        return len(self._by_mbid) + len(self._by_name)

    def match(self, listen: Listen) -> str | None:
        """Return the id of the track that was listened to; None where there is none such."""
        for mbid in listen.mbids:
            if mbid.lower() in self._by_mbid:
                return self._by_mbid[mbid.lower()]
        return self._by_name.get(match_key(listen.artist, listen.title))


def match_key(artist: str, title: str) -> tuple[str, str]:
    """Return what two spellings of one track have in common: letters and digits, no guests, no remarks of a remaster."""
    artist, title = (unicodedata.normalize("NFKC", text) for text in (artist, title))
    artist = re.sub(r"^the\s|,\s*the$", "", _FEATURED_ARTIST.sub("", artist).strip(), flags=re.I)
    return _plain(artist), _plain(_FEATURED_ARTIST.sub("", _VERSION_SUFFIX.sub("", title)))


def _plain(text: str) -> str:
    letters = re.sub(r"\s&\s|\s\+\s", " and ", unicodedata.normalize("NFKD", text).casefold()).replace(
        "&", "and"
    )
    return "".join(c for c in letters if c.isalnum()) or text.casefold()


def to_play_event(listen: Listen, user: str, track_id: str) -> dict[str, Any]:
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


def read_history(file: Path) -> Iterator[Listen]:
    """Yield the listens of a file, by its format; InputError where it is none of the three."""
    readers = {".jsonl": _listenbrainz, ".json": _spotify, ".csv": _lastfm, ".tsv": _lastfm}
    if file.suffix not in readers:
        raise InputError(
            f"expected .jsonl (ListenBrainz), .csv or .tsv (Last.fm) or .json (Spotify), found {file}"
        )
    try:
        yield from readers[file.suffix](file)
    except OSError as error:
        raise InputError(f"expected a history, found {file}: {error.strerror}") from error
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        ArithmeticError,
        csv.Error,
        ijson.JSONError,
    ) as error:
        said = " ".join(str(error).split())[:100]
        raise InputError(f"expected a history, found {file} with {type(error).__name__}: {said}") from error


def _listenbrainz(file: Path) -> Iterator[Listen]:
    """Read a dump of listens, of one person or of all: one JSON object a line."""
    with file.open(encoding="utf-8-sig") as lines:
        for line in lines:
            if line.strip():
                row = json.loads(line)
                about = row["track_metadata"]
                told, mapped = about.get("additional_info") or {}, about.get("mbid_mapping") or {}
                mbids = tuple(m for m in (told.get("recording_mbid"), mapped.get("recording_mbid")) if m)
                at = row["listened_at"] if "listened_at" in row else row["timestamp"]
                when = (
                    datetime.fromtimestamp(int(at), UTC)
                    if isinstance(at, int)
                    else _time(str(at).rstrip("Z"))
                )
                user = row.get("user_name") or row.get("user_id")
                who = str(user) if user is not None else None
                yield Listen(who, about["artist_name"], about["track_name"], when, mbids=mbids)


def _spotify(file: Path) -> Iterator[Listen]:
    """Read an export of the extended streaming history, or of the last year's; what is no music is left out."""
    with file.open("rb") as binary:
        if binary.peek(3).startswith(codecs.BOM_UTF8):
            binary.read(3)
        if not binary.peek().lstrip().startswith(b"["):
            raise ValueError("no JSON array")
        for row in ijson.items(binary, "item", use_float=True):
            if "msPlayed" in row:  # the short export has four fields
                at = datetime.strptime(row["endTime"], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
                yield Listen(None, row["artistName"], row["trackName"], at, row["msPlayed"] / 1000, False)
                continue
            artist, title = row["master_metadata_album_artist_name"], row["master_metadata_track_name"]
            if artist and title:  # else an episode of a podcast
                played, ended = row["ms_played"] / 1000, row.get("reason_end") == "trackdone"
                at = datetime.fromisoformat(row["ts"].replace("Z", "+00:00")).astimezone(UTC)
                yield Listen(row.get("username"), artist, title, at, played, ended)


def _lastfm(file: Path) -> Iterator[Listen]:
    """Read one of the exporters' tables: with a header that names artist, track and a time, or artist, album, track, date."""
    with file.open(encoding="utf-8-sig", newline="") as text:
        head = text.readline()
        text.seek(0)
        rows = csv.reader(text, delimiter=max("\t;,", key=head.count))
        names = [name.strip().lower().split("#")[0] for name in next(csv.reader([head], rows.dialect))]
        if "artist" in names:
            next(rows, None)
        else:
            names = ["artist", "album", "track", "date"]
        when = next((name for name in ("uts", "date", "utc_time", "time") if name in names), None)
        if when is None:
            raise ValueError(f"columns {', '.join(names)}, none of them uts, date, utc_time or time")
        for row in rows:
            if not row:
                continue
            if len(row) < len(names):
                raise ValueError(f"a line of {len(row)} columns where {len(names)} are to be")
            found = dict(zip(names, row, strict=False))
            if found["artist"] and found[when]:  # what plays at this moment has no time yet
                mbids = tuple(filter(None, (found.get("track_mbid"),)))
                yield Listen(None, found["artist"], found["track"], _time(found[when]), mbids=mbids)


def _time(text: str) -> datetime:
    if re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
            seconds=seconds / 1000 if seconds > 1e11 else seconds
        )
    for form in _DATES:
        try:
            return datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ValueError(f"a time {text!r}, not as in 21 Nov 2026 20:15")
