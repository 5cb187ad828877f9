"""What `segue up` remembers of a lake's services."""

import stat

from jobs.runtime.supervisor import ServiceHome


def test_library_is_the_one_given_last(tmp_path, monkeypatch):
    monkeypatch.delenv("SEGUE_LIBRARY", raising=False)
    home = ServiceHome(tmp_path / "lake")
    assert home.library(None) is None
    for folder in ("/music", "/other m\udcffsic"):
        assert home.library(folder) == home.library(None) == folder
    monkeypatch.chdir(tmp_path)
    assert home.library("here") == str(tmp_path / "here")
    monkeypatch.setenv("SEGUE_LIBRARY", "/by/the/environment")
    assert home.library(None) == "/by/the/environment"
    assert home.library("/given") == "/given"


def test_relative_library_of_the_environment_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SEGUE_LIBRARY", "here")  # Airflow's processes have another working folder
    assert ServiceHome(tmp_path / "lake").library(None) == str(tmp_path / "here")


def test_secrets_are_generated_once_and_private(tmp_path):
    home = ServiceHome(tmp_path / "lake")
    generated = home.secrets()
    assert home.secrets() == generated
    assert {"admin", "viewer", "jwt", "session", "fernet"} == set(generated)
    assert stat.S_IMODE((home.folder / "secrets.json").stat().st_mode) == 0o600
