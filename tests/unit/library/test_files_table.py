"""When FILES may be brought up to date: what becomes of its rows is in tests/spark/test_compress_step.py."""

import shutil
from functools import partial
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet
import pytest

from jobs.errors import StepError
from jobs.lake.schemas import FILES
from jobs.lake.storage import Lake
from jobs.library import files_table, scan
from jobs.spark import session


class Goes(Exception):
    """What a commit that goes on comes to: Spark."""


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """A lake whose FILES has a row of each of two files, and one of them staged; the library is beside it."""

    def spark(_):
        raise Goes

    monkeypatch.setattr(session, "get_session", spark)
    (tmp_path / "music").mkdir()
    for name in ("a.flac", "b.flac"):
        (tmp_path / "music" / name).write_bytes(b"x")
    lake = Lake(tmp_path / "lake")
    rows = pa.Table.from_pylist(scan_music(lake).files, schema=FILES.arrow_schema())
    lake.commit_arrow(FILES, rows.to_batches())
    stage(lake, rows.slice(0, 1))
    return lake


def scan_music(lake):
    return scan.scan(str(lake.root.parent / "music"), lake.root)


def stage(lake, rows):
    """Stage rows as a step does, without Spark: of its DataFrame only `write.parquet` is used."""
    writer = SimpleNamespace(parquet=partial(pa.parquet.write_to_dataset, rows))
    lake.stage(FILES, f"{rows.num_rows}", SimpleNamespace(write=writer))


@pytest.mark.parametrize("root", ["gone", "empty"])
def test_unavailable_disk_deletes_no_rows(lake, root):
    found = scan_music(lake)
    shutil.rmtree(found.root)
    if root == "empty":  # where the disk was mounted
        found.root.mkdir()
    with pytest.raises(
        StepError, match="expected the 2 files that were in .*, found none of them any more; make its"
    ):
        files_table.commit_files("local", lake, found, step="compress")
    assert lake.count_rows(FILES) == 2 and lake.read_staged_arrow(FILES).num_rows == 1


def test_one_deleted_file_is_committed(lake):
    found = scan_music(lake)
    (found.root / "a.flac").unlink()
    with pytest.raises(Goes):
        files_table.commit_files("local", lake, found, step="compress")


def test_all_files_renamed_in_place_is_committed(lake):
    found = scan_music(lake)
    for path in list(found.root.iterdir()):
        path.rename(path.with_suffix(".mp3"))
    stage(lake, pa.Table.from_pylist(scan_music(lake).files, schema=FILES.arrow_schema()))
    with pytest.raises(Goes):
        files_table.commit_files("local", lake, found, step="compress")
