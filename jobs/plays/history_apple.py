"""Listens from the tables of Apple Music, of a copy of the account's data.

`Apple Music Play Activity.csv` has a row for each play with its times in UTC, and almost no artists: they are
taken from the titles of the other table in the same folder. `Apple Music - Play History Daily Tracks.csv` has
a row for each track, day and device: the names as "Artist - Title", how often it was played, and the hours.
By itself it gives that many listens from the beginning of its first hour on, one after the other. Where both
lie in one folder the first is imported alone, as they are the same plays.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from jobs.plays import history_tables
from jobs.plays.history_rows import required_time
from jobs.plays.history_source import Source, iter_lines
from jobs.plays.history_tables import TableRow
from jobs.plays.listens import (
    INVALID_ROW,
    NO_NAMES,
    NO_TIME,
    NOT_A_PLAY,
    VIDEO,
    InvalidRow,
    Listen,
    optional_name,
    require_name,
)

ACTIVITY = "Apple Music Play Activity.csv"
DAILY = "Apple Music - Play History Daily Tracks.csv"

# Why a play ended, if the piece was played to its end.
_WHOLE = ("NATURAL_END_OF_TRACK", "NATURAL")

# Plays of one track on one day; more is no count.
_MAX_PLAYS = 500

Artists = Mapping[str, str | None]


def find_reader(
    first: Sequence[TableRow], source: Source
) -> tuple[Callable[[TableRow], list[Listen]], int] | None:
    """Return what reads a row, and the number of rows before it; None for tables of others."""
    header = first[0].fields if first else None
    names = [name.strip().lower() for name in header or []]
    columns = {name: position for position, name in reversed(list(enumerate(names)))}
    if "event start timestamp" in columns and "song name" in columns:
        artists = _read_artists(source)
        return lambda row: [_activity_listen(_fields(row, columns), artists, source)], 1
    if "track description" in columns and "date played" in columns:
        with source.open_beside(ACTIVITY) as activity:
            is_beside = activity is not None
        return lambda row: _daily_listens(_fields(row, columns), is_beside, source), 1
    return None


def _fields(row: TableRow, columns: Mapping[str, int]) -> Callable[[str], str]:
    """Return what gives the text of a column; "" for one that the table or the row does not have."""
    if row.fields is None:
        raise InvalidRow(INVALID_ROW, "expected the end of a quoted field, found none")
    fields = row.fields

    def field(name: str) -> str:
        position = columns.get(name)
        return fields[position].strip() if position is not None and position < len(fields) else ""

    return field


def _activity_listen(field: Callable[[str], str], artists: Artists, source: Source) -> Listen:
    kind = field("event type").upper()
    if kind not in ("", "PLAY_END"):
        raise InvalidRow(NOT_A_PLAY, f"expected the end of a play, found the event {ascii(kind)[:60]}")
    if field("media type").upper() == "VIDEO":
        raise InvalidRow(VIDEO, ascii(field("song name"))[:60])
    title = require_name(field("song name"), "Song Name")
    artist = field("artist name") or field("container artist name") or artists.get(_title_key(title))
    if not artist:
        raise InvalidRow(
            NO_NAMES, f"expected the title in {DAILY} beside it, with one artist, found {ascii(title)[:60]}"
        )
    played_s = _milliseconds(field("play duration milliseconds"))
    start, end = field("event start timestamp"), field("event end timestamp")
    if start or not end:
        started_at = required_time(start, source.now)
    else:
        started_at = required_time(end, source.now) - timedelta(seconds=played_s or 0)
    return Listen(
        user=None,
        artist=require_name(artist, "Artist Name"),
        title=title,
        album=optional_name(field("album name") or field("container album name")),
        started_at=started_at,
        played_s=played_s,
        is_complete=field("end reason type").upper() in _WHOLE,
    )


def _daily_listens(field: Callable[[str], str], is_beside: bool, source: Source) -> list[Listen]:
    if is_beside:
        raise InvalidRow(NOT_A_PLAY, f"expected it as the sum of plays in {ACTIVITY} beside it")
    if field("media type").upper() == "VIDEO":
        raise InvalidRow(VIDEO, ascii(field("track description"))[:60])
    artist, separator, title = field("track description").partition(" - ")
    if not separator:
        raise InvalidRow(NO_NAMES, f"Track Description: expected Artist - Title, found {ascii(artist)[:60]}")
    day = re.fullmatch(r"(\d{4})-?(\d\d)-?(\d\d)", field("date played"))
    hour = re.match(r"\d+", field("hours"))
    if day is None:
        raise InvalidRow(NO_TIME, f"Date Played: expected 20260131, found {ascii(field('date played'))[:40]}")
    text = f"{'-'.join(day.groups())} {hour[0] if hour else 0}:00:00"
    started_at = required_time(text, source.now, source.zone)
    plays, skips = _count(field("play count")), _count(field("skip count"))
    count = max(1, plays + skips)
    played_s = (_milliseconds(field("play duration milliseconds")) or 0.0) / count
    return [
        Listen(
            user=None,
            artist=require_name(artist, "artist"),
            title=require_name(title, "title"),
            started_at=started_at + number * timedelta(seconds=max(1, round(played_s))),
            played_s=played_s,
            is_complete=number < plays,
        )
        for number in range(count)
    ]


def _count(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal() or int(text) > _MAX_PLAYS:
        raise InvalidRow(INVALID_ROW, f"expected a count to {_MAX_PLAYS}, found {ascii(text)[:40]}")
    return int(text)


def _milliseconds(text: str) -> float | None:
    """Return seconds; None for what some rows have: nothing, a negative number, a day and more."""
    is_number = re.fullmatch(r"\d{1,8}(\.\d+)?", text) is not None
    return float(text) / 1000 if is_number and float(text) < 86_400_000 else None


def _title_key(title: str) -> str:
    return unicodedata.normalize("NFC", title).casefold().strip()


def _read_artists(source: Source) -> Artists:
    """Return the artist of each title in the table beside it; None for a title of two."""
    artists: dict[str, str | None] = {}
    with source.open_beside(DAILY) as stream:
        if stream is None:
            return artists
        rows = history_tables.iter_rows(iter_lines(stream, "utf-8-sig"), ",", 0)
        header = next(rows, None)
        names = [name.strip().lower() for name in (header.fields if header else None) or []]
        if "track description" not in names:
            return artists
        position = names.index("track description")
        for row in rows:
            if row.fields is None or len(row.fields) <= position:
                continue
            artist, _, title = row.fields[position].strip().partition(" - ")
            known = artists.setdefault(_title_key(title), artist)
            if known != artist:
                artists[_title_key(title)] = None
    return artists
