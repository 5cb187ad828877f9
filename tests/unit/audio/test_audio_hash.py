"""The hash of the audio stays through any change of tags, and changes with the audio."""

import hashlib
import subprocess

import mutagen
import pytest
from mutagen.apev2 import APEv2
from mutagen.flac import Picture
from mutagen.id3 import APIC, ID3, TIT2, TXXX
from mutagen.mp4 import MP4Cover

from jobs.audio import decoding
from jobs.audio.audio_hash import hash_file

NAMES = ("a.mp3", "a.flac", "a.ogg", "a.opus", "a.m4a", "a.wav", "a.aac", "flac-in.ogg")
OTHERS = ("a.aiff", "a.caf", "a.wma", "a.wv", "a.tta")


@pytest.fixture
def write(sound, tmp_path):
    """Return a function that writes noise of some seconds in the format of a name."""

    def write(name, seconds=2.0):
        if name in NAMES[:-1]:
            return sound(name, seconds=seconds)
        command = [decoding.ffmpeg_path(), "-v", "error", "-y", "-i", str(sound("x.flac", seconds=seconds))]
        codec = ["-c", "copy"] if name == NAMES[-1] else []
        subprocess.run([*command, *codec, str(tmp_path / name)], check=True)
        return tmp_path / name

    return write


def retag(path, text):
    """Write a text into a file's tags, with a cover larger than any padding."""
    picture = bytes(range(256)) * 400
    if path.suffix == ".aac":
        tags = ID3()
        tags.add(TIT2(text=text))
        tags.save(path)
        return
    if path.suffix == ".caf":  # mutagen does not know it
        other = path.with_name("other.caf")
        command = [decoding.ffmpeg_path(), "-v", "error", "-y", "-i", str(path), "-c", "copy"]
        subprocess.run([*command, "-metadata", f"title={text}", str(other)], check=True)
        other.replace(path)
        return
    tagged = mutagen.File(path)
    if tagged.tags is None:
        tagged.add_tags()
    if path.suffix in (".mp3", ".wav", ".aiff", ".tta"):
        tagged.tags.add(TIT2(text=text))
        tagged.tags.add(APIC(mime="image/png", data=picture))
    elif path.suffix == ".m4a":
        tagged["\xa9nam"] = text
        tagged["covr"] = [MP4Cover(picture)]
    else:
        tagged["title"] = text
        tagged["comment"] = text * 90_000  # over several Ogg pages
    if path.suffix == ".flac":
        cover = Picture()
        cover.data = picture
        tagged.add_picture(cover)
    tagged.save(path)


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_retag_keeps_audio_hash(write, name):
    path = write(name)
    before = hash_file(str(path))
    assert before.file_hash == hashlib.sha256(path.read_bytes()).hexdigest()
    hashes = [before]
    for text in ("Aria", "Another", ""):
        retag(path, text)
        hashes.append(hash_file(str(path)))
    assert len({each.audio_hash for each in hashes}) == 1
    assert len({each.file_hash for each in hashes}) > 2


@pytest.mark.parametrize("name", [*NAMES, *OTHERS])
def test_other_audio_has_other_hash(write, name):
    path = write(name)
    before = hash_file(str(path)).audio_hash
    content = bytearray(path.read_bytes())
    # In the last quarter, which is audio in each of these files; in an MP4 the index may come last.
    position = len(content) * 3 // 4
    content[position] ^= 1
    path.write_bytes(content)
    assert hash_file(str(path)).audio_hash != before
    assert hash_file(str(write(name, seconds=3.0))).audio_hash != before


def test_tags_around_mp3_do_not_count(write):
    path = write("a.mp3")
    mutagen.File(path).delete()
    frames = path.read_bytes()
    bare = hash_file(str(path))
    lyrics = b"LYRICSBEGININD00002LYR00005words"
    lyrics += b"%06d" % len(lyrics) + b"LYRICS200"
    id3v1 = b"TAG" + bytes(125)
    path.write_bytes(frames)
    ape_tags = APEv2()
    ape_tags["Title"] = "x"
    ape_tags.save(str(path))
    ape = path.read_bytes()[len(frames) :]
    path.write_bytes(frames)
    tags = ID3()
    tags.add(TXXX(desc="a", text="b"))
    tags.save(path)
    id3v2 = path.read_bytes()[: -len(frames)]
    for end in (id3v1, ape, lyrics + id3v1, ape + id3v1, ape + lyrics + id3v1, id3v1 + ape):
        path.write_bytes(id3v2 + bytes(5_000) + frames + end)
        assert hash_file(str(path)).audio_hash == bare.audio_hash, end[:8]
    path.write_bytes(frames + b"TAG")  # too short for a tag: it counts
    assert hash_file(str(path)).audio_hash != bare.audio_hash


def test_bare_file_is_its_audio(tmp_path):
    for content in (b"", b"x", b"no audio at all", b"OggS", b"RIFF1234WAVE", b"\0\0\0\x08ftypM4A ", b"fLaC"):
        path = tmp_path / "a"
        path.write_bytes(content)
        hashes = hash_file(str(path))
        assert hashes.file_hash == hashlib.sha256(content).hexdigest()
        assert len(hashes.audio_hash) == 64


def test_audio_larger_than_a_block_is_hashed_whole(tmp_path):
    path = tmp_path / "a.bin"
    content = b"\xff" + bytes(range(256)) * 20_000  # five blocks
    path.write_bytes(content)
    assert hash_file(str(path)).audio_hash == hashlib.sha256(content).hexdigest()
    path.write_bytes(content + b"TAG" + bytes(125))
    assert hash_file(str(path)).audio_hash == hashlib.sha256(content).hexdigest()


def test_dsf_is_its_format_and_samples(tmp_path):
    """DSD has ID3 tags at the end, and a pointer to them in its header."""
    path = tmp_path / "a.dsf"
    sound = b"fmt " + (52).to_bytes(8, "little") + bytes(range(40))
    sound += b"data" + (12 + 999).to_bytes(8, "little") + b"\x69" * 999
    hashes = set()
    for tags in (b"", b"ID3 first", b"ID3 second, longer"):
        sizes = (28 + len(sound) + len(tags), 28 + len(sound) if tags else 0)
        header = b"DSD " + (28).to_bytes(8, "little") + b"".join(n.to_bytes(8, "little") for n in sizes)
        path.write_bytes(header + sound + tags)
        hashes.add(hash_file(str(path)).audio_hash)
    assert hashes == {hashlib.sha256(bytes(range(40)) + b"\x69" * 999).hexdigest()}
