"""`lake/VERSION`: written before the first table, checked when a lake is opened."""

import argparse

import pyarrow as pa
import pytest

from jobs.errors import InputError
from jobs.lake.lake_version import LAKE_VERSION, VERSION_FILE, find_version
from jobs.lake.schemas import PLAYS, TRACKS
from jobs.lake.storage import Lake, open_lake
from jobs.plays import play_log

LINE = "expected a lake of version 2, found one of version 1 .Segue 0.1.; run `segue upgrade --lake .*` first"


def row_of(table):
    return pa.Table.from_pylist([dict.fromkeys(table.names)], schema=table.arrow_schema())


def test_empty_lake_has_no_version(tmp_path):
    Lake(tmp_path / "lake")
    assert find_version(tmp_path / "lake") is None
    Lake(tmp_path / "lake")


@pytest.mark.parametrize("write", ["commit", "append"])
def test_first_write_records_the_version(tmp_path, write):
    lake = Lake(tmp_path)
    if write == "commit":
        lake.commit_arrow(TRACKS, row_of(TRACKS).to_batches())
    else:
        play_log.play_table(lake).append("rows", row_of(PLAYS))
    assert (tmp_path / VERSION_FILE).read_text() == f"{LAKE_VERSION}\n"
    Lake(tmp_path)


@pytest.mark.parametrize("table", ["TRACKS", "PLAYS", "TOGETHER", "METADATA"])
def test_tables_without_version_are_refused(tmp_path, table):
    (tmp_path / table).mkdir()
    with pytest.raises(InputError, match=LINE):
        Lake(tmp_path)
    with pytest.raises(InputError, match=LINE):
        open_lake(argparse.Namespace(lake=str(tmp_path)))


def test_newer_lake_is_refused(tmp_path):
    (tmp_path / VERSION_FILE).write_text("3\n")
    with pytest.raises(
        InputError, match="expected a lake of version 2, found one of version 3; update Segue"
    ):
        Lake(tmp_path)


def test_unreadable_version_is_refused(tmp_path):
    (tmp_path / VERSION_FILE).write_text("two\n")
    with pytest.raises(InputError, match="expected a version number, found 'two'"):
        Lake(tmp_path)
