"""Process one micro-batch: dead letters, PLAYS, profiles, recommendations.

Plain Python, in the stream's own process or on Spark's executors (`processing.py`). The steps run in this
order, so that a kill between any two of them, and the same batch again, changes nothing in the result:

    dead letters     to plays.rejected; a message that is there already is not sent again
    PLAYS            one file per batch, named by its offsets
    plays            inserted by event_id; an id that is there from another offset is a duplicate
    profiles         changed only by offsets beyond the last one applied
    recommendations  and feedback: written from the profile, so the same each time
    offsets          how far the store has come: written last

On executors profiles, lists and feedback are replaced unless the stored one is newer (`fenced`): a task that
Spark takes for lost may still write when later batches are done.
"""

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from jobs.lake.storage import Lake
from jobs.online import mongo, state
from jobs.plays import events, play_log
from jobs.plays.events import LoggedPlay
from jobs.recommender import profiles, ranking
from jobs.recommender.item_catalog import ItemCatalog
from jobs.streaming.background_writer import BackgroundWriter
from jobs.streaming.catalog_cache import CatalogCache

log = logging.getLogger("segue")

# Characters of the offsets in a batch's file name; a file system takes 255 bytes in all.
_MAX_NAME_LENGTH = 150

# Lists that are handed to the store at a time, while the next ones are ranked.
_LISTS_PER_WRITE = 250

# State documents that the ranking needs.
_RANKING_STATE = (state.CHAMPION, state.RANKING_WEIGHTS)

# The state document with the offset of each origin up to which the store has everything.
OFFSETS_ID = "stream"

# Origin and offset of a message.
Place = tuple[str, int]


@dataclass(frozen=True)
class Message:
    """One message of Kafka's topic `plays`."""

    partition: int
    offset: int
    timestamp: datetime  # when the broker took it, UTC
    value: bytes  # cut to events.MAX_BYTES: longer ones are invalid anyway
    size: int  # bytes of the whole message


@dataclass(frozen=True)
class DeadLetter:
    """A message that is no valid play, with the reason."""

    message: Message
    error: str


@dataclass
class BatchStats:
    """Counts over batches, and the seconds that the parts of the last batch took."""

    events: int = 0
    rejected: int = 0
    repeated: int = 0
    users: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def to_messages(rows: pa.Table | pa.RecordBatch) -> list[Message]:
    """Return the rows of the query over Kafka as messages."""
    columns = [rows[name].to_pylist() for name in ("partition", "offset", "timestamp", "value", "size")]
    messages = []
    for partition, offset, timestamp, value, size in zip(*columns, strict=True):
        utc = timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)
        messages.append(Message(partition, offset, utc, value or b"", size or 0))
    return messages


def source_partition(topic_id: str, partition: int) -> str:
    """Return the `origin` of a partition of `plays`.

    It names the topic's id: a new topic begins at offset 0 again.
    """
    return f"plays-{partition}@{topic_id[:8]}"


def validate(
    messages: Iterable[Message], track_ids: frozenset[str] | set[str], topic_id: str
) -> tuple[list[LoggedPlay], list[DeadLetter]]:
    """Split messages into plays of known tracks and dead letters, each in the order of partition and offset.

    The broker's timestamp is taken as now, so that the result does not depend on when the message is read.
    """
    plays, dead_letters = [], []
    for message in sorted(messages, key=lambda m: (m.partition, m.offset)):
        try:
            event = events.parse(message.value, message.timestamp, message.size)
            if event.track_id not in track_ids:
                raise events.InvalidEvent(
                    f"track_id: expected a track of TRACKS, found {ascii(event.track_id)[:60]}"
                )
        except events.InvalidEvent as error:
            dead_letters.append(DeadLetter(message, str(error)))
        else:
            origin = source_partition(topic_id, message.partition)
            plays.append(LoggedPlay(event, origin, message.offset))
    return plays, dead_letters


def offset_ranges(messages: Iterable[Message]) -> dict[int, tuple[int, int]]:
    """Return the first and the last offset of each partition."""
    ranges: dict[int, tuple[int, int]] = {}
    for message in messages:
        first, last = ranges.get(message.partition, (message.offset, message.offset))
        ranges[message.partition] = (min(first, message.offset), max(last, message.offset))
    return ranges


def batch_file_name(topic_id: str, ranges: Mapping[int, tuple[int, int]]) -> str:
    """Return the name of a batch's file in PLAYS: the same offsets give the same name.

    Many partitions are hashed.
    """
    name = "-".join(f"{partition}.{first}.{last}" for partition, (first, last) in sorted(ranges.items()))
    if len(name) > _MAX_NAME_LENGTH:
        name = hashlib.sha256(name.encode()).hexdigest()
    return f"{topic_id[:8]}-{name}"


def append_plays(lake: Lake, topic_id: str, ranges: Mapping[int, tuple[int, int]], plays: pa.Table) -> None:
    """Append a batch's plays, rows of PLAYS, to that table."""
    if len(plays):
        play_log.play_table(lake).append(batch_file_name(topic_id, ranges), plays)


