"""Read an audio file's header, and decode its samples block by block.

Audio is what decodes: mutagen reads the header if it can, `containers` the structure, and libsndfile or
FFmpeg have the last word. libsndfile decodes in this process and is the first choice; FFmpeg decodes what
libsndfile cannot open, and what it would end too early.

Conventions: samples are float32, mono (the mean of the channels), about -1 to 1, at the file's own sample
rate in hertz; durations in seconds, bit rates in bits per second. A file that cannot be used raises
UnusableFile with a one-line reason.
"""

import codecs
import functools
import os
import re
import select
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile
from mutagen.mp4 import MP4Info

from jobs.audio import containers
from jobs.audio.containers import Structure
from jobs.audio.tag_sources import open_tags as open_tags
from jobs.errors import UnusableFile
from jobs.runtime.parent_death import kill_on_parent_exit

# Files with these extensions are processed; all others in a library are counted and skipped.
EXTENSIONS = frozenset(
    (
        *(".mp3", ".ogg", ".oga", ".opus", ".flac", ".wav", ".m4a", ".m4b", ".aac"),
        *(".aif", ".aiff", ".aifc", ".ape", ".caf", ".dff", ".dsf", ".mka", ".mp2", ".mpc", ".tak", ".tta"),
        *(".w64", ".wma", ".wv"),
    )
)

# Frames per decoded block: 12 s at 44.1 kHz, 4 MB of stereo.
_BLOCK_FRAMES = 2**19

# FFmpeg can loop forever on a bad file. Encoding may take this long plus a tenth of the audio's length (a
# normal encode runs at 30 to 100 times real time); decoding may go this long without producing a byte.
FFMPEG_LIMIT_S = 120.0

# A file is truncated if it decodes to less than its header promises by more than both of these.
_MIN_MISSING_S = 1.0
_MIN_MISSING_FRACTION = 0.01

_STATED_DURATION = re.compile(r"^  Duration: (\d+):(\d\d):(\d\d\.\d+)", re.MULTILINE)

_LFS_POINTER = b"version https://git-lfs"

# Magic bytes by (offset, bytes). A file that has them and that no reader understands is broken.
_MAGIC_BYTES = {
    (0, b"OggS"): "Ogg",
    (0, b"fLaC"): "FLAC",
    (0, b"RIFF"): "WAV",
    (0, b"ID3"): "MP3",
    (4, b"ftyp"): "MP4",
}

# libsndfile may report this much less than a file holds (an encoder's padding), and no more than this
# multiple of it: where an MP3's header states nothing it estimates, and then reads on to the end.
_MAX_UNREPORTED_S = 0.1
_MAX_OVERESTIMATE = 10.0

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
    """Return what the file's header and structure state.

    Raises UnusableFile if neither mutagen nor a decoder finds audio in it, or if the file is cut off.
    """
    structure = containers.inspect(path)
    tagged_file = open_tags(path)
    info = getattr(tagged_file, "info", None)
    if isinstance(info, MP4Info) and not info.codec:  # mutagen's length is that of the video
        info = None
    stated_s = None
    if info is None and structure.duration_s is None:
        _check_decodes(path)
        stated_s = _ffmpeg_stated_s(path)
    _check_whole(structure, getattr(info, "length", 0))
    duration_s = _promised_duration(structure, getattr(info, "length", 0)) or stated_s
    bit_rate = int(getattr(info, "bitrate", 0) or 0)
    is_contradicted = duration_s and abs(getattr(info, "length", 0) - duration_s) > 0.1 * duration_s
    if duration_s and (not bit_rate or is_contradicted):
        bit_rate = int(os.path.getsize(path) * 8 / duration_s)
    kind = type(tagged_file).__name__ if info is not None else structure.format or "unknown"
    return Header(kind, duration_s or None, bit_rate or None)


def _check_decodes(path: str) -> None:
    """Raise UnusableFile if no decoder opens a file that mutagen does not know either."""
    try:
        open_audio(path)
    except UnusableFile as error:
        raise UnusableFile(f"expected audio, found {_describe_content(path)}") from error


def _ffmpeg_stated_s(path: str) -> float | None:
    """Return the seconds that the header of a file states to FFmpeg; None if it states none of the audio."""
    command = [ffmpeg_path(), "-nostdin", "-hide_banner", "-i", f"file:{path}"]
    try:
        completed = subprocess.run(command, capture_output=True, timeout=FFMPEG_LIMIT_S)
    except subprocess.TimeoutExpired:
        return None
    text = completed.stderr.decode(errors="replace")
    found = _STATED_DURATION.search(text)
    # FFmpeg estimates what no header states; with a video the longer one counts.
    if found is None or "Estimating duration" in text or "Video:" in text:
        return None
    hours, minutes, seconds = map(float, found.groups())
    return 3600 * hours + 60 * minutes + seconds


