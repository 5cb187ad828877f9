from pathlib import Path

import pytest

from jobs.cli import COMMANDS, parse
from jobs.errors import InputError
from jobs.settings import lake_path, mlflow_model_url


def test_a_lake_is_a_folder():
    assert lake_path("file:///srv/lake") == Path("/srv/lake")
    assert lake_path("lake") == Path.cwd() / "lake"
    with pytest.raises(InputError, match="--lake: expected a folder on a mounted disk.*found 's3a://b/l'"):
        lake_path("s3a://b/l")


def test_the_environment_gives_addresses_and_options_win(monkeypatch):
    monkeypatch.setenv("SEGUE_LAKE", "/a")
    monkeypatch.setenv("SEGUE_MONGO", "mongodb://there/segue")
    assert parse(["catalog"]).lake == "/a"
    found = parse(["catalog", "--lake", "/b", "--master", "local[1]"])
    assert (found.lake, found.mongo, found.master) == ("/b", "mongodb://there/segue", "local[1]")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as ended:
        parse([command, "--help"])
    assert ended.value.code == 0
    assert COMMANDS[command].summary in " ".join(capsys.readouterr().out.split())


def test_the_models_page_opens_at_training():
    assert mlflow_model_url("http://h:5") == "http://h:5/#/models/segue?workflowType=machine_learning"
    assert mlflow_model_url("http://h:5", "3").startswith("http://h:5/#/models/segue/versions/3?")
