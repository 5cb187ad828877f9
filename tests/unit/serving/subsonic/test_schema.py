"""Every endpoint of OpenSubsonic, in JSON and XML, against its documented fields."""

import json
import re
from xml.etree import ElementTree

import pytest

from serving.subsonic.protocol import METHODS
from serving.subsonic.system import UNSUPPORTED
from tests.unit.serving.subsonic.schema import ENDPOINTS, HEAD, as_xml, fields

HOSTILE = "Ωmega 🎧 𠮷 <&\"'> \u0301"

# Each is called with these parameters; the words in capitals are the ids of the fixture `ids`.
CALLS = {
    "createBookmark": {"id": "t01", "position": 1500, "comment": HOSTILE},
    "createInternetRadioStation": {"name": HOSTILE, "streamUrl": "http://127.0.0.1/a"},
    "createPlaylist": {"name": HOSTILE, "songId": ["t00", "t01", "t00"]},
    "createShare": {"id": ["t00", "ALBUM"], "description": HOSTILE},
    "deleteBookmark": {"id": "t01"},
    "deleteInternetRadioStation": {"id": "STATION"},
    "deletePlaylist": {"id": "PLAYLIST"},
    "deleteShare": {"id": "SHARE"},
    "findSonicPath": {"startSongId": "t00", "endSongId": "t39"},
    "getAlbum": {"id": "ALBUM"},
    "getAlbumInfo": {"id": "ALBUM"},
    "getAlbumInfo2": {"id": "ALBUM"},
    "getAlbumList": {"type": "alphabeticalByName"},
    "getAlbumList2": {"type": "alphabeticalByName"},
    "getArtist": {"id": "ARTIST"},
    "getArtistInfo": {"id": "ARTIST"},
    "getArtistInfo2": {"id": "ARTIST"},
    "getLyrics": {"artist": "Artist 0", "title": "Song A of 0"},
    "getLyricsBySongId": {"id": "t00"},
    "getMusicDirectory": {"id": "1"},
    "getPlaylist": {"id": "PLAYLIST"},
    "getSimilarSongs": {"id": "t00"},
    "getSimilarSongs2": {"id": "ARTIST"},
    "getSong": {"id": "t00"},
    "getSongsByGenre": {"genre": "Folk"},
    "getSonicSimilarTracks": {"id": "t00"},
    "getTopSongs": {"id": "ARTIST"},
    "getTranscodeDecision": {"mediaId": "t00", "mediaType": "song"},
    "reportPlayback": {"mediaId": "t03", "mediaType": "song", "positionMs": 0, "state": "playing"},
    "savePlayQueue": {"id": ["t00", "t01"], "current": "t01", "position": 5},
    "savePlayQueueByIndex": {"id": ["t00", "t01", "t00"], "currentIndex": 2, "position": 5},
    "scrobble": {"id": "t00", "submission": "false"},
    "search2": {"query": "album"},
    "search3": {"query": ""},
    "setRating": {"id": "t00", "rating": 5},
    "star": {"id": "t00", "albumId": "ALBUM", "artistId": "ARTIST"},
    "unstar": {"id": "t02"},
    "updateInternetRadioStation": {"id": "STATION", "name": "x", "streamUrl": "https://127.0.0.1/b"},
    "updatePlaylist": {"playlistId": "PLAYLIST", "comment": HOSTILE},
    "updateShare": {"id": "SHARE", "description": "x"},
}


@pytest.fixture(scope="module")
def client(serve, lake):
    with serve(lake) as client:
        client.state.producer.send = lambda _: None
        client.state.accounts.add("anna", "a good password", admin=True)
        client.secret = client.state.accounts.add_app_password("anna", "x").secret
        yield client


@pytest.fixture(scope="module")
def call(client):
    def call(name, /, form="json", **values):
        given = {"apiKey": client.secret, "f": form, **values}
        if name != "getTranscodeDecision":
            return client.post(f"/rest/{name}", data=given)
        profiles = [{"containers": ["mp3"], "audioCodecs": ["mp3"], "protocols": ["http"]}]
        targets = [{"container": "mp3", "audioCodec": "mp3", "protocol": "http"}]
        body = {"name": "x", "platform": "y", "directPlayProfiles": profiles, "transcodingProfiles": targets}
        return client.post(f"/rest/{name}", params=given, json=body)

    return call


@pytest.fixture
def ids(client, call):
    """Something of each kind, new for each test, and the ids that CALLS names."""
    song = call("getSong", id="t00").json()["subsonic-response"]["song"]
    playlist = client.state.playlists.create("anna", HOSTILE, ["t00"])
    station = client.state.radio_stations.create(HOSTILE, "http://127.0.0.1/a", "http://127.0.0.1/")
    share = client.state.shares.create("anna", ["t00"], HOSTILE, None)
    found = {
        **{"ALBUM": song["albumId"], "ARTIST": song["artistId"], "PLAYLIST": playlist.playlist_id},
        **{"STATION": station.station_id, "SHARE": share.share_id},
    }
    for name in ("star", "setRating", "scrobble", "savePlayQueueByIndex", "createBookmark"):
        assert call(name, **filled(name, found)).json()["subsonic-response"]["status"] == "ok"
    return found


def filled(name, ids):
    """Return the parameters of a call, with the ids that its words in capitals stand for."""

    def fill(value):
        return [fill(each) for each in value] if isinstance(value, list) else ids.get(str(value), value)

    return {key: fill(value) for key, value in CALLS.get(name, {}).items()}


@pytest.mark.parametrize(
    "name", sorted(n for n, kind in ENDPOINTS.items() if kind != "binary" and n not in UNSUPPORTED)
)
def test_answer_is_as_documented_and_xml_equals_json(call, ids, name):
    values = filled(name, ids)
    answer = call(name, **values).json()["subsonic-response"]
    assert answer["status"] == "ok", answer
    content = {key: value for key, value in answer.items() if key not in HEAD}
    assert fields(content, ENDPOINTS[name], name, set()) == []
    assert bool(content) == bool(ENDPOINTS[name])
    if name.startswith(("create", "delete", "getRandom")):
        return  # another call has another answer
    root = ElementTree.fromstring(call(name, form="xml", **values).content)
    changing = re.compile(r'"(positionMs|changed)": "?[^,"}]+"?')
    if changing.search(json.dumps(answer)):
        answer, root = without_clock(answer, root)
    as_xml(root, answer)


def without_clock(answer, root):
    """Take out what differs from call to call: times of now."""
    for element in root.iter():
        for name in ("positionMs", "changed", "created"):
            element.attrib.pop(name, None)

    def strip(value):
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items() if k not in ("positionMs", "changed", "created")}
        return [strip(each) for each in value] if isinstance(value, list) else value

    return strip(answer), root


def test_every_endpoint_is_there():
    known = {*METHODS, *UNSUPPORTED, "getOpenSubsonicExtensions"}
    assert sorted(set(ENDPOINTS) - known) == []


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
@pytest.mark.parametrize("form", ["json", "xml"])
def test_what_segue_does_not_have_is_an_error(call, name, form):
    answer = call(name, form)
    assert answer.status_code in (501, 410)
    assert "failed" in answer.text and f"{name}: Segue has nothing of this kind" in answer.text


def test_names_with_emoji_and_rare_characters_reach_xml(call, ids):
    root = ElementTree.fromstring(call("getPlaylist", form="xml", id=ids["PLAYLIST"]).content)
    assert root[0].get("name") == HOSTILE
