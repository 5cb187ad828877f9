"""Audio files: what a file says of itself, and its samples, decoded block by block.

Conventions: samples are float32, mono (the mean of the channels), about -1 to 1, at the file's own sample rate in hertz;
durations in seconds, bit rates in bits per second. A file that cannot be used raises BadFile with a one-line reason.
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

# What compress takes in; anything else in the library is listed and left alone.
EXTENSIONS = frozenset((".mp3", ".ogg", ".opus", ".flac", ".wav", ".m4a", ".aac"))

# Frames per decoded block: 12 s at 44.1 kHz, 4 MB of stereo.
_BLOCK_FRAMES = 2**19

# FFmpeg can spin for ever on a bad file: none may take longer than this plus a tenth of the audio's length (an honest
# encode runs at 30 to 100 times real time), or leave its reader without a byte for so long.
FFMPEG_LIMIT_S = 120.0

# Shorter than its header promises by more than a second and a hundredth: the rest of the file is missing.
_MISSING_S, _MISSING_SHARE = 1.0, 0.01

_LFS_POINTER = b"version https://git-lfs"

# The formats' first bytes, by their place: a file that begins so and is still not understood is broken.
_BEGINNINGS = {
    (0, b"OggS"): "Ogg",
    (0, b"fLaC"): "FLAC",
    (0, b"RIFF"): "WAV",
    (0, b"ID3"): "MP3",
    (4, b"ftyp"): "MP4",
}

# An Ogg page: its header, to which a byte per segment is added, and the largest there can be.
_OGG_HEADER_BYTES, _OGG_PAGE_BYTES = 27, 65_307

# From here on, a WAV's size is what a writer to a pipe puts in for "not known".
_WAV_UNKNOWN_BYTES = 0x7FFF_0000


@dataclass(frozen=True)
class Header:
    """What a file says of itself; None where it does not say, or where what it says cannot be trusted."""

    kind: str
    duration_s: float | None
    bit_rate: int | None


@dataclass(frozen=True)
class Decoder:
    """A file ready to be decoded: `blocks()` starts from the beginning each time it is called."""

    sample_rate: int
    blocks: Callable[[], Iterator[np.ndarray]]


def check_file(path: str) -> None:
    """Raise BadFile unless `path` is a regular file with something in it that may be audio."""
    try:
        mode = os.stat(path).st_mode  # unlike os.path.exists, a disk that fails is no answer
    except FileNotFoundError:
        raise UnusableFile("expected the file that was there a moment ago, found nothing") from None
    if stat.S_ISDIR(mode):
        os.listdir(path)  # a folder that cannot be walked says so
        raise UnusableFile("expected a file, found a directory")
    if not stat.S_ISREG(mode):  # a pipe or a device would block the reader for ever
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
    """Return what the file's headers say, by mutagen; BadFile where it is none of the known formats."""
    tagged = open_tags(path)
    if tagged is None or getattr(tagged, "info", None) is None:
        raise UnusableFile(f"expected audio ({', '.join(sorted(EXTENSIONS))}), found {_looks_like(path)}")
    if isinstance(tagged, OggFileType):
        _check_ogg_end(path)
    info = tagged.info
    length, bit_rate = getattr(info, "length", 0), getattr(info, "bitrate", 0)
    if not bit_rate and length:
        bit_rate = int(os.path.getsize(path) * 8 / length)
    if _is_guess(tagged, path):
        length = 0
    return Header(type(tagged).__name__, float(length) or None, bit_rate or None)


def _is_guess(tagged: Any, path: str) -> bool:
    """Tell whether the length is no promise: ADTS has none, an MP3 without Xing or VBRI frame, a WAV from a pipe."""
    if isinstance(tagged, WAVE):
        return bool(
            tagged.info.length * tagged.info.bitrate / 8 >= _WAV_UNKNOWN_BYTES > os.path.getsize(path)
        )
    return isinstance(tagged, AAC) or (
        isinstance(tagged, MP3) and tagged.info.bitrate_mode == BitrateMode.UNKNOWN
    )


