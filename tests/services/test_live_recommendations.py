"""Batches of plays in the real store.

Cut and repeated anywhere, and reconciled after the store has lost writes.
"""

import dataclasses
import functools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from jobs.errors import StepError
from jobs.lake.schemas import PLAYS
from jobs.online import mongo
from jobs.plays import events, play_log
from jobs.plays.events import PlayEvent
from jobs.runtime import embedded_mongo
from jobs.streaming import executor_tasks, micro_batch, reconcile
from jobs.streaming.background_writer import BackgroundWriter
from jobs.streaming.catalog_cache import CatalogCache
from tests import synthetic_lake

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
TOPIC = "0123456789ab"
COLLECTIONS = ("plays", "profiles", "recommendations", "feedback")


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return synthetic_lake.make(tmp_path_factory.mktemp("live") / "lake")


@pytest.fixture
def database(lake, tmp_path):
    with embedded_mongo.embedded_mongo(tmp_path / "mongo") as uri, mongo.database(uri) as database:
        mongo.upsert(database["state"], [{"_id": "champion", "model_version": "1", "digest": "1"}])
        yield database


@pytest.fixture
def catalog_cache(lake):
    return CatalogCache(lake)


def make_messages(count, seed=0):
    """Return plays and ratings of five users on two partitions.

    Every sixth message repeats the one before.
    """
    rng = random.Random(seed)
    plays = []
    for number in range(count):
        event = PlayEvent(
            event_id=f"e{number}",
            user_id=f"u{rng.randrange(5)}",
            track_id=f"t{rng.randrange(40):02d}",
            event=rng.choice(events.EVENTS),
            position_s=2.0,
            duration_s=2.0,
            played_at=NOW + timedelta(minutes=number),
        )
        plays.append(plays[-1] if number % 6 == 5 else event)
    next_offsets = [0, 0]
    messages = []
    for event in plays:
        partition = int(event.user_id[1:]) % 2
        value = events.encode(event)
        timestamp = NOW + timedelta(days=9)
        messages.append(micro_batch.Message(partition, next_offsets[partition], timestamp, value, len(value)))
        next_offsets[partition] += 1
    return messages


def process(database, catalog_cache, lake, messages):
    """Do what the stream does with a batch."""
    plays, dead_letters = micro_batch.validate(messages, catalog_cache.track_ids(), TOPIC)
    assert not dead_letters
    micro_batch.append_plays(lake, TOPIC, micro_batch.offset_ranges(messages), play_log.to_arrow(plays))
    micro_batch.apply_plays(database, catalog_cache, plays, micro_batch.BatchStats())


def contents(database):
    return {name: {document["_id"]: document for document in database[name].find()} for name in COLLECTIONS}


@pytest.fixture
def processed(database, catalog_cache, lake):
    """Return all messages, and what the store has after they came in one batch.

    The store is emptied again.
    """
    messages = make_messages(120)
    process(database, catalog_cache, lake, messages)
    expected = contents(database)
    for name in COLLECTIONS:
        database[name].delete_many({})
    database["state"].delete_one({"_id": micro_batch.OFFSETS_ID})
    return messages, expected


def test_batches_cut_and_repeated_give_the_same(database, catalog_cache, lake, processed):
    messages, expected = processed
    assert len(expected["profiles"]) == len(expected["recommendations"]) == 5
    assert len(expected["plays"]) == 100
    rng = random.Random(1)
    start = 0
    while start < len(messages):
        end = start + rng.randrange(1, 25)
        for _ in range(rng.choice([1, 1, 2])):  # a kill before the checkpoint: the batch comes again
            process(database, catalog_cache, lake, messages[start:end])
        start = end
    assert contents(database) == expected


def batch_file_name(messages):
    return micro_batch.batch_file_name(TOPIC, micro_batch.offset_ranges(messages))


def test_batch_of_many_partitions_has_valid_file_name(tmp_path):
    messages = [
        micro_batch.Message(partition, 10**9 + number, NOW, b"", 0)
        for partition in range(40)
        for number in range(2)
    ]
    name = batch_file_name(messages)
    assert len(name) < 200
    assert name == batch_file_name(messages[::-1])
    assert name != batch_file_name(messages[1:])
    (tmp_path / f"0-{name}.parquet.123456").touch()


def test_empty_store_is_rebuilt_from_plays(database, catalog_cache, lake, processed):
    _, expected = processed
    assert reconcile.reconcile(database, catalog_cache, lake) == 5
    assert contents(database) == expected
    assert reconcile.reconcile(database, catalog_cache, lake) == 0


