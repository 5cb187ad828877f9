"""What each listener has said and played: likes and dislikes, artists not to play, the latest plays.

These are first-hand facts: they are in the lake first, and MongoDB's `feedback` follows (`pending`).
"""

import time
from datetime import datetime
from typing import Any

from serving.db.database import Database, utc_now

# Plays that history keeps of a listener; all of them are in PLAYS.
_MAX_KEPT_PLAYS = 2_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS feedback (name TEXT, track_id TEXT, liked INTEGER, at TEXT NOT NULL, pending INTEGER NOT NULL,
    PRIMARY KEY (name, track_id));
CREATE INDEX IF NOT EXISTS feedback_pending ON feedback (pending) WHERE pending;
CREATE TABLE IF NOT EXISTS blocked (name TEXT, artist TEXT, at TEXT NOT NULL, PRIMARY KEY (name, artist));
CREATE TABLE IF NOT EXISTS plays (event_id TEXT PRIMARY KEY, name TEXT NOT NULL, track_id TEXT NOT NULL, event TEXT NOT NULL,
    position_s REAL, at TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS plays_of ON plays (name, at);
"""


class FeedbackStore:
    """The tables of the ledger about listeners; every method is safe to call from any thread."""

    def __init__(self, ledger: Database) -> None:
        self._database = ledger
        ledger.create_tables(_SCHEMA)

    def rate(self, name: str, track_id: str, liked: bool | None) -> None:
        """Keep that a track is liked, disliked or (None) neither any more."""
        with self._database.transaction() as change:
            row = (name, track_id, liked, utc_now())
            change.execute("INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?, 1)", row)

    def ratings(self, name: str) -> dict[str, bool]:
        """Return what a listener likes (True) and dislikes (False), the latest first."""
        statement = (
            "SELECT track_id, liked FROM feedback WHERE name = ? AND liked IS NOT NULL ORDER BY at DESC"
        )
        return {track_id: bool(liked) for track_id, liked in self._database.fetch_all(statement, name)}

    def rating_times(self, name: str) -> dict[str, str]:
        """Return when each liked track was, ISO 8601."""
        return dict(
            self._database.fetch_all("SELECT track_id, at FROM feedback WHERE name = ? AND liked = 1", name)
        )

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
            for name, track_id, liked, at in self._database.fetch_all(statement, most)
        ]

    def mark_synced(self, documents: list[dict[str, Any]]) -> None:
        """Take note of what MongoDB has been told, unless it has changed meanwhile."""
        with self._database.transaction() as change:
            for document in documents:
                key = (document["user_id"], document["track_id"], document["at"].isoformat())
                change.execute(
                    "UPDATE feedback SET pending = 0 WHERE name = ? AND track_id = ? AND at = ?", key
                )

    def mark_all_pending(self) -> None:
        """Make every like pending: MongoDB has lost them."""
        with self._database.transaction() as change:
            change.execute("UPDATE feedback SET pending = 1")

    def block(self, name: str, artist: str, blocked: bool) -> None:
        """Never play an artist to a listener, or (False) do so again."""
        with self._database.transaction() as change:
            if blocked:
                change.execute("INSERT OR REPLACE INTO blocked VALUES (?, ?, ?)", (name, artist, utc_now()))
            else:
                change.execute("DELETE FROM blocked WHERE name = ? AND artist = ?", (name, artist))

    def blocked(self, name: str) -> list[str]:
        """Return the artists never to play to a listener."""
        return [
            artist
            for (artist,) in self._database.fetch_all(
                "SELECT artist FROM blocked WHERE name = ? ORDER BY artist", name
            )
        ]

    def record_play(self, event: dict[str, Any]) -> None:
        """Keep a play event for the listener's history; the same event twice is one."""
        row = tuple(
            event[name] for name in ("event_id", "user_id", "track_id", "event", "position_s", "played_at")
        )
        with self._database.transaction() as change:
            change.execute("INSERT OR IGNORE INTO plays VALUES (?, ?, ?, ?, ?, ?)", row)
            if time.time_ns() % 100 == 0:  # now and then is often enough
                statement = (
                    "DELETE FROM plays WHERE name = ?1 AND at < (SELECT at FROM plays WHERE name = ?1 "
                    "ORDER BY at DESC LIMIT 1 OFFSET ?2)"
                )
                change.execute(statement, (event["user_id"], _MAX_KEPT_PLAYS))

    def history(self, name: str, *, most: int, before: str | None = None) -> list[dict[str, Any]]:
        """Return a listener's latest plays, one row for each start and what became of it, the latest first."""
        statement = (
            "SELECT track_id, event, position_s, at FROM plays WHERE name = ? AND event IN ('started', 'finished', "
            "'skipped') AND at < ? ORDER BY at DESC LIMIT ?"
        )
        rows = self._database.fetch_all(statement, name, before or "9999", 2 * most)
        return _merged(rows)[:most]

    def play_counts(self, name: str) -> dict[str, int]:
        """Return how often each track was finished by a listener."""
        statement = (
            "SELECT track_id, COUNT(*) FROM plays WHERE name = ? AND event = 'finished' GROUP BY track_id"
        )
        return dict(self._database.fetch_all(statement, name))


def _merged(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """A start just before the end of the same track says nothing more."""
    found: list[dict[str, Any]] = []
    for track_id, event, position_s, at in rows:
        if (
            event == "started"
            and found
            and found[-1]["track_id"] == track_id
            and found[-1]["event"] != "started"
        ):
            found[-1]["started"] = at
            continue
        found.append({"track_id": track_id, "event": event, "position_s": position_s, "at": at})
    return found
