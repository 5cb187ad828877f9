"""What a file's own structure states: its format by content, its length, whether it is whole.

Nothing is decoded: headers, pages and frames are read as far as they cost about a millisecond for a clip of
half a minute. `decoding` compares this with what the decoders find. Durations are in seconds, positions in
bytes.
"""

import functools
import os
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from jobs.audio import flac_frames, mpeg_frames, ogg_pages

# Writers to a pipe put a size from here on into a WAV header, meaning "unknown".
_WAV_UNKNOWN_BYTES = 0x7FFF_0000

# WAV's codes of encodings with a fixed number of bytes per sample: PCM, float, A-law, mu-law.
_WAV_FIXED_SIZE_CODES = frozenset((1, 3, 6, 7))
_WAV_EXTENSIBLE = 0xFFFE

_ID3_HEADER_BYTES = 10


@dataclass(frozen=True)
class Structure:
    """What the structure of a file states; None where it states nothing."""

    # mp3, aac, flac, wav, mp4, ogg-vorbis, ogg-opus, ogg-flac, ogg-speex, ogg, or "" for others.
    format: str = ""
    duration_s: float | None = None  # of the audio that is in the file
    stated_s: float | None = None  # by the header
    is_cut: bool = False  # whether the file ends inside a page, or a frame that no header counts
    present_fraction: float = 1.0  # of the bytes that the header states
    # (start, end) of each of several streams that follow one another; empty for the usual one.
    links: tuple[tuple[int, int], ...] = field(default=())
    has_fixed_size: bool = True  # False for a WAV with a codec inside, whose length libsndfile estimates


def inspect(path: str) -> Structure:
    """Return what the structure of a file states.

    Raises OSError if it cannot be read.
    """
    status = os.stat(path)
    return _inspect(path, status.st_size, status.st_mtime_ns, status.st_ino)


@functools.lru_cache(maxsize=4)  # header, decoder and tags of one file are read in turn
def _inspect(path: str, size: int, _mtime_ns: int, _inode: int) -> Structure:
    with open(path, "rb") as file:
        start = skip_id3(file)
        file.seek(start)
        magic = file.read(12)
        if magic.startswith(b"fLaC"):
            return _inspect_flac(file, start, size)
        if magic.startswith(b"OggS"):
            return _inspect_ogg(file, start)
        if magic[:4] in (b"RIFF", b"RF64", b"BW64") and magic[8:] == b"WAVE":
            return _inspect_wav(file, start, size)
        if magic[4:8] == b"ftyp":
            return Structure("mp4", present_fraction=_mp4_fraction(file, start, size))
        walk = mpeg_frames.walk_frames(file, start)
    if walk is None:
        return Structure()
    return Structure(
        walk.format, walk.duration_s, walk.stated_s, is_cut=walk.is_cut and walk.stated_s is None
    )


def skip_id3(file: BinaryIO) -> int:
    """Return the position after the ID3v2 tags that a file begins with, whatever follows them."""
    position = 0
    while True:
        file.seek(position)
        header = file.read(_ID3_HEADER_BYTES)
        size = header[6:10]
        # A size with bytes from 128 on is no tag that any reader agrees on: the frames are searched for.
        if len(header) < _ID3_HEADER_BYTES or not header.startswith(b"ID3") or max(size) > 127:
            return position
        has_footer = bool(header[5] & 0x10)
        position += _ID3_HEADER_BYTES * (1 + has_footer)
        position += size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3]


def _inspect_flac(file: BinaryIO, start: int, size: int) -> Structure:
    links = flac_frames.find_streams(file, start, size)
    lengths = [flac_frames.stream_length(file, *link) for link in links]
    stated = [length.stated_s for length in lengths]
    present = [length.present_s for length in lengths]
    return Structure(
        "flac",
        duration_s=_sum_known(present),
        stated_s=_sum_known(stated),
        links=tuple(links) if len(links) > 1 else (),
    )


def _inspect_ogg(file: BinaryIO, start: int) -> Structure:
    chain = ogg_pages.read_chain(file, start)
    links = tuple((link.start, link.end) for link in chain.links)
    codecs = {link.codec for link in chain.links if link.codec}
    codec = chain.links[0].codec if chain.links else ""
    return Structure(
        f"ogg-{codec}" if codec else "ogg",
        duration_s=_sum_known([link.duration_s for link in chain.links if link.codec]) if codecs else None,
        is_cut=chain.is_cut,
        links=links if len(links) > 1 else (),
    )


def _sum_known(durations: list[float | None]) -> float | None:
    known = [duration for duration in durations if duration is not None]
    return sum(known) if known and len(known) == len(durations) else None


def _inspect_wav(file: BinaryIO, start: int, size: int) -> Structure:
    """Return the structure of a WAV, with the 64-bit sizes of RF64, up to its `data` chunk."""
    position = start + 12
    bytes_per_s = 0
    large_size = None
    is_fixed = True
    while position + 8 <= size:
        file.seek(position)
        name, chunk_bytes = struct.unpack("<4sI", file.read(8))
        if name == b"ds64":
            large_size = int.from_bytes(file.read(16)[8:], "little")
        elif name == b"fmt ":
            bytes_per_s, is_fixed = _read_wav_format(file.read(min(chunk_bytes, 40)))
        elif name == b"data":
            stated = large_size if chunk_bytes == 0xFFFF_FFFF and large_size else chunk_bytes
            return _measure_wav(stated, size - position - 8, bytes_per_s, is_fixed=is_fixed)
        position += 8 + chunk_bytes + chunk_bytes % 2
    return Structure("wav", has_fixed_size=is_fixed)


def _read_wav_format(fmt: bytes) -> tuple[int, bool]:
    """Return the bytes per second, and whether each sample has the same number of bytes."""
    if len(fmt) < 16:
        return 0, False
    code, _, sample_rate, _, frame_bytes, _ = struct.unpack("<HHIIHH", fmt[:16])
    if code == _WAV_EXTENSIBLE and len(fmt) >= 26:
        code = int.from_bytes(fmt[24:26], "little")
    return sample_rate * frame_bytes, code in _WAV_FIXED_SIZE_CODES


def _measure_wav(stated_bytes: int, present_bytes: int, bytes_per_s: int, *, is_fixed: bool) -> Structure:
    # A recorder that was not closed leaves 0, a pipe the largest number.
    is_unknown = stated_bytes == 0 or stated_bytes >= _WAV_UNKNOWN_BYTES > present_bytes
    if not bytes_per_s or not is_fixed:
        fraction = 1.0 if is_unknown else min(1.0, present_bytes / stated_bytes)
        return Structure("wav", present_fraction=fraction, has_fixed_size=is_fixed)
    if is_unknown:
        return Structure("wav", duration_s=present_bytes / bytes_per_s)
    return Structure(
        "wav",
        duration_s=min(stated_bytes, present_bytes) / bytes_per_s,
        stated_s=stated_bytes / bytes_per_s,
    )


def _mp4_fraction(file: BinaryIO, start: int, size: int) -> float:
    """Return the fraction of the media data (`mdat` boxes) of an MP4 that is in the file."""
    position = start
    stated = 0
    missing = 0
    while position + 8 <= size:
        file.seek(position)
        box_bytes, name = struct.unpack(">I4s", file.read(8))
        if box_bytes == 1:
            box_bytes = int.from_bytes(file.read(8), "big")
        if box_bytes < 8:  # 0: up to the end of the file
            break
        if name == b"mdat":
            stated += box_bytes
            missing += max(0, position + box_bytes - size)
        position += box_bytes
    return 1 - missing / stated if stated else 1.0
