"""FMA's `tracks.csv` and `genres.csv` as the tables FMA_METADATA and FMA_GENRES: every cell parsed, every fault with its line."""

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

# What TRACKS needs; the other columns of tracks.csv may be missing.
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
_INT32 = 2**31


def load_metadata(given: str, lake: Lake, *, lenient: bool) -> dict[str, int]:
    """Make FMA_METADATA and FMA_GENRES those of a folder or archive; return the counts of records and of those left out.

    InputError with file and line for the first fault, and the tables stay as they are; `lenient` leaves the record out.
    """
    source = MetadataSource(given)
    genre_problems = ParseProblems(source.display_path("genres.csv"), lenient=lenient)
    genres = pa.Table.from_pylist(read_genres(source, genre_problems), schema=FMA_GENRES.arrow_schema())
    problems = ParseProblems(source.display_path("tracks.csv"), lenient=lenient)
    # What was read leniently counts as another file: read strictly, the same one has to be refused.
    digest = file_hash(source, "tracks.csv") + ("-lenient" if lenient else "")
    if set(lake.read_arrow(FMA_METADATA, "file_hash")["file_hash"].to_pylist()) != {digest} or lenient:
        lake.commit_arrow(FMA_METADATA, iter_metadata(source, problems, digest))
    if not lake.read_arrow(FMA_GENRES).equals(genres):
        lake.commit_arrow(FMA_GENRES, genres.to_batches())
    found = {"metadata records": lake.count_rows(FMA_METADATA)}
    return {**found, "records left out": problems.count + genre_problems.count} if lenient else found


def file_hash(source: MetadataSource, name: str) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with source.open(name) as stream:
        while chunk := stream.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def iter_metadata(source: MetadataSource, problems: ParseProblems, digest: str) -> Iterator[pa.RecordBatch]:
    """Yield FMA_METADATA of tracks.csv, some rows at a time; `digest` is the file's."""
    schema, rows = FMA_METADATA.arrow_schema(), []
    with source.open("tracks.csv") as stream:
        for row in read_tracks(iter_records(stream, problems), problems):
            rows.append({**row, "file_hash": digest})
            if len(rows) == _BATCH_ROWS:
                yield pa.RecordBatch.from_pylist(rows, schema=schema)
                rows = []
    yield pa.RecordBatch.from_pylist(rows, schema=schema)


def read_tracks(found: Iterator[tuple[int, list[str]]], problems: ParseProblems) -> Iterator[dict[str, Any]]:
    """Yield a row of FMA_METADATA for each record of tracks.csv, the three of its header first among them."""
    names = _header(found, problems)
    lines: dict[str, int] = {}
    for line, fields in found:
        try:
            track_id = str(_int(fields[0]))
            row = {
                name.replace("/", "_"): _CONVERTERS[FMA_KINDS[name]](text) if text else None
                for name, text in zip(names[1:], fields[1:], strict=True)
                if name in FMA_KINDS
            }
        except (ValueError, SyntaxError):
            problems.report(line, _wrong_cell(names, fields))
            continue
        if track_id in lines:
            problems.report(
                line, f"expected each track_id once, found {track_id} again (first on line {lines[track_id]})"
            )
            continue
        lines[track_id] = line
        yield {"track_id": track_id, "line": line, **row}
    if not lines:
        raise InputError(f"{problems.name}: expected records of tracks, found none")


def _header(found: Iterator[tuple[int, list[str]]], problems: ParseProblems) -> list[str]:
    """Return the column names, `group/name`; InputError where the header is not FMA's."""
    header = [fields for _, fields in (next(found, (0, [])) for _ in range(_HEADER_ROWS))]
    if not all(header) or header[2][0] != "track_id":
        raise InputError(
            f"{problems.name} line {_HEADER_ROWS}: expected FMA's header of {_HEADER_ROWS} rows, the last one beginning "
            f"with track_id, found {','.join(header[2][:3])[:60] if header[2] else 'the end of the file'!r}"
        )
    names = [f"{group}/{name}" for group, name in zip(header[0], header[1], strict=True)]
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise InputError(
            f"{problems.name} line 2: expected the column {missing[0]}, found none ({len(missing)} missing)"
        )
    return names


