"""Users, sessions and app passwords.

App passwords are stored in clear, since Subsonic's token (MD5 of password and salt) needs them; they open
only what a client may do. The account's own password is stored as its argon2 hash.
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

# The user as long as there are no accounts: whoever uses this machine.
LOCAL_USER = "local"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MIN_PASSWORD_LENGTH = 8
_SESSION_LENGTH = timedelta(days=30)


@dataclass(frozen=True)
class AppPassword:
    """An app password: the client it was made for (`label`), and the secret."""

    password_id: str
    label: str
    secret: str
    created: str


@dataclass(frozen=True)
class User:
    """The user of a request; `name` is the user_id of events."""

    name: str
    admin: bool = False


class Accounts:
    """The tables of users, sessions and app passwords; every method is safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hasher = argon2.PasswordHasher()
        # Verified for an unknown name, so that it takes as long as a wrong password.
        self._dummy_hash = self._hasher.hash(secrets.token_urlsafe(16))

    # --- users ---

    def list_users(self) -> list[tuple[str, bool]]:
        """Return every user as (name, is_admin)."""
        return [
            (name, bool(admin))
            for name, admin in self._database.fetch_all("SELECT name, admin FROM users ORDER BY name")
        ]

    def has_users(self) -> bool:
        """Return whether there is any user."""
        return bool(self._database.fetch_all("SELECT 1 FROM users LIMIT 1"))

    def add(self, name: str, password: str, *, admin: bool = False, restore: bool = False) -> None:
        """Add a user. Raises InputError for an invalid name or password, or a name in use.

        A removed user's likes and plays stay under the name: only `restore=True`, for the same person, adds
        it again.
        """
        validate_name(name)
        validate_password(password)
        if not restore and self._database.fetch_all("SELECT 1 FROM removed WHERE name = ?", name):
            raise InputError(
                f"expected a new name, found {name!r}, a removed user whose likes and plays are still there; "
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
        """Set a user's password and end all sessions. Raises InputError for an unknown user."""
        validate_password(password)
        hashed = self._hasher.hash(password)
        with self._database.transaction() as change:
            result = change.execute("UPDATE users SET password = ? WHERE name = ?", (hashed, name))
            change.execute("DELETE FROM sessions WHERE name = ?", (name,))
        if not result.rowcount:
            raise InputError(f"expected the name of a user, found {name!r}")

    def remove(self, name: str) -> None:
        """Remove a user with sessions, app passwords, shares, forwarding and mixes; likes and plays stay.

        Raises InputError for an unknown user.
        """
        with self._database.transaction() as change:
            result = change.execute("DELETE FROM users WHERE name = ?", (name,))
            for table in ("sessions", "app_passwords", "shares", "forwarding", "outgoing_plays", "mixes"):
                change.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
            if result.rowcount:
                change.execute("INSERT OR REPLACE INTO removed VALUES (?, ?)", (name, utc_now()))
        if not result.rowcount:
            raise InputError(f"expected the name of a user, found {name!r}")

    def check_password(self, name: str, password: str) -> bool:
        """Return whether the password is right; it takes as long for an unknown name."""
        rows = self._database.fetch_all("SELECT password FROM users WHERE name = ?", name)
        try:
            return self._hasher.verify(rows[0][0] if rows else self._dummy_hash, password) and bool(rows)
        except argon2.exceptions.VerificationError:
            return False

    def login(self, name: str, password: str) -> str | None:
        """Return the token of a new session, or None for a wrong name or password."""
        if not self.check_password(name, password):
            return None
        token = secrets.token_urlsafe(32)
        with self._database.transaction() as change:
            change.execute("DELETE FROM sessions WHERE expires < ?", (utc_now(),))
            expires = (datetime.now(UTC) + _SESSION_LENGTH).isoformat()
            change.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_hashed(token), name, expires))
        return token

    def user_by_session(self, token: str) -> User | None:
        """Return the user of a session, or None if it is unknown or expired."""
        statement = (
            "SELECT users.name, admin FROM sessions JOIN users USING (name) WHERE token = ? AND expires > ?"
        )
        rows = self._database.fetch_all(statement, _hashed(token), utc_now())
        return User(rows[0][0], bool(rows[0][1])) if rows else None

    def logout(self, token: str) -> None:
        """End a session."""
        with self._database.transaction() as change:
            change.execute("DELETE FROM sessions WHERE token = ?", (_hashed(token),))

    # --- app passwords ---

    def add_app_password(self, name: str, label: str) -> AppPassword:
        """Create an app password for one client of a user."""
        app_password = AppPassword(secrets.token_hex(8), label, secrets.token_urlsafe(18), utc_now())
        with self._database.transaction() as change:
            row = (
                app_password.password_id,
                name,
                app_password.label,
                app_password.secret,
                app_password.created,
            )
            change.execute("INSERT INTO app_passwords VALUES (?, ?, ?, ?, ?)", row)
        return app_password

    def app_passwords(self, name: str) -> list[AppPassword]:
        """Return a user's app passwords, oldest first."""
        rows = self._database.fetch_all(
            "SELECT id, label, secret, created FROM app_passwords WHERE name = ? ORDER BY created", name
        )
        return [AppPassword(*row) for row in rows]

    def remove_app_password(self, name: str, password_id: str) -> bool:
        """Revoke an app password; return whether the user had it."""
        with self._database.transaction() as change:
            result = change.execute(
                "DELETE FROM app_passwords WHERE name = ? AND id = ?", (name, password_id)
            )
        return bool(result.rowcount)

    def user_by_app_password(self, secret: str) -> User | None:
        """Return the user of an app password, or None."""
        statement = (
            "SELECT name, (SELECT admin FROM users WHERE users.name = app_passwords.name)"
            " FROM app_passwords WHERE secret = ?"
        )
        rows = self._database.fetch_all(statement, secret)
        return User(rows[0][0], bool(rows[0][1])) if rows else None


def validate_name(name: str) -> None:
    """Raise InputError for an invalid user name."""
    if not _NAME.fullmatch(name) or name == LOCAL_USER:
        raise InputError(
            "expected a name of 1 to 64 letters a-z, digits, dots, dashes, "
            f"other than {LOCAL_USER}, found {name!r}"
        )


def validate_password(password: str) -> None:
    """Raise InputError for a password that is too short, or too long to hash quickly."""
    if not _MIN_PASSWORD_LENGTH <= len(password) <= 200:
        raise InputError(
            f"expected a password of {_MIN_PASSWORD_LENGTH} to 200 characters, found {len(password)}"
        )


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
