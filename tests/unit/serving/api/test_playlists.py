"""Playlists of the page over HTTP: what the page changes, and what it must not lose."""

import pytest

from serving.api.playlists import with_missing


@pytest.fixture
def playlist(client):
    """A playlist of three tracks; none afterwards."""
    yield client.post("/api/playlists", json={"name": "Evening", "tracks": ["t05", "t06", "t10"]}).json()
    for each in client.get("/api/playlists").json():
        client.delete(f"/api/playlists/{each['id']}")


def ids(answer):
    return [track["id"] for track in answer.json()["items"]]


def test_playlist_is_made_renamed_and_deleted(client, playlist):
    path = f"/api/playlists/{playlist['id']}"
    assert (playlist["name"], playlist["tracks"], len(playlist["album_ids"])) == ("Evening", 3, 2)
    assert ids(client.get(path)) == ["t05", "t06", "t10"]
    assert client.put(path, json={"name": "Night"}).json()["name"] == "Night"
    assert [each["name"] for each in client.get("/api/playlists").json()] == ["Night"]
    assert client.delete(path).status_code == 204
    assert client.get(path).status_code == client.delete(path).status_code == 404


def test_tracks_are_added_and_sorted(client, playlist):
    path = f"/api/playlists/{playlist['id']}"
    added = client.post(f"{path}/tracks", json={"tracks": ["t00", "t05"]})
    assert ids(added) == ["t05", "t06", "t10", "t00", "t05"]
    change = {"tracks": ["t00", "t10"], "changed": added.json()["changed"]}
    assert ids(client.put(path, json=change)) == ["t00", "t10"]


def test_change_of_an_older_version_is_refused(client, playlist):
    path = f"/api/playlists/{playlist['id']}"
    client.post(f"{path}/tracks", json={"tracks": ["t00"]})
    refused = client.put(path, json={"tracks": ["t10"], "changed": playlist["changed"]})
    assert refused.status_code == 409 and ids(client.get(path)) == ["t05", "t06", "t10", "t00"]


def test_tracks_that_are_gone_keep_their_places(client, playlist):
    stored = client.state.playlists.create("local", "Old", ["gone0", "t05", "gone1", "gone2", "t06"])
    path = f"/api/playlists/{stored.playlist_id}"
    found = client.get(path).json()
    assert (found["tracks"], found["missing"]) == (2, 3)
    client.put(path, json={"tracks": ["t06", "t05"], "changed": found["changed"]})
    assert client.state.playlists.get("local", stored.playlist_id).tracks == (
        "gone0",
        "t06",
        "t05",
        "gone1",
        "gone2",
    )


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (["x", "a", "y", "b"], ["b", "a"], ["x", "b", "a", "y"]),
        (["a", "x"], [], ["x"]),
        (["a", "b"], ["a"], ["a"]),
        (["x", "y"], ["a"], ["x", "y", "a"]),
    ],
)
def test_missing_tracks_stay_behind_their_neighbours(old, new, expected):
    assert with_missing(old, new, {"a", "b"}) == expected


def test_refused_requests_say_why(client, playlist):
    path = f"/api/playlists/{playlist['id']}"
    assert client.post(f"{path}/tracks", json={"tracks": ["t99"]}).status_code == 404
    assert client.post("/api/playlists", json={"name": "  "}).status_code == 422
    assert client.post("/api/playlists", json={"name": ""}).status_code == 422
    assert client.get("/api/playlists/pl-0").status_code == 404


def test_other_users_playlist_is_not_found(client, playlist):
    stored = client.state.playlists.create("anna", "Hers", ["t05"])
    assert client.get(f"/api/playlists/{stored.playlist_id}").status_code == 404
    assert client.state.playlists.get("anna", stored.playlist_id) == stored


@pytest.fixture
def users(client):
    """Headers of two users; afterwards there are none."""
    accounts = client.state.accounts
    headers = {}
    for name in ("anna", "bert"):
        accounts.add(name, "a good password", restore=True)
        secret = accounts.add_app_password(name, "test").secret
        headers[name] = {"Authorization": f"Token {secret}"}
    yield headers
    for name in headers:
        accounts.remove(name)


def test_public_playlist_is_read_by_all_and_changed_by_its_owner(client, users, monkeypatch):
    events = []
    monkeypatch.setattr(client.state, "publish_event", lambda name, kind, data: events.append((name, kind)))
    mine, other = users["anna"], users["bert"]
    made = client.post("/api/playlists", json={"name": "Ours", "tracks": ["t05"]}, headers=mine).json()
    path = f"/api/playlists/{made['id']}"
    assert (made["owner"], made["public"]) == ("anna", False)
    assert client.get("/api/playlists", headers=other).json() == []
    assert client.get(path, headers=other).status_code == 404
    assert client.put(path, json={"public": True}, headers=mine).json()["public"]
    assert events == [("anna", "playlists"), (None, "playlists")]
    (found,) = client.get("/api/playlists", headers=other).json()
    assert (found["id"], found["owner"], found["public"]) == (made["id"], "anna", True)
    assert ids(client.get(path, headers=other)) == ["t05"]
    for method, address, body in (
        ("PUT", path, {"name": "Mine"}),
        ("POST", f"{path}/tracks", {"tracks": ["t00"]}),
        ("DELETE", path, None),
    ):
        assert client.request(method, address, json=body, headers=other).status_code == 404
    assert client.put(path, json={"name": "Still ours"}, headers=mine).json()["public"]
    client.state.accounts.remove("anna")
    assert client.get("/api/playlists", headers=other).json() == []
    client.state.accounts.add("anna", "a good password", restore=True)


def test_subsonic_clients_see_public_playlists_read_only(client, users):
    def call(user, method, **values):
        key = users[user]["Authorization"].split()[1]
        answer = client.post(f"/rest/{method}", data={"apiKey": key, "f": "json", **values})
        return answer.json()["subsonic-response"]

    made = call("anna", "createPlaylist", name="Ours", songId="t05")["playlist"]
    call("anna", "updatePlaylist", playlistId=made["id"], public="true")
    found = [
        each for each in call("bert", "getPlaylists")["playlists"]["playlist"] if each["id"] == made["id"]
    ]
    assert [(each["name"], each["public"], each["readonly"]) for each in found] == [("Ours", True, True)]
    assert call("bert", "getPlaylist", id=made["id"])["playlist"]["entry"][0]["id"] == "t05"
    assert call("bert", "deletePlaylist", id=made["id"])["error"]["code"] == 70
    assert "readonly" not in call("anna", "getPlaylist", id=made["id"])["playlist"]