def _promised_duration(structure: Structure, mutagen_s: float) -> float | None:
    """Return the seconds that a file should decode to; None if that is not known before decoding.

    What the structure shows precedes mutagen's figure, which is an estimate for AAC and for an MP3 without a
    Xing header, and the length of the first piece for files that were joined.
    """
    known = [seconds for seconds in (structure.duration_s, structure.stated_s) if seconds is not None]
    if known:
        return max(known)
    if structure.format in ("wav", "mp3", "aac", "flac") or not mutagen_s:
        return None
    return float(mutagen_s)


def _check_whole(structure: Structure, mutagen_s: float) -> None:
    """Raise UnusableFile if the structure shows that the file ends early, as in a broken download."""
    if structure.is_cut:
        part = "Ogg pages" if structure.format.startswith("ogg") else "frames"
        raise UnusableFile(f"expected whole {part}, found that the file ends inside one: truncated")
    if structure.duration_s is not None:
        check_duration(structure.stated_s, structure.duration_s)
    elif mutagen_s and structure.format == "mp4":
        check_duration(mutagen_s, mutagen_s * structure.present_fraction)


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
    """Open a file for decoding: with libsndfile in this process, or with FFmpeg where that decodes more.

    Raises UnusableFile if neither finds audio in it.
    """
    check_file(path)
    structure = containers.inspect(path)
    try:
        with soundfile.SoundFile(os.fsencode(path)) as file:
            sample_rate = int(file.samplerate)
            is_complete = _reads_whole(structure, file.frames / sample_rate)
    except soundfile.LibsndfileError:
        is_complete = False
    if is_complete:
        return Decoder(sample_rate, lambda: _all_blocks(path, sample_rate, structure.duration_s))
    return Decoder(_ffmpeg_sample_rate(path), lambda: _ffmpeg_blocks(path))


def _reads_whole(structure: Structure, reported_s: float) -> bool:
    """Return whether libsndfile, which reports this duration, decodes all of the file."""
    if structure.links or not structure.has_fixed_size:
        return False
    if structure.duration_s is None:
        return reported_s > 0
    is_longer = structure.duration_s > reported_s + _MAX_UNREPORTED_S
    return not is_longer and reported_s <= _MAX_OVERESTIMATE * structure.duration_s + 1


def _all_blocks(path: str, sample_rate: int, expected_s: float | None) -> Iterator[np.ndarray]:
    """Yield libsndfile's blocks; where it stops early, at damage, FFmpeg decodes what follows."""
    n_samples = 0
    failure: UnusableFile | None = None
    try:
        for block in _soundfile_blocks(path):
            n_samples += len(block)
            yield block
    except UnusableFile as error:
        failure = error
    is_short = expected_s is not None and n_samples < (expected_s - _MAX_UNREPORTED_S) * sample_rate
    if failure is None and not is_short:
        return
    try:
        rest = _skip(_ffmpeg_blocks(path, sample_rate), n_samples)
        yield from rest
    except UnusableFile:
        if failure is not None:
            raise failure from None
        raise


def _skip(blocks: Iterator[np.ndarray], n_samples: int) -> Iterator[np.ndarray]:
    """Yield the blocks without their first samples."""
    for block in blocks:
        if len(block) > n_samples:
            yield block[n_samples:]
        n_samples = max(0, n_samples - len(block))


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


def _ffmpeg_blocks(path: str, sample_rate: int | None = None) -> Iterator[np.ndarray]:
    """Yield FFmpeg's blocks, at the file's own sample rate or at `sample_rate` hertz."""
    with _ffmpeg_pipe(path, sample_rate) as read:
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
def _ffmpeg_pipe(path: str, sample_rate: int | None = None) -> Iterator[Callable[[int], bytes]]:
    """Start FFmpeg decoding a file to Sun AU; yield a function that returns the next n bytes.

    AU is the simplest container that states the sample rate.
    """
    # Decode all channels: FFmpeg's own mono mix (-ac 1) is 3 dB louder than their mean.
    command = [ffmpeg_path(), "-nostdin", "-v", "error", *ffmpeg_inputs(path), *ffmpeg_mapping(path)]
    command += ["-ar", str(sample_rate)] if sample_rate else []
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


def ffmpeg_urls(path: str) -> list[str]:
    """Return what FFmpeg has to read, one after the other: the file, or each of its links.

    FFmpeg stops with exit status 0 where a link has other parameters than the first one, so each link is an
    input of its own.
    """
    links = containers.inspect(path).links
    if not links:
        return [f"file:{path}"]
    return [f"subfile,,start,{start},end,{end},,:file:{path}" for start, end in links]


def ffmpeg_inputs(path: str) -> list[str]:
    """Return FFmpeg's options for its inputs; see `ffmpeg_mapping`."""
    return [word for url in ffmpeg_urls(path) for word in ("-i", url)]


def ffmpeg_mapping(path: str) -> list[str]:
    """Return FFmpeg's options that take the first audio stream of the inputs, joined."""
    n_inputs = len(ffmpeg_urls(path))
    if n_inputs == 1:
        return ["-map", "0:a:0"]
    streams = "".join(f"[{number}:a:0]" for number in range(n_inputs))
    return ["-filter_complex", f"{streams}concat=n={n_inputs}:v=0:a=1[joined]", "-map", "[joined]"]


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
