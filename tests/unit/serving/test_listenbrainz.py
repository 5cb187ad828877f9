"""ListenBrainz' submit-listens: which tracks match; a listen that also comes by other ways is one event."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta

import pytest

from jobs.errors import StepError
from jobs.lake.schemas import TRACKS
from jobs.lake.storage import Lake
from jobs.plays import events, play_log, track_matching
from jobs.plays.history_files import read_history
from jobs.plays.history_import import ImportResult, KnownPlays, to_events
from jobs.plays.track_matching import TrackMatcher
from jobs.streaming import micro_batch
from serving import app_state
from serving.listens import listen_start, match_waiting

MBID = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
STARTED_AT = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
SECONDS = int(STARTED_AT.timestamp())


@pytest.fixture(scope="module")
def client(serve, lake):
    patch = pytest.MonkeyPatch()
    patch.setattr(app_state, "_POLL_INTERVAL_S", 3600.0)  # the tests match waiting listens themselves
    with serve(lake) as client:
        yield client
    patch.undo()


@pytest.fixture
def secret(state):
    return state.accounts.add_app_password("local", "scrobbler").secret


def submit(client, secret, *listens, listen_type="import"):
    body = {"listen_type": listen_type, "payload": list(listens)}
    answer = client.post("/1/submit-listens", json=body, headers={"Authorization": f"Token {secret}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def listen(artist, title, album=None, **info):
    names = {"artist_name": artist, "track_name": title, "release_name": album, "additional_info": info}
    return {"listened_at": SECONDS, "user_name": "local", "track_metadata": names}


def import_history(lake, file, known=None):
    """Return the events that an import of a file sends."""
    matcher = TrackMatcher(lake.read_arrow(TRACKS, *track_matching.COLUMNS).to_pylist())
    listens = read_history(file)
    return list(to_events(listens, "local", matcher, known or KnownPlays.of_ids([]), ImportResult()))


def test_listen_that_comes_by_every_way_is_one_row(lake, client, sent, secret, tmp_path):
    submitted = listen("Artist 1", "Song B of 1")
    submit(client, secret, submitted)
    scrobble = {"apiKey": secret, "f": "json", "id": "t06", "time": 1000 * SECONDS + 700}
    answer = client.post("/rest/scrobble", data=scrobble).json()["subsonic-response"]
    assert answer["status"] == "ok"
    (tmp_path / "listens.jsonl").write_text(json.dumps(submitted) + "\n")
    ended_at = STARTED_AT + timedelta(seconds=185)
    spotify = {
        "ts": ended_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "ms_played": 185_000,
        "master_metadata_track_name": "Song B of 1",
        "master_metadata_album_artist_name": "Artist 1",
        "reason_end": "trackdone",
    }
    (tmp_path / "spotify.json").write_text(json.dumps([spotify]))
    imported = [
        event for name in ("listens.jsonl", "spotify.json") for event in import_history(lake, tmp_path / name)
    ]
    every = [*sent, *imported]
    assert len(every) == 4
    assert {(event.event_id, event.track_id, event.event) for event in every} == {
        (events.event_id("local", STARTED_AT, "t06"), "t06", "finished")
    }
    log = Lake(tmp_path / "lake")
    now = datetime.now(UTC)
    messages = [
        micro_batch.Message(0, offset, now, events.encode(event), 300) for offset, event in enumerate(every)
    ]
    plays, dead_letters = micro_batch.validate(messages, {"t06"}, "topic")
    assert not dead_letters
    micro_batch.append_plays(log, "topic", {0: (0, len(every) - 1)}, play_log.to_arrow(plays))
    assert len(play_log.read(log)) == 1
    for name in ("listens.jsonl", "spotify.json"):
        assert import_history(lake, tmp_path / name, KnownPlays.load(log, "local")) == []


@pytest.mark.parametrize(
    ("artist", "title"),
    [
        ("ARTIST 1", "song b of 1"),
        ("Artist 1 feat. Ada", "Song B of 1 (feat. Ada)"),
        ("Artist 1", "Song B of 1 - Remastered 2011"),
        ("Artist 1", "Song B of 1 (2011 Remaster)"),
    ],
)
def test_live_listen_matches_as_an_imported_one(lake, client, sent, secret, tmp_path, artist, title):
    named = listen(artist, title)
    assert submit(client, secret, named) == {"status": "ok", "taken": 1, "unknown": 0}
    (tmp_path / "listens.jsonl").write_text(json.dumps(named) + "\n")
    (imported,) = import_history(lake, tmp_path / "listens.jsonl")
    assert sent[0].track_id == imported.track_id == "t06" and sent[0].event_id == imported.event_id


def test_unknown_track_waits_until_the_collection_has_it(client, state, sent, secret, monkeypatch):
    whole = state.catalog
    without = tuple(track for track in whole.tracks if track.track_id != "t06")
    monkeypatch.setattr(state, "catalog", type(whole)("without", without, whole.roots))
    for _ in range(2):  # sent twice, it is one
        counts = submit(client, secret, listen("Artist 1", "Song B of 1"), listen("Nobody", "Nothing"))
        assert (counts["taken"], counts["unknown"], sent) == (0, 2, [])
    found = [(each.artist, each.listened_at) for each in state.waiting_listens.list_listens("local")]
    assert found == [("Artist 1", SECONDS), ("Nobody", SECONDS)] and match_waiting(state) == 0
    monkeypatch.setattr(state, "catalog", whole)
    with monkeypatch.context() as full:
        full.setattr(state.producer, "send", raise_full)
        assert match_waiting(state) == 0 and len(state.waiting_listens.list_listens()) == 2
    assert match_waiting(state) == 1 and match_waiting(state) == 0
    (event,) = sent
    assert event.event_id == events.event_id("local", STARTED_AT, "t06") and event.played_at == STARTED_AT
    assert [each.title for each in state.waiting_listens.list_listens()] == ["Nothing"]


NO_TITLE = {"artist_name": "a", "track_name": " "}


def raise_full(_):
    raise StepError("no room")


@pytest.mark.parametrize(
    ("listen_type", "listens", "detail"),
    [
        ("playing_now", [{"listened_at": SECONDS}], "should not contain listened_at"),
        ("playing_now", [{}, {}], "more than one listen"),
        ("single", [{"listened_at": SECONDS}, {"listened_at": SECONDS}], "more than one listen"),
        ("single", [{}], "listened_at: expected"),
        (
            "import",
            [{"listened_at": SECONDS, "track_metadata": {"artist_name": "a", "track_name": " "}}],
            "names",
        ),
        ("import", [{"listened_at": SECONDS, "more": "x" * 11_000}], "10240 bytes"),
        ("import", [], "1 to 1000"),
        ("other", [{}], "listen_type"),
    ],
)
def test_what_listenbrainz_refuses_is_refused(client, sent, secret, listen_type, listens, detail):
    payload = []
    for each in listens:
        names = {"artist_name": "Artist 1", "track_name": "Song B of 1", "more": each.pop("more", "")}
        payload.append({"track_metadata": names, **each})
    body = {"listen_type": listen_type, "payload": payload}
    answer = client.post("/1/submit-listens", json=body, headers={"Authorization": f"Token {secret}"})
    assert answer.status_code == 400 and sent == []
    assert detail.replace("names", "artist_name and track_name") in answer.json()["detail"]


def test_user_reads_the_listens_back(client, state, sent, secret):
    headers = {"Authorization": f"Token {secret}"}
    url = "/1/user/local"
    submit(client, secret, listen("Somebody", "Waits"))
    for name, at in (("Song A of 2", 100), ("Song B of 2", 200), ("Song C of 2", 300)):
        submit(client, secret, {**listen("Artist 2", name), "listened_at": SECONDS + at})
    found = client.get(f"{url}/listens", headers=headers, params={"count": 3}).json()["payload"]
    titles = [each["track_metadata"]["track_name"] for each in found["listens"]]
    assert titles == ["Song C of 2", "Song B of 2", "Song A of 2"] and found["count"] == 3
    assert found["latest_listen_ts"] == SECONDS + 300 == found["listens"][0]["listened_at"]
    params = {"max_ts": SECONDS + 300, "min_ts": SECONDS + 100}
    (one,) = client.get(f"{url}/listens", headers=headers, params=params).json()["payload"]["listens"]
    assert one["listened_at"] == SECONDS + 200 and one["track_metadata"]["artist_name"] == "Artist 2"
    every = client.get(f"{url}/listens", headers=headers, params={"count": 1000}).json()["payload"]["listens"]
    assert "Waits" in [each["track_metadata"]["track_name"] for each in every]
    count = client.get(f"{url}/listen-count/", headers=headers).json()["payload"]["count"]
    assert count == len(every) == len({json.dumps(each) for each in every})
    for name, status in ((url, 401), ("/1/user/anna", 404)):
        given = headers if status == 404 else {}
        assert client.get(f"{name}/listens", headers=given).status_code == status


def test_playing_now_and_a_trailing_slash(client, state, sent, secret):
    headers = {"Authorization": f"Token {secret}"}
    names = {"artist_name": "Artist 3", "track_name": "Song A of 3"}
    body = {"listen_type": "playing_now", "payload": [{"track_metadata": names}]}
    answer = client.post("/1/submit-listens/", json=body, headers=headers, follow_redirects=False)
    assert answer.status_code == 200
    found = client.get("/1/user/Local/playing-now", headers=headers).json()["payload"]
    assert found["listens"][0]["track_metadata"]["track_name"] == "Song A of 3" and found["count"] == 1
    assert client.get("/1/validate-token/", headers=headers).json()["valid"] is True


def test_plays_of_the_page_are_listens_from_their_beginning():
    ended = {"event_id": "random", "track_id": "t", "played_at": STARTED_AT, "position_s": 100.0}
    assert listen_start("local", ended) == STARTED_AT - timedelta(seconds=100)
    scrobbled = {**ended, "event_id": events.event_id("local", STARTED_AT, "t")}
    assert listen_start("local", scrobbled) == STARTED_AT


def test_playing_now_is_a_started_event_of_now(client, sent, secret):
    named = listen("Artist 1", "Song B of 1")
    del named["listened_at"]
    submit(client, secret, named, listen_type="playing_now")
    assert sent[0].event == "started" and sent[0].played_at > STARTED_AT


def test_now_playing_scrobble_is_another_event_than_the_listen(client, sent, secret):
    scrobble = {"apiKey": secret, "f": "json", "id": "t06", "time": 1000 * SECONDS}
    for submission in ("false", "true", "false"):
        client.post("/rest/scrobble", data={**scrobble, "submission": submission})
    assert [event.event for event in sent] == ["started", "finished", "started"]
    assert sent[0].event_id == sent[2].event_id != sent[1].event_id


def test_matcher_follows_a_new_catalog(client, state, sent, secret, monkeypatch):
    named = listen("Artist 1", "Song B of 1")
    assert submit(client, secret, named)["taken"] == 1
    catalog = state.catalog
    without = tuple(track for track in catalog.tracks if track.track_id != "t06")
    monkeypatch.setattr(state, "catalog", type(catalog)(catalog.version, without, catalog.roots))
    assert submit(client, secret, named)["unknown"] == 1


def test_count_is_of_plays_in_the_table_and_in_the_history_once(client, state, sent, secret, lake):
    """A play is counted once, whether PLAYS has it, the server's history, or both; a new file is noticed."""
    headers = {"Authorization": f"Token {secret}"}

    def count():
        return client.get("/1/user/local/listen-count", headers=headers).json()["payload"]["count"]

    before = count()
    submit(client, secret, {**listen("Artist 4", "Song A of 4"), "listened_at": SECONDS - 5000})
    (event,) = sent
    assert count() == before + 1
    old = dataclasses.replace(event, event_id="0" * 32, played_at=event.played_at - timedelta(days=90))
    gone = dataclasses.replace(event, event_id="1" * 32, track_id="gone")
    other = dataclasses.replace(event, event_id="2" * 32, user_id="anna")
    begun = dataclasses.replace(event, event_id="3" * 32, event="started")
    logged = [events.LoggedPlay(each, "p:0", n) for n, each in enumerate((event, old, gone, other, begun))]
    play_log.play_table(lake).append("test", play_log.to_arrow(logged))
    assert count() == before + 2
    play_log.compact(lake)
    assert count() == before + 2


def test_feedback_of_a_recording_is_a_like(client, state, sent, secret, lake, monkeypatch):
    rows = [{**row, "recording_mbid": None} for row in lake.read_arrow(TRACKS).to_pylist()]
    rows[3]["recording_mbid"] = MBID.upper()
    matcher = TrackMatcher(rows)
    monkeypatch.setattr(state.listen_matcher, "_built", (state.catalog, matcher))
    track_id, headers = rows[3]["track_id"], {"Authorization": f"Token {secret}"}

    def rate(mbid, score):
        body = {"recording_mbid": mbid, "score": score}
        return client.post("/1/feedback/recording-feedback", json=body, headers=headers).status_code

    for score, liked in ((1, True), (-1, False), (0, None)):
        assert rate(MBID, score) == 200
        assert state.feedback.ratings("local").get(track_id) is liked
    assert [event.event for event in sent] == ["liked", "disliked", "unrated"]
    assert rate("another", 1) == 404
    for mbid, score in ((MBID, 2), (MBID, True), (MBID, "1"), (MBID, None), (MBID, []), (None, 1), ([], 1)):
        assert rate(mbid, score) == 400
    assert client.post("/1/feedback/recording-feedback", json={}).status_code == 401
