"""Users' likes and dislikes, blocked artists and latest plays.

This database has them first; MongoDB's `feedback` follows (`pending`).
"""

from datetime import datetime
from typing import Any

from serving.db.database import Database, utc_now

# Plays in a user's history; PLAYS has all of them.
_MAX_HISTORY = 2_000

# A finished play of a user who forwards waits to be sent, once for each service.
_FORWARD = (
    "INSERT OR IGNORE INTO outgoing_plays (name, service, event_id, track_id, position_s, played_at)"
    " SELECT name, service, :event_id, :track_id, :position_s, :at FROM forwarding WHERE name = :user_id"
)

# Rows between two prunings.
_PRUNE_EVERY = 100


class FeedbackStore:
    """The tables of likes, blocked artists and plays; every method is safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def rate(self, name: str, track_id: str, liked: bool | None) -> None:
        """Store that a track is liked (True), disliked (False) or neither any more (None)."""
        with self._database.transaction() as change:
            row = (name, track_id, liked, utc_now())
            change.execute("INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?, 1)", row)

    def ratings(self, name: str) -> dict[str, bool]:
        """Return the tracks a user likes (True) and dislikes (False), the latest first."""
        statement = (
            "SELECT track_id, liked FROM feedback WHERE name = ? AND liked IS NOT NULL ORDER BY at DESC"
        )
        return {track_id: bool(liked) for track_id, liked in self._database.fetch_all(statement, name)}

    def rating_times(self, name: str) -> dict[str, str]:
        """Return when each liked track was liked, ISO 8601."""
        return dict(
            self._database.fetch_all("SELECT track_id, at FROM feedback WHERE name = ? AND liked = 1", name)
        )

    def pending(self, limit: int = 500) -> list[dict[str, Any]]:
        """Return ratings not yet in MongoDB, as documents of `feedback`."""
        statement = "SELECT name, track_id, liked, at FROM feedback WHERE pending LIMIT ?"
        return [
            {
                "_id": f"{name}:{track_id}",
                "user_id": name,
                "track_id": track_id,
                "liked": None if liked is None else bool(liked),
                "at": datetime.fromisoformat(at),
            }
            for name, track_id, liked, at in self._database.fetch_all(statement, limit)
        ]

    def mark_synced(self, documents: list[dict[str, Any]]) -> None:
        """Mark ratings as written to MongoDB, unless they have changed meanwhile."""
        with self._database.transaction() as change:
            for document in documents:
                key = (document["user_id"], document["track_id"], document["at"].isoformat())
                change.execute(
                    "UPDATE feedback SET pending = 0 WHERE name = ? AND track_id = ? AND at = ?", key
                )

    def mark_all_pending(self) -> None:
        """Mark every rating as pending: MongoDB has lost them."""
        with self._database.transaction() as change:
            change.execute("UPDATE feedback SET pending = 1")

    def block(self, name: str, artist: str) -> None:
        """Recommend and play nothing of an artist to a user any more."""
        with self._database.transaction() as change:
            change.execute("INSERT OR REPLACE INTO blocked VALUES (?, ?, ?)", (name, artist, utc_now()))

    def unblock(self, name: str, artist: str) -> None:
        """Undo `block`."""
        with self._database.transaction() as change:
            change.execute("DELETE FROM blocked WHERE name = ? AND artist = ?", (name, artist))

    def blocked(self, name: str) -> list[str]:
        """Return the names of the artists a user has blocked."""
        return [
            artist
            for (artist,) in self._database.fetch_all(
                "SELECT artist FROM blocked WHERE name = ? ORDER BY artist", name
            )
        ]

    def record_play(self, event: dict[str, Any]) -> None:
        """Add a play event to the user's history; the same event twice is one.

        Every 100th row prunes the history to its latest plays.
        """
        row = tuple(
            event[name] for name in ("event_id", "user_id", "track_id", "event", "position_s", "played_at")
        )
        with self._database.transaction() as change:
            inserted = change.execute("INSERT OR IGNORE INTO plays VALUES (?, ?, ?, ?, ?, ?)", row)
            if inserted.rowcount and event["event"] == "finished":
                change.execute(_FORWARD, {**event, "at": event["played_at"]})
            if inserted.rowcount and inserted.lastrowid and inserted.lastrowid % _PRUNE_EVERY == 0:
                statement = (
                    "DELETE FROM plays WHERE name = ?1 AND at < (SELECT at FROM plays WHERE name = ?1 "
                    "ORDER BY at DESC LIMIT 1 OFFSET ?2)"
                )
                change.execute(statement, (event["user_id"], _MAX_HISTORY))

    def history(self, name: str, *, limit: int, before: str | None = None) -> list[dict[str, Any]]:
        """Return a user's latest plays, the latest first: one row per start, with how it ended."""
        statement = (
            "SELECT track_id, event, position_s, at FROM plays WHERE name = ? AND event IN ('started', "
            "'finished', 'skipped') AND at < ? ORDER BY at DESC LIMIT ?"
        )
        rows = self._database.fetch_all(statement, name, before or "9999", 2 * limit)
        return _merge_starts(rows)[:limit]

    def finished_plays(self, name: str) -> list[dict[str, Any]]:
        """Return a user's finished plays that the history still has, as rows of PLAYS."""
        statement = (
            "SELECT event_id, track_id, position_s, at FROM plays WHERE name = ? AND event = 'finished'"
        )
        return [
            {
                "event_id": event_id,
                "track_id": track_id,
                "position_s": position_s,
                "played_at": datetime.fromisoformat(at),
            }
            for event_id, track_id, position_s, at in self._database.fetch_all(statement, name)
        ]

    def finished_tracks(self, name: str) -> dict[str, str]:
        """Return the track of each of these plays, by event_id."""
        statement = "SELECT event_id, track_id FROM plays WHERE name = ? AND event = 'finished'"
        return dict(self._database.fetch_all(statement, name))

    def latest_plays(self, since: datetime) -> list[dict[str, Any]]:
        """Return each user's latest play since a time: user, track_id, event and ISO 8601 `at`."""
        statement = (
            "SELECT name, track_id, event, MAX(at) FROM plays"
            " WHERE at > ? AND event IN ('started', 'finished', 'skipped') GROUP BY name"
        )
        names = ("user", "track_id", "event", "at")
        rows = self._database.fetch_all(statement, since.isoformat())
        return [dict(zip(names, row, strict=True)) for row in rows]

    def play_counts(self, name: str) -> dict[str, int]:
        """Return how often a user has finished each track."""
        statement = (
            "SELECT track_id, COUNT(*) FROM plays WHERE name = ? AND event = 'finished' GROUP BY track_id"
        )
        return dict(self._database.fetch_all(statement, name))

    def last_plays(self, name: str) -> dict[str, str]:
        """Return when the user has finished each track last, ISO 8601."""
        statement = (
            "SELECT track_id, MAX(at) FROM plays WHERE name = ? AND event = 'finished' GROUP BY track_id"
        )
        return dict(self._database.fetch_all(statement, name))


def _merge_starts(rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Merge each start with the end of the same track that follows it."""
    merged: list[dict[str, Any]] = []
    for track_id, event, position_s, at in rows:
        if (
            event == "started"
            and merged
            and merged[-1]["track_id"] == track_id
            and merged[-1]["event"] != "started"
        ):
            merged[-1]["started"] = at
            continue
        merged.append({"track_id": track_id, "event": event, "position_s": position_s, "at": at})
    return merged
