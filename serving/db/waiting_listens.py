"""Listens of tracks that the collection does not have yet: they wait until it has them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from serving.db.database import Database, utc_now


@dataclass(frozen=True)
class WaitingListen:
    """A user's listen as ListenBrainz writes it; `listened_at` in seconds since 1970."""

    name: str
    listened_at: int
    artist: str
    title: str
    listen: dict[str, Any]


class WaitingListens:
    """The table of waiting listens; every method is safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, listens: Iterable[WaitingListen]) -> None:
        """Store listens, all or none; the same listen twice is one."""
        now = utc_now()
        rows = [(each.name, each.listened_at, each.artist, each.title) for each in listens]
        texts = [(json.dumps(each.listen), now) for each in listens]
        with self._database.transaction() as change:
            for row, text in zip(rows, texts, strict=True):
                change.execute("INSERT OR IGNORE INTO waiting_listens VALUES (?, ?, ?, ?, ?, ?)", row + text)

    def list_listens(self, name: str | None = None) -> list[WaitingListen]:
        """Return the listens of a user, or of all users, the oldest first."""
        statement = (
            "SELECT name, listened_at, artist, title, listen FROM waiting_listens"
            " WHERE ?1 IS NULL OR name = ?1 ORDER BY listened_at, name, artist, title"
        )
        return [
            WaitingListen(user, at, artist, title, json.loads(listen))
            for user, at, artist, title, listen in self._database.fetch_all(statement, name)
        ]

    def count(self, name: str) -> int:
        """Return how many listens of a user wait."""
        rows = self._database.fetch_all("SELECT COUNT(*) FROM waiting_listens WHERE name = ?", name)
        return int(rows[0][0])

    def remove(self, listen: WaitingListen) -> None:
        """Delete a listen: it has become a play."""
        key = (listen.name, listen.listened_at, listen.artist, listen.title)
        with self._database.transaction() as change:
            change.execute(
                "DELETE FROM waiting_listens WHERE name = ? AND listened_at = ? AND artist = ? AND title = ?",
                key,
            )
