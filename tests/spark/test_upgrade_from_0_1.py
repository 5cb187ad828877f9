"""A lake of Segue 0.1 with users, likes, playlists and plays becomes today's; lists follow the old plays.

The old tables have 0.1's names and columns (its `jobs/tables.py`), the accounts database is that of the
migrations' test. Training is left out (test_model_lifecycle.py); the model is that of the synthetic tracks.
"""

import argparse
import os
import shutil
import sqlite3
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet
import pytest

from jobs import cli
from jobs.lake.lake_version import find_version
from jobs.lake.schemas import EMBEDDINGS, FEATURES, FILES, PLAYS, RECOMMENDATIONS, TRACKS
from jobs.lake.storage import Lake
from jobs.online import mongo
from jobs.plays import play_log
from jobs.runtime import embedded_mongo
from jobs.steps import recommend
from jobs.streaming import reconcile
from jobs.streaming.catalog_cache import CatalogCache
from serving.db.accounts import Accounts
from serving.db.database import Database
from serving.db.feedback import FeedbackStore
from serving.db.playlists import Playlists
from tests import synthetic_lake
from tests.spark.conftest import MASTER
from tests.unit.serving.db.test_database import VERSION_0_1

# Columns that tables have in common with 0.1, which had no others of them.
COLUMNS_0_1 = {
    FILES: "path library size mtime_ns ctime_ns content_hash audio_path duration_s bit_rate target_bit_rate "
    "outcome",
    TRACKS: "track_id path audio_path content_hash title artist album track_no year genre genres duration_s "
    "bit_rate source mtime_ns top_genre genre_parents listens favourites licence split subset recording_id "
    "recording_mbid",
    FEATURES: "track_id feature_version content_hash duration_s sample_rate rmse_mean_01 onset_density",
    PLAYS: "event_id user_id track_id event position_s played_at session_id duration_s origin offset",
}
OUTCOMES_0_1 = {"unchanged": "kept", "not_tried": "listed"}

PLAYED_AT = datetime(2026, 11, 6, 20, 0, tzinfo=UTC)

# anna plays three tracks of Artist 0 and dislikes one of Artist 2; bert plays three of Artist 5.
EVENTS = [
    *(("anna", f"t{number:02d}", "finished") for number in (0, 1, 2)),
    ("anna", "t10", "disliked"),
    *(("bert", f"t{number:02d}", "finished") for number in (25, 26, 27)),
]


def write_0_1(root, name, rows, *, folder="v000001"):
    """Write a table's version as 0.1 did: a folder, and the link `current` to it."""
    path = root / name / folder
    path.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(rows, path / "part-00000.parquet")
    pointer = root / name / "current"
    if not pointer.is_symlink():
        pointer.symlink_to(path.relative_to(root / name).parts[0])


def play_rows():
    rows = []
    for offset, (user, track_id, event) in enumerate(EVENTS):
        played_at = PLAYED_AT + timedelta(minutes=offset)
        row = {"event_id": f"e{offset}", "user_id": user, "track_id": track_id, "event": event}
        rows.append(
            {
                **dict.fromkeys(PLAYS.names),
                **row,
                "played_at": played_at,
                "origin": "plays-0@x",
                "offset": offset,
            }
        )
    return rows


def track_ids(recommended):
    return [item["track_id"] for item in recommended["items"]]


