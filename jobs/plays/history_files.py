"""Read listening histories as ListenBrainz, Last.fm and Spotify export them, a piece at a time.

A listen's time is its start, in UTC. ListenBrainz and Last.fm record the start; Spotify records the end, so
the time played is subtracted.
"""

import codecs
import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import ijson

from jobs.errors import InputError
from jobs.plays.events import parse_time

# Spotify counts a stream from here on; a shorter one is a skip, unless the track had ended.
_MIN_PLAYED_S = 30.0

# The columns of a Last.fm table without a header.
_LASTFM_COLUMNS = ["artist", "album", "track", "date"]
_LASTFM_TIMES = ("uts", "date", "utc_time", "time")


@dataclass(frozen=True)
class Listen:
    """One line of a history."""

    user: str | None  # None if the file does not name one
    artist: str
    title: str
    started_at: datetime
    album: str | None = None
    played_s: float | None = None  # None: the service only records finished tracks
    is_complete: bool = True  # played to its end
    mbids: tuple[str, ...] = ()  # possible MusicBrainz recording ids, the most reliable first
    ended_at: datetime | None = None  # only from services that record the end

    @property
    def is_finished(self) -> bool:
        """Whether it counts as finished and not as a skip."""
        return self.is_complete or self.played_s is None or self.played_s >= _MIN_PLAYED_S


def read_history(file: Path) -> Iterator[Listen]:
    """Yield the listens of a file, in the format that its extension names.

    Raises InputError for any other content.
    """
    readers = {
        ".jsonl": _read_listenbrainz,
        ".json": _read_spotify,
        ".csv": _read_lastfm,
        ".tsv": _read_lastfm,
    }
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
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"expected a history, found {file} with {type(error).__name__}: {reason}") from error


def _read_listenbrainz(file: Path) -> Iterator[Listen]:
    """Read a dump of listens, of one user or of all: one JSON object a line."""
    with file.open(encoding="utf-8-sig") as lines:
        for line in lines:
            if line.strip():
                yield _listenbrainz_listen(json.loads(line))


def _listenbrainz_listen(row: Mapping[str, Any]) -> Listen:
    track = row["track_metadata"]
    user = row.get("user_name") or row.get("user_id")
    recorded = row["listened_at"] if "listened_at" in row else row["timestamp"]
    return Listen(
        user=str(user) if user is not None else None,
        artist=track["artist_name"],
        title=track["track_name"],
        album=track.get("release_name"),
        started_at=parse_time(recorded),
        mbids=listenbrainz_mbids(track),
    )


def listenbrainz_mbids(track_metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the recording ids of ListenBrainz' `track_metadata`.

    The player's, then the one that ListenBrainz mapped.
    """
    mbids = []
    for part in ("additional_info", "mbid_mapping"):
        values = track_metadata.get(part)
        mbid = values.get("recording_mbid") if isinstance(values, dict) else None
        if isinstance(mbid, str) and mbid:
            mbids.append(mbid)
    return tuple(mbids)


def _read_spotify(file: Path) -> Iterator[Listen]:
    """Read an export of the extended streaming history or of the last year's.

    Podcast episodes are left out.
    """
    with file.open("rb") as binary:
        if binary.peek(3).startswith(codecs.BOM_UTF8):
            binary.read(3)
        if not binary.peek().lstrip().startswith(b"["):
            raise ValueError("no JSON array")
        for row in ijson.items(binary, "item", use_float=True):
            if "msPlayed" in row:
                yield _spotify_short_listen(row)
            elif row["master_metadata_album_artist_name"] and row["master_metadata_track_name"]:
                yield _spotify_listen(row)


def _spotify_short_listen(row: Mapping[str, Any]) -> Listen:
    """Read a row of the last year's export, which has four fields; `endTime` is in UTC, in whole minutes."""
    ended_at = parse_time(row["endTime"])
    played_s = row["msPlayed"] / 1000
    return Listen(
        user=None,
        artist=row["artistName"],
        title=row["trackName"],
        started_at=ended_at - timedelta(seconds=played_s),
        played_s=played_s,
        is_complete=False,
        ended_at=ended_at,
    )


def _spotify_listen(row: Mapping[str, Any]) -> Listen:
    ended_at = parse_time(row["ts"])
    played_s = row["ms_played"] / 1000
    return Listen(
        user=row.get("username"),
        artist=row["master_metadata_album_artist_name"],
        title=row["master_metadata_track_name"],
        album=row.get("master_metadata_album_album_name"),
        started_at=ended_at - timedelta(seconds=played_s),
        played_s=played_s,
        is_complete=row.get("reason_end") == "trackdone",
        ended_at=ended_at,
    )


def _read_lastfm(file: Path) -> Iterator[Listen]:
    """Read a table of one of the usual exporters.

    With a header that names artist, track and a time, or without one.
    """
    with file.open(encoding="utf-8-sig", newline="") as text:
        first_line = text.readline()
        text.seek(0)
        rows = csv.reader(text, delimiter=max("\t;,", key=first_line.count))
        header = next(csv.reader([first_line], rows.dialect))
        names = [name.strip().lower().split("#")[0] for name in header]
        if "artist" in names:
            next(rows, None)
        else:
            names = _LASTFM_COLUMNS
        time_column = next((name for name in _LASTFM_TIMES if name in names), None)
        if time_column is None:
            raise ValueError(f"expected a column {' or '.join(_LASTFM_TIMES)}, found {', '.join(names)}")
        for row in rows:
            if not row:
                continue
            if len(row) < len(names):
                raise ValueError(f"expected {len(names)} columns, found {len(row)}")
            fields = dict(zip(names, row, strict=False))
            if fields["artist"] and fields[time_column]:  # the track that is playing now has no time yet
                yield _lastfm_listen(fields, time_column)


def _lastfm_listen(fields: Mapping[str, str], time_column: str) -> Listen:
    mbid = fields.get("track_mbid")
    return Listen(
        user=None,
        artist=fields["artist"],
        title=fields["track"],
        album=fields.get("album"),
        started_at=parse_time(fields[time_column]),
        mbids=(mbid,) if mbid else (),
    )
