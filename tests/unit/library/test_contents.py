"""Which content a new or changed file has: pure decisions on hashes. The hashes: tests/unit/audio."""

import subprocess

import pytest

from jobs.audio import decoding, transcode
from jobs.library.contents import FileHashes, read_hashes, resolve


def row(path, content, *, file_hash="", audio="song", outcome="unchanged"):
    hashes = {"file_hash": file_hash or content, "audio_hash": audio}
    return {"path": path, "content_hash": content, "outcome": outcome, **hashes}


def known(*rows):
    return {each["path"]: each for each in rows}


def hashed(**files):
    """Return hashes by path below /m: `a="bytes"` or `a="bytes source"`, all with the audio "song"."""
    return {
        f"/m/{name}": FileHashes(text.split()[0], "song", text.split()[1] if " " in text else None)
        for name, text in files.items()
    }


def contents(files, rows=(), remembered=(), *, unchanged=()):
    scanned = {*files, *unchanged}
    found = resolve(files, known(*rows), list(remembered), scanned=scanned, prefix="/m/")
    return {path.rpartition("/")[2]: content.content_hash for path, content in found.items()}


def remember(content, audio="song"):
    return {"content_hash": content, "audio_hash": audio}


def test_new_bytes_are_a_new_content():
    assert contents(hashed(a="x"), [row("/m/b", "y", audio="other")], unchanged=["/m/b"]) == {"a": "x"}


def test_retagged_file_keeps_its_content():
    assert contents(hashed(a="new"), [row("/m/a", "old")]) == {"a": "old"}


def test_moved_and_retagged_file_keeps_its_content():
    assert contents(hashed(b="new"), [row("/m/a", "old")]) == {"b": "old"}


def test_row_of_older_version_is_known_by_its_bytes():
    legacy = {**row("/m/a", "old"), "file_hash": None, "audio_hash": None}
    assert contents(hashed(b="old"), [legacy]) == {"b": "old"}
    assert contents(hashed(b="new"), [legacy]) == {"b": "new"}  # its audio is not known


def test_copy_with_other_tags_is_a_track_of_its_own():
    """The same audio on an album and on a compilation."""
    rows = [row("/m/album", "old")]
    assert contents(hashed(compilation="new"), rows, unchanged=["/m/album"]) == {"compilation": "new"}
    rows.append(row("/m/compilation", "old"))  # it was an exact copy, and has got its own tags
    assert contents(hashed(compilation="new"), rows, unchanged=["/m/album"]) == {"compilation": "new"}


def test_one_of_two_retagged_files_takes_a_content():
    rows = [row("/m/a", "one"), row("/m/b", "two")]
    assert contents(hashed(a="x", b="y"), rows) == {"a": "one", "b": "two"}
    assert contents(hashed(c="x", b="y"), rows) == {"b": "two", "c": "one"}
    assert contents(hashed(c="x", d="y", e="z"), rows) == {"c": "one", "d": "two", "e": "z"}


def test_two_copies_with_the_same_new_tags_stay_one_content():
    rows = [row("/m/a", "old"), row("/m/b", "old")]
    assert contents(hashed(a="new", b="new"), rows) == {"a": "old", "b": "old"}


def test_exact_bytes_precede_the_audio():
    """The file itself was copied elsewhere, and then retagged."""
    assert contents(hashed(a="new", b="old"), [row("/m/a", "old")]) == {"a": "new", "b": "old"}


def test_second_copy_of_a_retagged_file_follows_it():
    rows = [row("/m/a", "old", file_hash="new")]
    assert contents(hashed(b="new"), rows, unchanged=["/m/a"]) == {"b": "old"}


def test_original_bytes_beside_a_retagged_file_are_another_content():
    rows = [row("/m/a", "old", file_hash="new")]
    found = contents(hashed(b="old"), rows, [remember("old")], unchanged=["/m/a"])["b"]
    assert found not in ("old", "new") and len(found) == 64


@pytest.mark.parametrize("file_hash", ["old", "retagged meanwhile"])
def test_deleted_file_comes_back(file_hash):
    files = {"/m/a": FileHashes(file_hash, "song", None)}
    assert contents(files, [], [remember("old"), remember("other", "noise")]) == {"a": "old"}


def test_encoder_tag_names_the_content():
    assert contents(hashed(a="x source"), [row("/m/a", "old")]) == {"a": "source"}


def test_rejected_row_gives_no_content():
    assert contents(hashed(a="new"), [row("/m/a", "old", outcome="rejected")]) == {"a": "new"}


def test_file_in_another_library_keeps_its_content(tmp_path):
    other = tmp_path / "song.mp3"
    other.write_bytes(b"x")
    assert contents(hashed(a="new"), [row(str(other), "old")]) == {"a": "new"}
    other.unlink()
    assert contents(hashed(a="new"), [row(str(other), "old")]) == {"a": "old"}


def test_known_row_is_that_of_the_nearest_path():
    rows = known(row("/m/x/a.mp3", "old"), row("/m/b.mp3", "old"))
    files = {"/m/y/b.mp3": FileHashes("old", "song", None)}
    found = resolve(files, rows, [], scanned=set(files), prefix="/m/")
    assert found["/m/y/b.mp3"].row == rows["/m/b.mp3"]


def test_copied_encoder_tag_counts_for_nothing(sound, tmp_path):
    """A tagger or an editor copies all tags, Segue's own as well, to other audio."""
    source = sound("a.mp3")
    compressed, edited = tmp_path / "b.mp3", tmp_path / "c.mp3"
    transcode.transcode(str(source), str(compressed), bit_rate=64_000, content_hash="ab" * 32, header_s=3.0)
    command = [decoding.ffmpeg_path(), "-v", "error", "-i", compressed, "-t", "1", "-c", "copy", edited]
    subprocess.run(list(map(str, command)), check=True)
    assert transcode.read_encoder_tag(str(edited)).content_hash == "ab" * 32
    assert read_hashes(str(compressed)).source_hash == "ab" * 32
    assert read_hashes(str(edited)).source_hash is None
