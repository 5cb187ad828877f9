"""A compressed copy gets new tags whole or not at all."""

import errno
import os

import mutagen
import pytest

from jobs.audio import transcode
from jobs.errors import StepError
from jobs.library import compressed_copies
from jobs.library.compressed_copies import has_copy, update_copy


@pytest.fixture
def row(sound, tmp_path):
    """A row of FILES of a file that was retagged after it had been compressed."""
    source = sound("a.mp3")
    copy = tmp_path / "copy.mp3"
    transcode.transcode(str(source), str(copy), bit_rate=64_000, content_hash="ab" * 32, header_s=3.0)
    tagged = mutagen.File(source, easy=True)
    tagged["title"] = "New"
    tagged.save()
    return {"path": str(source), "audio_path": str(copy), "outcome": "compressed"}


def test_copy_gets_the_tags_of_its_source(row, tmp_path):
    assert update_copy(row, parts=str(tmp_path / "parts")) == row
    assert mutagen.File(row["audio_path"], easy=True)["title"] == ["New"]
    assert transcode.read_encoder_tag(row["audio_path"]).content_hash == "ab" * 32
    assert not os.listdir(tmp_path / "parts")


@pytest.mark.parametrize(
    "fault", [ValueError("a tag that mutagen cannot write"), OSError(errno.EACCES, "no")]
)
def test_copy_stays_if_its_tags_cannot_be_written(row, tmp_path, monkeypatch, fault):
    def fail(*_):
        raise fault

    with open(row["audio_path"], "rb") as file:
        before = file.read()
    monkeypatch.setattr(transcode, "update_tags", fail)
    assert update_copy(row, parts=str(tmp_path / "parts")) == row
    with open(row["audio_path"], "rb") as file:
        assert file.read() == before
    assert not os.listdir(tmp_path / "parts")


def test_full_disk_ends_the_step(row, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(compressed_copies.shutil, "copyfile", fail)
    with pytest.raises(StepError, match="No space left"):
        update_copy(row, parts=str(tmp_path / "parts"))


def test_missing_copy_is_left_to_compress(row, tmp_path):
    os.unlink(row["audio_path"])
    assert update_copy(row, parts=str(tmp_path / "parts")) == row
    assert not os.path.exists(row["audio_path"])


def test_file_that_plays_itself_has_no_copy(row):
    assert has_copy(row)
    assert not has_copy({**row, "audio_path": row["path"]})  # in place
    assert not has_copy({**row, "outcome": "unchanged"})
