"""Read the rows of a JSON file a piece at a time, and go on after a row that is no JSON.

One reader for the forms in which services write rows: an array, one object a line, objects one after the
other, and an array within an object or in pages of it, as {"user": "rob", "scrobbles": [...]}.
"""

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

# Bytes that are read at once, and characters of a row that does not end.
_PIECE = 65_536
_MAX_ROW = 2**20
# Blanks between two rows.
_MAX_GAP = 256

# An object that holds rows: scalars and flat objects, then an array by one of these names.
_SCALAR = r'(?:"(?:[^"\\]|\\.)*"|[-+.\w]+|\{[^{}\[\]]*\})'
_CONTAINER = re.compile(
    rf'\{{\s*(?:"[^"\\]*"\s*:\s*{_SCALAR}\s*,\s*)*'
    r'(?:"(?:scrobbles|listens|list|track|payload)"\s*:\s*(?=\[)|"(?:recenttracks|payload)"\s*:\s*(?=\{))'
)
# A member of such an object that stands after the array: a name, to be left out with its value.
_MEMBER = re.compile(r'"[^"\\]*"\s*:\s*')
_ROWS_MEMBER = re.compile(r'"(?:scrobbles|listens|list|track|payload)"\s*:\s*(?=\[)')
_BETWEEN = re.compile(r"[\s,\[\]}]*")
_NEXT_ROW = re.compile(r"\n\s*(?=\{)|\}\s*,\s*(?=\{)")

_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class JsonRow:
    """One row: its number from 1, its value, its text, and the error if it is no JSON."""

    number: int
    value: Any
    text: str
    error: str | None = None


class _Text:
    """The text that was read and not used yet; bytes that do not decode are lone surrogates."""

    def __init__(self, stream: IO[bytes], encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="surrogateescape")
        self.text = ""
        self.position = 0
        self.is_at_end = False

    def read_more(self) -> None:
        """Append another piece, without the text that was used."""
        piece = self._stream.read(_PIECE)
        self.is_at_end = not piece
        self.text = self.text[self.position :] + self._decoder.decode(piece, final=not piece)
        self.position = 0

    def match(self, pattern: re.Pattern[str]) -> str:
        """Use what the pattern matches here, and return it; "" for nothing."""
        found = pattern.match(self.text, self.position)
        if found is None:
            return ""
        self.position = found.end()
        return found[0]

    @property
    def left(self) -> int:
        """The number of characters that were not used."""
        return len(self.text) - self.position


def iter_json_rows(stream: IO[bytes], encoding: str = "utf-8-sig") -> Iterator[JsonRow]:
    """Yield the rows of a binary stream; a row that is no JSON, or a missing end, has an error."""
    source = _Text(stream, encoding)
    number = 0
    depth = 0
    last: JsonRow | None = None
    while True:
        between = source.match(_BETWEEN)
        depth += between.count("[") - between.count("]")
        if source.left < _PIECE and not source.is_at_end:
            source.read_more()
            continue
        if not source.left:
            break
        if source.match(_CONTAINER) or source.match(_ROWS_MEMBER):
            continue
        is_member = bool(source.match(_MEMBER))
        row = _read_row(source, number + 1)
        if is_member:
            continue
        number += 1
        last = row
        yield row
    if depth > 0 and (last is None or last.error is None):
        yield JsonRow(number + 1, None, "", "expected the end of the array, found the end of the file")


def _read_row(source: _Text, number: int) -> JsonRow:
    while True:
        try:
            value, end = _DECODER.raw_decode(source.text, source.position)
        except (ValueError, RecursionError) as error:
            if _may_continue(source, error):
                source.read_more()
                continue
            return _skip_row(source, number, str(error))
        text = source.text[source.position : end]
        source.position = end
        return JsonRow(number, value, text)


def _may_continue(source: _Text, error: Exception) -> bool:
    """Return whether the row may only be incomplete: the error lies at the end of what was read."""
    if source.is_at_end or source.left > _MAX_ROW or not isinstance(error, json.JSONDecodeError):
        return False
    return error.pos >= len(source.text) - 8 or error.msg.startswith("Unterminated")


def _skip_row(source: _Text, number: int, error: str) -> JsonRow:
    """Return a row that is no JSON; the next one begins at a line, or after a comma."""
    content = source.text[source.position : source.position + 1]  # "" after a member's name at the end
    source.position += 1
    while True:
        found = _NEXT_ROW.search(source.text, source.position)
        is_last = found is None and source.is_at_end
        # The last characters may be the beginning of a match.
        end = found.start() + 1 if found else len(source.text) - (0 if is_last else _MAX_GAP)
        content += source.text[source.position : max(end, source.position)][: _MAX_ROW - len(content)]
        source.position = found.end() if found else max(end, source.position)
        if found or is_last:
            return JsonRow(number, None, content.strip(), error)
        source.read_more()
