"""Mixes over the synthetic collection: eight artists, each a cluster of five tracks with one genre."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobs.recommender import profiles
from serving.db.mixes import RETENTION_DAYS, NamedMix
from tests.unit.recommender.conftest import make_event

TODAY = datetime.now(UTC).date()


@pytest.fixture(autouse=True)
def no_mixes(client):
    yield
    with client.state.database.transaction() as change:
        change.execute("DELETE FROM mixes")


@pytest.fixture
def profile(client, monkeypatch):
    """A profile of Artist 3's tracks in the online store, which is away in these tests."""
    profile = profiles.new_profile("local")
    for number in (15, 16, 17):
        profiles.add_play(profile, make_event("finished", f"t{number}"))
    read = client.state.online_store.read
    documents = {("profiles", "local"): profiles.to_document(profile)}
    monkeypatch.setattr(client.state.online_store, "read", lambda *key: documents.get(key) or read(*key))


def test_mixes_are_named_by_genre_and_sound(client):
    found = client.get("/api/mixes").json()["items"]
    assert len(found) == 6 and all(mix["day"] == TODAY.isoformat() for mix in found)
    titles = {mix["title"] for mix in found}
    assert len(titles) == 6  # Artist 0 and Artist 4 are both Folk, one quiet and one loud
    assert "Folk: calm, slow" in titles
    one = client.get(f"/api/mixes/{found[0]['id']}").json()
    artists = {track["artist"] for track in one["items"]}
    assert len(artists) == 1 and f"With {artists.pop()}" in one["comment"]
    assert one["tracks"] == len(one["items"]) == 5 and one["cover"] == one["items"][0]["id"]


def test_mixes_stay_the_same_all_day_and_become_personal_with_the_first_plays(client, request):
    before = client.get("/api/mixes").json()
    assert client.get("/api/mixes").json() == before
    request.getfixturevalue("profile")
    after = client.get("/api/mixes").json()
    first = client.get(f"/api/mixes/{after['items'][0]['id']}").json()
    assert {track["artist"] for track in first["items"]} == {"Artist 3"} and after != before
    assert client.get("/api/mixes").json() == after


def test_disliked_tracks_leave_the_mix(client):
    first = client.get("/api/mixes/mix-1").json()
    disliked = first["items"][0]["id"]
    client.state.feedback.rate("local", disliked, False)
    try:
        left = client.get("/api/mixes/mix-1").json()["items"]
    finally:
        client.state.feedback.rate("local", disliked, None)
    assert [track["id"] for track in left] == [track["id"] for track in first["items"][1:]]


def test_mix_of_yesterday_can_be_opened_for_a_week(client):
    store = client.state.mixes
    for days in (1, RETENTION_DAYS, RETENTION_DAYS + 1):
        day = TODAY - timedelta(days=days)
        store.replace("local", day, [NamedMix("mix-1", day.isoformat(), "Old", "", ("t01",), True)])
    yesterday = TODAY - timedelta(days=1)
    assert client.get(f"/api/mixes/mix-1@{yesterday}").json()["title"] == "Old"
    assert client.get("/api/mixes", params={"day": str(yesterday)}).json()["items"][0]["tracks"] == 1
    assert client.get(f"/api/mixes/mix-1@{TODAY - timedelta(days=RETENTION_DAYS + 1)}").status_code == 404
    assert client.get("/api/mixes").json()["items"]  # today's
    assert not store.read("local", TODAY - timedelta(days=RETENTION_DAYS + 1))
    assert store.read("local", TODAY - timedelta(days=RETENTION_DAYS))


@pytest.mark.parametrize(("n_new", "n_mixed"), [(6, 6), (30, 0)])
def test_new_tracks_are_a_mix_unless_most_are_new(client, monkeypatch, n_new, n_mixed):
    now = int(datetime.now(UTC).timestamp())
    tracks = [
        replace(track, added_s=now - 86_400 * (1 if number < n_new else 60))
        for number, track in enumerate(client.state.catalog.tracks)
    ]
    monkeypatch.setattr(client.state, "catalog", replace(client.state.catalog, tracks=tuple(tracks)))
    found = {mix["id"]: mix["tracks"] for mix in client.get("/api/mixes").json()["items"]}
    assert found.get("mix-new", 0) == n_mixed


def test_unknown_mix_is_a_problem(client):
    for mix_id in ("mix-99", "mix-1@yesterday", "x"):
        assert client.get(f"/api/mixes/{mix_id}").status_code == 404


def test_clients_see_mixes_as_playlists_that_cannot_be_changed(call):
    playlists = call("getPlaylists")["playlists"]["playlist"]
    mixes = [playlist for playlist in playlists if playlist["id"].startswith("mix-")]
    assert len(mixes) == 6 and all(mix["readonly"] for mix in mixes)
    entries = call("getPlaylist", id=mixes[0]["id"])["playlist"]["entry"]
    assert len(entries) == mixes[0]["songCount"] == 5
    assert call("deletePlaylist", id=mixes[0]["id"])["error"]["code"] == 50
    assert call("getPlaylist", id="mix-99")["error"]["code"] == 70
