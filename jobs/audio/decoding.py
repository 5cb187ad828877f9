"""Read an audio file's header, and decode its samples block by block.

Conventions: samples are float32, mono (the mean of the channels), about -1 to 1, at the file's own sample
rate in hertz; durations in seconds, bit rates in bits per second. A file that cannot be used raises
UnusableFile with a one-line reason.
"""

import codecs
import functools
import os
import select
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import mutagen
import numpy as np
import soundfile
from mutagen.aac import AAC
from mutagen.mp3 import MP3, BitrateMode
from mutagen.ogg import OggFileType
from mutagen.wave import WAVE

from jobs.errors import UnusableFile
from jobs.runtime.parent_death import kill_on_parent_exit

# Files with these extensions are processed; all others in a library are counted and skipped.
EXTENSIONS = frozenset((".mp3", ".ogg", ".opus", ".flac", ".wav", ".m4a", ".aac"))

# Frames per decoded block: 12 s at 44.1 kHz, 4 MB of stereo.
_BLOCK_FRAMES = 2**19

# FFmpeg can loop forever on a bad file. Encoding may take this long plus a tenth of the audio's length (a
# normal encode runs at 30 to 100 times real time); decoding may go this long without producing a byte.
FFMPEG_LIMIT_S = 120.0

# A file is truncated if it decodes to less than its header promises by more than both of these.
_MIN_MISSING_S = 1.0
_MIN_MISSING_FRACTION = 0.01

_LFS_POINTER = b"version https://git-lfs"

# Magic bytes by (offset, bytes). A file that has them and that no reader understands is broken.
_MAGIC_BYTES = {
    (0, b"OggS"): "Ogg",
    (0, b"fLaC"): "FLAC",
    (0, b"RIFF"): "WAV",
    (0, b"ID3"): "MP3",
    (4, b"ftyp"): "MP4",
}

# An Ogg page: the size of its fixed header (a table with one byte per segment follows), and its largest size.
_OGG_HEADER_BYTES = 27
_MAX_OGG_PAGE_BYTES = 65_307

# Writers to a pipe put a size from here on into a WAV header, meaning "unknown".
_WAV_UNKNOWN_BYTES = 0x7FFF_0000

# Sun AU's header up to its first optional field: magic, data offset, data size, encoding, sample rate,
# channels.
_AU_HEADER = struct.Struct(">6I")


@dataclass(frozen=True)
class Header:
    """What a file's header states; None where it states nothing, or nothing reliable."""

    kind: str  # name of mutagen's class, as MP3
    duration_s: float | None
    bit_rate: int | None  # bits per second


@dataclass(frozen=True)
class Decoder:
    """A file ready to be decoded; each call of `blocks()` starts from the beginning."""

    sample_rate: int  # hertz
    blocks: Callable[[], Iterator[np.ndarray]]  # each float32, shape (samples,)


def check_file(path: str) -> None:
    """Raise UnusableFile unless `path` is a regular file that is not empty and no Git LFS pointer."""
    try:
        mode = os.stat(path).st_mode  # os.path.exists would return False for a failing disk
    except FileNotFoundError:
        raise UnusableFile("expected the file that was there a moment ago, found nothing") from None
    if stat.S_ISDIR(mode):
        os.listdir(path)  # raises PermissionError, a better reason, for a folder that cannot be walked
        raise UnusableFile("expected a file, found a directory")
    if not stat.S_ISREG(mode):  # reading a pipe or a device could block forever
        raise UnusableFile("expected a regular file, found something else (a pipe, a socket, a device)")
    with open(path, "rb") as file:
        start = file.read(len(_LFS_POINTER))
    if not start:
        raise UnusableFile("expected audio, found an empty file")
    if start == _LFS_POINTER:
        raise UnusableFile(
            "expected audio, found a Git LFS pointer; fetch the file itself with `git lfs pull`"
        )


