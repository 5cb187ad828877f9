"""Archives: what can be read comes in, what cannot is named."""

import io
import json
import zipfile
from datetime import UTC, datetime, timedelta

import pytest

from jobs.errors import InputError
from jobs.plays import history_archives
from jobs.plays.history_files import read_history

AT = datetime(2026, 11, 21, 20, 15, tzinfo=UTC)


def rows(*minutes):
    times = [int((AT + timedelta(minutes=minute)).timestamp()) for minute in minutes]
    names = {"artist_name": "AWOL", "track_name": "Food"}
    return "".join(json.dumps({"listened_at": time, "track_metadata": names}) + "\n" for time in times)


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


def read(path, data):
    """Return the starts of the listens in minutes after AT, and the rejected rows."""
    path.write_bytes(data)
    rejected = []
    listens = list(read_history(path, reject=rejected.append))
    return [(listen.started_at - AT).total_seconds() / 60 for listen in listens], rejected


MEMBERS = {"listens/1.jsonl": rows(*range(400)), "listens/2.jsonl": rows(500), "listens/3.jsonl": rows(501)}


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_damaged_file_is_rejected_and_the_rest_read(tmp_path, compression):
    data = bytearray(zipped(MEMBERS, compression))
    at = data.index(b"listens/2.jsonl") + len("listens/2.jsonl") + 4
    data[at + 9 : at + 14] = b"\xff" * 5
    minutes, rejected = read(tmp_path / "a.zip", data)
    assert set(minutes) >= {*range(400), 501} and 500 not in minutes
    named = [row for row in rejected if row.reason == "unreadable file"]
    assert [row.file for row in named] == ["a.zip/listens/2.jsonl"] and named[0].found


def test_rows_before_the_damage_are_read(tmp_path):
    data = bytearray(zipped(MEMBERS, zipfile.ZIP_STORED))
    data[data.index(b"listens/1.jsonl") + 60] ^= 1  # the checksum is compared at the end of the file
    minutes, rejected = read(tmp_path / "a.zip", data)
    assert len(minutes) == 401 and minutes[-2:] == [500, 501]
    assert any("CRC" in row.found for row in rejected)


def test_encrypted_file_is_rejected_and_the_rest_read(tmp_path):
    data = bytearray(zipped(MEMBERS))
    central = data.index(b"PK\x01\x02")
    central = data.index(b"PK\x01\x02", central + 1)
    data[central + 8] |= 1
    minutes, rejected = read(tmp_path / "a.zip", data)
    assert minutes == [*range(400), 501]
    assert [row.found for row in rejected] == [
        "expected a file without a password, found it encrypted; unpack the archive first"
    ]


@pytest.mark.parametrize(
    "change", [lambda data: data[: len(data) // 2], lambda data: b"PK\x03\x04" + data[90:900]]
)
def test_archive_that_is_cut_short_is_refused_in_one_line(tmp_path, change):
    with pytest.raises(InputError, match="damaged or cut short .*; download it again"):
        read(tmp_path / "a.zip", change(zipped(MEMBERS)))


def test_archive_without_a_readable_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="found a.zip without a file that can be read: expected a history"):
        read(tmp_path / "a.zip", zipped({"listens/1.jsonl": "\n"}))
    with pytest.raises(InputError, match="found a.zip without a history"):
        read(tmp_path / "a.zip", zipped({"Playlist1.json": "{}"}))


def test_zip_bomb_is_rejected_unread(tmp_path, monkeypatch):
    monkeypatch.setattr(history_archives, "_MIN_CHECKED_BYTES", 2**20)
    minutes, rejected = read(tmp_path / "a.zip", zipped({**MEMBERS, "listens/0.jsonl": " " * 2**21}))
    assert len(minutes) == 402
    assert [row.file for row in rejected] == ["a.zip/listens/0.jsonl"]
    assert "found 2,097,152 bytes" in rejected[0].found


def test_many_small_bombs_are_rejected_like_a_large_one(tmp_path, monkeypatch):
    monkeypatch.setattr(history_archives, "_MIN_CHECKED_BYTES", 2**20)
    bombs = {f"listens/{number}.jsonl": rows(number) + " " * 300_000 for number in range(6)}
    minutes, rejected = read(tmp_path / "a.zip", zipped(bombs))
    assert minutes == [0, 1, 2]
    assert [row.reason for row in rejected] == ["unreadable file"] * 3


def test_archives_within_archives_are_read_to_a_depth(tmp_path):
    data = zipped({"Activity.zip": zipped(MEMBERS), "listens.json": "[" + rows(600).strip() + "]"})
    assert read(tmp_path / "a.zip", data)[0] == [*range(400), 500, 501, 600]
    for _ in range(4):
        data = zipped({"x.zip": data, "listens/0.jsonl": rows(601)})
    minutes, rejected = read(tmp_path / "a.zip", data)
    assert minutes == [601] * 3 and "to a depth of 3" in rejected[0].found


def test_what_macos_adds_is_left_out_and_folders_are_read(tmp_path):
    members = {
        "__MACOSX/listens/._1.jsonl": "\0\5\x16\7",
        "export/listens/._2.jsonl": "\0\5\x16\7",
        "export/2026/listens/": "",
        "export/2026/listens/11/1.jsonl": rows(1),
        "user.json": "{",
    }
    assert read(tmp_path / "a.zip", zipped(members)) == ([1], [])


def test_takeout_archive_has_its_history_by_content(tmp_path):
    row = {
        "header": "YouTube Music",
        "title": "Food angesehen",
        "subtitles": [{"name": "AWOL - Topic"}],
        "time": "2026-11-21T20:15:00Z",
    }
    members = {
        "Takeout/YouTube und YouTube Music/Verlauf/Wiedergabeverlauf.json": json.dumps([row]),
        "Takeout/YouTube und YouTube Music/Playlists/x.json": "{}",
    }
    assert read(tmp_path / "a.zip", zipped(members)) == ([0], [])
    html = {"Takeout/YouTube and YouTube Music/history/watch-history.html": "<html><body>"}
    with pytest.raises(InputError, match="choose JSON as the format"):
        read(tmp_path / "a.zip", zipped(html))
