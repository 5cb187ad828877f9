"""Which plays are pruned from the online store, and when: none that Kafka could still deliver again."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.lake.storage import Lake
from jobs.online import mongo, retention, state
from jobs.plays import play_log
from jobs.plays.events import LoggedPlay, PlayEvent
from jobs.runtime import embedded_mongo

NOW = datetime(2026, 11, 21, 4, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    with embedded_mongo.embedded_mongo(tmp_path_factory.mktemp("mongo")) as uri:
        yield uri


@pytest.fixture
def database(uri):
    with mongo.database(uri) as database:
        for name in ("plays", "state"):
            database[name].drop()
        yield database


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def make_play(offset, *, origin="plays-0@x"):
    event = PlayEvent(
        event_id=f"{origin}-{offset}",
        user_id="u",
        track_id="2",
        event="finished",
        played_at=NOW - timedelta(days=400),
    )
    return LoggedPlay(event, origin, offset)


def write_plays(lake, database, *plays):
    rows = play_log.to_arrow(plays)
    play_log.play_table(lake).append(f"{plays[0].origin}.{plays[0].offset}", rows)
    mongo.upsert(database["plays"], ({"_id": row["event_id"], **row} for row in rows.to_pylist()))


def stored_offsets(database):
    return sorted(play["offset"] for play in database["plays"].find({"origin": "plays-0@x"}))


def n_snapshots(database):
    return len(mongo.get(database["state"], state.PLAYS_RETENTION)["snapshots"])


def test_play_is_pruned_after_kafkas_retention(lake, database):
    write_plays(lake, database, make_play(0), make_play(1))
    assert retention.prune_plays(database, lake, NOW) == 0  # played long ago, but applied today
    write_plays(lake, database, make_play(2))
    write_plays(lake, database, make_play(0, origin="plays-1@x"))
    assert retention.prune_plays(database, lake, NOW + timedelta(days=20)) == 0
    assert retention.prune_plays(database, lake, NOW + timedelta(days=36)) == 0
    assert stored_offsets(database) == [0, 1, 2]
    assert retention.prune_plays(database, lake, NOW + timedelta(days=38)) == 2
    assert stored_offsets(database) == [2]
    assert retention.prune_plays(database, lake, NOW + timedelta(days=60)) == 2
    assert stored_offsets(database) == []
    assert len(play_log.read(lake)) == 4  # PLAYS keeps all of them
    assert n_snapshots(database) <= 4


def test_one_snapshot_a_day_and_killed_prune_resumes(lake, database, monkeypatch):
    write_plays(lake, database, make_play(0), make_play(1), make_play(2))
    for hour in range(0, 72, 6):
        retention.prune_plays(database, lake, NOW + timedelta(hours=hour))
    assert n_snapshots(database) == 3
    later = NOW + timedelta(days=40)
    delete = mongo.delete

    def delete_one_and_die(collection, document_ids):
        delete(collection, list(document_ids)[:1])
        raise KeyboardInterrupt

    monkeypatch.setattr(mongo, "delete", delete_one_and_die)
    with pytest.raises(KeyboardInterrupt):
        retention.prune_plays(database, lake, later)
    monkeypatch.undo()
    assert retention.prune_plays(database, lake, later) == 2 and stored_offsets(database) == []


def test_store_without_snapshots_starts_over(lake, database):
    write_plays(lake, database, make_play(0))
    retention.prune_plays(database, lake, NOW)
    database["state"].drop()
    assert retention.prune_plays(database, lake, NOW + timedelta(days=40)) == 0
    assert stored_offsets(database) == [0]
