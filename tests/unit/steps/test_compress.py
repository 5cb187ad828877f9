import errno
import functools
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import time
from pathlib import Path

import mutagen
import numpy as np
import pyarrow as pa
import pytest
import soundfile
from mutagen.id3 import APIC

from jobs import errors
from jobs.audio import decoding, transcode
from jobs.cli import parse
from jobs.errors import InputError, StepError
from jobs.lake.schemas import FILES
from jobs.lake.storage import Lake
from jobs.library import files_table, scan
from jobs.paths import to_path
from jobs.spark import file_tasks
from jobs.steps import compress


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def scan_files(folder):
    return scan.scan(str(folder), Path("/nowhere")).files


@pytest.fixture
def run(tmp_path):
    """Compress every file below a folder, without Spark; return the rows by file name."""

    def run(folder=tmp_path, *, bit_rate=64_000, in_place=False, audio_root=None):
        function = functools.partial(
            compress.compress_file,
            audio_root=str(audio_root or "/tmp/unused"),
            bit_rate=bit_rate,
            in_place=in_place,
        )
        return {os.path.basename(to_path(row["path"])): function(row) for row in scan_files(folder)}

    return run


@pytest.fixture(scope="module")
def forkserver():
    """Starts processes from one that has no threads.

    A fork out of pytest's own hung once, at a lock that a thread had held.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@pytest.fixture
def to_lake(run, tmp_path_factory):
    return functools.partial(run, audio_root=tmp_path_factory.mktemp("lake") / "audio")


@pytest.fixture
def in_place(run):
    return functools.partial(run, in_place=True)


@pytest.mark.parametrize(
    ("text", "rate"), [("64k", 64_000), ("64K", 64_000), ("96000", 96_000), ("8k", 8_000)]
)
def test_bit_rate_is_parsed(text, rate):
    assert transcode.parse_bit_rate(text) == rate


@pytest.mark.parametrize("text", ["", "k", "64", "7k", "513k", "-64k", "6.4k", "64kbit", "²k", "64kk"])
def test_invalid_bit_rate_raises(text):
    with pytest.raises(InputError, match="--bitrate: expected 8k to 512k, found"):
        transcode.parse_bit_rate(text)


FILE = {"path": "/m/a.mp3", "size": 1, "mtime_ns": 2, "ctime_ns": 3}
DONE = {**FILE, "outcome": "compressed", "audio_path": __file__, "target_bit_rate": 64_000}


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "a/b", "1/2/3", "-1/3"])
def test_invalid_shard_raises(text):
    with pytest.raises(InputError, match="--shard: expected a part of a whole"):
        compress.parse_shard(text)


def test_every_file_is_in_one_shard():
    paths = [f"/music/{n:03d}/{n}.mp3" for n in range(3_000)]
    shards = [
        {path for path in paths if compress.in_shard(path, *compress.parse_shard(f"{n}/3"))}
        for n in (1, 2, 3)
    ]
    assert set.union(*shards) == set(paths) and sum(map(len, shards)) == len(paths)
    assert all(900 < len(shard) < 1_100 for shard in shards)


@pytest.mark.parametrize(
    ("change", "options", "expected"),
    [
        ({}, {}, True),
        ({"size": 9}, {}, False),
        ({"mtime_ns": 9}, {}, False),
        ({"ctime_ns": 9}, {}, False),
        ({}, {"bit_rate": 96_000}, False),
        ({"audio_path": "/no/such"}, {}, False),
        ({}, {"in_place": True}, False),  # its result is in the lake
        ({"path": __file__}, {"in_place": True}, True),
        ({"outcome": "unchanged"}, {"bit_rate": 96_000, "in_place": True}, True),
        ({"outcome": "unchanged"}, {"bit_rate": 48_000}, False),
        ({"outcome": "rejected"}, {}, True),
        ({"outcome": "rejected"}, {"retry": True}, False),
    ],
)
def test_is_up_to_date(change, options, expected):
    options = {"bit_rate": 64_000, "in_place": False, "retry": False} | options
    assert files_table.is_up_to_date(FILE, {**DONE, **change}, **options) == expected


def test_new_file_is_not_up_to_date():
    assert not files_table.is_up_to_date(FILE, None, bit_rate=64_000, in_place=False, retry=False)


def test_crashing_file_is_rejected(tmp_path, monkeypatch):
    """A worker that crashes returns nothing: the planned row, with an error, becomes the file's row."""
    planned = []
    monkeypatch.setattr(file_tasks, "map_files", lambda *args, **_: planned.extend(args[2]))
    monkeypatch.setattr(files_table, "commit_files", lambda *_, **__: None)
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.mp3").write_bytes(b"x")
    compress.main(parse(["compress", "--library", str(tmp_path / "music"), "--lake", str(tmp_path / "lake")]))
    (row,) = pa.Table.from_pylist(planned, schema=FILES.arrow_schema()).to_pylist()
    assert (row["outcome"], row["target_bit_rate"]) == ("rejected", 64_000)
    assert files_table.is_up_to_date(
        scan_files(tmp_path / "music")[0], row, bit_rate=64_000, in_place=False, retry=False
    )


