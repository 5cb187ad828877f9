"""Read listening histories as services export them, a piece at a time.

The content says which form a file has, not its name. A row that is no listen is given to `reject` with its
reason, and the rest of the file is read.

A listen's time is its start, in UTC; Spotify records the end, so the time played is subtracted. A time
without a zone means, by the rule of each form:

| form | zone |
| --- | --- |
| ListenBrainz, Maloja | UTC: seconds since 1970 |
| Spotify: `ts`, `endTime` | UTC |
| Last.fm: `uts`, `utc_time`, `timestamp`, `Date#user` | UTC |
| Last.fm: `date` and `time` as text | the zone that is given: the API writes UTC, some tools local time |
| `.scrobbler.log` with `#TZ/UTC` | UTC |
| `.scrobbler.log` with `#TZ/UNKNOWN` | the zone that is given: the player's clock has none |
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO

from jobs.errors import InputError
from jobs.plays import history_tables
from jobs.plays.history_rows import json_listen
from jobs.plays.history_tables import TableRow, log_listen, table_listen
from jobs.plays.json_rows import iter_json_rows
from jobs.plays.listens import INVALID_ROW, UNKNOWN_ROW, InvalidRow, Listen, RejectedRow

Reject = Callable[[RejectedRow], None]

_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_SNIFFED_BYTES = 4_096

# Files of an archive that have listens, of ListenBrainz and Spotify; the others are the account's.
_ARCHIVED = re.compile(
    r"(?:^|/)listens(?:/.*)?\.jsonl?$|(?:^|/)(?:Streaming_?History|endsong)[^/]*\.json$|\.scrobbler\.log$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Source:
    """An open file: its name in messages, its bytes, and how to read times and to reject rows."""

    name: str
    stream: IO[bytes]  # at its beginning
    zone: tzinfo
    now: datetime
    reject: Reject

    def reject_row(self, row: int, error: InvalidRow, content: str) -> None:
        """Pass on a row that is not imported."""
        self.reject(RejectedRow(self.name, row, error.reason, error.found, content))


def read_history(file: Path, *, zone: tzinfo = UTC, reject: Reject | None = None) -> Iterator[Listen]:
    """Yield the listens of a file.

    Parameters
    ----------
    file
        A file in one of the forms above, or a zip archive of ListenBrainz or Spotify.
    zone
        The zone of times without one, where the form does not say.
    reject
        Called with each row that is no listen; None leaves them out.

    Raises
    ------
    InputError
        If the file cannot be opened, or has rows and none is of a known form.
    """
    now = datetime.now(UTC)
    try:
        with file.open("rb") as stream:
            source = _Source(file.name, stream, zone, now, reject or _ignore)
            is_archive = stream.peek(4)[:4] == b"PK\x03\x04"
            yield from _read_archive(source) if is_archive else _read(source)
    except OSError as error:
        raise InputError(f"expected a history, found {file}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise InputError(f"expected a history, found {file}, an archive with {error}") from error


def _ignore(_: RejectedRow) -> None:
    pass


def _read_archive(source: _Source) -> Iterator[Listen]:
    """Read the histories of an archive; ListenBrainz' `user.json` has the name of the user."""
    with zipfile.ZipFile(source.stream) as archive:
        names = sorted(name for name in archive.namelist() if _ARCHIVED.search(name))
        if not names:
            raise InputError(
                f"expected an archive of ListenBrainz or Spotify, found {source.name} without a history"
            )
        user = _archive_user(archive)
        for name in names:
            if not archive.getinfo(name).file_size:
                continue
            with archive.open(name) as member:
                inner = replace(source, name=f"{source.name}/{name}", stream=member)
                for listen in _read(inner):
                    yield listen if listen.user else replace(listen, user=user)


def _archive_user(archive: zipfile.ZipFile) -> str | None:
    if "user.json" not in archive.namelist():
        return None
    with archive.open("user.json") as member:
        row = next(iter_json_rows(member), None)
    values = row.value if row is not None and isinstance(row.value, dict) else {}
    name = values.get("username") or values.get("user_name")
    return name if isinstance(name, str) else None


