"""Open a file's tags, whatever its name says and however broken one of them is.

The format is taken from the content. A file may have several tags: the format's own (ID3v2, Vorbis comments,
MP4 atoms), APEv2, ID3v1, RIFF INFO, and what FFmpeg reads of a format that mutagen does not know. A tag that
cannot be read costs that tag, never the audio: the reason is kept beside the others.
"""

import functools
import os
import struct
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import imageio_ffmpeg
import mutagen
from mutagen.aac import AAC
from mutagen.apev2 import APENoHeaderError, APEv2
from mutagen.flac import FLAC
from mutagen.id3 import ID3, ID3NoHeaderError
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggspeex import OggSpeex
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from jobs.audio import containers
from jobs.runtime.parent_death import kill_on_parent_exit

_CLASSES = {
    "mp3": MP3,
    "aac": AAC,
    "flac": FLAC,
    "wav": WAVE,
    "mp4": MP4,
    "ogg-vorbis": OggVorbis,
    "ogg-opus": OggOpus,
    "ogg-flac": OggFLAC,
    "ogg-speex": OggSpeex,
}

# Formats that may have ID3 and APEv2 tags around the audio.
_WITH_FOREIGN_TAGS = ("mp3", "aac", "flac", "")

# RIFF INFO's names and their successors in Vorbis comments.
_RIFF_INFO_NAMES = {
    b"INAM": "title",
    b"IART": "artist",
    b"IPRD": "album",
    b"ITRK": "tracknumber",
    b"IPRT": "tracknumber",
    b"ICRD": "date",
    b"IGNR": "genre",
    b"ICMT": "comment",
}
_MAX_INFO_BYTES = 1 << 20

_FFMPEG_LIMIT_S = 30.0
_FFMPEG_NAMES = {"track": "tracknumber", "year": "date"}

# A tag's names and values, as `tags.values` takes them for any tag that is not ID3 or MP4.
TextTags = dict[str, list[str]]


@dataclass
class TagSources:
    """The tags of a file in the order of precedence."""

    tags: list[Any] = field(default_factory=list)
    error: str | None = None  # why one of them could not be read
    facts: dict[str, int | None] = field(default_factory=dict)  # sample_rate, channels, bit_depth


@dataclass
class LooseTags:
    """The ID3 tags of a file whose format mutagen cannot read, in the form of mutagen's files."""

    tags: Any
    info: None = None


def open_tags(path: str) -> Any:
    """Open a file with mutagen, by its content.

    Returns
    -------
    mutagen's file, a `LooseTags` where only ID3 tags can be read, or None.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    tagged_file, _ = _open_tags(path)
    if tagged_file is not None and tagged_file.tags is not None:
        return tagged_file
    id3, _ = _read_id3(path)
    if id3 is None or (tagged_file is not None and not isinstance(tagged_file, AAC)):
        return tagged_file
    return _with_tags(tagged_file, id3)


def _with_tags(tagged_file: Any, id3: ID3) -> Any:
    if tagged_file is None:
        return LooseTags(id3)
    tagged_file.tags = id3
    return tagged_file


def _open_tags(path: str) -> tuple[Any, str | None]:
    """Return mutagen's file, or None and the reason in words."""
    file_format = containers.inspect(path).format
    try:
        if file_format in _CLASSES:
            return _CLASSES[file_format](path), None
        return mutagen.File(path), None
    except OSError:
        raise
    except Exception as error:  # on broken files mutagen raises struct.error, IndexError and others
        return None, _reason(error)


