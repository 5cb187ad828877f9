"""What the stream does with a batch of messages: reject, keep, apply, recommend. Plain Python; Spark only brings the batch.

In this order, so that a kill between any two lines, and the same batch again, change nothing in the result:

    bad messages   to plays.rejected, with where they came from; what is there already is not sent again
    PLAYS          one file per batch, named by its offsets
    plays          inserted by event_id; an id that came from elsewhere before is a repetition, and counts no more
    profiles       changed only by offsets beyond the last one applied
    recommendations, feedback, what was reached: written from the profile, so the same each time
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.errors import StepError
from jobs.lake.schemas import EMBEDDINGS, ITEM_SIMILARITIES, TRACKS
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import events, play_log
from jobs.recommender import item_catalog, profiles, ranking

log = logging.getLogger("segue")

# Characters of the offsets in a batch's file name: a file system takes 255 bytes in all.
_MAX_NAME_BYTES = 150


@dataclass(frozen=True)
class Message:
    """One message of Kafka's: where it is, when the broker took it (UTC), what it says, cut where that is no event anyway."""

    partition: int
    offset: int
    timestamp: datetime
    value: bytes
    size: int


@dataclass(frozen=True)
class DeadLetter:
    """A message that is no play, and why."""

    message: Message
    error: str


@dataclass
class BatchStats:
    """What a batch came to."""

    events: int = 0
    rejected: int = 0
    repeated: int = 0
    users: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


def source_partition(topic_id: str, partition: int) -> str:
    """Return how PLAYS and profiles call a partition of `plays`: a topic made anew begins at offset 0, under another name."""
    return f"plays-{partition}@{topic_id[:8]}"


def validate(
    messages: Iterable[Message], known: frozenset[str] | set[str], topic_id: str
) -> tuple[list[dict[str, Any]], list[DeadLetter]]:
    """Return the events of messages, each with origin and offset, and the messages that are none or of no known track.

    The broker's time stands for now, so that a message is judged alike whenever it is read.
    """
    good, bad = [], []
    for message in sorted(messages, key=lambda m: (m.partition, m.offset)):
        try:
            event = events.parse(message.value, message.timestamp, message.size)
            if event["track_id"] not in known:
                raise events.InvalidEvent(
                    f"track_id: expected a track of TRACKS, found {ascii(event['track_id'])[:60]}"
                )
            good.append(
                {**event, "origin": source_partition(topic_id, message.partition), "offset": message.offset}
            )
        except events.InvalidEvent as error:
            bad.append(DeadLetter(message, str(error)))
    return good, bad


def batch_file_name(topic_id: str, messages: Sequence[Message]) -> str:
    """Return the name of a batch's file of PLAYS: the same offsets, the same name; of many partitions a hash of them."""
    partitions = sorted({message.partition for message in messages})
    ranges = []
    for partition in partitions:
        found = [m.offset for m in messages if m.partition == partition]
        ranges.append(f"{partition}.{min(found)}.{max(found)}")
    offsets = "-".join(ranges)
    if len(offsets) > _MAX_NAME_BYTES:
        offsets = hashlib.sha256(offsets.encode()).hexdigest()
    return f"{topic_id[:8]}-{offsets}"


