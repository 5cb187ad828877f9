"""Plays on their way to a Last.fm that checks signatures, ignores, refuses, or is away: none is lost."""

import dataclasses
import hashlib
import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl

import pytest

from serving import listen_forwarder
from serving.db.accounts import User
from serving.db.forwarding import Destination
from serving.lastfm_service import LastFm, signature
from serving.listen_forwarder import ListenForwarder
from serving.listens import play_fields

KEY, SECRET = "operators-key", "operators-secret"
SESSION = "session-key-of-anna"
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
LOCAL = Destination("local", "lastfm")


class FakeLastFm(HTTPServer):
    """Takes what is signed right, after the answers of `errors`; ignores by `ignored` (title: code)."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests, self.errors, self.ignored, self.allowed = [], [], {}, False
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def answer(self, values):
        """Return the status and the answer to a request."""
        signed = {name: value for name, value in values.items() if name not in ("api_sig", "format")}
        text = "".join(name + signed[name] for name in sorted(signed)) + SECRET
        if values["api_sig"] != hashlib.md5(text.encode()).hexdigest() or values["api_key"] != KEY:
            return 403, {"error": 13, "message": "Invalid method signature supplied"}
        if self.errors:
            return self.errors.pop(0)
        if values["method"] == "auth.getToken":
            return 200, {"token": "login-token"}
        if values["method"] == "auth.getSession":
            if not self.allowed:
                return 403, {"error": 14, "message": "This token has not been authorized"}
            return 200, {"session": {"name": "anna", "key": SESSION, "subscriber": 0}}
        if values["sk"] != SESSION:
            return 403, {"error": 9, "message": "Invalid session key"}
        if values["method"] == "track.updateNowPlaying":
            return 200, {"nowplaying": {}}
        titles = [values[f"track[{n}]"] for n in range(50) if f"track[{n}]" in values]
        each = [
            {
                "track": {"#text": title},
                "ignoredMessage": {"code": str(self.ignored.get(title, 0)), "#text": ""},
            }
            for title in titles
        ]
        return 200, {"scrobbles": {"scrobble": each if len(each) > 1 else each[0], "@attr": {}}}

    def titles(self):
        """Return the titles of each request of plays."""
        sent = [values for values in self.requests if values["method"] == "track.scrobble"]
        return [[value for name, value in values.items() if name.startswith("track[")] for values in sent]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        values = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.server.requests.append(values)
        status, answer = self.server.answer(values)
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode() if answer is not None else b"<html>busy</html>")

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def client(serve, lake):
    patch = pytest.MonkeyPatch()
    patch.setattr(listen_forwarder, "_POLL_INTERVAL_S", 3600.0)  # the tests forward themselves
    with serve(lake) as client:
        client.state.producer.send = lambda _: None
        catalog = client.state.catalog
        # Of 240 s, but for the last one.
        tracks = [
            dataclasses.replace(track, duration_s=30.0 if track.track_id == "t39" else 240.0)
            for track in catalog.tracks
        ]
        client.state.catalog = type(catalog)(catalog.version, tuple(tracks), catalog.roots)
        yield client
    patch.undo()


@pytest.fixture
def service(client):
    server = FakeLastFm()
    address = f"http://127.0.0.1:{server.server_port}/2.0/"
    client.state.lastfm = LastFm(address, "https://page.example/auth", KEY, SECRET)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def state(client):
    client.state.forwarding.set_token(LOCAL, SESSION)
    yield client.state
    client.state.forwarding.remove(LOCAL)
    with client.state.database.transaction() as change:
        change.execute("DELETE FROM plays")


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def forwarder(state, service, clock, monkeypatch):
    forwarder = ListenForwarder(state, {"lastfm": state.lastfm}, clock=lambda: clock[0])
    monkeypatch.setattr(state, "forwarder", forwarder)
    return forwarder


def play(state, number):
    """Finish track `number` of the collection, `number` minutes after NOW."""
    track = state.catalog.by_id[f"t{number:02d}"]
    fields = play_fields("local", track, NOW + timedelta(minutes=number))
    state.accept_play(User("local"), fields, is_limited=False)


def test_signature_is_that_of_the_documentation():
    values = {"api_key": "xxxxxxxxxx", "method": "auth.getSession", "token": "yyyyyy"}
    text = b"api_keyxxxxxxxxxxmethodauth.getSessiontokenyyyyyyilovecher"
    assert signature(values, "ilovecher") == hashlib.md5(text).hexdigest()


def test_plays_are_sent_signed_in_batches_of_fifty_and_once(state, service, forwarder):
    for number in range(39):
        play(state, number)
    for number in range(12):  # another time of day
        track = state.catalog.by_id[f"t{number:02d}"]
        state.accept_play(
            User("local"), play_fields("local", track, NOW - timedelta(hours=number + 1)), is_limited=False
        )
    forwarder.forward_all()
    forwarder.forward_all()
    assert [len(titles) for titles in service.titles()] == [50, 1]
    first = service.requests[0]
    assert first["sk"] == SESSION and first["timestamp[0]"] == str(int(NOW.timestamp()))
    named = {name: first[f"{name}[1]"] for name in ("artist", "track", "album", "trackNumber", "duration")}
    assert named == {
        **{"artist": "Artist 0", "track": "Song B of 0", "album": "Álbum 0"},
        **{"trackNumber": "2", "duration": "240"},
    }
    status = state.forwarding.status(LOCAL)
    assert (status.pending, status.refused, status.last_error) == (0, 0, "")


def test_ignored_plays_are_counted_and_the_others_taken(state, service, forwarder):
    service.ignored = {"Song B of 0": 1, "Song D of 0": 3}
    for number in (0, 1, 2, 3, 39):
        play(state, number)
    forwarder.forward_all()
    forwarder.forward_all()
    assert service.titles() == [["Song A of 0", "Song B of 0", "Song C of 0", "Song D of 0"]]
    status = state.forwarding.status(LOCAL)
    assert (status.pending, status.refused) == (0, 3)
    rows = dict(state.database.fetch_all("SELECT track_id, error FROM outgoing_plays"))
    assert rows == {
        "t01": "ignored 1: the artist was ignored",
        "t03": "ignored 3: the play is older than it takes",
        "t39": "Last.fm takes no tracks of 30 s or less",
    }


def test_plays_over_the_daily_limit_wait_an_hour(state, service, forwarder, clock):
    service.ignored = {"Song B of 0": 5}
    for number in (0, 1):
        play(state, number)
    forwarder.forward_all()
    status = state.forwarding.status(LOCAL)
    assert (status.pending, status.refused) == (1, 0) and "limit" in status.last_error
    service.ignored = {}
    clock[0] = 3599.0
    forwarder.forward_all()
    assert len(service.titles()) == 1
    clock[0] = 3601.0
    forwarder.forward_all()
    assert service.titles()[1:] == [["Song B of 0"]] and state.forwarding.status(LOCAL).pending == 0


@pytest.mark.parametrize(
    ("error", "wait_s"),
    [
        ((200, {"error": 11, "message": "Service Offline"}), 5),
        ((503, {"error": 16, "message": "Temporarily unavailable"}), 5),
        ((500, {"error": 8, "message": "Operation failed"}), 5),
        ((403, {"error": 10, "message": "Invalid API key"}), 5),
        ((429, {"error": 29, "message": "Rate limit exceeded"}), 60),
        ((502, None), 5),
        ((200, None), 5),
        ((200, {"error": {}, "message": []}), 5),
        ((302, {}), 5),
    ],
)
def test_plays_wait_and_are_sent_again(state, service, forwarder, clock, error, wait_s):
    service.errors = [error]
    play(state, 1)
    for second in (0.0, wait_s - 0.1):
        clock[0] = second
        forwarder.forward_all()
    assert len(service.requests) == 1 and state.forwarding.status(LOCAL).last_error
    clock[0] = wait_s + 0.1
    forwarder.forward_all()
    status = state.forwarding.status(LOCAL)
    assert len(service.requests) == 2 and (status.pending, status.last_error) == (0, "")


def test_plays_wait_while_last_fm_is_away(state, service, forwarder):
    away = LastFm("http://127.0.0.1:9/2.0/", "https://page.example", KEY, SECRET)
    play(state, 1)
    ListenForwarder(state, {"lastfm": away}).forward_all()
    status = state.forwarding.status(LOCAL)
    assert status.pending == 1 and "found ConnectionError" in status.last_error
    forwarder.forward_all()
    assert service.titles() == [["Song B of 0"]]


def test_invalid_session_stops_until_the_user_connects_again(state, service, forwarder, clock):
    state.forwarding.set_token(LOCAL, "old-session-key")
    play(state, 1)
    for clock[0] in (0.0, 10_000.0, 20_000.0):
        forwarder.forward_all()
    assert len(service.requests) == 1
    status = state.forwarding.status(LOCAL)
    assert status.pending == 1 and status.last_error.startswith("9 Invalid session key; connect again")
    state.forwarding.set_token(LOCAL, SESSION)
    forwarder.forward_all()
    assert service.titles()[1:] == [["Song B of 0"]] and state.forwarding.status(LOCAL).pending == 0


def test_a_bad_play_costs_itself_only(state, service, forwarder):
    bad = (400, {"error": 6, "message": "Invalid parameters"})
    service.errors = [bad, (200, {"scrobbles": {}}), bad]
    for number in (1, 2):
        play(state, number)
    forwarder.forward_all()
    rows = state.database.fetch_all("SELECT track_id, error FROM outgoing_plays")
    assert rows == [("t02", "6 Invalid parameters")] and len(service.requests) == 3


def test_started_track_is_sent_as_playing(state, service, forwarder):
    state.accept_play(User("local"), {"track_id": "t04", "event": "started", "position_s": 0.0})
    forwarder.forward_all()
    (values,) = service.requests
    assert values["method"] == "track.updateNowPlaying" and values["track"] == "Song E of 0"
    assert "timestamp" not in values and values["sk"] == SESSION


def test_plays_go_to_both_services(state):
    both = (LOCAL, Destination("local", "listenbrainz"))
    state.forwarding.set_token(both[1], "another-token")
    play(state, 1)
    assert [len(state.forwarding.pending(to, 10)) for to in both] == [1, 1]
    state.forwarding.remove(both[1])
    assert [len(state.forwarding.pending(to, 10)) for to in both] == [1, 0]


def test_login_opens_a_session_once_it_was_allowed(client, service, caplog):
    caplog.set_level("DEBUG")
    begun = client.post("/api/forwarding/lastfm/login").json()
    assert begun == {
        "token": "login-token",
        "url": f"https://page.example/auth?api_key={KEY}&token=login-token",
    }
    refused = client.put("/api/forwarding/lastfm", json={"token": "login-token"})
    assert refused.status_code == 409 and "allow it on Last.fm's page" in refused.json()["detail"]
    service.allowed = True
    answer = client.put("/api/forwarding/lastfm", json={"token": "login-token"})
    assert answer.json()["enabled"] is True and answer.json()["available"] is True
    assert client.state.forwarding.token(LOCAL) == SESSION
    answers = answer.text + client.get("/api/forwarding/lastfm").text + caplog.text
    assert SESSION not in answers and SECRET not in answers
    assert client.delete("/api/forwarding/lastfm").status_code == 204
    assert client.get("/api/forwarding/lastfm").json()["enabled"] is False


def test_login_without_an_api_account_or_an_answer_says_so(client, service):
    service.errors = [(503, {"error": 11, "message": "Service\nOffline"})]
    answer = client.post("/api/forwarding/lastfm/login")
    assert answer.status_code == 502 and "Service\\nOffline" in answer.json()["detail"]
    client.state.lastfm = LastFm("http://127.0.0.1:9/", "https://page.example", "", "")
    for answer in (
        client.post("/api/forwarding/lastfm/login"),
        client.put("/api/forwarding/lastfm", json={"token": "login-token"}),
    ):
        assert answer.status_code == 409 and "SEGUE_LASTFM_KEY" in answer.json()["detail"]
    assert client.get("/api/forwarding/lastfm").json()["available"] is False