def test_to_lake_leaves_original(sound, to_lake):
    path = sound("Ada/song.flac")
    before, source = digest(path), os.stat(path)
    row = to_lake()["song.flac"]
    result = Path(row["audio_path"])
    assert (
        result.parts[-3:] == ("64k", before[:2], before + ".mp3") and result.stat().st_mode & 0o777 == 0o644
    )
    assert (row["outcome"], row["content_hash"], row["target_bit_rate"]) == ("compressed", before, 64_000)
    assert row["duration_s"] == pytest.approx(3, abs=0.05) and row["bit_rate"] == pytest.approx(
        64_000, rel=0.02
    )
    assert digest(path) == before and os.stat(path).st_mtime_ns == source.st_mtime_ns
    assert not list((result.parents[2] / "parts").iterdir())


def test_to_lake_reuses_existing_result(sound, to_lake):
    sound("song.flac")
    first = to_lake()["song.flac"]
    first_stat = os.stat(first["audio_path"])
    assert to_lake()["song.flac"] == first
    assert os.stat(first["audio_path"]).st_mtime_ns == first_stat.st_mtime_ns


def test_other_bit_rate_gets_other_file(sound, to_lake):
    sound("song.mp3")
    first, second = to_lake()["song.mp3"], to_lake(bit_rate=96_500)["song.mp3"]
    assert os.path.getsize(second["audio_path"]) > 1.3 * os.path.getsize(first["audio_path"])
    assert "/96.5k/" in second["audio_path"] and os.path.exists(first["audio_path"])


def test_file_at_target_bit_rate_is_unchanged(sound, to_lake, monkeypatch):
    path = sound("song.mp3", "-b:a", "64k")
    monkeypatch.setattr(transcode, "transcode", None)  # must not be called
    row = to_lake()["song.mp3"]
    assert (row["outcome"], row["audio_path"], row["bit_rate"]) == (
        "unchanged",
        str(path),
        pytest.approx(64_000, rel=0.01),
    )
    assert row["duration_s"] == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("where", ["to_lake", "in_place"])
def test_file_that_would_grow_is_unchanged(sound, tmp_path, where, request):
    path = sound("song.aac", "-b:a", "72k", seconds=0.6)  # without a container, which takes a kilobyte
    before = digest(path)
    row = request.getfixturevalue(where)()["song.aac"]
    assert (row["outcome"], row["audio_path"], digest(path)) == ("unchanged", str(path), before)
    assert row["bit_rate"] > 64_000 and os.listdir(tmp_path) == ["song.aac"]


def test_unchanged_file_without_header_has_duration(tmp_path, sound, to_lake):
    path = sound("song.aac", "-b:a", "32k")
    row = to_lake()["song.aac"]
    assert row["outcome"] == "unchanged" and row["duration_s"] == pytest.approx(3, abs=0.15)
    assert row["bit_rate"] == pytest.approx(os.path.getsize(path) * 8 / 3, rel=0.1)


def while_compressing(monkeypatch, change):
    encode = transcode.transcode

    def slow(*args, **options):
        duration = encode(*args, **options)
        change()
        return duration

    monkeypatch.setattr(transcode, "transcode", slow)


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


@pytest.mark.parametrize("where", ["to_lake", "in_place"])
@pytest.mark.parametrize(
    "name",
    [
        b'it\'s "quoted"',
        b"new\nline",
        "🎵".encode(),
        b"-i",
        b"\xff\xfe",
        b"x" * 246,
        b"a\\b",
        b"%d",
        b"trailing ",
    ],
)
def test_any_file_name(sound, tmp_path, where, name, request):
    path = os.path.join(os.fsencode(tmp_path), name + b".mp3")
    os.rename(sound("x.mp3", seconds=1), path)
    row = request.getfixturevalue(where)()[os.fsdecode(name + b".mp3")]
    assert row["outcome"] == "compressed", row.get("error")
    assert os.fsencode(to_path(row["path"])) == path and os.listdir(os.fsencode(tmp_path)) == [name + b".mp3"]
    assert decoding.decoded_duration(to_path(row["audio_path"])) == pytest.approx(1, abs=0.1)


def half(path):
    os.truncate(path, os.path.getsize(path) // 2)


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
        if encoder_tag == transcode.EncoderTag(content_hash, 64_000):
            return abs(decoding.decoded_duration(str(path)) - 2) < 0.15
    return False


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
