"""Other players, by a real client library: Subsonic's API over a real server and store."""

import json
import time
import urllib.request

import libsonic
import pytest

from jobs import embedded, local, mongo
from tests import planted_lake
from tests.services.player import free_port, get, healthy, publish, start, stop, wait_for


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return planted_lake.make(tmp_path_factory.mktemp("clients") / "lake")


@pytest.fixture(scope="module")
def services(lake):
    """The address of the player, Kafka away."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    process = start(lake.root, "serving", "serve", "--port", str(port))
    try:
        wait_for(lambda: (healthy(address) or {}).get("mongo"))
        with mongo.database(embedded.state(local.MONGO, lake.root / "mongo")[0]) as database:
            publish(database, lake)
        yield address
    finally:
        stop(process)


@pytest.fixture(scope="module")
def sent(lake):
    """Return a function that gives the events on their way to Kafka, oldest first."""
    spool = lake.root / "spool" / "plays"
    return lambda: [json.loads(x) for f in sorted(spool.rglob("*.jsonl")) for x in f.read_bytes().splitlines()]


@pytest.fixture(scope="module")
def secret(services):
    return get(services, "api/clients", body={"label": "py-sonic"})["secret"]


@pytest.fixture(scope="module")
def subsonic(services, secret):
    host, _, port = services.rpartition(":")
    return libsonic.Connection(host, "local", secret, port=int(port), appName="test", apiVersion="1.16.1")


def test_a_subsonic_client_browses_and_plays(subsonic):
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


def test_a_subsonic_client_gets_what_sounds_alike_and_what_is_recommended(subsonic):
    near = subsonic.getSimilarSongs2("t00", 4)["similarSongs2"]["song"]
    assert {song["artist"] for song in near} == {"Artist 0"}  # as planted
    (playlist,) = subsonic.getPlaylists()["playlists"]["playlist"]
    assert playlist["name"] == "Recommended for you" and playlist["songCount"] > 5
    assert len(subsonic.getPlaylist(playlist["id"])["playlist"]["entry"]) == playlist["songCount"]


def test_what_a_subsonic_client_scrobbles_feeds_the_stream(subsonic, sent):
    subsonic.scrobble("t35", submission=False)
    subsonic.scrobble("t35", submission=True, listenTime=int(time.time()))
    subsonic.star(["t35"])
    assert [e["event"] for e in sent() if e["track_id"] == "t35"] == ["started", "finished", "liked"]
    assert "t35" in [song["id"] for song in subsonic.getStarred2()["starred2"]["song"]]
    subsonic.unstar(["t35"])
    assert "t35" not in [song["id"] for song in subsonic.getStarred2()["starred2"]["song"]]


def test_opensubsonics_extensions_answer(services, secret):
    def call(method, **values):
        query = "&".join(f"{name}={value}" for name, value in {"f": "json", "v": "1.16.1", "c": "t", **values}.items())
        with urllib.request.urlopen(f"{services}/rest/{method}?{query}") as answer:
            return json.loads(answer.read())["subsonic-response"]

    names = {each["name"] for each in call("getOpenSubsonicExtensions")["openSubsonicExtensions"]}
    assert names == {"apiKeyAuthentication", "formPost", "sonicSimilarity"}
    match = call("getSonicSimilarTracks", id="t00", count=4, apiKey=secret)["sonicMatch"]
    assert {each["entry"]["artist"] for each in match} == {"Artist 0"} and match[0]["similarity"] > 0.8
    path = call("findSonicPath", startSongId="t00", endSongId="t39", count=6, apiKey=secret)["sonicMatch"]
    assert [path[0]["entry"]["id"], path[-1]["entry"]["id"], len(path)] == ["t00", "t39", 6]
    assert call("ping", apiKey="wrong")["error"]["code"] == 44
    assert call("ping", u="local", p="wrong")["error"]["code"] == 40
    assert call("getSong", apiKey=secret)["error"]["code"] == 10
    assert call("getSong", id="none", apiKey=secret)["error"]["code"] == 70
