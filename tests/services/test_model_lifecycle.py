"""The model's life with a real MLflow server and the embedded MongoDB: gate, promotion, rollback, kill -9 in between.

The tracks are rows of FEATURES with planted genres, so that nothing is decoded and what is right is known.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pytest
from mlflow import MlflowClient

from jobs.cli import parse
from jobs.commands import rollback
from jobs.errors import InputError, StepError
from jobs.lake.schemas import EMBEDDINGS, FEATURES, TRACKS
from jobs.lake.storage import Lake
from jobs.model import registry
from jobs.online import mongo
from jobs.runtime.embedded_mongo import embedded_mongo as embedded_mongo
from jobs.spark import session
from jobs.steps import cluster, embed, evaluate, promote, publish
from tests.synthetic_features import EACH, GENRES, rows, write


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The address of an MLflow server process, stopped afterwards."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", uri.rsplit(":")[-1]]
    command += [
        "--workers",
        "1",
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder),
    ]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        for _ in range(600):
            with suppress(OSError), urllib.request.urlopen(f"{uri}/health", timeout=1):
                break
            time.sleep(0.2)
        yield uri
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        psutil.wait_procs([*children, psutil.Process(process.pid)], timeout=20)


class World:
    """A lake, an MLflow server and a MongoDB, and the steps over them."""

    def __init__(self, lake: Lake, mlflow: str, uri: str) -> None:
        self.lake, self._addresses = (
            lake,
            ["--lake", str(lake.root), "--mlflow", mlflow, "--mongo", uri, "--master", "local[2]"],
        )
        self.uri = uri

    def arguments(self, command: str, *given: str) -> argparse.Namespace:
        return parse([command, *given, *self._addresses])

    def train(self, *given: str) -> str:
        """Embed, cluster and evaluate; return the challenger's version."""
        embed.main(self.arguments("embed", *given))
        version = str(cluster.main(self.arguments("cluster", "--k", "5", "--seeds", "1")).model_version)
        evaluate.main(self.arguments("evaluate", "--model-version", version))
        return version

    def promote(self, *given: str) -> dict[str, Any]:
        return promote.main(self.arguments("promote", *given))

    def online(self) -> dict[str, Any]:
        with mongo.database(self.uri) as database:
            return dict(database["state"].find_one({"_id": "champion"}) or {})

    def lists(self, version: str) -> dict[str, Any]:
        with mongo.database(self.uri) as database:
            return {
                d["track_id"]: d["items"] for d in database["similar"].find() if d["model_version"] == version
            }


