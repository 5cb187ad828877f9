"""Who listens: users, sessions, app passwords.

An app password is kept as it is, since Subsonic's token (MD5 of password and salt) needs it back; it opens nothing but what
that client may do, and the account's own password is only there as its argon2 hash.
"""

import hashlib
import re
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import argon2

from jobs.errors import InputError
from serving.db.database import Database, utc_now

# The listener where there are no users: whoever sits at this machine.
LOCAL_USER = "local"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MIN_PASSWORD = 8
_SESSION = timedelta(days=30)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (name TEXT PRIMARY KEY, password TEXT NOT NULL, admin INTEGER NOT NULL, created TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS removed (name TEXT PRIMARY KEY, at TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (token TEXT PRIMARY KEY, name TEXT NOT NULL, expires TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS clients (id TEXT PRIMARY KEY, name TEXT NOT NULL, label TEXT NOT NULL, secret TEXT NOT NULL UNIQUE,
    created TEXT NOT NULL);
"""


@dataclass(frozen=True)
class AppPassword:
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
    """Users, sessions and app passwords in a ledger; every method is safe to call from any thread."""

    def __init__(self, ledger: Database) -> None:
        self._database = ledger
        ledger.create_tables(_SCHEMA)
        self._hasher = argon2.PasswordHasher()
        # What a wrong name is compared with, so that it takes as long as a wrong password.
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    # --- users ---

    def list_users(self) -> list[tuple[str, bool]]:
        """Return every user's name and whether an admin; empty as long as only this machine is served."""
        return [
            (name, bool(admin))
            for name, admin in self._database.fetch_all("SELECT name, admin FROM users ORDER BY name")
        ]

    def has_users(self) -> bool:
        """Tell whether there is a user at all."""
        return bool(self._database.fetch_all("SELECT 1 FROM users LIMIT 1"))

    def add(self, name: str, password: str, *, admin: bool = False, restore: bool = False) -> None:
        """Add a user; InputError for a name or password that cannot be one, or a name that is taken.

        A removed user's likes and plays are still there under that name: only `again`, for the same person, adds it.
        """
        validate_name(name)
        validate_password(password)
        if not restore and self._database.fetch_all("SELECT 1 FROM removed WHERE name = ?", name):
            raise InputError(
                f"expected a name that nobody has had, found {name!r}, whose likes and plays were kept when it was removed; "
                f"if it is the same person: segue user add {name} --restore"
            )
        hashed = self._hasher.hash(password)
        try:
            with self._database.transaction() as change:
                change.execute("DELETE FROM removed WHERE name = ?", (name,))
                change.execute("INSERT INTO users VALUES (?, ?, ?, ?)", (name, hashed, admin, utc_now()))
        except sqlite3.IntegrityError:
            raise InputError(f"expected a name that nobody has, found {name!r} among the users") from None

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password and end the user's sessions; InputError where there is no such user."""
        validate_password(password)
        hashed = self._hasher.hash(password)
        with self._database.transaction() as change:
            done = change.execute("UPDATE users SET password = ? WHERE name = ?", (hashed, name))
            change.execute("DELETE FROM sessions WHERE name = ?", (name,))
        if not done.rowcount:
            raise InputError(f"expected the name of a user, found {name!r}")

    def remove(self, name: str) -> None:
        """Remove a user, with sessions and app passwords; what was liked and played stays. InputError for nobody."""
        with self._database.transaction() as change:
            done = change.execute("DELETE FROM users WHERE name = ?", (name,))
            for table in ("sessions", "clients"):
                change.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
            if done.rowcount:
                change.execute("INSERT OR REPLACE INTO removed VALUES (?, ?)", (name, utc_now()))
        if not done.rowcount:
            raise InputError(f"expected the name of a user, found {name!r}")

    def check_password(self, name: str, password: str) -> bool:
        """Tell whether name and password belong together; it takes as long for a name that nobody has."""
        rows = self._database.fetch_all("SELECT password FROM users WHERE name = ?", name)
        try:
            return self._hasher.verify(rows[0][0] if rows else self._nobody, password) and bool(rows)
        except argon2.exceptions.VerificationError:
            return False

    def login(self, name: str, password: str) -> str | None:
        """Return the token of a new session, None where name and password do not belong together."""
        if not self.check_password(name, password):
            return None
        token = secrets.token_urlsafe(32)
        with self._database.transaction() as change:
            change.execute("DELETE FROM sessions WHERE expires < ?", (utc_now(),))
            expires = (datetime.now(UTC) + _SESSION).isoformat()
            change.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_hashed(token), name, expires))
        return token

    def user_by_session(self, token: str) -> User | None:
        """Return whose session a token is, None for none or one that is over."""
        statement = (
            "SELECT users.name, admin FROM sessions JOIN users USING (name) WHERE token = ? AND expires > ?"
        )
        rows = self._database.fetch_all(statement, _hashed(token), utc_now())
        return User(rows[0][0], bool(rows[0][1])) if rows else None

    def logout(self, token: str) -> None:
        """End a session."""
        with self._database.transaction() as change:
            change.execute("DELETE FROM sessions WHERE token = ?", (_hashed(token),))

    # --- clients ---

    def add_app_password(self, name: str, label: str) -> AppPassword:
        """Make an app password for one client of a user."""
        client = AppPassword(secrets.token_hex(8), label, secrets.token_urlsafe(18), utc_now())
        with self._database.transaction() as change:
            row = (client.client_id, name, client.label, client.secret, client.created)
            change.execute("INSERT INTO clients VALUES (?, ?, ?, ?, ?)", row)
        return client

    def app_passwords(self, name: str) -> list[AppPassword]:
        """Return a user's app passwords, oldest first."""
        rows = self._database.fetch_all(
            "SELECT id, label, secret, created FROM clients WHERE name = ? ORDER BY created", name
        )
        return [AppPassword(*row) for row in rows]

    def remove_app_password(self, name: str, client_id: str) -> bool:
        """Take an app password back; False where the user has no such one."""
        with self._database.transaction() as change:
            done = change.execute("DELETE FROM clients WHERE name = ? AND id = ?", (name, client_id))
        return bool(done.rowcount)

    def user_by_app_password(self, secret: str) -> User | None:
        """Return whose app password this is."""
        statement = "SELECT name, (SELECT admin FROM users WHERE users.name = clients.name) FROM clients WHERE secret = ?"
        rows = self._database.fetch_all(statement, secret)
        return User(rows[0][0], bool(rows[0][1])) if rows else None


def validate_name(name: str) -> None:
    """Raise InputError for what cannot be a user's name."""
    if not _NAME.fullmatch(name) or name == LOCAL_USER:
        raise InputError(
            f"expected a name of 1 to 64 letters a-z, digits, dots, dashes, other than {LOCAL_USER}, found {name!r}"
        )


def validate_password(password: str) -> None:
    """Raise InputError for a password that is too short, or too long to be hashed at leisure."""
    if not _MIN_PASSWORD <= len(password) <= 200:
        raise InputError(f"expected a password of {_MIN_PASSWORD} to 200 characters, found {len(password)}")


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
