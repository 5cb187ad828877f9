"""What clients keep in the lake: each listener's own, whole or not at all."""

import pytest

from jobs.errors import InputError
from serving.db import playlists
from serving.db.database import Database
from serving.db.playlists import Playlists


@pytest.fixture
def kept(tmp_path):
    ledger = Database(tmp_path)
    yield Playlists(ledger)
    ledger.close()


def test_a_playlist_is_nobodys_but_the_listeners(kept):
    made = kept.create("anna", "Evening", ["1", "2"])
    assert kept.get("anna", made.playlist_id) == made and kept.list_of("anna") == [made]
    assert kept.get("bert", made.playlist_id) is None and kept.list_of("bert") == []
    assert not kept.delete("bert", made.playlist_id) and kept.list_of("anna") == [made]
    assert kept.delete("anna", made.playlist_id) and kept.list_of("anna") == []


def test_a_change_leaves_what_it_does_not_name(kept):
    made = kept.create("anna", "Evening", ["1", "2"])
    kept.update("anna", made, comment="late")
    changed = kept.update("anna", kept.get("anna", made.playlist_id), tracks=["2", "2"])
    assert (changed.title, changed.comment, changed.tracks, changed.created) == (
        "Evening",
        "late",
        ("2", "2"),
        made.created,
    )
    assert kept.list_of("anna") == [changed]


@pytest.mark.parametrize(("title", "tracks"), [(" ", []), ("x" * 501, []), ("x", ["1"] * 5_001)])
def test_what_is_too_long_or_nothing_is_not_kept(kept, title, tracks):
    with pytest.raises(InputError, match="expected"):
        kept.create("anna", title, tracks)
    assert kept.list_of("anna") == []


def test_there_is_an_end_to_playlists(kept, monkeypatch):
    monkeypatch.setattr(playlists, "_MAX_PLAYLISTS", 1)
    kept.create("anna", "one", [])
    with pytest.raises(InputError, match="at most 1 playlists"):
        kept.create("anna", "two", [])
    kept.create("bert", "one", [])


def test_queue_stars_and_favourites_are_each_listeners(kept):
    kept.save_queue("anna", ["1", "2"], "2", 1500, "phone")
    kept.save_queue("anna", ["3"], None, 0, "desk")
    queue = kept.load_queue("anna")
    assert (queue.tracks, queue.current, queue.client, kept.load_queue("bert")) == (
        ("3",),
        None,
        "desk",
        None,
    )
    kept.set_stars("anna", "1", 4)
    kept.set_stars("anna", "2", 5)
    kept.set_stars("anna", "2", 0)
    kept.favour("anna", "al-1", True)
    kept.favour("anna", "ar-1", True)
    kept.favour("anna", "al-1", False)
    assert kept.stars("anna") == {"1": 4} and list(kept.favourites("anna")) == ["ar-1"]
    assert kept.stars("bert") == {} == kept.favourites("bert")