def _reason(error: Exception) -> str:
    """Return an error of mutagen's in one short line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]


def _read_id3(path: str) -> tuple[ID3 | None, str | None]:
    """Return the ID3 tags at the beginning or the end of a file; None and the reason if they are broken."""
    try:
        return ID3(path), None
    except ID3NoHeaderError:
        return None, None
    except OSError:
        raise
    except Exception as error:
        return None, _reason(error)


def read_sources(path: str) -> TagSources:
    """Return all tags of a file, in the order of precedence, and why one could not be read.

    Raises OSError if the file cannot be read.
    """
    file_format = containers.inspect(path).format
    tagged_file, error = _open_tags(path)
    errors = [error if file_format else None]  # a format that mutagen does not know has no fault
    native = tagged_file.tags if tagged_file is not None else None
    id3 = native if isinstance(native, ID3) else None
    ape = None
    if file_format in _WITH_FOREIGN_TAGS:
        if id3 is None:
            id3, error = _read_id3(path)
            errors.append(error)
        ape, error = _read_ape(path)
        errors.append(error)
    candidates = [None if native is id3 else native, *_by_precedence(path, id3, ape)]
    if file_format == "wav":
        candidates.append(_read_riff_info(path))
    tags = [candidate for candidate in candidates if candidate]
    reason = next((error for error in errors if error), None)
    if not tags and (tagged_file is None or reason):
        tags = [found for found in [_read_with_ffmpeg(path)] if found]
    return TagSources(tags, reason, _facts(tagged_file))


def _facts(tagged_file: Any) -> dict[str, int | None]:
    """Return the sample rate in hertz, the channels, and the bits per sample of a lossless file."""
    info = getattr(tagged_file, "info", None)
    is_lossy = isinstance(tagged_file, MP4) and getattr(info, "codec", "") != "alac"
    depth = None if is_lossy else getattr(info, "bits_per_sample", None)
    # Opus has no rate of its own: it decodes at 48 kHz.
    sample_rate = 48_000 if isinstance(tagged_file, OggOpus) else getattr(info, "sample_rate", None)
    channels = getattr(info, "channels", None)
    values = {"sample_rate": sample_rate, "channels": channels, "bit_depth": depth}
    return {name: int(value) if value else None for name, value in values.items()}


def _by_precedence(path: str, id3: ID3 | None, ape: APEv2 | None) -> list[Any]:
    """Return ID3v2, APEv2, ID3v1: the last one's texts end after 30 characters."""
    if id3 is None or ape is None:
        return [id3, ape]
    if id3.version[0] == 1:
        return [ape, id3]
    with suppress(Exception):  # it was read before, with ID3v1's values in its gaps
        return [ID3(path, load_v1=False), ape, id3]
    return [id3, ape]


def _read_ape(path: str) -> tuple[APEv2 | None, str | None]:
    try:
        return APEv2(path), None
    except APENoHeaderError:
        return None, None
    except OSError:
        raise
    except Exception as error:
        return None, _reason(error)


def _read_riff_info(path: str) -> TextTags:
    """Return the INFO list of a WAV, by the names of Vorbis comments."""
    found: TextTags = {}
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        position = 12
        while position + 12 <= size:
            file.seek(position)
            name, chunk_bytes = struct.unpack("<4sI", file.read(8))
            if name == b"LIST" and file.read(4) == b"INFO":
                _parse_info(file.read(min(chunk_bytes, _MAX_INFO_BYTES) - 4), found)
            position += 8 + chunk_bytes + chunk_bytes % 2
    return found


def _parse_info(data: bytes, found: TextTags) -> None:
    position = 0
    while position + 8 <= len(data):
        name, count = struct.unpack_from("<4sI", data, position)
        text = _decode_text(data[position + 8 : position + 8 + count])
        if name in _RIFF_INFO_NAMES and text:
            found.setdefault(_RIFF_INFO_NAMES[name], []).append(text)
        position += 8 + count + count % 2


def _decode_text(data: bytes) -> str:
    """Return RIFF's text: UTF-8 if it is valid, else Windows' Latin letters."""
    data = data.split(b"\0")[0]
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace").strip()


def _read_with_ffmpeg(path: str) -> TextTags:
    """Return what FFmpeg reads of a file's tags, by the names of Vorbis comments; nothing if it fails."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-i", f"file:{path}"]
    command += ["-map_metadata:g", "0:s:a:0", "-map_metadata", "0", "-f", "ffmetadata", "pipe:1"]
    try:
        completed = subprocess.run(
            command,
            capture_output=True,
            timeout=_FFMPEG_LIMIT_S,
            preexec_fn=functools.partial(kill_on_parent_exit, os.getpid()),
            check=True,
        )
    except subprocess.SubprocessError:
        return {}
    return _parse_ffmetadata(completed.stdout.decode("utf-8", "replace"))


def _parse_ffmetadata(text: str) -> TextTags:
    """Return the values of FFmpeg's metadata file: `name=value`, special characters after a backslash."""
    found: TextTags = {}
    for line in text.replace("\\\n", " ").splitlines()[1:]:
        name, separator, value = line.partition("=")
        name = name.strip().lower()
        if separator and value and not line.startswith(("[", ";", "#")):
            unescaped = (
                value.replace("\\=", "=").replace("\\;", ";").replace("\\#", "#").replace("\\\\", "\\")
            )
            found.setdefault(_FFMPEG_NAMES.get(name, name), []).append(unescaped)
    return found
