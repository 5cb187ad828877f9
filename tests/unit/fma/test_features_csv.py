"""features.csv and echonest.csv into FEATURES and back, without Spark: the layouts, the values, what is broken."""

import csv

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from jobs.commands import fma_export, fma_import
from jobs.errors import InputError
from jobs.fma import features_csv
from jobs.lake.feature_columns import FMA_COLUMNS, MODEL_INPUT_COLUMNS
from jobs.lake.schemas import FEATURES, REJECTS, TRACKS
from jobs.lake.storage import Lake

TRACKS_IN_FILE = 40


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


@pytest.fixture
def values():
    """A frame as the data set's notebooks read it: 518 columns of three levels, track_id as index."""
    names = pd.MultiIndex.from_tuples(
        [tuple(row) for row in zip(*(r[1:] for r in features_csv.header()[:3]), strict=True)]
    )
    numbers = np.random.default_rng(3).normal(scale=100, size=(TRACKS_IN_FILE, len(names))).astype(np.float32)
    return pd.DataFrame(numbers, index=pd.Index(range(2, 2 + TRACKS_IN_FILE), name="track_id"), columns=names)


@pytest.fixture
def file(tmp_path, values):
    """That frame as pandas writes it, which is how FMA wrote its own."""
    values.columns.names = ("feature", "statistics", "number")
    values.to_csv(tmp_path / "features.csv", float_format="%.10e")
    return tmp_path / "features.csv"


def bring(lake, file, kind=features_csv.FEATURES_CSV, lenient=False):
    found = fma_import.FeatureFile(file, kind, lenient=lenient)
    fma_import.load_features(lake, found)
    return found


def matrix(lake, columns=FMA_COLUMNS):
    table = lake.read_arrow(FEATURES, *columns)
    return np.column_stack([table[name].to_numpy() for name in columns])


def test_the_layout_is_fmas(file):
    rows = list(csv.reader(file.open()))[:4]
    assert rows == features_csv.header()
    assert rows[0][:2] == ["feature", "chroma_cens"] and rows[2][:3] == ["number", "01", "02"]
    assert len(rows[3]) == 519


def test_every_value_of_every_track(lake, file, values):
    assert len(bring(lake, file).ids) == TRACKS_IN_FILE
    np.testing.assert_array_equal(matrix(lake), values.to_numpy())
    table = lake.read_arrow(FEATURES, "track_id", "feature_version", "content_hash", "mfcc_delta_mean_01")
    assert table["track_id"].to_pylist()[:2] == ["2", "3"]
    assert set(table["feature_version"].to_pylist()) == {"fma-librosa"}
    assert table["content_hash"][0].as_py() == "fma:2"
    assert table["mfcc_delta_mean_01"].null_count == TRACKS_IN_FILE


def test_the_round_trip(lake, file, values, tmp_path):
    bring(lake, file)
    assert fma_export.export_features(lake, "fma-librosa", tmp_path / "again.csv") == TRACKS_IN_FILE
    again = pd.read_csv(
        tmp_path / "again.csv", index_col=0, header=[0, 1, 2]
    )  # as in utils.load of mdeff/fma
    np.testing.assert_array_equal(again.to_numpy(dtype=np.float32), values.to_numpy())
    assert list(again.index) == list(values.index)
    assert again["mfcc", "mean", "03"].iloc[0] == pytest.approx(values["mfcc", "mean", "03"].iloc[0])
    assert again.index.name == "track_id"


def test_other_versions_stay_and_a_second_import_replaces(lake, file):
    schema = FEATURES.arrow_schema()
    own = {"track_id": "x", "feature_version": "basic-1", "content_hash": "h"}
    lake.commit_arrow(FEATURES, [pa.RecordBatch.from_pylist([own], schema=schema)])
    track = pa.RecordBatch.from_pylist(
        [{"track_id": "3", "content_hash": "of 3"}], schema=TRACKS.arrow_schema()
    )
    lake.commit_arrow(TRACKS, [track])
    bring(lake, file)
    bring(lake, file)
    rows = lake.read_arrow(FEATURES, "track_id", "feature_version", "content_hash").to_pylist()
    assert len(rows) == TRACKS_IN_FILE + 1 and rows[0] == own
    assert rows[2]["content_hash"] == "of 3"  # its audio is known


