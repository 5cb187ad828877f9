"""Bookmarks: positions within tracks, each user's own."""

from dataclasses import dataclass

from jobs.errors import InputError
from serving.db.database import Database, utc_now

# Limits per user.
_MAX_BOOKMARKS, _MAX_COMMENT = 5_000, 500


@dataclass(frozen=True)
class Bookmark:
    """A position in a track, milliseconds; `created` and `changed` ISO 8601."""

    track_id: str
    position_ms: int
    comment: str
    created: str
    changed: str


class Bookmarks:
    """The table of bookmarks; every method is safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_bookmarks(self, name: str) -> list[Bookmark]:
        """Return a user's bookmarks, the latest first."""
        statement = (
            "SELECT track_id, position_ms, comment, created, changed FROM bookmarks"
            " WHERE name = ? ORDER BY changed DESC"
        )
        return [Bookmark(*row) for row in self._database.fetch_all(statement, name)]

    def put(self, name: str, track_id: str, position_ms: int, comment: str) -> None:
        """Set the bookmark of a track. Raises InputError for a long comment, or one bookmark too many."""
        if len(comment) > _MAX_COMMENT:
            raise InputError(f"expected a comment of at most {_MAX_COMMENT} characters, found {len(comment)}")
        now = utc_now()
        with self._database.transaction() as change:
            change.execute(
                "INSERT INTO bookmarks VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name, track_id) DO UPDATE"
                " SET position_ms = excluded.position_ms, comment = excluded.comment,"
                " changed = excluded.changed",
                (name, track_id, position_ms, comment, now, now),
            )
            (count,) = change.execute("SELECT COUNT(*) FROM bookmarks WHERE name = ?", (name,)).fetchone()
            if count > _MAX_BOOKMARKS:
                raise InputError(f"expected at most {_MAX_BOOKMARKS} bookmarks; delete one first")

    def delete(self, name: str, track_id: str) -> bool:
        """Delete the bookmark of a track; return whether there was one."""
        with self._database.transaction() as change:
            result = change.execute("DELETE FROM bookmarks WHERE name = ? AND track_id = ?", (name, track_id))
        return bool(result.rowcount)