class CatalogCache:
    """What is known of tracks: all ids, and the champion's catalogue. Looks again only where something is new."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._tracks: tuple[Path | None, set[str]] = (None, set())
        self._catalogue: tuple[Any, item_catalog.ItemCatalog | None] = (None, None)

    def track_ids(self) -> set[str]:
        """Return the ids of TRACKS."""
        version = self._lake.version(TRACKS)
        if version != self._tracks[0]:
            ids = self._lake.read_arrow(TRACKS, "track_id")["track_id"].to_pylist()
            self._tracks = (version, set(ids))
        return self._tracks[1]

    def item_catalog(self, settings: dict[str, mongo.Document]) -> item_catalog.ItemCatalog | None:
        """Return the catalogue of the champion that `settings` names; None before the first."""
        champion = settings.get("champion")
        if champion is None:
            return self._catalogue[1]
        blend = item_catalog.RankingWeights(**settings.get("blend", {}).get("weights", {}))
        tables = tuple(map(self._lake.version, (EMBEDDINGS, TRACKS, ITEM_SIMILARITIES)))
        found = (champion["model_version"], champion["digest"], blend, tables)
        if found != self._catalogue[0]:
            try:
                self._catalogue = (found, item_catalog.load(self._lake, champion["model_version"], blend))
                log.info(
                    "model version %s, %d tracks", champion["model_version"], len(self._catalogue[1].ids)
                )
            except (
                StepError
            ) as error:  # a store beside a lake that has lost its tables; the one before serves on
                log.warning("%s", error)
        return self._catalogue[1]


def apply_plays(
    database: Any, shelf: CatalogCache, plays: Sequence[dict[str, Any]], counts: BatchStats
) -> None:
    """Bring plays, in the order of their offsets, to MongoDB: plays, profiles, recommendations, feedback."""
    begun = time.monotonic()
    fresh = _insert(database, plays)
    counts.repeated += len(plays) - len(fresh)
    counts.seconds["plays"] = time.monotonic() - begun
    users = sorted({play["user_id"] for play in plays})
    known = {each["_id"]: profiles.from_document(each) for each in mongo.find(database["profiles"], users)}
    changed = [known.get(user) or profiles.new_profile(user) for user in users]
    by_user = {profile["_id"]: profile for profile in changed}
    felt: dict[str, mongo.Document] = {}
    for play in plays:
        profile = by_user[play["user_id"]]
        if (play["origin"], play["offset"]) in fresh:
            profiles.apply(profile, play, play["origin"], play["offset"])
        else:
            profiles.advance_offset(profile, play["origin"], play["offset"])
        if play["event"] in profiles.RATINGS:
            felt |= {document["_id"]: document for document in profiles.feedback(profile, play["track_id"])}
    counts.users += len(users)
    with BackgroundWriter() as writer:
        writer.write(mongo.upsert, database["profiles"], map(profiles.to_document, changed))
        write_recommendations(database, shelf, changed, counts, writer)
        writer.write(mongo.merge, database["feedback"], felt.values())
    counts.seconds["writing"] = writer.seconds
    reached = {
        f"offsets.{play['origin']}": play["offset"] for play in plays
    }  # the last of each: they are in order
    mongo.merge(database["settings"], [{"_id": OFFSETS_ID, **reached}])


class BackgroundWriter:
    """Writes to the store one after the other, in a thread: the store works while the next lists are ranked."""

    def __init__(self) -> None:
        self.seconds, self._failed = 0.0, False
        self._pool, self._writes = ThreadPoolExecutor(1, "store"), list[Future[None]]()

    def write(
        self, how: Callable[[Any, Any], int], collection: Any, documents: Iterable[mongo.Document]
    ) -> None:
        """Write documents after those before."""
        self._writes.append(self._pool.submit(self._write, how, collection, documents))

    def _write(
        self, how: Callable[[Any, Any], int], collection: Any, documents: Iterable[mongo.Document]
    ) -> None:
        if self._failed:
            return
        begun, self._failed = time.monotonic(), True
        how(collection, documents)
        self._failed = False
        self.seconds += time.monotonic() - begun

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for every write; raise what the first that failed has raised: those after it were left out."""
        try:
            for write in self._writes:
                write.result()
        finally:
            self._pool.shutdown(cancel_futures=True)


def write_recommendations(
    database: Any,
    shelf: CatalogCache,
    changed: Sequence[profiles.Profile],
    counts: BatchStats,
    writer: BackgroundWriter,
) -> None:
    """Write the recommendations of profiles, by the model that is online now."""
    catalogue = shelf.item_catalog(
        {document["_id"]: document for document in mongo.find(database["settings"], _SETTINGS)}
    )
    if catalogue is None:
        return
    begun = time.monotonic()
    for some in mongo.batched(changed):
        writer.write(
            mongo.upsert,
            database["recommendations"],
            [recommendation_document(catalogue, profile) for profile in some],
        )
    counts.seconds["ranking"] = time.monotonic() - begun


_SETTINGS = ("champion", "blend")

# The document of `settings` that says up to where of each origin the store has everything: written last.
OFFSETS_ID = "stream"


def recommendation_document(catalogue: item_catalog.ItemCatalog, profile: profiles.Profile) -> mongo.Document:
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
    there = {d["_id"]: (d["origin"], d["offset"]) for d in mongo.insert_missing(database["plays"], documents)}
    mine = {event_id: (play["origin"], play["offset"]) for event_id, play in first.items()}
    return {where for event_id, where in mine.items() if there.get(event_id, where) == where}


def dead_letter_headers(rejected: DeadLetter, upto: dict[str, int]) -> list[tuple[str, bytes]]:
    """Return the headers of a message of plays.rejected: why, whence, its bytes, the last offset rejected of every origin."""
    message = rejected.message
    return [
        ("error", rejected.error.encode()),
        ("origin", f"plays-{message.partition}-{message.offset}".encode()),
        ("bytes", str(message.size).encode()),
        ("received", message.timestamp.astimezone(UTC).isoformat().encode()),
        ("upto", json.dumps(upto).encode()),
    ]


def append_plays(
    lake: Lake, topic_id: str, messages: Sequence[Message], plays: Sequence[dict[str, Any]]
) -> None:
    """Add a batch's plays to PLAYS."""
    if plays:
        play_log.play_table(lake).append(batch_file_name(topic_id, messages), play_log.to_arrow(plays))
