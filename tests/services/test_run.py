"""`segue run` as a user runs it: tables and MongoDB afterwards, a second run, deleted music, bad input."""

import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest

from jobs import cli
from jobs.lake.feature_columns import FEATURE_COLUMNS
from jobs.lake.schemas import FEATURES
from jobs.lake.storage import Lake
from jobs.model import registry, tracking
from tests.services.conftest import documents, rows, segue, steps


@pytest.fixture(scope="module")
def lake(tmp_path_factory, demo_library):
    """Give a lake after one run over 12 clips, a broken file and a copy of a clip."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(demo_library(12), folder / "music")
    first = sorted((folder / "music").rglob("*.mp3"))[0]
    shutil.copy(first, folder / "music" / "a copy of it.mp3")
    (folder / "music" / "broken.mp3").write_text("not music")
    done = segue(folder / "lake", "run", "--library", str(folder / "music"))
    assert "14 found, 13 compressed, 0 unchanged, 1 rejected" in " ".join(done.stdout.split())
    assert "broken.mp3 (compress): expected audio" in done.stdout
    return folder / "lake"


def test_every_track_is_in_every_table(lake):
    tables = rows(lake)
    ids = {row["track_id"] for row in tables["TRACKS"]}
    assert len(ids) == 12  # the copy is the same track
    assert (
        ids
        == {row["track_id"] for row in tables["FEATURES"]}
        == {row["track_id"] for row in tables["EMBEDDINGS"]}
    )
    assert [(row["path"].rsplit("/")[-1], row["step"]) for row in tables["REJECTS"]] == [
        ("broken.mp3", "compress")
    ]
    values = np.array([[row[name] for name in FEATURE_COLUMNS] for row in tables["FEATURES"]], dtype=float)
    assert np.isfinite(values).all()


def test_embeddings_are_the_embedders_vectors_of_unit_length_in_order(lake):
    tables = rows(lake)
    vectors = np.array([row["embedding"] for row in tables["EMBEDDINGS"]])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    for table in ("EMBEDDINGS", "VECTORS"):
        assert tables[table] == sorted(tables[table], key=lambda row: row["track_id"])
    embedded = {row["track_id"]: row["embedding"] for row in tables["EMBEDDINGS"]}
    assert embedded == {row["track_id"]: row["embedding"] for row in tables["VECTORS"]}


def test_mongo_has_what_the_lake_has(lake):
    tables = rows(lake)
    collections = documents(lake)
    ids = {row["track_id"] for row in tables["TRACKS"]}
    version = tables["EMBEDDINGS"][0]["model_version"]
    champion = collections["state"]["champion"]
    assert (champion["model_version"], champion["tracks"]) == (version, 12)
    assert set(collections["tracks"]) == ids
    assert set(collections["similar"]) == {f"{version}:{track_id}" for track_id in ids}
    vectors = {row["track_id"]: np.array(row["embedding"]) for row in tables["EMBEDDINGS"]}
    for row in tables["TRACKS"]:
        document = collections["tracks"][row["track_id"]]
        assert {name: document[name] for name in ("title", "artist", "path")} == {
            name: row[name] for name in ("title", "artist", "path")
        }
        items = collections["similar"][f"{version}:{row['track_id']}"]["items"]
        exact = {other: vectors[row["track_id"]] @ vectors[other] for other in ids - {row["track_id"]}}
        assert "cluster" not in document  # nothing of a model, or it would change before the champion does
        assert [item["track_id"] for item in items] == sorted(
            exact, key=lambda other: (-round(exact[other], 5), other)
        )
        assert items[0]["score"] == pytest.approx(max(exact.values()), abs=1e-5)


def test_mongo_has_the_features_of_the_table(lake):
    row = rows(lake)["FEATURES"][0]
    features = documents(lake)["tracks"][row["track_id"]]["features"]
    assert features["mfcc"]["mean"][2] == pytest.approx(row["mfcc_mean_03"])
    assert features["zcr"]["std"] == [pytest.approx(row["zcr_std_01"])]


def test_mlflow_has_a_run_for_every_k_and_the_model(lake):
    tracking.connect(None, lake)
    (version,) = registry.versions()
    client = mlflow.MlflowClient()
    parent = client.get_run(version.run_id)
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.mlflow.parentRunId = '{version.run_id}'"
    )
    scores = {
        (int(c.data.params["k"]), int(c.data.params["seed"])): c.data.metrics["selection_score"]
        for c in children
    }
    assert {seed for _, seed in scores} == {0, 1}  # --seeds 2
    assert int(version.tags["k"]) == max(scores, key=lambda trial: (round(scores[trial], 9), -trial[0]))[0]
    assert parent.data.params["recipe"] == "musicnn" and "hubness_after_centering" in parent.data.params
    assert len(parent.data.tags["git_commit"]) == 40 and len(version.tags["model_hash"]) == 64
    plots = {"silhouette.png", "cluster_sizes.png", "genres_by_cluster.png", "map.png"}
    assert plots < {file.path for file in client.list_artifacts(version.run_id)}
    systems = {name.split("/")[0] for name in parent.data.metrics if "genre_precision_at_10" in name}
    assert systems == {"model", "mfcc_mean", "popularity", "random", "ceiling"}
    assert client.get_model_version_by_alias(registry.MODEL, registry.CHAMPION).version == version.version
    assert len(version.tags["training_hash"]) == 64
    assert version.tags["feature_version"] == rows(lake)["FEATURES"][0]["feature_version"]


def test_registered_model_gives_the_embeddings_of_the_table(lake):
    tracking.connect(None, lake)
    model = mlflow.pyfunc.load_model(f"models:/{registry.MODEL}@{registry.CHAMPION}")
    assert {"musicnn_001", "mel_mean_001", "tempo"} < {
        column.name for column in model.metadata.signature.inputs
    }
    features = Lake(lake).read_arrow(FEATURES).sort_by("track_id").to_pandas()
    predicted = model.predict(pd.DataFrame(features[list(FEATURE_COLUMNS)]))
    expected = rows(lake)["EMBEDDINGS"]
    np.testing.assert_allclose(predicted["embedding"], [row["embedding"] for row in expected], atol=1e-5)
    assert list(predicted["cluster"]) == [row["cluster"] for row in expected]


def test_second_run_changes_nothing(lake):
    tables = rows(lake)
    collections = documents(lake)
    done = segue(lake, "run", "--library", str(lake.parent / "music"))
    assert "13 compressed, 0 unchanged, 1 rejected, 0 attempted" in " ".join(done.stdout.split())
    assert rows(lake) == tables
    assert documents(lake) == collections
    tracking.connect(None, lake)
    assert len(registry.versions()) == 1


def test_publish_and_recommend_refill_a_lost_mongo(lake):
    collections = documents(lake)
    shutil.rmtree(lake / "mongo")
    steps(lake, ["publish"], ["recommend"])
    assert documents(lake) == collections


def test_deleted_file_leaves_every_table(lake):
    tracks = rows(lake)["TRACKS"]
    deleted = next(row for row in tracks if "a copy" not in row["path"] and row["path"].endswith(".ogg"))
    (lake.parent / "music" / deleted["path"]).unlink()
    segue(lake, "run", "--library", str(lake.parent / "music"), "--k", "3", "--seeds", "1")
    tables = rows(lake)
    collections = documents(lake)
    ids = {row["track_id"] for row in tracks} - {deleted["track_id"]}
    version = collections["state"]["champion"][
        "model_version"
    ]  # whether the gate passed the new model or not
    assert {row["track_id"] for row in tables["TRACKS"]} == set(collections["tracks"]) == ids
    assert ids == {row["track_id"] for row in tables["EMBEDDINGS"] if row["model_version"] == version}
    lists = [value for key, value in collections["similar"].items() if key.startswith(f"{version}:")]
    neighbours = [item for value in lists for item in value["items"]]
    assert len(lists) == len(ids)
    tracking.connect(None, lake)
    assert [str(known.version) for known in registry.versions()] == ["2", "1"]
    assert deleted["track_id"] not in {item["track_id"] for item in neighbours}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--library", "nowhere"], "--library: expected a folder of music, found nothing at nowhere"),
        (["run", "--library", "."], "--library: expected audio"),
        (["compress", "--library", ".", "--bitrate", "loud"], "--bitrate: expected 8k to 512k, found 'loud'"),
        (["catalog", "--lake", "hdfs://host/lake"], "--lake: expected a folder on a mounted disk"),
        (["embed", "--dimensions", "0"], "--dimensions: expected 1 to"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, monkeypatch, capfd, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGUE_LAKE", str(tmp_path / "lake"))
    assert cli.main(arguments) == 2
    out, error = capfd.readouterr()
    assert out == ""
    assert error.startswith(f"segue {arguments[0]}: {message}") and error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cluster"], "expected rows in VECTORS, found none; run `segue embed` first"),
        (["embed"], "expected tracks with features, found none"),
        (["publish"], "expected a registered model, found none; run `segue cluster` first"),
    ],
)
def test_step_without_its_input_names_the_step_before(tmp_path, monkeypatch, capfd, arguments, message):
    monkeypatch.setenv("SEGUE_LAKE", str(tmp_path / "lake"))
    assert cli.main(arguments) == 1
    assert message in capfd.readouterr().err


def test_unavailable_mongo_is_one_line(lake):
    done = segue(
        lake, "publish", "--mongo", "mongodb://127.0.0.1:9/segue?serverSelectionTimeoutMS=300", status=1
    )
    assert (
        done.stderr.startswith("segue publish: --mongo: expected MongoDB to answer at")
        and done.stderr.count("\n") == 1
    )
