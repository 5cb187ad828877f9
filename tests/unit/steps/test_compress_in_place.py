"""Compression in place: names, links, and kills at any moment."""

import functools
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from jobs.audio import decoding, transcode
from jobs.lake.storage import Lake
from jobs.library import scan
from jobs.steps import compress
from tests.unit.steps.conftest import digest, scan_files, while_compressing


@pytest.mark.parametrize("extension", [".mp3", ".ogg", ".opus", ".m4a"])
def test_in_place_preserves_name_mode_and_time(sound, in_place, extension):
    path = sound("song" + extension)
    size, before = os.path.getsize(path), digest(path)
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18 + 123_456_789))
    row = in_place()["song" + extension]
    assert (row["outcome"], row["path"], row["audio_path"]) == ("compressed", str(path), str(path))
    status = os.stat(path)
    assert status.st_size < 0.6 * size and status.st_mode & 0o777 == 0o640
    assert status.st_mtime_ns == 10**18 + 123_456_789
    assert row["content_hash"] == before == transcode.read_encoder_tag(str(path)).content_hash
    assert {name: row[name] for name in ("size", "mtime_ns", "ctime_ns")} == scan.file_stat(str(path))
    assert os.listdir(path.parent) == [path.name]


def test_in_place_second_run_changes_nothing(sound, in_place):
    path = sound("song.mp3")
    first = in_place()["song.mp3"]
    after = os.stat(path)
    second = in_place()["song.mp3"]  # as if the tables were deleted: only the encoder tag remains
    assert second == first and os.stat(path).st_ino == after.st_ino


def test_in_place_lower_bit_rate_has_same_content_hash(sound, in_place):
    path = sound("song.mp3")
    before = digest(path)
    in_place()
    size = os.path.getsize(path)
    row = in_place(bit_rate=32_000)["song.mp3"]
    assert row["content_hash"] == before and os.path.getsize(path) < 0.6 * size
    assert transcode.read_encoder_tag(str(path)).target_bit_rate == 32_000


@pytest.mark.parametrize("extension", [".flac", ".wav", ".aac"])
def test_in_place_other_format_gets_new_extension(sound, in_place, tmp_path, extension):
    before = digest(sound("song" + extension))
    row = in_place()["song" + extension]
    new = tmp_path / ("song.m4a" if extension == ".aac" else "song.mp3")
    assert (row["path"], row["audio_path"], row["content_hash"]) == (str(new), str(new), before)
    assert os.listdir(tmp_path) == [new.name]
    assert in_place()[new.name] == row | {"path": str(new)}


def test_in_place_overwrites_no_other_file(sound, in_place, tmp_path):
    sound("song.wav", seconds=2)
    sound("song.flac", seconds=3)
    existing_hash = digest(sound("song.mp3", "-b:a", "32k", seconds=4))
    in_place()
    assert sorted(os.listdir(tmp_path)) == ["song.flac.mp3", "song.mp3", "song.wav.mp3"]
    assert digest(tmp_path / "song.mp3") == existing_hash
    assert decoding.decoded_duration(str(tmp_path / "song.wav.mp3")) == pytest.approx(2, abs=0.05)


def test_in_place_two_processes_want_one_name(sound, forkserver, tmp_path):
    """song.flac and song.wav both want song.mp3; a rename would let the second overwrite the first."""
    hashes = {digest(sound("song.flac", seconds=2)), digest(sound("song.wav", seconds=3))}
    function = functools.partial(
        compress.compress_file, audio_root="/tmp/unused", bit_rate=64_000, in_place=True
    )
    with forkserver.Pool(2) as pool:
        pool.map(function, scan_files(tmp_path), chunksize=1)
    encoder_tags = [transcode.read_encoder_tag(str(path)) for path in tmp_path.iterdir()]
    assert {encoder_tag.content_hash for encoder_tag in encoder_tags} == hashes and len(encoder_tags) == 2


def test_in_place_without_free_name_leaves_original(sound, in_place, tmp_path):
    before = digest(sound("song.flac"))
    for name in ("song.mp3", "song.flac.mp3"):
        (tmp_path / name).write_text("mine")
    row = in_place()["song.flac"]
    assert "expected a free name for the compressed file, found" in row["error"]
    assert digest(tmp_path / "song.flac") == before and (tmp_path / "song.mp3").read_text() == "mine"
    assert len(os.listdir(tmp_path)) == 3


def test_in_place_finishes_killed_replacement(sound, in_place, tmp_path):
    original = sound("song.flac")
    shutil.copy(original, tmp_path / "copy")
    in_place()
    (tmp_path / "copy").rename(original)  # as if killed after the rename, before the original went
    in_place()
    assert os.listdir(tmp_path) == ["song.mp3"]


def test_in_place_repeated_task_finds_result(sound, tmp_path, in_place):
    sound("song.flac")
    task = scan_files(tmp_path)[0]
    first = in_place()["song.flac"]
    again = compress.compress_file(task, audio_root="/tmp/unused", bit_rate=64_000, in_place=True)
    assert again == first


def test_in_place_opus_replaces_the_original_once(sound, tmp_path, in_place):
    before = digest(sound("song.flac"))
    task = scan_files(tmp_path)[0]
    first = in_place(codec="opus")["song.flac"]
    assert os.listdir(tmp_path) == ["song.opus"] and first["content_hash"] == before
    # A task that is run again after a crash, and a run with another codec, find the result.
    again = compress.compress_file(
        task, audio_root="/tmp/unused", bit_rate=64_000, in_place=True, codec="opus"
    )
    assert again == first and in_place(codec="mp3")["song.opus"]["audio_path"] == first["audio_path"]
    assert os.listdir(tmp_path) == ["song.opus"]


