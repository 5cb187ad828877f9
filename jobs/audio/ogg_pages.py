"""Walk over the pages of an Ogg file: its links, their codecs and durations, whether the last page is cut.

A chained Ogg is several streams one after the other, as recorders of internet radio write it; each has its
own codec parameters. Durations are in seconds, positions in bytes.
"""

import os
import struct
from dataclasses import dataclass, field
from typing import BinaryIO

# An Ogg page: the size of its fixed header (a table with one byte per segment follows), and its largest size.
HEADER_BYTES = 27
_MAX_PAGE_BYTES = 65_307

_BEGINS_STREAM = 2
_NO_GRANULE = 2**64 - 1

# Granule positions of a recording may begin anywhere: from this many seconds on it did not begin at 0.
_MAX_FIRST_GRANULE_S = 3.0


@dataclass
class Link:
    """One stream of a chain; `codec` is vorbis, opus, flac, speex, or "" if it has no such audio."""

    start: int
    end: int = 0
    codec: str = ""
    serial: int = -1  # of the stream with the audio
    sample_rate: int = 0  # hertz
    delay: int = 0  # samples at the beginning that are not played
    first_granule: int = -1
    last_granule: int = -1

    @property
    def duration_s(self) -> float | None:
        """Seconds of audio by the granule positions; None if no page has one."""
        if self.last_granule < 0 or not self.sample_rate:
            return None
        first = (
            self.first_granule if self.first_granule > _MAX_FIRST_GRANULE_S * self.sample_rate else self.delay
        )
        return max(0, self.last_granule - first) / self.sample_rate


@dataclass
class Chain:
    """The links of a file."""

    links: list[Link] = field(default_factory=list)
    is_cut: bool = False  # whether the file ends inside a page


def read_chain(file: BinaryIO, start: int) -> Chain:
    """Return the links of an open Ogg file from byte `start` on."""
    chain = Chain()
    size = file.seek(0, os.SEEK_END)
    position = start
    in_headers = False  # pages that begin a link's streams come first, one after the other
    while position < size:
        file.seek(position)
        header = file.read(HEADER_BYTES + 255)
        if not header.startswith(b"OggS"):
            position = _find_page(file, position + 1, size)
            continue
        page_bytes = page_size(header)
        if position + page_bytes > size:
            chain.is_cut = True
            break
        begins = bool(header[5] & _BEGINS_STREAM)
        if begins and not in_headers:
            chain.links.append(Link(position))
        in_headers = begins
        if chain.links:
            _add_page(chain.links[-1], file, position, header, begins=begins)
            chain.links[-1].end = position + page_bytes
        position += page_bytes
    return chain


def page_size(page: bytes) -> int:
    """Return the size in bytes of the Ogg page that begins here.

    Of a page cut in its header, a lower bound.
    """
    if len(page) < HEADER_BYTES:
        return HEADER_BYTES
    n_segments = page[HEADER_BYTES - 1]
    segment_sizes = page[HEADER_BYTES : HEADER_BYTES + n_segments]
    return HEADER_BYTES + n_segments + sum(segment_sizes)


def _find_page(file: BinaryIO, position: int, size: int) -> int:
    """Return the position of the next page from here on, or `size`."""
    while position < size:
        file.seek(position)
        data = file.read(2 * _MAX_PAGE_BYTES)
        found = data.find(b"OggS")
        if found >= 0:
            return position + found
        position += max(1, len(data) - 3)
    return size


def _add_page(link: Link, file: BinaryIO, position: int, header: bytes, *, begins: bool) -> None:
    """Add what a page states about the link's audio."""
    granule, serial = struct.unpack_from("<QI", header, 6)
    if begins and not link.codec:
        file.seek(position + HEADER_BYTES + header[HEADER_BYTES - 1])
        link.codec, link.sample_rate, link.delay = _read_codec(file.read(64))
        link.serial = serial
    elif serial == link.serial and granule not in (0, _NO_GRANULE):
        if link.first_granule < 0:
            link.first_granule = granule
        link.last_granule = granule


def _read_codec(packet: bytes) -> tuple[str, int, int]:
    """Return codec, sample rate of the granule positions (hertz) and delay (samples) of a first packet."""
    if packet.startswith(b"\x01vorbis"):
        return "vorbis", int.from_bytes(packet[12:16], "little"), 0
    if packet.startswith(b"OpusHead"):
        return "opus", 48_000, int.from_bytes(packet[10:12], "little")
    if packet.startswith(b"\x7fFLAC"):
        return "flac", int.from_bytes(packet[27:30], "big") >> 4, 0
    if packet.startswith(b"Speex   "):
        return "speex", int.from_bytes(packet[36:40], "little"), 0
    return "", 0, 0
