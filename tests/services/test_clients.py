"""Other players, by a real client library: Subsonic's API over a real server and store."""

import json
import time
import urllib.request
from xml.etree import ElementTree

import libsonic
import pytest

from jobs.online import mongo
from jobs.runtime import embedded_mongo, embedded_server
from serving.db.database import Database
from serving.db.playlists import Playlists
from tests import synthetic_lake
from tests.services.player import free_port, get, healthy, publish, start, stop, wait_for


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return synthetic_lake.make(tmp_path_factory.mktemp("clients") / "lake")


@pytest.fixture(scope="module")
def services(lake):
    """The address of the player, Kafka away."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    process = start(lake.root, "serving", "serve", "--port", str(port))
    try:
        wait_for(lambda: (healthy(address) or {}).get("mongo"))
        with mongo.database(
            embedded_server.read_state(embedded_mongo.MONGO, lake.root / "mongo")[0]
        ) as database:
            publish(database, lake)
        yield address
    finally:
        stop(process)


@pytest.fixture(scope="module")
def sent(lake):
    """Return a function that gives the events on their way to Kafka, oldest first."""
    spool = lake.root / "spool" / "plays"
    return lambda: [
        json.loads(x) for f in sorted(spool.rglob("*.jsonl")) for x in f.read_bytes().splitlines()
    ]


@pytest.fixture(scope="module")
def secret(services):
    return get(services, "api/app-passwords", body={"label": "py-sonic"})["secret"]


@pytest.fixture(scope="module")
def subsonic(services, secret):
    host, _, port = services.rpartition(":")
    return libsonic.Connection(host, "local", secret, port=int(port), appName="test", apiVersion="1.16.1")


def test_subsonic_client_browses_and_plays(subsonic):
    assert subsonic.ping()
    assert subsonic.getLicense()["license"]["valid"]
    assert subsonic.getMusicFolders()["musicFolders"]["musicFolder"][0]["id"] == 1
    artists = [each for index in subsonic.getArtists()["artists"]["index"] for each in index["artist"]]
    assert [each["name"] for each in artists] == [f"Artist {n}" for n in range(8)]
    assert subsonic.getIndexes()["indexes"]["index"][0]["artist"] == artists
    albums = subsonic.getArtist(artists[3]["id"])["artist"]["album"]
    songs = subsonic.getAlbum(albums[0]["id"])["album"]["song"]
    assert [song["id"] for song in songs] == [f"t{n}" for n in range(15, 20)]
    assert subsonic.getSong("t16")["song"]["title"] == "Song B of 3"
    assert len(subsonic.getAlbumList2("alphabeticalByName", size=500)["albumList2"]["album"]) == 8
    assert subsonic.stream("t16").read(4) == b"RIFF"
    assert subsonic.getCoverArt(albums[0]["id"]).read(2) == b"\xff\xd8"
    assert len(subsonic.getRandomSongs(7)["randomSongs"]["song"]) == 7
    found = subsonic.search3("artist 4")["searchResult3"]
    assert [each["name"] for each in found["artist"]] == ["Artist 4"] and len(found["song"]) == 5


def test_subsonic_client_gets_similar_and_recommended(subsonic):
    near = subsonic.getSimilarSongs2("t00", 4)["similarSongs2"]["song"]
    assert {song["artist"] for song in near} == {"Artist 0"}  # as synthetic
    playlists = subsonic.getPlaylists()["playlists"]["playlist"]
    (playlist,) = [each for each in playlists if each["id"] == "recommended"]  # the others are mixes
    assert playlist["name"] == "Recommended for you" and playlist["songCount"] > 5
    assert len(subsonic.getPlaylist(playlist["id"])["playlist"]["entry"]) == playlist["songCount"]


def test_scrobbles_become_play_events(subsonic, sent):
    subsonic.scrobble("t35", submission=False)
    subsonic.scrobble("t35", submission=True, listenTime=int(time.time()))
    subsonic.star(["t35"])
    assert [e["event"] for e in sent() if e["track_id"] == "t35"] == ["started", "finished", "liked"]
    assert "t35" in [song["id"] for song in subsonic.getStarred2()["starred2"]["song"]]
    subsonic.unstar(["t35"])
    assert [e["event"] for e in sent() if e["track_id"] == "t35"][3:] == [
        "unrated"
    ]  # the profile gets it too
    assert "t35" not in [song["id"] for song in subsonic.getStarred2()["starred2"]["song"]]


def test_playlists_are_stored_in_the_lake(subsonic, services, lake):
    subsonic.createPlaylist(name="Ev & <ening>", songIds=["t01", "t02", "t03"])
    (made,) = [each for each in subsonic.getPlaylists()["playlists"]["playlist"] if "&" in each["name"]]
    assert (made["name"], made["songCount"], made["owner"]) == ("Ev & <ening>", 3, "local")
    subsonic.updatePlaylist(
        made["id"], name="Night", comment="late", songIdsToAdd=["t30"], songIndexesToRemove=[0, 2]
    )
    playlist = subsonic.getPlaylist(made["id"])["playlist"]
    assert (playlist["name"], playlist["comment"], [song["id"] for song in playlist["entry"]]) == (
        "Night",
        "late",
        ["t02", "t30"],
    )
    subsonic.createPlaylist(playlistId=made["id"], songIds=["t39"])
    database = Database(lake.root)  # as another process, or the next start, finds it
    (found,) = Playlists(database).list_playlists("local")
    database.close()
    assert (found.title, found.tracks) == ("Night", ("t39",))
    subsonic.deletePlaylist(made["id"])
    assert made["id"] not in [each["id"] for each in subsonic.getPlaylists()["playlists"]["playlist"]]
    for call in (subsonic.getPlaylist, subsonic.deletePlaylist):
        with pytest.raises(libsonic.errors.DataNotFoundError):
            call(made["id"])
    with pytest.raises(libsonic.errors.AuthError):
        subsonic.deletePlaylist("recommended")


def test_play_queue_continues_on_another_client(subsonic):
    assert "playQueue" not in subsonic.getPlayQueue()
    subsonic.savePlayQueue(["t05", "t06", "t07"], current="t06", position=4500)
    queue = subsonic.getPlayQueue()["playQueue"]
    assert (queue["current"], queue["position"], queue["changedBy"]) == ("t06", 4500, "test")
    assert [song["id"] for song in queue["entry"]] == ["t05", "t06", "t07"]


def test_stars_like_songs_and_only_mark_albums(subsonic, sent, services):
    subsonic.setRating("t21", 5)
    subsonic.setRating("t22", 1)
    assert [e["event"] for e in sent() if e["track_id"] in ("t21", "t22")] == ["liked", "disliked"]
    assert (subsonic.getSong("t21")["song"]["userRating"], "starred" in subsonic.getSong("t21")["song"]) == (
        5,
        True,
    )
    album = subsonic.getSong("t36")["song"]["albumId"]
    artist = subsonic.getSong("t31")["song"]["artistId"]
    subsonic.star(albumIds=[album], artistIds=[artist])
    starred = subsonic.getStarred2()["starred2"]
    assert [[each["id"] for each in starred[kind]] for kind in ("album", "artist", "song")] == [
        [album],
        [artist],
        ["t21"],
    ]
    assert [each["id"] for each in subsonic.getAlbumList2("starred")["albumList2"]["album"]] == [album]
    subsonic.setRating("t21", 0)
    assert "starred" in subsonic.getSong("t21")["song"]  # a rating takes no star away
    subsonic.unstar(sids=["t21"], albumIds=[album], artistIds=[artist])
    assert not any(subsonic.getStarred2()["starred2"].values())


def test_other_methods_of_clients_answer(subsonic):
    assert subsonic.getArtistInfo2(subsonic.getSong("t00")["song"]["artistId"])["artistInfo2"][
        "similarArtist"
    ]
    assert subsonic.getAlbumInfo2(subsonic.getSong("t00")["song"]["albumId"])["albumInfo"] == {}
    assert {"value": "Jazz", "songCount": 10, "albumCount": 2} in subsonic.getGenres()["genres"]["genre"]
    assert len(subsonic.getSongsByGenre("Jazz", 50)["songsByGenre"]["song"]) == 10
    assert {
        song["artist"]
        for song in subsonic.getRandomSongs(9, fromYear=1993, toYear=1993)["randomSongs"]["song"]
    } == {"Artist 3"}
    assert len(subsonic.getTopSongs("Artist 6", 3)["topSongs"]["song"]) == 3
    assert subsonic.getLyrics("Artist 1", "Song")["lyrics"]["value"] == ""
    assert subsonic.getScanStatus()["scanStatus"] == {"scanning": False, "count": 40}
    user = subsonic.getUser("local")["user"]
    assert (user["streamRole"], user["playlistRole"], user["adminRole"]) == (True, True, False)
    song = subsonic.getSong("t16")["song"]
    assert (song["path"], song["suffix"], song["size"]) == ("Artist 3/Álbum 3/Song B of 3.wav", "wav", 32044)
    assert song["genres"] == [{"name": "Dub"}] and song["artists"][0]["name"] == "Artist 3"
    assert subsonic.stream("t16").read(4) == b"RIFF"  # the original
    assert subsonic.stream("t16", maxBitRate=32, tformat="opus").read(4) == b"OggS"


# Every method that Feishin (subsonic-api.ts) and Supersonic (subsonicmediaprovider.go) call, with what these
# say of a song.
CALLED = """createPlaylist deletePlaylist download getAlbum getAlbumInfo getAlbumInfo2 getAlbumList
getAlbumList2 getArtist getArtistInfo getArtistInfo2 getArtists getBookmarks getCoverArt
getGenres getIndexes getInternetRadioStations getLicense getLyrics getLyricsBySongId
getMusicDirectory getMusicFolders getNewestPodcasts getNowPlaying getPlayQueue getPlaylist
getPlaylists getPodcasts getRandomSongs getScanStatus getShares getSimilarSongs
getSimilarSongs2 getSong getSongsByGenre getStarred getStarred2 getTopSongs getUser
getVideos ping savePlayQueue scrobble search2 search3 setRating star startScan stream
tokenInfo unstar updatePlaylist""".split()  # noqa: SIM905


@pytest.mark.parametrize("form", ["json", "xml"])
def test_every_method_answers_without_arguments(services, secret, form):
    """Either what was asked for or error 10, what is missing: never 0, a method that is not there.

    Never another status.
    """
    for name in CALLED:
        with urllib.request.urlopen(
            f"{services}/rest/{name}.view?apiKey={secret}&f={form}&v=1.13.0&c=t"
        ) as answer:
            text = answer.read()
        if form == "json":
            found = json.loads(text)["subsonic-response"]
            status, code = found["status"], found.get("error", {}).get("code")
        else:
            root = ElementTree.fromstring(text)
            error = root.find("{http://subsonic.org/restapi}error")
            status, code = root.get("status"), None if error is None else int(error.get("code"))
        assert (status, code) in (("ok", None), ("failed", 10)), (name, text)


def test_web_client_of_another_origin_is_allowed(services, secret):
    ask = urllib.request.Request(
        f"{services}/rest/ping.view", method="OPTIONS", headers={"Origin": "https://feishin.example"}
    )
    with urllib.request.urlopen(ask) as answer:
        assert answer.status == 204 and answer.headers["Access-Control-Allow-Origin"] == "*"
    post = urllib.request.Request(
        f"{services}/rest/getCoverArt",
        f"apiKey={secret}&id=t00&c=t".encode(),
        {"Origin": "https://feishin.example"},
    )
    with urllib.request.urlopen(post) as answer:
        assert (
            answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin" and answer.read(2) == b"\xff\xd8"
        )


def test_opensubsonic_extensions_answer(services, secret):
    def call(method, **values):
        query = "&".join(
            f"{name}={value}" for name, value in {"f": "json", "v": "1.16.1", "c": "t", **values}.items()
        )
        with urllib.request.urlopen(f"{services}/rest/{method}?{query}") as answer:
            return json.loads(answer.read())["subsonic-response"]

    names = {each["name"] for each in call("getOpenSubsonicExtensions")["openSubsonicExtensions"]}
    assert names >= {"apiKeyAuthentication", "formPost", "songLyrics", "sonicSimilarity", "transcoding"}
    match = call("getSonicSimilarTracks", id="t00", count=4, apiKey=secret)["sonicMatch"]
    assert {each["entry"]["artist"] for each in match} == {"Artist 0"} and match[0]["similarity"] > 0.8
    path = call("findSonicPath", startSongId="t00", endSongId="t39", count=6, apiKey=secret)["sonicMatch"]
    assert [path[0]["entry"]["id"], path[-1]["entry"]["id"], len(path)] == ["t00", "t39", 6]
    assert call("ping", apiKey="wrong")["error"]["code"] == 44
    assert call("ping", u="local", p="wrong")["error"]["code"] == 40
    assert call("getSong", apiKey=secret)["error"]["code"] == 10
    assert call("getSong", id="none", apiKey=secret)["error"]["code"] == 70
    assert call("noSuchMethod", apiKey=secret)["error"]["code"] == 0
    assert call("ping", apiKey=secret, v="2.0.0")["status"] == "ok"  # a version is not compared
    assert call("ping", apiKey=secret, v="0.9")["status"] == "ok"
    assert call("getUser", apiKey=secret, username="other")["error"]["code"] == 50
    assert call("getAlbumList2", apiKey=secret, type="random", size="many")["error"]["code"] == 0