def test_in_place_leaves_other_hard_link(sound, in_place, tmp_path, tmp_path_factory):
    path = sound("song.mp3")
    outside = tmp_path_factory.mktemp("outside") / "song.mp3"
    os.link(path, outside)
    os.link(path, tmp_path / "twin.mp3")
    before = digest(path)
    found = in_place()
    assert digest(outside) == before
    assert [row.get("error") for row in found.values()] == [None, None]
    assert {row["content_hash"] for row in found.values()} == {before}


def test_new_hard_link_is_no_change(sound, in_place, tmp_path, tmp_path_factory, monkeypatch):
    path = sound("song.mp3")
    while_compressing(monkeypatch, lambda: os.link(path, tmp_path_factory.mktemp("outside") / "song.mp3"))
    assert in_place()["song.mp3"]["outcome"] == "compressed"


def test_in_place_does_not_follow_links(sound, in_place, tmp_path, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "song.mp3"
    sound("song.mp3").rename(outside)
    (tmp_path / "link.mp3").symlink_to(outside)
    sound("other.mp3")
    before = digest(outside)
    assert list(in_place()) == ["other.mp3"]
    assert digest(outside) == before and (tmp_path / "link.mp3").is_symlink()


def compress_all(folder, begun=None):
    if begun is not None:
        begun.set()
    for row in scan_files(folder):
        compress.compress_file(row, audio_root="/tmp/unused", bit_rate=64_000, in_place=True)


def is_safe(folder, name, content_hash):
    """Return whether the original exists as a whole, or its result with encoder tag and full length."""
    original = folder / name
    if original.exists() and digest(original) == content_hash:
        return True
    base = folder / original.stem
    for path in {original, Path(f"{base}.mp3"), Path(f"{base}.m4a"), Path(f"{original}.mp3")}:
        encoder_tag = transcode.read_encoder_tag(str(path)) if path.exists() else None
        if encoder_tag is not None and encoder_tag.content_hash == content_hash:
            return abs(decoding.decoded_duration(str(path)) - 2) < 0.15
    return False


@pytest.mark.slow
def test_kill_9_at_any_moment_loses_no_file(sound, forkserver, tmp_path):
    names = ["a.mp3", "b.ogg", "c.opus", "d.flac", "d.wav", "e.m4a", "f.aac", "g.mp3", "h.flac", "i.ogg"]
    originals = tmp_path / "originals"
    hashes = {name: digest(sound(f"originals/{name}", seconds=2)) for name in names}
    folder = tmp_path / "music"
    shutil.copytree(originals, folder)
    moments = random.Random(3)
    n_replaced = 0
    killed = 0
    for _ in range(15):
        begun = forkserver.Event()
        process = forkserver.Process(target=compress_all, args=(folder, begun))
        process.start()
        assert begun.wait(60)
        time.sleep(moments.uniform(0.02, 0.7))
        process.kill()
        process.join()
        killed += process.exitcode == -9
        assert [name for name in names if not is_safe(folder, name, hashes[name])] == []
        done = sum(not (folder / name).exists() or digest(folder / name) != hashes[name] for name in names)
        n_replaced += done
        if done == len(names):
            shutil.rmtree(folder)
            shutil.copytree(originals, folder)
    assert killed >= 5 and n_replaced > 0  # otherwise the test has proven nothing
    (folder / ".segue-0123.part").write_bytes(b"of a killed run")
    compress._remove_stale_parts(
        Lake(tmp_path / "lake"), scan.scan(str(folder), tmp_path / "lake"), in_place=True
    )
    compress_all(folder)
    assert all(is_safe(folder, name, hashes[name]) for name in names)
    expected = {"a.mp3", "b.ogg", "c.opus", "e.m4a", "f.m4a", "g.mp3", "h.mp3", "i.ogg"}
    assert set(os.listdir(folder)) - {"d.mp3", "d.flac.mp3", "d.wav.mp3"} == expected
    assert len(os.listdir(folder)) == 10


def compress_until_killed(n_calls, row):
    """Compress in place, and die by SIGKILL before the n-th call that changes a name or pushes it to the
    disk.
    """
    calls_left = n_calls

    def deadly(function):
        def wrapped(*args, **options):
            nonlocal calls_left
            calls_left -= 1
            if calls_left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **options)

        return wrapped

    os_functions = [(os, name) for name in ("replace", "link", "unlink", "chown")]
    for module, name in [*os_functions, (compress, "fsync_dir")]:
        setattr(module, name, deadly(getattr(module, name)))
    compress.compress_file(row, audio_root="/tmp/unused", bit_rate=64_000, in_place=True)


@pytest.mark.parametrize("name", ["song.mp3", "song.flac"])
def test_kill_9_before_each_rename_loses_no_file(sound, forkserver, tmp_path, name):
    folder = tmp_path / "music"
    original = sound(name, seconds=2)
    content_hash, code, calls = digest(original), -signal.SIGKILL, 0
    while code == -signal.SIGKILL:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        shutil.copy(original, folder)
        process = forkserver.Process(target=compress_until_killed, args=(calls, scan_files(folder)[0]))
        process.start()
        process.join()
        code, calls = process.exitcode, calls + 1
        assert is_safe(folder, name, content_hash), os.listdir(folder)
    assert code == 0 and calls >= 5 and os.listdir(folder) == ["song.mp3"]