def _check_ogg_end(path: str) -> None:
    """Raise BadFile where the file ends inside a page: an Ogg's length is that of what is there, and promises nothing."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(max(0, size - _OGG_PAGE_BYTES))
        end = file.read()
    page = end[max(0, end.rfind(b"OggS")) :]
    segments = page[_OGG_HEADER_BYTES - 1 : _OGG_HEADER_BYTES]
    whole = (
        _OGG_HEADER_BYTES + segments[0] + sum(page[_OGG_HEADER_BYTES:][: segments[0]])
        if segments
        else len(page) + 1
    )
    if page.startswith(b"OggS") and whole > len(page):
        raise UnusableFile("expected whole Ogg pages, found that the file ends inside one: truncated")


def open_tags(path: str) -> Any:
    """Return mutagen's view of the file, None where it knows no such format or the file is too broken for it."""
    try:
        return mutagen.File(path)
    except OSError:
        raise
    except Exception:  # mutagen lets struct.error, IndexError and others through on broken files
        return None


def _looks_like(path: str) -> str:
    with open(path, "rb") as file:
        start = file.read(512)
    if not start.strip(b"\0"):
        return "zero bytes"
    for (place, beginning), name in _BEGINNINGS.items():
        if start[place:].startswith(beginning):
            return f"the beginning of {name}, and the rest broken or missing"
    with suppress(UnicodeDecodeError):
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # the last character may be cut
        return f"text ({text.splitlines()[0][:40]!r})"
    return f"something else (it begins with {start[:8].hex(' ')})"


def open_audio(path: str) -> Decoder:
    """Open a file for decoding: by libsndfile in this process, by an FFmpeg pipe for what that does not know (AAC).

    Raises BadFile where neither finds audio in it.
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
            # Not SoundFile.blocks: it fills up to the length it has guessed where an MP3's header does not tell.
            while len(block := file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)):
                yield _mono(block)
    except soundfile.LibsndfileError as error:
        raise UnusableFile(f"expected audio that decodes, found: {error.error_string}") from error


def _mono(block: np.ndarray) -> np.ndarray:
    """Return the mean of the channels; einsum makes no float64 copy, and costs half of ndarray.mean along the short axis."""
    return block[:, 0] if block.shape[1] == 1 else np.einsum("nc->n", block) / np.float32(block.shape[1])


def _ffmpeg_blocks(path: str) -> Iterator[np.ndarray]:
    with _ffmpeg_pipe(path) as read:
        _, channels = _au_header(read, path)
        frame_bytes = 4 * channels
        while data := read(frame_bytes * _BLOCK_FRAMES):
            whole = data[: len(data) // frame_bytes * frame_bytes]
            yield _mono(np.frombuffer(whole, dtype=">f4").astype(np.float32).reshape(-1, channels))


def _ffmpeg_sample_rate(path: str) -> int:
    with _ffmpeg_pipe(path) as read:
        return _au_header(read, path)[0]


@contextmanager
def _ffmpeg_pipe(path: str) -> Iterator[Callable[[int], bytes]]:
    """Decode a file by FFmpeg to Sun's AU, the simplest container that carries the sample rate; give its reader."""
    # All channels: where FFmpeg itself makes one of them (-ac 1), it is 3 dB louder than their mean.
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
    """Return the next `count` bytes of a pipe, fewer at its end; BadFile where none come within the limit."""
    data, waiting = bytearray(), select.poll()
    waiting.register(descriptor, select.POLLIN)
    while len(data) < count:
        if not waiting.poll(FFMPEG_LIMIT_S * 1000):
            raise UnusableFile(f"expected FFmpeg to decode on, found it stuck for {FFMPEG_LIMIT_S:.0f} s")
        if not (chunk := os.read(descriptor, count - len(data))):
            break
        data += chunk
    return bytes(data)


def _au_header(read: Callable[[int], bytes], path: str) -> tuple[int, int]:
    """Read up to the first sample; return the sample rate and the number of channels."""
    header = read(24)
    if len(header) < 24:
        raise UnusableFile(f"expected audio that decodes, found {_looks_like(path)}")
    _, offset, _, _, rate, channels = struct.unpack(">6I", header)
    read(offset - 24)
    return int(rate), int(channels)


def decoded_duration(path: str) -> float:
    """Return the seconds of audio that really decode."""
    decoder = open_audio(path)
    return sum(len(block) for block in decoder.blocks()) / decoder.sample_rate


def check_duration(promised_s: float | None, decoded_s: float) -> None:
    """Raise BadFile where clearly less audio decodes than the header promises, as in a download that broke off."""
    if promised_s is not None and decoded_s < promised_s - max(_MISSING_S, _MISSING_SHARE * promised_s):
        raise UnusableFile(
            f"expected {promised_s:.1f} s of audio as the header says, found {decoded_s:.1f} s: truncated"
        )


def ffmpeg_path() -> str:
    """Return the FFmpeg program of the imageio-ffmpeg package."""
    return str(Path(imageio_ffmpeg.get_ffmpeg_exe()))
