"""What other clients send: telephones, folders, syncing, odd spellings of parameters."""

import pytest

pytestmark = pytest.mark.usefixtures("sent")


@pytest.fixture
def ids(call):
    song = call("getSong", id="t00")["song"]
    return {"album": song["albumId"], "artist": song["artistId"]}


@pytest.mark.parametrize("query", ["", '""', "*"])
def test_syncing_client_gets_every_song_once(call, query):
    """Symfonium, Tempo and Amperfy read the whole library through search3, page by page."""
    found = []
    for offset in range(0, 60, 15):
        values = {"songCount": 15, "songOffset": offset, "albumCount": 0, "artistCount": 0}
        page = call("search3", query=query, **values)["searchResult3"]
        assert page["album"] == page["artist"] == []
        found += [song["id"] for song in page["song"]]
    assert sorted(found) == [f"t{number:02d}" for number in range(40)]


def test_words_with_a_star_are_found(call):
    """DSub and Ultrasonic end words with a star, as in Lucene."""
    found = call("search2", query="song* b*")["searchResult2"]["song"]
    assert len(found) == 8 and all(song["title"].startswith("Song B") for song in found)


def test_user_name_of_a_telephone_begins_with_a_capital(call):
    assert call("getUser", u="Local", username="Local")["user"]["username"] == "local"
    assert call("getPlaylists", u="Local", username="LOCAL")["status"] == "ok"
    assert call("getUser", username="anna")["error"]["code"] == 50


def test_empty_parameters_are_left_out(call, ids):
    values = {"size": "", "offset": "", "musicFolderId": "", "fromYear": "", "toYear": "", "genre": ""}
    assert len(call("getAlbumList2", type="newest", **values)["albumList2"]["album"]) == 8
    assert len(call("getRandomSongs", **values)["randomSongs"]["song"]) == 10
    assert call("star", id="", albumId=ids["album"], artistId="")["status"] == "ok"
    assert call("unstar", id=["", "t03"], albumId="", artistId="")["status"] == "ok"
    assert [album["id"] for album in call("getStarred2")["starred2"]["album"]] == [ids["album"]]
    assert call("savePlayQueue", id="")["status"] == "ok"


def test_client_of_folders_walks_down_and_stars_a_directory(call, ids):
    """Subsonic's first API, as DSub, Sonixd, Jamstash and mopidy-subidy use it."""
    index = call("getIndexes", musicFolderId="1")["indexes"]["index"]
    artists = [artist for letter in index for artist in letter["artist"]]
    assert ids["artist"] in [artist["id"] for artist in artists]
    albums = call("getMusicDirectory", id=ids["artist"])["directory"]["child"]
    assert [(album["id"], album["isDir"]) for album in albums] == [(ids["album"], True)]
    songs = call("getMusicDirectory", id=ids["album"])["directory"]
    assert songs["parent"] == ids["artist"] and len(songs["child"]) == 5
    assert not any(song["isDir"] for song in songs["child"])
    assert call("star", id=ids["album"])["status"] == "ok"
    assert ids["album"] in [album["id"] for album in call("getStarred")["starred"]["album"]]
    assert call("unstar", id=ids["album"])["status"] == "ok"


@pytest.mark.parametrize("item", ["t00", "album", "artist"])
def test_covers_and_radios_are_for_every_kind_of_id(call, ask, ids, item):
    """play:Sub and substreamer ask with the id of a song, of an album or of an artist."""
    item_id = ids.get(item, item)
    for size in ({}, {"size": 64}, {"size": ""}):
        assert ask("getCoverArt", id=item_id, **size).headers["content-type"].startswith("image/")
    for method in ("getSimilarSongs", "getSimilarSongs2"):
        (found,) = [value for value in call(method, id=item_id, count=5).values() if isinstance(value, dict)]
        assert len(found["song"]) > 1
    assert call("getAlbumInfo2", id=item_id)["albumInfo"] == {}


def test_offline_scrobbles_come_in_one_request(call, sent):
    times = [1_700_000_000_000 + 200_000 * number for number in range(3)]
    assert call("scrobble", id=["t00", "t01", "t02"], time=times)["status"] == "ok"
    assert [(event.track_id, event.event) for event in sent] == [
        (f"t{number:02d}", "finished") for number in range(3)
    ]


@pytest.mark.parametrize(
    "method",
    [
        *("getPodcasts", "getNewestPodcasts", "getVideos", "getInternetRadioStations", "getBookmarks"),
        *("getShares", "getPlayQueue", "getNowPlaying", "getScanStatus", "getLicense", "getMusicFolders"),
        *("getStarred", "getStarred2", "getGenres", "getPlaylists", "getUser", "tokenInfo"),
    ],
)
@pytest.mark.parametrize("form", ["json", "xml"])
def test_requests_at_the_start_of_a_client_have_an_answer(ask, method, form):
    """Ultrasonic, Tempo and Symfonium ask for these before they show anything."""
    answer = ask(f"{method}.view", f=form, includeEpisodes="true", musicFolderId="1", count=20)
    assert answer.status_code == 200 and b"failed" not in answer.content[:300]