def apply_plays(
    database: Any, catalog_cache: CatalogCache, plays: Sequence[LoggedPlay], stats: BatchStats
) -> None:
    """Write plays, in the order of their offsets, to MongoDB.

    Plays, profiles, recommendations, feedback, offsets.
    """
    catalog = catalog_cache.item_catalog(ranking_state(database))
    update_users(database, catalog, plays, stats)
    # Plays are in order, so the last offset of each origin wins.
    write_offsets(database, {logged.origin: logged.offset for logged in plays})


def ranking_state(database: Any) -> dict[str, mongo.Document]:
    """Return the state documents that ranking needs, by id."""
    return {document["_id"]: document for document in mongo.find(database["state"], _RANKING_STATE)}


def update_users(
    database: Any,
    catalog: ItemCatalog | None,
    plays: Sequence[LoggedPlay],
    stats: BatchStats,
    repeated: Set[Place] = frozenset(),
    *,
    fenced: bool = False,
) -> None:
    """Write the plays of some users, and their profiles, recommendations and feedback.

    Parameters
    ----------
    database
        The online store.
    catalog
        The champion's item catalog; None before there is one: no lists are written.
    plays
        All plays of these users in the batch, in the order of their offsets.
    stats
        Gets the counts and seconds.
    repeated
        Places of plays whose event_id comes earlier in the batch, also in another task.
    fenced
        Whether another task may write to the same users: then no newer document is replaced.
    """
    started = time.monotonic()
    counting = _insert(database, plays, repeated)
    stats.repeated += len(plays) - len(counting)
    stats.seconds["plays"] = time.monotonic() - started
    changed = _load_profiles(database, plays)
    stats.users += len(changed)
    feedback = _update_profiles(changed, plays, counting)
    with BackgroundWriter(fenced=fenced) as writer:
        documents = map(profiles.to_document, changed.values())
        writer.upsert(database["profiles"], documents, profiles.SEQUENCE)
        if catalog is not None:
            started = time.monotonic()
            write_recommendations(database, catalog, list(changed.values()), writer)
            stats.seconds["ranking"] = time.monotonic() - started
        writer.upsert(database["feedback"], feedback, "at")
    stats.seconds["writing"] = writer.seconds


def write_offsets(database: Any, offsets: Mapping[str, int]) -> None:
    """Write how far the store has come: the last offset of each origin."""
    changes = {f"offsets.{origin}": offset for origin, offset in offsets.items()}
    mongo.merge(database["state"], [{"_id": OFFSETS_ID, **changes}])


def _insert(database: Any, plays: Sequence[LoggedPlay], repeated: Set[Place]) -> set[Place]:
    """Insert plays that are missing; return the places of those that count: the first of each event_id."""
    first: dict[str, LoggedPlay] = {}
    for logged in plays:
        if (logged.origin, logged.offset) not in repeated:
            first.setdefault(logged.play.event_id, logged)
    documents = [_play_document(logged) for logged in first.values()]
    stored = {
        d["_id"]: (d["origin"], d["offset"]) for d in mongo.insert_missing(database["plays"], documents)
    }
    counting = set()
    for event_id, logged in first.items():
        place = (logged.origin, logged.offset)
        if stored.get(event_id, place) == place:
            counting.add(place)
    return counting


def _play_document(logged: LoggedPlay) -> mongo.Document:
    fields = events.to_dict(logged.play)
    return {"_id": logged.play.event_id, **fields, "origin": logged.origin, "offset": logged.offset}


def _load_profiles(database: Any, plays: Sequence[LoggedPlay]) -> dict[str, profiles.Profile]:
    """Return the profile of each user of plays, sorted; a new one for a user without."""
    users = sorted({logged.play.user_id for logged in plays})
    documents = mongo.find(database["profiles"], users)
    stored = {document["_id"]: profiles.from_document(document) for document in documents}
    return {user: stored.get(user) or profiles.new_profile(user) for user in users}


def _update_profiles(
    changed: dict[str, profiles.Profile], plays: Sequence[LoggedPlay], counting: set[Place]
) -> list[mongo.Document]:
    """Apply plays to their users' profiles, in place; return the `feedback` documents of the rated tracks."""
    feedback: dict[str, mongo.Document] = {}
    for logged in plays:
        profile = changed[logged.play.user_id]
        if (logged.origin, logged.offset) in counting:
            profiles.apply(profile, logged.play, logged.origin, logged.offset)
        else:
            profiles.advance_offset(profile, logged.origin, logged.offset)
        if logged.play.event in profiles.RATINGS:
            for document in profiles.feedback(profile, logged.play.track_id):
                feedback[document["_id"]] = document
    return list(feedback.values())


def write_recommendations(
    database: Any, catalog: ItemCatalog, changed: Sequence[profiles.Profile], writer: BackgroundWriter
) -> None:
    """Write the recommendations of profiles."""
    for first in range(0, len(changed), _LISTS_PER_WRITE):
        batch = changed[first : first + _LISTS_PER_WRITE]
        documents = [found.to_document() for found in ranking.recommendation_lists(catalog, batch)]
        writer.upsert(database["recommendations"], documents, profiles.SEQUENCE)
