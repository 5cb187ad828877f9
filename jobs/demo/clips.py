"""The demo library's table of contents: clip number to style, artist, album, title, path and format."""

import zlib
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import numpy as np

from jobs.demo.albums import ARTISTS, TRACKS, Album, album
from jobs.demo.styles import STYLES
from jobs.demo.variation import (
    PLAIN_CLIPS,
    PLAIN_RECORDING,
    Recording,
    Variation,
    draw_recording,
    draw_variation,
)

# Distance between the track numbers of clips in FMA's layout, so that they spread over several folders.
_FMA_STEP = 137

# Bit rates of the MP3 clips, bits/s: mixed, as in a collection that has grown over the years.
_MP3_RATES = (192_000, 256_000, 224_000, 320_000)
# The highest bit rate of an MP3 of 22,050 Hz (MPEG-2 Layer III).
_MAX_LOW_RATE = 160_000
# The sample rate of Opus, which has no 44,100 Hz.
_OPUS_SAMPLE_RATE = 48_000


@dataclass(frozen=True)
class Clip:
    """One file of the demo library.

    `path` is below the library, `bit_rate` in bits/s, `tone` the player's character from 0 (dark) to 1
    (bright). `variation` and `recording` are plain in the default library.
    """

    path: PurePosixPath
    style: str
    album: Album
    track: int
    tone: float
    bit_rate: int
    variation: Variation = Variation()
    recording: Recording = PLAIN_RECORDING

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
    path = _path(number, clip_album, track)
    plain = Clip(path, style, clip_album, track, tone, bit_rate)
    return plain if number < PLAIN_CLIPS else _vary(plain)


def _vary(plain: Clip) -> Clip:
    """Return the clip with a variation of its own, and its album's recording."""
    album_seed = zlib.crc32(f"{plain.album.artist}/{plain.album.title}".encode())
    recording = draw_recording(np.random.default_rng(album_seed))
    bit_rate = plain.bit_rate
    if plain.path.suffix == ".opus":
        recording = replace(recording, sample_rate=_OPUS_SAMPLE_RATE)
    elif recording.sample_rate < 32_000:
        bit_rate = min(bit_rate, _MAX_LOW_RATE)
    variation = draw_variation(np.random.default_rng(plain.seed), plain.style)
    return replace(plain, bit_rate=bit_rate, variation=variation, recording=recording)


def _path(number: int, clip_album: Album, track: int) -> PurePosixPath:
    if clip_album.file_format == "fma":
        name = f"{101 + _FMA_STEP * number:06d}"
        return PurePosixPath(name[:3], f"{name}.mp3")
    name = f"{track + 1:02d} {clip_album.tracks[track]}.{clip_album.file_format}"
    return PurePosixPath(clip_album.artist, clip_album.title, name)
