"""`segue recommend` on a small lake with new plays.

Killed after any write, the next run ends in the same state.
"""

import argparse
import shutil
from datetime import timedelta

import pytest

from jobs.lake import append_table, folder_tables
from jobs.lake.schemas import (
    EMBEDDINGS,
    FEATURES,
    FILES,
    ITEM_SIMILARITIES,
    PLAYS,
    RECOMMENDATIONS,
    TRACKS,
)
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.orchestration import change_detection
from jobs.plays import play_log, simulator
from jobs.plays.events import LoggedPlay
from jobs.recommender import profiles, tuning
from jobs.runtime import embedded_mongo
from jobs.steps import recommend
from tests import synthetic_lake
from tests.spark.conftest import MASTER
from tests.spark.test_recommend import NOW

SELECTED = tuning.SelectedWeights(weights=tuning.DEFAULT_WEIGHTS)
COLLECTIONS = ("profiles", "recommendations", "state")


class Killed(BaseException):
    """What kill -9 is to the code: nothing catches it."""


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A lake with a champion and with plays that the stream has appended, before the nightly run.

    Its store runs.
    """
    lake = synthetic_lake.make(tmp_path_factory.mktemp("recommend") / "lake", seconds=0.05)
    track_ids = [f"t{number:02d}" for number in range(40)]
    groups = [number // 5 for number in range(40)]
    simulated = simulator.simulate_plays(
        track_ids, groups, [30.0] * 40, users=6, events=300, seed=1, begin=NOW, days=2.5
    )
    plays = [LoggedPlay(play, "plays-0@x", offset) for offset, play in enumerate(simulated)]
    by_user = {}
    for logged in plays:
        user = logged.play.user_id
        profile = by_user.setdefault(user, profiles.new_profile(user))
        profiles.apply(profile, logged.play, logged.origin, logged.offset)
    for start in range(0, len(plays), 100):
        rows = play_log.to_arrow(plays[start : start + 100])
        play_log.play_table(lake).append(f"x-0.{start}", rows)
    with embedded_mongo.embedded_mongo(lake.root.parent / "mongo") as uri, mongo.database(uri) as database:
        yield lake, uri, database, list(by_user.values())


@pytest.fixture
def reset(before, tmp_path, monkeypatch):
    """Return a function that restores lake and store, and returns the lake and the arguments."""
    lake, uri, database, stored_profiles = before
    # Tuning has its own tests, and would take most of the time here.
    monkeypatch.setattr(tuning, "select_weights", lambda *_: SELECTED)

    def reset(name):
        copy = Lake(tmp_path / name)
        shutil.copytree(lake.root, copy.root, dirs_exist_ok=True, symlinks=True)
        for collection in COLLECTIONS:
            database[collection].drop()
        champion = {"_id": "champion", "model_version": "1", "digest": "1", "published_at": NOW}
        mongo.upsert(database["state"], [champion])
        mongo.upsert(database["profiles"], map(profiles.to_document, stored_profiles))
        return copy, argparse.Namespace(lake=str(copy.root), mongo=uri, master=MASTER)

    return reset


def contents(lake, database):
    """Return what a run leaves, except its own time and the numbers of table versions."""
    tables = {
        table.name: lake.read_arrow(table).sort_by(table.key[0]).to_pylist()
        for table in (ITEM_SIMILARITIES, RECOMMENDATIONS)
    }
    collections = {
        name: {document["_id"]: document for document in database[name].find()} for name in COLLECTIONS
    }
    for document in collections["state"].values():
        for name in ("snapshots", "input_digest"):
            document.pop(name, None)
    return {**tables, "plays": play_log.read(lake).to_pylist(), **collections}


def test_run_killed_after_any_write_is_repeatable(spark, before, reset, monkeypatch):
    database = before[2]
    lake, arguments = reset("whole")
    assert change_detection.has_changes(arguments.lake, {})
    assert len(play_log.play_table(lake).pending_files()) == 3
    counts = recommend.main(arguments).counts
    assert (counts["plays"], counts["new plays"], counts["lists"]) == (300, 300, 5)
    assert play_log.play_table(lake).pending_files() == [] and len(list(lake.version(PLAYS).days())) >= 2
    expected = contents(lake, database)
    pairs = recommend._sample_users(recommend.interactions(lake.read(spark, PLAYS)))
    # They are the same each time, and take most of the time.
    monkeypatch.setattr(recommend, "_sample_users", lambda _: pairs)

    writes = [
        (mongo, "upsert"),
        (folder_tables, "_switch_pointer"),
        (Lake, "commit_arrow"),
        (append_table.AppendTable, "compact"),
    ]
    n_writes_left = 0

    def killing(write):
        def killed(*positional, **keywords):
            nonlocal n_writes_left
            result = write(*positional, **keywords)
            n_writes_left -= 1
            if n_writes_left == 0:
                raise Killed
            return result

        return killed

    for killed_after in range(1, 100):
        lake, arguments = reset(f"killed-{killed_after}")
        with monkeypatch.context() as patched:
            for owner, name in writes:
                patched.setattr(owner, name, killing(getattr(owner, name)))
            n_writes_left = killed_after
            try:
                recommend.main(arguments)
                break
            except Killed:
                pass
        recommend.main(arguments)
        assert contents(lake, database) == expected, killed_after
        assert play_log.play_table(lake).pending_files() == []
    assert killed_after > 8


def test_store_is_rebuilt_from_the_lake(spark, before, reset, monkeypatch):
    database = before[2]
    lake, arguments = reset("lake")
    recommend.main(arguments)
    rows, version = lake.read_arrow(RECOMMENDATIONS).to_pylist(), lake.version(RECOMMENDATIONS)
    stored = {document["_id"]: document for document in database["recommendations"].find()}
    with monkeypatch.context() as patched:  # nothing new, and no list is written again
        patched.delattr(mongo, "replace_unless_newer")
        assert recommend.main(arguments).counts["lists"] == 5 and lake.version(RECOMMENDATIONS) == version
    for lost in (["recommendations"], ["recommendations", "profiles"]):
        for name in lost:
            database[name].drop()
        assert recommend.main(arguments).counts["lists"] == 5
        assert {document["_id"]: document for document in database["recommendations"].find()} == stored
    assert lake.read_arrow(RECOMMENDATIONS).to_pylist() == rows
    items_of_rows = {row["user_id"]: row["items"] for row in rows}
    assert items_of_rows == {user: document["items"] for user, document in stored.items()}


def test_newer_list_of_the_stream_stays(spark, before, reset):
    database = before[2]
    _, arguments = reset("lake")
    profile = database["profiles"].find_one()
    newer = {
        "_id": profile["_id"],
        "model_version": "1",
        "as_of": NOW - timedelta(days=90),  # a late play: its time is not the newest
        "offsets": {origin: offset + 1 for origin, offset in profile["offsets"].items()},
        "items": [],
    }
    mongo.upsert(database["recommendations"], [newer])
    recommend.main(arguments)
    assert mongo.get(database["recommendations"], profile["_id"]) == newer


def test_workers_rank_from_a_lake_in_an_object_store(spark, before, reset, store_url, tmp_path, monkeypatch):
    database = before[2]
    lake, arguments = reset("lake")
    recommend.main(arguments)
    expected = contents(lake, database)
    stored = Lake(tmp_path / "state", store_url)
    for table in (TRACKS, FEATURES, EMBEDDINGS, FILES):
        stored.commit_arrow(table, lake.read_arrow(table).to_batches())
    play_log.play_table(stored).append("x-0.0", lake.read_arrow(PLAYS))
    _, arguments = reset("other")
    monkeypatch.setenv("SEGUE_STATE", str(stored.root))
    arguments.lake = store_url
    recommend.main(arguments)
    assert contents(stored, database) == expected