@pytest.fixture(scope="module")
def old_lake(tmp_path_factory):
    """The lake of 0.1: 40 tracks by eight artists."""
    today = synthetic_lake.make(tmp_path_factory.mktemp("today") / "lake", seconds=0.05)
    root = tmp_path_factory.mktemp("version 0.1") / "lake"
    shutil.copytree(today.root / "audio", root / "audio")
    for declared in (FILES, TRACKS, FEATURES):
        rows = today.read_arrow(declared, *COLUMNS_0_1[declared].split())
        if declared is FILES:
            outcomes = [OUTCOMES_0_1[("unchanged", "not_tried")[n % 2]] for n in range(len(rows))]
            rows = rows.set_column(rows.column_names.index("outcome"), "outcome", pa.array(outcomes))
        write_0_1(root, declared.name, rows)
    plays = pa.Table.from_pylist(play_rows(), schema=PLAYS.arrow_schema()).select(COLUMNS_0_1[PLAYS].split())
    write_0_1(root, "PLAYS", plays.slice(0, 3), folder="v000001/day=2026-11-06")
    (root / "PLAYS" / "live").mkdir()
    pyarrow.parquet.write_table(plays.slice(3), root / "PLAYS" / "live" / "0-x.parquet")
    write_0_1(root, "METADATA", pa.table({"track_id": ["2"], "line": pa.array([4], pa.int32())}))
    write_0_1(root, "TOGETHER", pa.table({"track_id": ["t00"], "listeners": [1], "others": [["t39"]]}))
    write_0_1(root, "PAIRS", pa.table({"content_hash": ["a"], "other_hash": ["b"], "same": [1]}))
    vectors = today.read_arrow(EMBEDDINGS)
    write_0_1(root, "EMBEDDINGS", vectors)
    write_0_1(root, "VECTORS", vectors.select(["track_id", "embedding"]))
    write_0_1(root, "RECOMMENDATIONS", pa.table({"user_id": ["anna"], "model_version": ["0"]}))
    for name in ("mongo", "stream"):
        (root / name).mkdir()
        (root / name / "file").write_text("of another form today")
    (root / "accounts").mkdir()
    connection = sqlite3.connect(root / "accounts" / "accounts.db")
    connection.executescript(VERSION_0_1)
    connection.execute("INSERT INTO users VALUES ('bert', 'hash', 0, '2026-11-01T00:00:00+00:00')")
    connection.execute("DELETE FROM removed")
    connection.execute("INSERT INTO feedback VALUES ('bert', 't25', 1, '2026-11-06T00:00:00+00:00', 1)")
    connection.commit()
    connection.close()
    return root, today.read_arrow(EMBEDDINGS)


def test_upgraded_lake_has_everything_and_its_first_lists_are_right(spark, old_lake, tmp_path, capsys):
    old_root, vectors = old_lake
    root = tmp_path / "lake"
    shutil.copytree(old_root, root, symlinks=True)
    assert cli.main(["recommend", "--lake", str(root)]) == 2  # 0.1's lake is not touched before
    assert cli.main(["upgrade", "--lake", str(root)]) == 0
    assert "upgraded from version 1 to 2" in capsys.readouterr().out
    assert find_version(root) == 2

    lake = Lake(root)
    assert sorted(play_log.read(lake).to_pylist(), key=lambda row: row["offset"]) == play_rows()
    for declared in (TRACKS, FEATURES):
        names = COLUMNS_0_1[declared].split()
        file = old_root / declared.name / "current" / "part-00000.parquet"
        assert lake.read_arrow(declared, *names).equals(pyarrow.parquet.read_table(file).select(names))
    assert all(os.path.exists(row["audio_path"]) for row in lake.iter_rows(TRACKS, "audio_path"))
    assert set(lake.read_arrow(FILES, "outcome")["outcome"].to_pylist()) == {"unchanged", "not_tried"}
    database = Database(root)
    feedback, playlists = FeedbackStore(database), Playlists(database)
    assert Accounts(database).list_users() == [("anna", True), ("bert", False)]
    assert (feedback.ratings("anna"), feedback.ratings("bert")) == ({"t1": True}, {"t25": True})
    assert [(p.title, p.tracks) for p in playlists.list_playlists("anna")] == [("Evening", ("t1", "t2"))]
    assert (playlists.stars("anna"), list(playlists.favourites("anna"))) == ({"t1": 5}, ["al-1"])
    database.close()

    # What follows: `segue run` publishes a model of these tracks, the stream starts, a night passes.
    lake.commit_arrow(EMBEDDINGS, vectors.to_batches())
    champion = {"_id": "champion", "model_version": "1", "digest": "1", "published_at": PLAYED_AT}
    with embedded_mongo.embedded_mongo(root / "mongo") as uri, mongo.database(uri) as store:
        mongo.upsert(store["state"], [champion])
        assert reconcile.reconcile(store, CatalogCache(lake), lake) == 2
        live = {row["_id"]: track_ids(row) for row in store["recommendations"].find()}
        counts = recommend.main(argparse.Namespace(lake=str(root), mongo=uri, master=MASTER)).counts
    assert (counts["plays"], counts["new plays"], counts["lists"]) == (7, 4, 2)
    nightly = {row["user_id"]: track_ids(row) for row in lake.iter_rows(RECOMMENDATIONS)}
    for lists in (live, nightly):
        assert {*lists["anna"][:2]} == {"t03", "t04"} and {*lists["bert"][:2]} == {"t28", "t29"}
        assert "t10" not in lists["anna"]
    assert cli.main(["upgrade", "--lake", str(root)]) == 0
    assert "nothing to do" in capsys.readouterr().out
