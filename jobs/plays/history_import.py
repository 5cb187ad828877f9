"""Turn an imported history into play events.

Match listens to tracks, leave out plays that PLAYS has, count the rest.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake.storage import Lake
from jobs.plays import events, play_log
from jobs.plays.events import PlayEvent, event_id
from jobs.plays.listens import NO_USER, Listen, RejectedRow
from jobs.plays.track_matching import TrackMatcher

# Unmatched titles in the report, and titles that are counted at most, so that a dump of a million stays
# small.
_MAX_REPORTED = 200
_MAX_COUNTED = 20_000

# Events that are a whole listen; only these can be the same as a line of a history.
_LISTEN_EVENTS = ("finished", "skipped")


@dataclass
class ImportResult:
    """What became of the rows: of the listens, and of those that are none, by reason.

    Also how often each artist and title matched no track.
    """

    listens: int = 0
    sent: int = 0
    known: int = 0
    n_unmatched: int = 0
    unmatched: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    # Called with each row that is counted in `rejected`.
    store_rejected: Callable[[RejectedRow], None] | None = None

    def counts(self) -> dict[str, int | str]:
        """Return the counts for the summary line."""
        counts: dict[str, int | str] = {
            "listens": self.listens,
            "sent": self.sent,
            "there already": self.known,
            "unmatched": self.n_unmatched,
        }
        titles = self.top_unmatched()
        if titles:
            counts["top unmatched"] = f"{titles[0]['artist']} - {titles[0]['title']}"
        if self.rejected:
            counts["rejected"] = self.rejected.total()
            reasons = (f"{reason} {count}" for reason, count in self.rejected.most_common())
            counts["rejected by reason"] = "; ".join(reasons)
        return counts

    def reject(self, row: RejectedRow) -> None:
        """Count a row that is not imported, and store it."""
        self.rejected[row.reason] += 1
        if self.store_rejected is not None:
            self.store_rejected(row)

    def top_unmatched(self) -> list[dict[str, Any]]:
        """Return the unmatched titles that were played most, with their number of listens."""
        ordered = sorted(self.unmatched.items(), key=lambda item: (-item[1], item[0]))
        return [
            {"artist": artist, "title": title, "listens": count}
            for (artist, title), count in ordered[:_MAX_REPORTED]
        ]

    def add_unmatched(self, listen: Listen) -> None:
        """Count a listen that matches no track."""
        self.n_unmatched += 1
        name = (listen.artist, listen.title)
        if name in self.unmatched or len(self.unmatched) < _MAX_COUNTED:
            self.unmatched[name] += 1


class KnownPlays:
    """The listens that PLAYS has, as 64-bit hashes in a sorted array.

    16 bytes a play, whatever form its event_id has.
    """

    def __init__(self, hashes: np.ndarray) -> None:
        self._hashes = np.unique(hashes)
        self._added: set[int] = set()

    @classmethod
    def load(cls, lake: Lake, user: str | None) -> "KnownPlays":
        """Read PLAYS a day at a time; with `user` only that user's plays are remembered."""
        table = play_log.play_table(lake)
        # Pending files first: if they are compacted meanwhile they are read twice, the other way round not at
        # all.
        hashes = [_hashes_of(table.read_pending(table.pending_files()), user)]
        for day in table.partitions():
            hashes.append(_hashes_of(table.read_partitions([day]), user))
        return cls(np.concatenate(hashes))

    @classmethod
    def of_ids(cls, ids: Iterable[str]) -> "KnownPlays":
        """Return the plays with these ids."""
        return cls(np.array([_hash(each) for each in ids], dtype=np.uint64))

    def add(self, an_event_id: str) -> None:
        """Remember a play that is being sent."""
        self._added.add(_hash(an_event_id))

    def __contains__(self, an_event_id: str) -> bool:
        hashed = _hash(an_event_id)
        if hashed in self._added:
            return True
        wanted = np.uint64(hashed)
        index = np.searchsorted(self._hashes, wanted)
        return bool(index < len(self._hashes) and self._hashes[index] == wanted)