def read_header(path: str) -> Header:
    """Read the file's header with mutagen.

    Raises UnusableFile if the file has none of the known formats, or is a truncated Ogg.
    """
    tagged_file = open_tags(path)
    if tagged_file is None or getattr(tagged_file, "info", None) is None:
        formats = ", ".join(sorted(EXTENSIONS))
        raise UnusableFile(f"expected audio ({formats}), found {_describe_content(path)}")
    if isinstance(tagged_file, OggFileType):
        _check_ogg_end(path)
    duration_s = getattr(tagged_file.info, "length", 0)
    bit_rate = getattr(tagged_file.info, "bitrate", 0)
    if not bit_rate and duration_s:
        bit_rate = int(os.path.getsize(path) * 8 / duration_s)
    if _is_duration_estimated(tagged_file, path):
        duration_s = 0
    return Header(type(tagged_file).__name__, float(duration_s) or None, bit_rate or None)


def _is_duration_estimated(tagged_file: Any, path: str) -> bool:
    """Return whether mutagen has only estimated the duration from size and bit rate.

    ADTS (.aac) has no duration, an MP3 has one only in a Xing or VBRI frame, a WAV written to a pipe has
    none.
    """
    info = tagged_file.info
    if isinstance(tagged_file, WAVE):
        stated_bytes = info.length * info.bitrate / 8
        return bool(stated_bytes >= _WAV_UNKNOWN_BYTES > os.path.getsize(path))
    if isinstance(tagged_file, MP3):
        return bool(info.bitrate_mode == BitrateMode.UNKNOWN)
    return isinstance(tagged_file, AAC)


def _check_ogg_end(path: str) -> None:
    """Raise UnusableFile if the file ends inside an Ogg page.

    Ogg has no duration in its header: mutagen reads it from the last whole page, so it cannot reveal a
    truncation.
    """
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - _MAX_OGG_PAGE_BYTES))
        end = file.read()
    last_page = end[max(0, end.rfind(b"OggS")) :]
    if last_page.startswith(b"OggS") and len(last_page) < _ogg_page_size(last_page):
        raise UnusableFile("expected whole Ogg pages, found that the file ends inside one: truncated")


def _ogg_page_size(page: bytes) -> int:
    """Return the size in bytes of the Ogg page that begins here.

    Of a page cut in its header, a lower bound.
    """
    if len(page) < _OGG_HEADER_BYTES:
        return _OGG_HEADER_BYTES
    n_segments = page[_OGG_HEADER_BYTES - 1]
    segment_sizes = page[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + n_segments]
    return _OGG_HEADER_BYTES + n_segments + sum(segment_sizes)


def open_tags(path: str) -> Any:
    """Open a file with mutagen.

    Return None if mutagen knows no such format or the file is too broken for it.
    """
    try:
        return mutagen.File(path)
    except OSError:
        raise
    except Exception:  # on broken files mutagen raises struct.error, IndexError and others
        return None


def _describe_content(path: str) -> str:
    """Return in words what a file that no reader understands seems to contain, from its first bytes."""
    with open(path, "rb") as file:
        start = file.read(512)
    if not start.strip(b"\0"):
        return "zero bytes"
    for (offset, magic), name in _MAGIC_BYTES.items():
        if start[offset:].startswith(magic):
            return f"the beginning of {name}, and the rest broken or missing"
    with suppress(UnicodeDecodeError):
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # accepts a last character that is cut
        return f"text ({text.splitlines()[0][:40]!r})"
    return f"something else (it begins with {start[:8].hex(' ')})"


def open_audio(path: str) -> Decoder:
    """Open a file for decoding: with libsndfile in this process, or with FFmpeg for other formats (AAC).

    Raises UnusableFile if neither finds audio in it.
    """
    check_file(path)
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            return Decoder(file.samplerate, lambda: _soundfile_blocks(path))
    except soundfile.LibsndfileError:
        return Decoder(_ffmpeg_sample_rate(path), lambda: _ffmpeg_blocks(path))


