"""Forwarding of plays to ListenBrainz: each user's token, and the plays that wait to be sent.

A play is added in the transaction that writes it to the history (`FeedbackStore.record_play`), and removed
once ListenBrainz has taken it. The token is stored in clear, since ListenBrainz wants it so; no answer and no
log has it.
"""

from dataclasses import dataclass
from datetime import datetime

from serving.db.database import Database, utc_now


@dataclass(frozen=True)
class OutgoingPlay:
    """A finished play that waits; the fields are those of the event."""

    row: int
    event_id: str
    track_id: str
    position_s: float | None
    played_at: datetime


@dataclass(frozen=True)
class ForwardingStatus:
    """How many plays wait, and how many ListenBrainz has refused, with its last reason."""

    pending: int
    refused: int
    last_error: str


class Forwarding:
    """The tables of tokens and outgoing plays; every method is safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set_token(self, name: str, token: str) -> None:
        """Forward a user's plays from now on, with this token."""
        with self._database.transaction() as change:
            change.execute("INSERT OR REPLACE INTO forwarding VALUES (?, ?, ?, '')", (name, token, utc_now()))

    def remove(self, name: str) -> None:
        """Forward nothing any more, and forget what waits."""
        with self._database.transaction() as change:
            for table in ("forwarding", "outgoing_plays"):
                change.execute(f"DELETE FROM {table} WHERE name = ?", (name,))

    def token(self, name: str) -> str | None:
        """Return a user's token, or None."""
        rows = self._database.fetch_all("SELECT token FROM forwarding WHERE name = ?", name)
        return str(rows[0][0]) if rows else None

    def status(self, name: str) -> ForwardingStatus | None:
        """Return the state of a user's forwarding, None if there is none."""
        rows = self._database.fetch_all("SELECT last_error FROM forwarding WHERE name = ?", name)
        counts = "SELECT COUNT(*), COUNT(error) FROM outgoing_plays WHERE name = ?"
        ((total, refused),) = self._database.fetch_all(counts, name)
        return ForwardingStatus(total - refused, refused, rows[0][0]) if rows else None

    def users_with_pending(self) -> list[str]:
        """Return the users whose plays wait."""
        statement = (
            "SELECT DISTINCT name FROM outgoing_plays JOIN forwarding USING (name) WHERE error IS NULL"
        )
        return [name for (name,) in self._database.fetch_all(statement)]

    def pending(self, name: str, limit: int, after: int = 0) -> list[OutgoingPlay]:
        """Return a user's waiting plays, the oldest first; those that follow the row `after`."""
        statement = (
            "SELECT id, event_id, track_id, position_s, played_at FROM outgoing_plays"
            " WHERE name = ? AND error IS NULL AND id > ? ORDER BY id LIMIT ?"
        )
        return [
            OutgoingPlay(row, event_id, track_id, position_s, datetime.fromisoformat(at))
            for row, event_id, track_id, position_s, at in self._database.fetch_all(
                statement, name, after, limit
            )
        ]

    def mark_sent(self, name: str, plays: list[OutgoingPlay]) -> None:
        """Remove plays that were taken, and the user's last error."""
        with self._database.transaction() as change:
            change.executemany("DELETE FROM outgoing_plays WHERE id = ?", [(play.row,) for play in plays])
            change.execute("UPDATE forwarding SET last_error = '' WHERE name = ?", (name,))

    def mark_refused(self, play: OutgoingPlay, error: str) -> None:
        """Store why a play was refused; it is not sent again."""
        with self._database.transaction() as change:
            change.execute("UPDATE outgoing_plays SET error = ? WHERE id = ?", (error, play.row))

    def set_error(self, name: str, error: str) -> None:
        """Store why a user's plays could not be sent; they wait on."""
        with self._database.transaction() as change:
            change.execute("UPDATE forwarding SET last_error = ? WHERE name = ?", (error, name))
