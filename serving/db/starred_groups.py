"""Stars and ratings of albums and artists by what they are about, so that they follow when an id changes.

The id of an album or an artist is made of names: a corrected tag, or a newer rule of Segue, gives it another.
Beside each star there are the names and some tracks of what was starred.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from serving.db.database import Database

_GROUP_IDS = (
    "SELECT id FROM favourites UNION SELECT track_id FROM stars"
    " WHERE track_id LIKE 'al-%' OR track_id LIKE 'ar-%'"
)


@dataclass(frozen=True)
class Group:
    """What an id stood for: an artist, or with `album` an album, and ids of tracks of it."""

    artist: str
    album: str | None
    tracks: tuple[str, ...]


class StarredGroups:
    """The albums and artists that any user has starred or rated; safe to call from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ids(self) -> set[str]:
        """Return the ids of all starred or rated albums and artists."""
        return {group_id for (group_id,) in self._database.fetch_all(_GROUP_IDS)}

    def read(self) -> dict[str, Group]:
        """Return what is known of them, by id."""
        rows = self._database.fetch_all("SELECT id, artist, album, tracks FROM starred_groups")
        return {row[0]: Group(row[1], row[2], tuple(json.loads(row[3]))) for row in rows}

    def replace(self, moved: Mapping[str, list[str]], known: Mapping[str, Group]) -> None:
        """Move stars and ratings to other ids, and store what the ids stand for, in one transaction.

        `moved` has the ids of today by former id; what a user has given to one of them already stays. Entries
        without a star are deleted.
        """
        with self._database.transaction() as change:
            for old, new_ids in moved.items():
                for table, column in (("favourites", "id"), ("stars", "track_id")):
                    value = "at" if table == "favourites" else "stars"
                    for new in new_ids:
                        change.execute(
                            f"INSERT OR IGNORE INTO {table} (name, {column}, {value})"
                            f" SELECT name, ?, {value} FROM {table} WHERE {column} = ?",
                            (new, old),
                        )
                    change.execute(f"DELETE FROM {table} WHERE {column} = ?", (old,))
            change.executemany(
                "INSERT OR REPLACE INTO starred_groups (id, artist, album, tracks) VALUES (?, ?, ?, ?)",
                [
                    (group_id, group.artist, group.album, json.dumps(group.tracks))
                    for group_id, group in known.items()
                ],
            )
            change.execute(f"DELETE FROM starred_groups WHERE id NOT IN ({_GROUP_IDS})")
