from pathlib import Path

import pytest

from jobs.cli import COMMANDS, parse
from jobs.errors import InputError
from jobs.settings import lake_path, lake_store, metrics_token, mlflow_model_url


def test_lake_path_accepts_folders_only():
    assert lake_path("file:///srv/lake") == Path("/srv/lake")
    assert lake_path("lake") == Path.cwd() / "lake"
    with pytest.raises(InputError, match="--lake: expected a folder on a mounted disk.*found 's3a://b/l'"):
        lake_path("s3a://b/l")


def test_lake_in_an_object_store_has_a_folder_of_state(monkeypatch):
    assert lake_store("lake") is None and lake_store("file:///srv/lake") is None
    assert (
        lake_store("s3://bucket") == "s3://bucket"
        and lake_store("s3://b.ucket-1/a/b/") == "s3://b.ucket-1/a/b"
    )
    monkeypatch.delenv("SEGUE_STATE", raising=False)
    assert lake_path("s3://bucket/lake") == Path.cwd() / "segue-state"
    monkeypatch.setenv("SEGUE_STATE", "/srv/state")
    assert lake_path("s3://bucket/lake") == Path("/srv/state")
    for address in ("s3://", "s3:///lake", "s3://Bucket/lake", "s3://bucket/a?b", "gs://bucket/lake"):
        with pytest.raises(
            InputError, match="--lake: expected a folder on a mounted disk.* or s3://bucket/prefix"
        ):
            lake_path(address)


def test_options_override_the_environment(monkeypatch):
    monkeypatch.setenv("SEGUE_LAKE", "/a")
    monkeypatch.setenv("SEGUE_MONGO", "mongodb://host/segue")
    assert parse(["catalog"]).lake == "/a"
    arguments = parse(["catalog", "--lake", "/b", "--master", "local[1]"])
    assert (arguments.lake, arguments.mongo, arguments.master) == ("/b", "mongodb://host/segue", "local[1]")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as exit_info:
        parse([command, "--help"])
    assert exit_info.value.code == 0
    summary = COMMANDS[command].summary
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{summary[0].upper()}{summary[1:]}." in printed


def test_model_url_selects_the_training_view():
    assert mlflow_model_url("http://h:5") == "http://h:5/#/models/segue?workflowType=machine_learning"
    assert mlflow_model_url("http://h:5", "3").startswith("http://h:5/#/models/segue/versions/3?")


def test_metrics_token_has_a_minimum_length(monkeypatch):
    assert metrics_token() == ""
    monkeypatch.setenv("SEGUE_METRICS_TOKEN", "0123456789abcdef")
    assert metrics_token() == "0123456789abcdef"
    monkeypatch.setenv("SEGUE_METRICS_TOKEN", "guess")
    with pytest.raises(InputError, match="expected 16 characters or more, found 5"):
        metrics_token()
