"""Listens from ListenBrainz' API: matched to tracks as an import matches them, or waiting for their track."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from cachetools import LRUCache

from jobs.lake.schemas import PLAYS, TRACKS
from jobs.lake.storage import Lake
from jobs.plays import play_log, track_matching
from jobs.plays.events import event_id
from jobs.plays.history_rows import listenbrainz_mbids
from jobs.plays.track_matching import TrackMatcher
from serving.catalog import Catalog, Track
from serving.db.accounts import User
from serving.problems import RequestError

if TYPE_CHECKING:
    from serving.app_state import AppState

log = logging.getLogger("segue")

_PLAY_COLUMNS = ("event_id", "track_id", "position_s", "played_at")

# Users whose plays are in memory: those whose clients ask for their listens.
_MAX_USERS = 16


class ListenMatcher:
    """The matcher of the catalog's tracks; it is built once for each version of the catalog."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._built: tuple[Catalog, TrackMatcher] | None = None

    def match(self, catalog: Catalog, names: Mapping[str, Any]) -> Track | None:
        """Return the track of the catalog that a listen's `track_metadata` names, or None.

        A track without audio matches too, so that an import matches the same one; it is no track yet.
        """
        found = self._matcher(catalog).match(
            str(names["artist_name"]),
            str(names["track_name"]),
            album=str(names.get("release_name") or ""),
            mbids=listenbrainz_mbids(dict(names)),
        )
        return catalog.by_id.get(found) if found is not None else None

    def by_mbid(self, catalog: Catalog, mbid: str) -> Track | None:
        """Return the track of the catalog with MusicBrainz's id of a recording, or None."""
        found = self._matcher(catalog).match("", "", mbids=[mbid])
        return catalog.by_id.get(found) if found is not None else None

    def _matcher(self, catalog: Catalog) -> TrackMatcher:
        with self._lock:
            if self._built is None or self._built[0] is not catalog:
                rows = self._lake.read_arrow(TRACKS, *track_matching.COLUMNS).to_pylist()
                self._built = (catalog, TrackMatcher(rows))
            return self._built[1]


def play_fields(user: str, track: Track, started_at: datetime) -> dict[str, Any]:
    """Return the fields of the play event of a listen.

    The same listen from another service or an import has the same event_id.
    """
    return {
        "track_id": track.track_id,
        "event": "finished",
        "position_s": track.duration_s,
        "played_at": started_at,
        "event_id": event_id(user, started_at, track.track_id),
    }


def match_waiting(state: "AppState") -> int:
    """Accept the waiting listens whose track the collection has now; return how many.

    A listen is removed after it was accepted: if the server is killed between the two, the same event comes
    twice and counts once.
    """
    count = 0
    for waiting in state.waiting_listens.list_listens():
        track = state.listen_matcher.match(state.catalog, waiting.listen["track_metadata"])
        if track is None:
            continue
        started_at = datetime.fromtimestamp(waiting.listened_at, UTC)
        fields = play_fields(waiting.name, track, started_at)
        try:
            state.accept_play(User(waiting.name), fields, is_limited=False)
        except RequestError as error:  # no space on the disk: it waits on
            log.warning("a listen that waited could not be accepted: %s", error)
            continue
        state.waiting_listens.remove(waiting)
        count += 1
    if count:
        log.info("%d listens that waited have their track now", count)
    return count


@dataclass(frozen=True)
class Listen:
    """A listen of a user's history: when it began, and what ListenBrainz calls `track_metadata`."""

    started_at: datetime
    names: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return it as ListenBrainz writes it."""
        return {"listened_at": int(self.started_at.timestamp()), "track_metadata": self.names}


class FinishedPlays:
    """Users' finished plays in PLAYS, read once for each state of that table."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._lock = threading.Lock()
        self._read: LRUCache[str, tuple[object, pa.Table]] = LRUCache(maxsize=_MAX_USERS)

    def of(self, user: str) -> pa.Table:
        """Return `event_id`, `track_id`, `position_s` and `played_at` of a user's finished plays."""
        table = play_log.play_table(self._lake)
        version = (self._lake.version(PLAYS), tuple(table.pending_files()))
        with self._lock:
            if user not in self._read or self._read[user][0] != version:
                is_wanted = (pc.field("user_id") == user) & (pc.field("event") == "finished")
                self._read[user] = (version, table.read(*_PLAY_COLUMNS, where=is_wanted))
            return self._read[user][1]


def count_listens(state: "AppState", user: str) -> int:
    """Return how many listens `history` has."""
    plays = state.finished_plays.of(user).select(["event_id", "track_id"]).to_pydict()
    tracks = dict(zip(plays["event_id"], plays["track_id"], strict=True))
    tracks.update(state.feedback.finished_tracks(user))
    by_id = state.catalog.by_id
    n_plays = sum(track_id in by_id for track_id in tracks.values())
    return n_plays + state.waiting_listens.count(user)


def history(state: "AppState", user: str) -> list[Listen]:
    """Return every listen of a user, the latest first: of PLAYS, of the server's own history, and waiting.

    Plays of tracks that have left the collection are left out: nothing names them.
    """
    rows = {row["event_id"]: row for row in state.finished_plays.of(user).to_pylist()}
    for row in state.feedback.finished_plays(user):
        rows.setdefault(row["event_id"], row)
    by_id = state.catalog.by_id
    tracks = state.catalog.by_ids(dict.fromkeys(row["track_id"] for row in rows.values()))
    mbids = recording_mbids(state.catalog, tracks)
    names = {track.track_id: track_metadata(track, mbid) for track, mbid in zip(tracks, mbids, strict=True)}
    found = [
        Listen(listen_start(user, row), names[row["track_id"]])
        for row in rows.values()
        if row["track_id"] in by_id
    ]
    for waiting in state.waiting_listens.list_listens(user):
        at = datetime.fromtimestamp(waiting.listened_at, UTC)
        found.append(Listen(at, waiting.listen["track_metadata"]))
    return sorted(found, key=lambda listen: listen.started_at, reverse=True)


def listen_start(user: str, play: Mapping[str, Any]) -> datetime:
    """Return when a finished play began.

    `played_at` says so for a listen from another service, whose id is made of it; the player's own events
    have the time of the end.
    """
    played_at: datetime = play["played_at"]
    played_at = played_at if played_at.tzinfo else played_at.replace(tzinfo=UTC)
    if play["event_id"] == event_id(user, played_at, play["track_id"]):
        return played_at
    return datetime.fromtimestamp(played_at.timestamp() - (play["position_s"] or 0.0), UTC)


def recording_mbids(catalog: Catalog, tracks: Sequence[Track]) -> list[str | None]:
    """Return MusicBrainz's ids of the recordings of tracks; None where no tag has one."""
    return [row["recording_mbid"] for row in catalog.details.rows([track.row for track in tracks])]


def track_metadata(track: Track, mbid: str | None) -> dict[str, Any]:
    """Return a track as ListenBrainz' `track_metadata`."""
    info = {
        "duration_ms": round(1000 * track.duration_s),
        "media_player": "Segue",
        "submission_client": "Segue",
        "recording_mbid": mbid,
    }
    info = {name: value for name, value in info.items() if value is not None}
    names = {"artist_name": track.artist, "track_name": track.title, "release_name": track.album}
    return {**{key: value for key, value in names.items() if value}, "additional_info": info}
