"""Playlists, play queues, favourites and stars, each user's own."""

import pytest

from jobs.errors import InputError
from serving.db import playlists
from serving.db.database import Database
from serving.db.playlists import Playlists


@pytest.fixture
def store(tmp_path):
    database = Database(tmp_path)
    yield Playlists(database)
    database.close()


def test_playlist_belongs_to_its_user_alone(store):
    playlist = store.create("anna", "Evening", ["1", "2"])
    assert store.get("anna", playlist.playlist_id) == playlist and store.list_playlists("anna") == [playlist]
    assert store.get("bert", playlist.playlist_id) is None and store.list_playlists("bert") == []
    assert not store.delete("bert", playlist.playlist_id) and store.list_playlists("anna") == [playlist]
    assert store.delete("anna", playlist.playlist_id) and store.list_playlists("anna") == []


def test_update_leaves_what_it_does_not_name(store):
    playlist = store.create("anna", "Evening", ["1", "2"])
    store.update("anna", playlist, comment="late")
    changed = store.update("anna", store.get("anna", playlist.playlist_id), tracks=["2", "2"])
    assert (changed.title, changed.comment, changed.tracks, changed.created) == (
        "Evening",
        "late",
        ("2", "2"),
        playlist.created,
    )
    assert store.list_playlists("anna") == [changed]


@pytest.mark.parametrize(("title", "tracks"), [(" ", []), ("x" * 501, []), ("x", ["1"] * 5_001)])
def test_too_long_or_empty_playlist_is_refused(store, title, tracks):
    with pytest.raises(InputError, match="expected"):
        store.create("anna", title, tracks)
    assert store.list_playlists("anna") == []


def test_number_of_playlists_is_limited(store, monkeypatch):
    monkeypatch.setattr(playlists, "_MAX_PLAYLISTS", 1)
    store.create("anna", "one", [])
    with pytest.raises(InputError, match="at most 1 playlists"):
        store.create("anna", "two", [])
    store.create("bert", "one", [])


def test_queue_stars_and_favourites_belong_to_their_user(store):
    store.save_queue("anna", ["1", "2"], "2", 1500, "phone")
    store.save_queue("anna", ["3"], None, 0, "desk")
    queue = store.load_queue("anna")
    assert (queue.tracks, queue.current, queue.client, store.load_queue("bert")) == (
        ("3",),
        None,
        "desk",
        None,
    )
    store.set_stars("anna", "1", 4)
    store.set_stars("anna", "2", 5)
    store.set_stars("anna", "2", 0)
    store.add_favourite("anna", "al-1")
    store.add_favourite("anna", "ar-1")
    store.remove_favourite("anna", "al-1")
    assert store.stars("anna") == {"1": 4} and list(store.favourites("anna")) == ["ar-1"]
    assert store.stars("bert") == {} == store.favourites("bert")
