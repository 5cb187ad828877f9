"""Hash a file, and of it the audio alone: when tags, pictures or padding change, the second hash stays.

mp3, aac and others    without ID3v2 before and ID3v1, ID3v2, APE and Lyrics3 tags after the frames
flac                   the frames after the metadata blocks
ogg                    the packets of every stream, without pages' headers and comments
mp4                    the media data (`mdat` boxes)
wav, aiff, caf, wma …  the chunks with format and samples
mka                    the whole file

Nothing is decoded. Positions are in bytes.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from jobs.audio import containers, ogg_pages

_CHUNK_BYTES = 1 << 20

_ID3V1_BYTES = 128
_APE_FOOTER_BYTES = 32
_ID3_FOOTER_BYTES = 10
_LYRICS_END = b"LYRICS200"
_LYRICS_SIZE_BYTES = 6

# FLAC's metadata blocks in Ogg begin with their type; a frame begins with 0xFF.
_FLAC_FRAME = b"\xff"

Range = tuple[int, int]  # start, end


@dataclass(frozen=True)
class _ChunkLayout:
    """How the chunks of a format lie in a file."""

    first: int  # position of the first chunk
    sound: frozenset[bytes]  # beginnings of the names of those that make the sound: others are tags
    name_bytes: int = 4
    size_bytes: int = 4
    byte_order: Literal["little", "big"] = "little"
    counts_header: bool = False  # whether the size of a chunk is that of name and size, too
    alignment: int = 2


# By the file's first bytes.
_CHUNK_LAYOUTS = {
    **dict.fromkeys((b"RIFF", b"RF64", b"BW64"), _ChunkLayout(12, frozenset((b"fmt ", b"data")))),
    b"FORM": _ChunkLayout(12, frozenset((b"COMM", b"SSND")), byte_order="big"),
    b"riff": _ChunkLayout(40, frozenset((b"fmt ", b"data")), 16, 8, counts_header=True, alignment=8),  # W64
    b"caff": _ChunkLayout(8, frozenset((b"desc", b"data", b"pakt")), 4, 8, "big", alignment=1),
    b"DSD ": _ChunkLayout(28, frozenset((b"fmt ", b"data")), 4, 8, counts_header=True, alignment=1),  # DSF
    b"FRM8": _ChunkLayout(16, frozenset((b"DSD ", b"DST ")), 4, 8, "big"),  # DSDIFF
    b"\x30\x26\xb2\x75": _ChunkLayout(  # WMA: objects with GUIDs
        0, frozenset((b"\x36\x26\xb2\x75",)), 16, 8, counts_header=True, alignment=1
    ),
}


@dataclass(frozen=True)
class FileHashes:
    """SHA-256 in hex."""

    file_hash: str  # of all bytes
    audio_hash: str  # of the audio alone; of all bytes if no audio is recognized


def hash_file(path: str) -> FileHashes:
    """Return both hashes of a file, from one read.

    Raises OSError if it cannot be read.
    """
    whole = hashlib.sha256()
    audio = hashlib.sha256()
    with open(path, "rb") as file:
        ranges = audio_ranges(file)
        file.seek(0)
        position = 0
        pending = iter(ranges)
        start, end = next(pending, (-1, -1))
        while data := file.read(_CHUNK_BYTES):
            whole.update(data)
            view = memoryview(data)
            while start >= 0 and start < position + len(data):
                audio.update(view[max(0, start - position) : max(0, end - position)])
                if end > position + len(data):
                    break
                start, end = next(pending, (-1, -1))
            position += len(data)
    return FileHashes(whole.hexdigest(), audio.hexdigest() if ranges else whole.hexdigest())


def audio_ranges(file: BinaryIO) -> list[Range]:
    """Return where the audio of an open file lies, in order; an empty list if none is recognized."""
    size = file.seek(0, os.SEEK_END)
    start = containers.skip_id3(file)
    file.seek(start)
    magic = file.read(12)
    if magic.startswith(b"OggS"):
        ranges = list(_ogg_ranges(file, start, size))
    elif magic[:4] in _CHUNK_LAYOUTS:
        layout = _CHUNK_LAYOUTS[magic[:4]]
        ranges = list(_chunk_ranges(file, start, size, layout))
    elif magic[4:8] == b"ftyp":
        ranges = list(_mp4_ranges(file, start, size))
    else:
        if magic.startswith(b"fLaC"):
            start = _flac_frames(file, start, size)
        else:
            start = _skip_zeros(file, start, size)
        ranges = [(start, _before_tags(file, start, size))]
    return [(first, last) for first, last in ranges if first < last]


def _skip_zeros(file: BinaryIO, start: int, size: int) -> int:
    """Return the position of the first byte that is not zero: some taggers leave padding after their tag."""
    position = start
    while position < size:
        file.seek(position)
        data = file.read(_CHUNK_BYTES)
        rest = data.lstrip(b"\0")
        if rest or not data:
            return position + len(data) - len(rest)
        position += len(data)
    return start


def _before_tags(file: BinaryIO, start: int, size: int) -> int:
    """Return the position where the tags at the end of a file begin, in whatever order they are."""
    end = size
    while True:
        tag_bytes = _last_tag_bytes(file, end)
        if not tag_bytes or end - tag_bytes < start:
            return end
        end -= tag_bytes


def _last_tag_bytes(file: BinaryIO, end: int) -> int:
    """Return the size of the tag that ends at a position, 0 if none does."""
    tail_bytes = min(end, _ID3V1_BYTES)
    file.seek(end - tail_bytes)
    tail = file.read(tail_bytes)
    if len(tail) == _ID3V1_BYTES and tail.startswith(b"TAG"):
        return _ID3V1_BYTES
    footer = tail[-_APE_FOOTER_BYTES:]
    if footer.startswith(b"APETAGEX"):
        has_header = bool(int.from_bytes(footer[20:24], "little") & 1 << 31)
        return int.from_bytes(footer[12:16], "little") + _APE_FOOTER_BYTES * has_header
    footer = tail[-_ID3_FOOTER_BYTES:]
    if footer.startswith(b"3DI") and max(footer[6:10]) < 128:
        size = footer[6] << 21 | footer[7] << 14 | footer[8] << 7 | footer[9]
        return size + 2 * _ID3_FOOTER_BYTES
    if tail.endswith(_LYRICS_END):
        digits = tail[-len(_LYRICS_END) - _LYRICS_SIZE_BYTES : -len(_LYRICS_END)]
        if digits.isdigit():
            return int(digits) + _LYRICS_SIZE_BYTES + len(_LYRICS_END)
    return 0


def _flac_frames(file: BinaryIO, start: int, size: int) -> int:
    """Return the position after a FLAC stream's metadata blocks."""
    position = start + 4
    while position + 4 <= size:
        file.seek(position)
        header = file.read(4)
        position += 4 + int.from_bytes(header[1:], "big")
        if header[0] & 0x80:  # the last block
            return position
    return start


