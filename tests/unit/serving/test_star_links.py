"""Stars and ratings of albums and artists follow them: from the ids of former rules, and after a retag."""

import sqlite3

import pytest

from serving import catalog
from serving.catalog import stable_id
from serving.db.database import Database
from serving.db.playlists import Playlists
from serving.db.starred_groups import StarredGroups
from serving.star_links import relink_stars
from tests import synthetic_lake

# Ids of Segue 0.1 (made of letters without accents) and of 27 November 2026, of the synthetic lake's artist 3
# and his album "Álbum 3": written down, not computed.
FORMER = {
    "0.1": ("ar-ba6bbc840801106e", "al-d8c8a8d218ec24cf"),
    "0.2": ("ar-ba6bbc840801106e", "al-21622ead2e30ee80"),
}


@pytest.fixture
def lake(tmp_path):
    return synthetic_lake.make(tmp_path / "lake", seconds=0.1)


@pytest.fixture
def database(lake):
    opened = Database(lake.root)
    yield opened
    opened.close()


@pytest.fixture
def playlists(database):
    return Playlists(database)


@pytest.fixture
def groups(database):
    return StarredGroups(database)


def retag(lake, **columns):
    """Set columns of all tracks of artist 3; return the catalog."""
    rows = lake.read_arrow(synthetic_lake.TRACKS).to_pylist()
    for row in rows:
        if 15 <= int(row["track_id"][1:]) < 20:
            row.update(columns)
    synthetic_lake.write_rows(lake, synthetic_lake.TRACKS, rows)
    return catalog.load(lake)


def star(playlists, *ids):
    for item_id in ids:
        playlists.add_favourite("anna", item_id)
        playlists.set_stars("anna", item_id, 4)


def starred(playlists):
    favourites = playlists.favourites("anna")
    assert favourites.keys() == playlists.stars("anna").keys()
    return set(favourites)


@pytest.mark.parametrize("version", FORMER)
def test_star_follows_from_the_ids_of_each_version(lake, playlists, groups, version):
    # Today's ids are others: the album is by an album artist.
    loaded = retag(lake, album_artist="Artist 3 & The Sea", album_artists=["Artist 3", "The Sea"])
    album = loaded.by_id["t15"].album_id
    star(playlists, *FORMER[version], "t15")
    relink_stars(loaded, groups)
    assert starred(playlists) == {"ar-ba6bbc840801106e", album, "t15"}
    assert relink_stars(loaded, groups) == {}
    assert starred(playlists) == {"ar-ba6bbc840801106e", album, "t15"}


def test_star_of_several_former_albums_is_one(lake, playlists, groups):
    loaded = retag(lake, album="Night Bus", album_artist="Various Artists")
    (album,) = {track.album_id for track in loaded.tracks if track.album == "Night Bus"}
    star(playlists, stable_id("al", "Artist 3", "Night Bus"), album)
    playlists.set_stars("anna", album, 2)  # given to today's id: it stays
    relink_stars(loaded, groups)
    assert starred(playlists) == {album} and playlists.stars("anna") == {album: 2}


def test_star_of_an_absent_album_waits(lake, playlists, groups):
    loaded = catalog.load(lake)
    album = loaded.by_id["t15"].album_id
    star(playlists, album)
    relink_stars(loaded, groups)
    without = catalog.Catalog("2", tuple(t for t in loaded.tracks if t.album_id != album), loaded.roots)
    assert relink_stars(without, groups) == {}
    assert starred(playlists) == {album} and groups.read()[album].album == "Álbum 3"


def test_star_follows_corrected_tags_by_its_tracks(lake, playlists, groups):
    loaded = catalog.load(lake)
    former = {loaded.by_id["t15"].album_id, loaded.by_id["t15"].artist_id}
    star(playlists, *former)
    relink_stars(loaded, groups)
    loaded = retag(lake, artist="Ártist Three", artists=["Ártist Three"], album="Three")
    relink_stars(loaded, groups)
    track = loaded.by_id["t15"]
    assert starred(playlists) == {track.album_id, track.artist_id} and not former & starred(playlists)
    assert groups.read()[track.album_id].album == "Three"


def test_star_is_moved_whole_or_not_at_all(lake, playlists, groups, database, monkeypatch):
    loaded = retag(lake, album_artist="Artist 4")
    former = stable_id("al", "Artist 3", "Álbum 3")
    star(playlists, former)
    database._connection.execute(
        "CREATE TRIGGER broken BEFORE DELETE ON stars BEGIN SELECT RAISE(ABORT, 'x'); END"
    )
    with pytest.raises(sqlite3.DatabaseError):
        relink_stars(loaded, groups)
    assert starred(playlists) == {former}
    database._connection.execute("DROP TRIGGER broken")
    relink_stars(loaded, groups)
    assert starred(playlists) == {loaded.by_id["t15"].album_id}


def test_what_is_starred_is_forgotten_with_the_last_star(lake, playlists, groups):
    loaded = catalog.load(lake)
    album = loaded.by_id["t15"].album_id
    star(playlists, album)
    relink_stars(loaded, groups)
    assert groups.read().keys() == {album}
    playlists.remove_favourite("anna", album)
    playlists.set_stars("anna", album, 0)
    relink_stars(loaded, groups)
    assert groups.read() == {}
