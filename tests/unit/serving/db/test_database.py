"""Migrations of the accounts database: a file of Segue 0.1 is opened, and nothing in it is lost."""

import sqlite3
import stat

import pytest

from jobs.errors import InputError
from serving.db import database
from serving.db.accounts import Accounts
from serving.db.database import MIGRATIONS, Database
from serving.db.feedback import FeedbackStore
from serving.db.forwarding import Destination, Forwarding, ForwardingStatus
from serving.db.playlists import Playlists

# The tables as 0.1 made them, and a row of each.
VERSION_0_1 = """
CREATE TABLE users (name TEXT PRIMARY KEY, password TEXT NOT NULL, admin INTEGER NOT NULL,
    created TEXT NOT NULL);
CREATE TABLE removed (name TEXT PRIMARY KEY, at TEXT NOT NULL);
CREATE TABLE sessions (token TEXT PRIMARY KEY, name TEXT NOT NULL, expires TEXT NOT NULL);
CREATE TABLE clients (id TEXT PRIMARY KEY, name TEXT NOT NULL, label TEXT NOT NULL,
    secret TEXT NOT NULL UNIQUE, created TEXT NOT NULL);
CREATE TABLE feedback (name TEXT, track_id TEXT, liked INTEGER, at TEXT NOT NULL, pending INTEGER NOT NULL,
    PRIMARY KEY (name, track_id));
CREATE INDEX feedback_pending ON feedback (pending) WHERE pending;
CREATE TABLE blocked (name TEXT, artist TEXT, at TEXT NOT NULL, PRIMARY KEY (name, artist));
CREATE TABLE plays (event_id TEXT PRIMARY KEY, name TEXT NOT NULL, track_id TEXT NOT NULL,
    event TEXT NOT NULL, position_s REAL, at TEXT NOT NULL);
CREATE INDEX plays_of ON plays (name, at);
CREATE TABLE playlists (id TEXT PRIMARY KEY, name TEXT NOT NULL, title TEXT NOT NULL, comment TEXT NOT NULL,
    tracks TEXT NOT NULL, created TEXT NOT NULL, changed TEXT NOT NULL);
CREATE INDEX playlists_of ON playlists (name);
CREATE TABLE queues (name TEXT PRIMARY KEY, tracks TEXT NOT NULL, current TEXT,
    position_ms INTEGER NOT NULL, client TEXT NOT NULL, changed TEXT NOT NULL);
CREATE TABLE favourites (name TEXT, id TEXT, at TEXT NOT NULL, PRIMARY KEY (name, id));
CREATE TABLE stars (name TEXT, track_id TEXT, stars INTEGER NOT NULL, PRIMARY KEY (name, track_id));
INSERT INTO users VALUES ('anna', 'hash', 1, '2026-11-01T00:00:00+00:00');
INSERT INTO removed VALUES ('bert', '2026-11-02T00:00:00+00:00');
INSERT INTO sessions VALUES ('token', 'anna', '2099-01-01T00:00:00+00:00');
INSERT INTO clients VALUES ('c1', 'anna', 'phone', 'secret', '2026-11-03T00:00:00+00:00');
INSERT INTO feedback VALUES ('anna', 't1', 1, '2026-11-04T00:00:00+00:00', 0);
INSERT INTO blocked VALUES ('anna', 'Ada', '2026-11-05T00:00:00+00:00');
INSERT INTO plays VALUES ('e1', 'anna', 't1', 'finished', 30.0, '2026-11-06T00:00:00+00:00');
INSERT INTO playlists VALUES ('pl-1', 'anna', 'Evening', 'late', '["t1", "t2"]', '2026-11-07', '2026-11-08');
INSERT INTO queues VALUES ('anna', '["t1"]', 't1', 1500, 'desk', '2026-11-09');
INSERT INTO favourites VALUES ('anna', 'al-1', '2026-11-10');
INSERT INTO stars VALUES ('anna', 't1', 5);
"""


@pytest.fixture
def lake(tmp_path):
    """A lake whose accounts database Segue 0.1 has written."""
    (tmp_path / "accounts").mkdir()
    connection = sqlite3.connect(tmp_path / "accounts" / "accounts.db")
    connection.executescript(VERSION_0_1)
    connection.close()
    return tmp_path


def contents(lake):
    """Return every row through today's API."""
    opened = Database(lake)
    accounts, feedback, playlists = Accounts(opened), FeedbackStore(opened), Playlists(opened)
    queue = playlists.load_queue("anna")
    found = {
        "users": accounts.list_users(),
        "removed": opened.fetch_all("SELECT name FROM removed"),
        "sessions": opened.fetch_all("SELECT token, name FROM sessions"),
        "app passwords": [(p.password_id, p.label, p.secret) for p in accounts.app_passwords("anna")],
        "user by app password": accounts.user_by_app_password("secret").name,
        "ratings": feedback.ratings("anna"),
        "blocked": feedback.blocked("anna"),
        "history": [(row["track_id"], row["event"]) for row in feedback.history("anna", limit=10)],
        "playlists": [
            (p.playlist_id, p.title, p.comment, p.tracks) for p in playlists.list_playlists("anna")
        ],
        "queue": (queue.tracks, queue.current, queue.position_ms, queue.client),
        "favourites": list(playlists.favourites("anna")),
        "stars": playlists.stars("anna"),
    }
    opened.close()
    return found


EXPECTED = {
    "users": [("anna", True)],
    "removed": [("bert",)],
    "sessions": [("token", "anna")],
    "app passwords": [("c1", "phone", "secret")],
    "user by app password": "anna",
    "ratings": {"t1": True},
    "blocked": ["Ada"],
    "history": [("t1", "finished")],
    "playlists": [("pl-1", "Evening", "late", ("t1", "t2"))],
    "queue": (("t1",), "t1", 1500, "desk"),
    "favourites": ["al-1"],
    "stars": {"t1": 5},
}


def version(lake):
    connection = sqlite3.connect(lake / "accounts" / "accounts.db")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.close()
    return found


def test_file_of_0_1_is_migrated_and_keeps_every_row(lake):
    assert contents(lake) == EXPECTED and version(lake) == len(MIGRATIONS)
    assert contents(lake) == EXPECTED  # opened again, nothing changes


def test_interrupted_migration_is_finished_by_the_next_start(lake, monkeypatch):
    broken = (*MIGRATIONS[:1], (MIGRATIONS[1][0], "CREATE TABLE nonsense ("))
    monkeypatch.setattr(database, "MIGRATIONS", broken)
    with pytest.raises(sqlite3.OperationalError):
        Database(lake)
    assert version(lake) == 1  # the first is committed, nothing of the second
    monkeypatch.undo()
    assert contents(lake) == EXPECTED


def test_new_file_has_the_latest_version_and_is_private(tmp_path):
    Database(tmp_path).close()
    file = tmp_path / "accounts" / "accounts.db"
    assert version(tmp_path) == len(MIGRATIONS)
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)


def test_file_of_a_newer_version_is_refused(tmp_path):
    Database(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "accounts" / "accounts.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    known = len(MIGRATIONS)
    with pytest.raises(InputError, match=f"accounts database of version {known} or older, found version 99"):
        Database(tmp_path)


def test_plays_that_wait_for_listenbrainz_wait_on_after_the_migration(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "MIGRATIONS", MIGRATIONS[:7])
    old = Database(tmp_path)
    with old.transaction() as change:
        change.execute("INSERT INTO forwarding VALUES ('anna', 'token', '2026-11-01', 'away')")
        waits = "INSERT INTO outgoing_plays (name, event_id, track_id, position_s, played_at, error) VALUES"
        change.execute(f"{waits} ('anna', 'e1', 't1', 2.5, '2026-11-02T10:00:00+00:00', NULL)")
        change.execute(f"{waits} ('anna', 'e2', 't2', NULL, '2026-11-02T11:00:00+00:00', 'bad')")
    old.close()
    monkeypatch.undo()
    opened = Database(tmp_path)
    forwarding, to = Forwarding(opened), Destination("anna", "listenbrainz")
    assert forwarding.token(to) == "token" and forwarding.services("anna") == ["listenbrainz"]
    assert forwarding.status(to) == ForwardingStatus(pending=1, refused=1, last_error="away")
    (play,) = forwarding.pending(to, 10)
    assert (play.event_id, play.track_id, play.position_s) == ("e1", "t1", 2.5)
    opened.close()
