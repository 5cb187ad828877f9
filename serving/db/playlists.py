"""What other players keep here: playlists, favourite albums and artists, stars, and the queue to go on with elsewhere."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.errors import InputError
from serving.db.database import Database, utc_now

# Of each listener; a playlist is written anew with each change.
_MAX_PLAYLISTS, _MAX_TRACKS, _MAX_TEXT = 500, 5_000, 500

_SCHEMA = """
CREATE TABLE IF NOT EXISTS playlists (id TEXT PRIMARY KEY, name TEXT NOT NULL, title TEXT NOT NULL, comment TEXT NOT NULL,
    tracks TEXT NOT NULL, created TEXT NOT NULL, changed TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS playlists_of ON playlists (name);
CREATE TABLE IF NOT EXISTS queues (name TEXT PRIMARY KEY, tracks TEXT NOT NULL, current TEXT, position_ms INTEGER NOT NULL,
    client TEXT NOT NULL, changed TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS favourites (name TEXT, id TEXT, at TEXT NOT NULL, PRIMARY KEY (name, id));
CREATE TABLE IF NOT EXISTS stars (name TEXT, track_id TEXT, stars INTEGER NOT NULL, PRIMARY KEY (name, track_id));
"""


@dataclass(frozen=True)
class Playlist:
    """A listener's playlist; `tracks` are track ids, `created` and `changed` ISO 8601."""

    playlist_id: str
    title: str
    comment: str
    tracks: tuple[str, ...]
    created: str
    changed: str


@dataclass(frozen=True)
class PlayQueue:
    """What a player was about to play: track ids, the current one of them and how far, who has said so and when."""

    tracks: tuple[str, ...]
    current: str | None
    position_ms: int
    client: str
    changed: str


class Playlists:
    """The tables of the ledger about what clients keep; every method is safe to call from any thread."""

    def __init__(self, ledger: Database) -> None:
        self._database = ledger
        ledger.create_tables(_SCHEMA)

    def list_playlists(self, name: str) -> list[Playlist]:
        """Return a listener's playlists, the oldest first."""
        statement = "SELECT id, title, comment, tracks, created, changed FROM playlists WHERE name = ? ORDER BY created"
        return [_playlist(row) for row in self._database.fetch_all(statement, name)]

    def get(self, name: str, playlist_id: str) -> Playlist | None:
        """Return a playlist of a listener's; None where the listener has no such one."""
        statement = (
            "SELECT id, title, comment, tracks, created, changed FROM playlists WHERE name = ? AND id = ?"
        )
        rows = self._database.fetch_all(statement, name, playlist_id)
        return _playlist(rows[0]) if rows else None

    def create(self, name: str, title: str, tracks: Sequence[str]) -> Playlist:
        """Make a playlist; InputError for one that is too long, or one too many."""
        if len(self.list_playlists(name)) >= _MAX_PLAYLISTS:
            raise InputError(f"expected at most {_MAX_PLAYLISTS} playlists; delete one first")
        made = Playlist(f"pl-{secrets.token_hex(8)}", title, "", tuple(tracks), utc_now(), utc_now())
        self._write(name, made)
        return made

    def update(
        self,
        name: str,
        old: Playlist,
        *,
        title: str | None = None,
        comment: str | None = None,
        tracks: Sequence[str] | None = None,
    ) -> Playlist:
        """Give a playlist another title, comment or tracks; InputError where these are too long."""
        changed = Playlist(
            old.playlist_id,
            old.title if title is None else title,
            old.comment if comment is None else comment,
            old.tracks if tracks is None else tuple(tracks),
            old.created,
            utc_now(),
        )
        self._write(name, changed)
        return changed

    def _write(self, name: str, playlist: Playlist) -> None:
        if not playlist.title.strip() or max(len(playlist.title), len(playlist.comment)) > _MAX_TEXT:
            raise InputError(
                f"expected a name and a comment of at most {_MAX_TEXT} characters, found none, or longer ones"
            )
        if len(playlist.tracks) > _MAX_TRACKS:
            raise InputError(f"expected at most {_MAX_TRACKS} tracks, found {len(playlist.tracks)}")
        row = (playlist.playlist_id, name, playlist.title, playlist.comment, json.dumps(playlist.tracks))
        with self._database.transaction() as change:
            change.execute(
                "INSERT OR REPLACE INTO playlists VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*row, playlist.created, playlist.changed),
            )

    def delete(self, name: str, playlist_id: str) -> bool:
        """Delete a playlist; False where the listener has no such one."""
        with self._database.transaction() as change:
            done = change.execute("DELETE FROM playlists WHERE name = ? AND id = ?", (name, playlist_id))
        return bool(done.rowcount)

    # --- the queue ---

    def save_queue(
        self, name: str, tracks: Sequence[str], current: str | None, position_ms: int, client: str
    ) -> None:
        """Keep what a player is about to play."""
        row = (name, json.dumps(tracks[:_MAX_TRACKS]), current, position_ms, client, utc_now())
        with self._database.transaction() as change:
            change.execute("INSERT OR REPLACE INTO queues VALUES (?, ?, ?, ?, ?, ?)", row)

    def load_queue(self, name: str) -> PlayQueue | None:
        """Return what a player of the listener's was about to play last; None for nothing."""
        statement = "SELECT tracks, current, position_ms, client, changed FROM queues WHERE name = ?"
        rows = self._database.fetch_all(statement, name)
        return PlayQueue(tuple(json.loads(rows[0][0])), *rows[0][1:]) if rows else None

    # --- favourites and stars ---

    def favour(self, name: str, kept_id: str, favourite: bool) -> None:
        """Keep that an album or an artist is a favourite, or (False) no more: it says nothing of each of its tracks."""
        with self._database.transaction() as change:
            if favourite:
                change.execute(
                    "INSERT OR IGNORE INTO favourites VALUES (?, ?, ?)", (name, kept_id, utc_now())
                )
            else:
                change.execute("DELETE FROM favourites WHERE name = ? AND id = ?", (name, kept_id))

    def favourites(self, name: str) -> dict[str, str]:
        """Return the ids of favourite albums and artists with the time, the latest first."""
        return dict(
            self._database.fetch_all("SELECT id, at FROM favourites WHERE name = ? ORDER BY at DESC", name)
        )

    def set_stars(self, name: str, track_id: str, stars: int) -> None:
        """Keep a track's 1 to 5 stars; 0 takes them back."""
        with self._database.transaction() as change:
            if stars:
                change.execute("INSERT OR REPLACE INTO stars VALUES (?, ?, ?)", (name, track_id, stars))
            else:
                change.execute("DELETE FROM stars WHERE name = ? AND track_id = ?", (name, track_id))

    def stars(self, name: str) -> dict[str, int]:
        """Return the stars of each track that has some."""
        return dict(self._database.fetch_all("SELECT track_id, stars FROM stars WHERE name = ?", name))


def _playlist(row: tuple[str, ...]) -> Playlist:
    playlist_id, title, comment, tracks, created, changed = row
    return Playlist(playlist_id, title, comment, tuple(json.loads(tracks)), created, changed)
