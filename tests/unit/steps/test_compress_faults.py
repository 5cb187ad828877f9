"""Unusable files, files that change meanwhile, and disks that are full or lost."""

import errno
import os
import random
import shutil

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.id3 import APIC

from jobs import errors
from jobs.audio import decoding, transcode
from jobs.errors import StepError
from jobs.spark import file_tasks
from jobs.steps import compress
from tests.unit.steps.conftest import digest, half, scan_files, while_compressing


@pytest.mark.parametrize("where", ["to_lake", "in_place"])
def test_file_changed_meanwhile_is_not_replaced(sound, tmp_path, where, request, monkeypatch):
    path = sound("song.mp3")
    before = path.read_bytes()
    while_compressing(monkeypatch, lambda: path.write_bytes(before + b"more"))
    row = request.getfixturevalue(where)()["song.mp3"]
    assert (
        row["error"]
        == "expected the file to stay as it is while it is compressed, found it changed meanwhile"
    )
    assert path.read_bytes() == before + b"more" and os.listdir(tmp_path) == ["song.mp3"]


@pytest.mark.parametrize(
    ("name", "break_it", "reason"),
    [
        (
            "x.mp3",
            lambda p: p.write_bytes(b"version https://git-lfs.github.com/spec/v1"),
            "found a Git LFS pointer",
        ),
        ("x.mp3", lambda p: p.write_text("../elsewhere.mp3"), "found text ('../elsewhere.mp3')"),
        ("x.mp3", lambda p: p.write_bytes(b""), "found an empty file"),
        ("x.mp3", lambda p: (p.unlink(), p.mkdir()), "found a directory"),
        ("x.mp3", lambda p: (p.unlink(), os.mkfifo(p)), "found something else (a pipe"),
        ("x.mp3", half, "s: truncated"),
        ("x.ogg", half, "ends inside one: truncated"),
        ("x.opus", half, "ends inside one: truncated"),
        ("x.wav", half, "s: truncated"),
        ("x.flac", half, "s: truncated"),
        ("x.m4a", half, "s: truncated"),
        ("x.mp3", lambda p: p.write_bytes(bytes(9_999)), "found zero bytes"),
        ("x.wav", lambda p: p.write_bytes(p.read_bytes()[:44]), "found"),
        ("x.flac", lambda p: p.write_bytes(p.read_bytes()[:9_000] + b"\x5a" * 900_000), "found"),
    ],
)
def test_unusable_file_has_reason(sound, to_lake, in_place, name, break_it, reason):
    path = sound(name, seconds=6)
    break_it(path)
    for run in (to_lake, in_place):
        row = run()[name]
        assert row["outcome"] == "rejected" and reason in row["error"], row
        assert row["error"].startswith("expected ") and "\n" not in row["error"]
        assert os.listdir(path.parent) == [name]


def test_an_unreadable_file_says_so(sound, own_folder, ordinary_user, run):
    shutil.copy(sound("x.mp3"), own_folder)
    (own_folder / "x.mp3").chmod(0)
    with ordinary_user():
        row = run(own_folder, audio_root=own_folder / "lake")["x.mp3"]
    assert row["error"] == "expected a file that can be read and written, found: Permission denied"


def test_in_place_read_only_folder_is_rejected(sound, own_folder, ordinary_user, in_place):
    shutil.copy(sound("x.mp3"), own_folder)
    (own_folder / "x.mp3").chmod(0o644)
    before = digest(own_folder / "x.mp3")
    own_folder.chmod(0o555)
    with ordinary_user():
        row = in_place(own_folder)["x.mp3"]
    assert row["error"] == "expected a file that can be read and written, found: Permission denied"
    assert digest(own_folder / "x.mp3") == before


def test_to_lake_works_for_read_only_folder(sound, own_folder, ordinary_user, run):
    (own_folder / "music").mkdir()
    (own_folder / "lake").mkdir()
    (own_folder / "lake").chmod(0o777)
    shutil.copy(sound("x.mp3"), own_folder / "music")
    (own_folder / "music" / "x.mp3").chmod(0o444)
    (own_folder / "music").chmod(0o555)
    with ordinary_user():
        assert run(own_folder / "music", audio_root=own_folder / "lake")["x.mp3"]["outcome"] == "compressed"