def _hashes_of(plays: pa.Table, user: str | None) -> np.ndarray:
    """Return two hashes for each listen of plays: of its event_id, and of its user, track and time."""
    where = pc.is_in(plays["event"], pa.array(_LISTEN_EVENTS))
    if user is not None:
        where = pc.and_(where, pc.equal(plays["user_id"], user))
    hashes: list[int] = []
    for play in play_log.to_events(plays.filter(where)):
        hashes.append(_hash(play.event_id))
        hashes.append(_hash(event_id(play.user_id, play.played_at, play.track_id)))
    return np.array(hashes, dtype=np.uint64)


def _hash(an_event_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(an_event_id.encode(), digest_size=8).digest())


def to_events(
    listens: Iterable[Listen],
    user: str | None,
    matcher: TrackMatcher,
    known: KnownPlays,
    result: ImportResult,
) -> Iterator[PlayEvent]:
    """Yield the events of listens that match a track and are not in PLAYS; count all listens in `result`.

    `user` overrides the name in the file. A listen without a user, or whose event would be invalid, is
    rejected.
    """
    now = datetime.now(UTC)
    for number, listen in enumerate(listens, 1):
        listener = user or listen.user
        if listener is None:
            result.reject(_rejected(listen, number, NO_USER, "expected --user, found no name in the row"))
            continue
        result.listens += 1
        track_id = matcher.match(listen.artist, listen.title, album=listen.album, mbids=listen.mbids)
        if track_id is None:
            result.add_unmatched(listen)
        elif _is_known(listen, listener, {track_id, *matcher.same_name(listen.artist, listen.title)}, known):
            result.known += 1
        else:
            event = to_play_event(listen, listener, track_id)
            try:
                events.from_fields(events.to_dict(event), now)
            except events.InvalidEvent as error:
                result.reject(_rejected(listen, number, "invalid event", str(error)))
                continue
            known.add(event.event_id)
            yield event
            result.sent += 1


def _rejected(listen: Listen, number: int, reason: str, found: str) -> RejectedRow:
    return RejectedRow("", number, reason, found, repr(listen))


def to_play_event(listen: Listen, user: str, track_id: str) -> PlayEvent:
    """Return the play event of a listen."""
    return PlayEvent(
        event_id=event_id(user, listen.started_at, track_id),
        user_id=user,
        track_id=track_id,
        event="finished" if listen.is_finished else "skipped",
        position_s=listen.played_s,
        played_at=listen.started_at,
    )


def _is_known(listen: Listen, user: str, track_ids: Iterable[str], known: KnownPlays) -> bool:
    """Whether PLAYS has the listen, of any track of its name.

    An earlier import may have matched another album's.
    """
    for track_id in track_ids:
        if any(event_id(user, start, track_id) in known for start in _possible_starts(listen)):
            return True
        if listen.ended_at is not None and _end_time_id(listen.ended_at.isoformat(), user, track_id) in known:
            return True
    return False


def _possible_starts(listen: Listen) -> list[datetime]:
    """Return the times that services write for the start of one listen: to the second, or to the minute.

    Spotify's extended history and its last year's, and two exporters of Last.fm, differ in that.
    """
    if listen.is_of_a_minute:
        return [listen.started_at + timedelta(seconds=n) for n in range(60)]
    recorded = listen.ended_at or listen.started_at
    return [listen.started_at, listen.started_at - (recorded - recorded.replace(second=0, microsecond=0))]


def _end_time_id(ended_at: str, user: str, track_id: str) -> str:
    """Return the id that Segue 0.1 gave a play of Spotify, whose end it took for its time.

    PLAYS still has them.
    """
    return hashlib.sha256(f"{user}\n{ended_at}\n{track_id}".encode()).hexdigest()[:32]
