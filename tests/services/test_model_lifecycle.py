"""The model's lifecycle with a real MLflow server and the embedded MongoDB: gate, kill -9, rollback.

The tracks are rows of FEATURES with planted genres, so that nothing is decoded and the right neighbours are
known. The tests build on one another, in their order.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
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
from jobs.model import registry, tracking
from jobs.online import mongo, publisher
from jobs.runtime.embedded_mongo import embedded_mongo
from jobs.spark import session
from jobs.steps import cluster, embed, evaluate, promote, publish
from tests.synthetic_features import N_TRACKS, rows, write

GATE_THEN_KILL = """
import os, signal, sys
from pathlib import Path
from jobs.model import tracking
from jobs.steps import promote

tracking.connect(sys.argv[1], Path(sys.argv[2]))
promote.gate(sys.argv[3], margin=1.0)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start an MLflow server process, and stop it afterwards; yield its address."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder)]
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


class Installation:
    """A lake, an MLflow server and a MongoDB, and the steps over them."""

    def __init__(self, lake: Lake, mlflow_uri: str, mongo_uri: str) -> None:
        self.lake = lake
        self.mlflow_uri = mlflow_uri
        self.mongo_uri = mongo_uri

    def arguments(self, command: str, *options: str) -> argparse.Namespace:
        addresses = ["--lake", str(self.lake.root), "--mlflow", self.mlflow_uri, "--mongo", self.mongo_uri]
        return parse([command, *options, *addresses, "--master", "local[2]"])

    def train(self, *options: str) -> str:
        """Embed, cluster and evaluate; return the challenger's version."""
        embed.main(self.arguments("embed", *options))
        result = cluster.main(self.arguments("cluster", "--k", "5", "--seeds", "1"))
        version = str(result.model_version)
        evaluate.main(self.arguments("evaluate", "--model-version", version))
        return version

    def promote(self, *options: str) -> dict[str, Any]:
        """Promote and publish; return the counts."""
        return dict(promote.main(self.arguments("promote", *options)).counts)

    def publish(self) -> None:
        publish.main(self.arguments("publish"))

    def online(self) -> dict[str, Any]:
        """Return the document of the version online."""
        with mongo.database(self.mongo_uri) as database:
            return dict(mongo.get(database["state"], "champion") or {})

    def neighbour_lists(self, version: str) -> dict[str, Any]:
        """Return each track's neighbours of a version."""
        with mongo.database(self.mongo_uri) as database:
            return {
                document["track_id"]: document["items"]
                for document in database["similar"].find()
                if document["model_version"] == version
            }


