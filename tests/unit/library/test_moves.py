"""A folder that was renamed is recognized by the stat of its files."""

import os
import shutil

import pyarrow as pa
import pytest

from jobs.errors import InputError
from jobs.lake.schemas import FILES
from jobs.lake.storage import Lake
from jobs.library import moves, scan


@pytest.fixture
def music(tmp_path):
    for name in ("Ada/01.mp3", "Ada/02.mp3", "Bo/01.mp3"):
        path = tmp_path / "old" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * len(name))
    return tmp_path / "old"


def listed(folder):
    """Return rows of FILES as for files that are used as they are."""
    files = scan.scan(str(folder), folder / "lake").files
    extra = {"outcome": "not_tried", "content_hash": "h", "moved_from": None}
    return {file["path"]: {**file, **extra, "audio_path": file["path"]} for file in files}


def found(folder, known):
    return moves.find_moved(scan.scan(str(folder), folder / "lake"), known)


def test_renamed_folder_is_found(music, tmp_path):
    known = listed(music)
    music.rename(tmp_path / "new")
    moved = found(tmp_path / "new", known)
    assert {row["moved_from"] for row in moved.rows.values()} == set(known)
    for path, row in moved.rows.items():
        assert row["path"] == row["audio_path"] == path == row["moved_from"].replace("/old/", "/new/")
        assert row["library"] == str(tmp_path / "new") and row["content_hash"] == "h"
    assert moved.gone_folders == {str(music)}


def test_compressed_audio_stays_where_it_is(music, tmp_path):
    known = {path: {**row, "audio_path": "/lake/a.mp3"} for path, row in listed(music).items()}
    music.rename(tmp_path / "new")
    assert {row["audio_path"] for row in found(tmp_path / "new", known).rows.values()} == {"/lake/a.mp3"}


def test_folder_that_is_there_has_not_moved(music, tmp_path):
    known = listed(music)
    shutil.copytree(music, tmp_path / "new")
    assert not found(tmp_path / "new", known).rows and not found(music, known).rows
    shutil.rmtree(music)  # a copy has another change time: its content tells
    assert not found(tmp_path / "new", known).rows


def test_renamed_album_in_the_library(music):
    known = listed(music)
    (music / "Ada").rename(music / "Ada L")
    moved = found(music, known)
    assert sorted(moved.rows) == [str(music / "Ada L/01.mp3"), str(music / "Ada L/02.mp3")]
    assert moved.gone_folders == {str(music / "Ada")}


def test_part_of_a_folder_that_moved_leaves_the_rest(music, tmp_path):
    known = listed(music)
    (tmp_path / "new").mkdir()
    (music / "Ada").rename(tmp_path / "new" / "Ada")
    moved = found(tmp_path / "new", known)
    assert len(moved.rows) == 2 and not moved.gone_folders


def test_files_that_look_alike_are_not_guessed(music, tmp_path):
    known = listed(music)
    os.link(music / "Ada/01.mp3", music / "Bo/02.mp3")
    known |= listed(music)
    music.rename(tmp_path / "new")
    moved = found(tmp_path / "new", {**known, "/gone/02.mp3": {**known[str(music / "Bo/02.mp3")]}})
    assert str(tmp_path / "new/Bo/02.mp3") not in moved.rows


def test_mount_of_the_same_folder(music, tmp_path, monkeypatch):
    known = listed(music)
    mounted = tmp_path / "mounted"
    music.rename(mounted)
    music.symlink_to(mounted)  # the old paths still lead to the same folders, as with a bind mount
    assert len(found(mounted, known).rows) == 3


@pytest.mark.parametrize("spelling", ["{}/", "{}/.", "{}/../old", "{}-link"])
def test_other_spelling_of_a_library_is_the_same(music, spelling):
    music.with_name("old-link").symlink_to(music)
    library = scan.scan(spelling.format(music), music / "lake")
    assert {file["path"] for file in library.files} == set(listed(music))
    assert not moves.find_moved(library, listed(music)).rows


def commit(lake, rows):
    table = pa.Table.from_pylist(list(rows), schema=FILES.arrow_schema())
    lake.commit_arrow(FILES, table.to_batches())


def test_library_that_moved_is_described(music, tmp_path):
    lake = Lake(tmp_path / "lake")
    known = listed(music)
    commit(lake, known.values())
    music.rename(tmp_path / "new")
    with pytest.raises(InputError, match="expected a folder of music, found nothing"):
        moves.scan_library(str(music), lake)  # nobody knows yet where it is
    moved = found(tmp_path / "new", known)
    commit(lake, moved.rows.values())
    line = moves.scan_library(str(music) + "/", lake).describe()
    assert line == f"{music} has moved to {tmp_path / 'new'} (3 files); name that folder from now on"
    commit(lake, [*list(moved.rows.values())[:2], known[str(music / "Bo/01.mp3")]])
    line = moves.scan_library(str(music), lake).describe()
    assert "(2 files; not found, but still in the lake: 1)" in line
    commit(lake, [*list(moved.rows.values())[:1], *list(known.values())[1:]])  # its disk is away, rather
    music.mkdir()
    with pytest.raises(InputError, match="expected audio"):
        moves.scan_library(str(music), lake)
