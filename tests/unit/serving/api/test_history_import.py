"""Import of a history over HTTP: matched listens become plays of the user, once."""

import io
import json
import tempfile
import zipfile
from pathlib import Path

import pytest

from jobs.plays import history_archives
from serving import middleware
from serving.api import history_import


def listen(title, artist, at):
    return {"listened_at": at, "track_metadata": {"track_name": title, "artist_name": artist}}


def test_history_becomes_plays_of_the_user(client, monkeypatch):
    sent = []
    monkeypatch.setattr(client.state.producer, "send", sent.append)
    lines = [
        listen("Song A of 2", "Artist 2", 1_700_000_000),
        listen("Song A of 2", "Artist 2", 1_700_000_000),
        listen("Song B of 3", "Artist 3", 1_700_000_300),
        listen("Elsewhere", "Nobody", 1_700_000_600),
    ]
    body = "".join(json.dumps(line) + chr(10) for line in lines)
    found = client.post("/api/history-import", params={"name": "listens.jsonl"}, content=body)
    assert found.status_code == 200, found.text
    answer = found.json()
    assert (answer["listens"], answer["imported"], answer["known"], answer["unmatched"]) == (4, 2, 1, 1)
    assert answer["top_unmatched"] == ["Nobody - Elsewhere"]
    assert [(event.user_id, event.track_id) for event in sent] == [("local", "t10"), ("local", "t16")]


def test_file_that_is_no_history_is_refused(client):
    refused = client.post("/api/history-import", params={"name": "x.txt"}, content=b"no history")
    assert refused.status_code == 422 and "x.txt" in refused.json()["detail"]
    assert client.post("/api/history-import", params={"name": "x", "timezone": "Mars"}).status_code == 422


@pytest.mark.parametrize("name", ["..", "a/..", "\0", "a\nb.json", "ä" * 150])
def test_name_that_names_no_file_is_a_problem(client, name):
    answer = client.post("/api/history-import", params={"name": name}, content=b"[]")
    assert answer.status_code == 422 and "expected the name of a file" in answer.json()["detail"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder of temporary files, in which nothing may be left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert list(Path(tmp_path).iterdir()) == []


@pytest.mark.parametrize("is_chunked", [False, True])
def test_history_that_is_too_large_is_refused(client, sent, folder, monkeypatch, is_chunked):
    monkeypatch.setattr(middleware, "_MAX_HISTORY_BYTES", 10_000)
    line = json.dumps(listen("Song A of 2", "Artist 2", 1_700_000_000)).encode() + b"\n"
    body = (line for _ in range(1000)) if is_chunked else line * 1000
    refused = client.post("/api/history-import", params={"name": "listens.jsonl"}, content=body)
    assert refused.status_code == 413 and sent == []


def test_archive_that_unpacks_to_too_much_is_not_unpacked(client, sent, folder, monkeypatch):
    monkeypatch.setattr(history_archives, "_MIN_CHECKED_BYTES", 2**20)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("listens/1.jsonl", " " * 2**24)
        members.writestr("listens/2.jsonl", json.dumps(listen("Song C of 2", "Artist 2", 1_700_001_000)))
    answer = client.post("/api/history-import", params={"name": "a.zip"}, content=archive.getvalue())
    found = answer.json()
    assert (found["imported"], found["rejected"]) == (1, 1) and len(sent) == 1


def test_second_import_at_a_time_is_refused(client, sent, folder):
    with history_import._IMPORTS:
        refused = client.post("/api/history-import", params={"name": "listens.jsonl"}, content=b"{}")
    assert refused.status_code == 409 and "one import at a time" in refused.json()["detail"]
