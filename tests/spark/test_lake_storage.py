from pathlib import Path

import pyarrow.parquet
import pytest
from pyspark.sql import functions as F

from jobs.errors import StepError
from jobs.lake.schemas import VECTORS
from jobs.lake.storage import Lake


def vectors(spark, *ids, embedder="p"):
    rows = [(embedder, track_id, [1.0, 0.0]) for track_id in ids]
    return spark.createDataFrame(rows, VECTORS.spark_schema())


def ids(table):
    return table["track_id"].to_pylist()


def test_table_without_a_version_is_empty(spark, tmp_path):
    lake = Lake(tmp_path)
    assert lake.read(spark, VECTORS).count() == 0
    assert lake.count_rows(VECTORS) == 0 and ids(lake.read_arrow(VECTORS)) == []


def test_commit_replaces_the_table_sorted_by_key(spark, tmp_path):
    lake = Lake(tmp_path)
    lake.commit(VECTORS, vectors(spark, "b", "a"))
    assert ids(lake.read_arrow(VECTORS)) == ["a", "b"]
    lake.commit(VECTORS, vectors(spark, "c"))
    assert [row.track_id for row in lake.read(spark, VECTORS).collect()] == ["c"]


def test_table_can_be_committed_from_itself(spark, tmp_path):
    lake = Lake(tmp_path)
    lake.commit(VECTORS, vectors(spark, "a"))
    lake.commit(VECTORS, lake.read(spark, VECTORS).unionByName(vectors(spark, "b")))
    assert ids(lake.read_arrow(VECTORS)) == ["a", "b"]


def test_reader_of_the_previous_version_can_continue(spark, tmp_path):
    lake = Lake(tmp_path)
    lake.commit(VECTORS, vectors(spark, "a"))
    reader = lake.read(spark, VECTORS)
    lake.commit(VECTORS, vectors(spark, "b"))
    assert [row.track_id for row in reader.collect()] == ["a"]


def test_commit_retains_one_previous_version(spark, tmp_path):
    lake = Lake(tmp_path)
    for name in "abc":
        lake.commit(VECTORS, vectors(spark, name))
    assert sorted(path.name for path in (tmp_path / "VECTORS").glob("v*")) == ["v000002", "v000003"]


def test_any_parquet_reader_can_read_the_table(spark, tmp_path):
    Lake(tmp_path).commit(VECTORS, vectors(spark, "a"))
    assert ids(pyarrow.parquet.read_table(tmp_path / "VECTORS" / "current")) == ["a"]


def test_killed_commit_leaves_the_previous_version(spark, tmp_path):
    lake = Lake(tmp_path)
    lake.commit(VECTORS, vectors(spark, "a"))
    unfinished = tmp_path / "VECTORS" / "v000002"
    unfinished.mkdir()
    (unfinished / "part-0.parquet").write_bytes(b"PAR1 and no more")
    assert ids(lake.read_arrow(VECTORS)) == ["a"]
    lake.commit(VECTORS, vectors(spark, "b"))
    assert ids(lake.read_arrow(VECTORS)) == ["b"]


def test_staged_parts_are_whole_or_missing(spark, tmp_path):
    lake = Lake(tmp_path)
    lake.stage(VECTORS, "1", vectors(spark, "a").write.parquet)
    with pytest.raises(RuntimeError):
        lake.stage(VECTORS, "2", fail_halfway)
    assert ids(lake.read_staged_arrow(VECTORS)) == ["a"]
    assert [row.track_id for row in lake.staged(spark, VECTORS).collect()] == ["a"]
    lake.commit(VECTORS, lake.staged(spark, VECTORS))
    assert ids(lake.read_staged_arrow(VECTORS)) == []


def fail_halfway(folder):
    Path(folder).mkdir()
    raise RuntimeError("disk unmounted")


def test_column_of_another_type_is_refused(spark, tmp_path):
    wrong = vectors(spark, "a").withColumn("track_id", F.col("track_id").cast("binary"))
    with pytest.raises(TypeError, match="VECTORS.track_id: expected string, found binary"):
        Lake(tmp_path).commit(VECTORS, wrong)


def test_second_writer_is_refused(tmp_path):
    with (
        Lake(tmp_path).locked(),
        pytest.raises(StepError, match="found another segue at work"),
        Lake(tmp_path).locked(),
    ):
        pass
    with Lake(tmp_path).locked():
        pass


def test_lake_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StepError, match="--lake: expected a folder that can be written"):
        Lake(tmp_path / "file" / "lake")


@pytest.mark.parametrize("name", ["Music [FLAC]", "a{b}c", "what*", "_x", ".y", "q?", "back\\slash"])
def test_lake_below_any_name(spark, tmp_path, name):
    lake = Lake(tmp_path / name / "lake")
    lake.commit(VECTORS, vectors(spark, "a"))
    lake.stage(VECTORS, "1", vectors(spark, "b").write.parquet)
    assert [row.track_id for row in lake.read(spark, VECTORS).collect()] == ["a"]
    assert [row.track_id for row in lake.staged(spark, VECTORS).collect()] == ["b"]
