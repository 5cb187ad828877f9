"""CSV records with the line that each begins on, so that an error names the place in the file."""

import csv
import logging
import re
from collections.abc import Iterator
from typing import IO

from jobs.errors import InputError
from jobs.paths import escape_control_chars

log = logging.getLogger("segue")

# Biographies are long; Python's own limit is 128 KiB per field.
_MAX_FIELD_BYTES = 16 * 2**20

# Skipped records that are logged one by one; the others are only counted.
_MAX_LOGGED = 5

# Python's surrogateescape form of a byte that is not UTF-8.
_UNDECODABLE = re.compile("[\udc80-\udcff]")

_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_UTF8_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ParseProblems:
    """The problems of one file.

    The first one raises InputError; with `skip_invalid` all are counted and the first few logged.
    """

    def __init__(self, name: str, *, skip_invalid: bool) -> None:
        self.name = name
        self.skip_invalid = skip_invalid
        self.count = 0

    def report(self, line: int, problem: str) -> None:
        """Report what was expected and found on a line; raise InputError unless `skip_invalid`."""
        text = escape_control_chars(f"{self.name} line {line}: {problem}")
        if not self.skip_invalid:
            raise InputError(f"{text}; --skip-invalid imports the other records")
        self.count += 1
        if self.count <= _MAX_LOGGED:
            log.warning("skipped: %s", text)


def iter_records(stream: IO[bytes], problems: ParseProblems) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of each UTF-8 record as wide as the first; `line` is its first line, from 1.

    Truncated records, records that are not UTF-8 and records of another width are reported to `problems`.
    """
    csv.field_size_limit(_MAX_FIELD_BYTES)
    reader = csv.reader(_decoded_lines(stream, problems), strict=True)
    width = 0
    first_line = 1
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            _report_csv_error(problems, first_line, reader.line_num, str(error))
            first_line = reader.line_num + 1
            continue
        if fields is None:
            return
        width = width or len(fields)
        problem = _fault(fields, width, problems)
        if problem is not None:
            problems.report(first_line, problem)
        elif fields:
            yield first_line, fields
        first_line = reader.line_num + 1


def _fault(fields: list[str], width: int, problems: ParseProblems) -> str | None:
    """Return what is wrong with a record, None if it is valid or an empty line."""
    if problems.skip_invalid:  # otherwise _decoded_lines has raised already
        undecodable = next(filter(_UNDECODABLE.search, fields), None)
        if undecodable is not None:
            return f"expected UTF-8, found {undecodable.encode('utf-8', 'surrogateescape')[:40]!r}"
    if fields and len(fields) != width:
        return f"expected {width} fields, found {len(fields)}"
    return None


def _report_csv_error(problems: ParseProblems, first_line: int, last_line: int, error: str) -> None:
    if "unexpected end of data" in error:
        problems.report(
            first_line,
            "expected the quoted field of this record to end, found the end of the file on line "
            f"{last_line}: truncated, as an interrupted download leaves it",
        )
    else:
        problems.report(first_line, f"expected a CSV record, found: {error} (line {last_line})")


def _decoded_lines(stream: IO[bytes], problems: ParseProblems) -> Iterator[str]:
    """Yield the lines as text.

    A byte that is not UTF-8 is reported; with `skip_invalid` it is escaped, so that iter_records finds its
    record.
    """
    for number, line in enumerate(_bounded_lines(stream, problems), 1):
        if number == 1:
            line = _without_byte_order_mark(line, problems)
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            if not problems.skip_invalid:
                problems.report(
                    number,
                    f"expected UTF-8, found the byte 0x{line[error.start]:02x} "
                    f"({_context(line, error.start)}); convert the file with iconv",
                )
            yield line.decode("utf-8", "surrogateescape")


def _without_byte_order_mark(line: bytes, problems: ParseProblems) -> bytes:
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if line.startswith(mark):
            raise InputError(
                f"{problems.name} line 1: expected UTF-8, found {encoding}; convert the file with iconv"
            )
    return line.removeprefix(_UTF8_BYTE_ORDER_MARK)


def _bounded_lines(stream: IO[bytes], problems: ParseProblems) -> Iterator[bytes]:
    """Yield the lines; raise InputError for a line longer than any record, before it fills the memory."""
    number = 0
    while line := stream.readline(_MAX_FIELD_BYTES):
        number += 1
        if len(line) == _MAX_FIELD_BYTES:
            raise InputError(
                f"{problems.name} line {number}: expected text, found a line of more than 16 MiB"
            )
        yield line


def _context(line: bytes, position: int) -> str:
    """Return the ten bytes before and after a position as quoted text."""
    return repr(line[max(0, position - 10) : position + 10].decode("latin-1"))
