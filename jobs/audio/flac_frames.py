"""The length of a FLAC stream: what its STREAMINFO states, and what the number of its last frame shows.

An encoder that writes to a pipe states no length, and a joined or cut file has another than it states.
"""

from dataclasses import dataclass
from typing import BinaryIO

_STREAM_START = b"fLaC"
_STREAMINFO_BYTES = 34
# A stream's first bytes, with STREAMINFO as the last metadata block or not.
_STREAM_STARTS = tuple(_STREAM_START + bytes((last, 0, 0, _STREAMINFO_BYTES)) for last in (0x00, 0x80))

_SEARCH_BYTES = 1 << 22
_TAIL_BYTES = 1 << 18  # more than one frame of eight channels
_MAX_FRAME_HEADER_BYTES = 16

_BLOCK_SIZES = {
    1: 192,
    **{n: 576 << (n - 2) for n in range(2, 6)},
    **{n: 256 << (n - 8) for n in range(8, 16)},
}


@dataclass(frozen=True)
class StreamLength:
    """Seconds of a stream; None where unknown."""

    stated_s: float | None
    present_s: float | None


def find_streams(file: BinaryIO, start: int, size: int) -> list[tuple[int, int]]:
    """Return (start, end) of each FLAC stream of a file: files that were joined have more than one."""
    starts = [start]
    position = start + 8
    overlap = len(_STREAM_STARTS[0]) - 1
    while position < size:
        file.seek(position)
        data = file.read(_SEARCH_BYTES)
        for magic in _STREAM_STARTS:
            found = data.find(magic)
            while found >= 0:
                starts.append(position + found)
                found = data.find(magic, found + 1)
        position += max(len(data) - overlap, 1) if len(data) == _SEARCH_BYTES else _SEARCH_BYTES
    starts = sorted(set(starts))
    return list(zip(starts, [*starts[1:], size], strict=True))


def stream_length(file: BinaryIO, start: int, end: int) -> StreamLength:
    """Return the length of the stream from byte `start` to `end`."""
    file.seek(start + 8)
    info = file.read(_STREAMINFO_BYTES)
    if len(info) < _STREAMINFO_BYTES:
        return StreamLength(None, None)
    block_size = int.from_bytes(info[:2], "big")
    packed = int.from_bytes(info[10:18], "big")
    sample_rate = packed >> 44
    n_stated = packed & (1 << 36) - 1
    if not sample_rate:
        return StreamLength(None, None)
    n_present = _last_sample(file, max(start, end - _TAIL_BYTES), end, block_size)
    if n_present is None:  # no frame: the rest of the file is something else, and so may be the length
        return StreamLength(None, None)
    return StreamLength(n_stated / sample_rate if n_stated else None, n_present / sample_rate)


def _last_sample(file: BinaryIO, start: int, end: int, block_size: int) -> int | None:
    """Return the number of samples up to the end of the last frame that begins before `end`."""
    file.seek(start)
    tail = file.read(end - start)
    position = len(tail)
    while (position := tail.rfind(b"\xff", 0, position)) >= 0:
        last = _parse_frame_header(tail[position : position + _MAX_FRAME_HEADER_BYTES], block_size)
        if last is not None:
            return last
    return None


def _parse_frame_header(header: bytes, block_size: int) -> int | None:
    """Return the number of samples up to the end of this frame; None if this is no header of a frame."""
    if len(header) < 6 or header[1] & 0xFE != 0xF8 or header[3] & 1:
        return None
    has_sample_number = bool(header[1] & 1)
    block_code = header[2] >> 4
    rate_code = header[2] & 15
    if not block_code or rate_code == 15 or header[3] >> 4 > 10:
        return None
    number, position = _read_coded_number(header, 4)
    samples = _BLOCK_SIZES.get(block_code, 0)
    if block_code in (6, 7):
        n_bytes = block_code - 5
        samples = int.from_bytes(header[position : position + n_bytes], "big") + 1
        position += n_bytes
    position += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if number is None or position >= len(header) or _crc8(header[:position]) != header[position]:
        return None
    return (number if has_sample_number else number * block_size) + samples


def _read_coded_number(header: bytes, position: int) -> tuple[int | None, int]:
    """Return the number coded as in UTF-8 at a position, and the position after it."""
    first = header[position]
    n_following = max(0, 8 - (first ^ 0xFF).bit_length() - 1)
    if first & 0xC0 == 0x80 or position + n_following >= len(header):
        return None, position
    number = first & (0x7F >> n_following if not n_following else 0x3F >> n_following)
    for byte in header[position + 1 : position + 1 + n_following]:
        number = number << 6 | byte & 0x3F
    return number, position + 1 + n_following


def _crc8(data: bytes) -> int:
    """Return the CRC-8 with the polynomial x^8 + x^2 + x + 1."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc
