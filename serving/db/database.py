"""The accounts database: what no run can compute again: users, sessions, app passwords, likes, playlists,
history.

One SQLite file in the lake, `<lake>/accounts/accounts.db`, readable by its owner alone. Every change is one
transaction: kill -9 leaves it whole. `PRAGMA user_version` counts the migrations that have been applied.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.errors import InputError
from jobs.paths import make_private_dir

# Each is applied once, in order, in one transaction. Append to this list; never change an entry.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    # 1: the tables of Segue 0.1, whose files have user_version 0: there they exist already.
    (
        "CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, password TEXT NOT NULL,"
        " admin INTEGER NOT NULL, created TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS removed (name TEXT PRIMARY KEY, at TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, name TEXT NOT NULL,"
        " expires TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS clients (id TEXT PRIMARY KEY, name TEXT NOT NULL, label TEXT NOT NULL,"
        " secret TEXT NOT NULL UNIQUE, created TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS feedback (name TEXT, track_id TEXT, liked INTEGER, at TEXT NOT NULL,"
        " pending INTEGER NOT NULL, PRIMARY KEY (name, track_id))",
        "CREATE INDEX IF NOT EXISTS feedback_pending ON feedback (pending) WHERE pending",
        "CREATE TABLE IF NOT EXISTS blocked (name TEXT, artist TEXT, at TEXT NOT NULL,"
        " PRIMARY KEY (name, artist))",
        "CREATE TABLE IF NOT EXISTS plays (event_id TEXT PRIMARY KEY, name TEXT NOT NULL,"
        " track_id TEXT NOT NULL, event TEXT NOT NULL, position_s REAL, at TEXT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS plays_of ON plays (name, at)",
        "CREATE TABLE IF NOT EXISTS playlists (id TEXT PRIMARY KEY, name TEXT NOT NULL, title TEXT NOT NULL,"
        " comment TEXT NOT NULL, tracks TEXT NOT NULL, created TEXT NOT NULL, changed TEXT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS playlists_of ON playlists (name)",
        "CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY, tracks TEXT NOT NULL, current TEXT,"
        " position_ms INTEGER NOT NULL, client TEXT NOT NULL, changed TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS favourites (name TEXT, id TEXT, at TEXT NOT NULL,"
        " PRIMARY KEY (name, id))",
        "CREATE TABLE IF NOT EXISTS stars (name TEXT, track_id TEXT, stars INTEGER NOT NULL,"
        " PRIMARY KEY (name, track_id))",
    ),
    # 2: one word for one thing.
    ("ALTER TABLE clients RENAME TO app_passwords", "ALTER TABLE queues RENAME TO play_queues"),
    # 3: the mixes of the last days.
    (
        "CREATE TABLE mixes (name TEXT NOT NULL, day TEXT NOT NULL, mix_id TEXT NOT NULL,"
        " place INTEGER NOT NULL, title TEXT NOT NULL, comment TEXT NOT NULL, tracks TEXT NOT NULL,"
        " personal INTEGER NOT NULL, PRIMARY KEY (name, day, mix_id))",
    ),
    # 4: bookmarks, shares, internet radio; a queue's place, since a track may be in it twice.
    (
        "CREATE TABLE bookmarks (name TEXT, track_id TEXT, position_ms INTEGER NOT NULL,"
        " comment TEXT NOT NULL, created TEXT NOT NULL, changed TEXT NOT NULL, PRIMARY KEY (name, track_id))",
        "CREATE TABLE shares (id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL,"
        " tracks TEXT NOT NULL, created TEXT NOT NULL, expires TEXT, visited TEXT,"
        " visits INTEGER NOT NULL DEFAULT 0)",
        "CREATE INDEX shares_of ON shares (name)",
        "CREATE TABLE radio_stations (id TEXT PRIMARY KEY, title TEXT NOT NULL, stream_url TEXT NOT NULL,"
        " home_url TEXT NOT NULL, created TEXT NOT NULL)",
        "ALTER TABLE play_queues ADD COLUMN place INTEGER",
    ),
    # 5: listens of tracks that the collection does not have yet.
    (
        "CREATE TABLE waiting_listens (name TEXT, listened_at INTEGER, artist TEXT, title TEXT,"
        " listen TEXT NOT NULL, received TEXT NOT NULL, PRIMARY KEY (name, listened_at, artist, title))",
    ),
    # 6: what starred albums and artists are, by which they are found again when their ids change.
    (
        "CREATE TABLE starred_groups (id TEXT PRIMARY KEY, artist TEXT NOT NULL, album TEXT,"
        " tracks TEXT NOT NULL)",
    ),
    # 7: plays that are forwarded to ListenBrainz.
    (
        "CREATE TABLE forwarding (name TEXT PRIMARY KEY, token TEXT NOT NULL, created TEXT NOT NULL,"
        " last_error TEXT NOT NULL)",
        "CREATE TABLE outgoing_plays (id INTEGER PRIMARY KEY, name TEXT NOT NULL, event_id TEXT NOT NULL,"
        " track_id TEXT NOT NULL, position_s REAL, played_at TEXT NOT NULL, error TEXT,"
        " UNIQUE (name, event_id))",
    ),
    # 8: plays are forwarded to Last.fm too.
    (
        "ALTER TABLE forwarding RENAME TO forwarding_7",
        "CREATE TABLE forwarding (name TEXT, service TEXT, token TEXT NOT NULL, created TEXT NOT NULL,"
        " last_error TEXT NOT NULL, PRIMARY KEY (name, service))",
        "INSERT INTO forwarding SELECT name, 'listenbrainz', token, created, last_error FROM forwarding_7",
        "DROP TABLE forwarding_7",
        "ALTER TABLE outgoing_plays RENAME TO outgoing_plays_7",
        "CREATE TABLE outgoing_plays (id INTEGER PRIMARY KEY, name TEXT NOT NULL, service TEXT NOT NULL,"
        " event_id TEXT NOT NULL, track_id TEXT NOT NULL, position_s REAL, played_at TEXT NOT NULL,"
        " error TEXT, UNIQUE (name, service, event_id))",
        "INSERT INTO outgoing_plays SELECT id, name, 'listenbrainz', event_id, track_id, position_s,"
        " played_at, error FROM outgoing_plays_7",
        "DROP TABLE outgoing_plays_7",
    ),
    # 9: playlists that every user may read.
    ("ALTER TABLE playlists ADD COLUMN is_public INTEGER NOT NULL DEFAULT 0",),
)


class Database:
    """The open file; every method is safe to call from any thread.

    Raises InputError for a file that a newer version of Segue has written.
    """

    def __init__(self, lake: Path) -> None:
        file = make_private_dir(lake / "accounts") / "accounts.db"
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=10)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        try:
            self._migrate(file)
        except BaseException:
            self._connection.close()
            raise

    def _migrate(self, file: Path) -> None:
        while self._version() != len(MIGRATIONS):
            with self.transaction() as connection:
                version = self._version()  # again, now that no other process can change it
                if version > len(MIGRATIONS):
                    raise InputError(
                        f"expected an accounts database of version {len(MIGRATIONS)} or older, found version "
                        f"{version} in {file}; it was written by a newer Segue: install that version"
                    )
                if version < len(MIGRATIONS):
                    for statement in MIGRATIONS[version]:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {version + 1}")

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def fetch_all(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Return all rows of a query."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for one transaction: all of its changes are committed, or none."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                if self._connection.in_transaction:  # SQLite has rolled back itself if the disk is full
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")


def utc_now() -> str:
    """Return the current time in the file's form: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat()
