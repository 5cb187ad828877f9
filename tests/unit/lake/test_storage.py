"""The lake without Spark; `tests/spark/test_lake_storage.py` has the rest."""

import pyarrow as pa
import pyarrow.parquet
import pytest

from jobs.lake import parquet
from jobs.lake.schemas import VECTORS
from jobs.lake.storage import Lake


def batch(*ids):
    rows = [{"embedder_id": "p", "track_id": track_id, "embedding": [1.0, 0.0]} for track_id in ids]
    return pa.RecordBatch.from_pylist(rows, schema=VECTORS.arrow_schema())


def ids(batches):
    return [track_id for batch in batches for track_id in batch.column("track_id").to_pylist()]


def test_commit_arrow_keeps_the_order_of_batches(tmp_path):
    lake = Lake(tmp_path)
    lake.commit_arrow(VECTORS, iter([batch("b", "a"), batch(), batch("c")]))
    assert ids(lake.iter_batches(VECTORS)) == ["b", "a", "c"]
    assert lake.read_arrow(VECTORS)["track_id"].to_pylist() == ["b", "a", "c"]


def test_commit_arrow_keeps_the_order_over_files(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_ROWS_PER_GROUP", 2)
    monkeypatch.setattr(parquet, "ROWS_PER_FILE", 4)
    names = [f"{number:03d}" for number in range(50)]
    lake = Lake(tmp_path)
    lake.commit_arrow(VECTORS, (batch(*names[start : start + 3]) for start in range(0, 50, 3)))
    # Row groups of three rows, two of them per file.
    assert len(list(lake.version(VECTORS).glob("*.parquet"))) == 9
    assert ids(lake.iter_batches(VECTORS)) == names == lake.read_arrow(VECTORS)["track_id"].to_pylist()
    assert lake.count_rows(VECTORS) == 50


def test_table_can_be_written_from_itself_and_become_empty(tmp_path):
    lake = Lake(tmp_path)
    lake.commit_arrow(VECTORS, [batch("a", "b")])
    lake.commit_arrow(VECTORS, (rows.slice(1) for rows in lake.iter_batches(VECTORS)))
    assert ids(lake.iter_batches(VECTORS)) == ["b"]
    lake.commit_arrow(VECTORS, [])
    assert ids(lake.iter_batches(VECTORS)) == [] and lake.version(VECTORS).name == "v000003"


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
    def write(folder):
        (lake.root / folder).mkdir()
        pyarrow.parquet.write_table(pa.Table.from_batches([batch(*track_ids)]), f"{folder}/part-0.parquet")

    lake.stage(VECTORS, part, write)
