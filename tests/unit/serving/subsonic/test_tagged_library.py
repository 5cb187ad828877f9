"""A small library with every tag, through TRACKS and the catalog to Subsonic's answers, in JSON and XML."""

import io
from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from PIL import Image

from serving.catalog_items import IGNORED_ARTICLES
from tests.unit.audio.tagged_files import MBIDS
from tests.unit.serving.subsonic import tagged_library

_NAMESPACE = "{http://subsonic.org/restapi}"


@pytest.fixture(scope="module")
def client(serve, tmp_path_factory):
    with serve(tagged_library.make(tmp_path_factory.mktemp("tagged"))) as client:
        yield client


@pytest.fixture
def song(call):
    return lambda title: next(
        each
        for each in call("search3", query="", songCount=100)["searchResult3"]["song"]
        if each["title"] == title
    )


@pytest.fixture
def albums(call):
    def albums(kind="alphabeticalByName", **values):
        return call("getAlbumList2", type=kind, size=100, **values)["albumList2"]["album"]

    return albums


EXPECTED_SONG = {
    "displayArtist": "Ada feat. Eve",
    "displayAlbumArtist": "Ada & The Sea",
    "track": 7,
    "discNumber": 2,
    "year": 2011,
    "genre": "Dream Pop",
    "genres": [{"name": "Dream Pop"}, {"name": "Folk"}],
    "sortName": "Aria, The",
    "musicBrainzId": MBIDS[0],
    "isrc": ["GBAYE0601498"],
    "comment": "first line\nsecond",
    "bpm": 128,
    "samplingRate": 44_100,
    "channelCount": 2,
    "bitDepth": 16,
    "replayGain": {"trackGain": -6.54, "trackPeak": 0.988, "albumGain": -7.0, "albumPeak": 1.01},
}

EXPECTED_ALBUM = {
    "name": "Suite",
    "displayArtist": "Ada & The Sea",
    "isCompilation": False,
    "sortName": "Suite, A",
    "musicBrainzId": MBIDS[2],
    "releaseDate": {"year": 2011, "month": 7, "day": 19},
    "originalReleaseDate": {"year": 1999, "month": 2},
    "discTitles": [{"disc": 2, "title": "Night"}],
}


def names(references):
    return [reference["name"] for reference in references]


def test_song_has_every_tag(call, song):
    found = call("getSong", id=song("Aria")["id"])["song"]
    assert {name: found[name] for name in EXPECTED_SONG} == EXPECTED_SONG
    assert names(found["artists"]) == ["Ada", "Eve"] and names(found["albumArtists"]) == ["Ada", "The Sea"]
    for artist in (*found["artists"], *found["albumArtists"]):
        assert call("getArtist", id=artist["id"])["artist"]["name"] == artist["name"]


def test_computed_tempo_fills_the_gap(song):
    assert song("Hit 1")["bpm"] == 98


def test_album_has_every_tag(call, song):
    found = call("getAlbum", id=song("Aria")["albumId"])["album"]
    assert {name: found[name] for name in EXPECTED_ALBUM} == EXPECTED_ALBUM
    information = call("getAlbumInfo2", id=found["id"])["albumInfo"]
    assert information == {"musicBrainzId": EXPECTED_ALBUM["musicBrainzId"]}


def test_xml_has_every_tag(ask, song):
    root = ElementTree.fromstring(ask("getAlbum", f="xml", id=song("Aria")["albumId"]).content)
    album = root.find(f"{_NAMESPACE}album")
    found = album.find(f"{_NAMESPACE}song")
    assert found.get("displayAlbumArtist") == "Ada & The Sea" and found.get("bitDepth") == "16"
    assert found.find(f"{_NAMESPACE}replayGain").attrib == {
        **{"trackGain": "-6.54", "trackPeak": "0.988"},
        **{"albumGain": "-7.0", "albumPeak": "1.01"},
    }
    assert [each.get("name") for each in found.findall(f"{_NAMESPACE}genres")] == ["Dream Pop", "Folk"]
    assert [each.text for each in found.findall(f"{_NAMESPACE}isrc")] == ["GBAYE0601498"]
    assert album.find(f"{_NAMESPACE}releaseDate").attrib == {"year": "2011", "month": "7", "day": "19"}
    assert album.find(f"{_NAMESPACE}discTitles").attrib == {"disc": "2", "title": "Night"}


def test_albums_are_by_album_artist(albums):
    found = [(album["name"], album["artist"], album["songCount"]) for album in albums()]
    assert found == [
        ("Best Of", "Ada", 1),
        ("Best Of", "Ben", 1),
        ("Guests", "Mara Quill", 3),
        ("Night Bus", "Various Artists", 3),
        ("Suite", "Ada & The Sea", 1),
        ("Two Rooms", "The Lanterns", 4),
    ]
    assert [album["name"] for album in albums() if album["isCompilation"]] == ["Night Bus"]