@pytest.fixture(scope="module")
def world(server: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("life")
    session.redirect_stderr_to(folder / "spark.log")
    with embedded_mongo(folder / "mongo") as uri:
        yield World(Lake(folder / "lake"), server, uri)


def test_1_the_first_becomes_champion_and_finds_the_planted_genres(world: World) -> None:
    write(world.lake)
    assert world.train() == "1"
    assert "there was no champion" in world.promote()["gate"]
    assert world.online()["model_version"] == "1" and world.online()["previous"] is None
    figures = registry.evaluation(registry.version("1"))
    assert figures["model"]["genre_precision_at_5"] > 0.95 > 0.4 > figures["random"]["genre_precision_at_5"]
    assert figures["model"]["recall_at_10"] >= 0.98
    assert all(len(items) == GENRES * EACH - 1 for items in world.lists("1").values())
    client = MlflowClient()
    assert (
        client.get_run(registry.version("1").run_id).info.run_name
        == f"timbre, {GENRES * EACH} tracks, k 5, version 1"
    )
    assert client.get_experiment_by_name("segue").tags["mlflow.experimentKind"] == "custom_model_development"


def test_2_the_same_again_is_the_same_version_with_the_same_hash(world: World, tmp_path: Path) -> None:
    assert world.train() == "1"
    other = World(Lake(tmp_path / "other"), f"sqlite:///{tmp_path}/mlflow.db", world.uri)
    write(other.lake)
    embed.main(other.arguments("embed"))
    cluster.main(other.arguments("cluster", "--k", "5", "--seeds", "1"))
    hashed = registry.version("1").tags["model_hash"]
    registry.connect(world.arguments("models").mlflow, world.lake.root)
    assert registry.version("1").tags["model_hash"] == hashed


def test_3_a_worse_challenger_is_refused_and_the_champion_serves_on(world: World) -> None:
    version = world.train("--dimensions", "1")  # one number cannot tell five genres
    with pytest.raises(
        StepError, match=f"version {version} is not promoted: refused: genre precision at 10 .* margin"
    ):
        world.promote()
    assert registry.version(version).tags["gate"].startswith("refused")
    assert registry.aliases() == {"champion": "1", "challenger": version}
    assert world.online()["model_version"] == "1" and not world.lists(version)


def test_4_new_tracks_reach_the_champion_that_stays(world: World) -> None:
    tracks, features = rows(0, noise=1.0)
    for table, made in zip((TRACKS, FEATURES), (tracks[:-3], features[:-3]), strict=True):
        world.lake.commit_arrow(table, pa.Table.from_pylist(made, schema=table.arrow_schema()).to_batches())
    publish.main(world.arguments("publish"))
    assert world.online()["tracks"] == len(tracks) - 3 == len(world.lists("1"))
    write(world.lake)
    publish.main(world.arguments("publish"))
    assert (world.online()["model_version"], world.online()["tracks"]) == ("1", len(tracks))


def test_5_killed_between_alias_and_flip_the_old_one_serves_and_the_next_run_repairs(world: World) -> None:
    version = world.train("--recipe", "fma518")
    before = world.online(), world.lists("1")
    child = os.fork()
    if not child:  # the gate passes, and then the process is gone before MongoDB hears of it
        promote.gate(version, margin=1.0)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert registry.aliases()["champion"] == version
    assert (world.online(), world.lists("1")) == before
    assert world.promote()["new"] == GENRES * EACH  # the same command goes on
    assert world.promote()["new"] == 0
    assert world.online()["model_version"] == version and world.online()["previous"]["model_version"] == "1"
    assert world.lists("1") == before[1] and len(world.lists(version)) == GENRES * EACH


def test_6_killed_while_the_lists_are_written_readers_see_the_old_one(world: World, monkeypatch: Any) -> None:
    version, before = world.train("--recipe", "timbre", "--dimensions", "20"), world.online()
    with monkeypatch.context() as patched:  # everything is written but the one document
        patched.setattr(publish, "_previous", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            world.promote(version, "--margin", "1")
    assert world.online() == before and len(world.lists(before["model_version"])) == GENRES * EACH
    publish.main(world.arguments("publish"))
    assert world.online()["model_version"] == version
    assert not world.lists("1")  # two versions stay: this one and the one before


def test_7_rollback_flips_one_document_and_holds(world: World) -> None:
    now, back = world.online()["model_version"], world.online()["previous"]["model_version"]
    lists = world.lists(back)
    done = rollback.main(world.arguments("rollback"))
    assert (done["model version"], done["instead of"]) == (back, now) and "flipped" in done["online copy"]
    assert world.online()["model_version"] == back == registry.aliases()["champion"]
    assert world.lists(back) == lists
    # The next run trains the same version again: it must not come back by itself.
    run = world.arguments("run", "--library", ".")
    run.model_version = now
    reason = promote.promote_as_step(run)["gate"]
    assert reason.startswith("refused: it was rolled back on ")
    assert world.promote(now, "--force")["gate"] == "passed: forced"
    assert world.online()["model_version"] == now


def test_8_an_mlflow_that_is_down_is_one_line_and_changes_nothing(world: World) -> None:
    before = world.online()
    given = world.arguments("rollback")
    given.mlflow = "http://127.0.0.1:9"
    with pytest.raises(StepError, match="--mlflow: expected an MLflow server at http://127.0.0.1:9, found"):
        rollback.main(given)
    assert world.online() == before


def test_9_labels_from_a_file_replace_those_of_the_tags(world: World, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("path,genre\n" + "".join(f"{n:03d}.mp3,{'ab'[n % 2]}\n" for n in range(GENRES * EACH)))
    evaluate.main(world.arguments("evaluate", "--labels", str(file)))
    newest = registry.evaluation(registry.version(None))["model"]
    assert (
        newest["judged_queries"] == GENRES * EACH and newest["genre_precision_at_5"] < 0.7
    )  # a and b mean nothing
    file.write_text("name,genre\n1,a\n")
    with pytest.raises(
        InputError,
        match="--labels: expected columns genre and path or track_id, found name, genre|genre, name",
    ):
        evaluate.main(world.arguments("evaluate", "--labels", str(file)))


def test_embeddings_of_the_champion_and_its_predecessor_stay(world: World) -> None:
    found = set(world.lake.read_arrow(EMBEDDINGS, "model_version")["model_version"].to_pylist())
    assert {registry.aliases()["champion"], registry.aliases()["previous"]} <= found
