"""Encode one file at a lower bit rate with FFmpeg, copy its tags and pictures, and verify the result by
decoding it.

With the codec "mp3" the format stays (mp3, ogg, opus, m4a), so that file names stay; lossless formats, and
those that few players know, become mp3, and bare aac, which holds no tags, becomes m4a. With "opus" all
becomes Ogg Opus, which has the whole band at 64 kbit/s, and which Safari plays from version 18.4 on. Every
result has a tag with the content hash of its source: so a file that is compressed in place keeps its
identity, and is not compressed twice even if the tables are lost. The tag has the hash of the result's audio,
too: copied to other audio, by an editor or a tagger, it counts for nothing.
"""

import errno
import functools
import os
import subprocess
from dataclasses import dataclass
from typing import Any

import ffmpeg
import mutagen
from mutagen.id3 import ID3, TXXX
from mutagen.mp4 import MP4

from jobs.audio import decoding, tag_copy, tag_sources
from jobs.audio.audio_hash import hash_file
from jobs.errors import InputError, UnusableFile
from jobs.runtime.parent_death import kill_on_parent_exit

# By extension of the source: extension of the result, FFmpeg's encoder, FFmpeg's muxer. Others become mp3.
_MP3 = (".mp3", "libmp3lame", "mp3")
_OPUS = (".opus", "libopus", "ogg")
_FORMATS = {
    ".ogg": (".ogg", "libvorbis", "ogg"),
    ".oga": (".oga", "libvorbis", "ogg"),
    ".opus": _OPUS,
    ".m4a": (".m4a", "aac", "ipod"),
    ".m4b": (".m4b", "aac", "ipod"),
    ".aac": (".m4a", "aac", "ipod"),
}

# The values of --codec.
CODECS = ("mp3", "opus")

# The most that libopus takes of a mono file, bits per second.
_MAX_OPUS_BIT_RATE = 256_000

# Formats that a browser plays: of these a small file is used as it is.
_PLAYED_AS_IS = frozenset((".mp3", ".wav", ".flac", *_FORMATS))

# Codecs pad their first and last frames: the result's duration may differ by this much from the encoded
# duration.
_MAX_PADDING_S = 0.2

# Lowest expected rate (64 kbit/s), to estimate the duration of a file whose header states none.
_MIN_BYTES_PER_S = 8_000

# Range of --bitrate, bits per second.
_MIN_BIT_RATE = 8_000
_MAX_BIT_RATE = 512_000

_TAG_NAME = "SEGUE_SOURCE"
_MP4_TAG_NAME = f"----:org.segue:{_TAG_NAME}"


@dataclass(frozen=True)
class EncoderTag:
    """The tag that a compressed file has."""

    content_hash: str  # of the source file, hex
    target_bit_rate: int  # bits per second
    audio_hash: str | None = None  # of the compressed file; older versions wrote none

    def is_of(self, audio_hash: str) -> bool:
        """Return whether the tag belongs to the audio with this hash."""
        return self.audio_hash in (None, audio_hash)


def parse_bit_rate(text: str) -> int:
    """Return a bit rate in bits per second, as 64000 for "64k" or "64000".

    Raises InputError outside 8k to 512k.
    """
    lowered = text.lower()
    digits = lowered.removesuffix("k")
    bit_rate = int(digits) if digits.isdecimal() else 0
    if lowered.endswith("k"):
        bit_rate *= 1000
    if not _MIN_BIT_RATE <= bit_rate <= _MAX_BIT_RATE:
        raise InputError(f"--bitrate: expected 8k to 512k, found {text!r}")
    return bit_rate


def result_extension(path: str, codec: str = "mp3") -> str:
    """Return the extension, dot included, that the compressed form of `path` has."""
    return _format(path, codec)[0]


def is_played_as_is(path: str) -> bool:
    """Return whether players know the format that the name of a file states."""
    return _extension(path) in _PLAYED_AS_IS


def _format(path: str, codec: str) -> tuple[str, str, str]:
    return _OPUS if codec == "opus" else _FORMATS.get(_extension(path), _MP3)


def _extension(path: str) -> str:
    return os.path.splitext(path)[1].lower()


def transcode(
    source: str,
    target: str,
    *,
    bit_rate: int,
    content_hash: str,
    header_s: float | None,
    codec: str = "mp3",
) -> float:
    """Encode `source` to the file `target` at `bit_rate` bits/s; return the duration in seconds that decodes
    from it.

    Parameters
    ----------
    source
        File to read.
    target
        File to write, with the extension `result_extension(source, codec)`.
    bit_rate
        Bits per second.
    content_hash
        Content hash of the source, for the EncoderTag of the target.
    header_s
        Duration in the source's header in seconds, or None.
    codec
        One of CODECS.

    Raises
    ------
    UnusableFile
        FFmpeg fails or hangs, less audio decodes than `header_s`, or the result does not decode to what was
        encoded.
    OSError
        The disk is full.

    No target remains after an error.
    """
    try:
        encoded_s = _encode(source, target, bit_rate, header_s, codec)
        decoding.check_duration(header_s, encoded_s)
        audio_hash = hash_file(target).audio_hash  # tags do not change it
        _write_tags(source, target, EncoderTag(content_hash, bit_rate, audio_hash))
        decoded_s = decoding.decoded_duration(target)
        if abs(decoded_s - encoded_s) > _MAX_PADDING_S:
            raise UnusableFile(
                f"expected {encoded_s:.2f} s of audio after compression, found {decoded_s:.2f} s"
            )
    except BaseException:
        if os.path.lexists(target):
            os.unlink(target)
        raise
    return decoded_s


