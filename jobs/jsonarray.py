"""A JSON array of objects that may be larger than memory, object by object."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

# Characters read at once; an object may be larger.
_PIECE = 1 << 20

_BETWEEN = re.compile(r"[\s,]*")


def objects(text: TextIO) -> Iterator[Any]:
    """Yield the objects of an array; ValueError where it is none, is broken or ends too early."""
    decoder, buffer = json.JSONDecoder(), text.read(_PIECE)
    begin = re.match(r"\s*\[", buffer)
    if begin is None:
        raise ValueError("no JSON array")
    place = begin.end()
    while True:
        place = _BETWEEN.match(buffer, place).end()  # type: ignore[union-attr]
        if buffer[place : place + 1] == "]":
            return
        try:
            found, place = decoder.raw_decode(buffer, place)
        except ValueError:
            piece = text.read(_PIECE)
            if not piece:
                raise
            buffer, place = buffer[place:] + piece, 0
        else:
            yield found
