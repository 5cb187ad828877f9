"""Which files are compressed, and what becomes of them below the lake."""

import os
from pathlib import Path

import pyarrow as pa
import pytest

from jobs.audio import decoding, transcode
from jobs.cli import parse
from jobs.errors import InputError
from jobs.lake.schemas import FILES
from jobs.library import files_table
from jobs.paths import to_path
from jobs.spark import file_tasks
from jobs.steps import compress
from tests.unit.steps.conftest import digest, scan_files


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
        # DONE's result is a .py file: of no codec.
        ({}, {"codec": "opus"}, False),
        ({}, {"codec": "mp3"}, False),
        ({"path": __file__}, {"codec": "opus"}, True),  # in place: the original is gone
        ({"outcome": "unchanged"}, {"codec": "opus"}, True),
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

    def plan(*args, name, **_):
        planned.extend(args[2] if name == "compress" else ())

    monkeypatch.setattr(file_tasks, "map_files", plan)
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


def test_other_codec_gets_other_file_and_the_first_stays_valid(sound, to_lake):
    sound("song.flac")
    first, second = to_lake()["song.flac"], to_lake(codec="opus")["song.flac"]
    assert first["audio_path"].endswith(".mp3") and second["audio_path"].endswith(".opus")
    assert first["content_hash"] == second["content_hash"] and os.path.exists(first["audio_path"])
    file = {name: first[name] for name in ("path", "size", "mtime_ns", "ctime_ns")}
    given = {"bit_rate": 64_000, "in_place": False, "retry": False}
    for row, codec, expected in ((first, None, True), (first, "opus", False), (second, "opus", True)):
        assert files_table.is_up_to_date(file, row, **given, codec=codec) is expected


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
