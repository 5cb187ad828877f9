"""One file to a lower bit rate with FFmpeg: tags and cover art kept, the result checked by decoding all of it.

The format stays (mp3, ogg, opus, m4a), so that a library's names stay; lossless wav and flac become mp3, and bare aac,
which holds no tags, becomes m4a. Every result is marked with the SHA-256 of its source: a file compressed in place keeps
its identity, and is never compressed twice, whatever happens to the tables.
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

from jobs.audio import decoding, tag_copy
from jobs.errors import UnusableFile
from jobs.runtime.parent_death import kill_on_parent_exit

# By extension of the source: the result's extension, FFmpeg's encoder and muxer.
FORMATS = {
    ".mp3": (".mp3", "libmp3lame", "mp3"),
    ".wav": (".mp3", "libmp3lame", "mp3"),
    ".flac": (".mp3", "libmp3lame", "mp3"),
    ".ogg": (".ogg", "libvorbis", "ogg"),
    ".opus": (".opus", "libopus", "ogg"),
    ".m4a": (".m4a", "aac", "ipod"),
    ".aac": (".m4a", "aac", "ipod"),
}

# Codecs pad their first and last frames: the result may differ by this much from what was encoded.
_PADDING_S = 0.2

# To estimate how long a file may play where its header does not say: 64 kbit/s.
_LEAST_BYTES_PER_S = 8_000

_MARK = "SEGUE_SOURCE"
_MP4_MARK = f"----:org.segue:{_MARK}"


@dataclass(frozen=True)
class EncoderTag:
    """What a compressed file says of its source: the SHA-256 in hex, and the bit rate it was brought to, bits/s."""

    content_hash: str
    target_bit_rate: int


def result_extension(path: str) -> str:
    """Return the extension, dot included, of what `path` is compressed to."""
    return FORMATS[os.path.splitext(path)[1].lower()][0]


def transcode(
    source: str, target: str, *, bit_rate: int, content_hash: str, promised_s: float | None
) -> float:
    """Encode `source` to the file `target` at `bit_rate` bits/s and return its duration in seconds, decoded.

    Raises BadFile, and leaves no target, where FFmpeg fails or hangs, where less is decoded than `promised_s` (the
    source's header), or where the result does not decode to what was encoded; OSError where there is no room.
    """
    try:
        encoded_s = _encode(source, target, bit_rate, promised_s)
        decoding.check_duration(promised_s, encoded_s)
        _tag(source, target, EncoderTag(content_hash, bit_rate))
        decoded_s = decoding.decoded_duration(target)
        if abs(decoded_s - encoded_s) > _PADDING_S:
            raise UnusableFile(
                f"expected {encoded_s:.2f} s of audio after compression, found {decoded_s:.2f} s"
            )
    except BaseException:
        if os.path.lexists(target):
            os.unlink(target)
        raise
    return decoded_s


def _encode(source: str, target: str, bit_rate: int, promised_s: float | None) -> float:
    """Run FFmpeg; return the seconds it wrote."""
    _, encoder, muxer = FORMATS[os.path.splitext(source)[1].lower()]
    done = _ffmpeg(source, target, promised_s, {"c:a": encoder, "b:a": bit_rate, "f": muxer})
    if done.returncode and encoder == "libvorbis" and b"encoder setup failed" in done.stderr:
        # It takes 64k for 44.1 kHz stereo, and not for 8 kHz mono, 96 kHz or six channels; this quality it takes for all,
        # and it is 64k for 44.1 kHz stereo.
        done = _ffmpeg(source, target, promised_s, {"c:a": encoder, "q:a": 0, "f": muxer})
    times = [line[12:] for line in done.stdout.decode().splitlines() if line.startswith("out_time_us=")]
    if done.returncode or not times or times[-1] == "N/A":
        raise _complaint(done.stderr)
    return int(times[-1]) / 1e6


def _ffmpeg(
    source: str, target: str, promised_s: float | None, options: dict[str, Any]
) -> "subprocess.CompletedProcess[bytes]":
    """Encode the first audio stream of `source`; pictures are tags, and brought over as such."""
    # ffmpeg-python hashes its arguments as UTF-8, which a file's name need not be: the names come in afterwards.
    names = {"SOURCE": f"file:{source}", "TARGET": f"file:{target}"}
    output = ffmpeg.output(ffmpeg.input("SOURCE")["a:0"], "TARGET", threads=1, **options).overwrite_output()
    words = output.global_args("-nostdin", "-v", "error", "-progress", "pipe:1").compile(
        cmd=decoding.ffmpeg_path()
    )
    command = [names.get(word, word) for word in words]
    limit = decoding.FFMPEG_LIMIT_S + (promised_s or os.path.getsize(source) / _LEAST_BYTES_PER_S) / 10
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


def _complaint(stderr: bytes) -> Exception:
    """Return what FFmpeg says went wrong: OSError where the disk is full, else BadFile.

    Its first line says why, the last is "Conversion failed!".
    """
    lines = [line.split("] ")[-1] for line in stderr.decode(errors="replace").splitlines() if line.strip()]
    for full in (errno.ENOSPC, errno.EDQUOT):
        if any(line.rstrip(")").endswith(os.strerror(full)) for line in lines):
            return OSError(full, os.strerror(full))
    return UnusableFile(
        f"expected audio that FFmpeg can read, found: {lines[0] if lines else 'nothing in it'}"
    )


def _tag(source: str, target: str, mark: EncoderTag) -> None:
    """Bring over every tag and picture, and mark the result."""
    tagged = mutagen.File(target)
    if tagged.tags is None:
        tagged.add_tags()
    tag_copy.copy_tags(decoding.open_tags(source), tagged)
    value = f"{mark.content_hash} {mark.target_bit_rate}"
    if isinstance(tagged.tags, ID3):
        tagged.tags.add(TXXX(encoding=3, desc=_MARK, text=value))
    elif isinstance(tagged, MP4):
        tagged[_MP4_MARK] = value.encode()
    else:
        tagged[_MARK] = value
    tagged.save()


def read_encoder_tag(path: str) -> EncoderTag | None:
    """Return the mark of a file that Segue compressed, None for any other file."""
    tagged = decoding.open_tags(path)
    value = _mark_value(tagged) if tagged is not None and tagged.tags is not None else None
    if value is None:
        return None
    content_hash, _, target = value.partition(" ")
    return EncoderTag(content_hash, int(target)) if len(content_hash) == 64 and target.isdigit() else None


def _mark_value(tagged: Any) -> str | None:
    if isinstance(tagged.tags, ID3):
        frame = tagged.tags.get(f"TXXX:{_MARK}")
        return str(frame) if frame else None
    if isinstance(tagged, MP4):
        return bytes(tagged[_MP4_MARK][0]).decode() if _MP4_MARK in tagged else None
    return str(tagged[_MARK][0]) if _MARK in tagged else None
