"""The thread that keeps MongoDB, over a store of two collections and a real ledger: nothing that fails ends it."""

import sqlite3
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from jobs.online import mongo
from serving import online_store
from serving.db.database import Database
from serving.db.feedback import FeedbackStore
from serving.online_store import OnlineStore

LIST = {"_id": "anna", "as_of": datetime(2026, 11, 21, tzinfo=UTC), "model_version": "1", "items": []}


class Collection:
    """As much of a collection of MongoDB's as is asked for."""

    def __init__(self, *documents):
        self.documents = {document["_id"]: document for document in documents}

    def find_one(self, wanted=None):
        if wanted is None:
            return next(iter(self.documents.values()), None)
        return self.documents.get(wanted["_id"])

    def find(self, wanted, _fields):
        return [self.documents[each] for each in wanted["_id"]["$in"] if each in self.documents]

    def bulk_write(self, writes, ordered):
        self.documents |= {each._filter["_id"]: each._doc for each in writes}


class Store(dict):
    """A database that is always there."""

    client = SimpleNamespace(admin=SimpleNamespace(command=lambda _: None))


@pytest.fixture
def store(monkeypatch):
    store = Store(
        recommendations=Collection(), feedback=Collection(), map=Collection({"_id": "1:0", "ids": []})
    )

    @contextmanager
    def database(*_, **__):
        yield store

    monkeypatch.setattr(mongo, "database", database)
    for name in ("_HOT_S", "_ALL_S", "_RETRY_S"):
        monkeypatch.setattr(online_store, name, 0.01)
    return store


@pytest.fixture
def listeners(tmp_path):
    ledger = Database(tmp_path)
    yield FeedbackStore(ledger)
    ledger.close()


@pytest.fixture
def opened(store, listeners, tmp_path):
    """Return a function that opens the projection with a function to be told of changes."""
    made = []

    def opened(changed=lambda *_: None):
        made.append(OnlineStore("mongodb://127.0.0.1:9", tmp_path, listeners, changed))
        until(lambda: made[-1].online)
        return made[-1]

    yield opened
    for each in made:
        each.close()


def until(true):
    ended = time.monotonic() + 5
    while not true() and time.monotonic() < ended:
        time.sleep(0.01)
    assert true()


class Failing:
    """A function that fails as a full disk does until `room`; `tries` is how often it was called."""

    def __init__(self, function):
        self.function, self.tries, self.room = function, 0, threading.Event()

    def __call__(self, *given):
        self.tries += 1
        if not self.room.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        return self.function(*given)


@pytest.mark.parametrize("name", ["pending", "told", "tell_all"])
def test_a_full_disk_keeps_no_list_and_no_like_back_for_good(
    store, listeners, opened, monkeypatch, caplog, name
):
    failing, told = Failing(getattr(listeners, name)), []
    monkeypatch.setattr(listeners, name, failing)
    listeners.rate("anna", "t01", True)
    at = opened(lambda user_id, document: told.append((user_id, document)))
    at.listen("anna", None)
    until(lambda: failing.tries > 2)
    store["recommendations"].documents["anna"] = LIST
    until(lambda: ("anna", LIST) in told)
    assert at.online and (None, {"mongo": False}) not in told
    assert [record.getMessage() for record in caplog.records if record.name == "segue"] == [
        "the accounts' file could not be read or written, tried again soon: database or disk is full"
    ]
    failing.room.set()
    until(lambda: not listeners.pending())
    assert store["feedback"].documents["anna:t01"]["liked"] is True


def test_a_list_that_could_not_be_told_is_told_later(store, opened, caplog):
    told = []
    failing = Failing(lambda user_id, _: told.append(user_id))
    at = opened(lambda user_id, document: user_id and failing(user_id, document))
    store["recommendations"].documents["anna"] = LIST
    at.listen("anna", None)
    until(lambda: failing.tries > 2)
    assert at.online and len(caplog.records) == 1
    failing.room.set()
    until(lambda: told)
    time.sleep(0.1)
    assert told == ["anna"]


def test_whatever_sqlite_says_the_connection_is_made_again(opened):
    states = []

    def changed(_, document):
        states.append(document["mongo"])
        if len(states) == 1:
            raise sqlite3.OperationalError("database is locked")

    opened(changed)
    until(lambda: states == [True, False, True])


def test_what_was_never_fetched_is_not_fresh_just_after_the_machine_has_started(opened, monkeypatch):
    """The clock may count from then on: at its fifth second a map of 600 s ago would be one of before the start."""
    at = opened()
    monkeypatch.setattr(online_store, "time", SimpleNamespace(monotonic=lambda: 5.0))
    assert at.cached("map", "1:0") == (False, None)
    assert at.read("map", "1:0") == {"_id": "1:0", "ids": []}
    assert at.cached("map", "1:0")[0]
