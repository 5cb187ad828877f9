"""Listens from tables: of Last.fm's exporters, of Deezer, and `.scrobbler.log` of portable players.

Columns are found by their names in the header. A table without a header has the columns of one of two common
exporters. Each line is read by itself, so that a quote that is not closed ends no more than its own row.
"""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import islice

from jobs.plays.history_rows import required_time
from jobs.plays.history_source import Source
from jobs.plays.listen_times import from_local_seconds, is_of_a_minute, parse_time, time_of_days
from jobs.plays.listens import (
    INVALID_ROW,
    INVALID_TIME,
    InvalidRow,
    Listen,
    optional_name,
    require_name,
)

# Names of columns in the headers of exporters, in lower case and with blanks for underlines.
_COLUMNS = {
    "artist": ("artist", "artist name", "artistname"),
    "title": (
        *("track", "title", "song", "name", "track name", "trackname", "track title", "song name"),
        "song title",
    ),
    "album": ("album", "album name", "albumname", "album title", "release", "release name"),
    "mbid": ("track mbid", "recording mbid", "mbid"),
    "played_s": ("listening time",),
}
# Columns of times. The first ones are UTC by their definition, the others are of the zone that is given.
_UTC_TIMES = ("uts", "utc time", "date uts", "timestamp", "unix timestamp", "listened at", "utc")
_TIMES = (
    *("date", "time", "datetime", "date time", "date and time"),
    *("played at", "scrobbled at", "scrobble time"),
)

# The sheet of Deezer's workbook, "10_listeningHistory".
SHEET = re.compile(r"(?:^|_)listeningHistory$", re.IGNORECASE)

# Tables without a header, of lastfm-to-csv and of lastexport.py.
_LASTFM_TO_CSV = ("artist", "album", "track", "date")
_LASTEXPORT = ("uts", "track", "artist", "album", "track mbid")

# Characters that a field may have: csv's default, whatever limit another reader of the process has set.
_MAX_FIELD_CHARS = 131_072

# Row to which a header is looked for: Libre.fm and Spinitron write some lines about the export before it.
_MAX_HEADER_ROW = 20

# Lines that a quoted field may have, and lines among which the first complete row is looked for.
_MAX_FIELD_LINES = 10
MAX_FIRST_LINES = 100

_LOG_COLUMNS = ("artist", "album", "title", "track_no", "duration", "rating", "timestamp", "mbid")


@dataclass(frozen=True)
class TableRow:
    """One row: the number of its first line, its fields and its text; without fields, an open quote."""

    line: int
    fields: list[str] | None
    text: str


@dataclass(frozen=True)
class Columns:
    """The columns of a table by name, and the number of fields that its rows have."""

    index: Mapping[str, int]
    times: tuple[tuple[int, bool], ...]  # column, and whether it is UTC whatever zone is given
    size: int


def iter_rows(lines: Iterable[str], delimiter: str, size: int, first_line: int = 1) -> Iterator[TableRow]:
    """Yield the rows of lines that are not empty; one of several lines has `size` fields."""
    remaining = enumerate(lines, first_line)
    waiting: list[tuple[int, str]] = []
    while True:
        start = waiting.pop(0) if waiting else next(remaining, None)
        if start is None:
            return
        number, text = start
        if not text.strip():
            continue
        fields = _parse_line(text, delimiter)
        if fields is None:  # a quoted field goes on in the next line
            waiting += islice(remaining, max(0, _MAX_FIELD_LINES - len(waiting)))
            for n_more in range(1, len(waiting) + 1):
                joined = text + "".join(line for _, line in waiting[:n_more])
                fields = _parse_line(joined, delimiter)
                if fields is not None and len(fields) == size:
                    text = joined
                    waiting = waiting[n_more:]
                    break
                fields = None
        yield TableRow(number, fields, text.rstrip("\r\n"))


def _parse_line(text: str, delimiter: str) -> list[str] | None:
    """Return the fields of a line; None if a quoted field does not end in it, or is none of CSV's."""
    body = text.rstrip("\r\n") + "\n"
    try:
        rows = list(csv.reader(body.splitlines(keepends=True), delimiter=delimiter))
    except csv.Error:
        return None
    if any(len(field) > _MAX_FIELD_CHARS for fields in rows for field in fields):
        return None
    # csv ends an open field at the end of the text, and leaves its line end in it.
    is_open = len(rows) != 1 or (bool(rows[0]) and rows[0][-1].endswith("\n"))
    return None if is_open else rows[0]


def find_delimiter(lines: Sequence[str]) -> str:
    """Return the delimiter that most of these lines have."""
    return max("\t;,", key=lambda each: sum(each in line for line in lines))


def find_size(lines: Sequence[str], delimiter: str) -> int:
    """Return the number of fields that most of these lines have."""
    parsed = [_parse_line(line, delimiter) for line in lines]
    sizes = Counter(len(fields) for fields in parsed if fields)
    return sizes.most_common(1)[0][0] if sizes else 0


