"""Process one micro-batch: dead letters, PLAYS, profiles, recommendations.

Plain Python; Spark only delivers the messages. The steps run in this order, so that a kill between any two of
them, and the same batch again, changes nothing in the result:

    dead letters     to plays.rejected; a message that is there already is not sent again
    PLAYS            one file per batch, named by its offsets
    plays            inserted by event_id; an id that is there from another offset is a duplicate
    profiles         changed only by offsets beyond the last one applied
    recommendations  and feedback: written from the profile, so the same each time
    offsets          how far the store has come: written last
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from jobs.lake.storage import Lake
from jobs.online import mongo, state
from jobs.plays import events, play_log
from jobs.plays.events import LoggedPlay
from jobs.recommender import profiles, ranking
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


def batch_file_name(topic_id: str, messages: Sequence[Message]) -> str:
    """Return the name of a batch's file in PLAYS: the same offsets give the same name.

    Many partitions are hashed.
    """
    offsets: dict[int, list[int]] = {}
    for message in messages:
        offsets.setdefault(message.partition, []).append(message.offset)
    name = "-".join(f"{partition}.{min(found)}.{max(found)}" for partition, found in sorted(offsets.items()))
    if len(name) > _MAX_NAME_LENGTH:
        name = hashlib.sha256(name.encode()).hexdigest()
    return f"{topic_id[:8]}-{name}"


def append_plays(lake: Lake, topic_id: str, messages: Sequence[Message], plays: Sequence[LoggedPlay]) -> None:
    """Append a batch's plays to PLAYS."""
    if plays:
        play_log.play_table(lake).append(batch_file_name(topic_id, messages), play_log.to_arrow(plays))


def apply_plays(
    database: Any, catalog_cache: CatalogCache, plays: Sequence[LoggedPlay], stats: BatchStats
) -> None:
    """Write plays, in the order of their offsets, to MongoDB.

    Plays, profiles, recommendations, feedback, offsets.
    """
    started = time.monotonic()
    counting = _insert(database, plays)
    stats.repeated += len(plays) - len(counting)
    stats.seconds["plays"] = time.monotonic() - started
    changed = _load_profiles(database, plays)
    stats.users += len(changed)
    feedback = _update_profiles(changed, plays, counting)
    with BackgroundWriter() as writer:
        writer.write(mongo.upsert, database["profiles"], map(profiles.to_document, changed.values()))
        write_recommendations(database, catalog_cache, list(changed.values()), stats, writer)
        writer.write(mongo.merge, database["feedback"], feedback)
    stats.seconds["writing"] = writer.seconds
    # Plays are in order, so the last offset of each origin wins.
    offsets = {f"offsets.{logged.origin}": logged.offset for logged in plays}
    mongo.merge(database["state"], [{"_id": OFFSETS_ID, **offsets}])


def _insert(database: Any, plays: Sequence[LoggedPlay]) -> set[tuple[str, int]]:
    """Insert plays that are missing; return (origin, offset) of those that count.

    The first of each event_id.
    """
    first: dict[str, LoggedPlay] = {}
    for logged in plays:
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
    changed: dict[str, profiles.Profile], plays: Sequence[LoggedPlay], counting: set[tuple[str, int]]
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


class BackgroundWriter:
    """Writes to the store, one write after the other, in a thread.

    The store works while the next lists are ranked.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._has_failed = False
        self._pool = ThreadPoolExecutor(1, "store")
        self._writes: list[Future[None]] = []

    def write(
        self, function: Callable[[Any, Any], int], collection: Any, documents: Iterable[mongo.Document]
    ) -> None:
        """Queue `function(collection, documents)` behind the writes before it."""
        self._writes.append(self._pool.submit(self._write, function, collection, documents))

    def _write(
        self, function: Callable[[Any, Any], int], collection: Any, documents: Iterable[mongo.Document]
    ) -> None:
        if self._has_failed:
            return
        started = time.monotonic()
        self._has_failed = True  # until the write has succeeded
        function(collection, documents)
        self._has_failed = False
        self.seconds += time.monotonic() - started

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for every write.

        Raises what the first failed write raised; the writes after it were left out.
        """
        try:
            for write in self._writes:
                write.result()
        finally:
            self._pool.shutdown(cancel_futures=True)


def write_recommendations(
    database: Any,
    catalog_cache: CatalogCache,
    changed: Sequence[profiles.Profile],
    stats: BatchStats,
    writer: BackgroundWriter,
) -> None:
    """Write the recommendations of profiles by the champion; nothing before there is one."""
    states = {document["_id"]: document for document in mongo.find(database["state"], _RANKING_STATE)}
    catalog = catalog_cache.item_catalog(states)
    if catalog is None:
        return
    started = time.monotonic()
    for first in range(0, len(changed), _LISTS_PER_WRITE):
        batch = changed[first : first + _LISTS_PER_WRITE]
        documents = [found.to_document() for found in ranking.recommendation_lists(catalog, batch)]
        writer.write(mongo.upsert, database["recommendations"], documents)
    stats.seconds["ranking"] = time.monotonic() - started


def dead_letter_headers(dead_letter: DeadLetter, offsets: dict[str, int]) -> list[tuple[str, bytes]]:
    """Return the headers of a message of plays.rejected.

    They hold the reason, the message's place, size in bytes and time, and the last rejected offset of every
    origin.
    """
    message = dead_letter.message
    return [
        ("error", dead_letter.error.encode()),
        ("origin", f"plays-{message.partition}-{message.offset}".encode()),
        ("bytes", str(message.size).encode()),
        ("received", message.timestamp.astimezone(UTC).isoformat().encode()),
        ("offsets", json.dumps(offsets).encode()),
    ]
