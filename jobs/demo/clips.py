"""The demo library's table of contents: clip number to style, artist, album, title, place and format."""

import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from jobs.demo.albums import ARTISTS, TRACKS, Album, album
from jobs.demo.styles import STYLES

# Steps between the numbers of clips in FMA's layout: they spread over several folders, as the archive's do.
_FMA_STEP = 137

# The MP3 rates of a collection that grew over the years, bits/s.
_MP3_RATES = (192_000, 256_000, 224_000, 320_000)


@dataclass(frozen=True)
class Clip:
    """One file of the demo library, described down to the seed: `path` below the library, `bit_rate` in bits/s."""

    path: PurePosixPath
    style: str
    album: Album
    track: int
    tone: float
    bit_rate: int

    @property
    def title(self) -> str:
        """The track's title."""
        return self.album.tracks[self.track]

    @property
    def seed(self) -> int:
        """The seed of what is played: the names' checksum, so that no clip depends on how many there are."""
        return zlib.crc32(f"{self.album.artist}/{self.album.title}/{self.title}".encode())


def clip(number: int) -> Clip:
    """Return clip `number`, from 0: the styles take turns, and in each the artists do."""
    turn, style_number = divmod(number, len(STYLES))
    style = list(STYLES)[style_number]
    serial, place = divmod(turn, ARTISTS * TRACKS)
    track, artist = divmod(place, ARTISTS)
    record = album(style, serial * ARTISTS + artist)
    rate = _MP3_RATES[(style_number + artist) % len(_MP3_RATES)]
    return Clip(_path(number, record, track), style, record, track, artist / (ARTISTS - 1), rate)


def _path(number: int, record: Album, track: int) -> PurePosixPath:
    if record.form == "fma":
        name = f"{101 + _FMA_STEP * number:06d}"
        return PurePosixPath(name[:3], f"{name}.mp3")
    return PurePosixPath(record.artist, record.title, f"{track + 1:02d} {record.tracks[track]}.{record.form}")