def _wrong_cell(names: list[str], fields: list[str]) -> str:
    """Return what is wrong with the first cell that cannot be converted."""
    for name, text in zip(["track_id", *names[1:]], fields, strict=True):
        kind = FMA_KINDS.get(name, "int" if name == "track_id" else "string")
        try:
            if text or name == "track_id":
                _CONVERTERS[kind](text)
        except (ValueError, SyntaxError):
            return f"{name}: expected {_EXPECTED[kind]}, found {text[:40]!r}"
    return "expected a record of a track"


def _int(text: str) -> int:
    number = int(text) if text.removeprefix("-").isdecimal() else int(float(text))
    if not -_INT32 <= number < _INT32:
        raise ValueError(text)
    return number


def _list(kind: type) -> Callable[[str], list[Any]]:
    def convert(text: str) -> list[Any]:
        values = ast.literal_eval(text)
        if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
            raise ValueError(text)
        return values

    return convert


@functools.lru_cache(maxsize=1_024)  # an album's text stands beside each of its tracks
def _text_of_html(text: str) -> str | None:
    return Markup(text).striptags() or None


_CONVERTERS: dict[str, Callable[[str], Any]] = {
    "int": _int,
    "double": float,
    "timestamp": lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC),
    "strings": _list(str),
    "ints": _list(int),
    "html": _text_of_html,
    "string": lambda text: text.replace("\0", " ").strip() or None,
}
_EXPECTED = {
    "int": "a whole number",
    "double": "a number",
    "timestamp": "a date as in 2008-11-26 01:48:12",
    "strings": "a list of texts as in ['punk']",
    "ints": "a list of numbers as in [21]",
}


def read_genres(source: MetadataSource, problems: ParseProblems) -> list[dict[str, Any]]:
    """Return FMA_GENRES' rows of genres.csv, with the colours of raw_genres.csv where that is there."""
    colours = _colours(source) if source.has("raw_genres.csv") else {}
    rows: dict[int, dict[str, Any]] = {}
    with source.open("genres.csv") as stream:
        found = iter_records(stream, problems)
        names = next(found, (0, []))[1]
        missing = [
            name for name in ("genre_id", "#tracks", "parent", "title", "top_level") if name not in names
        ]
        if missing:
            raise InputError(
                f"{problems.name} line 1: expected the column {missing[0]}, found {','.join(names)[:80]!r}"
            )
        lines = {}
        for line, fields in found:
            row = dict(zip(names, fields, strict=True))
            try:
                number, tracks, parent, top = (
                    _int(row[n]) for n in ("genre_id", "#tracks", "parent", "top_level")
                )
            except ValueError:
                problems.report(line, f"expected whole numbers and a title, found {','.join(fields)[:60]!r}")
                continue
            if number in rows:
                problems.report(line, f"expected each genre_id once, found {number} again")
                continue
            lines[number] = line
            rows[number] = {
                "genre_id": number,
                "title": row["title"].strip(),
                "parent_id": parent or None,
                "top_id": top,
                "tracks": tracks,
                "colour": colours.get(number),
            }
    for number in list(rows):
        if not _reaches_root(number, rows):
            problems.report(lines[number], f"expected a tree, found no way from genre {number} to a root")
            del rows[number]
    return list(rows.values())


def _reaches_root(number: int, rows: dict[int, dict[str, Any]]) -> bool:
    seen: set[int] = set()
    while number not in seen and number in rows:
        seen.add(number)
        if rows[number]["parent_id"] is None:
            return True
        number = rows[number]["parent_id"]
    return False


def _colours(source: MetadataSource) -> dict[int, str]:
    problems = ParseProblems(
        source.display_path("raw_genres.csv"), lenient=True
    )  # a colour is no reason to stop
    with source.open("raw_genres.csv") as stream:
        found = iter_records(stream, problems)
        names = next(found, (0, []))[1]
        rows = (dict(zip(names, fields, strict=True)) for _, fields in found)
        return {
            int(row["genre_id"]): row["genre_color"].lower()
            for row in rows
            if row.get("genre_id", "").isdecimal() and row.get("genre_color")
        }
