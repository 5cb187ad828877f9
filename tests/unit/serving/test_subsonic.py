"""What clients of Subsonic's API and of HTTP expect beyond single methods."""

import dataclasses
import io

import pytest
from PIL import Image

pytestmark = pytest.mark.usefixtures("sent")


@pytest.mark.parametrize("stars", [0, 3])
def test_middle_rating_leaves_a_like_and_ends_a_dislike(call, state, stars):
    call("star", id="t05")
    call("setRating", id="t05", rating=stars)
    assert state.feedback.ratings("local")["t05"] is True
    call("setRating", id="t06", rating=1)
    assert state.feedback.ratings("local")["t06"] is False
    call("setRating", id="t06", rating=stars)
    assert "t06" not in state.feedback.ratings("local")


def test_unstar_takes_a_like_back_and_no_dislike(call, state):
    call("setRating", id="t06", rating=1)
    call("star", id="t07")
    call("unstar", id=["t06", "t07"])
    ratings = state.feedback.ratings("local")
    assert ratings["t06"] is False and "t07" not in ratings


def test_album_and_artist_can_be_rated(call, state):
    song = call("getSong", id="t00")["song"]
    before = state.feedback.ratings("local")
    for item_id in (song["albumId"], song["artistId"]):
        assert call("setRating", id=item_id, rating=4)["status"] == "ok"
    assert call("getAlbum", id=song["albumId"])["album"]["userRating"] == 4
    assert call("getArtist", id=song["artistId"])["artist"]["userRating"] == 4
    assert state.feedback.ratings("local") == before


@pytest.mark.parametrize(
    ("method", "key", "values"),
    [
        ("getAlbumList", "albumList", {"type": "random"}),
        ("search2", "searchResult2", {"query": "album"}),
    ],
)
def test_album_has_what_clients_of_folders_expect(call, method, key, values):
    album = call(method, **values)[key]["album"][0]
    assert album["title"] == album["name"] and album["isDir"] is True
    assert album["parent"] == album["artistId"]


def test_album_and_artist_of_symbols_are_found(call, state, monkeypatch):
    first, *rest = state.catalog.tracks
    names = {"artist": "!!!", "artists": ("!!!",), "album_artist": "!!!", "album_artists": ("!!!",)}
    ids = {"artist_ids": ("ar-!",), "album_artist_ids": ("ar-!",), "artist_id": "ar-!", "album_id": "al-÷"}
    named = dataclasses.replace(first, album="÷", **names, **ids)
    catalog = type(state.catalog)(state.catalog.version, (named, *rest), state.catalog.roots)
    monkeypatch.setattr(state, "catalog", catalog)
    for query in ("÷", "!!!"):
        assert call("search3", query=query)["searchResult3"]["album"][0]["name"] == "÷"
    assert call("search3", query="!!!")["searchResult3"]["artist"][0]["name"] == "!!!"


def test_unknown_order_of_albums_is_an_error(call):
    assert "found 'nonsense'" in call("getAlbumList2", type="nonsense")["error"]["message"]


def test_address_may_end_in_a_slash_and_name_in_capitals(ask):
    assert (
        ask("ping.view", path="http://127.0.0.1//rest/", u="Local").json()["subsonic-response"]["status"]
        == "ok"
    )
    assert ask("ping", u="Lokal").json()["subsonic-response"]["error"]["code"] == 40


def test_answer_in_jsonp_calls_a_name_only(ask):
    answer = ask("ping", f="jsonp", callback="cb.x")
    assert (
        answer.text.startswith('cb.x({"subsonic-response"') and "javascript" in answer.headers["content-type"]
    )
    assert ask("ping", f="jsonp", callback="alert(1)").json()["subsonic-response"]["status"] == "ok"


def test_queue_of_thousands_is_saved(client, ask, state):
    secret = state.accounts.add_app_password("local", "queue").secret
    answer = client.post("/rest/savePlayQueue", data={"apiKey": secret, "f": "json", "id": ["t05"] * 5_000})
    assert answer.json()["subsonic-response"]["status"] == "ok"
    data = {"apiKey": secret, "f": "json", "id": ["0123456789abcdef"] * 5_000}
    assert client.post("/rest/savePlayQueue", data=data).status_code == 200


def test_cover_of_size_0_is_the_whole_picture(ask):
    assert Image.open(io.BytesIO(ask("getCoverArt", id="t00", size="0").content)).size == (1200, 1200)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({}, 200),
        ({"Range": "items=0-5"}, 200),
        ({"Range": "bytes=0-9"}, 206),
        ({"Range": "bytes=5-2"}, 400),
        ({"Range": "bytes=x"}, 400),
        ({"Range": "bytes=99999999-"}, 416),
        ({"Range": "bytes=99999999-", "If-Range": '"other"'}, 200),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": "ETAG"}, 304),
        ({"If-None-Match": 'W/ETAG, "other"', "Range": "bytes=0-9"}, 304),
        ({"If-None-Match": "*"}, 304),
        ({"If-Modified-Since": "DATE"}, 304),
        ({"If-Modified-Since": "DATE", "If-None-Match": '"other"'}, 200),
    ],
)
def test_stream_follows_the_conditions_of_http(ask, header, status):
    whole = ask("stream", id="t00")
    for name, value in header.items():
        value = value.replace("ETAG", whole.headers["etag"])
        header = {**header, name: value.replace("DATE", whole.headers["last-modified"])}
    answer = ask("stream", id="t00", headers=header)
    assert answer.status_code == status
    if status >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"].startswith("Range: expected")
    if status == 416:
        assert answer.headers["content-range"] == f"bytes */{len(whole.content)}"
    if status == 304:
        assert answer.content == b"" and answer.headers["etag"] == whole.headers["etag"]
