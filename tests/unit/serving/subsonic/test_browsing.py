"""Browsing: articles, top songs by id, the folder, and what has changed since."""

import dataclasses

from jobs.lake.schemas import TRACKS
from tests import synthetic_lake


def renamed(state, names):
    """Return the catalog with other names of its first artists."""
    catalog = state.catalog
    tracks = list(catalog.tracks)
    for number, name in enumerate(names):
        artist_id = f"ar-{number}"
        tracks[number] = dataclasses.replace(
            tracks[number],
            **{"artist": name, "artists": (name,), "artist_id": artist_id, "artist_ids": (artist_id,)},
            **{"album_artist": name, "album_artists": (name,), "album_artist_ids": (artist_id,)},
            album_id=f"al-{number}",
        )
    return type(catalog)("other", tuple(tracks), catalog.roots)


def test_article_does_not_count_in_the_order(call, state, monkeypatch):
    monkeypatch.setattr(
        state, "catalog", renamed(state, ["The Zebras", "Los Lobos", "The The", "The", "Ákos"])
    )
    artists = call("getArtists")["artists"]
    assert artists["ignoredArticles"].split()[0] == "The"
    found = {index["name"]: [artist["name"] for artist in index["artist"]] for index in artists["index"]}
    assert (
        found["Z"] == ["The Zebras"] and found["L"] == ["Los Lobos"] and set(found["T"]) == {"The", "The The"}
    )
    assert found["A"][0] == "Ákos"


def test_top_songs_by_artist_id(call, state):
    track = state.catalog.by_id["t11"]
    songs = call("getTopSongs", id=track.artist_id, artist="somebody else")["topSongs"]["song"]
    assert sorted(song["id"] for song in songs) == ["t10", "t11", "t12", "t13", "t14"]
    assert call("getTopSongs", id="nothing")["error"]["code"] == 70
    assert call("getTopSongs")["error"]["code"] == 10


def test_music_folder_is_a_directory_of_artists(call):
    (folder,) = call("getMusicFolders")["musicFolders"]["musicFolder"]
    children = call("getMusicDirectory", id=folder["id"])["directory"]["child"]
    assert len(children) == 8 and children[0]["title"] == "Artist 0"
    assert call("getMusicDirectory", id=children[0]["id"])["directory"]["child"][0]["isDir"] is True


def test_last_modified_moves_with_the_collection(call, state):
    before = call("getIndexes")["indexes"]
    assert "index" not in call("getIndexes", ifModifiedSince=before["lastModified"])["indexes"]
    assert call("getIndexes", ifModifiedSince=before["lastModified"] - 1)["indexes"]["index"]
    rows = state.lake.read_arrow(TRACKS).to_pylist()
    synthetic_lake.write_rows(state.lake, TRACKS, rows)
    assert call("getIndexes")["indexes"]["lastModified"] > before["lastModified"]
