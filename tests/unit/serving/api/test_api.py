"""The player's endpoint while MongoDB and Kafka are away.

It plays, takes events, and turns away what it should.
"""

import dataclasses
import json
import sqlite3
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from jobs.errors import StepError
from jobs.runtime import stream_status
from serving import http_server
from tests import synthetic_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return synthetic_lake.make(tmp_path_factory.mktemp("api") / "lake")


@pytest.fixture
def anna(client):
    """A user, so that a login is needed; and nobody afterwards."""
    accounts = client.state.accounts
    accounts.add("anna", "a good password", admin=True, restore=True)
    yield accounts.add_app_password("anna", "test").secret
    for name, _ in accounts.list_users():
        accounts.remove(name)
    client.cookies.clear()
    client.state.login_limit._levels.clear()


def session(client, name):
    """The page's login, as a browser sends it."""
    return {"Cookie": f"segue_session={client.state.accounts.login(name, 'a good password')}"}


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    detail = answer.json()
    assert detail["status"] == status and detail["detail"] and "Traceback" not in answer.text
    return detail["detail"]


def test_player_works_while_mongodb_is_unavailable(client):
    state = client.get("/api/state").json()
    assert (state["mongo"], state["tracks"], state["user"]) == (False, 40, "local")
    curated = client.get("/api/recommendations/default").json()["items"]
    assert len({item["track"]["artist"] for item in curated[:8]}) == 8 and all(
        item["reason"] for item in curated
    )
    assert client.get("/api/recommendations").json()["items"] == curated
    assert client.get("/api/tracks", params={"q": "artist 2", "limit": 3}).json()["total"] == 5
    assert client.get("/api/tracks/t00/similar").json()["items"] == []
    assert client.get("/api/health").json()["ok"]


def test_event_on_a_full_disk_gets_507(client, monkeypatch):
    event = {"track_id": "t00", "event": "started"}
    with monkeypatch.context() as patched:
        patched.setattr(client.state.producer, "send", raising(StepError("no room")))
        detail = problem(client.post("/api/events", json=event), 507)
        assert detail == "expected space on the lake's disk, found it full"
    assert client.post("/api/events", json=event).status_code == 202


def test_accepted_event_reaches_the_history_later(client, monkeypatch):
    """Where only the page's history has no room: sent again it would count twice."""
    sent, state = [], client.state
    monkeypatch.setattr(state.producer, "send", sent.append)
    with monkeypatch.context() as patched:
        patched.setattr(state.feedback, "record_play", raising(sqlite3.OperationalError("disk is full")))
        for number, kind in enumerate(("started", "liked", "disliked")):
            given = {"event_id": f"full-{number}", "track_id": "t07", "event": kind}
            assert client.post("/api/events", json=given).status_code == 202
    assert len(sent) == 3 and "t07" not in state.feedback.ratings("local")
    assert client.post("/api/events", json={"track_id": "t08", "event": "started"}).status_code == 202
    assert state.feedback.ratings("local")["t07"] is False
    assert [row["track"]["id"] for row in client.get("/api/history").json()][:2] == ["t08", "t07"]
    for _ in range(2):  # what is taken back, must reach the profile, once
        assert client.put("/api/tracks/t07/rating", json={"liked": None}).status_code == 200
    assert [event.event for event in sent[4:]] == ["unrated"] and "t07" not in state.feedback.ratings("local")


def raising(error):
    def raise_it(*_):
        raise error

    return raise_it


def test_other_changes_on_a_full_disk_get_507(client, monkeypatch):
    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(client.state.feedback, "block", full)
    artist = client.get("/api/tracks/t00").json()["artist_id"]
    assert "space" in problem(client.put(f"/api/artists/{artist}/blocked", json={"blocked": True}), 507)


