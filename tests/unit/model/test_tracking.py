"""A server that is gone or silent is one line; the lake's own store is complete or absent.

Killed runs end.
"""

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from jobs.errors import StepError
from jobs.model import registry, tracking

IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@pytest.mark.slow
def test_silent_server_is_reported_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        segue = str(Path(sys.executable).with_name("segue"))
        command = [segue, "models", "--lake", str(tmp_path), "--mlflow", address]
        process = subprocess.run(
            command, env=os.environ | IMPATIENT, capture_output=True, text=True, timeout=120
        )
    assert process.returncode == 1
    assert len(process.stderr.splitlines()) == 1, process.stderr
    assert f"--mlflow: expected an MLflow server at {address}" in process.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [registry.aliases, registry.versions, lambda: tracking.end_killed_runs("/lake")],
    ids=["aliases", "versions", "end_killed_runs"],
)
def test_server_gone_in_a_step_is_reported_in_one_line(models, monkeypatch, call):
    for name, value in IMPATIENT.items():
        monkeypatch.setenv(name, value)
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    mlflow.set_registry_uri("http://127.0.0.1:9")
    with pytest.raises(StepError) as raised:
        call()
    message = str(raised.value)
    assert message.startswith("--mlflow: expected the server to answer, found: API request to http")
    assert message.endswith("re-run the same command to resume") and "\n" not in message


def test_other_errors_of_mlflow_pass_the_boundary():
    with pytest.raises(mlflow.MlflowException, match="database or disk is full"), tracking.server_errors():
        raise mlflow.MlflowException("database or disk is full")


def test_database_is_created_complete_or_not_at_all(tmp_path, monkeypatch):
    """MLflow cannot continue where its own creation of tables was interrupted."""

    def create_one_table(uri, root):
        sqlite3.connect(uri.removeprefix("sqlite:///")).execute("CREATE TABLE registered_models (name)")
        raise OSError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(tracking, "SqlAlchemyStore", create_one_table)
        with pytest.raises(OSError, match="full"):
            tracking.database(tmp_path)
    folder = tmp_path / "mlflow"
    assert [path.name for path in folder.iterdir()] == [".lock"]
    (folder / ".new").mkdir()  # as a kill leaves it
    with suppress(OSError):
        create_one_table(f"sqlite:///{folder / '.new' / 'mlflow.db'}", None)
    file = tracking.database(tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "mlflow.db"]
    assert tracking.database(tmp_path) == file
    uri = f"sqlite:///{file}"
    assert MlflowClient(uri, registry_uri=uri).search_registered_models() == []


def test_killed_runs_of_this_lake_end_whatever_its_path(models):
    client = MlflowClient()
    lake = str(models)
    assert "'" in lake
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    own_run = client.create_run(experiment, tags={"lake": lake})
    other_run = client.create_run(experiment, tags={"lake": "/another"})
    assert tracking.end_killed_runs(lake) == 1 and tracking.end_killed_runs(lake) == 0
    assert client.get_run(own_run.info.run_id).info.status == "KILLED"
    assert client.get_run(other_run.info.run_id).info.status == "RUNNING"