def _encode(source: str, target: str, bit_rate: int, header_s: float | None, codec: str) -> float:
    """Encode with FFmpeg; return the duration in seconds that it reports to have written."""
    _, encoder, muxer = _format(source, codec)
    if encoder == "libopus":
        bit_rate = min(bit_rate, _MAX_OPUS_BIT_RATE)
    completed = _run_ffmpeg(source, target, header_s, {"c:a": encoder, "b:a": bit_rate, "f": muxer})
    if completed.returncode and encoder == "libvorbis" and b"encoder setup failed" in completed.stderr:
        # libvorbis accepts 64k for 44.1 kHz stereo, but not for 8 kHz mono, 96 kHz or six channels. It
        # accepts quality 0 for all of them, which is 64k for 44.1 kHz stereo.
        completed = _run_ffmpeg(source, target, header_s, {"c:a": encoder, "q:a": 0, "f": muxer})
    prefix = "out_time_us="
    lines = completed.stdout.decode().splitlines()
    times = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    if completed.returncode or not times or times[-1] == "N/A":
        raise _ffmpeg_error(completed.stderr)
    return int(times[-1]) / 1e6


def _run_ffmpeg(
    source: str, target: str, header_s: float | None, options: dict[str, Any]
) -> "subprocess.CompletedProcess[bytes]":
    """Encode the first audio stream of `source`, without pictures: `tag_copy` copies them as tags."""
    # ffmpeg-python hashes its arguments as UTF-8, which a file name need not be: insert the names afterwards.
    names = {"TARGET": f"file:{target}"}
    names |= {f"SOURCE{number}": url for number, url in enumerate(decoding.ffmpeg_urls(source))}
    streams = [ffmpeg.input(name)["a:0"] for name in names if name != "TARGET"]
    stream = streams[0] if len(streams) == 1 else ffmpeg.concat(*streams, v=0, a=1)
    output = ffmpeg.output(stream, "TARGET", threads=1, **options).overwrite_output()
    output = output.global_args("-nostdin", "-v", "error", "-progress", "pipe:1")
    command = [names.get(word, word) for word in output.compile(cmd=decoding.ffmpeg_path())]
    expected_s = header_s or os.path.getsize(source) / _MIN_BYTES_PER_S
    limit = decoding.FFMPEG_LIMIT_S + expected_s / 10
    try:
        return subprocess.run(
            command,
            capture_output=True,
            timeout=limit,
            preexec_fn=functools.partial(kill_on_parent_exit, os.getpid()),
        )
    except subprocess.TimeoutExpired:
        raise UnusableFile(
            f"expected FFmpeg to be done within {limit:.0f} s, found it still at work"
        ) from None


def _ffmpeg_error(stderr: bytes) -> Exception:
    """Return an exception with FFmpeg's reason: OSError if the disk is full, else UnusableFile.

    FFmpeg's first line has the reason, its last is "Conversion failed!".
    """
    lines = [line.split("] ")[-1] for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    for disk_full in (errno.ENOSPC, errno.EDQUOT):
        message = os.strerror(disk_full)
        if any(line.rstrip(")").endswith(message) for line in lines):
            return OSError(disk_full, message)
    return UnusableFile(
        f"expected audio that FFmpeg can read, found: {lines[0] if lines else 'nothing in it'}"
    )


def update_tags(source: str, target: str) -> None:
    """Replace the tags of a compressed file by those that its source has now.

    Raises UnusableFile if the file has no encoder tag, and OSError if one of them cannot be read or written.
    """
    encoder_tag = read_encoder_tag(target)
    if encoder_tag is None:
        raise UnusableFile(f"expected a file that Segue has compressed, found another: {target}")
    _write_tags(source, target, encoder_tag, clear=True)


def _write_tags(source: str, target: str, encoder_tag: EncoderTag, *, clear: bool = False) -> None:
    """Copy every tag and picture of the source to the target, and add the encoder tag."""
    tagged_file = mutagen.File(target)
    if tagged_file.tags is None:
        tagged_file.add_tags()
    if clear:
        tagged_file.tags.clear()
    tag_copy.copy_tags(decoding.open_tags(source), tagged_file)
    tag_copy.add_missing(tag_sources.read_sources(source).tags, tagged_file.tags)
    value = f"{encoder_tag.content_hash} {encoder_tag.target_bit_rate} {encoder_tag.audio_hash or ''}".strip()
    if isinstance(tagged_file.tags, ID3):
        tagged_file.tags.add(TXXX(encoding=3, desc=_TAG_NAME, text=value))
    elif isinstance(tagged_file, MP4):
        tagged_file[_MP4_TAG_NAME] = value.encode()
    else:
        tagged_file[_TAG_NAME] = value
    tagged_file.save()


def read_encoder_tag(path: str) -> EncoderTag | None:
    """Return the encoder tag of a file that Segue has compressed, or None for any other file."""
    tagged_file = decoding.open_tags(path)
    if tagged_file is None or tagged_file.tags is None:
        return None
    content_hash, bit_rate, audio_hash = [*(_encoder_tag_text(tagged_file) or "").split(), *[""] * 3][:3]
    if len(content_hash) != 64 or not bit_rate.isdigit():
        return None
    return EncoderTag(content_hash, int(bit_rate), audio_hash or None)


def _encoder_tag_text(tagged_file: Any) -> str | None:
    if isinstance(tagged_file.tags, ID3):
        frame = tagged_file.tags.get(f"TXXX:{_TAG_NAME}")
        return str(frame) if frame else None
    if isinstance(tagged_file, MP4):
        return bytes(tagged_file[_MP4_TAG_NAME][0]).decode() if _MP4_TAG_NAME in tagged_file else None
    return str(tagged_file[_TAG_NAME][0]) if _TAG_NAME in tagged_file else None