def _read(source: _Source) -> Iterator[Listen]:
    """Read a file in the form that its content shows."""
    head = source.stream.read(_SNIFFED_BYTES)
    source.stream.seek(0)
    encoding = _BYTE_ORDER_MARKS.get(head[:2], "utf-8-sig")
    beginning = head.decode(encoding, errors="ignore").lstrip()
    if not beginning:
        raise InputError(f"expected a history, found {source.name} empty")
    if beginning.startswith(("[", "{")) or source.name.endswith((".json", ".jsonl")):
        yield from _read_json(source, encoding)
        return
    text = io.TextIOWrapper(source.stream, encoding=encoding, errors="surrogateescape", newline="")
    try:
        if beginning.startswith("#AUDIOSCROBBLER"):
            yield from _read_log(source, text)
        else:
            yield from _read_table(source, text)
    finally:
        text.detach()


def _read_json(source: _Source, encoding: str) -> Iterator[Listen]:
    n_known = 0
    unknown: str | None = None
    for row in iter_json_rows(source.stream, encoding):
        if row.error is None:
            found = _listen_or_error(partial(json_listen, row.value, source.zone, source.now))
        else:
            found = InvalidRow(INVALID_ROW, row.error)
        if isinstance(found, Listen):
            n_known += 1
            yield found
            continue
        if found.reason in (UNKNOWN_ROW, INVALID_ROW):
            unknown = unknown or found.found
        else:
            n_known += 1
        source.reject_row(row.number, found, row.text)
    if unknown is not None and not n_known:
        raise InputError(
            f"expected a history of ListenBrainz, Last.fm, Spotify or Maloja, found {source.name}: {unknown}"
        )


def _listen_or_error(read: Callable[[], Listen]) -> Listen | InvalidRow:
    """Return the listen that a reader makes of a row, or why it is none."""
    try:
        return read()
    except InvalidRow as error:
        return error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        return InvalidRow(INVALID_ROW, f"{type(error).__name__}: {error}")


def _read_table(source: _Source, text: io.TextIOWrapper) -> Iterator[Listen]:
    lines = _iter_lines(text)
    first = list(islice(lines, history_tables.MAX_FIRST_LINES))
    has_hint = bool(re.match(r"\s*sep=.\s*$", first[0]))  # for spreadsheets
    delimiter = history_tables.find_delimiter(first[has_hint:])
    size = history_tables.find_size(first[has_hint:], delimiter)
    rows = history_tables.iter_rows(chain(first[has_hint:], lines), delimiter, size, 1 + has_hint)
    columns, rows = history_tables.find_columns(rows, size)
    if columns is None:
        raise InputError(
            "expected a table with the columns artist, track and a time (uts, utc_time, date, timestamp), "
            f"found {source.name} beginning with {ascii(first[0].strip())[:80]}"
        )
    for row in rows:
        found = _listen_or_error(partial(table_listen, row, columns, source.zone, source.now))
        if isinstance(found, Listen):
            yield found
        else:
            source.reject_row(row.line, found, row.text)


def _read_log(source: _Source, text: io.TextIOWrapper) -> Iterator[Listen]:
    is_utc = False
    for number, line in enumerate(_iter_lines(text), 1):
        content = line.rstrip("\r\n")
        if content.upper().startswith("#TZ/"):
            is_utc = content[4:].strip().upper() == "UTC"
        if content.startswith("#") or not content.strip():
            continue
        row = TableRow(number, content.split("\t"), content)
        found = _listen_or_error(partial(log_listen, row, is_utc, source.zone, source.now))
        if isinstance(found, Listen):
            yield found
        else:
            source.reject_row(number, found, content)


def _iter_lines(text: io.TextIOWrapper) -> Iterator[str]:
    """Yield lines that end in \\n, \\r\\n or \\r; a line without an end is cut at a megabyte."""
    while line := text.readline(2**20):
        yield line