def read_header(fields: list[str]) -> Columns | None:
    """Return the columns that a header names; None if it names no artist, title or time."""
    names = [" ".join(re.split(r"[\s_-]+", name.strip().lower().partition("#")[0])) for name in fields]
    names = [name.strip() for name in names]
    index = {}
    for column, synonyms in _COLUMNS.items():
        found = next((names.index(name) for name in synonyms if name in names), None)
        if found is not None:
            index[column] = found
    times = [(names.index(name), name in _UTC_TIMES) for name in (*_UTC_TIMES, *_TIMES) if name in names]
    if "artist" not in index or "title" not in index or not times:
        return None
    return Columns(index, tuple(times), len(names))


def guess_columns(rows: Iterable[TableRow], size: int) -> Columns | None:
    """Return the columns of a table without a header, by the first row that has a time where one belongs."""
    for row in rows:
        for names in (_LASTFM_TO_CSV, _LASTEXPORT):
            columns = read_header(list(names))
            assert columns is not None
            position = columns.times[0][0]
            if row.fields is not None and len(row.fields) > position and _is_time(row.fields[position]):
                return Columns(columns.index, columns.times, max(columns.size, size))
    return None


def _is_time(text: str) -> bool:
    try:
        parse_time(text)
    except ValueError:
        return False
    return True


def find_reader(
    first: Sequence[TableRow], size: int, source: Source
) -> tuple[Callable[[TableRow], Listen], int] | None:
    """Return what reads a row, and the number of rows before it; None for a table of another kind."""
    for number, row in enumerate(first[:_MAX_HEADER_ROW], 1):  # remarks may stand before the header
        columns = read_header(row.fields) if row.fields else None
        if columns is not None:
            return partial(table_listen, columns=columns, zone=source.zone, now=source.now), number
    columns = guess_columns(first, size)
    if columns is None:
        return None
    return partial(table_listen, columns=columns, zone=source.zone, now=source.now), 0


def table_listen(row: TableRow, columns: Columns, zone: tzinfo, now: datetime) -> Listen:
    """Return the listen of a row; raise InvalidRow if it is none."""
    if row.fields is None:
        raise InvalidRow(INVALID_ROW, "expected the end of a quoted field, found none")
    if any(field.strip() for field in row.fields[columns.size :]):
        raise InvalidRow(INVALID_ROW, f"expected {columns.size} columns, found {len(row.fields)}")
    fields = [*row.fields, *[""] * (columns.size - len(row.fields))]

    def field(name: str) -> str:
        return fields[columns.index[name]] if name in columns.index else ""

    artist = require_name(field("artist"), "artist")
    title = require_name(field("title"), "track")
    times = [(time_of_days(fields[position].strip()), is_utc) for position, is_utc in columns.times]
    time, is_utc = next((each for each in times if each[0]), ("", True))
    has_played_s = "played_s" in columns.index
    played_s = _seconds(field("played_s")) if has_played_s else None
    return Listen(
        user=None,
        artist=artist,
        title=title,
        album=optional_name(field("album")),
        started_at=required_time(time, now, UTC if is_utc else zone),
        mbids=(field("mbid"),) if field("mbid") else (),
        played_s=played_s,
        is_complete=not has_played_s,
        is_of_a_minute=is_of_a_minute(time),
    )


def _seconds(text: str) -> float | None:
    """Return seconds of Deezer's listening time, whose -1 means that they are not known."""
    return float(text) if re.fullmatch(r"\d{1,6}(\.\d+)?", text.strip()) else None


def log_listen(row: TableRow, is_utc: bool, zone: tzinfo, now: datetime) -> Listen:
    """Return the listen of a line of `.scrobbler.log`; raise InvalidRow if it is none.

    Its time is seconds since 1970: in UTC after `#TZ/UTC`, else of a clock without a zone, in `zone`.
    """
    fields = dict(zip(_LOG_COLUMNS, row.fields or [], strict=False))
    if len(fields) < len(_LOG_COLUMNS) - 1:  # version 1.0 has no MusicBrainz id
        raise InvalidRow(INVALID_ROW, f"expected {len(_LOG_COLUMNS)} columns, found {len(fields)}")
    artist = require_name(fields["artist"], "artist")
    title = require_name(fields["title"], "title")
    started_at = required_time(fields["timestamp"], now)
    if not is_utc:
        try:
            started_at = from_local_seconds(started_at.timestamp(), zone)
        except ValueError as error:
            raise InvalidRow(INVALID_TIME, str(error)) from None
    mbid = fields.get("mbid", "").strip()
    return Listen(
        user=None,
        artist=artist,
        title=title,
        album=optional_name(fields["album"]),
        started_at=started_at,
        is_complete=fields["rating"].strip().upper() != "S",
        mbids=(mbid,) if mbid else (),
    )
