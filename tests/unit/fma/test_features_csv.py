"""features.csv and echonest.csv into FEATURES and back, without Spark: layouts, values, invalid files."""

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


def load(lake, path, layout=features_csv.FEATURES_CSV, *, skip_invalid=False):
    """Import a file and return its reader."""
    reader = features_csv.FeatureFile(path, layout, skip_invalid=skip_invalid)
    fma_import.load_features(lake, reader)
    return reader


def matrix(lake, columns=FMA_COLUMNS):
    table = lake.read_arrow(FEATURES, *columns)
    return np.column_stack([table[name].to_numpy() for name in columns])


def test_header_is_fmas(file):
    rows = list(csv.reader(file.open()))[:4]
    assert rows == features_csv.header()
    assert rows[0][:2] == ["feature", "chroma_cens"] and rows[2][:3] == ["number", "01", "02"]
    assert len(rows[3]) == 519


def test_import_stores_every_value(lake, file, values):
    assert len(load(lake, file).track_ids) == TRACKS_IN_FILE
    np.testing.assert_array_equal(matrix(lake), values.to_numpy())
    table = lake.read_arrow(FEATURES, "track_id", "feature_version", "content_hash", "mfcc_delta_mean_01")
    assert table["track_id"].to_pylist()[:2] == ["2", "3"]
    assert set(table["feature_version"].to_pylist()) == {"fma-librosa"}
    assert table["content_hash"][0].as_py() == "fma:2"
    assert table["mfcc_delta_mean_01"].null_count == TRACKS_IN_FILE


def test_export_restores_the_imported_file(lake, file, values, tmp_path):
    load(lake, file)
    assert fma_export.export_features(lake, "fma-librosa", tmp_path / "again.csv") == TRACKS_IN_FILE
    again = pd.read_csv(
        tmp_path / "again.csv", index_col=0, header=[0, 1, 2]
    )  # as in utils.load of mdeff/fma
    np.testing.assert_array_equal(again.to_numpy(dtype=np.float32), values.to_numpy())
    assert list(again.index) == list(values.index)
    assert again["mfcc", "mean", "03"].iloc[0] == pytest.approx(values["mfcc", "mean", "03"].iloc[0])
    assert again.index.name == "track_id"


def test_import_replaces_only_its_own_version(lake, file):
    schema = FEATURES.arrow_schema()
    other_version = {"track_id": "x", "feature_version": "basic-1", "content_hash": "h"}
    lake.commit_arrow(FEATURES, [pa.RecordBatch.from_pylist([other_version], schema=schema)])
    track = pa.RecordBatch.from_pylist(
        [{"track_id": "3", "content_hash": "of 3"}], schema=TRACKS.arrow_schema()
    )
    lake.commit_arrow(TRACKS, [track])
    load(lake, file)
    load(lake, file)
    rows = lake.read_arrow(FEATURES, "track_id", "feature_version", "content_hash").to_pylist()
    assert len(rows) == TRACKS_IN_FILE + 1 and rows[0] == other_version
    assert rows[2]["content_hash"] == "of 3"  # its audio is known


def spoil(file, line, change):
    lines = file.read_text().splitlines(keepends=True)
    lines[line - 1] = change(lines[line - 1])
    file.write_text("".join(lines))


def test_record_of_another_width_is_named(lake, file):
    spoil(file, 9, lambda line: line[:700] + "\n")
    with pytest.raises(InputError, match=r"features\.csv line 9: Expected 519 columns, got \d+"):
        load(lake, file)
    assert lake.version(FEATURES) is None and not list((lake.root / "FEATURES").glob("v*"))
    reader = load(lake, file, skip_invalid=True)
    assert (len(reader.track_ids), reader.n_skipped) == (TRACKS_IN_FILE - 1, 1)


def test_truncated_file_is_refused(lake, file):
    file.write_bytes(file.read_bytes()[:-3000])
    with pytest.raises(InputError, match=rf"features\.csv line {TRACKS_IN_FILE + 4}: Expected 519 columns"):
        load(lake, file)


def test_cell_that_is_no_number_is_named(lake, file):
    spoil(file, 9, lambda line: line.replace(line.split(",")[7], "abc", 1))
    with pytest.raises(InputError, match=r"features\.csv line 9: .*invalid value 'abc'"):
        load(lake, file)
    reader = load(lake, file, skip_invalid=True)
    assert len(reader.track_ids) == TRACKS_IN_FILE - 1


def test_repeated_track_id_is_named(lake, file):
    spoil(file, 9, lambda line: "2" + line[line.index(",") :])
    with pytest.raises(
        InputError, match=r"features\.csv line 9: expected each track_id once, a number, found 2 again"
    ):
        load(lake, file)
    assert load(lake, file, skip_invalid=True).n_skipped == 1


def test_records_with_gaps_become_rejects(lake, file):
    spoil(file, 9, lambda line: line.replace(line.split(",")[7], "", 1))
    spoil(file, 10, lambda line: line.replace(line.split(",")[7], "inf", 1))
    reader = load(lake, file)
    assert len(reader.track_ids) == TRACKS_IN_FILE - 2
    rejected = lake.read_arrow(REJECTS).to_pylist()
    assert [(row["path"], row["step"]) for row in rejected] == [
        (f"{file}#6", "import fma-librosa"),
        (f"{file}#7", "import fma-librosa"),
    ]


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "feature,x\nstatistics,y\nnumber,01\nid,\n"])
def test_file_without_fma_header_is_refused(lake, file, text):
    file.write_text(text)
    with pytest.raises(InputError, match=r"features\.csv line 4: expected FMA's header of 4 rows"):
        load(lake, file)


def test_missing_column_is_refused(lake, file, values):
    values.drop(columns=[("mfcc", "mean", "03")]).to_csv(file)
    with pytest.raises(
        InputError, match=r"line 1: expected the column mfcc/mean/03, found none .1 of 518 missing"
    ):
        load(lake, file)


def test_import_of_echonest_takes_only_its_features(lake, tmp_path):
    """The metadata and ranks between the numbers are no features."""
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
    reader = load(lake, tmp_path / "echonest.csv", features_csv.ECHONEST_CSV)
    assert list(reader.track_ids) == ["2", "193"]
    columns = MODEL_INPUT_COLUMNS["fma-echonest"]
    assert columns[:2] == ("echonest_acousticness", "echonest_danceability") and columns[-1] == "echonest_223"
    np.testing.assert_array_equal(matrix(lake, columns), [np.arange(232) / 8, np.arange(232) / -4])