def _chunk_ranges(file: BinaryIO, start: int, size: int, layout: _ChunkLayout) -> Iterator[Range]:
    """Yield the sound chunks of a file that is a list of chunks."""
    header_bytes = layout.name_bytes + layout.size_bytes
    unknown = 256**layout.size_bytes - 1
    position = start + layout.first
    large_bytes = 0
    while position + header_bytes <= size:
        file.seek(position)
        header = file.read(header_bytes)
        content = position + header_bytes
        n_bytes = int.from_bytes(header[layout.name_bytes :], layout.byte_order)
        if header[:4] == b"ds64":  # RF64
            large_bytes = int.from_bytes(file.read(16)[8:], "little")
        if layout.counts_header:
            n_bytes -= header_bytes
        elif header[:4] == b"data" and n_bytes in (0, unknown):  # a recorder that was not closed
            n_bytes = large_bytes or size - content
        if n_bytes < 0:
            return
        if header[:4] in layout.sound:
            yield content, min(content + n_bytes, size)
        position = content + n_bytes
        position += -(position - start) % layout.alignment


def _mp4_ranges(file: BinaryIO, start: int, size: int) -> Iterator[Range]:
    """Yield the contents of an MP4's `mdat` boxes."""
    position = start
    while position + 8 <= size:
        file.seek(position)
        header = file.read(16)
        n_bytes = int.from_bytes(header[:4], "big")
        header_bytes = 8
        if n_bytes == 1:
            n_bytes = int.from_bytes(header[8:], "big")
            header_bytes = 16
        elif n_bytes == 0:  # up to the end of the file
            n_bytes = size - position
        if n_bytes < header_bytes:
            return
        if header[4:8] == b"mdat":
            yield position + header_bytes, min(position + n_bytes, size)
        position += n_bytes


@dataclass
class _OggStream:
    """How far the headers of one logical stream have been read."""

    is_flac: bool
    packet: int = 0  # number of the packet that is being read, from 0
    in_comments: bool = False
    is_audio: bool = False  # whether all that follows is audio


def _ogg_ranges(file: BinaryIO, start: int, size: int) -> Iterator[Range]:
    """Yield the packets of an Ogg file without comments: a comment that grows moves all pages."""
    streams: dict[bytes, _OggStream] = {}
    position = start
    while position < size:
        file.seek(position)
        header = file.read(ogg_pages.HEADER_BYTES + 255)
        if not header.startswith(b"OggS") or len(header) < ogg_pages.HEADER_BYTES:
            yield position, size  # damage: the rest as it is
            return
        n_segments = header[ogg_pages.HEADER_BYTES - 1]
        segments = header[ogg_pages.HEADER_BYTES : ogg_pages.HEADER_BYTES + n_segments]
        payload = position + ogg_pages.HEADER_BYTES + n_segments
        end = payload + sum(segments)
        file.seek(payload)
        if header[5] & 2:  # a stream begins
            streams[header[14:18]] = _OggStream(is_flac=file.read(5) == b"\x7fFLAC")
        stream = streams.get(header[14:18])
        if stream is None or stream.is_audio:
            yield payload, min(end, size)
        else:
            file.seek(payload)
            yield from _header_ranges(stream, segments, payload, file.read(end - payload))
        position = end


def _header_ranges(stream: _OggStream, segments: bytes, payload: int, content: bytes) -> Iterator[Range]:
    """Yield the ranges of one page among a stream's first ones, without comments."""
    offset = 0
    for segment in segments:
        if stream.packet and not stream.in_comments and not stream.is_audio:  # a packet begins
            is_frame = content[offset : offset + 1] == _FLAC_FRAME
            stream.is_audio = is_frame if stream.is_flac else stream.packet > 1
            stream.in_comments = not stream.is_audio
        if not stream.in_comments:
            yield payload + offset, payload + offset + segment
        offset += segment
        if segment < 255:
            stream.packet += 1
            stream.in_comments = False
