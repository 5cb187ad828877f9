"""The lake without Spark; `tests/spark/test_lake_storage.py` has the rest."""

import time

import pyarrow as pa
import pyarrow.parquet
import pytest

from jobs.lake import parquet
from jobs.lake.schemas import TRACKS, VECTORS
from jobs.lake.storage import Lake
from jobs.lake.table import Column


def batch(*ids):
    rows = [{"embedder_id": "p", "track_id": track_id, "embedding": [1.0, 0.0]} for track_id in ids]
    return pa.RecordBatch.from_pylist(rows, schema=VECTORS.arrow_schema())


def ids(batches):
    return [track_id for batch in batches for track_id in batch.column("track_id").to_pylist()]


def test_commit_arrow_keeps_the_order_of_batches(any_lake):
    lake = any_lake
    lake.commit_arrow(VECTORS, iter([batch("b", "a"), batch(), batch("c")]))
    assert ids(lake.iter_batches(VECTORS)) == ["b", "a", "c"]
    assert lake.read_arrow(VECTORS)["track_id"].to_pylist() == ["b", "a", "c"]


def test_commit_arrow_keeps_the_order_over_files(any_lake, monkeypatch):
    monkeypatch.setattr(parquet, "_ROWS_PER_GROUP", 2)
    monkeypatch.setattr(parquet, "ROWS_PER_FILE", 4)
    names = [f"{number:03d}" for number in range(50)]
    lake = any_lake
    lake.commit_arrow(VECTORS, (batch(*names[start : start + 3]) for start in range(0, 50, 3)))
    # Row groups of three rows, two of them per file.
    assert len(list(lake.version(VECTORS).files())) == 9
    assert ids(lake.iter_batches(VECTORS)) == names == lake.read_arrow(VECTORS)["track_id"].to_pylist()
    assert lake.count_rows(VECTORS) == 50


def test_table_can_be_written_from_itself_and_become_empty(any_lake):
    lake = any_lake
    lake.commit_arrow(VECTORS, [batch("a", "b")])
    lake.commit_arrow(VECTORS, (rows.slice(1) for rows in lake.iter_batches(VECTORS)))
    assert ids(lake.iter_batches(VECTORS)) == ["b"]
    lake.commit_arrow(VECTORS, [])
    assert ids(lake.iter_batches(VECTORS)) == [] and lake.version(VECTORS).name.startswith("v000003")


def test_failed_commit_leaves_table_and_staged_parts(tmp_path):
    def fail_halfway():
        yield batch("c")
        raise OSError("disk unmounted")

    lake = Lake(tmp_path)
    lake.commit_arrow(VECTORS, [batch("a")])
    stage(lake, "1", "s")
    with pytest.raises(OSError, match="disk unmounted"):
        lake.commit_arrow(VECTORS, fail_halfway())
    assert ids(lake.iter_batches(VECTORS)) == ["a"] and ids(lake.iter_staged_batches(VECTORS)) == ["s"]
    lake.commit_arrow(VECTORS, [batch("b")])
    assert ids(lake.iter_batches(VECTORS)) == ["b"] and ids(lake.iter_staged_batches(VECTORS)) == []


def test_reader_of_the_previous_version_can_continue(any_lake):
    lake = any_lake
    lake.commit_arrow(VECTORS, [batch("a")])
    begun = lake.iter_batches(VECTORS)
    lake.commit_arrow(VECTORS, [batch("b")])
    assert ids(begun) == ["a"] and ids(lake.iter_batches(VECTORS)) == ["b"]


def test_later_commit_is_newer(any_lake):
    lake = any_lake
    assert not lake.is_newer(VECTORS, TRACKS)
    lake.commit_arrow(TRACKS, [])
    time.sleep(0.02)  # a folder's time has the kernel's clock ticks
    lake.commit_arrow(VECTORS, [batch("a")])
    assert lake.is_newer(VECTORS, TRACKS) and not lake.is_newer(TRACKS, VECTORS)
    assert lake.version(TRACKS) == lake.version(TRACKS)
    assert lake.missing_columns(VECTORS) == set()
    wider = VECTORS.with_columns(Column("more", "string", ""))
    assert lake.missing_columns(wider) == {"more"}
    assert lake.read_arrow(wider, "track_id", "more").to_pylist() == [{"track_id": "a", "more": None}]


def test_linked_lake_retains_the_previous_version(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "lake").symlink_to(tmp_path / "disk")
    lake = Lake(tmp_path / "lake")
    for name in "abc":
        lake.commit_arrow(VECTORS, [batch(name)])
    assert sorted(path.name for path in (tmp_path / "disk" / "VECTORS").glob("v*")) == ["v000002", "v000003"]


def test_staged_batches_begin_with_the_last_part(tmp_path):
    lake = Lake(tmp_path)
    for name in ("000001", "000002", "000010"):
        stage(lake, name, name)
    assert ids(lake.iter_staged_batches(VECTORS)) == ["000010", "000002", "000001"]


def stage(lake, part, *track_ids):
    folder = lake.root / VECTORS.name / "staged" / part
    folder.mkdir(parents=True)
    pyarrow.parquet.write_table(pa.Table.from_batches([batch(*track_ids)]), folder / "part-0.parquet")
