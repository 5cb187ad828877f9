import pyarrow.parquet
import pytest
from pyspark.sql import functions as F

from jobs.errors import StepError
from jobs.lake.schemas import VECTORS
from jobs.lake.storage import Lake


def vectors(spark, *ids, projection="p"):
    rows = [(projection, track_id, [1.0, 0.0]) for track_id in ids]
    return spark.createDataFrame(rows, VECTORS.spark_schema())


def ids(table):
    return table["track_id"].to_pylist()


def test_a_table_before_its_first_version_is_empty(spark, tmp_path):
    lake = Lake(tmp_path)
    assert lake.read(spark, VECTORS).count() == 0
    assert lake.count_rows(VECTORS) == 0 and ids(lake.read_arrow(VECTORS)) == []


def test_a_commit_replaces_the_table_sorted_by_key(spark, tmp_path):
    lake = Lake(tmp_path)
    lake.commit(VECTORS, vectors(spark, "b", "a"))
    assert ids(lake.read_arrow(VECTORS)) == ["a", "b"]
    lake.commit(VECTORS, vectors(spark, "c"))
    assert [row.track_id for row in lake.read(spark, VECTORS).collect()] == ["c"]


def test_a_table_can_be_made_from_itself(spark, tmp_path):
    lake = Lake(tmp_path)
    lake.commit(VECTORS, vectors(spark, "a"))
    lake.commit(VECTORS, lake.read(spark, VECTORS).unionByName(vectors(spark, "b")))
    assert ids(lake.read_arrow(VECTORS)) == ["a", "b"]


def test_a_reader_of_the_version_before_is_not_disturbed(spark, tmp_path):
    lake = Lake(tmp_path)
    lake.commit(VECTORS, vectors(spark, "a"))
    reader = lake.read(spark, VECTORS)
    lake.commit(VECTORS, vectors(spark, "b"))
    assert [row.track_id for row in reader.collect()] == ["a"]


def test_old_versions_go_and_one_stays(spark, tmp_path):
    lake = Lake(tmp_path)
    for name in "abc":
        lake.commit(VECTORS, vectors(spark, name))
    assert sorted(p.name for p in (tmp_path / "VECTORS").glob("v*")) == ["v000002", "v000003"]


def test_any_parquet_reader_finds_the_table(spark, tmp_path):
    Lake(tmp_path).commit(VECTORS, vectors(spark, "a"))
    assert ids(pyarrow.parquet.read_table(tmp_path / "VECTORS" / "current")) == ["a"]


def test_a_killed_commit_leaves_the_table_as_it_was(spark, tmp_path):
    lake = Lake(tmp_path)
    lake.commit(VECTORS, vectors(spark, "a"))
    half = tmp_path / "VECTORS" / "v000002"
    half.mkdir()
    (half / "part-0.parquet").write_bytes(b"PAR1 and no more")
    assert ids(lake.read_arrow(VECTORS)) == ["a"]
    lake.commit(VECTORS, vectors(spark, "b"))
    assert ids(lake.read_arrow(VECTORS)) == ["b"]


def test_staged_parts_are_whole_or_not_there(spark, tmp_path):
    lake = Lake(tmp_path)
    lake.stage(VECTORS, "1", vectors(spark, "a").write.parquet)
    with pytest.raises(RuntimeError):
        lake.stage(VECTORS, "2", fails_half_way)
    assert (
        ids(lake.read_staged_arrow(VECTORS))
        == ["a"]
        == [r.track_id for r in lake.staged(spark, VECTORS).collect()]
    )
    lake.commit(VECTORS, lake.staged(spark, VECTORS))
    assert ids(lake.read_staged_arrow(VECTORS)) == []


def fails_half_way(folder):
    from pathlib import Path

    Path(folder).mkdir()
    raise RuntimeError("the disk has gone")


def test_a_column_of_another_type_is_refused(spark, tmp_path):
    wrong = vectors(spark, "a").withColumn("track_id", F.col("track_id").cast("binary"))
    with pytest.raises(TypeError, match="VECTORS.track_id: expected string, found binary"):
        Lake(tmp_path).commit(VECTORS, wrong)


def test_one_writer_at_a_time(tmp_path):
    with (
        Lake(tmp_path).locked(),
        pytest.raises(StepError, match="found another segue at work"),
        Lake(tmp_path).locked(),
    ):
        pass
    with Lake(tmp_path).locked():
        pass


def test_a_lake_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StepError, match="--lake: expected a folder that can be written"):
        Lake(tmp_path / "file" / "lake")
