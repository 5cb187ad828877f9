"""CSV records with the line that each begins on, so that whatever is wrong with one can be pointed at."""

import csv
import logging
import re
from collections.abc import Iterator
from typing import IO

from jobs.errors import InputError
from jobs.paths import escape_control_chars

log = logging.getLogger("segue")

# Biographies are long; Python's own limit is 128 KiB a field.
_FIELD_BYTES = 16 * 2**20

# Of what --lenient leaves out, that is named; the rest is counted.
_NAMED = 5

# How Python's surrogateescape has a byte that is not UTF-8.
_ESCAPED = re.compile("[\udc80-\udcff]")

_BYTE_ORDER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


class ParseProblems:
    """What is wrong with a file: the first thing is an InputError; where `lenient`, all are counted, the first few logged."""

    def __init__(self, name: str, *, lenient: bool) -> None:
        self.name, self.lenient, self.count = name, lenient, 0

    def report(self, line: int, problem: str) -> None:
        """Say what was expected and found on a line."""
        text = escape_control_chars(f"{self.name} line {line}: {problem}")
        if not self.lenient:
            raise InputError(f"{text}; --lenient takes the other records")
        self.count += 1
        if self.count <= _NAMED:
            log.warning("left out: %s", text)


def iter_records(stream: IO[bytes], problems: ParseProblems) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of each record as wide as the first, UTF-8; line is where it begins, from 1.

    Records that are broken off, not UTF-8 or of another width are reported instead.
    """
    csv.field_size_limit(_FIELD_BYTES)
    reader = csv.reader(_lines(stream, problems), strict=True)
    width, begin = 0, 1
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            _report_broken(problems, begin, reader.line_num, str(error))
            begin = reader.line_num + 1
            continue
        if fields is None:
            return
        width = width or len(fields)
        broken = next(filter(_ESCAPED.search, fields), None) if problems.lenient else None
        if broken is not None:
            problems.report(
                begin, f"expected UTF-8, found {broken.encode('utf-8', 'surrogateescape')[:40]!r}"
            )
        elif fields and len(fields) != width:
            problems.report(begin, f"expected {width} fields, found {len(fields)}")
        elif fields:
            yield begin, fields
        begin = reader.line_num + 1


def _report_broken(problems: ParseProblems, begin: int, line: int, error: str) -> None:
    if "unexpected end of data" in error:
        problems.report(
            begin,
            f"expected the quoted field of this record to end, found the end of the file on line {line}: "
            "broken off, as a failed download leaves it",
        )
    else:
        problems.report(begin, f"expected a CSV record, found: {error} (line {line})")


def _lines(stream: IO[bytes], problems: ParseProblems) -> Iterator[str]:
    """Yield the lines as text; a byte that is not UTF-8 is reported, or where lenient marks its record."""
    for number, line in enumerate(_bounded(stream, problems), 1):
        if number == 1:
            mark = next((name for start, name in _BYTE_ORDER_MARKS.items() if line.startswith(start)), None)
            if mark:
                raise InputError(
                    f"{problems.name} line 1: expected UTF-8, found {mark}; convert it with iconv"
                )
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            if not problems.lenient:
                byte = line[error.start]
                problems.report(
                    number,
                    f"expected UTF-8, found the byte 0x{byte:02x} ({_around(line, error.start)}); convert it with iconv",
                )
            yield line.decode("utf-8", "surrogateescape")


def _bounded(stream: IO[bytes], problems: ParseProblems) -> Iterator[bytes]:
    """Yield the lines; one too long for any record is an error before it fills the memory."""
    number = 0
    while line := stream.readline(_FIELD_BYTES):
        number += 1
        if len(line) == _FIELD_BYTES:
            raise InputError(
                f"{problems.name} line {number}: expected text, found a line of more than 16 MiB"
            )
        yield line


def _around(line: bytes, position: int) -> str:
    return repr(line[max(0, position - 10) : position + 10].decode("latin-1"))