def _soundfile_blocks(path: str) -> Iterator[np.ndarray]:
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            # Not SoundFile.blocks: it pads with zeros up to an estimated length if an MP3's header states
            # none.
            while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                yield _to_mono(block)
    except soundfile.LibsndfileError as error:
        raise UnusableFile(f"expected audio that decodes, found: {error.error_string}") from error


def _to_mono(block: np.ndarray) -> np.ndarray:
    """Return the mean of the channels: (samples, channels) to (samples,), float32."""
    n_channels = block.shape[1]
    if n_channels == 1:
        return block[:, 0]
    # einsum makes no float64 copy, and takes half the time of ndarray.mean along the short axis.
    return np.einsum("nc->n", block) / np.float32(n_channels)


def _ffmpeg_blocks(path: str) -> Iterator[np.ndarray]:
    with _ffmpeg_pipe(path) as read:
        _, channels = _au_header(read, path)
        frame_bytes = 4 * channels
        while data := read(frame_bytes * _BLOCK_FRAMES):
            whole_frames = data[: len(data) // frame_bytes * frame_bytes]
            samples = np.frombuffer(whole_frames, dtype=">f4").astype(np.float32)
            yield _to_mono(samples.reshape(-1, channels))


def _ffmpeg_sample_rate(path: str) -> int:
    with _ffmpeg_pipe(path) as read:
        return _au_header(read, path)[0]


@contextmanager
def _ffmpeg_pipe(path: str) -> Iterator[Callable[[int], bytes]]:
    """Start FFmpeg decoding a file to Sun AU; yield a function that returns the next n bytes.

    AU is the simplest container that states the sample rate.
    """
    # Decode all channels: FFmpeg's own mono mix (-ac 1) is 3 dB louder than their mean.
    command = [ffmpeg_path(), "-nostdin", "-v", "error", "-i", f"file:{path}", "-map", "0:a:0"]
    process = subprocess.Popen(
        [*command, "-c:a", "pcm_f32be", "-f", "au", "pipe:1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=functools.partial(kill_on_parent_exit, os.getpid()),
    )
    assert process.stdout is not None
    try:
        yield functools.partial(_read, process.stdout.fileno())
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def _read(descriptor: int, count: int) -> bytes:
    """Return the next `count` bytes of a pipe, fewer at its end.

    Raises UnusableFile if no byte arrives for FFMPEG_LIMIT_S.
    """
    data = bytearray()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while len(data) < count:
        if not poll.poll(FFMPEG_LIMIT_S * 1000):
            raise UnusableFile(f"expected FFmpeg to decode on, found it stuck for {FFMPEG_LIMIT_S:.0f} s")
        if not (chunk := os.read(descriptor, count - len(data))):
            break
        data += chunk
    return bytes(data)


def _au_header(read: Callable[[int], bytes], path: str) -> tuple[int, int]:
    """Read up to the first sample; return the sample rate in hertz and the number of channels."""
    header = read(_AU_HEADER.size)
    if len(header) < _AU_HEADER.size:
        raise UnusableFile(f"expected audio that decodes, found {_describe_content(path)}")
    _, data_offset, _, _, sample_rate, channels = _AU_HEADER.unpack(header)
    read(data_offset - _AU_HEADER.size)
    return int(sample_rate), int(channels)


def decoded_duration(path: str) -> float:
    """Decode the whole file; return its duration in seconds."""
    decoder = open_audio(path)
    return sum(len(block) for block in decoder.blocks()) / decoder.sample_rate


def check_duration(header_s: float | None, decoded_s: float) -> None:
    """Raise UnusableFile if clearly less audio decodes than the header states, as in a broken download."""
    if header_s is None:
        return
    if decoded_s < header_s - max(_MIN_MISSING_S, _MIN_MISSING_FRACTION * header_s):
        raise UnusableFile(
            f"expected {header_s:.1f} s of audio as the header says, found {decoded_s:.1f} s: truncated"
        )


def ffmpeg_path() -> str:
    """Return the path of the FFmpeg program that the imageio-ffmpeg package contains."""
    return str(Path(imageio_ffmpeg.get_ffmpeg_exe()))
