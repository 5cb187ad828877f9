"""A zip archive in one go: whole, in parts that are small, with names of their own."""

import io
import zipfile

from serving.zip_stream import entry_name, unique_names, zip_stream


def test_archive_is_whole_and_comes_in_parts(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)) * 8192)
    (tmp_path / "b").write_bytes(b"")
    parts = list(zip_stream([("a", tmp_path / "a"), ("gone", tmp_path / "gone"), ("a", tmp_path / "b")]))
    assert max(map(len, parts)) < 300_000
    with zipfile.ZipFile(io.BytesIO(b"".join(parts))) as archive:
        assert archive.testzip() is None
        assert {n: len(archive.read(n)) for n in archive.namelist()} == {"a": 2**21, "a (2)": 0}


def test_names_are_unique_whatever_their_case(tmp_path):
    names = [name for name, _ in unique_names((n, tmp_path) for n in ("1.mp3", "1.MP3", "1.mp3", "x"))]
    assert names == ["1.mp3", "1 (2).MP3", "1 (3).mp3", "x"]


def test_entry_name_is_no_path():
    assert [entry_name(n) for n in ("a/b\\c", "..", "\udcff x", 'AC/DC: "Live"')] == [
        "a_b_c",
        "_",
        "? x",
        "AC_DC_ _Live_",
    ]
