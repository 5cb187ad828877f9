"""The demo library's table of contents: clip number to style, artist, album, title, path and format."""

import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from jobs.demo.albums import ARTISTS, TRACKS, Album, album
from jobs.demo.styles import STYLES

# Distance between the track numbers of clips in FMA's layout, so that they spread over several folders.
_FMA_STEP = 137

# Bit rates of the MP3 clips, bits/s: mixed, as in a collection that has grown over the years.
_MP3_RATES = (192_000, 256_000, 224_000, 320_000)


@dataclass(frozen=True)
class Clip:
    """One file of the demo library.

    `path` is below the library, `bit_rate` in bits/s, `tone` the player's character from 0 (dark) to 1
    (bright).
    """

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
        """The seed of the music: the names' checksum, so that no clip depends on the number of clips."""
        return zlib.crc32(f"{self.album.artist}/{self.album.title}/{self.title}".encode())


def clip(number: int) -> Clip:
    """Return clip `number`, from 0: the styles take turns, and within a style its artists do."""
    round_number, style_number = divmod(number, len(STYLES))
    style = list(STYLES)[style_number]
    album_round, position = divmod(round_number, ARTISTS * TRACKS)
    track, artist = divmod(position, ARTISTS)
    clip_album = album(style, album_round * ARTISTS + artist)
    bit_rate = _MP3_RATES[(style_number + artist) % len(_MP3_RATES)]
    tone = artist / (ARTISTS - 1)
    return Clip(_path(number, clip_album, track), style, clip_album, track, tone, bit_rate)


def _path(number: int, clip_album: Album, track: int) -> PurePosixPath:
    if clip_album.file_format == "fma":
        name = f"{101 + _FMA_STEP * number:06d}"
        return PurePosixPath(name[:3], f"{name}.mp3")
    name = f"{track + 1:02d} {clip_album.tracks[track]}.{clip_album.file_format}"
    return PurePosixPath(clip_album.artist, clip_album.title, name)
