"""What is playing now: of every user, until the end of the track."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest


@pytest.fixture(autouse=True)
def long_tracks(state, monkeypatch):
    """Tracks of 100 s."""
    catalog = state.catalog
    tracks = tuple(dataclasses.replace(track, duration_s=100.0) for track in catalog.tracks)
    monkeypatch.setattr(state, "catalog", type(catalog)(catalog.version, tracks, catalog.roots))


def start(state, user, track_id, seconds_ago, event="started"):
    at = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    state.feedback.record_play(
        {
            "event_id": f"{user} {at}",
            "user_id": user,
            "track_id": track_id,
            "event": event,
            "position_s": 0.0,
            "played_at": at.isoformat(),
        }
    )


def test_now_playing_has_every_user_until_the_end(call, state):
    start(state, "anna", "t00", 400)
    start(state, "anna", "t01", 90)
    start(state, "bert", "t02", 300)
    start(state, "clara", "t03", 20)
    start(state, "clara", "t03", 10, "finished")
    start(state, "dora", "gone", 10)
    entries = [each for each in call("getNowPlaying")["nowPlaying"]["entry"] if each["username"] != "local"]
    assert [(entry["username"], entry["id"], entry["minutesAgo"]) for entry in entries] == [
        ("anna", "t01", 1)
    ]


@pytest.fixture
def albums(call):
    """Return a function that returns the names of a page of albums."""

    def albums(kind, **values):
        found = call("getAlbumList2", type=kind, **{"size": 500, **values})
        return [album["name"] for album in found["albumList2"]["album"]]

    return albums


def test_pages_of_each_order_have_all_albums_once(albums):
    names = [f"Álbum {number}" for number in range(8)]
    for kind in ("alphabeticalByName", "alphabeticalByArtist", "newest"):
        assert [name for offset in (0, 3, 6, 9) for name in albums(kind, size=3, offset=offset)] == names
    assert sorted(albums("random")) == names
    assert len(set(albums("random", size=3, offset=2))) == 3


def test_albums_by_year_go_forward_and_back(albums):
    forward = albums("byYear", fromYear=1992, toYear=1995)
    assert forward == [f"Álbum {number}" for number in (2, 3, 4, 5)]
    assert albums("byYear", fromYear=1995, toYear=1992) == forward[::-1]


def test_highest_has_albums_by_stars_then_those_with_likes(call, albums, sent):
    found = call("getAlbumList2", type="newest", size=500)["albumList2"]["album"]
    ids = {album["name"]: album["id"] for album in found}
    call("setRating", id=ids["Álbum 6"], rating=3)
    call("setRating", id=ids["Álbum 4"], rating=5)
    call("star", id="t07")
    assert albums("highest")[:2] == ["Álbum 4", "Álbum 6"]
    assert "Álbum 1" in albums("highest")


def test_album_has_the_plays_of_its_tracks(call, state):
    for track_id, minutes in (("t20", 5), ("t20", 3), ("t21", 4)):
        start(state, "local", track_id, 60 * minutes, "finished")
    (album,) = call("getAlbumList2", type="frequent")["albumList2"]["album"][:1]
    assert (album["name"], album["playCount"]) == ("Álbum 4", 3)
    assert album["played"] == call("getSong", id="t20")["song"]["played"]
