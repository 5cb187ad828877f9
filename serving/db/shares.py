"""Shares: tracks that anyone with the link may hear, until it expires."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.errors import InputError
from serving.db.database import Database, utc_now

# Limits per user.
_MAX_SHARES, _MAX_TRACKS, _MAX_DESCRIPTION = 1_000, 5_000, 500

_COLUMNS = "id, name, description, tracks, created, expires, visited, visits"


@dataclass(frozen=True)
class Share:
    """A share of a user's; `share_id` is the secret of its link; times ISO 8601, `expires` None for never."""

    share_id: str
    name: str
    description: str
    tracks: tuple[str, ...]
    created: str
    expires: str | None
    visited: str | None
    visits: int


class Shares:
    """The table of shares; every method is safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_shares(self, name: str) -> list[Share]:
        """Return a user's shares, the oldest first, those that have expired too."""
        statement = f"SELECT {_COLUMNS} FROM shares WHERE name = ? ORDER BY created"
        return [_share(row) for row in self._database.fetch_all(statement, name)]

    def open(self, share_id: str) -> Share | None:
        """Return a share whose link is valid now, or None."""
        statement = f"SELECT {_COLUMNS} FROM shares WHERE id = ? AND (expires IS NULL OR expires > ?)"
        rows = self._database.fetch_all(statement, share_id, utc_now())
        return _share(rows[0]) if rows else None

    def create(self, name: str, tracks: Sequence[str], description: str, expires: datetime | None) -> Share:
        """Create a share. Raises InputError if it is too long, or one too many."""
        if len(self.list_shares(name)) >= _MAX_SHARES:
            raise InputError(f"expected at most {_MAX_SHARES} shares; delete one first")
        if not 1 <= len(tracks) <= _MAX_TRACKS:
            raise InputError(f"expected 1 to {_MAX_TRACKS} tracks, found {len(tracks)}")
        _check(description)
        share_id = secrets.token_urlsafe(18)
        row = (share_id, name, description, json.dumps(tracks), utc_now(), _text(expires))
        with self._database.transaction() as change:
            change.execute(
                "INSERT INTO shares (id, name, description, tracks, created, expires)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                row,
            )
        return Share(share_id, name, description, tuple(tracks), row[4], row[5], None, 0)

    def update(self, share: Share, *, description: str, expires: datetime | None) -> None:
        """Set a share's description and end. Raises InputError for a long description."""
        _check(description)
        with self._database.transaction() as change:
            change.execute(
                "UPDATE shares SET description = ?, expires = ? WHERE id = ?",
                (description, _text(expires), share.share_id),
            )

    def count_visit(self, share_id: str) -> None:
        """Count that a share's page was opened."""
        with self._database.transaction() as change:
            change.execute(
                "UPDATE shares SET visits = visits + 1, visited = ? WHERE id = ?", (utc_now(), share_id)
            )

    def delete(self, name: str, share_id: str) -> bool:
        """Delete a share; return whether the user had it."""
        with self._database.transaction() as change:
            result = change.execute("DELETE FROM shares WHERE name = ? AND id = ?", (name, share_id))
        return bool(result.rowcount)


def _check(description: str) -> None:
    if len(description) > _MAX_DESCRIPTION:
        raise InputError(
            f"expected a description of at most {_MAX_DESCRIPTION} characters, found {len(description)}"
        )


def _text(expires: datetime | None) -> str | None:
    return expires.astimezone(UTC).isoformat() if expires else None


def _share(row: tuple[str, ...]) -> Share:
    share_id, name, description, tracks, created, expires, visited, visits = row
    known = tuple(json.loads(tracks))
    return Share(share_id, name, description, known, created, expires, visited, int(visits))
