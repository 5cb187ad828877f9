"""`segue run` as a user runs it: the tables and MongoDB afterwards, a second run, more music, bad input."""

import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest

from jobs.lake.feature_columns import FEATURE_COLUMNS
from jobs.lake.schemas import FEATURES
from jobs.lake.storage import Lake
from jobs.model import registry, tracking
from tests.services.conftest import documents, rows, segue, steps


@pytest.fixture(scope="module")
def lake(tmp_path_factory, demo_library):
    """A lake after one run over 12 clips, a broken file and a copy of a clip."""
    folder = tmp_path_factory.mktemp("run")
    shutil.copytree(demo_library(12), folder / "music")
    first = sorted((folder / "music").rglob("*.mp3"))[0]
    shutil.copy(first, folder / "music" / "a copy of it.mp3")
    (folder / "music" / "broken.mp3").write_text("not music")
    done = segue(folder / "lake", "run", "--library", str(folder / "music"))
    assert "14 found, 13 compressed, 0 kept, 1 rejected" in " ".join(done.stdout.split())
    assert "broken.mp3 (compress): expected audio" in done.stdout
    return folder / "lake"


def test_every_track_is_in_every_table(lake):
    found = rows(lake)
    ids = {row["track_id"] for row in found["TRACKS"]}
    assert len(ids) == 12  # the copy is the same track
    assert (
        ids
        == {row["track_id"] for row in found["FEATURES"]}
        == {row["track_id"] for row in found["EMBEDDINGS"]}
    )
    assert [(row["path"].rsplit("/")[-1], row["step"]) for row in found["REJECTS"]] == [
        ("broken.mp3", "compress")
    ]
    values = np.array([[row[name] for name in FEATURE_COLUMNS] for row in found["FEATURES"]], dtype=float)
    assert np.isfinite(values).all()


def test_embeddings_have_unit_length(lake):
    vectors = np.array([row["embedding"] for row in rows(lake)["EMBEDDINGS"]])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_mongo_shows_what_the_lake_holds(lake):
    found, shown = rows(lake), documents(lake)
    ids = {row["track_id"] for row in found["TRACKS"]}
    version = found["EMBEDDINGS"][0]["model_version"]
    champion = shown["state"]["champion"]
    assert (champion["model_version"], champion["tracks"]) == (version, 12)
    assert set(shown["tracks"]) == ids
    assert set(shown["similar"]) == {f"{version}:{track_id}" for track_id in ids}
    vectors = {row["track_id"]: np.array(row["embedding"]) for row in found["EMBEDDINGS"]}
    for row in found["TRACKS"]:
        document = shown["tracks"][row["track_id"]]
        assert {name: document[name] for name in ("title", "artist", "path")} == {
            name: row[name] for name in ("title", "artist", "path")
        }
        items = shown["similar"][f"{version}:{row['track_id']}"]["items"]
        exact = {other: vectors[row["track_id"]] @ vectors[other] for other in ids - {row["track_id"]}}
        assert "cluster" not in document  # nothing of a model: it would change before the champion does
        assert [item["track_id"] for item in items] == sorted(
            exact, key=lambda other: (-round(exact[other], 5), other)
        )
        assert items[0]["score"] == pytest.approx(max(exact.values()), abs=1e-5)


def test_features_in_mongo_are_those_of_the_table(lake):
    row, shown = rows(lake)["FEATURES"][0], documents(lake)["tracks"]
    assert shown[row["track_id"]]["features"]["mfcc"]["mean"][2] == pytest.approx(row["mfcc_mean_03"])
    assert shown[row["track_id"]]["features"]["zcr"]["std"] == [pytest.approx(row["zcr_std_01"])]


def test_mlflow_holds_a_run_for_every_k_and_the_model(lake):
    tracking.connect(None, lake)
    (version,) = registry.versions()
    client = mlflow.MlflowClient()
    parent = client.get_run(version.run_id)
    children = client.search_runs(
        [parent.info.experiment_id], f"tags.mlflow.parentRunId = '{version.run_id}'"
    )
    scores = {
        (int(c.data.params["k"]), int(c.data.params["seed"])): c.data.metrics["score"] for c in children
    }
    assert {seed for _, seed in scores} == {0, 1}  # --seeds 2
    assert int(version.tags["k"]) == max(scores, key=lambda tried: (round(scores[tried], 9), -tried[0]))[0]
    assert parent.data.params["recipe"] == "timbre" and "hubness_after_centering" in parent.data.params
    assert len(parent.data.tags["git_commit"]) == 40 and len(version.tags["model_hash"]) == 64
    pictures = {"silhouette.png", "cluster_sizes.png", "genres_by_cluster.png", "map.png"}
    assert pictures < {file.path for file in client.list_artifacts(version.run_id)}
    systems = {name.split("/")[0] for name in parent.data.metrics if "genre_precision_at_10" in name}
    assert systems == {"model", "mfcc_mean", "popularity", "random"}
    assert client.get_model_version_by_alias(registry.MODEL, registry.CHAMPION).version == version.version
    assert len(version.tags["training_hash"]) == 64
    assert version.tags["feature_version"] == rows(lake)["FEATURES"][0]["feature_version"]


