"""The thread that watches MongoDB, over a fake store and a real accounts database: no failure ends it."""

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

    def count_documents(self, _=None):
        return len(self.documents)

    estimated_document_count = count_documents

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
    for name in ("_ACTIVE_POLL_S", "_IDLE_POLL_S", "_RETRY_S"):
        monkeypatch.setattr(online_store, name, 0.01)
    return store


@pytest.fixture
def feedback(tmp_path):
    database_file = Database(tmp_path)
    yield FeedbackStore(database_file)
    database_file.close()


@pytest.fixture
def opened(store, feedback, tmp_path):
    """Return a function that opens the projection with a function to be published of changes."""
    stores = []

    def opened(on_change=lambda *_: None):
        stores.append(OnlineStore("mongodb://127.0.0.1:9", tmp_path, feedback, on_change))
        until(lambda: stores[-1].online)
        return stores[-1]

    yield opened
    for each in stores:
        each.close()


def until(condition):
    ended = time.monotonic() + 5
    while not condition() and time.monotonic() < ended:
        time.sleep(0.01)
    assert condition()


class Failing:
    """A function that fails as a full disk does until `room`; `tries` is how often it was called."""

    def __init__(self, function):
        self.function, self.tries, self.room = function, 0, threading.Event()

    def __call__(self, *arguments):
        self.tries += 1
        if not self.room.is_set():
            raise sqlite3.OperationalError("database or disk is full")
        return self.function(*arguments)


@pytest.mark.parametrize("name", ["pending", "mark_synced", "mark_all_pending"])
def test_full_disk_delays_likes_and_no_lists(store, feedback, opened, monkeypatch, caplog, name):
    failing, published = Failing(getattr(feedback, name)), []
    monkeypatch.setattr(feedback, name, failing)
    feedback.rate("anna", "t01", True)
    at = opened(lambda user_id, document: published.append((user_id, document)))
    at.subscribe("anna", None)
    until(lambda: failing.tries > 2)
    store["recommendations"].documents["anna"] = LIST
    until(lambda: ("anna", LIST) in published)
    assert at.online and (None, {"mongo": False}) not in published
    assert [record.getMessage() for record in caplog.records if record.name == "segue"] == [
        "the accounts database could not be read or written, will retry: database or disk is full"
    ]
    failing.room.set()
    until(lambda: not feedback.pending())
    assert store["feedback"].documents["anna:t01"]["liked"] is True


def test_list_that_could_not_be_published_is_published_later(store, opened, caplog):
    published = []
    failing = Failing(lambda user_id, _: published.append(user_id))
    at = opened(lambda user_id, document: user_id and failing(user_id, document))
    store["recommendations"].documents["anna"] = LIST
    at.subscribe("anna", None)
    until(lambda: failing.tries > 2)
    assert at.online and len(caplog.records) == 1
    failing.room.set()
    until(lambda: published)
    time.sleep(0.1)
    assert published == ["anna"]


def test_connection_is_renewed_after_any_sqlite_error(opened):
    states = []

    def changed(_, document):
        states.append(document["mongo"])
        if len(states) == 1:
            raise sqlite3.OperationalError("database is locked")

    opened(changed)
    until(lambda: states == [True, False, True])


def test_document_not_fetched_is_not_fresh_after_boot(opened, monkeypatch):
    """The clock may count from then on.

    At its fifth second a map of 600 s ago would be one of before the start.
    """
    at = opened()
    monkeypatch.setattr(online_store, "time", SimpleNamespace(monotonic=lambda: 5.0))
    assert at.cached("map", "1:0") == (False, None)
    assert at.read("map", "1:0") == {"_id": "1:0", "ids": []}
    assert at.cached("map", "1:0")[0]
