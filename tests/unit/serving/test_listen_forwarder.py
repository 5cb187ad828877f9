"""Plays on their way to a ListenBrainz that is away, refuses, or asks for patience: none is lost."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from serving import listen_forwarder
from serving.db.accounts import User
from serving.db.database import Database
from serving.db.forwarding import Destination, Forwarding
from serving.listen_forwarder import ListenForwarder
from serving.listenbrainz_service import ListenBrainz
from serving.listens import play_fields

TOKEN = "secret-token-of-anna"
LOCAL, ANNA, BERT = (Destination(name, "listenbrainz") for name in ("local", "anna", "bert"))
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)


class FakeListenBrainz(HTTPServer):
    """Answers with the statuses of `answers`, then 200; refuses a listen of the title `bad` with 400."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.requests, self.bad = [], [], None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def titles(self):
        return [
            [listen["track_metadata"]["track_name"] for listen in body["payload"]]
            for _, body in self.requests
        ]


def _titles(body):
    return [listen["track_metadata"]["track_name"] for listen in body["payload"]]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.headers["Authorization"], body))
        status, headers = self.server.answers.pop(0) if self.server.answers else (200, {})
        if status == 200 and self.server.bad in _titles(body):
            status = 400
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps({"code": status, "error": "not today\nplease"}).encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def client(serve, lake):
    patch = pytest.MonkeyPatch()
    patch.setattr(listen_forwarder, "_POLL_INTERVAL_S", 3600.0)  # the tests forward themselves
    with serve(lake) as client:
        client.state.producer.send = lambda _: None
        yield client
    patch.undo()


@pytest.fixture
def service():
    server = FakeListenBrainz()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def state(client):
    client.state.forwarding.set_token(LOCAL, TOKEN)
    yield client.state
    client.state.forwarding.remove(LOCAL)
    with client.state.database.transaction() as change:
        change.execute("DELETE FROM plays")


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def forwarder(state, service, clock):
    service = ListenBrainz(f"http://127.0.0.1:{service.server_port}/")
    return ListenForwarder(state, {"listenbrainz": service}, clock=lambda: clock[0])


def play(state, number, user="local"):
    """Finish track `number` of the collection, `number` minutes after NOW."""
    track = state.catalog.by_id[f"t{number:02d}"]
    fields = play_fields(user, track, NOW + timedelta(minutes=number))
    state.accept_play(User(user), fields, is_limited=False)


def test_plays_are_sent_in_order_and_once(state, service, forwarder):
    for number in (1, 2, 2, 3):
        play(state, number)
    state.accept_play(User("local"), {"track_id": "t04", "event": "skipped", "position_s": 0.0})
    forwarder.forward_all()
    forwarder.forward_all()
    ((authorization, body),) = service.requests
    assert authorization == f"Token {TOKEN}" and body["listen_type"] == "import"
    assert service.titles == [["Song B of 0", "Song C of 0", "Song D of 0"]]
    first = body["payload"][0]
    assert first["listened_at"] == int((NOW + timedelta(minutes=1)).timestamp())
    assert first["track_metadata"]["artist_name"] == "Artist 0"
    assert state.forwarding.status(LOCAL).pending == 0


def test_only_who_wants_it_is_forwarded(state, service, forwarder):
    play(state, 1, user="bert")
    forwarder.forward_all()
    assert service.requests == [] and state.forwarding.status(BERT) is None


def test_plays_wait_while_the_service_is_away_even_over_a_restart(state, clock):
    away = ListenForwarder(
        state, {"listenbrainz": ListenBrainz("http://127.0.0.1:9")}, clock=lambda: clock[0]
    )
    play(state, 1)
    away.forward_all()
    status = state.forwarding.status(LOCAL)
    assert status.pending == 1 and "found ConnectionError" in status.last_error
    again = Database(state.lake.root)
    assert [each.track_id for each in Forwarding(again).pending(LOCAL, 10)] == ["t01"]
    again.close()


def test_pauses_double_and_end_with_success(state, service, forwarder, clock):
    service.answers = [(503, {})] * 3
    play(state, 1)
    times = []
    for second in range(100):
        clock[0] = float(second)
        before = len(service.requests)
        forwarder.forward_all()
        times += [second] * (len(service.requests) - before)
    assert times == [0, 5, 15, 35]
    status = state.forwarding.status(LOCAL)
    assert (status.pending, status.last_error) == (0, "")


def test_service_says_how_long_to_wait(state, service, forwarder, clock):
    service.answers = [(429, {"X-RateLimit-Reset-In": "70"})]
    play(state, 1)
    forwarder.forward_all()
    clock[0] = 69.0
    forwarder.forward_all()
    assert len(service.requests) == 1
    clock[0] = 71.0
    forwarder.forward_all()
    assert len(service.requests) == 2 and state.forwarding.status(LOCAL).pending == 0


def test_one_bad_listen_costs_itself_only(state, service, forwarder):
    service.bad = "Song C of 0"
    for number in (1, 2, 3):
        play(state, number)
    forwarder.forward_all()
    forwarder.forward_all()
    assert service.titles[1:] == [["Song B of 0"], ["Song C of 0"], ["Song D of 0"]]
    status = state.forwarding.status(LOCAL)
    assert (status.pending, status.refused) == (0, 1)
    rows = state.database.fetch_all("SELECT track_id, error FROM outgoing_plays")
    assert rows == [("t02", "400 not todayplease")]


def test_wrong_token_holds_up_nobody_else(state, service, forwarder):
    state.forwarding.set_token(BERT, "another-token")
    service.answers = [(401, {})]
    play(state, 1, user="bert")
    play(state, 2)
    forwarder.forward_all()
    assert [authorization for authorization, _ in service.requests] == [
        "Token another-token",
        f"Token {TOKEN}",
    ]
    assert state.forwarding.status(BERT).pending == 1 and state.forwarding.status(LOCAL).pending == 0
    state.forwarding.remove(BERT)


def test_play_of_a_track_that_is_gone_waits_for_it(state, service, forwarder, monkeypatch):
    monkeypatch.setattr(listen_forwarder, "_BATCH", 2)
    for number in (1, 2, 3, 4):
        play(state, number)
    whole = state.catalog
    tracks = tuple(track for track in whole.tracks if track.track_id not in ("t01", "t02"))
    monkeypatch.setattr(state, "catalog", type(whole)("x", tracks, whole.roots))
    forwarder.forward_all()
    assert service.titles == [["Song D of 0", "Song E of 0"]]
    monkeypatch.setattr(state, "catalog", whole)
    forwarder.forward_all()
    assert service.titles[1:] == [["Song B of 0", "Song C of 0"]]


def test_token_is_in_no_answer_and_no_log(client, state, service, forwarder, caplog):
    caplog.set_level("DEBUG")
    service.answers = [(401, {}), (302, {"Location": "http://127.0.0.1:9/elsewhere"})]
    answer = client.put("/api/forwarding/listenbrainz", json={"token": TOKEN})
    assert answer.json() == {
        **{"available": True, "enabled": True},
        **{"pending": 0, "refused": 0, "last_error": ""},
    }
    play(state, 1)
    forwarder.forward_all()
    status = client.get("/api/forwarding/listenbrainz").json()
    assert status["pending"] == 1 and status["last_error"].startswith("401")
    assert TOKEN not in caplog.text + json.dumps(status)
    assert client.delete("/api/forwarding/listenbrainz").status_code == 204
    assert client.get("/api/forwarding/listenbrainz").json()["enabled"] is False
    assert state.database.fetch_all("SELECT * FROM outgoing_plays") == []


def test_removed_user_is_forwarded_no_more(state):
    state.accounts.add("anna", "a good password")
    state.forwarding.set_token(ANNA, TOKEN)
    play(state, 1, user="anna")
    state.accounts.remove("anna")
    assert state.forwarding.token(ANNA) is None and state.forwarding.with_pending() == []


def test_started_track_is_sent_as_playing_once(state, service, forwarder, clock, monkeypatch):
    monkeypatch.setattr(state, "forwarder", forwarder)
    state.accept_play(User("local"), {"track_id": "t04", "event": "started", "position_s": 0.0})
    state.accept_play(User("local"), {"track_id": "t06", "event": "started", "position_s": 0.0})
    forwarder.forward_all()
    ((_, body),) = service.requests
    assert body["listen_type"] == "playing_now" and service.titles == [["Song B of 1"]]
    assert "listened_at" not in body["payload"][0]
    service.answers = [(503, {})]
    state.accept_play(User("local"), {"track_id": "t05", "event": "started", "position_s": 0.0})
    forwarder.forward_all()
    forwarder.forward_all()
    state.accept_play(User("local"), {"track_id": "t05", "event": "started", "position_s": 0.0})
    clock[0] = 100.0
    forwarder.forward_all()
    assert len(service.requests) == 2
