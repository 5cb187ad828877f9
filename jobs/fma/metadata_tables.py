"""FMA's `tracks.csv` and `genres.csv` as the tables FMA_METADATA and FMA_GENRES.

Every fault is reported with its line.
"""

import ast
import functools
import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from markupsafe import Markup

from jobs.errors import InputError
from jobs.fma.csv_records import ParseProblems, iter_records
from jobs.fma.source import MetadataSource
from jobs.lake.schemas import FMA_GENRES, FMA_KINDS, FMA_METADATA
from jobs.lake.storage import Lake

# Columns that TRACKS needs; the other columns of tracks.csv may be missing.
REQUIRED = (
    "artist/name",
    "album/title",
    "album/date_released",
    "set/split",
    "set/subset",
    "track/bit_rate",
    "track/duration",
    "track/favorites",
    "track/genre_top",
    "track/genres",
    "track/license",
    "track/listens",
    "track/number",
    "track/title",
)

_HEADER_ROWS = 3
_BATCH_ROWS = 2_500
_INT32_LIMIT = 2**31

_GENRE_COLUMNS = ("genre_id", "#tracks", "parent", "title", "top_level")


def load_metadata(location: str, lake: Lake, *, skip_invalid: bool) -> dict[str, int]:
    """Replace FMA_METADATA and FMA_GENRES by the content of a metadata folder or archive.

    Parameters
    ----------
    location
        The folder fma_metadata or its ZIP archive.
    lake
        The lake to write to; tables that would not change are not written.
    skip_invalid
        Skip and count invalid records instead of raising.

    Returns
    -------
    The number of records, and with `skip_invalid` the number of those skipped.

    Raises
    ------
    InputError
        Naming file and line of the first invalid record; the tables stay as they are.
    """
    source = MetadataSource(location)
    genre_problems = ParseProblems(source.display_path("genres.csv"), skip_invalid=skip_invalid)
    genres = pa.Table.from_pylist(read_genres(source, genre_problems), schema=FMA_GENRES.arrow_schema())
    problems = ParseProblems(source.display_path("tracks.csv"), skip_invalid=skip_invalid)
    digest = file_hash(source, "tracks.csv")
    if skip_invalid:  # another digest, so that a later strict import of the same file is refused
        digest += "-skip-invalid"
    stored_digests = set(lake.read_arrow(FMA_METADATA, "file_hash")["file_hash"].to_pylist())
    if stored_digests != {digest} or skip_invalid:
        lake.commit_arrow(FMA_METADATA, iter_metadata(source, problems, digest))
    if not lake.read_arrow(FMA_GENRES).equals(genres):
        lake.commit_arrow(FMA_GENRES, genres.to_batches())
    counts = {"metadata records": lake.count_rows(FMA_METADATA)}
    if skip_invalid:
        counts["invalid records skipped"] = problems.count + genre_problems.count
    return counts


def file_hash(source: MetadataSource, name: str) -> str:
    """Return the SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with source.open(name) as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def iter_metadata(source: MetadataSource, problems: ParseProblems, digest: str) -> Iterator[pa.RecordBatch]:
    """Yield tracks.csv as batches of FMA_METADATA; `digest` is stored as the file's hash."""
    schema = FMA_METADATA.arrow_schema()
    rows: list[dict[str, Any]] = []
    with source.open("tracks.csv") as stream:
        for row in read_tracks(iter_records(stream, problems), problems):
            rows.append({**row, "file_hash": digest})
            if len(rows) == _BATCH_ROWS:
                yield pa.RecordBatch.from_pylist(rows, schema=schema)
                rows = []
    yield pa.RecordBatch.from_pylist(rows, schema=schema)


def read_tracks(
    records: Iterator[tuple[int, list[str]]], problems: ParseProblems
) -> Iterator[dict[str, Any]]:
    """Yield a row of FMA_METADATA for each record of tracks.csv; `records` begin with its three header rows.

    Raises
    ------
    InputError
        The header is not FMA's, or no record is valid.
    """
    names = _read_header(records, problems)
    line_by_id: dict[str, int] = {}
    for line, fields in records:
        try:
            track_id = str(_parse_int(fields[0]))
            row = _parse_cells(names, fields)
        except (ValueError, SyntaxError):
            problems.report(line, _invalid_cell(names, fields))
            continue
        if track_id in line_by_id:
            problems.report(
                line,
                f"expected each track_id once, found {track_id} again (first on line {line_by_id[track_id]})",
            )
            continue
        line_by_id[track_id] = line
        yield {"track_id": track_id, "line": line, **row}
    if not line_by_id:
        raise InputError(f"{problems.name}: expected records of tracks, found none")


def _read_header(records: Iterator[tuple[int, list[str]]], problems: ParseProblems) -> list[str]:
    """Return the column names, `group/name`; raise InputError if the header is not FMA's."""
    header = []
    for _ in range(_HEADER_ROWS):
        _, fields = next(records, (0, []))
        header.append(fields)
    groups, column_names, last_row = header
    if not all(header) or last_row[0] != "track_id":
        beginning = ",".join(last_row[:3])[:60] if last_row else "the end of the file"
        raise InputError(
            f"{problems.name} line {_HEADER_ROWS}: expected FMA's header of {_HEADER_ROWS} rows, the last "
            f"one beginning with track_id, found {beginning!r}"
        )
    names = [f"{group}/{name}" for group, name in zip(groups, column_names, strict=True)]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise InputError(
            f"{problems.name} line 2: expected the column {missing[0]}, found none ({len(missing)} missing)"
        )
    return names


