"""Import of a history over HTTP: matched listens become plays of the user, once."""

import json

import pytest


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
