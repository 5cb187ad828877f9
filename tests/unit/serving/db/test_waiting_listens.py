"""Listens that wait: each once, each user's own, gone when they have become plays."""

import pytest

from serving.db.database import Database
from serving.db.waiting_listens import WaitingListen, WaitingListens


@pytest.fixture
def store(tmp_path):
    database = Database(tmp_path)
    yield WaitingListens(database)
    database.close()


def waiting(name, at=1_700_000_000, title="Song"):
    return WaitingListen(
        name, at, "Ada", title, {"track_metadata": {"artist_name": "Ada", "track_name": title}}
    )


def test_listen_is_stored_once_for_each_user(store):
    store.add([waiting("anna"), waiting("bert"), waiting("anna"), waiting("anna", at=1)])
    assert store.list_listens("anna") == [waiting("anna", at=1), waiting("anna")]
    assert [each.name for each in store.list_listens()] == ["anna", "anna", "bert"]
    store.remove(waiting("anna"))
    assert store.list_listens() == [waiting("anna", at=1), waiting("bert")]


def test_all_or_none_are_stored(store):
    with pytest.raises(OverflowError):
        store.add([waiting("anna"), WaitingListen("anna", 2**70, "a", "b", {})])
    assert store.list_listens() == []
