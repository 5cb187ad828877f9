"""Lists of albums, artists and genres over HTTP."""

import pytest

from serving.catalog import stable_id

ALBUM = stable_id("al", "Artist 2", "Álbum 2")


def test_page_of_albums_has_total_and_letters(client):
    page = client.get("/api/albums", params={"limit": 2, "offset": 6}).json()
    assert (page["total"], page["letters"]) == (8, [{"letter": "A", "offset": 0}])
    assert [(each["name"], each["tracks"], each["year"]) for each in page["items"]] == [
        ("Álbum 6", 5, 1996),
        ("Álbum 7", 5, 1997),
    ]


@pytest.mark.parametrize("path", ["albums", "artists", "genres", f"albums/{ALBUM}/cover"])
def test_unchanged_collection_is_not_sent_again(client, path):
    first = client.get(f"/api/{path}")
    again = client.get(f"/api/{path}", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, again.content) == (200, 304, b"")


def test_album_and_artist_have_their_facts(client):
    album = client.get(f"/api/albums/{ALBUM}").json()
    assert (album["year"], album["genre"], [t["track_no"] for t in album["tracks"]]) == (
        1992,
        "Jazz",
        [1, 2, 3, 4, 5],
    )
    artist = client.get(f"/api/artists/{stable_id('ar', 'Artist 2')}").json()
    assert [each["id"] for each in artist["albums"]] == [ALBUM] and len(artist["top"]) == 5
    similar = client.get(f"/api/albums/{ALBUM}/similar", params={"limit": 3}).json()
    assert len(similar) == 3 and ALBUM not in [each["id"] for each in similar]


def test_similar_artists_leave_out_the_blocked(client):
    path = f"/api/artists/{stable_id('ar', 'Artist 2')}"
    first = client.get(f"{path}/similar").json()[0]
    client.put(f"/api/artists/{first['id']}/blocked", json={"blocked": True})
    assert first["id"] not in [each["id"] for each in client.get(f"{path}/similar").json()]
    client.put(f"/api/artists/{first['id']}/blocked", json={"blocked": False})


def test_unknown_ids_and_orders_are_refused(client):
    assert client.get("/api/albums/al-0").status_code == 404
    assert client.get("/api/artists/ar-0/similar").status_code == 404
    assert client.get("/api/albums?sort=colour").status_code == 422


def test_random_tracks_are_of_the_genre(client):
    found = client.get("/api/tracks/random", params={"genre": "dub", "count": 4}).json()
    assert found["total"] == 10 and {track["genre"] for track in found["items"]} == {"Dub"}
    assert len({track["id"] for track in found["items"]}) == 4


def test_path_leads_from_track_to_track(client):
    found = client.get("/api/path", params={"start": "t00", "end": "t38", "count": 6}).json()
    ids = [track["id"] for track in found["items"]]
    assert (ids[0], ids[-1], len(set(ids))) == ("t00", "t38", 6)
    assert {track["artist"] for track in found["items"][:2]} == {"Artist 0"}
    assert client.get("/api/path", params={"start": "t00", "end": "x"}).status_code == 404


def test_search_finds_artists_albums_and_playlists(client):
    made = client.post("/api/playlists", json={"name": "Álbum tour", "tracks": []}).json()
    found = client.get("/api/search", params={"q": "album"}).json()
    assert (found["artists"], len(found["albums"])) == ([], 6)
    assert [each["name"] for each in found["playlists"]] == ["Álbum tour"]
    found = client.get("/api/search", params={"q": "artist 3"}).json()
    assert [each["name"] for each in found["artists"]] == ["Artist 3"]
    assert [each["name"] for each in found["albums"]] == ["Álbum 3"] and found["playlists"] == []
    client.delete(f"/api/playlists/{made['id']}")


def test_lyrics_beside_the_file_have_times(client):
    lyrics = client.state.lake.root / "audio" / "64k" / "t10.lrc"
    lyrics.write_text("[00:01.50]Hello\n[00:03.00]World\n")
    assert client.get("/api/tracks/t10/lyrics").json() == {
        "synced": True,
        "lines": [{"start_s": 1.5, "text": "Hello"}, {"start_s": 3.0, "text": "World"}],
    }
    assert client.get("/api/tracks/t11/lyrics").json() == {"synced": False, "lines": []}


def test_gain_is_null_without_tags(client):
    assert client.get("/api/tracks/t10/gain").json() == {"track_gain_db": None, "album_gain_db": None}


def test_radio_starts_from_an_album(client):
    found = client.post("/api/radio", json={"album_id": ALBUM, "count": 3}).json()
    assert len(found["items"]) == 3
    assert client.post("/api/radio", json={"album_id": "al-0"}).status_code == 404