def test_audio_comes_whole_or_by_range(client):
    whole = client.get("/api/tracks/t03/audio")
    assert (whole.status_code, whole.headers["content-type"], whole.content[:4]) == (
        200,
        "audio/wav",
        b"RIFF",
    )
    part = client.get("/api/tracks/t03/audio", headers={"Range": "bytes=100-199"})
    assert part.status_code == 206 and part.content == whole.content[100:200]
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    end = client.get("/api/tracks/t03/audio", headers={"Range": "bytes=-10"})
    assert end.content == whole.content[-10:]
    assert client.get("/api/tracks/t03/audio", headers={"Range": f"bytes={10**9}-"}).status_code == 416
    for malformed in ("bytes=x-y", "bytes=5-2", "bytes=", "lines=1-2"):
        assert client.get("/api/tracks/t03/audio", headers={"Range": malformed}).status_code in (
            200,
            400,
            416,
        )


def test_missing_file_gets_404_and_the_rest_plays(client):
    file = client.state.catalog.audio_file(client.state.catalog.by_id["t05"])
    held = file.read_bytes()
    file.unlink()
    assert "gone" in problem(client.get("/api/tracks/t05/audio"), 404)
    assert client.get("/api/tracks/t05/cover").status_code == 200
    file.write_bytes(held)
    assert client.get("/api/tracks/t05/audio").status_code == 200


def test_generated_cover_is_deterministic(client):
    first = client.get("/api/tracks/t00/cover", params={"size": 96})
    assert first.headers["content-type"] == "image/jpeg" and first.content[:2] == b"\xff\xd8"
    client.state.covers._cache.clear()
    assert client.get("/api/tracks/t00/cover", params={"size": 96}).content == first.content
    again = client.get(
        "/api/tracks/t00/cover", params={"size": 96}, headers={"If-None-Match": first.headers["etag"]}
    )
    assert again.status_code == 304 and not again.content


def test_event_is_on_disk_before_it_is_accepted(client):
    waiting = client.state.producer.pending
    sent = {"track_id": "t00", "event": "started", "event_id": "e1", "position_s": 0.5}
    answer = client.post("/api/events", json=sent)
    assert (answer.status_code, answer.json()) == (202, {"event_id": "e1"})
    assert client.state.producer.pending == waiting + 1
    spool = client.state.lake.root / "spool" / "plays"
    lines = [json.loads(line) for file in spool.rglob("*.jsonl") for line in file.read_bytes().splitlines()]
    (found,) = [line for line in lines if line["event_id"] == "e1"]
    assert (found["user_id"], found["track_id"], found["position_s"]) == ("local", "t00", 0.5)
    assert client.get("/api/now-playing").json()["track"]["id"] == "t00"
    client.post("/api/events", json={**sent, "event": "finished", "event_id": "e2"})
    assert client.get("/api/now-playing").json() is None
    assert client.get("/api/history?limit=500").json()[0]["event"] == "finished"


def test_event_of_another_user_gets_409(client):
    """A page that is left open while another logs in."""
    sent = {"track_id": "t09", "event": "started", "listener": "bert"}
    assert "expected an event of local" in problem(client.post("/api/events", json=sent), 409)
    assert client.post("/api/events", json={**sent, "listener": "local"}).status_code == 202
    assert [row["track"]["id"] for row in client.get("/api/history").json()].count("t09") == 1