def test_discs_are_in_order(call, albums):
    (rooms,) = (album for album in albums() if album["name"] == "Two Rooms")
    songs = call("getAlbum", id=rooms["id"])["album"]["song"]
    assert [each["title"] for each in songs] == ["Room 1-1", "Room 1-2", "Room 2-1", "Room 2-2"]
    assert [each["discNumber"] for each in songs] == [1, 1, 2, 2]


def test_artists_are_sorted_without_articles(call):
    answer = call("getArtists")["artists"]
    found = {index["name"]: names(index["artist"]) for index in answer["index"]}
    assert answer["ignoredArticles"] == IGNORED_ARTICLES
    assert found == {
        "A": ["Ada"],
        "B": ["Ben"],
        "C": ["Cleo"],
        "E": ["Eve"],
        "J": ["Jon Doe"],
        "L": ["The Lanterns"],
        "M": ["Mara Quill"],
        "S": ["The Sea"],
        "V": ["Various Artists"],
    }


def test_performer_of_a_compilation_has_the_album(call, song):
    ben = call("getArtist", id=song("Hit 2")["artistId"])["artist"]
    assert [album["name"] for album in ben["album"]] == ["Best Of", "Night Bus"] and ben["albumCount"] == 2
    assert [each["title"] for each in call("getTopSongs", artist="Jon Doe")["topSongs"]["song"]] == ["Song 2"]


def test_newest_album_is_the_last_one_seen(albums):
    found = albums("newest")
    times = [datetime.fromisoformat(album["created"]) for album in found]
    assert times == sorted(times, reverse=True) and times[0] > datetime(2023, 11, 1, tzinfo=UTC)
    assert [album["name"] for album in found] == [
        *("Suite", "Two Rooms", "Guests", "Night Bus", "Best Of", "Best Of")
    ]


def test_every_genre_is_listed_and_found(call, albums):
    genres = {genre["value"]: genre for genre in call("getGenres")["genres"]["genre"]}
    assert genres["Folk"] == {"value": "Folk", "songCount": 1, "albumCount": 1}
    assert [album["name"] for album in albums("byGenre", genre="Folk")] == ["Suite"]
    assert genres.keys() == {"Dream Pop", "Folk"}


def test_lyrics_have_their_times(call, ask, song):
    track_id = song("Aria")["id"]
    (lyrics,) = call("getLyricsBySongId", id=track_id)["lyricsList"]["structuredLyrics"]
    assert lyrics["synced"] is True and lyrics["displayTitle"] == "Aria"
    assert lyrics["line"] == [{"start": 1500, "value": "One"}, {"start": 62000, "value": "Two"}]
    assert call("getLyrics", artist="Ada", title="aria")["lyrics"]["value"] == "One\nTwo"
    assert call("getLyrics", artist="Nobody", title="x")["lyrics"]["value"] == ""
    assert call("getLyricsBySongId", id=song("Hit 1")["id"])["lyricsList"] == {}
    root = ElementTree.fromstring(ask("getLyricsBySongId", f="xml", id=track_id).content)
    line = root.find(f".//{_NAMESPACE}line")
    assert (line.get("start"), line.text) == ("1500", "One")


def test_plays_and_stars_of_an_album(client, call, song, monkeypatch):
    state = client.app.app.state.app_state
    monkeypatch.setattr(state.producer, "send", lambda _: None)
    hit = song("Hit 1")
    at = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp() * 1000)
    call("scrobble", id=[hit["id"], song("Hit 2")["id"]], time=[at, at + 60_000])
    assert call("star", id=hit["albumId"])["status"] == "ok"  # as Feishin does
    assert call("setRating", id=hit["albumId"], rating=4)["status"] == "ok"
    state.plays.flush()
    album = call("getAlbum", id=hit["albumId"])["album"]
    assert album["playCount"] == 2 and datetime.fromisoformat(album["played"]).minute == 1
    assert album["userRating"] == 4 and "starred" in album
    assert album["song"][0]["playCount"] == 1 and "played" in album["song"][0]
    assert state.starred_groups.read()[hit["albumId"]].album == "Night Bus"


def test_cover_lies_beside_the_file(ask, song):
    picture = Image.open(io.BytesIO(ask("getCoverArt", id=song("Aria")["coverArt"], size=96).content))
    assert picture.getpixel((48, 48))[0] > 200 and picture.getpixel((48, 48))[2] < 30


def test_compilation_has_one_cover_of_the_album(song):
    assert {song(f"Hit {number}")["coverArt"] for number in (1, 2, 3)} == {song("Hit 1")["albumId"]}
