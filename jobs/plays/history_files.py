"""Read listening histories as services export them, a piece at a time.

The content says which form a file has, not its name. A row that is no listen is given to `reject` with its
reason, and the rest of the file is read.

A listen's time is its start, in UTC; Spotify records the end, so the time played is subtracted. A time
without a zone means, by the rule of each form:

| form | zone |
| --- | --- |
| ListenBrainz, Maloja, Pano Scrobbler | UTC: seconds or milliseconds since 1970 |
| Koito, YouTube Music | UTC: written with its zone, Z |
| Spotify: `ts`, `endTime` | UTC |
| Last.fm: `uts`, `utc_time`, `timestamp`, `Date#user` | UTC |
| Last.fm: `date` and `time` as text | the zone that is given: the API writes UTC, some tools local time |
| Apple Music: `Event Start Timestamp` | UTC |
| Apple Music: `Date Played` and `Hours` | the zone that is given: Apple does not say |
| Deezer: `Date` | the zone that is given: Deezer does not say |
| `.scrobbler.log` with `#TZ/UTC` | UTC |
| `.scrobbler.log` with `#TZ/UNKNOWN` | the zone that is given: the player's clock has none |
"""

import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import chain, islice
from pathlib import Path

from jobs.errors import InputError
from jobs.plays import history_apple, history_archives, history_tables, spreadsheet
from jobs.plays.history_rows import json_listen
from jobs.plays.history_source import Reject, Source, iter_lines, listens_or_error, open_beside
from jobs.plays.history_tables import TableRow, log_listen
from jobs.plays.json_rows import iter_json_rows
from jobs.plays.listens import INVALID_ROW, UNKNOWN_ROW, InvalidRow, Listen, RejectedRow


def read_history(file: Path, *, zone: tzinfo = UTC, reject: Reject | None = None) -> Iterator[Listen]:
    """Yield the listens of a file.

    Parameters
    ----------
    file
        A file in one of the forms above, or a zip archive of such files.
    zone
        The zone of times without one, where the form does not say.
    reject
        Called with each row that is no listen, and with each file of an archive that cannot be read; None
        leaves them out.

    Raises
    ------
    InputError
        If the file cannot be opened, or has rows and none is of a known form.
    """
    now = datetime.now(UTC)
    try:
        with file.open("rb") as stream:
            yield from read_source(
                Source(file.name, stream, zone, now, reject or _ignore, open_beside(file.parent))
            )
    except OSError as error:
        raise InputError(f"expected a history, found {file}: {error.strerror or error}") from error
    except zipfile.BadZipFile as error:
        raise InputError(
            f"expected a history, found {file}, an archive that is damaged or cut short ({error}); "
            "download it again"
        ) from error


def _ignore(_: RejectedRow) -> None:
    pass


def read_source(source: Source) -> Iterator[Listen]:
    """Yield the listens of an open file in the form that its content shows."""
    if source.stream.peek(4)[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(source.stream) as archive:
            if spreadsheet.is_workbook(archive):
                yield from _read_rows(source, spreadsheet.iter_rows(archive, history_tables.SHEET), 0)
            else:
                yield from history_archives.read_archive(source, archive, read_source)
        return
    encoding, beginning = source.sniff()
    if not beginning:
        raise InputError(f"expected a history, found {source.name} empty")
    if beginning.startswith(("[", "{")) or source.name.endswith((".json", ".jsonl")):
        yield from _read_json(source, encoding)
    elif beginning.startswith("#AUDIOSCROBBLER"):
        yield from _read_log(source, encoding)
    elif beginning.startswith("<"):
        raise InputError(
            f"expected a history as JSON or CSV, found {source.name} in HTML; "
            "for YouTube Music choose JSON as the format of the history at Google Takeout"
        )
    else:
        yield from _read_table(source, encoding)


def _read_json(source: Source, encoding: str) -> Iterator[Listen]:
    n_known = 0
    unknown: str | None = None
    for row in iter_json_rows(source.stream, encoding):
        if row.error is None:
            found = listens_or_error(partial(json_listen, row.value, source.zone, source.now))
        else:
            found = InvalidRow(INVALID_ROW, row.error)
        if not isinstance(found, InvalidRow):
            n_known += 1
            yield from found
            continue
        if found.reason in (UNKNOWN_ROW, INVALID_ROW):
            unknown = unknown or found.found
        else:
            n_known += 1
        source.reject_row(row.number, found, row.text)
    if unknown is not None and not n_known:
        raise InputError(
            "expected a history of ListenBrainz, Last.fm, Spotify, YouTube Music, Maloja or Koito, "
            f"found {source.name}: {unknown}"
        )


def _read_table(source: Source, encoding: str) -> Iterator[Listen]:
    lines = iter_lines(source.stream, encoding)
    first = list(islice(lines, history_tables.MAX_FIRST_LINES))
    has_hint = bool(re.match(r"\s*sep=.\s*$", first[0]))  # for spreadsheets
    delimiter = history_tables.find_delimiter(first[has_hint:])
    size = history_tables.find_size(first[has_hint:], delimiter)
    rows = history_tables.iter_rows(chain(first[has_hint:], lines), delimiter, size, 1 + has_hint)
    yield from _read_rows(source, rows, size)


def _read_rows(source: Source, rows: Iterator[TableRow], size: int) -> Iterator[Listen]:
    first = list(islice(rows, history_tables.MAX_FIRST_LINES))
    found = history_apple.find_reader(first, source) or history_tables.find_reader(first, size, source)
    if found is None:
        beginning = first[0].text.strip() if first else ""
        raise InputError(
            "expected a table with the columns artist, track and a time (uts, utc_time, date, timestamp), "
            f"found {source.name} beginning with {ascii(beginning)[:80]}"
        )
    read, n_before = found
    for row in chain(first[n_before:], rows):
        yield from source.listens(row.line, row.text, partial(read, row))


def _read_log(source: Source, encoding: str) -> Iterator[Listen]:
    is_utc = False
    for number, line in enumerate(iter_lines(source.stream, encoding), 1):
        content = line.rstrip("\r\n")
        if content.upper().startswith("#TZ/"):
            is_utc = content[4:].strip().upper() == "UTC"
        if content.startswith("#") or not content.strip():
            continue
        row = TableRow(number, content.split("\t"), content)
        read = partial(log_listen, row, is_utc, source.zone, source.now)
        yield from source.listens(number, content, read)
