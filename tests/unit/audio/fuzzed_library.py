"""A corpus of damaged files, made from real recordings by a seed: nothing of them is stored in the project.

Short clips in every format are cut, hit by bit flips, spliced with other headers, renamed and tagged oddly.
"""

import io
import subprocess
from pathlib import Path

import numpy as np
from mutagen.id3 import ID3, TDRC, TIT2

from jobs.audio import decoding
from tests.unit.conftest import CODECS

_MUXERS = {".m4a": "ipod", ".opus": "ogg", ".aac": "adts"}
_FOREIGN_HEADERS = (
    b"RIFF\xff\xff\xff\xffWAVE",
    b"fLaC\0\0\0\x22",
    b"OggS",
    b"ID3\x03\0\0\0\0\xff\xf5",
    bytes(3_000),
)


def write_clips(recordings: list[Path], folder: Path, random: np.random.Generator) -> list[Path]:
    """Write a clip of 2 to 5 s of each recording in each format; return their paths."""
    clips = []
    for number, recording in enumerate(recordings):
        for extension, codec in CODECS.items():
            clip = folder / f"{number}{extension}"
            seconds = f"{random.uniform(2, 5):.2f}"
            command = [decoding.ffmpeg_path(), "-v", "error", "-ss", "5", "-t", seconds, "-i", str(recording)]
            command += ["-map", "0:a:0", *codec, "-f", _MUXERS.get(extension, extension[1:]), str(clip)]
            subprocess.run(command, check=True)
            clips.append(clip)
    return clips


def _cut(data: bytes, random: np.random.Generator, _others: list[bytes]) -> bytes:
    return data[: int(len(data) * random.uniform(0, 1))]


def _flip_bits(data: bytes, random: np.random.Generator, _others: list[bytes]) -> bytes:
    changed = bytearray(data)
    for position in random.integers(0, len(data), random.integers(1, 30)):
        changed[position] ^= 1 << int(random.integers(8))
    return bytes(changed)


def _flip_header_bits(data: bytes, random: np.random.Generator, others: list[bytes]) -> bytes:
    return _flip_bits(data[:300], random, others) + data[300:]


def _splice_header(data: bytes, random: np.random.Generator, _others: list[bytes]) -> bytes:
    return _FOREIGN_HEADERS[random.integers(len(_FOREIGN_HEADERS))] + data


def _join(data: bytes, random: np.random.Generator, others: list[bytes]) -> bytes:
    return data + others[random.integers(len(others))]


def _drop_middle(data: bytes, random: np.random.Generator, _others: list[bytes]) -> bytes:
    start = int(random.uniform(0.1, 0.8) * len(data))
    return data[:start] + data[start + int(random.uniform(1, 5_000)) :]


def _tag(data: bytes, random: np.random.Generator, _others: list[bytes]) -> bytes:
    tags, content = ID3(), io.BytesIO()
    tags.add(TIT2(encoding=3, text="\ufeff&quot;\0" + "x" * int(random.integers(0, 5_000))))
    tags.add(TDRC(encoding=3, text="20110719"))
    tags.save(content)
    tag = bytearray(content.getvalue())
    if random.random() < 0.5:
        tag[random.integers(3, len(tag))] ^= 0xFF
    return bytes(tag) + data


def _keep(data: bytes, _random: np.random.Generator, _others: list[bytes]) -> bytes:
    return data


_CHANGES = (_cut, _flip_bits, _flip_header_bits, _splice_header, _join, _drop_middle, _tag, _keep)


def write_corpus(clips: list[Path], folder: Path, count: int, random: np.random.Generator) -> list[Path]:
    """Write `count` damaged files, each by one or two changes; return their paths."""
    contents = {clip: clip.read_bytes() for clip in clips}
    extensions = sorted(CODECS)
    paths = []
    for number in range(count):
        clip = clips[number % len(clips)]
        data = contents[clip]
        same_format = [other for path, other in contents.items() if path.suffix == clip.suffix]
        names = []
        for change in random.choice(len(_CHANGES), random.integers(1, 3), replace=False):
            names.append(_CHANGES[change].__name__)
            data = _CHANGES[change](data, random, same_format)
            if not data:
                break
        has_wrong_suffix = random.random() < 0.15
        extension = extensions[random.integers(len(extensions))] if has_wrong_suffix else clip.suffix
        path = folder / f"{number}{''.join(names)}-{clip.suffix[1:]}{extension}"
        path.write_bytes(data)
        paths.append(path)
    return paths
