"""FMA from an empty lake: TRACKS and MongoDB, then a model of some tracks beside tracks without one."""

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
    """A lake after one `segue catalog`."""
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


def test_catalog_writes_tracks_and_mongodb(lake):
    tracks = {row["track_id"]: (row["title"], row["artist"], row["genre"]) for row in rows(lake)["TRACKS"]}
    documents_by_id = documents(lake)["tracks"]
    assert tracks == REAL
    assert {key: (row["title"], row["artist"], row["genre"]) for key, row in documents_by_id.items()} == REAL
    assert documents_by_id["2"]["listens"] == 1293 and documents_by_id["193"]["licence"].startswith(
        "Attribution"
    )


def test_lost_mongodb_is_refilled_and_a_full_one_is_not(lake):
    documents_by_id = documents(lake)
    assert segue(lake, "catalog").stdout.endswith("0 new in MongoDB\n")
    shutil.rmtree(lake / "mongo")
    assert segue(lake, "catalog").stdout.endswith("4 new in MongoDB\n")
    assert documents(lake) == documents_by_id


def test_truncated_metadata_changes_nothing(lake, recordings, tmp_path):
    shutil.copy(recordings / "fma_metadata" / "tracks.truncated.csv", tmp_path / "tracks.csv")
    shutil.copy(recordings / "fma_metadata" / "genres.csv", tmp_path)
    before = rows(lake)
    stderr = segue(lake, "catalog", "--metadata", str(tmp_path), status=2).stderr
    assert stderr.startswith(f"segue catalog: {tmp_path}/tracks.csv line 2107: expected the quoted field")
    assert stderr.count("\n") == 1
    assert rows(lake) == before


def test_publish_keeps_tracks_without_a_model(lake, tmp_path):
    """Imported features give a model of some tracks; publish keeps the documents of the others."""
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
    documents_by_id = documents(lake)["tracks"]
    assert {row["track_id"] for row in Lake(lake).read_arrow(EMBEDDINGS, "track_id").to_pylist()} == set(
        numbers
    )
    assert {key for key, document in documents_by_id.items() if "model_version" in document} == set(numbers)
    assert (
        set(documents_by_id)
        == {*REAL, *numbers}
        == {row["track_id"] for row in Lake(lake).read_arrow(TRACKS, "track_id").to_pylist()}
    )
    assert (documents_by_id["20"]["title"], documents_by_id["20"]["path"]) == ("Spiritual Level", None)
    assert len(documents_by_id["20"]["features"]["mfcc"]["mean"]) == 20
    assert segue(lake, "catalog").stdout.endswith("0 new in MongoDB\n")
