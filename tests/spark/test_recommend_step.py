"""`segue recommend` over a small lake with plays that wait: killed after every write, the next one ends at the same."""

import argparse
import shutil
from datetime import timedelta

import pytest

from jobs.lake import append_table, storage
from jobs.lake.schemas import ITEM_SIMILARITIES, PLAYS, RECOMMENDATIONS
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.orchestration import change_detection
from jobs.plays import play_log, simulator
from jobs.plays.events import LoggedPlay
from jobs.recommender import collaborative, item_catalog, offline_evaluation, profiles
from jobs.runtime import embedded_mongo
from jobs.steps import recommend
from tests import synthetic_lake
from tests.spark.conftest import MASTER
from tests.spark.test_recommend import NOW

CHOICE = offline_evaluation.SelectedWeights(
    collaborative.CollaborativeConfig(), item_catalog.RankingWeights(4.0, 64.0, 0.0)
)
SHOWN = ("profiles", "recommendations", "state")


class Killed(BaseException):
    """What kill -9 is to the code: nothing catches it."""


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """A lake with plays that the stream has added, and with a champion, but without a night since; its store runs."""
    lake = synthetic_lake.make(tmp_path_factory.mktemp("recommend") / "lake", seconds=0.05)
    ids = [f"t{number:02d}" for number in range(40)]
    groups = [number // 5 for number in range(40)]
    made = simulator.simulate_plays(
        ids, groups, [30.0] * 40, users=6, events=300, seed=1, begin=NOW, days=2.5
    )
    plays = [LoggedPlay(play, "plays-0@x", offset) for offset, play in enumerate(made)]
    heard = {logged.play.user_id: profiles.new_profile(logged.play.user_id) for logged in plays}
    for logged in plays:
        profiles.apply(heard[logged.play.user_id], logged.play, logged.origin, logged.offset)
    for start in range(0, len(plays), 100):
        play_log.play_table(lake).append(f"x-0.{start}", play_log.to_arrow(plays[start : start + 100]))
    with embedded_mongo.embedded_mongo(lake.root.parent / "mongo") as uri, mongo.database(uri) as database:
        yield lake, uri, database, list(heard.values())


@pytest.fixture
def fresh(before, tmp_path, monkeypatch):
    """Return a function that brings lake and store back to where they were, and the arguments of a run over them."""
    lake, uri, database, heard = before
    monkeypatch.setattr(
        offline_evaluation, "choose", lambda *_: CHOICE
    )  # chosen elsewhere; here it would take the time

    def reset(name):
        copy = Lake(tmp_path / name)
        shutil.copytree(lake.root, copy.root, dirs_exist_ok=True, symlinks=True)
        for collection in SHOWN:
            database[collection].drop()
        champion = {"_id": "champion", "model_version": "1", "digest": "1", "published_at": NOW}
        mongo.upsert(database["state"], [champion])
        mongo.upsert(database["profiles"], map(profiles.to_document, heard))
        return copy, argparse.Namespace(lake=str(copy.root), mongo=uri, master=MASTER)

    return reset


def state(lake, database):
    """Everything that a night leaves, but for its own time and the numbers of versions."""
    tables = {
        table.name: lake.read_arrow(table).sort_by(table.key[0]).to_pylist()
        for table in (ITEM_SIMILARITIES, RECOMMENDATIONS)
    }
    shown = {name: {each["_id"]: each for each in database[name].find()} for name in SHOWN}
    for each in shown["state"].values():
        for name in ("snapshots", "input_digest"):
            each.pop(name, None)
    return {**tables, "plays": play_log.read(lake).to_pylist(), **shown}


def test_killed_after_any_write_the_next_run_ends_at_the_same(spark, before, fresh, monkeypatch):
    database = before[2]
    whole, arguments = fresh("whole")
    assert (
        change_detection.has_changes(arguments.lake, {})
        and len(play_log.play_table(whole).pending_files()) == 3
    )
    counts = recommend.main(arguments).counts
    assert (counts["plays"], counts["new plays"], counts["lists"]) == (300, 300, 5)
    assert play_log.play_table(whole).pending_files() == [] and len(list(whole.version(PLAYS).iterdir())) >= 2
    expected = state(whole, database)
    pairs = recommend._sample_users(recommend.interactions(whole.read(spark, PLAYS)))
    monkeypatch.setattr(
        recommend, "_sample_users", lambda _: pairs
    )  # the same each time, and most of the time

    writes = [
        (mongo, "upsert"),
        (storage, "_point"),
        (Lake, "commit_arrow"),
        (append_table.AppendTable, "commit"),
    ]
    left = 0

    def killing(write):
        def killed(*given, **named):
            nonlocal left
            found = write(*given, **named)
            left -= 1
            if left == 0:
                raise Killed
            return found

        return killed

    for killed_after in range(1, 100):
        lake, arguments = fresh(f"killed-{killed_after}")
        with monkeypatch.context() as patched:
            for owner, name in writes:
                patched.setattr(owner, name, killing(getattr(owner, name)))
            left = killed_after
            try:
                recommend.main(arguments)
                break
            except Killed:
                pass
        recommend.main(arguments)
        assert state(lake, database) == expected, killed_after
        assert play_log.play_table(lake).pending_files() == []
    assert killed_after > 8


def test_the_store_is_brought_back_from_the_lake(spark, before, fresh, monkeypatch):
    database = before[2]
    lake, arguments = fresh("lake")
    recommend.main(arguments)
    rows, version = lake.read_arrow(RECOMMENDATIONS).to_pylist(), lake.version(RECOMMENDATIONS)
    shown = {each["_id"]: each for each in database["recommendations"].find()}
    with monkeypatch.context() as patched:  # nothing new, and no list is written again
        patched.delattr(mongo, "replace_unless_newer")
        assert recommend.main(arguments).counts["lists"] == 5 and lake.version(RECOMMENDATIONS) == version
    for lost in (["recommendations"], ["recommendations", "profiles"]):
        for name in lost:
            database[name].drop()
        assert recommend.main(arguments).counts["lists"] == 5
        assert {each["_id"]: each for each in database["recommendations"].find()} == shown
    assert lake.read_arrow(RECOMMENDATIONS).to_pylist() == rows
    assert {row["user_id"]: row["items"] for row in rows} == {
        user: each["items"] for user, each in shown.items()
    }


def test_a_list_that_the_stream_has_written_since_stays(spark, before, fresh):
    database = before[2]
    _, arguments = fresh("lake")
    profile = database["profiles"].find_one()
    user, offsets = profile["_id"], {origin: offset + 1 for origin, offset in profile["offsets"].items()}
    # Of a play that came late: its time is not the newest.
    later = {
        "_id": user,
        "model_version": "1",
        "as_of": NOW - timedelta(days=90),
        "offsets": offsets,
        "items": [],
    }
    mongo.upsert(database["recommendations"], [later])
    recommend.main(arguments)
    assert database["recommendations"].find_one({"_id": user}) == later