@pytest.fixture(scope="module")
def installation(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("lifecycle")
    session.redirect_stderr_to(folder / "spark.log")
    with embedded_mongo(folder / "mongo") as uri:
        yield Installation(Lake(folder / "lake"), server, uri)


def test_1_first_version_becomes_champion(installation: Installation) -> None:
    write(installation.lake)
    assert installation.train() == "1"
    assert "there was no champion" in installation.promote()["gate"]
    assert installation.online()["model_version"] == "1"
    assert installation.online()["previous"] is None
    metrics = registry.evaluation(registry.version("1"))
    assert metrics["model"]["genre_precision_at_5"] > 0.95 > 0.4 > metrics["random"]["genre_precision_at_5"]
    assert metrics["model"]["index_recall_at_10"] >= 0.98
    assert all(len(items) == N_TRACKS - 1 for items in installation.neighbour_lists("1").values())
    client = MlflowClient()
    run_name = client.get_run(registry.version("1").run_id).info.run_name
    assert run_name == f"timbre, {N_TRACKS} tracks, k 5, version 1"
    experiment_tags = client.get_experiment_by_name("segue").tags
    assert experiment_tags["mlflow.experimentKind"] == "custom_model_development"


def test_2_same_training_is_same_version_and_hash(installation: Installation, tmp_path: Path) -> None:
    assert installation.train() == "1"
    other = Installation(Lake(tmp_path / "other"), f"sqlite:///{tmp_path}/mlflow.db", installation.mongo_uri)
    write(other.lake)
    embed.main(other.arguments("embed"))
    cluster.main(other.arguments("cluster", "--k", "5", "--seeds", "1"))
    other_hash = registry.version("1").tags["model_hash"]
    tracking.connect(installation.mlflow_uri, installation.lake.root)
    assert registry.version("1").tags["model_hash"] == other_hash


def test_3_worse_challenger_is_refused(installation: Installation) -> None:
    version = installation.train("--dimensions", "1")  # one number cannot separate five genres
    refused = f"version {version} is not promoted: refused: genre map .* not shown to be better"
    with pytest.raises(StepError, match=refused):
        installation.promote()
    assert registry.version(version).tags["gate"].startswith("refused")
    assert registry.aliases() == {"champion": "1", "challenger": version}
    assert installation.online()["model_version"] == "1"
    assert not installation.neighbour_lists(version)


def test_4_new_tracks_reach_a_champion_that_stays(installation: Installation) -> None:
    tracks, features = rows(0, noise=1.0)
    for table, table_rows in ((TRACKS, tracks[:-3]), (FEATURES, features[:-3])):
        batches = pa.Table.from_pylist(table_rows, schema=table.arrow_schema()).to_batches()
        installation.lake.commit_arrow(table, batches)
    installation.publish()
    assert installation.online()["tracks"] == N_TRACKS - 3 == len(installation.neighbour_lists("1"))
    write(installation.lake)
    installation.publish()
    online = installation.online()
    assert (online["model_version"], online["tracks"]) == ("1", N_TRACKS)


def test_5_kill_between_alias_and_flip_is_repaired(installation: Installation) -> None:
    version = installation.train("--recipe", "fma518")
    online, lists = installation.online(), installation.neighbour_lists("1")
    # The gate passes, and the process is killed before it writes to MongoDB.
    killed = [
        sys.executable,
        "-c",
        GATE_THEN_KILL,
        installation.mlflow_uri,
        str(installation.lake.root),
        version,
    ]
    assert subprocess.run(killed, check=False).returncode == -signal.SIGKILL
    assert registry.aliases()["champion"] == version
    assert installation.online() == online
    assert installation.neighbour_lists("1") == lists
    assert installation.promote()["new"] == N_TRACKS  # the same command resumes
    assert installation.promote()["new"] == 0
    assert installation.online()["model_version"] == version
    assert installation.online()["previous"]["model_version"] == "1"
    assert installation.neighbour_lists("1") == lists
    assert len(installation.neighbour_lists(version)) == N_TRACKS


def test_6_kill_while_publishing_leaves_old_version_online(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = installation.train("--recipe", "timbre", "--dimensions", "20")
    online = installation.online()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:  # everything is written but the document `champion`
        patched.setattr(publisher, "_version_before", interrupt)
        with pytest.raises(KeyboardInterrupt):
            installation.promote(version, "--margin", "1")
    assert installation.online() == online
    assert len(installation.neighbour_lists(online["model_version"])) == N_TRACKS
    installation.publish()
    assert installation.online()["model_version"] == version
    assert not installation.neighbour_lists("1")  # two versions stay: this one and the one before


def test_7_rollback_holds_until_forced(installation: Installation) -> None:
    champion = installation.online()["model_version"]
    previous = installation.online()["previous"]["model_version"]
    lists = installation.neighbour_lists(previous)
    result = rollback.main(installation.arguments("rollback"))
    assert (result.model_version, result.counts["previous"]) == (previous, champion)
    assert "flipped" in result.counts["online store"]
    assert installation.online()["model_version"] == previous == registry.aliases()["champion"]
    assert installation.neighbour_lists(previous) == lists
    # The next run trains the same version again: the gate must not promote it.
    run = installation.arguments("run", "--library", ".")
    run.model_version = champion
    reason = promote.promote_as_step(run).counts["gate"]
    assert reason.startswith("refused: it was rolled back on ")
    assert installation.promote(champion, "--force")["gate"] == "passed: forced"
    assert installation.online()["model_version"] == champion


def test_8_unreachable_mlflow_is_one_line_and_changes_nothing(installation: Installation) -> None:
    online = installation.online()
    arguments = installation.arguments("rollback")
    arguments.mlflow = "http://127.0.0.1:9"
    with pytest.raises(StepError, match="--mlflow: expected an MLflow server at http://127.0.0.1:9, found"):
        rollback.main(arguments)
    assert installation.online() == online


def test_9_labels_from_a_file_replace_those_of_the_tags(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    lines = (f"{n:03d}.mp3,{'ab'[n % 2]}\n" for n in range(N_TRACKS))
    file.write_text("path,genre\n" + "".join(lines))
    evaluate.main(installation.arguments("evaluate", "--labels", str(file)))
    metrics = registry.evaluation(registry.version(None))["model"]
    assert metrics["evaluated_queries"] == N_TRACKS
    assert metrics["genre_precision_at_5"] < 0.7  # the labels a and b are unrelated to the sound
    file.write_text("name,genre\n1,a\n")
    expected = "--labels: expected columns genre and path or track_id, found name, genre|genre, name"
    with pytest.raises(InputError, match=expected):
        evaluate.main(installation.arguments("evaluate", "--labels", str(file)))


def test_embeddings_of_champion_and_previous_champion_stay(installation: Installation) -> None:
    versions = installation.lake.read_arrow(EMBEDDINGS, "model_version")["model_version"].to_pylist()
    aliases = registry.aliases()
    assert {aliases["champion"], aliases["previous"]} <= set(versions)
