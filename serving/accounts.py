"""Who listens, and what each has said: users, sessions, app passwords, likes, what not to play, the latest plays.

One SQLite file in the lake, readable by its owner alone: these are first-hand facts, which no run can compute again, so they
live in the lake and MongoDB's `feedback` follows (`pending`). Every change is one transaction: kill -9 leaves it whole.
An app password is kept as it is, since Subsonic's token (MD5 of password and salt) needs it back; it opens nothing but what
that client may do, and the account's own password is only there as its argon2 hash.
"""

import hashlib
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import argon2

from jobs.errors import InputError

# The listener where there are no users: whoever sits at this machine.
LOCAL = "local"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LEAST_PASSWORD = 8
_SESSION = timedelta(days=30)

# Plays that history keeps of a listener; all of them are in PLAYS.
_KEPT_PLAYS = 2_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, password TEXT NOT NULL, admin INTEGER NOT NULL, created TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, name TEXT NOT NULL, expires TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS clients (id TEXT PRIMARY KEY, name TEXT NOT NULL, label TEXT NOT NULL, secret TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS feedback (name TEXT, track_id TEXT, liked INTEGER, at TEXT NOT NULL, pending INTEGER NOT NULL,
    PRIMARY KEY (name, track_id));
CREATE TABLE IF NOT EXISTS blocked (name TEXT, artist TEXT, at TEXT NOT NULL, PRIMARY KEY (name, artist));
CREATE TABLE IF NOT EXISTS plays (event_id TEXT PRIMARY KEY, name TEXT NOT NULL, track_id TEXT NOT NULL, event TEXT NOT NULL,
    position_s REAL, at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS plays_of ON plays (name, at);
"""


@dataclass(frozen=True)
class Client:
    """One app password: which client it was made for, and the secret itself."""

    client_id: str
    label: str
    secret: str
    created: str


@dataclass(frozen=True)
class User:
    """Who a request comes from; `name` is the user_id of events."""

    name: str
    admin: bool = False


class Accounts:
    """The file `<lake>/accounts/accounts.db`; every method is safe to call from any thread."""

    def __init__(self, lake: Path) -> None:
        folder = lake / "accounts"
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        file = folder / "accounts.db"
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = threading.RLock()
        self._hasher = argon2.PasswordHasher()
        self._connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None, timeout=10)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)
        # What a wrong name is compared with, so that it takes as long as a wrong password.
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    # --- users ---

    def names(self) -> list[tuple[str, bool]]:
        """Return every user's name and whether an admin; empty as long as only this machine is served."""
        return [(name, bool(admin)) for name, admin in self._rows("SELECT name, admin FROM users ORDER BY name")]

    def anyone(self) -> bool:
        """Tell whether there is a user at all."""
        return bool(self._rows("SELECT 1 FROM users LIMIT 1"))

    def add(self, name: str, password: str, *, admin: bool = False) -> None:
        """Add a user; InputError for a name or password that cannot be one, or a name that is taken."""
        check_name(name)
        check_password(password)
        hashed = self._hasher.hash(password)
        try:
            with self._change() as change:
                change.execute("INSERT INTO users VALUES (?, ?, ?, ?)", (name, hashed, admin, _now()))
        except sqlite3.IntegrityError:
            raise InputError(f"expected a name that nobody has, found {name!r} among the users") from None

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password and end the user's sessions; InputError where there is no such user."""
        check_password(password)
        hashed = self._hasher.hash(password)
        with self._change() as change:
            done = change.execute("UPDATE users SET password = ? WHERE name = ?", (hashed, name))
            change.execute("DELETE FROM sessions WHERE name = ?", (name,))
        if not done.rowcount:
            raise InputError(f"expected the name of a user, found {name!r}")

    def remove(self, name: str) -> None:
        """Remove a user, with sessions and app passwords; what was liked and played stays. InputError for nobody."""
        with self._change() as change:
            done = change.execute("DELETE FROM users WHERE name = ?", (name,))
            for table in ("sessions", "clients"):
                change.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
        if not done.rowcount:
            raise InputError(f"expected the name of a user, found {name!r}")

    def login(self, name: str, password: str) -> str | None:
        """Return the token of a new session, None where name and password do not belong together."""
        rows = self._rows("SELECT password FROM users WHERE name = ?", name)
        try:
            self._hasher.verify(rows[0][0] if rows else self._nobody, password)
        except argon2.exceptions.VerificationError:
            return None
        if not rows:
            return None
        token = secrets.token_urlsafe(32)
        with self._change() as change:
            change.execute("DELETE FROM sessions WHERE expires < ?", (_now(),))
            expires = (datetime.now(UTC) + _SESSION).isoformat()
            change.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_hashed(token), name, expires))
        return token

    def user_of(self, token: str) -> User | None:
        """Return whose session a token is, None for none or one that is over."""
        statement = "SELECT users.name, admin FROM sessions JOIN users USING (name) WHERE token = ? AND expires > ?"
        rows = self._rows(statement, _hashed(token), _now())
        return User(rows[0][0], bool(rows[0][1])) if rows else None

    def logout(self, token: str) -> None:
        """End a session."""
        with self._change() as change:
            change.execute("DELETE FROM sessions WHERE token = ?", (_hashed(token),))

    # --- clients ---

    def add_client(self, name: str, label: str) -> Client:
        """Make an app password for one client of a user."""
        client = Client(secrets.token_hex(8), label, secrets.token_urlsafe(18), _now())
        with self._change() as change:
            row = (client.client_id, name, client.label, client.secret, client.created)
            change.execute("INSERT INTO clients VALUES (?, ?, ?, ?, ?)", row)
        return client

    def clients(self, name: str) -> list[Client]:
        """Return a user's app passwords, oldest first."""
        rows = self._rows("SELECT id, label, secret, created FROM clients WHERE name = ? ORDER BY created", name)
        return [Client(*row) for row in rows]

    def remove_client(self, name: str, client_id: str) -> bool:
        """Take an app password back; False where the user has no such one."""
        with self._change() as change:
            done = change.execute("DELETE FROM clients WHERE name = ? AND id = ?", (name, client_id))
        return bool(done.rowcount)

    def client_of(self, secret: str) -> User | None:
        """Return whose app password this is."""
        statement = (
            "SELECT name, (SELECT admin FROM users WHERE users.name = clients.name) FROM clients WHERE secret = ?"
        )
        rows = self._rows(statement, secret)
        return User(rows[0][0], bool(rows[0][1])) if rows else None

    # --- what a listener has said ---

    def rate(self, name: str, track_id: str, liked: bool | None) -> None:
        """Keep that a track is liked, disliked or (None) neither any more."""
        with self._change() as change:
            row = (name, track_id, liked, _now())
            change.execute("INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?, 1)", row)

    def ratings(self, name: str) -> dict[str, bool]:
        """Return what a listener likes (True) and dislikes (False), the latest first."""
        statement = "SELECT track_id, liked FROM feedback WHERE name = ? AND liked IS NOT NULL ORDER BY at DESC"
        return {track_id: bool(liked) for track_id, liked in self._rows(statement, name)}

    def rated_at(self, name: str) -> dict[str, str]:
        """Return when each liked track was, ISO 8601."""
        return dict(self._rows("SELECT track_id, at FROM feedback WHERE name = ? AND liked = 1", name))

    def pending(self, most: int = 500) -> list[dict[str, Any]]:
        """Return likes that MongoDB has not been told, as documents of `feedback`."""
        statement = "SELECT name, track_id, liked, at FROM feedback WHERE pending LIMIT ?"
        return [
            {
                "_id": f"{name}:{track_id}",
                "user_id": name,
                "track_id": track_id,
                "liked": None if liked is None else bool(liked),
                "at": datetime.fromisoformat(at),
            }
            for name, track_id, liked, at in self._rows(statement, most)
        ]

    def told(self, documents: list[dict[str, Any]]) -> None:
        """Take note of what MongoDB has been told, unless it has changed meanwhile."""
        with self._change() as change:
            for document in documents:
                key = (document["user_id"], document["track_id"], document["at"].isoformat())
                change.execute("UPDATE feedback SET pending = 0 WHERE name = ? AND track_id = ? AND at = ?", key)

    def tell_all(self) -> None:
        """Make every like pending: MongoDB has lost them."""
        with self._change() as change:
            change.execute("UPDATE feedback SET pending = 1")

    def block(self, name: str, artist: str, blocked: bool) -> None:
        """Never play an artist to a listener, or (False) do so again."""
        with self._change() as change:
            if blocked:
                change.execute("INSERT OR REPLACE INTO blocked VALUES (?, ?, ?)", (name, artist, _now()))
            else:
                change.execute("DELETE FROM blocked WHERE name = ? AND artist = ?", (name, artist))

    def blocked(self, name: str) -> list[str]:
        """Return the artists never to play to a listener."""
        return [artist for (artist,) in self._rows("SELECT artist FROM blocked WHERE name = ? ORDER BY artist", name)]

    def played(self, event: dict[str, Any]) -> None:
        """Keep a play event for the listener's history; the same event twice is one."""
        row = tuple(event[name] for name in ("event_id", "user_id", "track_id", "event", "position_s", "played_at"))
        with self._change() as change:
            change.execute("INSERT OR IGNORE INTO plays VALUES (?, ?, ?, ?, ?, ?)", row)
            if time.time_ns() % 100 == 0:  # now and then is often enough
                statement = (
                    "DELETE FROM plays WHERE name = ?1 AND at < (SELECT at FROM plays WHERE name = ?1 "
                    "ORDER BY at DESC LIMIT 1 OFFSET ?2)"
                )
                change.execute(statement, (event["user_id"], _KEPT_PLAYS))

    def history(self, name: str, *, most: int, before: str | None = None) -> list[dict[str, Any]]:
        """Return a listener's latest plays, one row for each start and what became of it, the latest first."""
        statement = (
            "SELECT track_id, event, position_s, at FROM plays WHERE name = ? AND event IN ('started', 'finished', "
            "'skipped') AND at < ? ORDER BY at DESC LIMIT ?"
        )
        rows = self._rows(statement, name, before or "9999", 2 * most)
        return _merged(rows)[:most]

    def plays_of(self, name: str) -> dict[str, int]:
        """Return how often each track was finished by a listener."""
        statement = "SELECT track_id, COUNT(*) FROM plays WHERE name = ? AND event = 'finished' GROUP BY track_id"
        return dict(self._rows(statement, name))


def _merged(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """A start just before the end of the same track says nothing more."""
    found: list[dict[str, Any]] = []
    for track_id, event, position_s, at in rows:
        if event == "started" and found and found[-1]["track_id"] == track_id and found[-1]["event"] != "started":
            found[-1]["started"] = at
            continue
        found.append({"track_id": track_id, "event": event, "position_s": position_s, "at": at})
    return found


def check_name(name: str) -> None:
    """Raise InputError for what cannot be a user's name."""
    if not _NAME.fullmatch(name) or name == LOCAL:
        raise InputError(
            f"expected a name of 1 to 64 letters a-z, digits, dots, dashes, other than {LOCAL}, found {name!r}"
        )


def check_password(password: str) -> None:
    """Raise InputError for a password that is too short, or too long to be hashed at leisure."""
    if not _LEAST_PASSWORD <= len(password) <= 200:
        raise InputError(f"expected a password of {_LEAST_PASSWORD} to 200 characters, found {len(password)}")


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat()
