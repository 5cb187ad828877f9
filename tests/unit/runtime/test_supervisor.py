"""What `segue up` remembers of a lake's services."""

from jobs.runtime.supervisor import ServiceHome


def test_the_folder_of_music_is_the_one_given_last(tmp_path, monkeypatch):
    monkeypatch.delenv("SEGUE_LIBRARY", raising=False)
    home = ServiceHome(tmp_path / "lake")
    assert home.library(None) is None
    for folder in ("/music", "/other m\udcffsic"):
        assert home.library(folder) == home.library(None) == folder
    monkeypatch.chdir(tmp_path)
    assert home.library("here") == str(tmp_path / "here")
    monkeypatch.setenv("SEGUE_LIBRARY", "/by/the/environment")
    assert home.library(None) == "/by/the/environment" and home.library("/given") == "/given"
    monkeypatch.setenv("SEGUE_LIBRARY", "here")  # Airflow's processes have another working folder
    assert home.library(None) == str(tmp_path / "here")
