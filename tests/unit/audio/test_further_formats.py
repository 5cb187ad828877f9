"""Formats beyond those that browsers play: their audio and tags are read, and an MP3 is made of each."""

import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from mutagen.id3 import ID3, TIT2, TPE1

from jobs.audio import decoding
from jobs.audio.tags import read_tags
from jobs.library import scan
from jobs.steps.compress import compress_file

NAMES = {"title": "Jóga", "artist": "Björk", "album": "Homogenic", "track_no": 2, "year": 1997}
OPTIONS = {
    "x.aiff": ("-f", "aiff", "-write_id3v2", "1"),
    "sowt.aifc": ("-f", "aiff", "-c:a", "pcm_s16le", "-write_id3v2", "1"),
    "x.wv": (),
    "x.wma": ("-c:a", "wmav2", "-b:a", "48k"),  # below the target
    "x.mka": ("-c:a", "libopus", "-b:a", "96k"),
    "x.m4b": ("-c:a", "aac", "-f", "ipod"),
    "flac.oga": ("-c:a", "flac", "-f", "ogg"),
    "x.tta": (),
    "x.caf": ("-c:a", "alac"),
    "x.w64": (),
}


def encode(source, target, *options):
    tags = {"title": "Jóga", "artist": "Björk", "album": "Homogenic", "track": "2/10", "date": "1997"}
    metadata = [word for name, value in tags.items() for word in ("-metadata", f"{name}={value}")]
    command = [decoding.ffmpeg_path(), "-v", "error", "-i", str(source), *options, *metadata, str(target)]
    subprocess.run(command, check=True)
    return target


def compressed(path, tmp_path):
    row = {"path": str(path), "library": str(tmp_path), **scan.file_stat(str(path))}
    return compress_file(row, audio_root=str(tmp_path / "audio"), bit_rate=64_000, in_place=False)


@pytest.mark.parametrize("name", OPTIONS)
def test_audio_and_tags_are_read(sound, tmp_path, name):
    path = encode(sound("source.wav"), tmp_path / name, *OPTIONS[name])
    assert path.suffix in decoding.EXTENSIONS
    row = compressed(path, tmp_path)
    assert row["outcome"] == "compressed" and row["duration_s"] == pytest.approx(3, abs=0.1)
    suffix = Path(row["audio_path"]).suffix
    assert suffix == (path.suffix if path.suffix in (".m4b", ".oga") else ".mp3")
    if path.suffix in (".tta", ".caf", ".w64"):
        return  # FFmpeg writes no tags that others read
    for tagged, library in ((path, tmp_path), (Path(row["audio_path"]), tmp_path / "audio")):
        found = read_tags(str(tagged), str(library))
        known = {key: value for key, value in NAMES.items() if name != "x.mka" or key in ("title", "artist")}
        assert {key: found[key] for key in known} == known, tagged


def test_dsd_is_read(tmp_path):
    """One second of the tone of 441 Hz that a first-order modulator makes of a square wave."""
    rate, n_bits = 2_822_400, 2_822_400
    square = np.where(np.arange(n_bits) // 3_200 % 2, 0.5, -0.5)
    ones = np.diff(np.floor(np.cumsum((square + 1) / 2)), prepend=0).astype(np.uint8)
    data = np.packbits(ones, bitorder="little").tobytes()
    data += bytes(-len(data) % 4_096)
    head = struct.pack("<4sQIIIIIIQII", b"fmt ", 52, 1, 0, 1, 1, rate, 1, n_bits, 4_096, 0)
    body = head + struct.pack("<4sQ", b"data", 12 + len(data)) + data
    path = tmp_path / "x.dsf"
    path.write_bytes(struct.pack("<4sQQQ", b"DSD ", 28, 28 + len(body), 28 + len(body)) + body)
    tags = ID3()
    tags.add(TIT2(encoding=3, text="Jóga"))
    tags.add(TPE1(encoding=3, text="Björk"))
    tags.save(tmp_path / "tags")
    tag = (tmp_path / "tags").read_bytes()
    whole = bytearray(path.read_bytes() + tag)
    whole[12:28] = struct.pack("<QQ", len(whole), len(whole) - len(tag))
    path.write_bytes(whole)
    row = compressed(path, tmp_path)
    assert (row["outcome"], round(row["duration_s"], 1)) == ("compressed", 1.0)
    assert read_tags(str(path), str(tmp_path))["artist"] == "Björk"


@pytest.mark.parametrize("name", ["x.aiff", "x.wv", "x.wma", "x.tta", "x.mka"])
def test_half_a_file_is_truncated(sound, tmp_path, name):
    path = encode(sound("source.wav", seconds=6.0), tmp_path / name, *OPTIONS[name])
    os.truncate(path, path.stat().st_size // 2)
    row = compressed(path, tmp_path)
    assert row["outcome"] == "rejected" and "6.0 s of audio as the header says, found" in row["error"]


def test_video_without_audio_is_rejected(tmp_path):
    """Its bit rate is below the target, and mutagen has a length for it: the video's."""
    path = tmp_path / "x.m4a"
    source = ("-f", "lavfi", "-i", "testsrc=d=3:s=64x64:r=10", "-c:v", "mpeg4", "-f", "mp4")
    subprocess.run([decoding.ffmpeg_path(), "-v", "error", *source, str(path)], check=True)
    row = compressed(path, tmp_path)
    assert row["outcome"] == "rejected" and row["error"].startswith("expected audio")


def test_decomposed_names_of_macos_are_composed(tmp_path):
    found = read_tags(os.fspath(write(tmp_path / "Bjo\u0308rk" / "Jo\u0301ga.wav")), str(tmp_path))
    assert (found["artist"], found["title"]) == ("Björk", "Jóga")


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x44\xac\0\0\x88\x58\1\0\2\0\x10\0data\0\0\0\0"
    )
    return path
