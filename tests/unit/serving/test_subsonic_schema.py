"""Every endpoint of OpenSubsonic, in JSON and XML, against its documented fields (subsonic_schema.json).

The schema has per type the type of each field: "!" marks a required one, "[X]" a list, "time" ISO 8601.
"""

import json
import re
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from starlette.testclient import TestClient

from serving import app
from serving.subsonic.protocol import METHODS
from serving.subsonic.system import UNSUPPORTED
from tests import synthetic_lake

SCHEMA = json.loads(Path(__file__).with_name("subsonic_schema.json").read_text())
TYPES, ENDPOINTS = SCHEMA["types"], SCHEMA["endpoints"]
HEAD = {"status", "version", "type", "serverVersion", "openSubsonic"}
NAMESPACE = "{http://subsonic.org/restapi}"
HOSTILE = "Ωmega 🎧 𠮷 <&\"'> \u0301"

# Fields beyond the documented ones: clients of folders want the first of an album, and `readonly` is
# Navidrome's.
EXTRA = {
    "AlbumID3": {"title", "album", "isDir", "parent"},
    "AlbumID3WithSongs": {"title", "album", "isDir", "parent"},
    "Child": {"name", "songCount", "albumCount", "isCompilation", "releaseDate", "originalReleaseDate"},
    "Artist": {"coverArt", "albumCount", "sortName"},
}
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
def client(tmp_path_factory):
    lake = synthetic_lake.make(tmp_path_factory.mktemp("schema") / "lake", seconds=0.1)
    created = app.create_app(lake.root, mongo="mongodb://127.0.0.1:9/segue", kafka="127.0.0.1:9")
    with TestClient(created, base_url="http://127.0.0.1") as client:
        client.state = client.app.app.state.app_state
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


def problems(value, kind, where):
    """Return what of a value is not as its type says."""
    kind = kind.removesuffix("!")
    if kind.startswith("["):
        if not isinstance(value, list):
            return [f"{where}: expected a list, found {value!r}"]
        return [
            found for n, each in enumerate(value) for found in problems(each, kind[1:-1], f"{where}[{n}]")
        ]
    if kind in TYPES:
        if not isinstance(value, dict):
            return [f"{where}: expected {kind}, found {value!r}"]
        return fields(value, TYPES[kind], where, EXTRA.get(kind, set()))
    if kind == "time":
        is_right = isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    elif "|" in kind:
        is_right = value in kind.split("|")
    else:
        expected = {"string": str, "integer": int, "number": (int, float), "boolean": bool}.get(kind, object)
        is_right = isinstance(value, expected) and (kind == "boolean") == isinstance(value, bool)
    return [] if is_right else [f"{where}: expected {kind}, found {value!r}"]


def fields(found, types, where, extra):
    required = {name for name, kind in types.items() if kind.endswith("!")}
    missing = [f"{where}: {name} is missing" for name in sorted(required - set(found))]
    unknown = [f"{where}: {name} is not documented" for name in sorted(set(found) - set(types) - extra)]
    wrong = [
        problem
        for name, value in found.items()
        if name in types
        for problem in problems(value, types[name], f"{where}.{name}")
    ]
    return missing + unknown + wrong


def as_xml(element, value, where="answer"):
    """Check that an element has the same content as the JSON value."""
    if not isinstance(value, dict):
        assert element.text == text(value), where
        return
    children = {}
    for child in element:
        children.setdefault(child.tag.removeprefix(NAMESPACE), []).append(child)
    attributes = dict(element.attrib)
    for name, inner in value.items():
        if isinstance(inner, dict | list):
            each = inner if isinstance(inner, list) else [inner]
            found = children.pop(name, [])
            assert len(found) == len(each), f"{where}.{name}"
            for one, expected in zip(found, each, strict=True):
                as_xml(one, expected, f"{where}.{name}")
        elif name == "value":
            assert (element.text or "") == text(inner), f"{where}.value"
        else:
            assert attributes.pop(name) == text(inner), f"{where}.{name}"
    assert not children and not attributes, where


def text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


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
