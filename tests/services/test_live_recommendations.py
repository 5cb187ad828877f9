"""A batch of plays into the real store: cut and repeated as one likes, and after the store has lost what it was told."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from jobs.online import mongo
from jobs.plays import events
from jobs.runtime import embedded_mongo
from jobs.streaming import micro_batch, reconcile
from tests import synthetic_lake

NOW = datetime(2026, 11, 21, 20, 0, tzinfo=UTC)
TOPIC = "0123456789ab"
NAMES = ("plays", "profiles", "recommendations", "feedback")


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    return synthetic_lake.make(tmp_path_factory.mktemp("live") / "lake")


@pytest.fixture
def database(lake, tmp_path):
    with embedded_mongo.embedded_mongo(tmp_path / "mongo") as uri, mongo.database(uri) as found:
        mongo.upsert(found["settings"], [{"_id": "champion", "model_version": "1", "digest": "1"}])
        yield found


@pytest.fixture
def shelf(lake):
    return micro_batch.CatalogCache(lake)


def messages(count, seed=0):
    """Plays of five listeners on two partitions, one in six sent twice, some likes; what is no play is of others' tests."""
    chance, made = random.Random(seed), []
    for number in range(count):
        event = {
            "event_id": f"e{number}",
            "user_id": f"u{chance.randrange(5)}",
            "track_id": f"t{chance.randrange(40):02d}",
            "event": chance.choice(events.EVENTS),
            "position_s": 2.0,
            "duration_s": 2.0,
            "played_at": NOW + timedelta(minutes=number),
        }
        made.append(made[-1] if number % 6 == 5 else event)
    ends, found = [0, 0], []
    for event in made:
        partition = int(event["user_id"][1:]) % 2
        value = events.encode(event)
        found.append(
            micro_batch.Message(partition, ends[partition], NOW + timedelta(days=9), value, len(value))
        )
        ends[partition] += 1
    return found


def hear(database, shelf, lake, some):
    plays, rejected = micro_batch.validate(some, shelf.known(), TOPIC)
    assert not rejected
    micro_batch.append_plays(lake, TOPIC, some, plays)
    micro_batch.apply_plays(database, shelf, plays, micro_batch.BatchStats())


def store(database):
    return {name: {document["_id"]: document for document in database[name].find()} for name in NAMES}


@pytest.fixture
def heard(database, shelf, lake):
    """What the store has after all messages in one batch; the store is emptied again."""
    every = messages(120)
    hear(database, shelf, lake, every)
    expected = store(database)
    for name in NAMES:
        database[name].delete_many({})
    database["settings"].delete_one({"_id": "stream"})
    return every, expected


def test_batches_cut_anywhere_and_done_again_give_the_same(database, shelf, lake, heard):
    every, expected = heard
    assert {len(expected[name]) for name in ("profiles", "recommendations")} == {5} and len(
        expected["plays"]
    ) == 100
    chance, at = random.Random(1), 0
    while at < len(every):
        upto = at + chance.randrange(1, 25)
        for _ in range(chance.choice([1, 1, 2])):  # a kill before the checkpoint: the batch comes again
            hear(database, shelf, lake, every[at:upto])
        at = upto
    assert store(database) == expected


def test_a_batch_of_many_partitions_has_a_name_that_a_file_can_have(tmp_path):
    some = [
        micro_batch.Message(partition, 10**9 + number, NOW, b"", 0)
        for partition in range(40)
        for number in range(2)
    ]
    name = micro_batch.batch_file_name(TOPIC, some)
    assert len(name) < 200 and name == micro_batch.batch_file_name(
        TOPIC, some[::-1]
    ) != micro_batch.batch_file_name(TOPIC, some[1:])
    (tmp_path / f"0-{name}.parquet.123456").touch()


def test_an_empty_store_is_made_again_from_plays(database, shelf, lake, heard):
    _, expected = heard
    assert reconcile.reconcile(database, shelf, lake) == 5
    assert store(database) == expected
    assert reconcile.reconcile(database, shelf, lake) == 0


@pytest.mark.parametrize("lost", ["profiles", "recommendations"])
def test_what_one_listener_lost_is_made_again(database, shelf, lake, heard, lost):
    _, expected = heard
    reconcile.reconcile(database, shelf, lake)
    database[lost].delete_one({"_id": "u3"})
    assert reconcile.reconcile(database, shelf, lake) == 1
    assert store(database) == expected


def test_a_store_that_lost_its_last_lists_has_them_again(database, shelf, lake, heard):
    """As a kill -9 leaves it between the profiles of a batch and what follows from them."""
    every, expected = heard
    hear(database, shelf, lake, every[:100])
    before = {d["_id"]: d for d in database["recommendations"].find()}
    hear(database, shelf, lake, every[100:])
    mongo.upsert(database["recommendations"], before.values())
    database["feedback"].delete_many({})
    assert reconcile.reconcile(database, shelf, lake) == 5
    assert store(database) == expected


def test_without_a_model_there_is_nothing_to_list(database, lake, heard):
    database["settings"].delete_many({})
    shelf = micro_batch.CatalogCache(lake)
    assert reconcile.reconcile(database, shelf, lake) == 5 and reconcile.reconcile(database, shelf, lake) == 0
    assert not list(database["recommendations"].find())


def test_only_who_played_of_late_is_looked_at(database, shelf, lake, heard, monkeypatch):
    """And all of them where the store is further behind than that."""
    every, expected = heard
    monkeypatch.setattr(reconcile, "_LATEST", 3)
    assert reconcile.reconcile(database, shelf, lake) == 5
    reached = database["settings"].find_one({"_id": "stream"})["offsets"]
    assert sum(reached.values()) == len(every) - 2
    database["profiles"].delete_many({})
    ends = {origin: end - 3 for origin, end in reached.items()}
    late = [m for m in every if m.offset > ends[micro_batch.source_partition(TOPIC, m.partition)]]
    users = {events.parse(message.value, message.timestamp)["user_id"] for message in late}
    assert 0 < len(users) < 5 and reconcile.reconcile(database, shelf, lake) == len(users)
    before = {origin: end - 1 for origin, end in ends.items()}
    mongo.upsert(database["settings"], [{"_id": "stream", "offsets": before}])
    assert reconcile.reconcile(database, shelf, lake) == 5 - len(users)
    assert store(database) == expected


def test_after_a_write_that_failed_the_later_ones_are_left_out():
    written = []

    def write(collection, documents):
        if collection == "away":
            raise ConnectionError("away")
        written.append(collection)

    with pytest.raises(ConnectionError), micro_batch.BackgroundWriter() as writer:
        for collection in ("profiles", "away", "recommendations", "feedback"):
            writer.write(write, collection, [])
    assert written == ["profiles"]