def spoil(file, line, change):
    lines = file.read_text().splitlines(keepends=True)
    lines[line - 1] = change(lines[line - 1])
    file.write_text("".join(lines))


def test_a_broken_record_is_named(lake, file):
    spoil(file, 9, lambda line: line[:700] + "\n")
    with pytest.raises(InputError, match=r"features\.csv line 9: Expected 519 columns, got \d+"):
        bring(lake, file)
    assert lake.version(FEATURES) is None and not list((lake.root / "FEATURES").glob("v*"))
    found = bring(lake, file, lenient=True)
    assert (len(found.ids), found.left_out) == (TRACKS_IN_FILE - 1, 1)


def test_a_file_broken_off(lake, file):
    file.write_bytes(file.read_bytes()[:-3000])
    with pytest.raises(InputError, match=rf"features\.csv line {TRACKS_IN_FILE + 4}: Expected 519 columns"):
        bring(lake, file)


def test_no_number_is_named(lake, file):
    spoil(file, 9, lambda line: line.replace(line.split(",")[7], "abc", 1))
    with pytest.raises(InputError, match=r"features\.csv line 9: .*invalid value 'abc'"):
        bring(lake, file)
    found = bring(lake, file, lenient=True)
    assert len(found.ids) == TRACKS_IN_FILE - 1


def test_an_id_that_is_there_twice(lake, file):
    spoil(file, 9, lambda line: "2" + line[line.index(",") :])
    with pytest.raises(
        InputError, match=r"features\.csv line 9: expected each track_id once, a number, found 2 again"
    ):
        bring(lake, file)
    assert bring(lake, file, lenient=True).left_out == 1


def test_gaps_end_in_rejects(lake, file):
    spoil(file, 9, lambda line: line.replace(line.split(",")[7], "", 1))
    spoil(file, 10, lambda line: line.replace(line.split(",")[7], "inf", 1))
    found = bring(lake, file)
    assert len(found.ids) == TRACKS_IN_FILE - 2
    rejected = lake.read_arrow(REJECTS).to_pylist()
    assert [(row["path"], row["step"]) for row in rejected] == [
        (f"{file}#6", "import fma-librosa"),
        (f"{file}#7", "import fma-librosa"),
    ]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "feature,x\nstatistics,y\nnumber,01\nid,\n"])
def test_another_file(lake, file, text):
    file.write_text(text)
    with pytest.raises(InputError, match=r"features\.csv line 4: expected FMA's header of 4 rows"):
        bring(lake, file)


def test_a_missing_column(lake, file, values):
    values.drop(columns=[("mfcc", "mean", "03")]).to_csv(file)
    with pytest.raises(
        InputError, match=r"line 1: expected the column mfcc/mean/03, found none .1 of 518 missing"
    ):
        bring(lake, file)


def test_echonest(lake, tmp_path):
    """Its metadata and ranks stand between the numbers, and are no features."""
    names = [
        ("echonest", "metadata", "artist_name"),
        *features_csv.ECHONEST_CSV.columns,
        ("echonest", "ranks", "song_rank"),
    ]
    frame = pd.DataFrame(
        [["AWOL, again", *np.arange(232) / 8, 7], ["Ed", *np.arange(232) / -4, 8]],
        index=pd.Index([2, 193]),
        columns=pd.MultiIndex.from_tuples(names),
    )
    frame.index.name = "track_id"
    frame.to_csv(tmp_path / "echonest.csv")
    found = bring(lake, tmp_path / "echonest.csv", features_csv.ECHONEST_CSV)
    assert list(found.ids) == ["2", "193"]
    columns = MODEL_INPUT_COLUMNS["fma-echonest"]
    assert columns[:2] == ("echonest_acousticness", "echonest_danceability") and columns[-1] == "echonest_223"
    np.testing.assert_array_equal(matrix(lake, columns), [np.arange(232) / 8, np.arange(232) / -4])
