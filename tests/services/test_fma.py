"""The catalogue of FMA as a user makes it, from nothing: TRACKS and MongoDB; then a model beside tracks without one."""

import shutil

import pytest

from jobs.fma import features_csv
from jobs.lake.schemas import EMBEDDINGS, TRACKS
from jobs.lake.storage import Lake
from tests.services.conftest import documents, rows, segue, steps

REAL = {
    "2": ("Food", "AWOL", "Hip-Hop"),
    "3": ("Electric Ave", "AWOL", "Hip-Hop"),
    "5": ("This World", "AWOL", "Hip-Hop"),
    "193": ("Here With You", "Ed Askew", "Folk"),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory, recordings):
    """A lake after the one command, as the README has it."""
    folder = tmp_path_factory.mktemp("fma") / "lake"
    done = segue(
        folder,
        "catalog",
        "--metadata",
        str(recordings / "fma_metadata"),
        "--library",
        str(recordings / "fma_small"),
    )
    assert "4 tracks, 4 new, 0 duplicates, 682 metadata records, 678 metadata without audio" in done.stdout
    return folder


def test_one_command_puts_the_tracks_everywhere(lake):
    tracks = {row["track_id"]: (row["title"], row["artist"], row["genre"]) for row in rows(lake)["TRACKS"]}
    shown = documents(lake)["tracks"]
    assert tracks == REAL
    assert {key: (row["title"], row["artist"], row["genre"]) for key, row in shown.items()} == REAL
    assert shown["2"]["listens"] == 1293 and shown["193"]["licence"].startswith("Attribution")


def test_a_lost_mongo_is_filled_again_and_a_full_one_left_alone(lake):
    shown = documents(lake)
    assert segue(lake, "catalog").stdout.endswith("0 new in MongoDB\n")
    shutil.rmtree(lake / "mongo")
    assert segue(lake, "catalog").stdout.endswith("4 new in MongoDB\n")
    assert documents(lake) == shown


def test_broken_metadata_changes_nothing(lake, recordings, tmp_path):
    shutil.copy(recordings / "fma_metadata" / "tracks.truncated.csv", tmp_path / "tracks.csv")
    shutil.copy(recordings / "fma_metadata" / "genres.csv", tmp_path)
    before = rows(lake)
    said = segue(lake, "catalog", "--metadata", str(tmp_path), status=2).stderr
    assert said.startswith(f"segue catalog: {tmp_path}/tracks.csv line 2107: expected the quoted field")
    assert said.count("\n") == 1
    assert rows(lake) == before


def test_tracks_without_a_model_stay_beside_those_with_one(lake, tmp_path):
    """Imported features make a model of some tracks; publish shows these and keeps the others' documents."""
    numbers = {
        key: ",".join(str((int(key) * (i + 3)) % 17) for i in range(518))
        for key in ("2", "3", "5", "10", "20")
    }
    header = "".join(",".join(row) + "\n" for row in features_csv.header())
    (tmp_path / "features.csv").write_text(
        header + "".join(f"{key},{text}\n" for key, text in numbers.items())
    )
    steps(
        lake,
        ["fma", "import", "--features", str(tmp_path / "features.csv")],
        ["embed", "--dimensions", "3"],
        ["cluster", "--k", "2"],
        ["publish"],
    )
    shown = documents(lake)["tracks"]
    assert {row["track_id"] for row in Lake(lake).read_arrow(EMBEDDINGS, "track_id").to_pylist()} == set(
        numbers
    )
    assert {key for key, document in shown.items() if "model_version" in document} == set(numbers)
    assert (
        set(shown)
        == {*REAL, *numbers}
        == {row["track_id"] for row in Lake(lake).read_arrow(TRACKS, "track_id").to_pylist()}
    )
    assert (shown["20"]["title"], shown["20"]["path"]) == ("Spiritual Level", None)
    assert len(shown["20"]["features"]["mfcc"]["mean"]) == 20
    assert segue(lake, "catalog").stdout.endswith("0 new in MongoDB\n")
