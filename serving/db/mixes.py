"""The mixes of the last days: a day's mixes are chosen once, so that all clients have the same."""

import json
from dataclasses import dataclass
from datetime import date, timedelta

from serving.db.database import Database

# Days that a mix can still be opened after its own.
RETENTION_DAYS = 7


@dataclass(frozen=True)
class NamedMix:
    """A mix as clients see it; `day` is its date in UTC, ISO 8601."""

    mix_id: str
    day: str
    title: str
    comment: str
    tracks: tuple[str, ...]
    personal: bool


class MixStore:
    """The table of mixes; every method is safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, name: str, day: date) -> list[NamedMix]:
        """Return the mixes that a user has of a day, in their order."""
        statement = (
            "SELECT mix_id, day, title, comment, tracks, personal FROM mixes"
            " WHERE name = ? AND day = ? ORDER BY place"
        )
        rows = self._database.fetch_all(statement, name, day.isoformat())
        return [
            NamedMix(mix_id, at, title, comment, tuple(json.loads(tracks)), bool(personal))
            for mix_id, at, title, comment, tracks, personal in rows
        ]

    def replace(self, name: str, day: date, mixes: list[NamedMix]) -> None:
        """Store a user's mixes of a day instead of those stored before, and delete those of last week."""
        with self._database.transaction() as change:
            change.execute(
                "DELETE FROM mixes WHERE name = ? AND (day = ? OR day < ?)",
                (name, day.isoformat(), (day - timedelta(days=RETENTION_DAYS)).isoformat()),
            )
            for place, mix in enumerate(mixes):
                change.execute(
                    "INSERT INTO mixes VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (name, day.isoformat(), mix.mix_id, place, mix.title, mix.comment)
                    + (json.dumps(mix.tracks), mix.personal),
                )