def _parse_cells(names: list[str], fields: list[str]) -> dict[str, Any]:
    """Return the values of a record by column of FMA_METADATA; an empty cell is None."""
    row = {}
    for name, text in zip(names[1:], fields[1:], strict=True):
        if name in FMA_KINDS:
            row[name.replace("/", "_")] = _CONVERTERS[FMA_KINDS[name]](text) if text else None
    return row


def _invalid_cell(names: list[str], fields: list[str]) -> str:
    """Return what is wrong with the first cell that cannot be converted."""
    for name, text in zip(["track_id", *names[1:]], fields, strict=True):
        kind = FMA_KINDS.get(name, "int" if name == "track_id" else "string")
        try:
            if text or name == "track_id":
                _CONVERTERS[kind](text)
        except (ValueError, SyntaxError):
            return f"{name}: expected {_EXPECTED[kind]}, found {text[:40]!r}"
    return "expected a record of a track"


def _parse_int(text: str) -> int:
    number = int(text) if text.removeprefix("-").isdecimal() else int(float(text))
    if not -_INT32_LIMIT <= number < _INT32_LIMIT:
        raise ValueError(text)
    return number


def _list_parser(item_type: type) -> Callable[[str], list[Any]]:
    def parse(text: str) -> list[Any]:
        values = ast.literal_eval(text)
        if not isinstance(values, list) or not all(isinstance(value, item_type) for value in values):
            raise ValueError(text)
        return values

    return parse


@functools.lru_cache(maxsize=1_024)  # the text of an album is repeated for each of its tracks
def _strip_html(text: str) -> str | None:
    return Markup(text).striptags() or None


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "int": _parse_int,
    "double": float,
    "timestamp": lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC),
    "strings": _list_parser(str),
    "ints": _list_parser(int),
    "html": _strip_html,
    "string": lambda text: text.replace("\0", " ").strip() or None,
}
_EXPECTED = {
    "int": "a whole number",
    "double": "a number",
    "timestamp": "a date as in 2008-11-26 01:48:12",
    "strings": "a list of strings as in ['punk']",
    "ints": "a list of numbers as in [21]",
}


def read_genres(source: MetadataSource, problems: ParseProblems) -> list[dict[str, Any]]:
    """Return rows of FMA_GENRES from genres.csv, with the colours of raw_genres.csv if that exists."""
    colours = _read_colours(source) if source.has("raw_genres.csv") else {}
    rows: dict[int, dict[str, Any]] = {}
    line_by_id: dict[int, int] = {}
    with source.open("genres.csv") as stream:
        records = iter_records(stream, problems)
        names = _read_genre_header(records, problems)
        for line, fields in records:
            try:
                row = _genre_row(dict(zip(names, fields, strict=True)))
            except ValueError:
                problems.report(line, f"expected whole numbers and a title, found {','.join(fields)[:60]!r}")
                continue
            genre_id = row["genre_id"]
            if genre_id in rows:
                problems.report(line, f"expected each genre_id once, found {genre_id} again")
                continue
            line_by_id[genre_id] = line
            rows[genre_id] = {**row, "colour": colours.get(genre_id)}
    for genre_id in list(rows):
        if not _has_root(genre_id, rows):
            problems.report(
                line_by_id[genre_id], f"expected a tree, found no path from genre {genre_id} to a root"
            )
            del rows[genre_id]
    return list(rows.values())


def _read_genre_header(records: Iterator[tuple[int, list[str]]], problems: ParseProblems) -> list[str]:
    _, names = next(records, (0, []))
    missing = [name for name in _GENRE_COLUMNS if name not in names]
    if missing:
        raise InputError(
            f"{problems.name} line 1: expected the column {missing[0]}, found {','.join(names)[:80]!r}"
        )
    return names


def _genre_row(cells: dict[str, str]) -> dict[str, Any]:
    """Return a row of FMA_GENRES without its colour; raise ValueError if a number is invalid."""
    return {
        "genre_id": _parse_int(cells["genre_id"]),
        "title": cells["title"].strip(),
        "parent_id": _parse_int(cells["parent"]) or None,
        "top_id": _parse_int(cells["top_level"]),
        "tracks": _parse_int(cells["#tracks"]),
    }


def _has_root(genre_id: int, rows: dict[int, dict[str, Any]]) -> bool:
    """Return whether the genre's chain of parents ends at a root."""
    visited: set[int] = set()
    while genre_id not in visited and genre_id in rows:
        visited.add(genre_id)
        if rows[genre_id]["parent_id"] is None:
            return True
        genre_id = rows[genre_id]["parent_id"]
    return False


def _read_colours(source: MetadataSource) -> dict[int, str]:
    """Return the colours by genre_id.

    Invalid records are skipped, because a genre can do without a colour.
    """
    problems = ParseProblems(source.display_path("raw_genres.csv"), skip_invalid=True)
    colours = {}
    with source.open("raw_genres.csv") as stream:
        records = iter_records(stream, problems)
        _, names = next(records, (0, []))
        for _, fields in records:
            row = dict(zip(names, fields, strict=True))
            if row.get("genre_id", "").isdecimal() and row.get("genre_color"):
                colours[int(row["genre_id"])] = row["genre_color"].lower()
    return colours
