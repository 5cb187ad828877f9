"""Forwarding of plays to ListenBrainz and Last.fm: users' tokens, and the plays that wait to be sent.

A play is added in the transaction that writes it to the history (`FeedbackStore.record_play`), once for each
service, and removed once that service has taken it. A token (of Last.fm: a session key) is stored in clear,
since the service wants it so; no answer and no log has it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from serving.db.database import Database, utc_now


class Destination(NamedTuple):
    """A user, and the service that the user's plays go to: "listenbrainz" or "lastfm"."""

    name: str
    service: str


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
    """How many plays wait, and how many the service has refused, with its last reason."""

    pending: int
    refused: int
    last_error: str


class Forwarding:
    """The tables of tokens and outgoing plays; every method is safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set_token(self, to: Destination, token: str) -> None:
        """Forward a user's plays from now on, with this token; what waits is kept."""
        with self._database.transaction() as change:
            change.execute(
                "INSERT OR REPLACE INTO forwarding VALUES (?, ?, ?, ?, '')", (*to, token, utc_now())
            )

    def remove(self, to: Destination) -> None:
        """Forward nothing any more, and forget what waits."""
        with self._database.transaction() as change:
            for table in ("forwarding", "outgoing_plays"):
                change.execute(f"DELETE FROM {table} WHERE name = ? AND service = ?", to)

    def token(self, to: Destination) -> str | None:
        """Return the token of a destination, or None."""
        statement = "SELECT token FROM forwarding WHERE name = ? AND service = ?"
        rows = self._database.fetch_all(statement, *to)
        return str(rows[0][0]) if rows else None

    def services(self, name: str) -> list[str]:
        """Return the services that a user's plays go to."""
        rows = self._database.fetch_all("SELECT service FROM forwarding WHERE name = ?", name)
        return [service for (service,) in rows]

    def status(self, to: Destination) -> ForwardingStatus | None:
        """Return the state of a destination, None if nothing is forwarded there."""
        statement = "SELECT last_error FROM forwarding WHERE name = ? AND service = ?"
        rows = self._database.fetch_all(statement, *to)
        counts = "SELECT COUNT(*), COUNT(error) FROM outgoing_plays WHERE name = ? AND service = ?"
        ((total, refused),) = self._database.fetch_all(counts, *to)
        return ForwardingStatus(total - refused, refused, rows[0][0]) if rows else None

    def with_pending(self) -> list[Destination]:
        """Return the destinations that plays wait for."""
        statement = (
            "SELECT DISTINCT name, service FROM outgoing_plays JOIN forwarding USING (name, service)"
            " WHERE error IS NULL"
        )
        return [Destination(*row) for row in self._database.fetch_all(statement)]

    def pending(self, to: Destination, limit: int, after: int = 0) -> list[OutgoingPlay]:
        """Return plays that wait for a destination, the oldest first; those that follow the row `after`."""
        statement = (
            "SELECT id, event_id, track_id, position_s, played_at FROM outgoing_plays"
            " WHERE name = ? AND service = ? AND error IS NULL AND id > ? ORDER BY id LIMIT ?"
        )
        return [
            OutgoingPlay(row, event_id, track_id, position_s, datetime.fromisoformat(at))
            for row, event_id, track_id, position_s, at in self._database.fetch_all(
                statement, *to, after, limit
            )
        ]

    def mark_sent(self, to: Destination, plays: list[OutgoingPlay]) -> None:
        """Remove plays that were taken, and the last error."""
        with self._database.transaction() as change:
            change.executemany("DELETE FROM outgoing_plays WHERE id = ?", [(play.row,) for play in plays])
            change.execute("UPDATE forwarding SET last_error = '' WHERE name = ? AND service = ?", to)

    def mark_refused(self, play: OutgoingPlay, error: str) -> None:
        """Store why a play was refused; it is not sent again."""
        with self._database.transaction() as change:
            change.execute("UPDATE outgoing_plays SET error = ? WHERE id = ?", (error, play.row))

    def set_error(self, to: Destination, error: str) -> None:
        """Store why plays could not be sent; they wait on."""
        with self._database.transaction() as change:
            statement = "UPDATE forwarding SET last_error = ? WHERE name = ? AND service = ?"
            change.execute(statement, (error, *to))