@pytest.mark.parametrize(
    ("sent", "status", "detail"),
    [
        (b"{", 400, "JSON"),
        (b"[]", 422, "body"),
        (b'{"track_id": "t00"}', 422, "event"),
        (b'{"track_id": "t00", "event": "danced"}', 422, "started"),
        (b'{"track_id": "nothing", "event": "started"}', 404, "id of a track"),
        (b'{"track_id": "t00", "event": "started", "position_s": -1}', 422, "position_s"),
        (b'{"track_id": "t00", "event": "started", "position_s": NaN}', 422, ""),
        (b'{"track_id": "t00", "event": "started", "played_at": "soon"}', 422, "played_at"),
        (b'{"track_id": "t00", "event": "started", "user_id": "bert"}', 422, "user_id"),
        (b'{"track_id": "t\\u0000", "event": "started"}', 422, "track_id"),
        (b'{"track_id": "\\ud800", "event": "started"}', 422, ""),
        (b"\xff\xfe", 400, "JSON"),
    ],
)
def test_invalid_event_is_refused(client, sent, status, detail):
    answer = client.post("/api/events", content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code in (status, 400, 422) if detail == "" else detail in problem(answer, status)


def test_likes_act_at_once_and_can_be_undone(client):
    first = client.get("/api/recommendations/default").json()["items"][0]["track"]["id"]
    assert client.put(f"/api/tracks/{first}/rating", json={"liked": False}).json()["liked"] is False
    assert first not in [
        item["track"]["id"] for item in client.get("/api/recommendations/default").json()["items"]
    ]
    assert client.put(f"/api/tracks/{first}/rating", json={"liked": True}).json()["liked"] is True
    assert [track["id"] for track in client.get("/api/liked").json()["items"]] == [first]
    assert client.put(f"/api/tracks/{first}/rating", json={"liked": None}).json()["liked"] is None
    assert client.get("/api/liked").json()["items"] == []


def test_blocked_artist_is_in_no_list_and_no_radio(client):
    artist = client.get("/api/tracks/t00").json()["artist_id"]
    client.put(f"/api/artists/{artist}/blocked", json={"blocked": True})
    try:
        assert [each["name"] for each in client.get("/api/blocked").json()] == ["Artist 0"]
        lists = client.get("/api/recommendations/default").json()["items"]
        assert all(item["track"]["artist"] != "Artist 0" for item in lists)
        radio = client.post("/api/radio", json={"track_id": "t05", "count": 50}).json()["items"]
        assert len(radio) == 35 and all(track["artist"] != "Artist 0" for track in radio)
    finally:
        client.put(f"/api/artists/{artist}/blocked", json={"blocked": False})


def test_radio_repeats_nothing_until_the_end(client):
    played = []
    while page := client.post("/api/radio", json={"track_id": "t10", "played": played, "count": 7}).json()[
        "items"
    ]:
        played += [track["id"] for track in page]
    assert len(played) == len(set(played)) == 40
    first = client.post("/api/radio", json={"track_id": "t10", "played": ["t10"], "count": 1}).json()["items"]
    assert first[0]["artist"] != "Artist 2"  # its own artist has just been played


@pytest.mark.parametrize(
    ("seed", "status"),
    [
        ({}, 422),
        ({"track_id": "t00", "mood": "calm"}, 422),
        ({"mood": "green"}, 422),
        ({"genre": "none"}, 404),
    ],
)
def test_radio_needs_exactly_one_seed(client, seed, status):
    problem(client.post("/api/radio", json=seed), status)


def test_mood_orders_tracks_by_its_features(client):
    found = client.post("/api/radio", json={"mood": "energetic", "count": 3}).json()["items"]
    assert (
        len(found) == 3 and client.state.radio.mood_tracks("energetic")[0] == "t39"
    )  # the loudest, as planted
    assert client.state.radio.mood_tracks("calm")[0] == "t00"


def test_bodies_are_limited(client):
    sent = {"Content-Type": "application/json"}
    assert "at most" in problem(client.post("/api/events", content=b"x" * 10_000_000, headers=sent), 413)
    assert "at most" in problem(
        client.post("/api/events", content=(b"x" * 9000 for _ in range(99)), headers=sent), 413
    )
    assert problem(client.post("/api/events", content=b"{}", headers={**sent, "Content-Length": "-1"}), 400)


def test_page_modules_are_revalidated(client):
    for path in ("/", "/static/main.js"):
        first = client.get(path)
        assert first.headers["cache-control"] == "no-cache"
    again = client.get("/static/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")


def test_every_answer_has_the_security_headers(client):
    for path in ("/", "/static/main.js", "/api/state", "/api/nothing", "/rest/ping"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
    ],
)
def test_requests_of_another_site_change_nothing(client, headers):
    assert "another site" in problem(client.post("/api/events", json={}, headers=headers), 403)


@pytest.mark.parametrize(
    "host", ["music.example", "192.168.1.5", "127.0.0.1.example", "", "[", "localhost:x@y"]
)
def test_without_users_only_local_names_are_served(client, host):
    assert "segue user add" in problem(client.get("/api/state", headers={"Host": host}), 403)


def test_without_users_a_proxied_request_is_refused(client):
    problem(client.get("/api/state", headers={"X-Forwarded-For": "203.0.113.5"}), 403)


@pytest.mark.parametrize(
    "path",
    [
        "../../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "t00/../../x",
        "a" * 200,
        "\u2603",
        "%ff%fe",
        "t00%0a",
    ],
)
def test_no_path_leads_out_of_the_lake(client, path):
    for place in (
        f"/api/tracks/{path}/audio",
        f"/api/tracks/{path}",
        f"/static/{path}",
        f"/rest/stream?id={path}",
    ):
        answer = client.get(place)
        assert answer.status_code < 500 and b"root:" not in answer.content


def test_with_users_every_route_needs_a_login(client, anna):
    for path in (
        "state",
        "tracks",
        "tracks/t00",
        "tracks/t00/audio",
        "tracks/t00/cover",
        "recommendations",
        "events/stream",
        "map",
    ):
        problem(client.get(f"/api/{path}"), 401)
    problem(client.get("/api/state", headers={"Authorization": "Bearer wrong"}), 401)
    problem(client.get("/api/state", headers={b"Cookie": b"segue_session=\xff\xfe; x=\x80"}), 401)
    assert client.get("/api/health").status_code == 200
    assert client.get("/api/state", headers={"Authorization": f"Bearer {anna}"}).json()["user"] == "anna"


def test_login_sets_a_strict_http_only_cookie(client, anna):
    problem(client.post("/api/login", json={"name": "anna", "password": "wrong password"}), 401)
    answer = client.post("/api/login", json={"name": "anna", "password": "a good password"})
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie and "secure" not in cookie
    assert client.get("/api/state").json()["user"] == "anna"
    client.post("/api/logout")
    problem(client.get("/api/state"), 401)
    tls = TestClient(client.app, base_url="https://music.example").post(
        "/api/login", json={"name": "anna", "password": "a good password"}
    )
    assert "secure" in tls.headers["set-cookie"].lower()
    phone = client.post("/api/login", json={"name": "Anna ", "password": "a good password"})
    assert phone.json()["name"] == "anna"


@pytest.mark.parametrize(("behind_tls", "secure"), [(True, True), (False, False)])
def test_proxy_headers_count_only_behind_tls(client, anna, behind_tls, secure):
    config = http_server.build_server(client.app, behind_tls=behind_tls).config
    config.load()
    proxied = TestClient(config.loaded_app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000))
    answer = proxied.post(
        "/api/login",
        json={"name": "anna", "password": "a good password"},
        headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.5"},
    )
    assert answer.status_code == 200 and ("secure" in answer.headers["set-cookie"].lower()) == secure
    assert ("from 203.0.113.5" in client.state.login_limit._levels) == secure


def test_user_changes_the_password_with_the_old_one(client, anna):
    problem(client.put("/api/password", json={"old": "a good password", "new": "x" * 8}), 401)
    client.post("/api/login", json={"name": "anna", "password": "a good password"})
    before = client.cookies["segue_session"]
    assert "current password" in problem(
        client.put("/api/password", json={"old": "no", "new": "a better one"}), 403
    )
    assert "8 to 200" in problem(
        client.put("/api/password", json={"old": "a good password", "new": "short"}), 422
    )
    client.put("/api/password", json={"old": "a good password", "new": "a better one"})
    assert client.get("/api/state").json()["user"] == "anna"  # this page stays logged in, any other is not
    assert client.state.accounts.user_by_session(before) is None
    client.cookies.clear()
    assert client.post("/api/login", json={"name": "anna", "password": "a better one"}).status_code == 200


def test_without_users_there_is_no_password(client):
    assert "segue user add" in problem(
        client.put("/api/password", json={"old": "", "new": "a good password"}), 403
    )


def test_passwords_cannot_be_guessed_for_long(client, anna):
    statuses = [
        client.post("/api/login", json={"name": "anna", "password": f"guess {n:08d}"}).status_code
        for n in range(12)
    ]
    client.state.login_limit._levels.clear()
    assert statuses[0] == 401 and statuses[-1] == 429


def test_users_see_and_change_only_their_own(client, anna):
    accounts = client.state.accounts
    accounts.add("bert", "a good password")
    mine, bert = session(client, "anna"), session(client, "bert")
    client.put("/api/tracks/t07/rating", json={"liked": True}, headers=mine)
    client.post("/api/events", json={"track_id": "t07", "event": "started"}, headers=mine)
    assert [track["id"] for track in client.get("/api/liked", headers=mine).json()["items"]] == ["t07"]
    for path in ("liked", "history"):
        assert not any("t07" in str(row) for row in client.get(f"/api/{path}", headers=bert).json())
    (client_id,) = [each["id"] for each in client.get("/api/app-passwords", headers=mine).json()]
    problem(client.delete(f"/api/app-passwords/{client_id}", headers=bert), 404)
    for method, path in (("GET", "users"), ("POST", "users"), ("DELETE", "users/anna"), ("GET", "metrics")):
        body = {"name": "carl", "password": "a good password"} if method == "POST" else None
        problem(client.request(method, f"/api/{path}", headers=bert, json=body), 403)
    made = client.post("/api/users", headers=mine, json={"name": "carl", "password": "a good password"})
    assert (
        made.status_code == 201
        and {"name": "carl", "admin": False} in client.get("/api/users", headers=mine).json()
    )
    assert client.delete("/api/users/carl", headers=mine).status_code == 204
    problem(client.delete("/api/users/anna", headers=mine), 403)


def test_app_password_cannot_change_accounts(client, anna):
    """It stands in the addresses of Subsonic's calls.

    An admin's must not make another admin of whoever reads these.
    """
    accounts = client.state.accounts
    (app_password,) = accounts.app_passwords("anna")
    for method, path, body in (
        ("GET", "users", None),
        ("POST", "users", {"name": "dora", "password": "a good password", "admin": True}),
        ("DELETE", "users/dora", None),
        ("GET", "app-passwords", None),
        ("POST", "app-passwords", {"label": "another"}),
        ("DELETE", f"app-passwords/{app_password.password_id}", None),
        ("PUT", "password", {"old": "a good password", "new": "a better one"}),
    ):
        answer = client.request(
            method, f"/api/{path}", json=body, headers={"Authorization": f"Bearer {anna}"}
        )
        assert "page's login" in problem(answer, 403)
        problem(
            client.request(method, f"/api/{path}", json=body, headers={"Authorization": "Bearer wrong"}), 401
        )
    assert accounts.list_users() == [("anna", True)] and accounts.app_passwords("anna") == [app_password]


def test_events_of_a_user_are_rate_limited(client, monkeypatch):
    monkeypatch.setattr(
        client.state.event_limit, "rate", 0.1
    )  # the true one refills it as fast as a busy machine asks
    statuses = {
        client.post("/api/events", json={"track_id": "t01", "event": "started"}).status_code
        for _ in range(260)
    }
    client.state.event_limit._levels.clear()
    assert statuses == {202, 429}


def test_listenbrainz_client_submits_listens(client):
    secret = client.state.accounts.add_app_password("local", "scrobbler").secret
    token = {"Authorization": f"Token {secret}"}
    assert client.get("/1/validate-token", headers=token).json()["user_name"] == "local"
    assert client.get("/1/validate-token", headers={"Authorization": "Token no"}).json()["valid"] is False
    now = int(time.time())
    known = {"listened_at": now, "track_metadata": {"artist_name": "ARTIST 1", "track_name": "song b of 1"}}
    other = {"listened_at": now, "track_metadata": {"artist_name": "Nobody", "track_name": "Nothing"}}
    sent = {"listen_type": "import", "payload": [known, other]}
    answer = client.post("/1/submit-listens", json=sent, headers=token).json()
    assert (answer["taken"], answer["unknown"]) == (1, 1)
    assert [
        row["event"] for row in client.get("/api/history?limit=500").json() if row["track"]["id"] == "t06"
    ] == ["finished"]
    rows = len(client.get("/api/history?limit=500").json())
    client.post("/1/submit-listens", json=sent, headers=token)  # sent again, it is the same listen
    assert len(client.get("/api/history?limit=500").json()) == rows
    problem(client.post("/1/submit-listens", json=sent, headers={"Authorization": "Token no"}), 401)
    for broken in (
        {},
        [],
        {"listen_type": "x", "payload": [known]},
        {"listen_type": "single", "payload": [{"a": 1}]},
    ):
        problem(client.post("/1/submit-listens", json=broken, headers=token), 400)


@pytest.mark.parametrize(
    "wrong",
    [
        {"a": 1},
        {"listened_at": "soon"},
        {"listened_at": 32503680000},
    ],  # a listen without names; no time; the year 3000
)
def test_listens_with_an_invalid_one_are_all_refused(client, sent, wrong):
    secret = client.state.accounts.add_app_password("local", "scrobbler").secret
    names = {"track_metadata": {"artist_name": "Artist 1", "track_name": "Song C of 1"}}
    good = {"listened_at": int(time.time()), **names}
    listens = [good, {**names, **wrong} if "listened_at" in wrong else wrong, good]
    body = {"listen_type": "import", "payload": listens}
    problem(client.post("/1/submit-listens", json=body, headers={"Authorization": f"Token {secret}"}), 400)
    assert sent == []


def test_large_batch_of_scrobbles_counts_once(client, call, sent):
    """A player that was offline sends all at once, and again where it has not seen the answer."""
    now = 1000 * int(time.time())
    given = {"id": ["t10", "t11"] * 125, "time": [now - 1000 * (number // 2) for number in range(250)]}
    for _ in range(2):
        assert call("scrobble", **given)["status"] == "ok"
        client.state.event_limit._levels.clear()
    assert len(sent) == 500 and len({event.event_id for event in sent}) == 250
    call("scrobble", id="t10", time=now, submission="false")
    assert sent[-1].event_id not in {event.event_id for event in sent[:-1]}
    assert call("scrobble", id="t10")["status"] == call("scrobble", id="t10")["status"] == "ok"
    assert sent[-1].event_id != sent[-2].event_id  # without a time it may be another play


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"id": ["t10", "nothing", "t11"]}, 70),
        ({"id": ["t10", "t11"], "time": ["1700000000000", "soon"]}, 0),
        ({"id": ["t10", "t11"], "time": ["1700000000000", "32503680000000"]}, 0),
        ({"id": ["t10"] * 1001}, 0),
    ],
)
def test_scrobbles_with_an_invalid_one_are_all_refused(call, sent, given, code):
    assert call("scrobble", **given)["error"]["code"] == code
    assert sent == []


def test_request_with_too_many_parameters_gets_400(client):
    assert "parameters" in problem(client.post("/rest/ping", content=b"a&" * 20_000), 400)


def test_client_removes_the_song_at_a_visible_index(client, call, monkeypatch):
    """Also where another of the playlist has left the collection, which stays until it is back."""
    made = call("createPlaylist", name="Evening", songId=["t01", "t02", "t03", "t04"])["playlist"]["id"]
    whole = client.state.catalog
    with monkeypatch.context() as patched:
        without = tuple(track for track in whole.tracks if track.track_id != "t02")
        patched.setattr(client.state, "catalog", dataclasses.replace(whole, tracks=without))
        assert "0 to 2" in call("updatePlaylist", playlistId=made, songIndexToRemove="3")["error"]["message"]
        assert call("updatePlaylist", playlistId=made, songIndexToRemove=["1"])["status"] == "ok"
    songs = call("getPlaylist", id=made)["playlist"]["entry"]
    assert [song["id"] for song in songs] == ["t01", "t02", "t04"]


def test_metrics_have_requests_and_the_stream(client):
    (client.state.lake.root / "stream").mkdir()
    stream_status.write(
        client.state.lake.root,
        {"plays": 7, **dict.fromkeys(("rejected", "repeated", "repaired"), 0), "latency_s": {}},
        None,
    )
    client.get("/api/health")
    families = text_string_to_metric_families(client.get("/api/metrics").text)
    samples = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
    assert samples["segue_requests_total", "2xx"] >= 1 and samples["segue_mongo_up",] == 0
    assert samples["segue_tracks",] == 40 and samples["segue_stream_plays_total",] == 7


def test_metrics_token_reads_the_metrics_and_nothing_else(client, anna, monkeypatch):
    token = {"Authorization": "Bearer 0123456789abcdef"}
    problem(client.get("/api/metrics", headers=token), 401)
    monkeypatch.setattr(client.state, "metrics_token", "0123456789abcdef")
    assert "segue_requests_total" in client.get("/api/metrics", headers=token).text
    problem(client.get("/api/metrics"), 401)
    problem(client.get("/api/state", headers=token), 401)