@pytest.fixture
def full_disk(monkeypatch, tmp_path_factory):
    """Let FFmpeg write what it makes of `full.*` to /dev/full, where every write fails as on a full disk."""
    program = tmp_path_factory.mktemp("bin") / "ffmpeg"
    program.write_text(
        "#!/bin/bash\n"
        'case " $* " in *"/full."*)\n'
        '  for word; do case "$word" in file:*) target=$word; esac; done\n'
        '  set -- "${@/#$target/file:/dev/full}"\n'
        "esac\n"
        f'exec "{decoding.ffmpeg_path()}" "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(decoding, "ffmpeg_path", lambda: str(program))


@pytest.mark.parametrize("where", ["to_lake", "in_place"])
def test_disk_full_raises_and_leaves_nothing(sound, full_disk, tmp_path, where, request):
    """No row at all: the one of an earlier bit rate stays, and the next run tries again by itself."""
    before = digest(sound("full.flac"))
    with pytest.raises(
        StepError, match=r"found at .*/full.flac: No space left on device; .* re-run the same command"
    ):
        request.getfixturevalue(where)()
    assert digest(tmp_path / "full.flac") == before and os.listdir(tmp_path) == ["full.flac"]


def test_disk_full_while_writing_tags_raises(sound, to_lake, monkeypatch):
    def full(*_):
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise mutagen.MutagenError(error)  # noqa: B904 - as mutagen does

    sound("song.mp3")
    monkeypatch.setattr(transcode, "_write_tags", full)
    with pytest.raises(StepError, match="No space left on device"):
        to_lake()


def test_disk_lost_while_reading_raises(sound, to_lake, monkeypatch):
    def away(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    half(sound("song.mp3"))
    assert "truncated" in to_lake()["song.mp3"]["error"]
    monkeypatch.setattr(
        file_tasks, "open", away, raising=False
    )  # what comes after the decoders, who only see an end
    assert "truncated" in to_lake()["song.mp3"]["error"]  # one bad sector must not stop every other file
    monkeypatch.setattr(errors, "_is_folder_readable", lambda path: not path.endswith("/song.mp3"))
    with pytest.raises(StepError, match=r"found at .*/song.mp3: Input/output error"):
        to_lake()


@pytest.mark.parametrize("where", ["to_lake", "in_place"])
def test_file_deleted_meanwhile_has_no_row(sound, tmp_path, where, request, monkeypatch):
    path = sound("song.mp3")
    while_compressing(monkeypatch, path.unlink)
    assert request.getfixturevalue(where)()["song.mp3"] is None and os.listdir(tmp_path) == []


def limited(limit, row, folder):
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return compress.compress_file(row, audio_root=folder, bit_rate=64_000, in_place=False)


@pytest.mark.parametrize(("limit", "reason"), [(10_000, "FFmpeg"), (60_000, "File too large")])
def test_disk_full_at_any_stage_leaves_nothing(sound, forkserver, tmp_path, limit, reason):
    """Audio is 24 kB, its cover 100 kB: the first limit stops FFmpeg, the second mutagen."""
    path = sound("song.mp3")
    tagged = mutagen.File(path)
    tagged.tags.add(
        APIC(encoding=3, mime="image/png", type=3, desc="", data=random.Random(1).randbytes(100_000))
    )
    tagged.save()
    with forkserver.Pool(1) as pool:
        row = pool.apply(limited, (limit, scan_files(tmp_path)[0], str(tmp_path / "audio")))
    assert row["outcome"] == "rejected" and reason in row["error"]
    assert not [path for path in (tmp_path / "audio").rglob("*") if path.is_file()]


@pytest.mark.parametrize("where", ["to_lake", "in_place"])
def test_hanging_ffmpeg_rejects_one_file(tmp_path, hanging_ffmpeg, where, request):
    (tmp_path / "music").mkdir()
    path = tmp_path / "music" / "x.wav"
    soundfile.write(path, np.zeros(44_100), 44_100)
    row = request.getfixturevalue(where)(tmp_path / "music")["x.wav"]
    assert row["error"] == "expected FFmpeg to be done within 1 s, found it still at work"
    assert os.listdir(path.parent) == ["x.wav"]
