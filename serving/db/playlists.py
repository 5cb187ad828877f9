"""What clients store: playlists, favourite albums and artists, stars, and the play queue."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.errors import InputError
from serving.db.database import Database, utc_now

# Limits per user; a playlist is rewritten with each change.
_MAX_PLAYLISTS, _MAX_TRACKS, _MAX_TEXT = 500, 5_000, 500


class ChangedMeanwhile(InputError):
    """A change of a playlist that somebody else has changed since it was read."""


@dataclass(frozen=True)
class Playlist:
    """A user's playlist; `tracks` are track ids, `created` and `changed` ISO 8601.

    Every user may read a public one, its owner alone may change it.
    """

    playlist_id: str
    title: str
    comment: str
    tracks: tuple[str, ...]
    created: str
    changed: str
    is_public: bool = False
    owner: str = ""


_COLUMNS = "id, title, comment, tracks, created, changed, is_public, name"


@dataclass(frozen=True)
class PlayQueue:
    """A saved play queue: track ids, the current one and the position in it, by which client, and when.

    `place` is the index of the current track, from 0, if the client named it; a track may be there twice.
    """

    tracks: tuple[str, ...]
    current: str | None
    position_ms: int
    client: str
    changed: str
    place: int | None


class Playlists:
    """The tables of playlists, play queues, favourites and stars.

    Every method is safe to call from any thread.
    """

    def __init__(
        self, database: Database, on_change: Callable[[str | None], None] = lambda name: None
    ) -> None:
        """Use the tables of a database.

        `on_change` is called with the user whose playlists have changed, None if those of all users have.
        """
        self._database = database
        self._on_change = on_change

    def list_playlists(self, name: str) -> list[Playlist]:
        """Return a user's playlists, the oldest first."""
        statement = f"SELECT {_COLUMNS} FROM playlists WHERE name = ? ORDER BY created"
        return [_playlist(row) for row in self._database.fetch_all(statement, name)]

    def list_readable(self, name: str) -> list[Playlist]:
        """Return a user's playlists, the oldest first, then the public ones of the other users."""
        statement = (
            f"SELECT {_COLUMNS} FROM playlists WHERE is_public AND name != ?"
            " AND name IN (SELECT name FROM users) ORDER BY created"
        )
        others = [_playlist(row) for row in self._database.fetch_all(statement, name)]
        return [*self.list_playlists(name), *others]

    def get(self, name: str, playlist_id: str) -> Playlist | None:
        """Return a playlist of a user, or None."""
        statement = f"SELECT {_COLUMNS} FROM playlists WHERE name = ? AND id = ?"
        rows = self._database.fetch_all(statement, name, playlist_id)
        return _playlist(rows[0]) if rows else None

    def get_readable(self, name: str, playlist_id: str) -> Playlist | None:
        """Return a playlist of a user or a public one, or None."""
        return next((each for each in self.list_readable(name) if each.playlist_id == playlist_id), None)

    def create(self, name: str, title: str, tracks: Sequence[str]) -> Playlist:
        """Create a playlist. Raises InputError if it is too long, or one too many."""
        if len(self.list_playlists(name)) >= _MAX_PLAYLISTS:
            raise InputError(f"expected at most {_MAX_PLAYLISTS} playlists; delete one first")
        playlist_id = f"pl-{secrets.token_hex(8)}"
        playlist = Playlist(playlist_id, title, "", tuple(tracks), utc_now(), utc_now(), owner=name)
        self._write(name, playlist)
        return playlist

    def update(
        self,
        name: str,
        old: Playlist,
        *,
        title: str | None = None,
        comment: str | None = None,
        tracks: Sequence[str] | None = None,
        is_public: bool | None = None,
    ) -> Playlist:
        """Change a playlist's title, comment or tracks, or who may read it.

        Raises InputError if they are too long, ChangedMeanwhile if the playlist is not `old` any more.
        """
        changed = Playlist(
            old.playlist_id,
            old.title if title is None else title,
            old.comment if comment is None else comment,
            old.tracks if tracks is None else tuple(tracks),
            old.created,
            utc_now(),
            old.is_public if is_public is None else is_public,
            name,
        )
        self._write(name, changed, old)
        return changed

    def _write(self, name: str, playlist: Playlist, old: Playlist | None = None) -> None:
        if not playlist.title.strip() or max(len(playlist.title), len(playlist.comment)) > _MAX_TEXT:
            raise InputError(
                f"expected a name and a comment of at most {_MAX_TEXT} characters, found none, or longer ones"
            )
        if len(playlist.tracks) > _MAX_TRACKS:
            raise InputError(f"expected at most {_MAX_TRACKS} tracks, found {len(playlist.tracks)}")
        row = (playlist.playlist_id, name, playlist.title, playlist.comment, json.dumps(playlist.tracks))
        with self._database.transaction() as change:
            if old is not None:
                statement = "SELECT 1 FROM playlists WHERE name = ? AND id = ? AND changed = ?"
                if not change.execute(statement, (name, old.playlist_id, old.changed)).fetchone():
                    raise ChangedMeanwhile(
                        "expected the present playlist, found that it has changed meanwhile"
                    )
            change.execute(
                "INSERT OR REPLACE INTO playlists"
                " (id, name, title, comment, tracks, created, changed, is_public)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, playlist.created, playlist.changed, playlist.is_public),
            )
        was_public = old is not None and old.is_public
        self._on_change(None if playlist.is_public or was_public else name)

    def delete(self, name: str, playlist_id: str) -> bool:
        """Delete a playlist; return whether the user had it."""
        old = self.get(name, playlist_id)
        with self._database.transaction() as change:
            result = change.execute("DELETE FROM playlists WHERE name = ? AND id = ?", (name, playlist_id))
        self._on_change(None if old and old.is_public else name)
        return bool(result.rowcount)

    # --- the play queue ---

    def save_queue(
        self,
        name: str,
        tracks: Sequence[str],
        current: str | None,
        position_ms: int,
        client: str,
        place: int | None = None,
    ) -> None:
        """Save a user's play queue."""
        row = (name, json.dumps(tracks[:_MAX_TRACKS]), current, position_ms, client, utc_now(), place)
        with self._database.transaction() as change:
            change.execute(
                "INSERT OR REPLACE INTO play_queues"
                " (name, tracks, current, position_ms, client, changed, place) VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            )

    def clear_queue(self, name: str) -> None:
        """Forget a user's play queue."""
        with self._database.transaction() as change:
            change.execute("DELETE FROM play_queues WHERE name = ?", (name,))

    def load_queue(self, name: str) -> PlayQueue | None:
        """Return a user's saved play queue, or None."""
        statement = (
            "SELECT tracks, current, position_ms, client, changed, place FROM play_queues WHERE name = ?"
        )
        rows = self._database.fetch_all(statement, name)
        return PlayQueue(tuple(json.loads(rows[0][0])), *rows[0][1:]) if rows else None

    # --- favourites and stars ---

    def add_favourite(self, name: str, item_id: str) -> None:
        """Star an album or an artist; that rates none of its tracks."""
        with self._database.transaction() as change:
            change.execute("INSERT OR IGNORE INTO favourites VALUES (?, ?, ?)", (name, item_id, utc_now()))

    def remove_favourite(self, name: str, item_id: str) -> None:
        """Undo `add_favourite`."""
        with self._database.transaction() as change:
            change.execute("DELETE FROM favourites WHERE name = ? AND id = ?", (name, item_id))

    def favourites(self, name: str) -> dict[str, str]:
        """Return the ids of starred albums and artists with the time, the latest first."""
        return dict(
            self._database.fetch_all("SELECT id, at FROM favourites WHERE name = ? ORDER BY at DESC", name)
        )

    def set_stars(self, name: str, track_id: str, stars: int) -> None:
        """Set a track's 1 to 5 stars; 0 removes them."""
        with self._database.transaction() as change:
            if stars:
                change.execute("INSERT OR REPLACE INTO stars VALUES (?, ?, ?)", (name, track_id, stars))
            else:
                change.execute("DELETE FROM stars WHERE name = ? AND track_id = ?", (name, track_id))

    def stars(self, name: str) -> dict[str, int]:
        """Return the stars of every track that has any."""
        return dict(self._database.fetch_all("SELECT track_id, stars FROM stars WHERE name = ?", name))


def _playlist(row: tuple[Any, ...]) -> Playlist:
    playlist_id, title, comment, tracks, created, changed, is_public, owner = row
    return Playlist(
        playlist_id, title, comment, tuple(json.loads(tracks)), created, changed, bool(is_public), owner
    )
