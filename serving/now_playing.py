"""What each user plays now: as clients report it (`reportPlayback`, in memory alone), else the last start."""

import threading
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from serving.catalog import Track

if TYPE_CHECKING:
    from serving.app_state import AppState

# A start longer ago than this is not looked at; a player may have paused for a while after its start.
_MAX_TRACK_LENGTH, _PAUSE = timedelta(hours=24), timedelta(minutes=1)

# A session without a report for this long after its planned end is over, as OpenSubsonic says.
_MAX_SILENCE = timedelta(minutes=30)

# Clients per server; the oldest report goes first.
_MAX_SESSIONS = 10_000


@dataclass(frozen=True)
class Playback:
    """One client's last report: position in seconds at the time `at`, which moves at `rate` if it plays."""

    user: str
    client: str
    track_id: str
    duration_s: float
    state: str
    position_s: float
    rate: float
    at: datetime
    started_at: datetime

    def position_at(self, now: datetime) -> float:
        """Return the estimated position, seconds, not beyond the end."""
        moved = (now - self.at).total_seconds() * self.rate if self.state == "playing" else 0.0
        return min(self.duration_s, self.position_s + max(0.0, moved))

    def is_over(self, now: datetime) -> bool:
        """Return whether the session has ended, or nobody has reported for too long."""
        left_s = max(0.0, self.duration_s - self.position_s) / self.rate if self.state == "playing" else 0.0
        return self.state == "stopped" or now > self.at + timedelta(seconds=left_s) + _MAX_SILENCE


class NowPlaying:
    """The latest playback of each user's clients; every method is safe to call from any thread."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], Playback] = {}
        self._lock = threading.Lock()

    def report(self, playback: Playback) -> Playback | None:
        """Take a report; return the session that it continues, None if it starts one.

        A report of the same track continues it, unless its state is `starting`.
        """
        key = (playback.user, playback.client)
        with self._lock:
            previous = self._sessions.pop(key, None)
            if previous is not None and (
                previous.track_id != playback.track_id
                or previous.is_over(playback.at)
                or playback.state == "starting"
            ):
                previous = None
            if previous is not None:
                playback = replace(playback, started_at=previous.started_at)
            if playback.state != "stopped":
                self._sessions[key] = playback
            while len(self._sessions) > _MAX_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
        return previous

    def latest(self, now: datetime) -> list[Playback]:
        """Return the playbacks that are not over, the latest report last."""
        with self._lock:
            return [playback for playback in self._sessions.values() if not playback.is_over(now)]


@dataclass(frozen=True)
class CurrentPlay:
    """A track that is playing; `at` is its start, or the time of the client's `report` if there is one."""

    track: Track
    at: datetime
    report: Playback | None = None


def current_plays(state: "AppState", now: datetime) -> dict[str, CurrentPlay]:
    """Return what every user plays, until the end of the track."""
    by_id = state.catalog.by_id
    found: dict[str, CurrentPlay] = {}
    for row in state.feedback.latest_plays(now - _MAX_TRACK_LENGTH):
        started_at = datetime.fromisoformat(row["at"])
        track = by_id.get(row["track_id"])
        if row["event"] != "started" or track is None:
            continue
        if now - started_at < timedelta(seconds=track.duration_s) + _PAUSE:
            found[row["user"]] = CurrentPlay(track, started_at)
    for playback in state.now_playing.latest(now):
        if playback.track_id in by_id:
            found[playback.user] = CurrentPlay(by_id[playback.track_id], playback.at, playback)
    return found
