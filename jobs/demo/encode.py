"""A clip as a file: encoded by FFmpeg, tagged by mutagen, the same bytes every time.

FFmpeg and its muxers would write dates, versions and random stream numbers; `bitexact` turns that off.
"""

import base64
import functools
import os
import subprocess
from pathlib import Path

import ffmpeg
import numpy as np
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, TALB, TCON, TDRC, TIT2, TPE1, TRCK
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4, MP4Cover
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from jobs.audio import decoding
from jobs.demo.albums import TRACKS
from jobs.demo.clips import Clip
from jobs.demo.covers import SIZE, draw_cover
from jobs.demo.styles import STYLES
from jobs.demo.synth import SAMPLE_RATE
from jobs.errors import StepError
from jobs.runtime.parent_death import kill_on_parent_exit

# By extension: FFmpeg's muxer and its options. MP3 gets the clip's own bit rate.
_FORMATS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp3": ("mp3", {"c:a": "libmp3lame", "compression_level": "7"}),  # a third faster than LAME's default
    ".ogg": ("ogg", {"c:a": "libvorbis", "q:a": "6"}),
    ".opus": ("opus", {"c:a": "libopus", "b:a": "144k"}),
    ".m4a": ("ipod", {"c:a": "aac", "b:a": "192k"}),
    ".flac": ("flac", {"c:a": "flac"}),
    ".wav": ("wav", {"c:a": "pcm_s16le"}),
}

_BITEXACT = {"fflags": "+bitexact", "flags:a": "+bitexact", "map_metadata": "-1", "threads": "1"}

_FRONT_COVER = 3


def encode_clip(stereo: np.ndarray, clip: Clip, target: Path) -> None:
    """Write a clip in its format, with its tags and its cover.

    Parameters
    ----------
    stereo
        Samples, float32 (2, n), -1 to 1.
    clip
        Gives the tags, and by the extension of its path the format.
    target
        The file to write, whatever its name.

    Raises
    ------
    StepError
        FFmpeg fails or takes too long.
    """
    extension = clip.path.suffix
    _encode(stereo, target, extension, clip)
    cover = draw_cover(clip.style, clip.album.artist, clip.album.title)
    if extension in (".mp3", ".wav"):
        _tag_id3(MP3(target) if extension == ".mp3" else WAVE(target), clip, cover)
    elif extension == ".m4a":
        _tag_mp4(MP4(target), clip, cover)
    else:
        file_type = {".flac": FLAC, ".ogg": OggVorbis, ".opus": OggOpus}[extension]
        _tag_vorbis(file_type(target), clip, cover)


def _encode(stereo: np.ndarray, target: Path, extension: str, clip: Clip) -> None:
    muxer, options = _FORMATS[extension]
    if extension == ".mp3":
        options = {**options, "b:a": str(clip.bit_rate)}
    if clip.recording.sample_rate != SAMPLE_RATE:
        options = {**options, "ar": str(clip.recording.sample_rate)}
    if clip.recording.channels != 2:
        options = {**options, "ac": str(clip.recording.channels)}
    source = ffmpeg.input("pipe:0", f="s16le", ar=SAMPLE_RATE, ac=2)
    output = ffmpeg.output(source, f"file:{target}", f=muxer, **options, **_BITEXACT).global_args(
        "-v", "error"
    )
    command = output.overwrite_output().compile(cmd=decoding.ffmpeg_path())
    samples = np.round(stereo.T * 32767).astype("<i2").tobytes()
    try:
        subprocess.run(
            command, input=samples, check=True, stderr=subprocess.PIPE, timeout=decoding.FFMPEG_LIMIT_S,
            preexec_fn=functools.partial(kill_on_parent_exit, os.getpid()),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StepError(
            f"expected FFmpeg to finish within {decoding.FFMPEG_LIMIT_S:.0f} s, found it still running"
        ) from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise StepError(f"expected FFmpeg to write {target}, found: {lines[0]}") from error


def _tag_id3(file: MP3 | WAVE, clip: Clip, cover: bytes) -> None:
    if file.tags is None:
        file.add_tags()
    for frame, value in (
        (TIT2, clip.title),
        (TPE1, clip.album.artist),
        (TALB, clip.album.title),
        (TCON, STYLES[clip.style].genre),
        (TDRC, str(clip.album.year)),
        (TRCK, f"{clip.track + 1}/{TRACKS}"),
    ):
        file.tags.add(frame(encoding=3, text=value))
    file.tags.add(APIC(encoding=3, mime="image/jpeg", type=_FRONT_COVER, desc="", data=cover))
    file.save()


def _tag_mp4(file: MP4, clip: Clip, cover: bytes) -> None:
    file["\xa9nam"] = clip.title
    file["\xa9ART"] = clip.album.artist
    file["\xa9alb"] = clip.album.title
    file["\xa9gen"] = STYLES[clip.style].genre
    file["\xa9day"] = str(clip.album.year)
    file["trkn"] = [(clip.track + 1, TRACKS)]
    file["covr"] = [MP4Cover(cover, MP4Cover.FORMAT_JPEG)]
    file.save()


def _tag_vorbis(file: FLAC | OggVorbis | OggOpus, clip: Clip, cover: bytes) -> None:
    file.update(
        title=clip.title,
        artist=clip.album.artist,
        album=clip.album.title,
        genre=STYLES[clip.style].genre,
        date=str(clip.album.year),
        tracknumber=str(clip.track + 1),
    )
    picture = Picture()
    picture.data = cover
    picture.type = _FRONT_COVER
    picture.mime = "image/jpeg"
    picture.width = SIZE
    picture.height = SIZE
    picture.depth = 24
    if isinstance(file, FLAC):
        file.add_picture(picture)
    else:  # Ogg has no picture block: the picture is a comment in base 64
        file["metadata_block_picture"] = base64.b64encode(picture.write()).decode("ascii")
    file.save()
