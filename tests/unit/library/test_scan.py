import errno
import os

import pytest

from jobs.errors import InputError, StepError
from jobs.library import listing, scan


def names(found):
    return [os.path.basename(str(file["path"])) for file in found.files]


def test_scan_finds_audio_and_counts_others(tmp_path):
    for name in (
        "b.MP3",
        "a.ogg",
        "notes.txt",
        "deep/er/c.flac",
        ".hidden.mp3",
        "lake/audio/x.mp3",
        "odd.mp3/in.wav",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link.mp3").symlink_to("/etc/passwd")
    found = scan.scan(str(tmp_path), tmp_path / "lake")
    assert names(found) == [".hidden.mp3", "a.ogg", "b.MP3", "c.flac", "odd.mp3", "in.wav"]
    assert found.skipped == {".txt": 1, "link": 1}


@pytest.mark.parametrize(
    "name",
    ["...And Justice/a.mp3", ".5 The Gray Chapter/a.mp3", ".hidden.mp3", ".38 Special/.a.ogg", "_x/a.mp3"],
)
def test_name_with_leading_dot_is_music(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"x")
    found = scan.scan(str(tmp_path), tmp_path / "lake")
    assert [file["path"] for file in found.files] == [str(tmp_path / name)] and not found.skipped


@pytest.mark.parametrize(
    "name",
    [
        *(".git/a.mp3", ".Trash-1000/files/a.mp3", ".Trashes/a.mp3", "._a.mp3", "@eaDir/a.mp3"),
        *("lost+found/a.mp3", "$RECYCLE.BIN/a.mp3", "__MACOSX/a.mp3", ".stversions/a.mp3", ".nfs00ab.mp3"),
    ],
)
def test_hidden_entry_is_counted_and_named(tmp_path, name, caplog):
    for path in (tmp_path / name, tmp_path / "b.mp3"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    found = scan.scan(str(tmp_path), tmp_path / "lake")
    assert names(found) == ["b.mp3"] and found.skipped == {"hidden": 1}
    assert found.hidden == [str(tmp_path / name.split("/")[0])]
    caplog.set_level("INFO")
    scan.log_skipped(found)
    assert found.hidden[0] in caplog.text and "1 hidden" in caplog.text


def test_linked_folder_is_not_walked(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a.mp3").write_bytes(b"x")
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "b.mp3").write_bytes(b"x")
    (tmp_path / "library" / "way-out").symlink_to(tmp_path / "outside")
    assert names(scan.scan(str(tmp_path / "library"), tmp_path / "lake")) == ["b.mp3"]


def test_linked_lake_is_not_walked(tmp_path):
    for name in ("music/a.mp3", "music/lake/audio/64k/b.mp3"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "music")
    assert names(scan.scan(str(tmp_path / "link"), tmp_path / "link" / "lake")) == ["a.mp3"]


def test_folder_without_access_rejects_its_files(own_folder, ordinary_user):
    for name in ("a.mp3", "closed/b.mp3", "closed/deep/c.mp3"):
        (own_folder / name).parent.mkdir(parents=True, exist_ok=True)
        (own_folder / name).write_bytes(b"x")
    (own_folder / "closed").chmod(0o644)
    with ordinary_user():
        found = scan.scan(str(own_folder), own_folder / "lake").files
        rows = {os.path.basename(file["path"]): listing.list_file(file) for file in found}
        there = [scan.exists(file["path"]) for file in found]
    (own_folder / "closed").chmod(0o755)
    assert [name for name, row in rows.items() if "Permission denied" in row["error"]] == ["b.mp3", "deep"]
    assert list(rows) == ["a.mp3", "b.mp3", "deep"] and all(there)  # still there, so that their rows stay


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO])
def test_failing_disk_raises_during_walk(tmp_path, monkeypatch, number):
    def away(path):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "scandir", away)
    with pytest.raises(StepError, match=f"found at {tmp_path}/: {os.strerror(number)}"):
        scan.scan(str(tmp_path), tmp_path / "lake")
    monkeypatch.setattr(os, "lstat", away)
    with pytest.raises(StepError, match=os.strerror(number)):
        scan.exists(str(tmp_path / "a.mp3"))


@pytest.mark.parametrize(("make", "found"), [(None, "nothing"), ("file", "a file"), ("folder", "1 .txt")])
def test_no_music_raises_one_line(tmp_path, make, found):
    folder = tmp_path / "music"
    if make == "file":
        folder.write_text("x")
    elif make == "folder":
        folder.mkdir()
        (folder / "a.txt").write_text("x")
    with pytest.raises(InputError, match=f"expected .*found {found}") as error:
        scan.scan(str(folder), tmp_path / "lake")
    assert "\n" not in str(error.value)


def test_file_stat_follows_content(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(b"x")
    before = scan.file_stat(str(path))
    assert before == scan.file_stat(str(path))
    path.write_bytes(b"xy")
    assert before != scan.file_stat(str(path))
