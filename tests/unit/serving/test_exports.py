"""Playlists and plays as files: other programs read them, and Segue reads its own listens back."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from jobs.lake.schemas import TRACKS
from jobs.plays import track_matching
from jobs.plays.history_files import read_history
from jobs.plays.history_import import ImportResult, KnownPlays, to_events
from jobs.plays.track_matching import TrackMatcher
from serving.db.accounts import User
from serving.listens import play_fields
from tests import synthetic_lake

NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
MBID = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"


@pytest.fixture(scope="module")
def client(serve, tmp_path_factory):
    lake = synthetic_lake.make(tmp_path_factory.mktemp("exports") / "lake", seconds=0.1)
    rows = lake.read_arrow(TRACKS).to_pylist()
    path = lake.root / "music" / "Ä" / "one.flac"
    rows[0] |= {"path": str(path), "recording_mbid": MBID, "title": "Line\nbreak", "duration_s": 61.4}
    synthetic_lake.write_rows(lake, TRACKS, rows)
    with serve(lake) as client:
        client.state.producer.send = lambda _: None
        yield client


@pytest.fixture
def playlist(client):
    made = client.state.playlists.create("local", 'Late / "night" 🌙', ["t00", "gone", "t05", "t00"])
    yield made
    client.state.playlists.delete("local", made.playlist_id)


def test_playlist_as_m3u8(client, playlist):
    answer = client.get(f"/api/export/playlists/{playlist.playlist_id}")
    assert answer.content.decode() == (
        '#EXTM3U\n#PLAYLIST:Late / "night" 🌙\n'
        "#EXTINF:61,Artist 0 - Line break\nÄ/one.flac\n"
        "#EXTINF:0,Artist 1 - Song A of 1\n64k/t05.wav\n"
        "#EXTINF:61,Artist 0 - Line break\nÄ/one.flac\n"
    )
    assert answer.headers["content-type"] == "audio/x-mpegurl"
    assert "%F0%9F%8C%99.m3u8" in answer.headers["content-disposition"]


def test_playlist_as_jspf(client, playlist):
    answer = client.get(f"/api/export/playlists/{playlist.playlist_id}?format=jspf")
    found = answer.json()["playlist"]
    assert (found["title"], found["creator"]) == ('Late / "night" 🌙', "local")
    first, second, third = found["track"]
    assert first == third and first == {
        "title": "Line\nbreak",
        "creator": "Artist 0",
        "album": "Álbum 0",
        "duration": 61_400,
        "trackNum": 1,
        "location": ["Ä/one.flac"],
        "identifier": [f"https://musicbrainz.org/recording/{MBID}"],
    }
    assert "identifier" not in second


def test_playlist_of_another_user_is_not_there(client, playlist):
    client.state.accounts.add("anna", "a good password")
    try:
        secret = client.state.accounts.add_app_password("anna", "x").secret
        url = f"/api/export/playlists/{playlist.playlist_id}"
        assert client.get(url, headers={"Authorization": f"Bearer {secret}"}).status_code == 404
        assert client.get(url).status_code == client.get("/api/export/listens").status_code == 401
    finally:
        client.state.accounts.remove("anna")
    assert client.get("/api/export/playlists/nothing").status_code == 404


def test_listens_are_read_back_as_the_same_events(client, tmp_path):
    state = client.state
    sent = []
    state.producer.send = sent.append
    for number in (5, 6, 5):
        track = state.catalog.by_id[f"t{number:02d}"]
        fields = play_fields("local", track, NOW + timedelta(minutes=len(sent)))
        state.accept_play(User("local"), fields, is_limited=False)
    answer = client.get("/api/export/listens")
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.content.splitlines()]
    assert [line["listened_at"] for line in lines] == sorted(line["listened_at"] for line in lines)
    assert lines[0]["track_metadata"]["track_name"] == "Song A of 1"
    (tmp_path / "listens.jsonl").write_bytes(answer.content)
    matcher = TrackMatcher(state.lake.read_arrow(TRACKS, *track_matching.COLUMNS).to_pylist())
    listens = read_history(tmp_path / "listens.jsonl")
    events = list(to_events(listens, "local", matcher, KnownPlays.of_ids([]), ImportResult()))
    assert [(e.event_id, e.track_id, e.event) for e in events] == [
        (e.event_id, e.track_id, e.event) for e in sent
    ]
