"""What the stream does with a batch of messages: reject, keep, apply, recommend. Plain Python; Spark only brings the batch.

In this order, so that a kill between any two lines, and the same batch again, change nothing in the result:

    bad messages   to plays.rejected, with where they came from; what is there already is not sent again
    PLAYS          one file per batch, named by its offsets
    plays          inserted by event_id; an id that came from elsewhere before is a repetition, and counts no more
    profiles       changed only by offsets beyond the last one applied
    recommendations, feedback, what was reached: written from the profile, so the same each time
"""

import json
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs import catalogues, events, history, mongo, profiles, ranking
from jobs.errors import StepError
from jobs.storage import Lake
from jobs.tables import EMBEDDINGS, PLAYS, TOGETHER, TRACKS

log = logging.getLogger("segue")

# Listeners, and plays, that a repair holds at once; how many of the latest plays a store may have lost the lists of.
_REPAIRED, _LATEST = 5_000, 10_000


@dataclass(frozen=True)
class Message:
    """One message of Kafka's: where it is, when the broker took it (UTC), what it says."""

    partition: int
    offset: int
    timestamp: datetime
    value: bytes


@dataclass(frozen=True)
class Rejected:
    """A message that is no play, and why."""

    message: Message
    error: str


@dataclass
class Counts:
    """What a batch came to."""

    events: int = 0
    rejected: int = 0
    repeated: int = 0
    users: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def origin(topic_id: str, partition: int) -> str:
    """Return how PLAYS and profiles call a partition of `plays`: a topic made anew begins at offset 0, under another name."""
    return f"plays-{partition}@{topic_id[:8]}"


def split(
    messages: Iterable[Message], known: frozenset[str] | set[str], topic_id: str
) -> tuple[list[dict[str, Any]], list[Rejected]]:
    """Return the events of messages, each with origin and offset, and the messages that are none or of no known track.

    The broker's time stands for now, so that a message is judged alike whenever it is read.
    """
    good, bad = [], []
    for message in sorted(messages, key=lambda m: (m.partition, m.offset)):
        try:
            event = events.parse(message.value, message.timestamp)
            if event["track_id"] not in known:
                raise events.BadEvent(f"track_id: expected a track of TRACKS, found {ascii(event['track_id'])[:60]}")
            good.append({**event, "origin": origin(topic_id, message.partition), "offset": message.offset})
        except events.BadEvent as error:
            bad.append(Rejected(message, str(error)))
    return good, bad


def file_name(topic_id: str, messages: Sequence[Message]) -> str:
    """Return the name of a batch's file of PLAYS: the same offsets, the same name."""
    partitions = sorted({message.partition for message in messages})
    ranges = []
    for partition in partitions:
        offsets = [m.offset for m in messages if m.partition == partition]
        ranges.append(f"{partition}.{min(offsets)}.{max(offsets)}")
    return f"{topic_id[:8]}-{'-'.join(ranges)}"