@pytest.mark.parametrize("lost", ["profiles", "recommendations"])
def test_lost_document_of_a_user_is_rebuilt(database, catalog_cache, lake, processed, lost):
    _, expected = processed
    reconcile.reconcile(database, catalog_cache, lake)
    database[lost].delete_one({"_id": "u3"})
    assert reconcile.reconcile(database, catalog_cache, lake) == 1
    assert contents(database) == expected


def test_lost_lists_of_the_last_batch_are_rebuilt(database, catalog_cache, lake, processed):
    """As a kill -9 leaves the store between the profiles of a batch and what follows from them."""
    messages, expected = processed
    process(database, catalog_cache, lake, messages[:100])
    before = {document["_id"]: document for document in database["recommendations"].find()}
    process(database, catalog_cache, lake, messages[100:])
    mongo.upsert(database["recommendations"], before.values())
    database["feedback"].delete_many({})
    assert reconcile.reconcile(database, catalog_cache, lake) == 5
    assert contents(database) == expected


def test_without_a_champion_no_lists_are_written(database, lake, processed):
    database["state"].delete_many({})
    catalog_cache = CatalogCache(lake)
    assert reconcile.reconcile(database, catalog_cache, lake) == 5
    assert reconcile.reconcile(database, catalog_cache, lake) == 0
    assert not list(database["recommendations"].find())


def test_only_recent_users_are_checked_if_store_is_near(
    database, catalog_cache, lake, processed, monkeypatch
):
    """And all users if the store is further behind than that."""
    messages, expected = processed
    monkeypatch.setattr(reconcile, "_RECHECKED_PLAYS", 3)
    assert reconcile.reconcile(database, catalog_cache, lake) == 5
    offsets = mongo.get(database["state"], micro_batch.OFFSETS_ID)["offsets"]
    assert sum(offsets.values()) == len(messages) - 2
    database["profiles"].delete_many({})
    recheck_after = {origin: end - 3 for origin, end in offsets.items()}
    rechecked = [
        message
        for message in messages
        if message.offset > recheck_after[micro_batch.source_partition(TOPIC, message.partition)]
    ]
    users = {events.parse(message.value, message.timestamp).user_id for message in rechecked}
    assert 0 < len(users) < 5
    assert reconcile.reconcile(database, catalog_cache, lake) == len(users)
    further_behind = {origin: end - 1 for origin, end in recheck_after.items()}
    mongo.upsert(database["state"], [{"_id": micro_batch.OFFSETS_ID, "offsets": further_behind}])
    assert reconcile.reconcile(database, catalog_cache, lake) == 5 - len(users)
    assert contents(database) == expected


def test_writes_after_a_failed_one_are_left_out():
    written = []

    class Collection:
        def __init__(self, name):
            self.name = name

        def bulk_write(self, writes, ordered):
            if self.name == "unreachable":
                raise ConnectionError("unreachable")
            written.append(self.name)

    with pytest.raises(ConnectionError), BackgroundWriter() as writer:
        for name in ("profiles", "unreachable", "recommendations", "feedback"):
            writer.upsert(Collection(name), [{"_id": "ann"}], "sequence")
    assert written == ["profiles"]


def columns(messages):
    """Return messages as the query over Kafka gives them."""
    names = ("partition", "offset", "timestamp", "value", "size")
    return pa.table({name: [getattr(message, name) for message in messages] for name in names})


def address_of(database):
    return f"mongodb://127.0.0.1:{database.client.address[1]}/{database.name}"


def process_in_tasks(database, lake, messages, *, n_tasks):
    """Do what executors and driver do with a batch, each task in a new process as it were."""
    view = executor_tasks.view_of(lake)
    address = address_of(database)
    validated = []
    for partition in (1, 0):
        rows = columns([message for message in messages if message.partition == partition])
        validated += executor_tasks.validate(view, TOPIC, rows.to_batches())
    ordered = pa.Table.from_batches(validated).sort_by([("partition", "ascending"), ("offset", "ascending")])
    assert ordered["error"].null_count == len(ordered) == len(messages)
    plays = ordered.select(PLAYS.names)
    streams = executor_tasks.split(plays, n_tasks)
    assert len(streams) > 1
    for stream in streams:  # u2's is the first
        executor_tasks._resources.clear()
        stats = executor_tasks.update_users(view, address, micro_batch.ranking_state(database), stream)
        assert isinstance(stats, micro_batch.BatchStats)
    executor_tasks._resources.clear()


