"""Radio over a synthetic collection: eight artists, each around an axis of its own."""

from typing import get_args

import pytest

from jobs.recommender import ranking
from serving import catalog, radio, schemas
from tests import synthetic_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return synthetic_lake.make(tmp_path_factory.mktemp("radio") / "lake")


@pytest.fixture(scope="module")
def tracks(lake):
    return catalog.load(lake)


@pytest.fixture(scope="module")
def play(lake, tracks):
    """Return a function that gives the next tracks of a radio from these."""
    player = radio.Radio(lake)

    def go(*seeds, played=(), excluded=(), count=10, salt=1):
        query = radio.RadioQuery(
            seeds=[tracks.by_id[track_id] for track_id in seeds],
            played=list(played),
            excluded=set(excluded),
            count=count,
            salt=salt,
        )
        return player.next_tracks(tracks, "1", query)

    return go


def ids(found):
    return [track.track_id for track in found]


def test_radio_starts_with_its_track_and_depends_on_the_salt(play):
    found = ids(play("t10"))
    assert found[0] == "t10" and found == ids(play("t10"))
    assert len({tuple(ids(play("t10", salt=salt))) for salt in range(5)}) > 1


def test_artist_waits_for_five_others(play):
    artists = [track.artist for track in play("t10", count=24)]
    assert all(artist not in artists[max(0, place - 5) : place] for place, artist in enumerate(artists))


def test_last_tracks_come_whoever_the_artist_is(play):
    elsewhere = [f"t{n:02d}" for n in range(40) if not 10 <= n < 15]
    assert sorted(ids(play("t10", excluded=elsewhere))) == [f"t{n}" for n in range(10, 15)]


def test_radio_stays_near_its_seed_and_drifts(play, tracks):
    """Of two artists the nearer one comes first; the seed's own artist has just been played."""
    near = {
        track.artist
        for track in play("t10", played=["t10", "t35"], excluded=ids(tracks.tracks[:10]), count=1)
    }
    assert near <= {track.artist for track in tracks.tracks} - {"Artist 2", "Artist 7"}
    later = play("t10", played=["t10", "t35", "t00", "t05", "t15", "t20", "t25"], count=1)
    assert later[0].artist == "Artist 2"  # five others were between: back to its start


def test_radio_uses_the_shared_ranking(play, monkeypatch):
    calls = []
    monkeypatch.setattr(
        ranking,
        "recommend",
        lambda items, profile, *, count, exclude: calls.append((profile, exclude)) or [],
    )
    play("t10", played=["t20"], excluded=["t30"], count=1)
    profile, exclude = calls[0]
    assert {track.track_id: track.liked for track in profile.tracks} == {"t10": True, "t20": None}
    assert {"t20", "t30"} <= exclude and "t10" not in exclude


def test_path_leads_from_one_track_to_the_other(lake, tracks):
    path = radio.Radio(lake).path_between(tracks, "1", tracks.by_id["t00"], tracks.by_id["t39"], 6)
    assert (path[0][0].track_id, path[-1][0].track_id, len({track.track_id for track, _ in path})) == (
        "t00",
        "t39",
        6,
    )
    assert path[1][0].artist == "Artist 0" and path[-2][0].artist == "Artist 7"


def test_moods_of_the_api_are_those_of_the_radio():
    assert set(get_args(schemas.Mood)) == set(radio.MOODS)