class Shelf:
    """What is known of tracks: all ids, and the champion's catalogue. Looks again only where something is new."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._tracks: tuple[Path | None, set[str]] = (None, set())
        self._catalogue: tuple[Any, ranking.Catalogue | None] = (None, None)

    def known(self) -> set[str]:
        """Return the ids of TRACKS."""
        version = self._lake.version(TRACKS)
        if version != self._tracks[0]:
            ids = self._lake.arrow(TRACKS, "track_id")["track_id"].to_pylist()
            self._tracks = (version, set(ids))
        return self._tracks[1]

    def catalogue(self, settings: dict[str, mongo.Document]) -> ranking.Catalogue | None:
        """Return the catalogue of the champion that `settings` names; None before the first."""
        champion = settings.get("champion")
        if champion is None:
            return self._catalogue[1]
        blend = ranking.Blend(**settings.get("blend", {}).get("weights", {}))
        tables = tuple(map(self._lake.version, (EMBEDDINGS, TRACKS, TOGETHER)))
        found = (champion["model_version"], champion["digest"], blend, tables)
        if found != self._catalogue[0]:
            try:
                self._catalogue = (found, catalogues.load(self._lake, champion["model_version"], blend))
                log.info("model version %s, %d tracks", champion["model_version"], len(self._catalogue[1].ids))
            except StepError as error:  # a store beside a lake that has lost its tables; the one before serves on
                log.warning("%s", error)
        return self._catalogue[1]


def apply(database: Any, shelf: Shelf, plays: Sequence[dict[str, Any]], counts: Counts) -> None:
    """Bring plays, in the order of their offsets, to MongoDB: plays, profiles, recommendations, feedback."""
    begun = time.monotonic()
    fresh = _insert(database, plays)
    counts.repeated += len(plays) - len(fresh)
    counts.seconds["plays"] = time.monotonic() - begun
    users = sorted({play["user_id"] for play in plays})
    known = {document["_id"]: document for document in mongo.find(database["profiles"], users)}
    changed = [known.get(user) or profiles.empty(user) for user in users]
    by_user = {profile["_id"]: profile for profile in changed}
    felt: dict[str, mongo.Document] = {}
    for play in plays:
        profile = by_user[play["user_id"]]
        if (play["origin"], play["offset"]) in fresh:
            profiles.apply(profile, play, play["origin"], play["offset"])
        else:
            profiles.skip(profile, play["origin"], play["offset"])
        if play["event"] in ("liked", "disliked"):
            felt |= {document["_id"]: document for document in profiles.feedback(profile, play["track_id"])}
    begun = time.monotonic()
    mongo.upsert(database["profiles"], changed)
    counts.seconds["profiles"] = time.monotonic() - begun
    counts.users += len(users)
    recommend(database, shelf, changed, counts)
    mongo.merge(database["feedback"], felt.values())


def recommend(database: Any, shelf: Shelf, changed: Sequence[profiles.Profile], counts: Counts) -> None:
    """Write the recommendations of profiles, by the model that is online now."""
    catalogue = shelf.catalogue({document["_id"]: document for document in mongo.find(database["settings"], _SETTINGS)})
    if catalogue is None:
        return
    begun = time.monotonic()
    made = [document(catalogue, profile) for profile in changed]
    counts.seconds["ranking"] = time.monotonic() - begun
    begun = time.monotonic()
    mongo.upsert(database["recommendations"], made)
    counts.seconds["recommendations"] = time.monotonic() - begun


_SETTINGS = ("champion", "blend")


def document(catalogue: ranking.Catalogue, profile: profiles.Profile) -> mongo.Document:
    """Return the document of `recommendations`; it tells as of which play, not when it was computed."""
    return {
        "_id": profile["_id"],
        "model_version": catalogue.model_version,
        "as_of": profile["at"],
        "offsets": profile["offsets"],
        "items": ranking.recommend(catalogue, profile),
    }


def _insert(database: Any, plays: Sequence[dict[str, Any]]) -> set[tuple[str, int]]:
    """Insert plays that are not there; return origin and offset of those that count: the first of each event_id."""
    first: dict[str, dict[str, Any]] = {}
    for play in plays:
        first.setdefault(play["event_id"], play)
    documents = [{"_id": event_id, **play} for event_id, play in first.items()]
    there = {d["_id"]: (d["origin"], d["offset"]) for d in mongo.insert_new(database["plays"], documents)}
    mine = {event_id: (play["origin"], play["offset"]) for event_id, play in first.items()}
    return {where for event_id, where in mine.items() if there.get(event_id, where) == where}


def repair(database: Any, shelf: Shelf, lake: Lake) -> int:
    """Bring profiles and lists that are behind PLAYS up to it, from PLAYS; return of how many listeners.

    Behind is what a store that lost its latest writes, or came back from a backup, has; or all where it is empty.
    """
    expected = history.last_offsets(lake)
    there = {d["_id"]: d["offsets"] for d in database["profiles"].find({}, {"offsets": 1})}
    behind = sorted(user for user, offsets in expected.items() if _is_behind(there.get(user, {}), offsets))
    plays = history.read(lake) if behind else pa.table({})
    for first in range(0, len(behind), _REPAIRED):
        some = behind[first : first + _REPAIRED]
        own = plays.filter(pc.is_in(plays["user_id"], pa.array(some)))
        made = {user: profiles.empty(user) for user in some}
        for batch in own.to_batches(max_chunksize=_REPAIRED):
            rows = batch.to_pylist()
            mongo.upsert(database["plays"], ({"_id": play["event_id"], **play} for play in rows))
            for play in rows:
                profiles.add(made[play["user_id"]], play)
        for user, profile in made.items():
            profile["offsets"] = expected[user]
        mongo.upsert(database["profiles"], made.values())
        _derive(database, shelf, list(made.values()))
    return len(behind) + _repair_lists(database, shelf, expected, set(behind))


def _repair_lists(database: Any, shelf: Shelf, expected: dict[str, dict[str, int]], done: set[str]) -> int:
    """Make the lists again that a store lost after their profiles were written: of the latest plays, if of any."""
    if database["settings"].find_one({"_id": "champion"}) is None:
        return 0  # nobody has a list before there is a model
    ends: dict[str, int] = {}
    for offsets in expected.values():
        for origin, offset in offsets.items():
            ends[origin] = max(offset, ends.get(origin, -1))
    late = sorted(
        user
        for user, offsets in expected.items()
        if user not in done and any(offset > ends[origin] - _LATEST for origin, offset in offsets.items())
    )
    lists = {d["_id"]: d.get("offsets", {}) for d in mongo.find(database["recommendations"], late)}
    stale = [user for user in late if _is_behind(lists.get(user, {}), expected[user])]
    _derive(database, shelf, list(mongo.find(database["profiles"], stale)))
    return len(stale)


def _derive(database: Any, shelf: Shelf, made: list[profiles.Profile]) -> None:
    """Write what follows from profiles: feedback and lists."""
    for profile in made:
        ids = [track["track_id"] for track in profile["tracks"]]
        mongo.merge(database["feedback"], (each for i in ids for each in profiles.feedback(profile, i)))
    recommend(database, shelf, made, Counts())


def _is_behind(has: dict[str, int], expected: dict[str, int]) -> bool:
    return any(has.get(origin, -1) < offset for origin, offset in expected.items())


def rejection_headers(rejected: Rejected, upto: dict[str, int]) -> list[tuple[str, bytes]]:
    """Return the headers of a message of plays.rejected: why, whence, and the last offset rejected of every origin."""
    message = rejected.message
    return [
        ("error", rejected.error.encode()),
        ("origin", f"plays-{message.partition}-{message.offset}".encode()),
        ("received", message.timestamp.astimezone(UTC).isoformat().encode()),
        ("upto", json.dumps(upto).encode()),
    ]


def keep(lake: Lake, topic_id: str, messages: Sequence[Message], plays: Sequence[dict[str, Any]]) -> None:
    """Add a batch's plays to PLAYS."""
    if plays:
        lake.append(PLAYS, file_name(topic_id, messages), history.rows(plays))