def test_tasks_write_what_the_driver_writes(database, catalog_cache, lake):
    """Also of a user with plays in two partitions, and of two users with one event_id."""
    messages = make_messages(120)
    for number, user in ((200, "u1"), (201, "u2"), (202, "u2")):
        event_id = "both" if number < 202 else "e7"
        event = PlayEvent(
            event_id=event_id,
            user_id=user,
            track_id="t03",
            event="liked",
            played_at=NOW + timedelta(days=1),
        )
        value = events.encode(event)
        # u1's plays are in partition 1, and since a change of the topic's partitions in 0.
        messages.append(micro_batch.Message(0, number, NOW + timedelta(days=9), value, len(value)))
    batches = [messages[:50], messages[50:]]
    for batch in batches:
        process(database, catalog_cache, lake, batch)
    expected = contents(database)
    by_tasks = functools.partial(process_in_tasks, database, lake, n_tasks=3)
    by_driver = functools.partial(process, database, catalog_cache, lake)
    for ways in ((by_tasks, by_tasks), (by_driver, by_tasks), (by_tasks, by_driver)):
        for name in COLLECTIONS:
            database[name].delete_many({})
        for way, batch in zip(ways, batches, strict=True):
            way(batch)
        assert contents(database) == expected
    assert expected["profiles"]["u1"]["offsets"].keys() == {"plays-0@01234567", "plays-1@01234567"}
    assert expected["plays"]["both"]["user_id"] == "u1"


class LateDatabase:
    """A store whose writes arrive late: once `released` is set."""

    def __init__(self, database):
        self.database, self.reached, self.released = database, threading.Event(), threading.Event()

    def __getitem__(self, name):
        return LateCollection(self, self.database[name])


class LateCollection:
    def __init__(self, late, collection):
        self.late, self.collection = late, collection

    def __getattr__(self, name):
        return getattr(self.collection, name)

    def bulk_write(self, writes, ordered):
        self.late.reached.set()
        assert self.late.released.wait(60)
        return self.collection.bulk_write(writes, ordered=ordered)


def test_late_task_replaces_nothing_newer(database, catalog_cache, lake):
    """A task that Spark took for lost writes when its second attempt and the next batch are done."""
    messages = make_messages(120)
    batches = [micro_batch.validate(part, catalog_cache.track_ids(), TOPIC)[0] for part in cut(messages, 60)]
    catalog = catalog_cache.item_catalog(micro_batch.ranking_state(database))
    late = LateDatabase(database)

    def update(store, plays):
        micro_batch.update_users(store, catalog, plays, micro_batch.BatchStats(), fenced=True)

    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(update, late, batches[0])
        assert late.reached.wait(60)
        update(database, batches[0])
        update(database, batches[1])
        expected = contents(database)
        late.released.set()
        lost.result(60)
    assert contents(database) == expected
    assert len(expected["profiles"]) == 5 and expected["feedback"]


def cut(messages, size):
    return [messages[start : start + size] for start in range(0, len(messages), size)]


def test_task_refuses_a_lake_that_is_behind(lake, tmp_path):
    """Plays of tracks that it does not have yet would be rejected."""
    view = executor_tasks.view_of(lake)
    behind = dataclasses.replace(view, versions={**view.versions, "TRACKS": "v000099"})
    with pytest.raises(StepError, match=r"expected TRACKS v000099 in the lake .*, found v000001"):
        list(executor_tasks.validate(behind, TOPIC, []))
    missing = dataclasses.replace(view, root=str(tmp_path / "not mounted"))
    with pytest.raises(StepError, match="on every worker, found no such folder"):
        list(executor_tasks.validate(missing, TOPIC, []))
    assert not (tmp_path / "not mounted").exists()


def test_task_reports_a_store_that_does_not_answer(database, catalog_cache, lake, monkeypatch):
    """And the next task of the same process writes to the store where it is now."""
    monkeypatch.setattr(mongo, "database", functools.partial(mongo.database, timeout_s=0.2))
    plays, _ = micro_batch.validate(make_messages(10), catalog_cache.track_ids(), TOPIC)
    (stream,) = executor_tasks.split(play_log.to_arrow(plays), 1)
    view, ranking_state = executor_tasks.view_of(lake), micro_batch.ranking_state(database)
    failure = executor_tasks.update_users(view, "mongodb://127.0.0.1:1/segue", ranking_state, stream)
    assert failure.is_unavailable and "expected MongoDB to answer" in failure.message
    stats = executor_tasks.update_users(view, address_of(database), ranking_state, stream)
    assert stats.users == len(contents(database)["profiles"]) > 1
    executor_tasks._resources.clear()
