"""The registry: a server that is away, or silent, is told in one line and in time; a lake's own store is whole."""

import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient

from jobs.cli import error_message, parse
from jobs.model import registry

IMPATIENT = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "1", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def test_a_server_that_takes_requests_and_does_not_answer_iserror_message_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        command = [
            str(Path(sys.executable).with_name("segue")),
            "models",
            "--lake",
            str(tmp_path),
            "--mlflow",
            address,
        ]
        done = subprocess.run(
            command, env=os.environ | IMPATIENT, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert f"--mlflow: expected an MLflow server at {address}" in done.stderr


def test_a_server_that_goes_amid_a_step_iserror_message_in_one_line():
    gone = RuntimeError(
        "API request to http://127.0.0.1:5000/api failed with exception Read timed out.\nmore"
    )
    said = error_message(gone, parse(["models"]))
    assert (
        said.startswith("--mlflow: expected the server to answer") and "\n" not in said and "more" not in said
    )


def test_a_database_is_made_whole_or_not_at_all(tmp_path, monkeypatch):
    """MLflow does not go on where its own making of tables has ended."""

    def half(uri, root):
        sqlite3.connect(uri.removeprefix("sqlite:///")).execute("CREATE TABLE registered_models (name)")
        raise OSError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(registry, "SqlAlchemyStore", half)
        with pytest.raises(OSError, match="full"):
            registry.database(tmp_path)
    folder = tmp_path / "mlflow"
    assert [each.name for each in folder.iterdir()] == [".lock"]
    (folder / ".new").mkdir()  # as a kill leaves it
    with suppress(OSError):
        half(f"sqlite:///{folder / '.new' / 'mlflow.db'}", None)
    file = registry.database(tmp_path)
    assert sorted(each.name for each in folder.iterdir()) == [".lock", "mlflow.db"]
    assert registry.database(tmp_path) == file
    uri = f"sqlite:///{file}"
    assert MlflowClient(uri, registry_uri=uri).search_registered_models() == []


def test_runs_that_a_kill_left_open_are_ended_whatever_the_path_of_the_lake(models):
    client, lake = MlflowClient(), str(models)
    assert "'" in lake
    experiment = client.get_experiment_by_name(registry.EXPERIMENT).experiment_id
    own, other = (client.create_run(experiment, tags={"lake": of}) for of in (lake, "/another"))
    assert registry.end_killed_runs(lake) == 1 and registry.end_killed_runs(lake) == 0
    assert client.get_run(own.info.run_id).info.status == "KILLED"
    assert client.get_run(other.info.run_id).info.status == "RUNNING"