def test_the_registered_model_gives_the_tables_embeddings(lake):
    tracking.connect(None, lake)
    model = mlflow.pyfunc.load_model(f"models:/{registry.MODEL}@{registry.CHAMPION}")
    assert {"mfcc_mean_01", "tempo"} < {column.name for column in model.metadata.signature.inputs}
    features = Lake(lake).read_arrow(FEATURES).sort_by("track_id").to_pandas()
    predicted = model.predict(pd.DataFrame(features[list(FEATURE_COLUMNS)]))
    expected = rows(lake)["EMBEDDINGS"]
    np.testing.assert_allclose(predicted["embedding"], [row["embedding"] for row in expected], atol=1e-5)
    assert list(predicted["cluster"]) == [row["cluster"] for row in expected]


def test_a_second_run_does_nothing_twice(lake):
    before, shown = rows(lake), documents(lake)
    done = segue(lake, "run", "--library", str(lake.parent / "music"))
    assert "0 tried now" in done.stdout
    assert rows(lake) == before
    assert documents(lake) == shown
    tracking.connect(None, lake)
    assert len(registry.versions()) == 1


def test_a_lost_mongo_is_filled_again(lake):
    shown = documents(lake)
    shutil.rmtree(lake / "mongo")
    steps(lake, ["publish"], ["recommend"])
    assert documents(lake) == shown


def test_a_deleted_file_leaves_every_table(lake):
    tracks = rows(lake)["TRACKS"]
    gone = next(row for row in tracks if "a copy" not in row["path"] and row["path"].endswith(".ogg"))
    (lake.parent / "music" / gone["path"]).unlink()
    segue(lake, "run", "--library", str(lake.parent / "music"), "--k", "3", "--seeds", "1")
    found, shown = rows(lake), documents(lake)
    ids = {row["track_id"] for row in tracks} - {gone["track_id"]}
    version = shown["state"]["champion"][
        "model_version"
    ]  # whether the gate let the new one through or not
    assert {row["track_id"] for row in found["TRACKS"]} == set(shown["tracks"]) == ids
    assert ids == {row["track_id"] for row in found["EMBEDDINGS"] if row["model_version"] == version}
    lists = [value for key, value in shown["similar"].items() if key.startswith(f"{version}:")]
    neighbours = [item for value in lists for item in value["items"]]
    assert len(lists) == len(ids)
    tracking.connect(None, lake)
    assert [str(known.version) for known in registry.versions()] == ["2", "1"]
    assert gone["track_id"] not in {item["track_id"] for item in neighbours}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--library", "nowhere"], "--library: expected a folder of music, found nothing at nowhere"),
        (["run", "--library", "."], "--library: expected audio"),
        (["compress", "--library", ".", "--bitrate", "loud"], "--bitrate: expected 8k to 512k, found 'loud'"),
        (["catalog", "--lake", "s3://bucket"], "--lake: expected a folder on a mounted disk"),
        (["embed", "--dimensions", "0"], "--dimensions: expected 1 to"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = segue(tmp_path / "lake", *arguments, status=2)
    assert done.stdout == ""
    assert done.stderr.startswith(f"segue {arguments[0]}: {message}") and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cluster"], "expected rows in VECTORS, found none; run `segue embed` first"),
        (["embed"], "expected tracks with features, found none"),
        (["publish"], "expected a registered model, found none; run `segue cluster` first"),
    ],
)
def test_a_step_out_of_turn_names_the_one_before(tmp_path, arguments, message):
    assert message in segue(tmp_path / "lake", *arguments, status=1).stderr


def test_a_mongo_that_is_away_is_one_line(lake):
    done = segue(
        lake, "publish", "--mongo", "mongodb://127.0.0.1:9/segue?serverSelectionTimeoutMS=300", status=1
    )
    assert (
        done.stderr.startswith("segue publish: --mongo: expected MongoDB to answer at")
        and done.stderr.count("\n") == 1
    )
