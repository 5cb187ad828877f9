"""Shares: a page without a login for some tracks and no others, until it expires."""

import time

import pytest


@pytest.fixture
def anna(state, client):
    """A user, so that everything but a share needs a login."""
    state.accounts.add("anna", "a good password", restore=True)
    yield "anna"
    state.accounts.remove("anna")


def create(call, user="anna", **values):
    (share,) = call("createShare", user=user, **values)["shares"]["share"]
    return share


def test_page_plays_the_shared_tracks_without_a_login(call, client, anna, state):
    album = state.catalog.by_id["t05"].album_id
    share = create(call, id=["t00", album], description='<b>"&')
    assert share["url"].startswith("http://127.0.0.1/share/") and len(share["id"]) == 24
    assert [song["id"] for song in share["entry"]] == ["t00", "t05", "t06", "t07", "t08", "t09"]
    page = client.get(share["url"])
    assert page.status_code == 200 and "&lt;b&gt;&quot;&amp;" in page.text and "<b>" not in page.text
    assert (
        "noindex" in page.headers["x-robots-tag"]
        and "default-src 'none'" in page.headers["content-security-policy"]
    )
    assert page.text.count("<audio") == 6 and "Song A of 1" in page.text
    audio = client.get(f"{share['url']}/1/audio", headers={"Range": "bytes=0-3"})
    assert (audio.status_code, audio.content) == (206, b"RIFF")
    assert client.get(f"{share['url']}/0/cover").headers["content-type"] == "image/jpeg"
    (seen,) = call("getShares", user="anna")["shares"]["share"]
    assert seen["visitCount"] == 1 and seen["lastVisited"]


@pytest.mark.parametrize("part", ["/6/audio", "/-1/audio", "/t20/audio", "/99999999/audio"])
def test_nothing_else_is_reached(call, client, anna, part):
    share = create(call, id="t00")
    assert client.get(f"{share['url']}{part}").status_code in (404, 422, 401)
    assert client.get("/api/tracks/t00/audio").status_code == 401


def test_link_ends(call, client, anna):
    share = create(call, id="t00", expires=int(time.time() * 1000) + 60_000)
    assert client.get(share["url"]).status_code == 200
    call("updateShare", user="anna", id=share["id"], expires=int(time.time() * 1000) - 1000)
    for part in ("", "/0/audio", "/0/cover"):
        answer = client.get(share["url"] + part)
        assert answer.status_code == 404 and "expired" in answer.json()["detail"]
    call("updateShare", user="anna", id=share["id"], expires=0, description="for ever")
    assert client.get(share["url"]).status_code == 200
    (found,) = call("getShares", user="anna")["shares"]["share"]
    assert "expires" not in found and found["description"] == "for ever"
    call("deleteShare", user="anna", id=share["id"])
    assert client.get(share["url"]).status_code == 404


def test_share_ends_with_its_user(call, client, state):
    state.accounts.add("bert", "a good password", restore=True)
    share = create(call, "bert", id="t00")
    assert client.get(share["url"]).status_code == 200
    state.accounts.remove("bert")
    assert client.get(share["url"]).status_code == 404


def test_share_of_another_user_cannot_be_changed(call, anna, state):
    share = create(call, "local", id="t00")
    for method in ("updateShare", "deleteShare"):
        assert call(method, user="anna", id=share["id"])["error"]["code"] == 70
    assert call("deleteShare", id=share["id"])["status"] == "ok"


@pytest.mark.parametrize("values", [{"id": "nothing"}, {}, {"id": "t00", "expires": "soon"}])
@pytest.mark.parametrize("more", [{}, {"expires": "9" * 40}])
def test_invalid_share_is_refused(call, values, more):
    given = {**values, **more}
    assert call("createShare", **given)["status"] == "failed"


def test_playlist_is_shared_as_it_is_now(call, client, state):
    playlist = state.playlists.create("local", "Evening", ["t03", "gone", "t04"])
    share = create(call, "local", id=playlist.playlist_id)
    state.playlists.update("local", playlist, tracks=["t30"])
    page = client.get(share["url"]).text
    assert "Song D of 0" in page and "Song A of 6" not in page
