"""An open history: its bytes, and how its times are read and its rows rejected."""

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import IO

from jobs.plays.listens import INVALID_ROW, InvalidRow, Listen, RejectedRow

Reject = Callable[[RejectedRow], None]

# Opens the file of a name in the same folder, on the disk or in an archive; None if there is none.
OpenBeside = Callable[[str], AbstractContextManager[IO[bytes] | None]]

# Reads one row.
ReadRow = Callable[[], Listen | list[Listen]]

_ENCODINGS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}  # by the byte order mark
_UTF_7_HASH = b"+ACM-"  # "#" before a remark: exports of Libre.fm that were saved so
_SNIFFED_BYTES = 4_096
_MAX_LINE = 2**20


@dataclass(frozen=True)
class Source:
    """An open file of a history."""

    name: str  # in messages
    stream: io.BufferedReader  # at its beginning
    zone: tzinfo  # of times without one, where the form does not say
    now: datetime
    reject: Reject
    open_beside: OpenBeside

    def sniff(self) -> tuple[str, str]:
        """Return the encoding and the beginning of the text, and leave the stream where it is."""
        head = self.stream.peek(_SNIFFED_BYTES)[:_SNIFFED_BYTES]
        encoding = "utf-7" if head.startswith(_UTF_7_HASH) else _ENCODINGS.get(head[:2], "utf-8-sig")
        return encoding, head.decode(encoding, errors="ignore").lstrip()

    def listens(self, row: int, content: str, read: ReadRow) -> Iterator[Listen]:
        """Yield the listens of a row, or reject it."""
        found = listens_or_error(read)
        if isinstance(found, InvalidRow):
            self.reject_row(row, found, content)
        else:
            yield from found

    def reject_row(self, row: int, error: InvalidRow, content: str) -> None:
        """Pass on a row that is not imported."""
        self.reject(RejectedRow(self.name, row, error.reason, error.found, content))


def listens_or_error(read: ReadRow) -> list[Listen] | InvalidRow:
    """Return the listens that a reader makes of a row, or why it has none."""
    try:
        found = read()
    except InvalidRow as error:
        return error
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        return InvalidRow(INVALID_ROW, f"{type(error).__name__}: {error}")
    return found if isinstance(found, list) else [found]


def open_beside(folder: Path) -> OpenBeside:
    """Return what opens the files of a folder."""
    return partial(_open_in, folder)


@contextmanager
def _open_in(folder: Path, name: str) -> Iterator[IO[bytes] | None]:
    try:
        stream = (folder / name).open("rb")
    except OSError:
        yield None
        return
    with stream:
        yield stream


def iter_lines(stream: IO[bytes], encoding: str) -> Iterator[str]:
    """Yield lines that end in \\n, \\r\\n or \\r; a line without an end is cut at a megabyte.

    Bytes that do not decode are lone surrogates.
    """
    errors = "replace" if encoding == "utf-7" else "surrogateescape"  # UTF-7 has errors in ASCII
    text = io.TextIOWrapper(stream, encoding=encoding, errors=errors, newline="")
    try:
        while line := text.readline(_MAX_LINE):
            yield line
    finally:
        with suppress(ValueError):  # closed already: nobody reads to the end
            text.detach()
