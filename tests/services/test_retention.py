"""What leaves MongoDB's `plays`, and when: nothing that Kafka may still bring again."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.lake.schemas import PLAYS
from jobs.lake.storage import Lake
from jobs.online import mongo, retention
from jobs.plays import play_log
from jobs.runtime import embedded_mongo

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    with embedded_mongo.embedded_mongo(tmp_path_factory.mktemp("mongo")) as found:
        yield found


@pytest.fixture
def database(uri):
    with mongo.database(uri) as found:
        for name in ("plays", "state"):
            found[name].drop()
        yield found


def play(number, *, origin="plays-0@x"):
    event = dict.fromkeys(PLAYS.names) | {"event_id": f"{origin}-{number}", "user_id": "u", "track_id": "2"}
    return event | {
        "event": "finished",
        "origin": origin,
        "offset": number,
        "played_at": NOW - timedelta(days=400),
    }


def arrive(lake, database, *plays):
    play_log.play_table(lake).append(f"{plays[0]['origin']}.{plays[0]['offset']}", play_log.to_arrow(plays))
    mongo.upsert(database["plays"], ({"_id": each["event_id"], **each} for each in plays))


def offsets(database):
    return sorted(each["offset"] for each in database["plays"].find({"origin": "plays-0@x"}))


def test_a_play_goes_when_kafka_cannot_bring_it_again(tmp_path, database):
    lake = Lake(tmp_path / "lake")
    arrive(lake, database, play(0), play(1))
    assert retention.prune_plays(database, lake, NOW) == 0  # played long ago, but come today
    arrive(lake, database, play(2))
    arrive(lake, database, play(0, origin="plays-1@x"))
    assert retention.prune_plays(database, lake, NOW + timedelta(days=20)) == 0
    assert retention.prune_plays(database, lake, NOW + timedelta(days=36)) == 0 and offsets(database) == [
        0,
        1,
        2,
    ]
    assert retention.prune_plays(database, lake, NOW + timedelta(days=38)) == 2 and offsets(database) == [2]
    assert retention.prune_plays(database, lake, NOW + timedelta(days=60)) == 2 and offsets(database) == []
    assert len(play_log.read(lake)) == 4  # PLAYS keeps every one
    assert len(database["state"].find_one({"_id": "plays_retention"})["snapshots"]) <= 4


def test_nights_in_a_row_leave_one_mark_a_day_and_a_killed_one_goes_on(tmp_path, database, monkeypatch):
    lake = Lake(tmp_path / "lake")
    arrive(lake, database, play(0), play(1), play(2))
    for hour in range(0, 72, 6):
        retention.prune_plays(database, lake, NOW + timedelta(hours=hour))
    assert len(database["state"].find_one({"_id": "plays_retention"})["snapshots"]) == 3
    later, delete = NOW + timedelta(days=40), mongo.delete

    def killed(collection, ids):
        delete(collection, list(ids)[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(mongo, "delete", killed)
    with pytest.raises(KeyboardInterrupt):
        retention.prune_plays(database, lake, later)
    monkeypatch.undo()
    assert retention.prune_plays(database, lake, later) == 2 and offsets(database) == []


def test_a_store_that_has_forgotten_its_marks_begins_anew(tmp_path, database):
    lake = Lake(tmp_path / "lake")
    arrive(lake, database, play(0))
    retention.prune_plays(database, lake, NOW)
    database["state"].drop()
    assert retention.prune_plays(database, lake, NOW + timedelta(days=40)) == 0 and offsets(database) == [0]
